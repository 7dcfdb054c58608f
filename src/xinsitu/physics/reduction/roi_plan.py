"""ROIs, a recipe and an image are fitted to each other before anything is measured."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import RoiError, SchemaError, warn
from xinsitu.physics.blocks import pixel_index
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.frame_numbers import along_time
from xinsitu.physics.corrections.framewise import EXPOSURE, NUMBER, Steps
from xinsitu.physics.corrections.plan import facts_of, plain_median_before, prepared
from xinsitu.schema import FURTHER, image_of
from xinsitu.values import EDGE, MEASURES, OWN_EDGE, PLANE, POLY_X, POLY_Y, Box, Roi, RoiSet
from xinsitu.variables import holds_counts, says_counts

from .moving import Boxes, boxes_in_time
from .region_pixels import Axes, Pixels
from .regions import Measurements, Region


@dataclass(frozen=True)
class Fitted:
    """The part of an image that ROIs and recipe need, a row of numbers per frame, and the plan for block functions."""

    image: xr.DataArray
    per_frame: npt.NDArray[np.float64]
    plan: Measurements
    shared: Any
    boxes: Mapping[str, Boxes]
    """Bounds per frame of the ROIs that move."""
    rois: RoiSet
    """Those that were given, cut to the image."""

    def of_frames(self, run: slice) -> Fitted:
        """Return it for some of the frames."""
        return replace(self, image=self.image.isel(time=run), per_frame=self.per_frame[run])

    @property
    def told(self) -> npt.NDArray[np.void]:
        """What each frame is measured with: the plan, and its own numbers; its place only where that matters.

        A frame whose pixels are the same, too, has the same row as before.
        """
        own = self.per_frame.copy()
        if not self.plan.asks_median and self.plan.steps.flat_counts is None:
            own[:, NUMBER] = 0
        plan = self.plan.fingerprint.encode()
        rows = own.view(np.dtype((np.void, own.shape[1] * own.itemsize)))[:, 0]
        kinds, place = np.unique(rows, return_inverse=True)  # most frames are measured with the same
        digests = [hashlib.blake2b(plan + one.tobytes(), digest_size=16).digest() for one in kinds]
        return np.array(digests, dtype="V16")[place]


def fitted(
    data: xr.Dataset | xr.DataArray,
    rois: RoiSet,
    correction: Correction | None,
    smooth: int | None = None,
    *,
    whole: bool = False,
    own_axes: bool = False,
) -> Fitted:
    """Check that ROIs, recipe and image go together, and fit them to each other; ``whole``: keep whole frames.

    ``own_axes``: behind the ROIs come those with axes of their own again, on these.

    Raises
    ------
    RoiError
        A ROI does not lie in the image.
    CorrectionError
        The recipe does not fit the image.
    """
    image = image_of(data)
    boxes = {roi.name: boxes_in_time(data, roi) for roi in rois if roi.path is not None}
    rois = on_image(image, rois, boxes)
    if says_counts(image) and not holds_counts(image):
        warn(
            "the image says that it holds counts, but somebody has calculated with it, or it came as floating point: "
            "errors from counting are NaN; measure what was opened, with a Correction, or whole numbers"
        )
    ready = prepared(data, correction, None if whole else tuple(hull(roi, boxes) for roi in rois))
    per_frame = ready.per_frame
    moving = {name: per_frame.shape[1] + 4 * number for number, name in enumerate(boxes)}
    largest = {name: _largest(bounds) for name, bounds in boxes.items() if len(bounds)}
    regions = _regions(ready.image, rois, moving, largest)
    if own_axes:
        regions += tuple(turned_region(one, roi) for one, roi in zip(regions, rois, strict=True) if roi.has_own_axes)
    before = plain_median_before(ready.image)
    plan = _plan(regions, ready.steps, correction or Correction(), facts_of(data, image), before, smooth)
    if plan.dead_time is not None and ready.steps.dead_time is None:
        per_frame[:, EXPOSURE] = _exposure(data, image)
    for bounds in boxes.values():
        per_frame = np.concatenate([per_frame, bounds.astype(np.float64)], axis=1)
    return Fitted(ready.image, per_frame, plan, ready.shared, boxes, rois)


def _largest(bounds: Boxes) -> tuple[int, int]:
    """Most rows and columns that a ROI ever has."""
    return int((bounds[:, 1] - bounds[:, 0]).max()), int((bounds[:, 3] - bounds[:, 2]).max())


def _exposure(data: xr.Dataset | xr.DataArray, image: xr.DataArray) -> npt.NDArray[np.float64]:
    """Exposure time of every frame, for a flag; NaN where nobody says, or nobody has computed it."""
    try:
        told = data["exposure_time"].chunks is None
        return along_time(data, image, "exposure_time") if told else np.full(image.sizes["time"], np.nan)
    except (SchemaError, KeyError):
        return np.full(image.sizes["time"], np.nan)


def hull(roi: Roi, boxes: Mapping[str, Boxes]) -> Box:
    """Smallest box around all places of a ROI, which ``boxes`` has if it moves."""
    if roi.name not in boxes or not len(boxes[roi.name]):
        return roi.y, roi.x
    y0, _, x0, _ = (int(bound) for bound in boxes[roi.name].min(axis=0))
    _, y1, _, x1 = (int(bound) for bound in boxes[roi.name].max(axis=0))
    return (y0, y1), (x0, x1)


def covered(rois: RoiSet, boxes: Mapping[str, Boxes]) -> Box:
    """Smallest box around all ROIs wherever they are."""
    hulls = [hull(roi, boxes) for roi in rois]
    low, high = np.min(hulls, axis=0), np.max(hulls, axis=0)
    return (int(low[0, 0]), int(high[0, 1])), (int(low[1, 0]), int(high[1, 1]))


def on_image(image: xr.DataArray, rois: RoiSet, boxes: Mapping[str, Boxes]) -> RoiSet:
    """Cut shapes to the image, and say so; every other ROI lies in it, wherever it is."""
    frame = y, x = pixel_index(image, "y"), pixel_index(image, "x")
    rois = RoiSet((roi.on(frame) for roi in rois), extra=rois.extra)
    for roi in rois:
        own_y, own_x = hull(roi, boxes)
        if not (y[0] <= own_y[0] and own_y[1] <= y[1] and x[0] <= own_x[0] and own_x[1] <= x[1]):
            raise RoiError(
                f"ROI {roi.name!r}, y = {list(own_y)}, x = {list(own_x)}, does not lie in the image, "
                f"y = {list(y)}, x = {list(x)}"
            )
        if roi.off:
            off = roi.off / (roi.area + roi.off)
            part = "less than 1%" if off < 0.005 else f"{min(off, 0.99):.0%}"
            warn(
                f"ROI {roi.name!r} reaches over the edge of the image: {part} of it is not there, and what is measured "
                "is that of the rest"
            )
    return rois


def _regions(
    image: xr.DataArray, rois: RoiSet, moving: Mapping[str, int], largest: Mapping[str, tuple[int, int]]
) -> tuple[Region, ...]:
    """Fit ROIs to an image, for the block functions."""
    (y0, _), (x0, _) = pixel_index(image, "y"), pixel_index(image, "x")
    return tuple(
        Region(
            box=((roi.y[0] - y0, roi.y[1] - y0), (roi.x[0] - x0, roi.x[1] - x0)),
            origin=(roi.y[0], roi.x[0]),
            background=tuple(rois.names.index(name) for name in roi.background if name not in OWN_EDGE),
            under=_kind_of_background(roi),
            measures=frozenset(what for what in (*MEASURES, *FURTHER) if roi.measures(what)),
            n_brightest=roi.n_brightest,
            moving=moving.get(roi.name),
            largest=largest.get(roi.name),
            shape=None if roi.weights is None and not roi.off else Pixels(roi.shape, roi.weights, off=roi.off),
        )
        for roi in rois
    )


def _plan(
    regions: tuple[Region, ...],
    steps: Steps,
    correction: Correction,
    facts: Mapping[Any, Any],
    median_before: int | None,
    smooth: int | None,
) -> Measurements:
    """Return what is measured, and what is known of the detector and of a median for its flags."""
    cutoff, tau = facts.get("count_cutoff"), float(facts.get("tau", 0) or 0)
    return Measurements(
        steps=steps,
        regions=regions,
        counts=steps.counts,
        median=correction.threshold is None and (correction.median or median_before) is not None,
        median_before=median_before,
        cutoff=None if cutoff is None else float(cutoff),
        dead_time=correction.count_rate or tau or None,
        already_counted=correction.count_rate is None,
        smooth=smooth,
    )


def turned_region(region: Region, roi: Roi) -> Region:
    """Return the region of a rotated ROI, or of a sector, with profiles on its own axes in place of y and x."""
    if region.under in (POLY_Y, POLY_X):
        kind = "" if roi.geometry is None else roi.geometry.kind
        raise RoiError(
            f"ROI {roi.name!r} has the axes of a {kind} shape, so no parabola along y or x lies under it: "
            f"take {EDGE!r}, {PLANE!r} or ROIs"
        )
    return replace(region, largest=None, shape=Pixels(roi.shape, roi.weights, Axes.of(roi), roi.off))


def _kind_of_background(roi: Roi) -> str:
    """Where a ROI's background comes from: ``rois``, its own edge (``OWN_EDGE``), or nowhere."""
    own = [name for name in roi.background if name in OWN_EDGE]
    if own and len(roi.background) > 1:
        raise RoiError(f"the background of ROI {roi.name!r} is either {own[0]!r} or other ROIs, not both")
    return own[0] if own else "rois" if roi.background else ""
