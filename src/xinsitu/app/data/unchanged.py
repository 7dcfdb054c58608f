"""Which frames that are at hand are still those of the disc, by name, size and modification time of their files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import xarray as xr

from xinsitu.errors import LayoutError
from xinsitu.io.formats.stack import FrameStack
from xinsitu.physics.stored import Stored
from xinsitu.schema import image_of

State = tuple[str, int, int]
"""Name, bytes, and nanoseconds of the modification time of a file."""


def states(part: xr.Dataset) -> list[State] | None:
    """State of the file of each frame at opening; None where frames have none of their own, or are in memory."""
    image = image_of(part)
    stored = None if image.chunks is None or not image.size else Stored.behind(image)
    array = None if stored is None else stored.array
    while array is not None and not hasattr(array, "stack"):
        array = getattr(array, "array", None)
    stack = getattr(array, "stack", None)
    if stored is None or not isinstance(stack, FrameStack) or len(stored.array) != len(stack.names):
        return None
    at = stored.frames
    return list(
        zip([stack.names[one] for one in at.tolist()], stack.sizes[at].tolist(), stack.mtimes[at].tolist(), strict=True)
    )


def same_files(before: Sequence[xr.Dataset], now: Sequence[xr.Dataset]) -> int:
    """How many frames of measurements, from the first on, lie in files that are what they were.

    A file of many frames may grow; where it changes and does not, it is another one.
    """
    total = 0
    for old, new in zip(before, now, strict=False):
        old_states, new_states, size = states(old), states(new), int(old.sizes["time"])
        if old_states is not None and new_states is not None:
            same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(old_states, new_states, strict=False))))
        else:
            alike = old.attrs.get("source_token") == new.attrs.get("source_token")
            same = size if alike or new.sizes["time"] > size else 0
        total += same
        if same < size or new.sizes["time"] > size:  # behind it all have other places
            break
    return total


def refuse_other_shape(name: str, before: xr.Dataset, now: xr.Dataset) -> None:
    """Raise where frames have become those of another detector, or a part of it: nothing on the screen fits them."""
    shown, found = (" x ".join(str(image_of(one).sizes[dim]) for dim in ("y", "x")) for one in (before, now))
    if shown != found:
        raise LayoutError(f"{name}: has frames of {found} pixels now, not {shown}: explore it anew")
