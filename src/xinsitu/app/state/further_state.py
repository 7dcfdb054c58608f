"""One quantity more, which is measured of all ROIs while somebody looks at it, and not before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import param
import xarray as xr

from xinsitu.schema import FURTHER, OWN_AXES, SCALED, attributes_of
from xinsitu.values import RoiSet

from .change_state import Changes
from .measuring import Request, answer, masked
from .numbers import Numbers

ASKED: Mapping[str, tuple[str, ...]] = {
    **{quantity: (asked,) for asked, quantities in FURTHER.items() for quantity in quantities},
    **{f"{name}_{way}": (name,) for name in ("com", "fwhm") for way in OWN_AXES},
    "maximum": (),
    "background": ("background",),
}
"""Quantities that can be drawn, and what a ROI is asked for so that it measures them."""


@dataclass(frozen=True, eq=False)
class FurtherRequest:
    """What to measure, and of what it is all that matters."""

    quantity: str
    key: tuple[object, ...]
    request: Request


class Further(param.Parameterized):  # type: ignore[misc] # param has no types
    """Which quantity is drawn besides those that always are, and its numbers."""

    further = param.Selector(default="", objects=["", *ASKED], doc="a quantity that is drawn, too; empty: none")
    found = param.Parameter(default=None, doc="its time series, dims (time, roi); None: not measured yet")

    def __init__(self, numbers: Numbers, attenuation: Changes) -> None:
        super().__init__()
        self.numbers, self.attenuation = numbers, attenuation
        self._key: tuple[object, ...] | None = None

    def request(self) -> FurtherRequest | None:
        """Return what has to be measured now; None: nothing."""
        view, data = self.numbers.view, self.numbers.store.measurable()
        if not self.further or not data.sizes["time"]:
            return None
        rois = RoiSet(list(self.numbers.regions.rois))
        key = (self.further, rois, view.active_correction, data.sizes["time"])
        if key == self._key:
            return None
        also = rois.also(*ASKED[self.further])
        request = Request(data, also, rois.names, view.active_correction, self.numbers.store.faults)
        return FurtherRequest(self.further, key, request)

    @staticmethod
    def measured(wanted: FurtherRequest) -> tuple[FurtherRequest, xr.Dataset]:
        """Measure, off the event loop."""
        series, name = masked(answer(wanted.request).series, wanted.request.faults), wanted.quantity
        if name not in series:  # no ROI has axes of its own
            series[name] = xr.full_like(series["intensity"], np.nan).assign_attrs(attributes_of(name))
        return wanted, series

    def take(self, found: tuple[FurtherRequest, xr.Dataset]) -> None:
        """Take the numbers over, if they are still wanted."""
        wanted, series = found
        if wanted.quantity == self.further:
            self._key, self.found = wanted.key, series

    def drawn(self, roi: str) -> tuple[np.ndarray, np.ndarray]:
        """Values and errors of a ROI as the curves show its intensity: measured, or with the changes corrected."""
        series = self.found.sel(roi=roi)
        values = np.asarray(series[self.further].values, dtype="float64")
        told = series.get(f"{self.further}_errors")
        errors = np.full(len(values), np.nan) if told is None else np.asarray(told.values, dtype="float64")
        factors = self.attenuation.factors() if self.further in SCALED else None
        if factors is None or len(factors) < len(values):
            return values, errors
        return values * factors[: len(values)], errors * factors[: len(values)]
