"""Frames whose end was never written and reads as zeros, as after an interrupted copy into a reserved file.

Dark rows are zeros too, so zeros alone accuse nobody. A tail of zeros is suspect where both neighbours say that it
cannot be: they have flagged pixels there (a gap or a bad pixel is so in every frame), or so many counts that none at
all is out of the question. Copies write whole pages, so a tail begins at a multiple of 4096 bytes. In 90 real frames
of a reflectivity scan, 23 end in more than a twentieth of zeros; their neighbours have 5 counts there at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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
