"""Some rows of a frame that bitshuffle and LZ4 made small: only the blocks that hold them are decoded.

HDF5 decodes all of a frame, one at a time behind its lock. What is not as it is expected here is left to HDF5.
"""

from __future__ import annotations

import struct

import h5py
import numpy as np
import numpy.typing as npt

BITSHUFFLE_FILTER, LZ4 = 32008, 2
"""Number of the filter that is registered with The HDF Group, and its word for LZ4."""
FEW = 8
"""So much less than a frame has to be wanted; HDF5's own filter is faster for a fourth and more."""
_HEAD, _LENGTH = struct.Struct(">QI"), struct.Struct(">I")
"""Before all blocks: bytes of the frame and of a block, decoded; before each block its own bytes."""


def rows_of(dataset: h5py.Dataset, frames: range, rows: slice) -> npt.NDArray[np.generic] | None:
    """Rows of successive frames ``(frame, y, x)``; None where these are not made so, or most rows are wanted.

    Raises
    ------
    OSError
        What was written of a frame is damaged.
    """
    if dataset.ndim != 3 or dataset.chunks != (1, *dataset.shape[1:]) or not dataset.dtype.isnative:
        return None
    if FEW * (rows.stop - rows.start) > dataset.shape[1] or not _is_bitshuffled(dataset):
        return None
    pixels = dataset.shape[1] * dataset.shape[2]
    if rows.stop * dataset.shape[2] > pixels - pixels % 8:  # these stand behind the blocks
        return None
    result = np.empty((len(frames), rows.stop - rows.start, dataset.shape[2]), dataset.dtype)
    for target, frame in zip(result, frames, strict=True):
        try:
            skipped, chunk = dataset.id.read_direct_chunk((frame, 0, 0))
        except (OSError, RuntimeError):  # never written: HDF5 has numbers for these
            return None
        if skipped:  # filters that this chunk did not go through
            return None
        try:
            target[...] = _decoded(chunk, rows, dataset.shape[1:], dataset.dtype)
        except (RuntimeError, ValueError, struct.error):  # HDF5's own filter crashes at some of what is damaged
            raise OSError(f"frame {frame} of {dataset.name} is damaged") from None
    return result


def _is_bitshuffled(dataset: h5py.Dataset) -> bool:
    """Whether bitshuffle with LZ4 is all that was done to the frames."""
    how = dataset.id.get_create_plist()
    if how.get_nfilters() != 1:
        return False
    number, _, values, _ = how.get_filter(0)
    return bool(
        number == BITSHUFFLE_FILTER and len(values) >= 5 and values[2] == dataset.dtype.itemsize and values[4] == LZ4
    )


def _decoded(chunk: bytes, rows: slice, shape: tuple[int, int], dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    """Rows of one frame, from the blocks that hold them.

    Reference: K. Masui et al., Astronomy and Computing 12 (2015) 181, doi:10.1016/j.ascom.2015.07.002. Fewer than eight
    pixels at the end of a frame stand behind the blocks as they are.
    """
    import imagecodecs

    size, row = dtype.itemsize, shape[1] * dtype.itemsize
    total, block = _HEAD.unpack_from(chunk)
    whole = total - total % (8 * size)
    if total != shape[0] * row or block <= 0 or block % (8 * size):
        raise ValueError
    first, behind = rows.start * row // block, -(-rows.stop * row // block)
    begin, end = first * block, min(behind * block, whole)
    shuffled, place = np.empty(end - begin, np.uint8), _HEAD.size
    for number in range(behind):
        (length,) = _LENGTH.unpack_from(chunk, place)
        place += _LENGTH.size
        if number >= first:
            part = shuffled[number * block - begin : (number + 1) * block - begin].data
            if len(imagecodecs.lz4_decode(chunk[place : place + length], out=part)) != len(part):
                raise ValueError
        place += length
    pixels = imagecodecs.bitshuffle_decode(shuffled.view(dtype), blocksize=block // size)
    before = (rows.start * row - begin) // size
    return pixels[before : before + (rows.stop - rows.start) * shape[1]].reshape(-1, shape[1])
