"""What one HDF5 file says of its frames: NeXus and NXmx files, Eiger masters, areaDetector files, stacks in netCDF.

Where the frames are is looked for in the places where detectors put them; links are followed within the folder of the
file and nowhere else.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

import h5py
import numpy as np
import numpy.typing as npt

from xinsitu.errors import LayoutError
from xinsitu.schema import FrameStatus

from .discover import natural_key
from .formats.hdf5_links import MOST_OBJECTS, PIECES, decoded, linked_files, missing_pieces, opened, target_of
from .formats.hdf5_stack import Hdf5Stack, Part
from .formats.header import MAX_PIXELS, FrameFault, FrameHeader, faults_of
from .formats.no_value import ATTRIBUTES as NO_VALUE
from .formats.no_value import from_attributes, numbers_of
from .gather import Gathered
from .nexus import Nexus, item_of, read_attributes

_PLACES = ("image", "entry/data/data", "entry/instrument/detector/data", "entry1/data/data", "exchange/data")
MOST_FRAMES = 1_000_000
"""A file can declare any number of frames without holding one."""
_NO_FRAMES = re.compile("mask|flat_?field|errors?$|weight|efficiency", re.IGNORECASE)
"""Names of what lies beside frames and has their shape: maps of the detector, one or one for each frame."""
_COLOURS = 4
"""An axis so short at the end of several is that of colours, not of columns."""


def read_file(path: str, scan: str | None = None) -> Gathered:
    """Describe the frames of one HDF5 file; no pixel is read.

    Parameters
    ----------
    path
        The file.
    scan
        Name of one of several scans in it, or the place of one of several stacks.

    Raises
    ------
    LayoutError
        No frames, or several stacks of them, or no such scan.
    FrameFault
        The file is damaged, or refers to files outside its folder.
    """
    files = linked_files(path)
    with faults_of(path), opened(path) as file:
        return _gather(file, path, files, scan)


def _gather(file: h5py.File, path: str, files: tuple[tuple[str, int, int], ...], scan: str | None) -> Gathered:
    remarks: list[str] = []
    datasets = _find(file, path, remarks) if scan is None else _find_scan(file, path, scan)
    place, first = next(iter(datasets.items()))
    axes = _named_axes(first)
    shape = (int(first.shape[-2]), int(first.shape[-1])) if axes is None else _sizes(first, axes)
    for dataset in datasets.values():
        if (axes is None and dataset.shape[-2:] != first.shape[-2:]) or dataset.dtype != first.dtype:
            raise FrameFault(path, f"{dataset.name} is {dataset.shape} {dataset.dtype}, unlike {first.name}")
        if packed := _packing(dataset):
            raise FrameFault(path, f"{dataset.name} is packed ({packed}); store the values themselves")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise FrameFault(path, f"{first.name} declares {shape[0]} x {shape[1]} pixels")
    if (count := sum(dataset.size // (shape[0] * shape[1]) for dataset in datasets.values())) > MOST_FRAMES:
        raise LayoutError(f"{path}: declares {count} frames; more than {MOST_FRAMES} are not opened at once")
    written = {place: written_frames(dataset, axes) for place, dataset in datasets.items()}
    stack = Hdf5Stack(
        parts=tuple(part for place, there in written.items() for part in _parts(path, place, there, files)),
        frame_shape=shape,
        stored=first.dtype.newbyteorder("="),
        step=first.chunks[0 if axes is None else axes[0]] if first.chunks and first.ndim == 3 else 1,
        no_value=(said,) if (said := from_attributes(first.attrs)) else (),
        axes=axes,
    )
    count = stack.shape[0]
    remarks += [
        f"{name} of the frames is {decoded(first.attrs[name])!r}, which is no number; it is not used"
        for name in NO_VALUE
        if name in first.attrs and not numbers_of(first.attrs, name)
    ]
    about = Nexus(file, place, count, remarks)
    sequence = about.sequence()
    return Gathered(
        stack=stack,
        headers=_headers(about, stack, files[0]),
        scan=about.numbers("scan", np.full(count, _scan_number(place, scan), dtype="int64")),
        frame=about.numbers("frame", _image_numbers(datasets.values(), count) if sequence is None else sequence),
        status=np.where(np.concatenate(list(written.values())), FrameStatus.OK, FrameStatus.MISSING).astype("int8"),
        faults=(),
        image_attributes={name: one for name, one in read_attributes(first).items() if name not in NO_VALUE},
        attributes=read_attributes(file) if "Conventions" in file.attrs else {},
        mask=_mask(about, shape),
        remarks=tuple(remarks),
        numbered="frame" in file or "image_nr_low" in first.attrs or sequence is not None,
        counted="frame" not in file and (sequence is not None or "image_nr_low" in first.attrs),
        origin=(_first_pixel(file, "y", shape[0]), _first_pixel(file, "x", shape[1])),
    )


def _packing(dataset: h5py.Dataset) -> str:
    """How netCDF has packed numbers that are not the values themselves; empty where they are."""
    if any(name in dataset.attrs for name in ("scale_factor", "add_offset")):
        return "scale_factor, add_offset"
    return (
        "_Unsigned" if decoded(dataset.attrs.get("_Unsigned")).lower() == "true" and dataset.dtype.kind == "i" else ""
    )


def _headers(about: Nexus, stack: Hdf5Stack, file: tuple[str, int, int]) -> tuple[FrameHeader, ...]:
    """One header per frame, alike but for times, exposures and counters."""
    times, columns, exposures = about.times(file[2]), about.columns(), about.exposures()
    model, text = about.string("description"), about.text()
    known = [None] * about.count if exposures is None else exposures.tolist()
    texts = {exposure: replace(text, exposure_time=exposure) for exposure in set(known)}
    return tuple(
        FrameHeader(
            size=file[1],
            mtime_ns=file[2],
            shape=stack.frame_shape,
            dtype=stack.stored,
            offset=-1,
            stamp=times.stamps[index] if times.stamps else "",
            stamp_source=times.source,
            utc=None if times.utc is None else int(times.utc[index]),
            text=texts[known[index]],
            model=model,
            extra=tuple((name, float(column[index])) for name, column in columns.items()),
        )
        for index in range(about.count)
    )


def _scan_number(place: str, scan: str | None) -> int:
    """Return the number of a scan of BLISS, whose names are 1.1, 2.1, ...; 1 where scans have no such names."""
    match = re.fullmatch(r"(\d{1,9})\.\d+", (scan or place).strip("/").split("/")[0])
    return int(match[1]) if match else 1


def _named_axes(dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """Axes of frames, rows and columns where netCDF names them and they lie in another order; None: they do not."""
    if dataset.ndim not in (2, 3):
        return None
    names = [dim[0].name.rsplit("/", 1)[-1] if len(dim) else dim.label for dim in dataset.dims]
    if names.count("y") != 1 or names.count("x") != 1:
        return None
    y, x = names.index("y"), names.index("x")
    axes = (*(axis for axis in range(dataset.ndim) if axis not in (y, x)), y, x)
    return None if axes == tuple(range(dataset.ndim)) else axes


def _sizes(dataset: h5py.Dataset, axes: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns."""
    return int(dataset.shape[axes[-2]]), int(dataset.shape[axes[-1]])


def _first_pixel(file: h5py.File, axis: str, size: int) -> int:
    """Detector pixel that the rows or columns begin with, where the file numbers them one by one; else 0."""
    pixels = file.get(axis)
    if not isinstance(pixels, h5py.Dataset) or pixels.shape != (size,) or pixels.dtype.kind not in "iu":
        return 0
    numbers = np.asarray(pixels[()]).astype("int64")
    return int(numbers[0]) if numbers[0] >= 0 and bool((np.diff(numbers) == 1).all()) else 0


def written_frames(dataset: h5py.Dataset, axes: tuple[int, ...] | None = None) -> npt.NDArray[np.bool_]:
    """Which frames of a dataset were written; those that an aborted run left out have no place in the file.

    Frames of a virtual dataset are where the files that it takes them from are; those of a dataset that a scan over
    several axes fills in part are taken as written.
    """
    if axes is not None:
        frames = dataset.size // math.prod(_sizes(dataset, axes))
        there = bool(_of_sources(dataset).all()) if dataset.is_virtual else bool(dataset.id.get_storage_size())
        return np.full(frames, there)
    everything = np.ones(_count(dataset), dtype=bool)
    if dataset.is_virtual:
        return _of_sources(dataset)
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


def _of_sources(dataset: h5py.Dataset) -> npt.NDArray[np.bool_]:
    """Return which frames of a virtual dataset come from files that are there."""
    there = np.ones(_count(dataset), dtype=bool)
    folder = os.path.dirname(os.path.abspath(dataset.file.filename))
    for source in dataset.virtual_sources():
        if source.file_name == "." or os.path.lexists(target_of(folder, source.file_name)):
            continue
        first, last = (int(bounds[0]) for bounds in source.vspace.get_select_bounds())
        each = math.prod(dataset.shape[1:-2])
        there[slice(first * each, (last + 1) * each) if dataset.ndim > 2 else slice(None)] = False
    return there


def _parts(
    path: str, place: str, written: npt.NDArray[np.bool_], files: tuple[tuple[str, int, int], ...]
) -> Iterator[Part]:
    """Cut a dataset into runs of frames that are there and of those that are not."""
    edges = np.flatnonzero(np.diff(written)) + 1
    for start, stop in pairwise([0, *edges.tolist(), len(written)]):
        yield Part(path, place, stop - start, files, start, bool(written[start]))


def _image_numbers(datasets: Iterable[h5py.Dataset], count: int) -> npt.NDArray[np.int64]:
    """Numbers of the frames from 0: an Eiger's pieces say which of its images they begin with, counted from 1."""
    datasets = list(datasets)
    if len(datasets) == 1 and "image_nr_low" not in datasets[0].attrs:
        return np.arange(count, dtype="int64")
    numbers: list[npt.NDArray[np.int64]] = []
    behind = 0
    for dataset in datasets:
        low = dataset.attrs.get("image_nr_low")
        start = int(low) - 1 if isinstance(low, int | np.integer) and int(low) > behind else behind
        numbers.append(start + np.arange(_count(dataset), dtype="int64"))
        behind = int(numbers[-1][-1]) + 1
    return np.concatenate(numbers)


def _mask(about: Nexus, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    """Pixels that the detector itself says are bad."""
    from .pixel_maps import pixel_mask  # loads xarray, which most files need not be looked at with

    remarks: list[str] = []
    values = pixel_mask(about.root, about.place, remarks.append)
    if values is None or values.shape == shape:
        for remark in remarks:
            about.say(remark)
    if values is None:
        return None
    if values.shape != shape:
        about.say(
            f"its pixel mask of {values.shape[0]} x {values.shape[1]} does not fit frames of "
            f"{shape[0]} x {shape[1]} and is not used"
        )
        return None
    return np.asarray(values != 0)


def _find(file: h5py.File, path: str, remarks: list[str]) -> dict[str, h5py.Dataset]:
    """Return the datasets of frames by their place: a known one, an Eiger's numbered parts, or the only stack.

    A dataset behind an external link has the name of its place in the other file; so the place is kept beside it.
    """
    for place in _PLACES:
        dataset = file.get(place)
        if isinstance(dataset, h5py.Dataset) and _is_stack(dataset):
            return {place: dataset}
    if parts := _pieces(file, path, remarks):
        return parts
    if {"roi", "time", "intensity"} <= set(file):
        raise LayoutError(
            f"{path}: holds ROI time series, not frames; 'xinsitu plot' draws them, read_results reads them"
        )
    if "xinsitu_version" in file.attrs and "time" in file:  # fits, profiles: some look like a stack, or a frame
        raise LayoutError(f"{path}: holds results, not frames; read_results reads them")
    named = _default(file)
    if named is not None:
        return {named: file[named]}
    found = _stacks(file)
    if len(found) == 1:
        return found
    if found:
        entries = {place.partition("/")[0] for place in found}
        choice = sorted(entries if len(entries) == len(found) else found, key=natural_key)[0]
        raise LayoutError(
            f"{path}: several stacks of frames, {', '.join(sorted(found, key=natural_key))}; none is where detectors "
            f"put it; choose one with scan={choice!r} (--scan)"
        )
    raise LayoutError(f"{path}: no stack of frames (n, y, x) in this file")


def _pieces(file: h5py.File, path: str, remarks: list[str]) -> dict[str, h5py.Dataset]:
    """Return the parts that an Eiger's master links to; those behind the last that came are said to be missing."""
    data = file.get(PIECES)
    if not isinstance(data, h5py.Group):
        return {}
    names = [name for name in sorted(data, key=natural_key) if name.startswith("data_")]
    gone = {name: os.path.basename(target) for target, name in missing_pieces(path).items()}
    there = [name for name in names if name not in gone]
    if not there and gone:
        first = min(gone, key=natural_key)
        raise FrameFault(path, f"{PIECES}/{first} links to {gone[first]}, which is not there", FrameStatus.MISSING)
    if lost := [name for name in there if data.get(name) is None]:
        raise FrameFault(path, f"{PIECES}/{lost[0]} links to frames that are not there", FrameStatus.MISSING)
    parts = {f"{PIECES}/{name}": data[name] for name in there}
    if not all(isinstance(part, h5py.Dataset) and _is_stack(part) for part in parts.values()):
        return {}
    if gone:
        remarks.append(_said_of_missing(path, names, gone))
    return parts


def _said_of_missing(path: str, names: list[str], gone: Mapping[str, str]) -> str:
    """Say which files never came; one that is missing between others was lost, not left out by a run that stopped."""
    lost = [name for name in names if name in gone]
    if lost != names[-len(lost) :]:
        raise FrameFault(
            path,
            f"{PIECES}/{lost[0]} links to {gone[lost[0]]}, which is not there, while later ones are; "
            "a pattern of their names opens those, without what this file says",
            FrameStatus.MISSING,
        )
    return (
        f"{len(lost)} of {len(names)} files that it links to are not there, {gone[lost[0]]} first, as after a run "
        "that was stopped or a copy that is not complete; the frames of the others are opened"
    )


def _find_scan(file: h5py.File, path: str, scan: str) -> dict[str, h5py.Dataset]:
    """Return the frames of one of several scans: of the group of this name, or the dataset in this place."""
    item = file.get(scan)
    if isinstance(item, h5py.Dataset) and _is_stack(item):
        return {scan.strip("/"): item}
    found = {f"{scan.strip('/')}/{place}": one for place, one in _stacks(item).items()} if item else {}
    if not found:
        names = sorted({place.partition("/")[0] for place in _stacks(file)}, key=natural_key)
        raise LayoutError(f"{path}: no frames in scan {scan!r}; those with frames are {', '.join(names) or 'none'}")
    if len(found) > 1 and isinstance(item, h5py.Group) and (named := _default(item)) in found:
        return {named: found[named]}
    if len(found) > 1:
        places = sorted(found, key=natural_key)
        raise LayoutError(
            f"{path}: several stacks of frames in scan {scan!r}, {', '.join(places)}; "
            f"choose one with scan={places[0]!r} (--scan)"
        )
    return found


def _stacks(group: object) -> dict[str, h5py.Dataset]:
    """All stacks of frames in a group, by their place in it; those behind links of the file itself come once."""
    found: dict[str, h5py.Dataset] = {}
    seen: set[tuple[int, int]] = set()
    waiting = [("", group)] if isinstance(group, h5py.Group) else []
    while waiting and len(seen) < MOST_OBJECTS:
        where, one = waiting.pop()
        for name in sorted(one, key=lambda name: name != "instrument"):
            item = None if isinstance(one.get(name, getlink=True), h5py.SoftLink) else item_of(one, name)
            if not isinstance(item, h5py.Group | h5py.Dataset):
                continue
            known = h5py.h5o.get_info(item.id)
            if (known.fileno, known.addr) in seen:
                continue
            seen.add((known.fileno, known.addr))
            if isinstance(item, h5py.Group):
                waiting.append((f"{where}{name}/", item))
            elif item.ndim > 2 and _is_stack(item):
                found[f"{where}{name}"] = item
    frames = {place: item for place, item in found.items() if not _NO_FRAMES.search(place.rpartition("/")[2])}
    return frames or found


def _default(file: h5py.Group) -> str | None:
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
