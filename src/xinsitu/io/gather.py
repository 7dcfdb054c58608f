"""All frames of a series as one stack, with the faulty ones dealt with.

The shape and dtype of a measurement are those of most of its frames; a frame of another kind is never cast or
reshaped, it is a fault: an error, left out, or kept as NaN, as ``on_error`` says. Nothing is lost silently.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from xinsitu.clock import parse_stamp
from xinsitu.digits import counted
from xinsitu.errors import FrameError, LayoutError, warn
from xinsitu.schema import FrameStatus

from .discover import FrameName
from .faults import compared, find_suspects, hollow, read_headers
from .formats.hdf5_stack import Hdf5Stack
from .formats.header import FrameFault, FrameHeader
from .formats.stack import ABSENT, FrameStack

Attribute = str | int | float
MAX_FILL = 100
"""At most so many missing frames are filled for each one that is there."""


@dataclass(frozen=True)
class Gathered:
    """Frames of a series, one entry per frame.

    Parameters
    ----------
    stack
        The pixels.
    headers
        None where a frame could not be read.
    scan, frame, status
        Numbers in the name, and :class:`~xinsitu.schema.FrameStatus`.
    faults
        Of all files of the series, those left out too.
    image_attributes, attributes
        What a netCDF file says of its image (its units, how it was corrected) and of itself.
    mask
        Where the files say themselves which pixels are bad.
    remarks
        What a person should know of the file, and no fault.
    numbered, counted
        Whether the frames of an HDF5 file say their own numbers; whether these were counted by the detector, which
        begins anew in every scan.
    origin
        Detector pixel, row and column, of the first pixel, where a netCDF file says it.
    """

    stack: FrameStack | Hdf5Stack
    headers: tuple[FrameHeader | None, ...]
    scan: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    status: npt.NDArray[np.int8]
    faults: tuple[FrameFault, ...]
    image_attributes: Mapping[str, Attribute] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    mask: npt.NDArray[np.bool_] | None = None
    remarks: tuple[str, ...] = ()
    numbered: bool = False
    counted: bool = False
    origin: tuple[int, int] = (0, 0)

    @property
    def first(self) -> FrameHeader:
        """Header of the first good frame."""
        return next(header for header in self.headers if header is not None)


def gather(
    folder: str,
    files: Sequence[FrameName],
    *,
    on_error: str = "raise",
    newest: bool = False,
    fill_missing: bool = False,
    headers: Sequence[FrameHeader | FrameFault] | None = None,
) -> Gathered:
    """Read every header and describe the frames as one stack; no pixel is read.

    Parameters
    ----------
    folder, files
        The frames, in the order of their numbers.
    on_error
        What becomes of faulty frames: ``raise``, ``skip`` or ``nan``.
    newest
        Where stamps go backwards, keep only the frames that are newest: the others were left by an older series.
    fill_missing
        Put a frame of NaN for every missing number.
    headers
        Of the files, where somebody has read them.

    Raises
    ------
    FrameError
        ``on_error="raise"`` and a frame is faulty; or no frame is good.
    LayoutError
        There is no such policy.
    """
    found = read_headers(folder, files) if headers is None else compared(folder, files, headers)
    stale = _stale(folder, files, found) if newest else {}
    if stale:
        kept = [index for index in range(len(files)) if index not in stale]
        files, found = [files[index] for index in kept], [found[index] for index in kept]
    faults = [header for header in found if isinstance(header, FrameFault)]
    refuse(faults, len(found), on_error)
    pairs = list(zip(files, found, strict=True))
    if on_error == "skip":
        pairs = [pair for pair in pairs if isinstance(pair[1], FrameHeader)]
        warn_of_left_out(faults, len(found))
    if fill_missing:
        pairs = _filled(folder, pairs)
    promote = on_error == "nan" or fill_missing
    return _stack(folder, pairs, [*faults, *stale.values()], _suspects(folder, files, found), promote=promote)


def refuse(faults: Sequence[FrameFault], count: int, on_error: str) -> None:
    """Raise the first fault where faults are to raise, or where nothing is left."""
    if not faults:
        return
    first = faults[0]
    if on_error == "raise":
        more = f" (and {len(faults) - 1} more bad frames)" if len(faults) > 1 else ""
        hint = "; on_error='skip' or 'nan' (--on-error) goes on without" if len(faults) < count else ""
        raise FrameError(first.path, f"{first.reason}{more}{hint}")
    if len(faults) == count:
        raise FrameError(first.path, f"{first.reason}; of {counted(count, 'frame')} none can be read")


def warn_of_left_out(faults: Sequence[FrameFault], count: int) -> None:
    """Say once that frames were left out, and which one is the first."""
    if faults:
        warn(
            f"{faults[0].path}: {faults[0].reason}; left out, "
            f"{len(faults)} of {count} files in all (attribute frames_left_out)"
        )


def warn_of_remarks(remarks: Iterable[tuple[str, str]]) -> None:
    """Say each remark once, with the path of the first file that it is of."""
    files: dict[str, list[str]] = {}
    for path, remark in remarks:
        files.setdefault(remark, []).append(path)
    for remark, paths in files.items():
        warn(f"{paths[0]}: {remark}" + (f" ({len(paths)} files in all)" if len(paths) > 1 else ""))


def _stack(
    folder: str,
    pairs: Sequence[tuple[FrameName, FrameHeader | FrameFault]],
    faults: list[FrameFault],
    suspects: set[str],
    *,
    promote: bool,
) -> Gathered:
    first = next(header for _, header in pairs if isinstance(header, FrameHeader))
    pages, several = range(first.pages), first.pages > 1
    headers = [
        None if isinstance(header, FrameFault) else _of_page(header, page) for _, header in pairs for page in pages
    ]
    known = [header or _NO_FRAME for header in headers]
    page = np.tile(np.array(pages, dtype="int64"), len(pairs))
    stack = FrameStack(
        folder=folder,
        names=tuple([file.name for file, _ in pairs for _ in pages]),
        sizes=np.array([header.size for header in known], dtype="int64"),
        mtimes=np.array([header.mtime_ns for header in known], dtype="int64"),
        offsets=np.array([header.offset for header in known], dtype="int64"),
        pages=page,
        swapped=np.array([header.offset >= 0 and not header.dtype.isnative for header in known], dtype=bool),
        frame_shape=first.shape,
        stored=first.dtype.newbyteorder("="),
        promote=promote,
        no_value=tuple(dict.fromkeys(header.no_value for header in known if header.no_value)),
    )
    warn_of_remarks(
        (os.path.join(folder, file.name), remark)
        for file, header in pairs
        if isinstance(header, FrameHeader)
        for remark in header.remarks
    )
    # each of several files with pages is a scan of its own; its pages are the frames
    scan = [file.frame if several and len(pairs) > 1 else file.scan for file, _ in pairs]
    return Gathered(
        stack=stack,
        headers=tuple(headers),
        scan=np.repeat(np.array(scan, dtype="int64"), len(pages)),
        frame=page.copy() if several else np.array([file.frame for file, _ in pairs], dtype="int64"),
        status=np.repeat(_status(pairs, suspects), len(pages)),
        faults=tuple(faults),
    )


_NO_FRAME = FrameHeader(size=0, mtime_ns=0, shape=(0, 0), dtype=np.dtype("u1"), offset=ABSENT)


def by_page(
    files: Sequence[FrameName], found: Sequence[FrameHeader | FrameFault]
) -> list[tuple[FrameName, FrameHeader | FrameFault]]:
    """Name and header of every page, numbered as the frames of the opened files are; a fault is of a file."""
    pairs: list[tuple[FrameName, FrameHeader | FrameFault]] = []
    for file, header in zip(files, found, strict=True):
        if isinstance(header, FrameFault) or header.pages == 1:
            pairs.append((file, header))
            continue
        scan = file.frame if len(files) > 1 else file.scan
        pairs += [
            (FrameName(file.name, scan, page), _of_page(header, page)._replace(size=header.size // header.pages))
            for page in range(header.pages)
        ]
    return pairs


def _of_page(header: FrameHeader, page: int) -> FrameHeader:
    """Header of one page."""
    one = header.page_headers[page] if header.page_headers else header
    return one._replace(offset=header.page_offsets[page]) if header.page_offsets else one


def _status(pairs: Sequence[tuple[FrameName, FrameHeader | FrameFault]], suspects: set[str]) -> npt.NDArray[np.int8]:
    status = np.full(len(pairs), FrameStatus.OK, dtype="int8")
    for index, (file, header) in enumerate(pairs):
        if isinstance(header, FrameFault):
            status[index] = header.status
        elif file.name in suspects:
            status[index] = FrameStatus.SUSPECT_ZERO_TAIL
    return status


def _suspects(folder: str, files: Sequence[FrameName], found: Sequence[FrameHeader | FrameFault]) -> set[str]:
    """Names of frames whose end is a hole that their neighbours contradict."""
    suspects = find_suspects(folder, files, found, hollow(found))
    if suspects:
        warn(
            f"{os.path.join(folder, files[suspects[0]].name)}: its end was never written, as after an interrupted "
            f"copy, and reads as zeros; {counted(len(suspects), 'frame')} in all, flagged suspect_zero_tail"
        )
    return {files[index].name for index in suspects}


def _moment(header: FrameHeader) -> int | None:
    """Microseconds on the clock of the stamps, good for comparing."""
    stamp = parse_stamp(header.stamp) if header.utc is None else None
    return stamp.microseconds if stamp else header.utc


def _stale(folder: str, files: Sequence[FrameName], found: Sequence[FrameHeader | FrameFault]) -> dict[int, FrameFault]:
    """Frames left by an older series: all but the part, between steps back in time, that ends last."""
    stamped = [
        (index, moment)
        for index, header in enumerate(found)
        if isinstance(header, FrameHeader) and (moment := _moment(header)) is not None
    ]
    starts = [0] + [here for (_, one), (here, other) in pairwise(stamped) if other < one] + [len(files)]
    if len(starts) == 2:
        return {}
    time = dict(stamped)
    parts = list(pairwise(starts))
    latest = max(parts, key=lambda part: max(time[index] for index in range(*part) if index in time))
    return {
        index: FrameFault(os.path.join(folder, files[index].name), "left by an older series", FrameStatus.STALE_TIME)
        for index in range(len(files))
        if not latest[0] <= index < latest[1]
    }


def _filled(
    folder: str, pairs: Sequence[tuple[FrameName, FrameHeader | FrameFault]]
) -> list[tuple[FrameName, FrameHeader | FrameFault]]:
    """Put a fault for every number that is missing within a scan."""
    missing = sum(max(0, two.frame - one.frame - 1) for (one, _), (two, _) in pairwise(pairs) if one.scan == two.scan)
    if missing > MAX_FILL * len(pairs):
        raise LayoutError(f"{folder}: {missing} numbers are missing between {len(pairs)} frames; too many to fill")
    filled: list[tuple[FrameName, FrameHeader | FrameFault]] = list(pairs[:1])
    for (before, _), (file, header) in pairwise(pairs):
        if before.scan == file.scan:
            for number in range(before.frame + 1, file.frame):
                fault = FrameFault(folder, f"frame {number} is missing", FrameStatus.MISSING)
                filled.append((FrameName("", file.scan, number), fault))
        filled.append((file, header))
    return filled
