"""Which pixels of a frame do not count, or count no farther: masked, faulty, saturated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.physics.corrections.apply import Correction
from xinsitu.physics.corrections.plan import facts_of, plan_for
from xinsitu.schema import image_of

STATES = ("masked", "faulty", "saturated")
"""What a pixel can be beside good, 0: their numbers are 1, 2 and 3."""
ALL = slice(None)


def pixel_states(one: xr.Dataset, correction: Correction | None) -> npt.NDArray[np.uint8]:
    """Return the state of each pixel of a frame, by the same rules as it is measured, dims ``(y, x)``.

    Parameters
    ----------
    one
        A measurement of one frame, as it was recorded.
    correction
        What masks pixels; None: nothing does.

    Examples
    --------
    >>> frame = xr.Dataset({"image": (("time", "y", "x"), np.array([[[5, -2, 100]]], dtype="int32"))})
    >>> frame.image.attrs.update(units="counts", count_cutoff=100)
    >>> pixel_states(frame, None)
    array([[0, 2, 3]], dtype=uint8)
    """
    image = image_of(one)
    facts, raw = facts_of(one, image), np.asarray(image.transpose("time", "y", "x").values)
    mask = None if correction is None else correction.mask
    steps = plan_for(image, Correction(mask=mask), facts=facts, warns=False)
    states = np.zeros(raw.shape[1:], dtype="uint8")
    cutoff = facts.get("count_cutoff")
    if cutoff is not None and steps.counts:
        states[raw[0] >= float(cutoff)] = 3
    bad = replace(steps, mask=None).bad(raw, ALL, ALL)
    if bad is not None:
        states[bad[0]] = 2
    if steps.mask is not None:
        states[steps.mask] = 1
    return states
