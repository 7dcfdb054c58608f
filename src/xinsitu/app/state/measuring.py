"""The numbers behind the curves: only what changed is measured again, with the same function that users call."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.app.data.marks import Marks, places_of, taken
from xinsitu.app.data.tiles import Blocks
from xinsitu.errors import collected
from xinsitu.physics.corrections.apply import Correction
from xinsitu.physics.reduction.roi_plan import Fitted, fitted
from xinsitu.physics.reduction.series import measure, rows_of, series_of, warn_of_unused
from xinsitu.physics.stored import Stored
from xinsitu.schema import Quality
from xinsitu.values import OWN_EDGE, RoiSet
from xinsitu.variables import held_elsewhere

LITTLE = 4_000_000
"""Pixels that are measured as quickly on one core, without the tasks of dask, as on two with them."""


@dataclass(frozen=True)
class Known:
    """What was measured of frames, one by one, and with what: they need not be measured again as more come."""

    rows: npt.NDArray[np.float64]
    told: npt.NDArray[np.void]
    marks: Marks

    def places(self, told: npt.NDArray[np.void], marks: Marks) -> Marks:
        """Return where the rows of frames stand, -1 of those that are not known."""
        found = places_of(marks, self.marks)
        return np.where((found >= 0) & (self.told[found] == told), found, -1)


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
    version: int = 0
    """Of the frames: those of another one are others, in part."""
    marks: Marks | None = None
    """Of each frame; None: nobody asks again."""
    known: Known | None = None


@dataclass(frozen=True)
class Answer:
    """Time series of the wanted ROIs, and what the measurement warned of."""

    series: xr.Dataset
    remarks: tuple[str, ...]
    known: Known | None = None


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
    known = None
    with collected() as texts:
        if any(roi.path for roi in request.rois):
            runs = measurements(request.data)
            parts = [measure(run, request.rois, correction=request.correction).compute() for run in runs]
            series = parts[0] if len(parts) == 1 else xr.concat(parts, "time", combine_attrs="override")
        else:
            series, known = _grown(request)
    wanted = series if request.wanted == request.rois.names else series.sel(roi=list(request.wanted))
    return Answer(masked(wanted, request.faults), tuple(dict.fromkeys(texts)), known)


def _grown(request: Request) -> tuple[xr.Dataset, Known | None]:
    """Return what :func:`~xinsitu.measure` does, of which only new frames are measured."""
    data, rois, known = request.data, request.rois, request.known
    warn_of_unused(rois)
    fit = fitted(data, rois, request.correction, own_axes=True)
    marks = np.arange(len(fit.per_frame)) if request.marks is None else request.marks
    told, places = fit.told, np.full(len(marks), -1)
    if known is not None and fit.shared is None:
        places = known.places(told, marks)
    lacking = np.flatnonzero(places < 0)
    rows = _rows(fit, lacking) if len(lacking) or known is None else known.rows[:0]
    if known is not None and len(lacking) < len(places):
        found = np.empty((len(places), *known.rows.shape[1:]))
        found[places >= 0], found[lacking] = known.rows[places[places >= 0]], rows
        rows = found
    kept = None if request.marks is None else Known(rows, told, marks)
    return series_of(rows, data, rois, fit, request.correction), kept


def _rows(fit: Fitted, places: Marks) -> npt.NDArray[np.float64]:
    """Measure frames, in the order in which they are."""
    every = len(places) == len(fit.per_frame)
    image = fit.image if every else taken(fit.image, places)
    new = replace(fit, image=image, per_frame=fit.per_frame[places])
    if new.image.size <= LITTLE:
        shared = dask.compute(new.shared)[0]  # of all frames, those that are known, too
        new = replace(new, image=held_elsewhere(new.image, _pixels(new.image)), shared=shared)
    rows = rows_of(new)
    return np.asarray(rows if isinstance(rows, np.ndarray) else rows.compute())


def _pixels(image: xr.DataArray) -> npt.NDArray[Any]:
    """Return pixels; those that are held are cut out as they lie there, without the tasks of dask."""
    held = Stored.behind(image) if isinstance(image.data, da.Array) else None
    if held is None or not isinstance(held.array, Blocks):
        return np.asarray(image.values)
    return held.some(slice(None), slice(None))


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
    found = {}
    for name, variable in series.data_vars.items():
        values = np.array(variable.values)
        rows = np.moveaxis(values, variable.dims.index("time"), 0)
        if name == "n_valid":
            rows[bad] = 0
        elif name == "quality":  # zeros stand for such a frame, and stand out
            rows[bad] = (rows[bad] & ~int(Quality.OUTLIER)) | int(Quality.FRAME_FAULT | Quality.MASKED_PIXELS)
        elif variable.dtype.kind == "f":
            rows[bad] = np.nan
        else:
            continue
        found[name] = variable.copy(data=values)
    return series.assign(found)
