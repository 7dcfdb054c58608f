"""Stacks of corrected frames to HDF5, larger than memory and as fast as the disc.

The file is a netCDF4 file whose ``image`` is stored contiguously: its place is reserved on the disc first, so a full
disc is noticed before any work, and then every chunk is written straight to its offset by whichever thread or worker
has it. HDF5's own lock, and its crash on a full disc, are thereby avoided.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import h5netcdf
import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu import schema
from xinsitu.errors import SchemaError

from .disk import new_file, refuse_existing
from .results import ENGINE, frames_per_chunk, provenance, storable

DEFLATE_LEVEL = 4


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
        Of the file to write; ``time`` (UNIX epoch seconds) and ``image`` are root datasets in it.
    overwrite
        Replace a file of this name.
    compression
        None (fast, large) or ``deflate`` (slow, small for integers, every reader has it).
    recipe
        How the frames were corrected, kept as JSON text in the attribute ``recipe``.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.
    SchemaError
        There is no ``image``, or an unknown compression.
    OSError
        The disc has no room for the frames; nothing is left behind.
    """
    path = refuse_existing(path, overwrite=overwrite)
    image = schema.image_of(measurement)
    if compression not in (None, "deflate"):
        raise SchemaError(f"frames are written with compression None or 'deflate', not {compression!r}")
    rest = storable(measurement.drop_vars("image")).assign_attrs(provenance(recipe))
    with new_file(path, overwrite=overwrite) as temporary:
        if compression is None:
            _write_contiguous(image, rest, temporary, path)
        else:
            _write_deflated(measurement, rest, temporary)
        _verify(temporary, path, image)
    return path


def _write_contiguous(image: xr.DataArray, rest: xr.Dataset, temporary: Path, path: Path) -> None:
    rest.to_netcdf(temporary, engine=ENGINE)
    attributes = dict(storable(image.to_dataset(name="image", promote_attrs=False))["image"].attrs)
    with h5netcdf.File(temporary, "a") as file:
        for dim in image.dims:
            if dim not in file.dimensions:
                file.dimensions[dim] = image.sizes[dim]
        variable = file.create_variable("image", image.dims, image.dtype, fillvalue=None)
        names = " ".join(str(name) for name in image.coords if name not in image.dims)
        variable.attrs.update(attributes | ({"coordinates": names} if names else {}))
    target = _reserve(temporary, path, image.shape, image.dtype)
    if target is not None:
        lazy = image.data if dask.is_dask_collection(image.data) else _chunked(image)
        da.store(lazy, target, lock=False)


def _chunked(image: xr.DataArray) -> da.Array:
    return image.chunk({"time": frames_per_chunk(image)}).data


def _reserve(temporary: Path, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Contiguous | None:
    """Make HDF5 place the dataset, and the file system set its blocks aside; None if there is nothing to write."""
    size = int(np.prod(shape)) * dtype.itemsize
    if size == 0:
        return None
    free = os.statvfs(temporary.parent)
    if free.f_bavail * free.f_frsize < size:
        room = free.f_bavail * free.f_frsize / 2**20
        raise OSError(errno.ENOSPC, f"{path}: needs {size / 2**20:.0f} MiB, its disc has {room:.0f} MiB left")
    with h5py.File(temporary, "r+") as file:
        dataset = file["image"]
        # the first value written makes HDF5 choose the offset of a contiguous dataset
        dataset[(-1,) * len(shape)] = 0
        offset = dataset.id.get_offset()
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        os.posix_fallocate(descriptor, offset, size)
    except OSError as fault:
        if fault.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise OSError(fault.errno, f"{path}: needs {size / 2**20:.0f} MiB ({fault.strerror})") from None
    finally:
        os.close(descriptor)
    return _Contiguous(os.fspath(temporary), offset, shape, dtype)


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
                written = os.pwrite(descriptor, data, position)
                data, position = data[written:], position + written
            # start writing back now and let go of what is on the disc: the last fsync is short, memory stays free
            os.posix_fadvise(descriptor, max(self.offset, position - 2 * size), 2 * size, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _write_deflated(measurement: xr.Dataset, rest: xr.Dataset, temporary: Path) -> None:
    image = measurement["image"]
    everything = rest.assign(image=image)
    everything["image"].attrs = storable(image.to_dataset(name="image"))["image"].attrs
    chunks = (1, image.sizes["y"], image.sizes["x"])
    encoding = {"image": {"zlib": True, "complevel": DEFLATE_LEVEL, "shuffle": True, "chunksizes": chunks}}
    everything.to_netcdf(temporary, engine=ENGINE, encoding=encoding)


def _verify(temporary: Path, path: Path, image: xr.DataArray) -> None:
    """Open what was written, as its readers will."""
    with xr.open_dataset(temporary, engine=ENGINE) as written:
        if written["image"].shape != image.shape or written["image"].dtype != image.dtype:
            raise OSError(f"{path}: was not written whole; check the disc")
        if image.size:
            written["image"].isel(time=-1).load()
