"""The numbers of one view: which are stale, which have come, and which frames nobody trusts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable

import numpy as np
import param
import xarray as xr

from xinsitu.errors import DocumentError, RoiError, XinsituError
from xinsitu.physics.moments import frame_key, frames_in
from xinsitu.physics.samples import bad_frames
from xinsitu.schema import Quality
from xinsitu.values import FrameRange, RoiSet

from .measuring import Answer, Known, Request, answer, fingerprint, masked, with_backgrounds
from .roi_state import Regions
from .view import View


class Numbers(param.Parameterized):  # type: ignore[misc] # param has no types
    """What is measured of the ROIs; ``count`` counts the answers, ``updated`` names what the last one changed."""

    count = param.Integer(0)
    updated = param.Parameter(default=())
    bad_frames = param.Parameter(default=(), doc="frames that a person does not trust, as FrameRange")

    def __init__(self, view: View, regions: Regions) -> None:
        super().__init__()
        self.view, self.regions, self.store = view, regions, view.store
        self._said: set[str] = set()
        self._numbers: dict[str, tuple[tuple[object, ...], xr.Dataset, xr.Dataset]] = {}
        self._known: Known | None = None

    def stale(self) -> tuple[str, ...]:
        """Names of the ROIs whose numbers are not those of what is shown."""
        loaded = self.store.loaded
        return tuple(
            roi.name
            for roi in self.regions.rois
            if self._numbers.get(roi.name, (None,))[0] != self._fingerprint(roi.name, loaded)
        )

    def _fingerprint(self, name: str, loaded: int) -> tuple[object, ...]:
        key = fingerprint(self.regions.rois, name, self.view.active_correction, loaded)
        return (*key, self.store.version)

    def request(self) -> Request | None:
        """Return what has to be measured now; None: nothing."""
        version = self.store.version  # first: what has become another meanwhile is stale
        wanted, (data, marks) = self.stale(), self.store.at_hand()
        if not wanted or not data.sizes["time"]:
            return None
        rois = with_backgrounds(self.regions.rois, wanted)
        doing, faults = self.view.active_correction, self.store.faults
        return Request(data, rois, wanted, doing, faults, version, marks, self._known)

    def accept(self, request: Request, found: Answer) -> None:
        """Take an answer in; what was moved, renamed or removed meanwhile is asked for again by :meth:`stale`."""
        n_frames = request.data.sizes["time"]
        for name in request.wanted:
            if name in self.regions.rois.names:
                key = fingerprint(request.rois, name, request.correction, n_frames)
                one = found.series if found.series.sizes["roi"] == 1 else found.series.sel(roi=[name])
                self._numbers[name] = (*key, request.version), one, one.isel(roi=0)  # many ask for one by itself
        if found.known is not None and set(request.wanted) == set(self.regions.rois.names):
            self._known = found.known  # of all: as more frames come, these are asked for together
        new = [text for text in found.remarks if text not in self._said]
        if new:
            self.view.message = new[0]
            self._said.update(new)  # once is enough, however often a region is moved
        self.updated = tuple(name for name in request.wanted if name in self.regions.rois.names)
        self.count += 1

    def measure_now(self) -> None:
        """Measure what is stale, here and now."""
        if (request := self.request()) is not None:
            self.accept(request, answer(request))

    def of(self, name: str) -> xr.Dataset | None:
        """Return the time series of one ROI as far as it is measured, dims ``(time,)``."""
        found = self._numbers.get(name)
        return None if found is None else found[2]

    def in_place(self, name: str) -> bool:
        """Whether frames stand where they stood as a ROI was measured: none came in between since, or was another."""
        found = self._numbers.get(name)
        return found is not None and found[0][-1] == self.store.version

    def trusted(self, name: str) -> xr.Dataset | None:
        """Return :meth:`of` a ROI, with the flags of the frames that nobody trusts."""
        if (found := self._numbers.get(name)) is None:
            return None
        flagged = self.flagged(found[1])
        return found[2] if flagged is found[1] else flagged.isel(roi=0)

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the ROIs that have numbers."""
        return tuple(name for name in self.regions.rois.names if name in self._numbers)

    def measured(self) -> xr.Dataset:
        """All numbers that are there; the ROIs that they are of stand beside them, as in a result."""
        parts = [self._numbers[name][1] for name in self.known]
        if not parts:
            raise DocumentError("nothing has been measured yet; try again in a moment")
        least = min(part.sizes["time"] for part in parts)
        joined = xr.concat(
            [part.isel(time=slice(0, least)) for part in parts], "roi", coords="minimal", compat="override",
            join="override", combine_attrs="override",
        )  # fmt: skip
        return self.flagged(joined).assign_attrs(rois=json.dumps(self.regions.rois.to_dict()))

    def follow_com(self) -> None:
        """Let the selected ROI follow its own centre of mass."""
        series = self.of(self.regions.selected)
        if series is None or series.sizes["time"] < self.view.n_frames:
            raise RoiError("the ROI can follow its centre of mass when all frames are measured")
        self.regions.follow_peak((series["com_y"].values, series["com_x"].values))

    @property
    def series(self) -> xr.Dataset:
        """ROI time series of everything shown: what ``measure`` returns for these ROIs and this correction.

        Raises
        ------
        RoiError
            No frame has been read yet.
        """
        data = self.store.measurable()
        if not data.sizes["time"]:
            raise RoiError("no frame has been read yet")
        request = Request(
            data, RoiSet(list(self.regions.rois)), self.regions.rois.names, self.view.active_correction, {}
        )
        return masked(answer(request).series, self.store.faults)

    def alarm(self, last: int = 5) -> str:
        """Say which ROIs were saturated in the newest frames; empty where none is."""
        bright = [name for name in self.known if (self._numbers[name][1]["n_saturated"].values[-last:] > 0).any()]
        return f"saturated: {', '.join(bright)} - insert a filter" if bright else ""

    # -- frames that are not to be trusted ----------------------------------------------------------------------------

    def mark_bad(self) -> None:
        """Say that the frame that is shown is not to be trusted; said again, that it is.

        Raises
        ------
        DocumentError
            The frames have no numbers that could be named.
        """
        key = frame_key(self.store.data, self.view.frame)
        if key is None:
            raise DocumentError("these frames have no numbers, so none can be named as bad")
        here = {self.view.frame}
        kept = tuple(one for one in self.bad_frames if self._places([one]) != here)
        self.bad_frames = kept if len(kept) < len(self.bad_frames) else (*self.bad_frames, FrameRange(key))

    def bad_places(self) -> tuple[int, ...]:
        """Positions of the frames that are not to be trusted."""
        return tuple(sorted(self._places(self.bad_frames)))

    def _places(self, ranges: Iterable[FrameRange]) -> set[int]:
        found: set[int] = set()
        for one in ranges:
            with contextlib.suppress(XinsituError):  # of another measurement, or not there yet
                found |= set(np.flatnonzero(frames_in(self.store.data, [one])).tolist())
        return found

    def flagged(self, series: xr.Dataset) -> xr.Dataset:
        """Return a series, dims ``(time, roi)``, with the flags of these frames."""
        at = [place for place in self.bad_places() if place < series.sizes["time"]]
        if not at:
            return series
        bad = np.zeros(series.sizes["time"], dtype=bool)
        bad[at] = True
        return bad_frames.flagged(series, xr.DataArray(bad, dims="time"), Quality.BAD_FRAME)
