"""A frame by itself, corrected as it is among all frames of its run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from xinsitu.errors import collected
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.frame_numbers import along_time, mean_monitor
from xinsitu.physics.corrections.plan import prepared
from xinsitu.schema import image_of


@dataclass(frozen=True)
class Alone:
    """What is done to a frame by itself so that it comes out as among all frames, whose means over time are theirs.

    A correction of single frames, and a factor for what comes of it.
    """

    correction: Correction
    factor: float = 1.0

    @classmethod
    def of(cls, correction: Correction, run: xr.Dataset) -> Alone:
        """Return it for frames of a run: its mean monitor, and the mean of its background, take the frame's place."""
        image, region, factor, result = image_of(run), correction.background, 1.0, correction
        if isinstance(correction.normalise, str):
            reference = mean_monitor(along_time(run, image, correction.normalise))
            if reference > 0:  # otherwise no frame has a value
                result = replace(result, normalise=(correction.normalise, reference))
        if region is not None and region.normalise == "mean" and region.mode == "divide":
            with collected():  # said where the correction was chosen
                shared: Any = prepared(run, correction).shared
            factor = float(shared.compute() if hasattr(shared, "compute") else shared)
            result = replace(result, background=replace(region, normalise=None))
        return cls(result, factor)
