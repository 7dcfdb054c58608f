"""Which frames that are at hand are still those of the disc, by name, size and modification time of their files.

Files of many frames grow, and are known again by themselves and by some of their pixels.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from time import monotonic

import numpy as np
import xarray as xr

from xinsitu.errors import LayoutError, XinsituError
from xinsitu.io.formats.hdf5_stack import Hdf5Stack
from xinsitu.io.formats.stack import FrameStack, LazyStack
from xinsitu.io.formats.zarr_stack import ZarrStack
from xinsitu.physics.stored import Stored
from xinsitu.schema import image_of

State = tuple[str, int, int]
"""Name, bytes, and nanoseconds of the modification time of a file."""


def _behind(part: xr.Dataset) -> tuple[Stored, LazyStack] | None:
    """Return what lazy frames are read from; None for those that are in memory, or are more than cut out of files."""
    image = image_of(part)
    stored = None if image.chunks is None or not image.size else Stored.behind(image)
    array = None if stored is None else stored.array
    while array is not None and not hasattr(array, "stack"):
        array = getattr(array, "array", None)
    stack = getattr(array, "stack", None)
    return None if stored is None or not isinstance(stack, LazyStack) else (stored, stack)


def states(part: xr.Dataset) -> list[State] | None:
    """State of the file of each frame at opening; None where frames have none of their own, or are in memory."""
    if (found := _behind(part)) is None:
        return None
    stored, stack = found
    if not isinstance(stack, FrameStack) or len(stored.array) != len(stack.names):
        return None
    at = stored.frames
    return list(
        zip([stack.names[one] for one in at.tolist()], stack.sizes[at].tolist(), stack.mtimes[at].tolist(), strict=True)
    )


def same_files(before: Sequence[xr.Dataset], now: Sequence[xr.Dataset]) -> int:
    """How many frames of measurements, from the first on, lie in files that are what they were.

    A file of many frames that changed is another one: :class:`Known` tells whether it has grown.
    """
    total = 0
    for old, new in zip(before, now, strict=False):
        old_states, new_states, size = states(old), states(new), int(old.sizes["time"])
        if old_states is not None and new_states is not None:
            same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(old_states, new_states, strict=False))))
        else:
            same = size if old.attrs.get("source_token") == new.attrs.get("source_token") else 0
        total += same
        if same < size or new.sizes["time"] > size:  # behind it all have other places
            break
    return total


def refuse_other_shape(name: str, before: xr.Dataset, now: xr.Dataset) -> None:
    """Raise where frames have become those of another detector, or a part of it: nothing on the screen fits them."""
    shown, found = (" x ".join(str(image_of(one).sizes[dim]) for dim in ("y", "x")) for one in (before, now))
    if shown != found:
        raise LayoutError(f"{name}: has frames of {found} pixels now, not {shown}: explore it anew")


def files(part: xr.Dataset) -> Iterator[State]:
    """Give path and state at opening of each file that frames are read from."""
    if (found := _behind(part)) is None:
        return
    stored, stack = found
    if isinstance(stack, FrameStack) and len(stored.array) == len(stack.names):
        for at in stored.frames.tolist():
            yield os.path.join(stack.folder, stack.names[at]), int(stack.sizes[at]), int(stack.mtimes[at])
    elif isinstance(stack, Hdf5Stack):
        yield from dict.fromkeys(file for one in stack.parts for file in one.files)
    elif isinstance(stack, ZarrStack):
        for name, state in stack.files.items():
            yield (os.path.join(stack.path, name), *state)


class Look:
    """Which files of frames are no longer what they were at opening: some at each look, all after some looks."""

    def __init__(self, parts: Sequence[xr.Dataset]) -> None:
        self._parts = tuple(parts)
        self._next: Iterator[State] = iter(())
        self._changed: dict[str, State] = {}

    def __call__(self, seconds: float) -> int:
        """Look for some time, go on where the last look ended, and return how many are known to have changed."""
        self._changed = {path: state for path, state in self._changed.items() if not _as_it_was(state)}
        end = monotonic() + seconds
        while some := list(islice(self._next, 100)):
            self._changed |= {state[0]: state for state in some if not _as_it_was(state)}
            if monotonic() >= end:
                return len(self._changed)
        self._next = (state for part in self._parts for state in files(part))  # from the first one on, next time
        return len(self._changed)


def _as_it_was(state: State) -> bool:
    try:
        now = os.stat(state[0])
    except OSError:
        return False
    return (now.st_size, now.st_mtime_ns) == state[1:]


class Known:
    """Files of many frames that were seen: those that have grown are told from others that took their place.

    A file that grows stays the one that it was (number of its inode), and so do its frames: a few are compared.
    """

    def __init__(self) -> None:
        self._files: list[tuple[int, int]] = []
        self._pixels: dict[int, str] = {}

    def kept(self, old: xr.Dataset, new: xr.Dataset) -> int | None:
        """Return how many frames, from the first on, are those of the last look, and know these from now on.

        Frames that have files of their own are known by these: None.
        """
        if (found := _behind(new)) is None or isinstance(found[1], FrameStack):
            return None
        size = int(old.sizes["time"])
        alike = old.attrs.get("source_token") == new.attrs.get("source_token")
        kept = min(size, new.sizes["time"]) if alike else self._same(new, size)
        self._files = _inodes(new)
        places = np.unique(np.linspace(0, new.sizes["time"] - 1, SAMPLED).round().astype(int)).tolist()
        pixels = {place: digest for place in places if (digest := _digest(new, place)) is not None}
        self._pixels = pixels if pixels or kept < size else self._pixels
        return kept

    def _same(self, new: xr.Dataset, size: int) -> int:
        if not self._pixels or _inodes(new)[: len(self._files)] != self._files:
            return 0
        behind = 0
        for place, digest in self._pixels.items():
            if place >= new.sizes["time"] or _digest(new, place) != digest:
                return behind
            behind = place + 1
        return min(size, int(new.sizes["time"]))


SAMPLED = 4
"""Frames of a file that are compared: the first, the last, and some between."""


def _inodes(part: xr.Dataset) -> list[tuple[int, int]]:
    """Return what files are, whatever they hold; of a Zarr store its folder."""
    found = _behind(part)
    stack = None if found is None else found[1]
    paths = [stack.path] if isinstance(stack, ZarrStack) else [path for path, *_ in files(part)]
    known = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            return []
        known.append((status.st_dev, status.st_ino))
    return known


def _digest(part: xr.Dataset, place: int) -> str | None:
    """Digest of the pixels of a frame as they are now, whatever its file was at opening; None: it cannot be read."""
    if (found := _behind(part)) is None:
        return None
    stored, stack = found
    if isinstance(stack, Hdf5Stack):  # one that grows is another one every moment
        stack = replace(stack, parts=tuple(replace(one, files=()) for one in stack.parts))
    at = int(stored.frames[place])
    try:
        pixels = stack.read((slice(at, at + 1), slice(None), slice(None)))
    except (XinsituError, OSError):
        return None
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()
