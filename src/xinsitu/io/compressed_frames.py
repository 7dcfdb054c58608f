"""Frames compressed on all threads or workers, each a chunk of its own; HDF5 only puts them into the file.

HDF5's own filters run one after the other behind its lock. Here a block function makes the bytes that its filter would
make, and ``write_direct_chunk`` stores them: any reader decodes them with HDF5's filters.
"""

from __future__ import annotations

import itertools
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import dask
import dask.array as da
import h5py
import imagecodecs
import numpy as np
import numpy.typing as npt

from xinsitu.errors import SchemaError

from .formats.bitshuffled_rows import BITSHUFFLE_FILTER, LZ4

DEFLATE, BITSHUFFLE = "deflate", "bitshuffle-lz4"
COMPRESSIONS = (DEFLATE, BITSHUFFLE)
DEFLATE_LEVEL = 4
_BLOCK_BYTES, _ELEMENTS = 8192, 8
"""Bitshuffle works on blocks of so many bytes, of a whole multiple of eight elements."""

Frame = npt.NDArray[Any]


def filters(compression: str) -> dict[str, Any]:
    """Return the keywords of h5py's ``create_dataset`` for a compression.

    Raises
    ------
    SchemaError
        There is no such compression, or what it needs is not installed.
    """
    if compression == DEFLATE:
        return {"compression": "gzip", "compression_opts": DEFLATE_LEVEL, "shuffle": True}
    if compression != BITSHUFFLE:
        raise SchemaError(f"frames are compressed with {' or '.join(COMPRESSIONS)}, not {compression!r}")
    try:
        import hdf5plugin  # noqa: F401 - registers the filter with HDF5
    except ImportError:
        raise SchemaError(f"{BITSHUFFLE} needs the package hdf5plugin: pip install 'xinsitu[formats]'") from None
    return {"compression": BITSHUFFLE_FILTER, "compression_opts": (0, LZ4)}


def deflated(frame: Frame) -> bytes:
    """Return a frame as HDF5's filters shuffle and deflate leave it."""
    shuffled = np.ascontiguousarray(frame).view(np.uint8).reshape(-1, frame.itemsize).T
    return zlib.compress(shuffled.tobytes(), DEFLATE_LEVEL)


def bitshuffled(frame: Frame) -> bytes:
    """Return a frame as the filter bitshuffle leaves it with LZ4.

    Reference: K. Masui et al., Astronomy and Computing 12 (2015) 181, doi:10.1016/j.ascom.2015.07.002; the filter's own
    ``bshuf_h5filter.c``: bytes of the frame (8, big-endian), bytes of a block (4), then each block behind its length
    (4); fewer than eight elements at the end are stored as they are.
    """
    flat = np.ascontiguousarray(frame).ravel()
    block = max(128, _BLOCK_BYTES // flat.itemsize // _ELEMENTS * _ELEMENTS)
    pieces = [struct.pack(">QI", flat.nbytes, block * flat.itemsize)]
    whole = len(flat) - len(flat) % _ELEMENTS
    for first in range(0, whole, block):
        part = flat[first : min(first + block, whole)]
        packed = imagecodecs.lz4_encode(imagecodecs.bitshuffle_encode(part.tobytes(), itemsize=flat.itemsize))
        pieces += [struct.pack(">I", len(packed)), bytes(packed)]
    pieces.append(flat[whole:].tobytes())
    return b"".join(pieces)


_ENCODERS: dict[str, Callable[[Frame], bytes]] = {DEFLATE: deflated, BITSHUFFLE: bitshuffled}


def encoded_block(frames: Frame, *, compression: str) -> Frame:
    """Return each frame of a block as its bytes, ``(frame, 1, 1)``."""
    found = np.empty((len(frames), 1, 1), dtype=object)
    for index, frame in enumerate(frames):
        found[index, 0, 0] = _ENCODERS[compression](frame)
    return found


def write_chunks(target: h5py.Dataset, frames: da.Array, compression: str, check: Callable[[], None]) -> None:
    """Compress frames on all threads or workers and store them, a few blocks at a time: memory stays bounded."""
    encoded = frames.map_blocks(
        encoded_block, compression=compression, dtype=object, meta=np.empty((0, 0, 0), object),
        chunks=(frames.chunks[0], (1,), (1,)),
    )  # fmt: skip
    frame = 0
    for blocks in _batched(encoded.to_delayed().ravel().tolist(), 2 * (os.cpu_count() or 1)):
        for block in dask.compute(*blocks):
            for (data,) in block[:, 0]:
                target.id.write_direct_chunk((frame, 0, 0), data)
                frame += 1
        check()


def _batched(items: list[Any], size: int) -> Iterator[list[Any]]:
    some = iter(items)
    while part := list(itertools.islice(some, size)):
        yield part
