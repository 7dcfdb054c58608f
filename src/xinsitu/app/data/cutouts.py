"""Cut-out, profiles and kymograph of the selected ROI, from the same corrected pixels that are measured."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu import kernels
from xinsitu.physics.corrections.apply import Correction, correct, crop
from xinsitu.physics.corrections.plan import around
from xinsitu.physics.reduction.moving import Boxes
from xinsitu.physics.reduction.own_axes import Along
from xinsitu.physics.reduction.roi_profiles import profiles, profiles_along
from xinsitu.plots.images import Show, changes
from xinsitu.schema import image_of
from xinsitu.values import Roi, RoiSet

from .marks import Marks, places_of, taken

Doubles = npt.NDArray[np.float64]
DetectorAxis = Literal["y", "x"]
ALONG: tuple[DetectorAxis, DetectorAxis] = ("y", "x")
COLUMNS = 1200
"""Columns of a kymograph: no screen has more."""


@dataclass(frozen=True)
class SectionRequest:
    """Frames (one of them), ROI and correction; all ROIs where they are in it, as one may be another's background."""

    data: xr.Dataset
    roi: Roi
    correction: Correction | None
    rois: RoiSet | None = None
    factor: float = 1.0
    """What the corrected frame is multiplied by, as it stands among others, and by changes of attenuation."""


@dataclass(frozen=True)
class Section:
    """The two profiles of one frame, less the ROI's background, and its cut-out ``(y, x)``."""

    request: SectionRequest
    y: Doubles
    x: Doubles

    @classmethod
    def of(cls, request: SectionRequest) -> Section:
        """Cut one frame."""
        one, roi = request.data.isel(time=slice(0, 1)), replace(request.roi, path=None)
        found = profiles_along(one, roi, ALONG, rois=request.rois, correction=request.correction)
        y, x = (np.asarray(along.values[0]) * request.factor for along in found)
        return cls(request, y, x)

    @property
    def roi(self) -> Roi:
        """Whose profiles they are."""
        return self.request.roi

    @cached_property
    def image(self) -> npt.NDArray[Any]:
        """The corrected pixels, for whoever looks at them: the page draws cut-outs from the frame that it has."""
        box = corrected_box(self.request.data, self.roi, self.request.correction)
        return np.asarray(box.isel(time=0).values, dtype="float64") * self.request.factor

    def half_maximum(self, axis: DetectorAxis) -> tuple[float, float, float]:
        """Return where the profile crosses half its height on both sides, in detector pixels, and that level.

        The width between the two is the FWHM that is measured.
        """
        profile = np.nan_to_num(getattr(self, axis))[None]
        base, ground = np.zeros(1) if self.roi.background else kernels.edge_base(profile), 0.0
        weights = self.roi.weights
        if weights is not None and not self.roi.background:  # bins of a shape hold more pixels or fewer
            pixels = weights.sum(axis=1 if axis == "y" else 0)[None]
            below = base / kernels.edge_base(pixels) * pixels
            profile, base, ground = profile - below, np.zeros(1), float(below[0, (profile - below)[0].argmax()])
        found = kernels.half_maximum(profile, base)
        first = getattr(self.roi, axis)[0]
        level = base[0] + found.height[0] / 2 + ground
        return first + float(found.left[0]), first + float(found.right[0]), float(level)


@dataclass(frozen=True)
class KymographRequest:
    """Frames, ROI and correction, and what to show along which axis, at which places in time."""

    data: xr.Dataset
    roi: Roi
    correction: Correction | None
    along: Along
    show: Show
    places: Doubles
    cuts: npt.NDArray[np.int64]
    boxes: Boxes | None = None
    """Bounds ``y0, y1, x0, x1`` of the ROI in every frame; None: it stands still."""
    rois: RoiSet | None = None
    """All ROIs, as one may be another's background."""
    factors: Doubles | None = None
    """What the counts of each frame are multiplied by; None: nothing. NaN where nobody knows."""
    marks: Marks | None = None
    """Of each frame; None: nobody asks again."""
    before: Kymograph | None = None
    """One that was made before: of the same ROI its profiles of the same frames are taken over."""

    @property
    def key(self) -> tuple[object, ...] | None:
        """What profiles of a frame hang on; None where other frames are among it."""
        one = self.correction or Correction()
        mean = one.background is not None and one.background.normalise is not None
        if self.boxes is not None or one.normalise is not None or mean:
            return None
        return self.roi, None if self.rois is None else tuple(self.rois), one, self.along


@dataclass(frozen=True)
class Kymograph:
    """Profiles on an even grid in time, ``(bin, column)``; NaN where nothing was measured, or outside a moving ROI.

    ``axis`` is what the bins lie on, ``ends`` where they begin and end on it. ``edges`` are the ROI's own pixels in
    every frame, ``(time, 2)``; None where it stands still, and on axes that move with it.
    """

    values: npt.NDArray[np.float32]
    left: float
    right: float
    axis: xr.DataArray
    ends: tuple[float, float]
    signed: bool
    edges: npt.NDArray[np.int64] | None = None
    key: tuple[object, ...] | None = None
    marks: Marks | None = None
    profiles: Doubles = field(default_factory=lambda: np.empty((0, 0)))
    """As they were summed, of every frame, ``(time, bin)``."""

    @classmethod
    def of(cls, request: KymographRequest) -> Kymograph:
        """Sum over the other axis, take differences, put the frames on a grid."""
        roi, own = request.roi, {"y": (0, 2), "x": (2, 4)}.get(request.along)
        n_frames, before, key = request.data.sizes["time"], request.before, request.key
        same = before is not None and key is not None and before.key == key
        places = np.full(n_frames, -1)
        if before is not None and same and before.marks is not None and request.marks is not None:
            places = places_of(request.marks, before.marks)
        lacking = np.flatnonzero(places < 0)
        if before is not None and not len(lacking):
            profile, axis = before.profiles[places], before.axis
        else:
            image = image_of(request.data)
            new = request.data.drop_vars("image").isel(time=lacking)
            new = new.assign(image=image if len(lacking) == n_frames else taken(image, lacking))
            found = profiles(new, roi, along=request.along, rois=request.rois, correction=request.correction)
            profile, axis = np.asarray(found.compute().values), found[request.along]
            if before is not None and len(lacking) < n_frames:
                known, profile = profile, np.empty((n_frames, profile.shape[1]))
                profile[places >= 0], profile[lacking] = before.profiles[places[places >= 0]], known
        whole = profile
        if request.factors is not None:
            known = np.full(len(profile), np.nan)
            known[: len(request.factors)] = request.factors[: len(profile)]
            profile = profile * known[:, None]
        times = request.data["time"].values
        shown = changes(profile, (times - times[0]) / np.timedelta64(1, "s"), request.show)
        values, left, right = on_grid(shown, request.places[: len(shown)], request.cuts)
        half = 0.5 * float(axis[1] - axis[0]) if axis.size > 1 else 0.5
        ends = float(axis[0]) - half, float(axis[-1]) + half
        edges = None if request.boxes is None or own is None else request.boxes[:, slice(*own)]
        drawn = values.T.astype("float32")
        return cls(drawn, left, right, axis, ends, request.show != "values", edges, key, request.marks, whole)


def corrected_box(data: xr.Dataset, roi: Roi, correction: Correction | None) -> xr.DataArray:
    """Return the pixels of a ROI, corrected as in the whole frame, dims ``(time, y, x)``."""
    image = image_of(data)
    if correction is None:
        return crop(image, y=roi.y, x=roi.x)
    regions = () if correction.background is None else correction.background.boxes
    small = around(image, ((roi.y, roi.x), *regions), correction.halo)
    part = data.drop_dims([dim for dim in ("y", "x") if dim in data.dims]).assign(image=small)
    return crop(correct(part, correction)["image"], y=roi.y, x=roi.x)


def on_grid(
    values: Doubles, places: Doubles, cuts: npt.NDArray[np.int64], columns: int = COLUMNS
) -> tuple[Doubles, float, float]:
    """Put rows at uneven places on an even grid: each column shows the nearest frame, a gap shows nothing.

    Examples
    --------
    >>> places, rows = np.array([0.0, 1.0, 2.0, 6.0]), np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> rows, left, right = on_grid(rows, places, np.array([3]), columns=5)
    >>> rows.ravel(), left, right
    (array([ 1.,  2., nan, nan,  4.]), -0.75, 6.75)
    """
    if len(places) < 2:
        return values, float(places[0]) - 0.5, float(places[0]) + 0.5
    number = min(columns, max(len(places), 5))
    grid = np.linspace(places[0], places[-1], number)
    after = np.clip(np.searchsorted(places, grid), 1, len(places) - 1)
    nearest = np.where(grid - places[after - 1] <= places[after] - grid, after - 1, after)
    result = values[nearest].copy()
    usual = float(np.median(np.diff(places)))
    for cut in cuts[cuts < len(places)]:
        inside = (grid > places[cut - 1] + usual / 2) & (grid < places[cut] - usual / 2)
        result[inside] = np.nan
    half = (places[-1] - places[0]) / (number - 1) / 2
    return result, float(places[0] - half), float(places[-1] + half)
