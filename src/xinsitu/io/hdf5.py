"""What one HDF5 file says of its frames: NeXus and NXmx files, Eiger masters, areaDetector files, stacks in netCDF.

Where the frames are is looked for in the places where detectors put them; links are followed within the folder of the
file and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

import h5py
import numpy as np
import numpy.typing as npt

from xinsitu.errors import LayoutError, warn
from xinsitu.schema import FrameStatus

from .discover import natural_key
from .formats.hdf5_links import linked_files
from .formats.hdf5_stack import Hdf5Stack, Part
from .formats.header import MAX_PIXELS, FrameFault, FrameHeader
from .formats.safe_hdf5 import opened
from .gather import Gathered
from .masks import pixel_mask
from .nexus import decoded, read_attributes, read_columns, read_numbers, read_string, read_text, read_times

_PLACES = ("image", "entry/data/data", "entry/instrument/detector/data", "entry1/data/data", "exchange/data")
_COLOURS = 4
"""An axis so short at the end of several is that of colours, not of columns."""


def read_file(path: str) -> Gathered:
    """Describe the frames of one HDF5 file; no pixel is read.

    Raises
    ------
    LayoutError
        No frames, or several stacks of them.
    FrameFault
        The file is damaged, or refers to files outside its folder.
    """
    files = linked_files(path)
    try:
        with opened(path) as file:
            return _gather(file, path, files)
    except (OSError, KeyError, RuntimeError) as error:
        raise FrameFault(path, f"the HDF5 file is damaged ({error})") from None


def _gather(file: h5py.File, path: str, files: tuple[tuple[str, int, int], ...]) -> Gathered:
    datasets = _find(file, path)
    first = next(iter(datasets.values()))
    shape = (int(first.shape[-2]), int(first.shape[-1]))
    for dataset in datasets.values():
        if dataset.shape[-2:] != first.shape[-2:] or dataset.dtype != first.dtype:
            raise FrameFault(path, f"{dataset.name} is {dataset.shape} {dataset.dtype}, unlike {first.name}")
        if any(name in dataset.attrs for name in ("scale_factor", "add_offset")):
            raise FrameFault(path, f"{dataset.name} is packed (scale_factor, add_offset); store the values themselves")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise FrameFault(path, f"{first.name} declares {shape[0]} x {shape[1]} pixels")
    written = {place: written_frames(dataset) for place, dataset in datasets.items()}
    stack = Hdf5Stack(
        parts=tuple(part for place, there in written.items() for part in _parts(path, place, there, files)),
        frame_shape=shape,
        stored=first.dtype.newbyteorder("="),
        step=first.chunks[0] if first.chunks and first.ndim == 3 else 1,
    )
    count = stack.shape[0]
    times, columns = read_times(file, count, files[0][2]), read_columns(file, count)
    text, model = read_text(file), read_string(file, "description")
    size, mtime = files[0][1:]
    headers = tuple(
        FrameHeader(
            size=size,
            mtime_ns=mtime,
            shape=shape,
            dtype=stack.stored,
            offset=-1,
            stamp=times.stamps[index] if times.stamps else "",
            stamp_source=times.source,
            utc=None if times.utc is None else int(times.utc[index]),
            text=text,
            model=model,
            extra=tuple((name, float(column[index])) for name, column in columns.items()),
        )
        for index in range(count)
    )
    return Gathered(
        stack=stack,
        headers=headers,
        scan=read_numbers(file, "scan", count, np.ones(count, dtype="int64")),
        frame=read_numbers(file, "frame", count, _image_numbers(datasets.values())),
        status=np.where(np.concatenate(list(written.values())), FrameStatus.OK, FrameStatus.MISSING).astype("int8"),
        faults=(),
        image_attributes=read_attributes(first),
        attributes=read_attributes(file) if "Conventions" in file.attrs else {},
        mask=_mask(file, path, shape),
        numbered="frame" in file or "image_nr_low" in first.attrs,
    )


def written_frames(dataset: h5py.Dataset) -> npt.NDArray[np.bool_]:
    """Which frames of a dataset were written; those that an aborted run left out have no place in the file.

    Frames of a virtual dataset, or of one that a scan over several axes fills in part, are taken as written.
    """
    everything = np.ones(_count(dataset), dtype=bool)
    if dataset.is_virtual:
        return everything
    if dataset.chunks is None or dataset.ndim != 3:
        return everything & bool(dataset.id.get_storage_size())
    grid = [-(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True)]
    if dataset.id.get_num_chunks() == math.prod(grid):
        return everything
    found = np.zeros(grid[0], dtype="int64")

    def count(chunk: h5py.h5d.StoreInfo) -> None:
        found[chunk.chunk_offset[0] // dataset.chunks[0]] += 1

    dataset.id.chunk_iter(count)
    return np.repeat(found == grid[1] * grid[2], dataset.chunks[0])[: len(everything)]


def _parts(
    path: str, place: str, written: npt.NDArray[np.bool_], files: tuple[tuple[str, int, int], ...]
) -> Iterator[Part]:
    """Cut a dataset into runs of frames that are there and of those that are not."""
    edges = np.flatnonzero(np.diff(written)) + 1
    for start, stop in pairwise([0, *edges.tolist(), len(written)]):
        yield Part(path, place, stop - start, files, start, bool(written[start]))


def _image_numbers(datasets: Iterable[h5py.Dataset]) -> npt.NDArray[np.int64]:
    """Numbers of the frames from 0: an Eiger's pieces say which of its images they begin with, counted from 1."""
    numbers: list[npt.NDArray[np.int64]] = []
    behind = 0
    for dataset in datasets:
        low = dataset.attrs.get("image_nr_low")
        start = int(low) - 1 if isinstance(low, int | np.integer) and int(low) > behind else behind
        numbers.append(start + np.arange(_count(dataset), dtype="int64"))
        behind = int(numbers[-1][-1]) + 1
    return np.concatenate(numbers)


def _mask(file: h5py.File, path: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    """Pixels that the detector itself says are bad."""
    values = pixel_mask(file)
    if values is None:
        return None
    if values.shape != shape:
        warn(
            f"{path}: its pixel mask of {values.shape[0]} x {values.shape[1]} does not fit frames of "
            f"{shape[0]} x {shape[1]} and is not used"
        )
        return None
    return np.asarray(values != 0)


def _find(file: h5py.File, path: str) -> dict[str, h5py.Dataset]:
    """Return the datasets of frames by their place: a known one, an Eiger's numbered parts, or the only stack.

    A dataset behind an external link has the name of its place in the other file; so the place is kept beside it.
    """
    for place in _PLACES:
        dataset = file.get(place)
        if isinstance(dataset, h5py.Dataset) and _is_stack(dataset):
            return {place: dataset}
    data = file.get("entry/data")
    if isinstance(data, h5py.Group):
        names = [name for name in sorted(data, key=natural_key) if name.startswith("data_")]
        if lost := [name for name in names if data.get(name) is None]:
            raise FrameFault(path, f"entry/data/{lost[0]} links to frames that are not there", FrameStatus.MISSING)
        parts = {f"entry/data/{name}": data[name] for name in names}
        if parts and all(isinstance(part, h5py.Dataset) and _is_stack(part) for part in parts.values()):
            return parts
    named = _default(file)
    if named is not None:
        return {named: file[named]}
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim > 2 and _is_stack(item):
            found[name] = item

    file.visititems(visit)
    if len(found) == 1:
        return found
    if found:
        raise LayoutError(
            f"{path}: several stacks of frames, {', '.join(sorted(found))}; none is where detectors put it"
        )
    raise LayoutError(f"{path}: no stack of frames (n, y, x) in this file")


def _default(file: h5py.File) -> str | None:
    """Place of the data that a NeXus file names as its default, where these are frames."""
    group: object = file
    for _ in range(4):
        if not isinstance(group, h5py.Group) or "default" not in group.attrs:
            break
        group = group.get(decoded(group.attrs["default"]))
    signal = decoded(group.attrs.get("signal")) if isinstance(group, h5py.Group) else ""
    if not signal or not isinstance(group, h5py.Group):
        return None
    item = group.get(signal)
    return f"{group.name}/{signal}".lstrip("/") if isinstance(item, h5py.Dataset) and _is_stack(item) else None


def _is_stack(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds frames: rows and columns last, one axis or several of a scan before them."""
    colours = dataset.ndim > 3 and dataset.shape[-1] <= _COLOURS
    return dataset.ndim >= 2 and not colours and dataset.dtype.kind in "iuf" and dataset.size > 0


def _count(dataset: h5py.Dataset) -> int:
    """Frames in a dataset."""
    return math.prod(dataset.shape[:-2])
