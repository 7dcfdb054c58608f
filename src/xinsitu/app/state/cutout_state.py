"""What cut-outs, profiles and kymograph show, and what they need for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import param

from xinsitu.app.data.cutouts import KymographRequest, SectionRequest
from xinsitu.physics.reduction.own_axes import Along, own_name
from xinsitu.values import RoiSet

from .change_state import Changes
from .roi_state import Regions
from .view import View


class Cutouts(param.Parameterized):  # type: ignore[misc] # param has no types
    """Direction and kind of the kymograph; it and the profiles are those of the selected ROI."""

    along = param.Selector(default="x", objects=["x", "y"])
    own_axes = param.Boolean(False, doc="along the ROI's own axis in place of the detector's, if it has one")
    show = param.Selector(default="values", objects=["values", "previous", "first", "slope"])
    log_kymograph = param.Boolean(False)

    def __init__(self, view: View, regions: Regions, attenuation: Changes) -> None:
        super().__init__()
        self.view, self.regions, self.attenuation, self.store = view, regions, attenuation, view.store

    def own_name(self) -> Along | Literal[""]:
        """Which of its own axes the selected ROI has in place of the one chosen; empty where it has none."""
        return "" if self.regions.roi is None else own_name(self.regions.roi, self.along)

    @property
    def axis(self) -> Along:
        """What the kymograph runs along."""
        own: Along | Literal[""] = self.own_name() if self.own_axes else ""
        detector: Along = self.along
        return own or detector

    def section_request(self) -> SectionRequest | None:
        """Return what cut-out and profiles need; None without a ROI."""
        regions, rois = self.regions, self.regions.rois
        if regions.roi is None:
            return None
        boxes = {roi.name: regions.box(roi.name) for roi in rois}
        here = RoiSet([replace(roi.moved(y=boxes[roi.name][0], x=boxes[roi.name][1]), path=None) for roi in rois])
        one, correction = self.store.around(self.view.frame), self.view.active_correction
        factor = self.attenuation.factor(self.view.frame)
        if correction is None:
            return SectionRequest(one, here[regions.selected], None, here, factor)
        alone = self.store.alone(correction)
        return SectionRequest(one, here[regions.selected], alone.correction, here, alone.factor * factor)

    def kymograph_request(self) -> KymographRequest | None:
        """Return what the kymograph needs, with the factors of changes that are corrected; None: nothing is read."""
        (data, marks), roi = self.store.at_hand(), self.regions.roi
        if roi is None or not data.sizes["time"]:
            return None
        boxes = self.regions.boxes(roi.name)[: data.sizes["time"]] if roi.path else None
        return KymographRequest(
            data, roi, self.view.active_correction, self.axis, self.show, self.view.coordinates(),
            self.view.breaks(), boxes, RoiSet(list(self.regions.rois)), self.attenuation.factors(),
            marks,
        )  # fmt: skip
