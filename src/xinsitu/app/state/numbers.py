"""The numbers of one view: which are stale, which have come, and what kymograph and profiles need."""

from __future__ import annotations

from dataclasses import replace

import param
import xarray as xr

from xinsitu.app.data.cutouts import KymographRequest, SectionRequest
from xinsitu.app.data.store import FrameStore
from xinsitu.errors import RoiError
from xinsitu.physics.corrections.apply import Correction
from xinsitu.values import RoiSet

from .measuring import Answer, Request, answer, fingerprint, masked, with_backgrounds
from .roi_state import RoiState


class NumbersState(RoiState):
    """A view whose ROIs are measured; ``numbers`` counts the answers, ``updated`` names what the last one changed."""

    along = param.Selector(default="x", objects=["x", "y"])
    show = param.Selector(default="values", objects=["values", "previous", "first", "slope"])
    numbers = param.Integer(0)
    updated = param.Parameter(default=())

    def __init__(self, store: FrameStore, *, rois: RoiSet | None = None, correction: Correction | None = None) -> None:
        self._numbers: dict[str, tuple[tuple[object, ...], xr.Dataset]] = {}
        super().__init__(store, rois=rois, correction=correction)

    def stale(self) -> tuple[str, ...]:
        """Names of the ROIs whose numbers are not those of what is shown."""
        loaded = self.store.loaded
        return tuple(
            roi.name
            for roi in self.rois
            if self._numbers.get(roi.name, (None,))[0] != self._fingerprint(roi.name, loaded)
        )

    def _fingerprint(self, name: str, loaded: int) -> tuple[object, ...]:
        return fingerprint(self.rois, name, self.active_correction, loaded)

    def request(self) -> Request | None:
        """Return what has to be measured now; None: nothing."""
        wanted, data = self.stale(), self.store.measurable()
        if not wanted or not data.sizes["time"]:
            return None
        rois = with_backgrounds(self.rois, wanted)
        return Request(data, rois, wanted, self.active_correction, self.store.faults)

    def accept(self, request: Request, found: Answer) -> None:
        """Take an answer in; what was moved, renamed or removed meanwhile is asked for again by :meth:`stale`."""
        n_frames = request.data.sizes["time"]
        for name in request.wanted:
            if name in self.rois.names:
                key = fingerprint(request.rois, name, request.correction, n_frames)
                self._numbers[name] = key, found.series.sel(roi=[name])
        if found.remarks:
            self.message = found.remarks[0]
        self.updated = tuple(name for name in request.wanted if name in self.rois.names)
        self.numbers += 1

    def measure_now(self) -> None:
        """Measure what is stale, here and now."""
        if (request := self.request()) is not None:
            self.accept(request, answer(request))

    def numbers_of(self, name: str) -> xr.Dataset | None:
        """Return the time series of one ROI as far as it is measured, dims ``(time,)``."""
        found = self._numbers.get(name)
        return None if found is None else found[1].isel(roi=0)

    def follow_com(self) -> None:
        """Let the selected ROI follow its own centre of mass."""
        series = self.numbers_of(self.selected)
        if series is None or series.sizes["time"] < self.n_frames:
            raise RoiError("the ROI can follow its centre of mass when all frames are measured")
        self.follow_peak((series["com_y"].values, series["com_x"].values))

    def section_request(self) -> SectionRequest | None:
        """Return what cut-out and profiles need; None without a ROI."""
        if self.roi is None:
            return None
        boxes = {roi.name: self.box(roi.name) for roi in self.rois}
        here = RoiSet([replace(roi.moved(y=boxes[roi.name][0], x=boxes[roi.name][1]), path=None) for roi in self.rois])
        one, correction = self.store.around(self.frame), self.active_correction
        if correction is None:
            return SectionRequest(one, here[self.selected], None, here)
        alone = self.store.alone(correction)
        return SectionRequest(one, here[self.selected], alone.correction, here, alone.factor)

    def kymograph_request(self) -> KymographRequest | None:
        """Return what the kymograph needs; None where nothing has been read yet."""
        data = self.store.measurable()
        if self.roi is None or not data.sizes["time"]:
            return None
        boxes = self.boxes(self.selected)[: data.sizes["time"]] if self.roi.path else None
        return KymographRequest(
            data, self.roi, self.active_correction, self.along, self.show, self.coordinates(), self.breaks(), boxes,
            RoiSet(list(self.rois)),
        )  # fmt: skip

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
        request = Request(data, RoiSet(list(self.rois)), self.rois.names, self.active_correction, {})
        return masked(answer(request).series, self.store.faults)
