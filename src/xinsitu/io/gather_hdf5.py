"""Frames in HDF5 files: one file, or several that are scans or pieces of one measurement."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from xinsitu.digits import counted
from xinsitu.errors import FrameError, LayoutError
from xinsitu.schema import FrameStatus

from .discover import FrameName
from .faults import pending
from .formats.hdf5_stack import Hdf5Stack
from .formats.header import FrameFault
from .gather import Attribute, Gathered, refuse, warn_of_left_out, warn_of_remarks
from .hdf5 import read_file

_PIECE = re.compile(r".*_data_\d+\.\w+")


def gather_hdf5(
    folder: str, files: Sequence[FrameName], *, on_error: str = "raise", scan: str | int | None = None
) -> Gathered:
    """Describe the frames of one or several HDF5 files, one behind the other; no pixel is read.

    A file that cannot be read is left out where faults are not to raise: nobody knows how many frames it holds.
    ``scan`` is the name of one of several scans in each file.

    Raises
    ------
    LayoutError
        No frames, or several stacks of them.
    FrameError
        A file is damaged, unlike the others, or refers to files outside its folder.
    """
    found = read_hdf5(folder, files, scan)
    faults = [one for one in found if isinstance(one, FrameFault)]
    refuse(faults, len(found), on_error)
    warn_of_left_out(faults, len(found))
    good = [one for one in found if isinstance(one, Gathered)]
    warn_of_remarks((_path(one), remark) for one in good for remark in one.remarks)
    joined = join_hdf5(good)
    never = unwritten(joined)
    if never:
        refuse(never, len(joined.headers), on_error)
        if on_error == "skip":
            warn_of_left_out(never, len(joined.headers))
            joined = without_unwritten(joined)
    stack = replace(joined.stack, promote=on_error == "nan")
    return replace(joined, stack=stack, faults=(*faults, *never))


def unwritten(gathered: Gathered) -> list[FrameFault]:
    """Faults of the frames that a file counts and does not hold, as after a run that was stopped."""
    if not isinstance(gathered.stack, Hdf5Stack):
        return []
    positions = np.flatnonzero(gathered.status == FrameStatus.MISSING)
    paths, frames = gathered.stack.paths, gathered.frame
    return [
        FrameFault(paths[one], f"frame {frames[one]} was never written, or not yet", FrameStatus.MISSING)
        for one in positions.tolist()
    ]


def without_unwritten(gathered: Gathered) -> Gathered:
    """Return the frames that are there."""
    kept = np.flatnonzero(gathered.status != FrameStatus.MISSING)
    stack = gathered.stack
    if isinstance(stack, Hdf5Stack):
        stack = replace(stack, parts=tuple(part for part in stack.parts if part.written))
    return replace(
        gathered,
        stack=stack,
        headers=tuple(gathered.headers[index] for index in kept),
        scan=gathered.scan[kept],
        frame=gathered.frame[kept],
        status=gathered.status[kept],
    )


def read_hdf5(folder: str, files: Sequence[FrameName], scan: str | int | None = None) -> list[Gathered | FrameFault]:
    """Describe what each file holds, or its fault; a file unlike most is a fault."""
    found: list[Gathered | FrameFault] = []
    for file in files:
        path = os.path.join(folder, file.name)
        try:
            found.append(read_file(path, None if scan is None else str(scan)))
        except FrameFault as fault:
            found.append(fault)
        except LayoutError as error:
            if len(files) == 1:
                raise
            found.append(FrameFault(path, str(error).removeprefix(f"{path}: ")))
    if found and isinstance(found[-1], FrameFault):
        found[-1] = pending(found[-1])
    _number(files, found)
    kinds = Counter(_kind(one) for one in found if isinstance(one, Gathered))
    for index, one in enumerate(found):
        if isinstance(one, Gathered) and _kind(one) != (usual := kinds.most_common(1)[0][0]):
            said = f"frames of {_said(_kind(one))} found, {_said(usual)} expected as in most files"
            wrong = FrameStatus.WRONG_DTYPE if usual[0] == _kind(one)[0] else FrameStatus.WRONG_SHAPE
            found[index] = FrameFault(os.path.join(folder, files[index].name), said, wrong)
    return found


def _path(one: Gathered) -> str:
    return one.stack.paths[0] if isinstance(one.stack, Hdf5Stack) else one.stack.folder


def _kind(one: Gathered) -> tuple[tuple[int, int], str]:
    return one.stack.frame_shape, str(one.stack.stored)


def _said(kind: tuple[tuple[int, int], str]) -> str:
    return f"{kind[0][0]} x {kind[0][1]} {kind[1]}"


def _number(files: Sequence[FrameName], found: list[Gathered | FrameFault]) -> None:
    """Give the frames of several files their numbers: files are scans, or pieces of one, or hold a frame each.

    Frames that say their own numbers (netCDF, an Eiger's pieces, a detector that counts them) keep them.
    """
    good = {index: one for index, one in enumerate(found) if isinstance(one, Gathered)}
    if len(files) < 2:
        return
    single = all(one.stack.shape[0] == 1 for one in good.values())
    most = max((one.stack.shape[0] for one in good.values()), default=1)
    pieces = all(_PIECE.fullmatch(file.name) for file in files)
    scans = _scans(files)
    numbers = np.concatenate([one.frame for one in good.values() if one.counted] or [np.empty(0, dtype="int64")])
    anew = len(np.unique(numbers)) < len(numbers)
    for index, one in good.items():
        if one.counted and anew:
            found[index] = replace(one, scan=np.full(one.stack.shape[0], scans[index], dtype="int64"))
        if one.numbered:
            continue
        count, file = one.stack.shape[0], files[index]
        frame, scan = one.frame, np.full(count, scans[index], dtype="int64")
        if single or pieces:
            scan = np.full(count, file.scan, dtype="int64")
            frame = np.array([file.frame]) if single else one.frame + (file.frame - files[0].frame) * most
        found[index] = replace(one, scan=scan, frame=frame)


def _scans(files: Sequence[FrameName]) -> list[int]:
    """Scan number of each file: the number in its name that tells the files apart, or its place."""
    for numbers in ([file.frame for file in files], [file.scan for file in files]):
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(files) + 1))


def join_hdf5(found: Sequence[Gathered]) -> Gathered:
    """Put the frames of several files behind each other.

    Raises
    ------
    LayoutError
        Two frames have the same scan and number.
    """
    first = found[0]
    if len(found) == 1:
        return first
    stacks = [one.stack for one in found if isinstance(one.stack, Hdf5Stack)]
    stack = replace(
        stacks[0], parts=tuple(part for one in stacks for part in one.parts), step=max(one.step for one in stacks)
    )
    scan, frame = (np.concatenate([getattr(one, name) for one in found]) for name in ("scan", "frame"))
    numbers: dict[tuple[int, int], str] = {}
    for number, path in zip(zip(scan.tolist(), frame.tolist(), strict=True), stack.paths, strict=True):
        if number in numbers:
            raise LayoutError(
                f"{path}: has scan {number[0]}, frame {number[1]}, and so has {os.path.basename(numbers[number])}; "
                "these are different measurements: open each, and stitch their series"
            )
        numbers[number] = path
    return Gathered(
        stack=stack,
        headers=tuple(header for one in found for header in one.headers),
        scan=scan,
        frame=frame,
        status=np.concatenate([one.status for one in found]),
        faults=(),
        image_attributes=_common([one.image_attributes for one in found]),
        attributes=_common([one.attributes for one in found]),
        mask=first.mask,
        remarks=tuple(dict.fromkeys(remark for one in found for remark in one.remarks)),
        origin=first.origin,
    )


def _common(many: Sequence[Mapping[str, Attribute]]) -> dict[str, Attribute]:
    """Attributes that all files have alike."""
    return {name: value for name, value in many[0].items() if all(one.get(name) == value for one in many)}


def check_hdf5(one: Gathered | FrameFault) -> Gathered | FrameFault:
    """Read every pixel of a file; the fault of the first frame that cannot be read, if any."""
    if isinstance(one, FrameFault) or not isinstance(one.stack, Hdf5Stack):
        return one
    bad: list[tuple[int, FrameError]] = []
    for index in range(one.stack.shape[0]):
        try:
            one.stack.read((index, slice(None), slice(None)))
        except FrameError as error:
            bad.append((index, error))
    if not bad:
        return one
    index, fault = bad[0]
    return FrameFault(
        fault.path,
        f"{counted(len(bad), 'frame is', 'frames are')} damaged, the first at position {index}: {fault.reason}",
    )
