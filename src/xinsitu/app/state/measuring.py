"""The numbers behind the curves: only what changed is measured again, with the same function that users call."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xinsitu.errors import collected
from xinsitu.physics.corrections.apply import Correction
from xinsitu.physics.corrections.plan import around
from xinsitu.physics.reduction.series import measure
from xinsitu.schema import Quality, image_of
from xinsitu.values import OWN_EDGE, RoiSet

LITTLE = 4_000_000
"""Pixels that are measured as quickly on one core, without the tasks of dask, as on two with them."""


@dataclass(frozen=True)
class Request:
    """ROIs to measure, on which frames, corrected how.

    ``wanted`` names the ROIs whose numbers are asked for; ``rois`` holds their backgrounds, too.
    """

    data: xr.Dataset
    rois: RoiSet
    wanted: tuple[str, ...]
    correction: Correction | None
    faults: Mapping[int, str]


@dataclass(frozen=True)
class Answer:
    """Time series of the wanted ROIs, and what the measurement warned of."""

    series: xr.Dataset
    remarks: tuple[str, ...]


def fingerprint(rois: RoiSet, name: str, correction: Correction | None, n_frames: int) -> tuple[object, ...]:
    """Return what the numbers of a ROI depend on: equal fingerprints, equal numbers."""
    roi = rois[name]
    backgrounds = tuple((rois[other].y, rois[other].x) for other in roi.background if other not in OWN_EDGE)
    return (
        roi.y,
        roi.x,
        roi.geometry,
        roi.edges,
        roi.measure,
        roi.role,
        roi.background,
        roi.path,
        backgrounds,
        correction,
        n_frames,
    )


def with_backgrounds(rois: RoiSet, names: tuple[str, ...]) -> RoiSet:
    """Return the named ROIs and those that give their background, in the order of the set."""
    needed = set(names)
    for name in names:
        needed |= {other for other in rois[name].background if other not in OWN_EDGE}
    chosen = [roi for roi in rois if roi.name in needed]
    extra = {other for roi in chosen for other in roi.background} - needed - {*OWN_EDGE}
    return RoiSet([*chosen, *(roi for roi in rois if roi.name in extra)])


def answer(request: Request) -> Answer:
    """Measure; a frame that could not be read is NaN and flagged."""
    with collected() as texts:
        runs = measurements(request.data) if any(roi.path for roi in request.rois) else [request.data]
        parts = [measure(close_by(run, request), request.rois, correction=request.correction).compute() for run in runs]
    series = parts[0] if len(parts) == 1 else xr.concat(parts, "time", combine_attrs="override")
    return Answer(masked(series.sel(roi=list(request.wanted)), request.faults), tuple(dict.fromkeys(texts)))


def close_by(data: xr.Dataset, request: Request) -> xr.Dataset:
    """Return the frames cut down to what is measured, in memory, where that is little: dask has its price."""
    if not {"y", "x"} <= set(data.coords):
        return data  # a cut would no longer say which pixels it has
    correction = request.correction or Correction()
    regions = () if correction.background is None else correction.background.boxes
    image = image_of(data)
    small = around(image, (*((roi.y, roi.x) for roi in request.rois), *regions), correction.halo)
    if small.size > LITTLE or any(roi.path for roi in request.rois):
        return data
    return data.drop_dims(["y", "x"]).assign(image=small.compute())


def measurements(data: xr.Dataset) -> list[xr.Dataset]:
    """Return the measurements that data consist of, each by itself: a ROI moves within one of them only."""
    if "measurement" not in data.coords or data["measurement"].dims != ("time",):
        return [data]
    names = data["measurement"].values
    cuts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    return [data.isel(time=slice(first, behind)) for first, behind in itertools.pairwise(cuts)]


def masked(series: xr.Dataset, faults: Mapping[int, str]) -> xr.Dataset:
    """Return the series without numbers where the frame could not be read."""
    bad = [position for position in list(faults) if position < series.sizes["time"]]
    if not bad:
        return series
    marks = np.zeros(series.sizes["time"], dtype="int32")
    marks[bad] = int(Quality.FRAME_FAULT | Quality.MASKED_PIXELS)
    flag = xr.DataArray(marks, dims="time")
    result = series.copy()
    for name, variable in series.data_vars.items():
        if variable.dtype.kind == "f":
            result[name] = variable.where(flag == 0)
    if "n_valid" in series:
        result["n_valid"] = series["n_valid"].where(flag == 0, 0).assign_attrs(series["n_valid"].attrs)
    if "quality" in series:
        by_zeros = (flag != 0) * int(Quality.OUTLIER)  # zeros stand for such a frame, and stand out
        flagged = (series["quality"] & ~by_zeros) | flag
        result["quality"] = flagged.transpose(*series["quality"].dims).assign_attrs(series["quality"].attrs)
    return result
