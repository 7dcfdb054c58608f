"""Bring a sample to one attenuation: multiply the intensities behind each change, and undo it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import CorrectionError
from xinsitu.physics.moments import KeyLike, as_kept, as_moments, require_time_order
from xinsitu.schema import POSITIONS, SCALED, Quality, check_data, check_kind, describe, errors_name, require
from xinsitu.values import AttenuationChange

from .counts import per_second, signal_rois
from .finding import FoundChanges
from .finding import find_attenuation_changes as find_attenuation_changes
from .given_changes import TRANSITION, FactorMethod, placed_changes, reference_segment, segments, settled_changes
from .overlap import attenuation_from_overlap

_RECORD = "attenuation"
"""Attribute of a corrected sample: JSON text with the changes and what undo_attenuation has to know."""
_MEASURED = ", as measured"
_COORDS = ("attenuation_factor", "attenuation_factor_errors", "scale_errors")
_SHARED = "scale_errors"


def correct_attenuation(
    sample: xr.Dataset,
    changes: Iterable[AttenuationChange],
    *,
    roi: str | Sequence[str] | None = None,
    window: int | None = None,
    method: FactorMethod | None = None,
    overlap: str | None = None,
    reference: str | int | KeyLike = "first",
    common_tolerance: float = 0.03,
    legacy: bool = False,
) -> xr.Dataset:
    """Multiply the intensities so that the sample looks as if the attenuation had never changed.

    The factor of a change is the ratio of the intensity at its last frame before to that at its first frame after,
    one for all ROIs: the inverse-variance mean of the logarithms [1]_; a change that brings its own ``factor`` keeps
    it. Changes multiply up. ``intensity``, ``background``, ``maximum`` and their errors are scaled; centre of mass and
    FWHM do not depend on attenuation and stay. Frames strictly between the end points become NaN there, and are
    flagged. Where ``exposure_time`` differs, everything is brought to counts per second first.

    Parameters
    ----------
    sample
        Dims ``(time, roi)`` with ``intensity``; ``intensity_errors`` where known, otherwise the noise is estimated
        from successive frames.
    changes
        Their end points, and factors where they are known.
    roi
        Name or names of the ROIs that decide the factors; None: all but those whose role is ``background``.
    window
        Frames on each side from which a factor is taken; None: one, the end points.
    method
        ``end points``; or with ``window`` (10 if not given) ``sums`` for a flat signal, ``lines`` for a changing one,
        evaluated at the change. None: end points without a window, with one lines where a slope is significant.
    overlap
        Name of a coordinate on which scans overlap: factors that are not given are those of
        :func:`~xinsitu.attenuation_from_overlap`. Without changes, one between each two measurements.
    reference
        The segment that stays as measured: ``first``, ``last``, its number, a measurement, or a moment in it.
    common_tolerance
        How far (relative) ROIs may disagree beyond counting before that is said.
    legacy
        Scale centre of mass and FWHM as well, to compare with results of scripts that did; these numbers are wrong.

    Returns
    -------
    xr.Dataset
        The sample with the coordinates ``segment`` (-1 in a transition), ``attenuation_factor``,
        ``attenuation_factor_errors`` and ``scale_errors`` on time, and the measured values as ``intensity_measured``
        and so on. ``scale_errors`` is relative, shared by a whole segment, and not part of ``intensity_errors``: the
        factor's error and, in quadrature, what the intensities brought of their own (the flat field's).

    Raises
    ------
    StitchError
        A change cannot be placed, or no ROI has intensities above zero at its end points.
    CorrectionError
        The sample is corrected already.
    RoiError
        There is no ROI of that name.

    Warns
    -----
    XinsituWarning
        A given factor contradicts the data, the ROIs disagree by more than the tolerance, or frames that decide are
        saturated or count too fast.

    References
    ----------
    .. [1] ``var ln f = var I_before / I_before^2 + var I_after / I_after^2`` for each ROI; variances of the logarithms
       add over changes.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(5) * np.timedelta64(1, "s")
    >>> sample = xr.Dataset(
    ...     {"intensity": (("time", "roi"), [[1000.0], [1000.0], [300.0], [100.0], [100.0]])},
    ...     {"time": time, "roi": ["WZ"]},
    ... )
    >>> corrected = correct_attenuation(sample, [AttenuationChange(time[1], time[3])])
    >>> corrected.intensity.sel(roi="WZ").values
    array([1000., 1000.,   nan, 1000., 1000.])
    >>> corrected.attenuation_factor.values.round(6), corrected.segment.values
    (array([ 1.,  1., nan, 10., 10.]), array([ 0,  0, -1,  1,  1]))
    """
    check_kind(sample, "Dataset")
    require(sample, dims=("time", "roi"), variables=("intensity",))
    require_time_order(sample)
    if _RECORD in sample.attrs or "attenuation_factor" in sample.variables:
        raise CorrectionError("the sample is already corrected for attenuation; call undo_attenuation first")
    if overlap is not None:
        changes = attenuation_from_overlap(sample, overlap, changes=list(changes) or None, roi=roi)
    placed = placed_changes(sample, changes)
    normalised = per_second(sample)
    rois = signal_rois(sample, roi)
    settled = settled_changes(normalised, placed, rois, window=window, method=method, tolerance=common_tolerance)
    segment = segments(sample.sizes["time"], placed)
    stays = reference_segment(sample, segment, reference)
    scales = _scales(settled, segment, stays)
    names = _scalable(sample, legacy)
    record = {
        "changes": [as_kept(sample, change.to_dict()) for change in settled],
        "reference_segment": stays,
        "asked": roi if roi is None or isinstance(roi, str) else list(roi),
        "scaled": names,
        "made": [name for name in ("segment", "quality") if name not in sample.variables],
    }
    result = _scaled(sample, normalised, names, scales["attenuation_factor"])
    result = _flagged(result, segment, _doubtful(changes)).assign_coords(_with_earlier(sample, scales))
    return result.assign_attrs({_RECORD: json.dumps(record)})


def undo_attenuation(sample: xr.Dataset) -> xr.Dataset:
    """Return the sample as it was measured, before :func:`correct_attenuation`.

    Raises
    ------
    CorrectionError
        The sample is not corrected.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(4) * np.timedelta64(1, "s")
    >>> counts = xr.DataArray([[800.0], [800.0], [100.0], [100.0]], dims=("time", "roi"))
    >>> sample = xr.Dataset({"intensity": counts}, {"time": time, "roi": ["WZ"]})
    >>> joined = correct_attenuation(sample, [AttenuationChange(time[1], time[2], factor=8.0)])
    >>> undo_attenuation(joined).intensity.values.ravel()
    array([800., 800., 100., 100.])
    """
    check_kind(sample, "Dataset")
    if _RECORD not in sample.attrs:
        raise CorrectionError("the sample is not corrected for attenuation, so there is nothing to undo")
    record = json.loads(sample.attrs[_RECORD])
    made, names = record["made"], record["scaled"]
    measured = {name: _told(sample[as_measured(name)].variable, measured=False) for name in names}
    earlier = as_measured(_SHARED)
    shared = {_SHARED: _told(sample[earlier].variable, measured=False)} if earlier in sample else {}
    kept = [as_measured(name) for name in (*names, *shared)]
    result = sample.drop_vars([*kept, *_COORDS]).assign(measured).assign_coords(shared)
    result = _flagged(result, np.zeros(sample.sizes["time"], dtype="int64"))
    del result.attrs[_RECORD]
    return result.drop_vars(made)


def attenuation_changes(sample: xr.Dataset) -> tuple[AttenuationChange, ...]:
    """Return the changes that a sample was corrected by, with their factors, errors and evidence.

    Examples
    --------
    >>> attenuation_changes(xr.Dataset())
    ()
    """
    check_data(sample, measured=True)
    if _RECORD not in sample.attrs:
        return ()
    kept = json.loads(sample.attrs[_RECORD])["changes"]
    return tuple(AttenuationChange.from_dict(as_moments(sample, one)) for one in kept)


def attenuation_record(sample: xr.Dataset) -> dict[str, Any]:
    """Return how a sample was corrected: ``reference_segment``, the ROIs asked for; empty where it was not."""
    return dict(json.loads(sample.attrs.get(_RECORD, "{}")))


# -- applying ---------------------------------------------------------------------------------------------------------


def _scales(
    changes: Sequence[AttenuationChange], segment: npt.NDArray[np.int64], stays: int
) -> dict[str, xr.DataArray]:
    """Attenuation factor of every frame with its error; NaN in a transition."""
    logs = np.cumsum([0.0, *(np.log(change.factor or 1.0) for change in changes)])
    relative = np.array([(change.factor_errors or 0.0) / (change.factor or 1.0) for change in changes])
    spent = np.cumsum([0.0, *relative**2])  # variance of the logarithm, summed over the changes on the way
    factor = np.where(segment == TRANSITION, np.nan, np.exp(logs - logs[stays])[segment])
    error = np.where(segment == TRANSITION, np.nan, np.sqrt(np.abs(spent - spent[stays]))[segment])
    scales = {"attenuation_factor": factor, "attenuation_factor_errors": factor * error, "scale_errors": error}
    return {name: describe(xr.DataArray(values, dims="time"), name) for name, values in scales.items()}


def _with_earlier(sample: xr.Dataset, scales: dict[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Add a shared error that the intensities had before, in quadrature, and keep it as it was."""
    if _SHARED not in sample.variables:
        return scales
    earlier = sample[_SHARED].reset_coords(drop=True)
    both = (earlier.fillna(0.0) ** 2 + scales[_SHARED] ** 2) ** 0.5  # unknown ones say nothing
    kept = xr.DataArray(_told(earlier.variable, measured=True))
    return {**scales, _SHARED: describe(both, _SHARED), as_measured(_SHARED): kept}


def _scalable(sample: xr.Dataset, legacy: bool) -> list[str]:
    bases = SCALED + (POSITIONS if legacy else ())  # as scripts before this package did
    names = [name for base in bases for name in (base, errors_name(base))]
    return [name for name in names if name in sample.data_vars]


def as_measured(name: str) -> str:
    """Name under which the measured values stay."""
    base = name.removesuffix("_errors")
    return f"{base}_measured" if base == name else errors_name(f"{base}_measured")


def _told(variable: xr.Variable, *, measured: bool) -> xr.Variable:
    """Return the values with a ``long_name`` that says whether they are as measured, if they have one."""
    text = str(variable.attrs.get("long_name", "")).removesuffix(_MEASURED)
    named = {"long_name": text + (_MEASURED if measured else "")} if text else {}
    told = variable.copy(deep=False)
    told.attrs = {**variable.attrs, **named}
    return told


def _scaled(sample: xr.Dataset, normalised: xr.Dataset, names: Sequence[str], factor: xr.DataArray) -> xr.Dataset:
    variables: dict[str, xr.Variable] = {}
    for name in names:
        units = normalised[name].attrs.get("units")
        values = (normalised[name] * factor).transpose(*sample[name].dims)
        variables[name] = describe(values, name, units=units, long_name=sample[name].attrs.get("long_name")).variable
        variables[as_measured(name)] = _told(sample[name].variable, measured=True)
    return sample.assign(variables)


def _doubtful(changes: Iterable[AttenuationChange]) -> list[int]:
    """Positions of frames that the finder takes for too few to be a level."""
    rejected = changes.rejected if isinstance(changes, FoundChanges) else ()
    return [position for one in rejected for position in one.doubtful]


def _flagged(sample: xr.Dataset, segment: npt.NDArray[np.int64], doubtful: Sequence[int] = ()) -> xr.Dataset:
    """Set ``segment``, and flag the frames in a transition and those that are no level of their own."""
    flags = np.where(segment == TRANSITION, int(Quality.IN_TRANSITION), 0).astype("int32")
    flags[list(doubtful)] |= int(Quality.NEAR_CHANGE)
    flag = xr.DataArray(flags, dims="time")
    if "quality" in sample.variables:
        held = sample["quality"]
        flagged = (
            ((held & ~int(Quality.IN_TRANSITION | Quality.NEAR_CHANGE)) | flag).transpose(*held.dims).astype(held.dtype)
        )
    else:
        flagged = flag.broadcast_like(sample["intensity"]).transpose("time", "roi")
    numbered = describe(xr.DataArray(segment, dims="time"), "segment")
    return sample.assign(quality=describe(flagged, "quality")).assign_coords(segment=numbered)
