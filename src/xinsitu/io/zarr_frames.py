"""Stacks of frames to Zarr stores: folders of chunks that threads, processes and machines write side by side.

A store is written beside its name, chunk by chunk, and gets the name when it is whole. What a process that was stopped
has written stays beside it, under a name that tells the content: the same frames corrected in the same way go on there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.base import tokenize
from dask.system import CPU_COUNT

from xinsitu import schema
from xinsitu.digits import counted
from xinsitu.errors import ResultExists, SchemaError, warn
from xinsitu.kernels import DARK, UNREAD, marked
from xinsitu.schema import FrameStatus
from xinsitu.variables import SAID_LATER, Called, as_written, remarks_on_frames

from .compressed_frames import BITSHUFFLE, COMPRESSIONS, DEFLATE, DEFLATE_LEVEL
from .disk import ENDING_OF_STORES, claimed, here, is_alive
from .formats.zarr_stack import COMPLETE, IMAGE, chunk_file, zarr
from .guard import output_path
from .results import in_chunks, provenance, storable

_STORE, _CORNERS, _OWNER, _DESCRIBED = "store", "corners", "owner", "described"
"""What lies in a part: the store to be; the first pixels of frames, one file for each chunk that is on the disc, which
tell why a frame is NaN; the process that writes; a file that is there when everything but the frames is."""


def write_zarr(
    measurement: xr.Dataset,
    path: Path,
    *,
    overwrite: bool = False,
    compression: str | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Write a measurement to a Zarr store of format 3; see :func:`~xinsitu.io.frame_files.write_frames`."""
    path = output_path(path, overwrite=overwrite)
    image = in_chunks(as_written(schema.image_of(measurement)).transpose("time", "y", "x"))
    codecs = _codecs(compression)
    rest = storable(measurement.drop_vars(IMAGE)).assign_attrs(provenance(recipe)).compute()
    rest.attrs[COMPLETE] = [IMAGE, *map(str, rest.variables)]
    part = path.parent / f".{path.name[:60]}.{tokenize(image.data, compression)[:16]}{ENDING_OF_STORES}"
    with _owned(part, path):
        if not (part / _DESCRIBED).exists():
            _describe(part, image, rest, codecs)
        _store(part, image)
        lost = _mark_lost(part)
        _verify(part, path, image)
        claimed(part / _STORE, path, overwrite=overwrite)
    shutil.rmtree(part, ignore_errors=True)
    (later,) = dask.compute(image.encoding.get(SAID_LATER, ""))
    for text in (*remarks_on_frames(*lost, Called.of(measurement)), *later.splitlines()):
        warn(text)
    return path


def _codecs(compression: str | None) -> Any:  # noqa: ANN401 - codecs of zarr
    """Return what zarr compresses chunks with."""
    codecs = zarr().codecs
    if compression is None:
        return None
    if compression == DEFLATE:
        return codecs.GzipCodec(level=DEFLATE_LEVEL)  # with a check sum of its own
    if compression == BITSHUFFLE:
        return [codecs.BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), codecs.Crc32cCodec()]
    raise SchemaError(f"frames are compressed with {' or '.join(COMPRESSIONS)}, not {compression!r}")


@contextmanager
def _owned(part: Path, path: Path) -> Iterator[None]:
    """Keep other processes away from a part; what is of an older content, and of nobody alive, is cleared."""
    for other in path.parent.glob(f".{path.name[:60]}.*{ENDING_OF_STORES}"):
        if other != part and not _in_use(other):
            shutil.rmtree(other, ignore_errors=True)
    try:
        part.mkdir(exist_ok=True)
    except OSError as fault:
        raise OSError(fault.errno, fault.strerror, os.fspath(path)) from None
    if _in_use(part):
        raise ResultExists(
            f"{path}: is being written by another process; wait for it, or, if it is no more, remove {part.name}"
        )
    try:
        (part / _OWNER).write_text(f"{here()} {os.getpid()}")
        yield
    except OSError as fault:  # the disc does not take it: it is not kept full
        shutil.rmtree(part, ignore_errors=True)
        inside = fault.filename is None or os.fsdecode(fault.filename).startswith(os.fspath(part))
        if fault.errno is not None and inside:  # nobody else knows which disc is meant
            raise OSError(fault.errno, fault.strerror, os.fspath(path)) from None
        raise


def _in_use(part: Path) -> bool:
    """Whether the process that writes a part is another one, and alive; of another machine nobody knows."""
    with suppress(OSError, ValueError):
        where, process = (part / _OWNER).read_text().split()
        return where != here() or (int(process) != os.getpid() and is_alive(int(process)))
    return False


def _describe(part: Path, image: xr.DataArray, rest: xr.Dataset, codecs: Any) -> None:  # noqa: ANN401 - codecs of zarr
    """Write everything but the frames, and what describes these."""
    chunks = tuple(int(sizes[0]) if sizes else 1 for sizes in image.data.chunks)
    empty = image.variable.copy(deep=False, data=da.zeros(image.shape, dtype=image.dtype, chunks=chunks))
    described = storable(xr.Dataset({IMAGE: empty}))[IMAGE].variable
    described.encoding = {"chunks": chunks, "compressors": codecs, "_FillValue": None}
    whole = rest.assign({IMAGE: described})
    for name, variable in rest.variables.items():
        if variable.dtype.kind in "US":  # texts of any length: those of a fixed one are in no specification
            whole[name] = variable.astype(object)
        whole[name].encoding |= {
            "compressors": zarr().codecs.ZstdCodec(checksum=True), "fill_value": _no_value(variable.dtype)
        }  # fmt: skip
    # the zeros that stand for the frames are not computed
    whole.to_zarr(part / _STORE, mode="w", compute=False, consolidated=False, zarr_format=3, write_empty_chunks=True)
    (part / _CORNERS).mkdir(exist_ok=True)
    (part / _DESCRIBED).touch()


def _no_value(dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - as zarr has it
    """Return what stands for what is lost: no number, or an odd one; it would be zero."""
    if dtype.kind in "fM":
        return np.nan
    return np.iinfo(dtype).max if dtype.kind in "iu" else True if dtype.kind == "b" else "lost"


def _store(part: Path, image: xr.DataArray) -> None:
    """Write the chunks that are not there, a run of them after the other."""
    lazy, step = image.data, int(image.data.chunks[0][0]) if image.size else 1
    count = lazy.numblocks[0] if image.size else 0
    missing = np.array([not _corner(part, number).is_file() for number in range(count)], dtype=bool)
    edges = np.flatnonzero(np.diff(missing, prepend=False, append=False)) * step
    target = _Chunks(os.fspath(part), step)
    runs = [slice(int(a), min(int(b), lazy.shape[0])) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    threads = dask.config.get("num_workers", None) or CPU_COUNT
    if runs:  # with threads of its own: none writes any more when this is left, whoever ended it
        with ThreadPoolExecutor(threads) as pool, dask.config.set(pool=pool):
            da.store([lazy[run] for run in runs], [target] * len(runs), lock=False,
                     regions=[(run, slice(None), slice(None)) for run in runs])  # fmt: skip


@dataclass(frozen=True)
class _Chunks:
    """Whole chunks written to a store; plain data, so it pickles to any worker."""

    part: str
    step: int

    def __setitem__(self, key: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        first = int(key[0].start or 0)
        if first % self.step or len(block) > self.step:
            raise SchemaError(f"{self.part}: {len(block)} frames from {first} are no chunk of {self.step}")
        array = zarr().open_array(Path(self.part, _STORE, IMAGE), mode="r+")
        array = array.with_config({"write_empty_chunks": True})  # zeros, too: what is not there is lost
        array[first : first + len(block)] = block
        descriptor = os.open(chunk_file(Path(self.part, _STORE), first // self.step), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        corner = _corner(self.part, first // self.step)  # after the chunk: it is there for good
        np.save(aside := Path(self.part, corner.name), block[:, :1, :1])
        os.replace(aside, corner)


def _corner(part: str | os.PathLike[str], chunk: int) -> Path:
    return Path(part, _CORNERS, f"{chunk}.npy")


def _mark_lost(part: Path) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Write into ``frame_status`` which frames became NaN while they were read or corrected, and return which."""
    files = sorted((part / _CORNERS).iterdir(), key=lambda file: int(file.stem))
    corners = np.concatenate([np.load(file) for file in files]) if files else np.empty((0, 1, 1))
    unread, dark = marked(corners, UNREAD), marked(corners, DARK)
    if (part / _STORE / "frame_status").is_dir() and (unread | dark).any():
        array = zarr().open_array(part / _STORE / "frame_status", mode="r+")
        status = np.asarray(array[:])
        status[unread] = FrameStatus.UNREADABLE
        status[dark & (status == FrameStatus.OK)] = FrameStatus.ZERO_BACKGROUND
        array[:] = status
    return unread, dark


def _verify(part: Path, path: Path, image: xr.DataArray) -> None:
    """Open what was written, as its readers will."""
    written = zarr().open_array(part / _STORE / IMAGE, mode="r")
    if written.shape != image.shape or written.dtype != image.dtype:
        raise OSError(f"{path}: was not written whole; check the disc")
    if image.size:
        written[-1:]
        if absent := [n for n in range(image.data.numblocks[0]) if not chunk_file(part / _STORE, n).is_file()]:
            raise OSError(f"{path}: {counted(len(absent), 'chunk is', 'chunks are')} not there; check the disc")
