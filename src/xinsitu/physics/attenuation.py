"""Bring a sample to one attenuation: multiply the intensities behind each change, and undo it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import CorrectionError, RoiError, StitchError, XinsituWarning
from xinsitu.schema import SCALED, Quality, describe, errors_name, require
from xinsitu.values import AttenuationChange, utc_text

from .exposure import per_second
from .factors import NOISE_FRAMES, FactorEstimate, Floats, common_factor, end_points, level_noise
from .keys import KeyLike, times
from .placing import TRANSITION, PlacedChange, placed_changes, reference_segment, segments, with_keys

_RECORD = "attenuation"
"""Attribute of a corrected sample: JSON text with the changes and what undo_attenuation has to know."""
_MEASURED = ", as measured"
_COORDS = ("attenuation_factor", "attenuation_factor_errors", "scale_errors")


def correct_attenuation(
    sample: xr.Dataset,
    changes: Iterable[AttenuationChange],
    *,
    roi: str | Sequence[str] | None = None,
    reference: str | int | KeyLike = "first",
    common_tolerance: float = 0.03,
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
    reference
        The segment that stays as measured: ``first``, ``last``, its number, a measurement, or a moment in it.
    common_tolerance
        How far (relative) ROIs may disagree beyond counting before that is said.

    Returns
    -------
    xr.Dataset
        The sample with the coordinates ``segment`` (-1 in a transition), ``attenuation_factor``,
        ``attenuation_factor_errors`` and ``scale_errors`` on time, and the measured values as ``intensity_measured``
        and so on. ``scale_errors`` is relative, shared by a whole segment, and not part of ``intensity_errors``.

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
        A given factor contradicts the data, or the ROIs disagree by more than the tolerance.

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
    require(sample, dims=("time", "roi"), variables=("intensity",))
    if _RECORD in sample.attrs or "attenuation_factor" in sample.variables:
        raise CorrectionError("the sample is already corrected for attenuation; call undo_attenuation first")
    placed = placed_changes(sample, changes)
    normalised = per_second(sample)
    levels = _Levels.read(normalised, placed, roi)
    settled = [_settled(normalised, levels, placed, number, common_tolerance) for number in range(len(placed))]
    segment = segments(sample.sizes["time"], placed)
    stays = reference_segment(sample, segment, reference)
    scales = _scales(settled, segment, stays)
    record = {
        "changes": [change.to_dict() for change in settled],
        "reference_segment": stays,
        "roi": roi if roi is None or isinstance(roi, str) else list(roi),
        "made": [name for name in ("segment", "quality") if name not in sample.variables],
    }
    result = _scaled(sample, normalised, scales["attenuation_factor"])
    result = _flagged(result, segment).assign_coords(scales)
    return result.assign_attrs({_RECORD: json.dumps(record)})


def undo_attenuation(sample: xr.Dataset) -> xr.Dataset:
    """Return the sample as it was measured, before :func:`correct_attenuation`.

    Raises
    ------
    CorrectionError
        The sample is not corrected.
    """
    if _RECORD not in sample.attrs:
        raise CorrectionError("the sample is not corrected for attenuation, so there is nothing to undo")
    made = json.loads(sample.attrs[_RECORD])["made"]
    names = _scalable(sample)
    measured = {name: _told(sample[_kept(name)].variable, measured=False) for name in names}
    result = sample.drop_vars([*(_kept(name) for name in names), *_COORDS]).assign(measured)
    if "quality" not in made:
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
    if _RECORD not in sample.attrs:
        return ()
    return tuple(AttenuationChange.from_dict(one) for one in json.loads(sample.attrs[_RECORD])["changes"])


# -- factors ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Levels:
    """Intensities and errors around the changes, dims ``(time, roi)``; NaN where nobody needs them."""

    intensity: Floats
    errors: Floats
    rois: tuple[str, ...]

    @classmethod
    def read(cls, sample: xr.Dataset, placed: Sequence[PlacedChange], roi: str | Sequence[str] | None) -> _Levels:
        """Read only the frames near the changes: a lazy series is not computed as a whole."""
        names = [str(name) for name in sample["roi"].values]
        wanted = _signals(sample) if roi is None else [roi] if isinstance(roi, str) else [str(name) for name in roi]
        if unknown := [name for name in wanted if name not in names]:
            raise RoiError(f"there is no ROI {unknown[0]!r} in the sample; there are {', '.join(names)}")
        near = np.zeros(sample.sizes["time"], dtype=bool)
        for before, after in _windows(placed, near.size):
            near[before], near[after] = True, True
        columns = [name for name in ("intensity", errors_name("intensity")) if name in sample.variables]
        read = sample[columns].sel(roi=wanted).isel(time=near).compute().transpose("time", "roi", ...)
        values = {name: np.full((near.size, len(wanted)), np.nan) for name in ("intensity", errors_name("intensity"))}
        for name in columns:
            values[name][near] = read[name].values
        return cls(values["intensity"], values[errors_name("intensity")], tuple(wanted))

    def at(self, position: int, window: slice) -> tuple[Floats, Floats]:
        """Intensities of one frame and their errors; without errors the scatter of the frames in the window."""
        errors = self.errors[position]
        estimated = level_noise(self.intensity[window])
        return self.intensity[position], np.where(np.isfinite(errors), errors, estimated)


def _signals(sample: xr.Dataset) -> list[str]:
    """Names of the ROIs that are no background; all where nothing says which are.

    An empty area follows the beam too, but counts so little that a median or a dark count shifts its ratio.
    """
    names = [str(name) for name in sample["roi"].values]
    described = json.loads(sample.attrs.get("rois", "{}")).get("rois", [])
    empty = {roi["name"] for roi in described if roi.get("role") == "background"}
    return [name for name in names if name not in empty] or names


def _windows(placed: Sequence[PlacedChange], frames: int) -> list[tuple[slice, slice]]:
    """Frames from which the noise on either side of each change is taken; never beyond the next change."""
    starts = [0, *(one.after for one in placed)]
    stops = [*(one.before + 1 for one in placed), frames]
    return [
        (
            slice(max(starts[i], one.before + 1 - NOISE_FRAMES), one.before + 1),
            slice(one.after, min(stops[i + 1], one.after + NOISE_FRAMES)),
        )
        for i, one in enumerate(placed)
    ]


def _settled(
    sample: xr.Dataset, levels: _Levels, placed: Sequence[PlacedChange], number: int, tolerance: float
) -> AttenuationChange:
    """Return the change with its frames, factor, error and evidence."""
    one, change = placed[number], with_keys(sample, placed[number])
    before, after = _windows(placed, sample.sizes["time"])[number]
    ratios, variances = end_points(levels.at(one.before, before), levels.at(one.after, after))
    variances = np.where(np.isfinite(variances), variances, tolerance**2)  # too few frames to see the noise
    axis = times(sample)
    where = f"the change after {utc_text(axis[one.before])}"
    try:
        estimate = common_factor(ratios, variances, levels.rois, method="end points")
    except StitchError as fault:
        if change.factor is None:
            raise StitchError(f"{where} has no factor: {fault}") from None
        return change
    if change.factor is not None:
        _warn_contradiction(change, estimate, where, tolerance)
        measured = {"measured_factor": estimate.factor, "measured_factor_errors": estimate.factor_errors}
        return replace(change, evidence={**change.evidence, **measured})
    if estimate.spread > tolerance:
        told = ", ".join(f"{roi} {factor:.4g} ± {errors:.2g}" for roi, (factor, errors) in estimate.rois.items())
        warnings.warn(
            f"the ROIs disagree on the factor of {where} ({told}); if one of them changed by itself, name the others",
            XinsituWarning,
            stacklevel=3,
        )
    evidence = {**change.evidence, **estimate.evidence()}
    return replace(change, factor=estimate.factor, factor_errors=estimate.factor_errors, evidence=evidence)


def _warn_contradiction(change: AttenuationChange, estimate: FactorEstimate, where: str, tolerance: float) -> None:
    given, given_errors = change.factor or 1.0, change.factor_errors or 0.0
    doubt = np.hypot(estimate.factor_errors / estimate.factor, given_errors / given)
    if abs(np.log(given / estimate.factor)) > 3 * np.hypot(doubt, tolerance):
        warnings.warn(
            f"the factor {given:.4g} given for {where} contradicts the data, which say {estimate.factor:.4g} ± "
            f"{estimate.factor_errors:.2g}; intensities that were divided by a background or by a monitor behind the "
            "attenuator have no step left",
            XinsituWarning,
            stacklevel=4,
        )


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


# -- applying ---------------------------------------------------------------------------------------------------------


def _scalable(sample: xr.Dataset) -> list[str]:
    names = [name for base in SCALED for name in (base, errors_name(base))]
    return [name for name in names if name in sample.data_vars]


def _kept(name: str) -> str:
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


def _scaled(sample: xr.Dataset, normalised: xr.Dataset, factor: xr.DataArray) -> xr.Dataset:
    variables: dict[str, xr.Variable] = {}
    for name in _scalable(sample):
        units = normalised[name].attrs.get("units")
        values = (normalised[name] * factor).transpose(*sample[name].dims)
        variables[name] = describe(values, name, units=units, long_name=sample[name].attrs.get("long_name")).variable
        variables[_kept(name)] = _told(sample[name].variable, measured=True)
    return sample.assign(variables)


def _flagged(sample: xr.Dataset, segment: npt.NDArray[np.int64]) -> xr.Dataset:
    """Set ``segment``, and flag the frames in a transition."""
    flag = xr.DataArray(np.where(segment == TRANSITION, int(Quality.IN_TRANSITION), 0).astype("int32"), dims="time")
    if "quality" in sample.variables:
        held = sample["quality"]
        flagged = ((held & ~int(Quality.IN_TRANSITION)) | flag).transpose(*held.dims).astype(held.dtype)
    else:
        flagged = flag.broadcast_like(sample["intensity"]).transpose("time", "roi")
    numbered = describe(xr.DataArray(segment, dims="time"), "segment")
    return sample.assign(quality=describe(flagged, "quality")).assign_coords(segment=numbered)
