"""Stacks of corrected frames to HDF5, larger than memory and as fast as the disc.

The file is a netCDF4 file whose ``image`` is stored contiguously: its place is reserved on the disc first, so a full
disc is noticed before any work, and then every chunk is written straight to its offset by whichever thread or worker
has it. HDF5's own lock, and its crash on a full disc, are thereby avoided. Compressed frames are put into the file by
HDF5, but through plain file calls.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import dask
import dask.array as da
import h5netcdf
import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu import schema
from xinsitu.errors import SchemaError, warn
from xinsitu.kernels import DARK, UNREAD, marked
from xinsitu.schema import FrameStatus
from xinsitu.variables import SAID_LATER, Called, as_written, remarks_on_frames

from .compressed_frames import filters, write_chunks
from .disk import ZARR, new_file, refuse_other_format
from .formats.descriptors import read_at, reserve, write_at
from .guard import output_path
from .nxdata import ENGINE, as_netcdf
from .results import in_chunks, provenance, storable

try:
    import resource
except ImportError:  # Windows knows no such limits
    resource = None  # type: ignore[assignment]


def write_frames(
    measurement: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compression: str | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Write a measurement, usually corrected, to netCDF4 (HDF5) in one pass and out of core.

    Parameters
    ----------
    measurement
        Dataset with ``image (time, y, x)``; lazy images are computed chunk by chunk.
    path
        Of the file to write; ``time`` (UNIX epoch seconds) and ``image`` are root datasets in it. ``NAME.zarr`` is
        a Zarr store (format 3; needs zarr): its chunks are written in parallel, by all threads or workers, and what was
        written before an interruption is not written again.
    overwrite
        Replace a file of this name.
    compression
        None (fast, large); ``deflate`` (slow, small for integers, every reader has it); ``bitshuffle-lz4`` (fast,
        small; readers need the filter, which h5py finds in the package hdf5plugin). All threads compress.
    recipe
        How the frames were corrected, kept as JSON text in the attribute ``recipe``.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.
    LayoutError
        It would lie in a folder that holds frames: these and others would be taken for one measurement.
    SchemaError
        There is no ``image``, or an unknown compression.
    OSError
        The disc has no room for the frames; nothing is left behind.

    Warns
    -----
    XinsituWarning
        Frames became NaN while they were read or corrected; ``frame_status`` in the file says which. The background
        that they were divided by holds so few counts that it adds more than 10 % noise.

    Examples
    --------
    >>> import tempfile
    >>> frames = xr.DataArray(np.arange(6, dtype="int32").reshape(2, 1, 3), dims=("time", "y", "x"), name="image")
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(2) * np.timedelta64(1, "s")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_frames(frames.to_dataset().assign_coords(time=time), f"{folder}/time1_frames.nc")
    ...     h5py.File(path)["image"][:].sum().item()
    15
    """
    refuse_other_format(path, stores=True)
    if Path(path).suffix.lower() == ZARR:
        from .zarr_frames import write_zarr

        return write_zarr(measurement, Path(path), overwrite=overwrite, compression=compression, recipe=recipe)
    path = output_path(path, overwrite=overwrite)
    image = as_written(schema.image_of(measurement))
    if compression is not None:
        filters(compression)
    rest = storable(measurement.drop_vars("image")).assign_attrs(provenance(recipe))
    with new_file(path, overwrite=overwrite) as temporary:
        if compression is None:
            _write_contiguous(image, rest, temporary, path)
        else:
            _write_compressed(image, rest, temporary, compression)
        _verify(temporary, path, image)
        lost = _mark_lost(temporary)
    (later,) = dask.compute(image.encoding.get(SAID_LATER, ""))
    for text in (*remarks_on_frames(*lost, Called.of(measurement)), *later.splitlines()):
        warn(text)
    return path


def _mark_lost(temporary: Path) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Write into ``frame_status`` which frames became NaN while they were read or corrected, and return which."""
    with h5py.File(temporary) as file:
        image = file["image"]
        corners = image[:, :1, :1] if image.size else np.empty((0, 1, 1))
        known = "frame_status" in file and file["frame_status"].shape == (len(corners),)
    unread, dark = marked(corners, UNREAD), marked(corners, DARK)
    if known and (unread | dark).any():
        with h5py.File(temporary, "r+") as file:  # its bytes are there already: the disc has room for them
            status = file["frame_status"][...]
            status[unread] = FrameStatus.UNREADABLE
            status[dark & (status == FrameStatus.OK)] = FrameStatus.ZERO_BACKGROUND
            file["frame_status"][...] = status
    return unread, dark


def _write_contiguous(image: xr.DataArray, rest: xr.Dataset, temporary: Path, path: Path) -> None:
    offset, size = None, int(image.size) * image.dtype.itemsize
    _check_room(path, size)
    with PlainFile(temporary) as plain:
        plain.write(as_netcdf(rest.compute(), frames=True))
        with h5netcdf.File(plain, "a") as file:
            dataset = _image_variable(file, image)._h5ds
            if size:
                # the first value written makes HDF5 choose the offset of a contiguous dataset
                dataset[(-1,) * image.ndim] = 0
                offset = dataset.id.get_offset()
    if offset is not None:
        _reserve(temporary, path, offset, size)
        target = _Contiguous(os.fspath(temporary), offset, image.shape, image.dtype)
        lazy = image.data if dask.is_dask_collection(image.data) else _chunked(image)
        da.store(lazy, target, lock=False)


def _image_variable(file: h5netcdf.File, image: xr.DataArray, **how: Any) -> h5netcdf.Variable:  # noqa: ANN401
    """Make the variable of the frames, still without them."""
    attributes = dict(storable(image.to_dataset(name="image", promote_attrs=False))["image"].attrs)
    for dim in image.dims:
        if dim not in file.dimensions:
            file.dimensions[dim] = image.sizes[dim]
    variable = file.create_variable("image", image.dims, image.dtype, fillvalue=None, **how)
    names = " ".join(str(name) for name in image.coords if name not in image.dims)
    variable.attrs.update(attributes | ({"coordinates": names} if names else {}))
    return variable


def _chunked(image: xr.DataArray) -> da.Array:
    return in_chunks(image).data


def _check_room(path: Path, size: int) -> None:
    """Raise before any work where the disc or a limit has no room for the frames."""
    room, where = shutil.disk_usage(path.parent).free, "its disc has"
    if resource is not None and (limit := resource.getrlimit(resource.RLIMIT_FSIZE)[0]) != resource.RLIM_INFINITY:
        room, where = min((room, where), (limit, "the limit of file size leaves"))
    if room < size:
        code = errno.ENOSPC if where.startswith("its") else errno.EFBIG
        raise OSError(code, f"{path}: needs {size / 2**20:.1f} MiB, {where} {room / 2**20:.1f} MiB left")


def _reserve(temporary: Path, path: Path, offset: int, size: int) -> None:
    """Let the file system set the blocks of the frames aside."""
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        reserve(descriptor, offset, size)
    except OSError as fault:
        raise OSError(fault.errno, f"{path}: needs {size / 2**20:.1f} MiB ({fault.strerror})") from None
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class _Contiguous:
    """Whole frames written straight to their place in a file; plain data, so it pickles to any worker."""

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __setitem__(self, key: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        first, count = key[0].start or 0, self.shape[0]
        if block.shape[1:] != self.shape[1:] or first + len(block) > count:
            raise SchemaError(f"{self.path}: a block of shape {block.shape} does not fit {self.shape} at frame {first}")
        frame = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        data = np.ascontiguousarray(block, dtype=self.dtype).data.cast("B")
        position, size = self.offset + first * frame, len(data)
        descriptor = os.open(self.path, os.O_WRONLY)
        try:
            while data:
                written = write_at(descriptor, data, position)
                data, position = data[written:], position + written
            # start writing back now and let go of what is on the disc: the last fsync is short, memory stays free
            if hasattr(os, "posix_fadvise"):  # not on macOS and Windows
                os.posix_fadvise(descriptor, max(self.offset, position - 2 * size), 2 * size, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _write_compressed(image: xr.DataArray, rest: xr.Dataset, temporary: Path, compression: str) -> None:
    lazy = image.data if dask.is_dask_collection(image.data) else _chunked(image)
    lazy = lazy.rechunk({1: -1, 2: -1})
    with PlainFile(temporary) as plain:
        plain.write(as_netcdf(rest.compute(), frames=True))
        with h5netcdf.File(plain, "a") as file:
            chunks = (1, image.sizes["y"], image.sizes["x"])
            variable = _image_variable(file, image, chunks=chunks, **filters(compression))
            if image.size:
                write_chunks(variable._h5ds, lazy, compression, plain.check)
            plain.check()


def _verify(temporary: Path, path: Path, image: xr.DataArray) -> None:
    """Open what was written, as its readers will."""
    with xr.open_dataset(temporary, engine=ENGINE) as written:
        if written["image"].shape != image.shape or written["image"].dtype != image.dtype:
            raise OSError(f"{path}: was not written whole; check the disc")
        if image.size:
            written["image"].isel(time=-1).load()


class PlainFile:
    """A new file with the methods that ``h5py.File(file, ...)`` asks for; leaving its block raises what went wrong.

    Examples
    --------
    >>> import h5py, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with PlainFile(path) as plain, h5py.File(plain, "w") as file:
    ...     file["x"] = 3
    >>> with h5py.File(path) as file:
    ...     int(file["x"][()])
    3
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        self._position = self._end = 0
        self._kept: list[tuple[int, bytes]] = []
        self._fault: OSError | None = None

    def __enter__(self) -> PlainFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if self._fault is not None:  # also where the library stumbled over what it could not write
            raise self._fault from None

    def check(self) -> None:
        """Raise what the disc refused so far, before more work is done.

        Raises
        ------
        OSError
            The disc is full, or a limit of file size is reached.
        """
        if self._fault is not None:
            raise self._fault

    def write(self, content: Any) -> int:  # noqa: ANN401 - any buffer
        """Write at the position; what the disc refuses, and everything after it, stays in memory."""
        view = memoryview(content).cast("B")
        if self._fault is None:
            try:
                done = 0
                while done < len(view):
                    done += write_at(self._descriptor, view[done:], self._position + done)
            except OSError as fault:
                self._fault = fault
        if self._fault is not None:
            self._kept.append((self._position, bytes(view)))
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Read what was written, wherever it is."""
        view = memoryview(buffer).cast("B")
        first, count = self._position, max(0, min(len(view), self._end - self._position))
        view[:count] = bytes(count)
        done = 0
        while done < count and (got := read_at(self._descriptor, view[done:count], first + done)):
            done += got
        for position, content in self._kept:
            start, stop = max(first, position), min(first + count, position + len(content))
            if start < stop:
                view[start - first : stop - first] = content[start - position : stop - position]
        self._position += count
        return count

    def read(self, size: int) -> bytes:
        """Read so many bytes."""
        content = bytearray(size)
        return bytes(content[: self.readinto(content)])

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        self._end = self._position if size is None else size
        if self._fault is None:
            try:
                os.ftruncate(self._descriptor, self._end)
            except OSError as fault:
                self._fault = fault
        return self._end

    def flush(self) -> None:
        """Do nothing: nothing waits."""
