"""What is wrong with the frames of a series: each one's header, compared with all the others.

A file that is no frame is a fault by itself. Others show only beside their neighbours: a number that comes twice,
another shape or type than most, a lone compressed frame that cannot be decoded, an end that is still being written.

An end that was never written reads as zeros, as after an interrupted copy into a reserved file. Dark rows are zeros
too, so zeros alone accuse nobody. A tail of zeros is suspect where both neighbours say that it cannot be: they have
flagged pixels there (a gap or a bad pixel is so in every frame), or so many counts that none at all is out of the
question. Copies write whole pages, so a tail begins at a multiple of 4096 bytes. In 90 real frames of a reflectivity
scan, 23 end in more than a twentieth of zeros; their neighbours have 5 counts there at most.
"""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu.schema import FrameStatus

from .discover import FrameName
from .formats.header import ALL, FrameFault, FrameHeader
from .formats.reading import Sibling, decode, read_frame, read_header, sibling

WRITING = 10
"""A cut frame at the end of its series that was changed less than so many seconds ago is still being written."""

Found = FrameHeader | FrameFault


def read_headers(folder: str, files: Sequence[FrameName]) -> list[Found]:
    """Header or fault of every file; a number that comes twice and a frame unlike the others are faults."""
    found: list[Found] = []
    like: Sibling | None = None
    start = os.path.join(folder, "")
    together: list[FrameHeader | None] = []
    for number, file in enumerate(files):
        path = start + file.name
        try:
            header = together[number - len(files)] if together else None
            header = header or (like and like.header_of(path)) or read_header(path)
        except FrameFault as fault:
            found.append(fault)
            continue
        found.append(header)
        if like is None and (like := sibling(path, header)) is not None:
            together = like.headers_of(folder, [other.name for other in files[number + 1 :]])
    return compared(folder, files, found)


def compared(folder: str, files: Sequence[FrameName], headers: Sequence[Found]) -> list[Found]:
    """Return headers held against each other: numbers that come twice and frames unlike the others are faults."""
    found = list(headers)
    _mark_pending(os.path.join(folder, ""), files, found)
    _mark_duplicates(folder, files, found)
    _mark_strangers(folder, files, found)
    _try_odd_ones(folder, files, found)
    return found


def check_pixels(folder: str, files: Sequence[FrameName], found: Sequence[Found]) -> tuple[list[Found], list[int]]:
    """Read and decode every page of every good frame.

    Returns
    -------
    found
        With a fault for each frame that cannot be decoded.
    dark
        Positions of the frames that end in zeros.
    """
    checked, dark = list(found), []
    for index, one in enumerate(found):
        if isinstance(one, FrameFault):
            continue
        path = os.path.join(folder, files[index].name)
        try:
            pages = [read_frame(path, one, page) for page in range(one.pages)]
        except FrameFault as fault:
            checked[index] = fault
            continue
        if one.pages == 1 and zero_tail(pages[0], one.offset) is not None:
            dark.append(index)
    return checked, dark


def find_suspects(
    folder: str, files: Sequence[FrameName], found: Sequence[Found], candidates: Sequence[int]
) -> list[int]:
    """Positions of frames, among candidates that end in zeros, whose end was never written; their neighbours tell.

    Only of plain files; nothing is said where most frames are candidates.
    """
    plain = [index for index, one in enumerate(found) if isinstance(one, FrameHeader) and one.offset >= 0]
    empty = [index for index in _empty(found) if index in candidates]
    candidates = [index for index in candidates if index in set(plain)]
    if not 0 < len(candidates) <= len(found) // 2:
        return empty

    def read(index: int) -> npt.NDArray[Any]:
        header = found[index]
        path = os.path.join(folder, files[index].name)
        if isinstance(header, FrameFault):
            raise header
        return read_frame(path, header)

    offsets = [one.offset if isinstance(one, FrameHeader) else 0 for one in found]
    sound = sorted(set(plain) - set(candidates))
    try:
        return sorted({*empty, *find_zero_tails(read, offsets, candidates, sound)})
    except FrameFault:  # said where the frame is read, if it ever is
        return empty


def hollow(found: Sequence[Found]) -> list[int]:
    """Positions of frames whose files end in a hole."""
    return [index for index, one in enumerate(found) if isinstance(one, FrameHeader) and one.hollow]


def _empty(found: Sequence[Found]) -> list[int]:
    """Positions of frames of which no pixel is on the disc: their files were reserved, and never filled."""
    return [index for index, one in enumerate(found) if isinstance(one, FrameHeader) and one.hollow == ALL]


def _mark_pending(start: str, files: Sequence[FrameName], found: list[Found]) -> None:
    """Tell frames that are still being written from those that were cut.

    Such a frame is cut, or only a hole on the disc, was changed a moment ago, and no frame with a higher number was.
    (Frames with higher numbers may be there: left by an older, longer series.) So is the only frame there is, if it
    ends in a hole: there are no others to tell whether it was filled.
    """
    waits = _empty(found) or (hollow(found) if len(found) == 1 else [])
    if not any(_is_cut(one) for one in found) and not waits:
        return
    now = time.time()
    for index in reversed(range(len(found))):
        one = found[index]
        if abs(now - _changed(one)) > WRITING:
            continue
        if isinstance(one, FrameHeader) and index in waits:
            part = "no pixel of it is" if one.hollow == ALL else "its end is not"
            said = f"still being written ({part} on the disc yet); open it again in a moment"
            found[index] = FrameFault(start + files[index].name, said, FrameStatus.PENDING)
        elif isinstance(one, FrameFault) and _is_cut(one):
            found[index] = pending(one)
        else:
            return


def pending(fault: FrameFault) -> FrameFault:
    """Say of a cut file that was changed a moment ago that it is still being written; other faults stay as they are."""
    if not _is_cut(fault) or abs(time.time() - _changed(fault)) > WRITING:
        return fault
    reason = f"still being written ({fault.reason}); open it again in a moment"
    return FrameFault(fault.path, reason, FrameStatus.PENDING)


def _is_cut(one: Found) -> bool:
    return isinstance(one, FrameFault) and one.status == FrameStatus.TRUNCATED


def _changed(one: Found) -> float:
    """UNIX time of a file's last change; long ago where it is gone."""
    if isinstance(one, FrameHeader):
        return one.mtime_ns / 1e9
    try:
        return os.stat(one.path).st_mtime
    except OSError:
        return 0.0


def _mark_duplicates(folder: str, files: Sequence[FrameName], found: list[Found]) -> None:
    if len({file.number for file in files}) == len(files):
        return
    owners: dict[tuple[int, int], str] = {}
    for index, file in enumerate(files):
        owner = owners.setdefault(file.number, file.name)
        if owner != file.name and isinstance(found[index], FrameHeader):
            found[index] = FrameFault(
                os.path.join(folder, file.name),
                f"has the same number as {owner}",
                FrameStatus.DUPLICATE_NUMBER,
            )


def _kind(header: FrameHeader) -> tuple[tuple[int, int], str, int]:
    return header.shape, _native(header.dtype), header.pages


@functools.lru_cache(maxsize=64)
def _native(dtype: np.dtype[np.generic]) -> str:
    return dtype.newbyteorder("=").str


def _mark_strangers(folder: str, files: Sequence[FrameName], found: list[Found]) -> None:
    """Turn frames that are not like most of them into faults."""
    kinds = Counter(_kind(header) for header in found if isinstance(header, FrameHeader))
    if len(kinds) < 2:
        return
    shape, dtype, pages = kinds.most_common(1)[0][0]
    for index, header in enumerate(found):
        if not isinstance(header, FrameHeader) or _kind(header) == (shape, dtype, pages):
            continue
        wrong = FrameStatus.WRONG_DTYPE if header.shape == shape and header.pages == pages else FrameStatus.WRONG_SHAPE
        found[index] = FrameFault(
            os.path.join(folder, files[index].name),
            f"{_said(header.shape, header.dtype, header.pages)} found, "
            f"{_said(shape, np.dtype(dtype), pages)} expected as in most frames",
            wrong,
        )


def _try_odd_ones(folder: str, files: Sequence[FrameName], found: list[Found]) -> None:
    """Decode the few compressed frames among plain ones: such a header may lie, and only decoding tells."""
    odd = [index for index, header in enumerate(found) if isinstance(header, FrameHeader) and header.offset < 0]
    if not 0 < len(odd) <= len(found) // 2:
        return
    for index in odd:
        try:
            decode(os.path.join(folder, files[index].name), 0)
        except FrameFault as fault:
            found[index] = fault


def _said(shape: tuple[int, int], dtype: np.dtype[np.generic], pages: int) -> str:
    return f"{shape[0]} x {shape[1]} {dtype.newbyteorder('=')}" + (f" in {pages} pages" if pages > 1 else "")


PAGE = 4096
LEAST_PART = 20
"""A shorter tail than a twentieth of the frame is not looked at."""
LEAST_COUNTS = 30
"""So many expected counts leave a chance of exp(-30) for none."""

Pixels = npt.NDArray[Any]


def zero_tail(pixels: Pixels, offset: int) -> int | None:
    """Position, in the flat frame, from which on all is zero to the end, rounded up to a page of the file.

    None where the tail is shorter than a twentieth of the frame, or is all of it.

    Examples
    --------
    >>> frame = np.zeros(8192, "int32"); frame[:3000] = 1
    >>> zero_tail(frame, 4096)                                    # 3000 pixels end in the third page behind the header
    3072
    """
    flat = pixels.ravel()
    part = len(flat) // LEAST_PART
    if not part or flat[-part:].any():
        return None
    filled = np.flatnonzero(flat)
    if not len(filled):
        return None
    behind = offset + (int(filled[-1]) + 1) * flat.itemsize
    start = (-(-behind // PAGE) * PAGE - offset) // flat.itemsize
    return start if len(flat) - start >= part else None


def is_suspect(pixels: Pixels, neighbours: Sequence[Pixels], offset: int) -> bool:
    """Whether a frame ends in zeros where every neighbour has something that no sound frame can lack.

    Parameters
    ----------
    pixels
        A frame, ``(y, x)``.
    neighbours
        The frames before and after it; none, and nothing is said.
    offset
        Byte of the first pixel in the file.

    Examples
    --------
    >>> frame = np.full((40, 512), 3, "int32")
    >>> cut = frame.copy(); cut[20:] = 0
    >>> is_suspect(cut, [frame, frame], 4096), is_suspect(frame, [frame, cut], 4096)
    (True, False)
    """
    start = zero_tail(pixels, offset)
    if start is None or not neighbours:
        return False
    before = _counts(pixels.ravel()[:start])
    return all(_contradicts(neighbour.ravel(), start, before) for neighbour in neighbours)


def _contradicts(neighbour: Pixels, start: int, before: float) -> bool:
    """Whether a neighbour has flags behind the start, or counts that its own brightness does not explain."""
    head, tail = neighbour[:start], neighbour[start:]
    if tail.dtype.kind in "if" and bool((tail < 0).any()):
        return True
    brightness = min(1.0, before / (_counts(head) or 1.0))
    return _counts(tail) * brightness >= LEAST_COUNTS


def _counts(pixels: Pixels) -> float:
    return float(np.sum(pixels, where=pixels > 0, dtype="float64"))


def find_zero_tails(
    read: Callable[[int], Pixels], offsets: Sequence[int], candidates: Sequence[int], sound: Sequence[int]
) -> list[int]:
    """Positions, among the candidates, of frames whose end was never written.

    Each is compared with the nearest sound frame before and after it; at the ends of a series, with two on one side.

    Parameters
    ----------
    read
        Gives the pixels of a frame.
    offsets
        Byte of the first pixel of each frame.
    candidates, sound
        Positions of frames to look at, and of those that they are compared with, in order; none is in both.
    """
    found: list[int] = []
    others = np.array(sound, dtype="int64")
    for position in candidates:
        behind = int(np.searchsorted(others, position))
        sides = [others[max(0, behind - 1) : behind], others[behind : behind + 1]]
        if not all(map(len, sides)):
            sides = [others[max(0, behind - 2) : behind], others[behind : behind + 2]]
        neighbours = [read(int(index)) for index in np.concatenate(sides)]
        if is_suspect(read(position), neighbours, offsets[position]):
            found.append(position)
    return found
