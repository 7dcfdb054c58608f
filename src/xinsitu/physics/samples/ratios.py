"""Ratios of intensities and phase fractions: what all ROIs of a frame share cancels, in the errors too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from xinsitu.errors import RoiError, SchemaError, warn
from xinsitu.kernels import Doubles
from xinsitu.physics.attenuation.scaling import as_measured
from xinsitu.schema import Quality, check_kind, describe, require
from xinsitu.values import OWN_EDGE
from xinsitu.values.fields import roi_records

from .shared_pixels import Places

WEAK = 5.0
"""A denominator below so many standard errors is flagged: the ratio is then biased, and its error no normal one."""


def ratio(
    series: xr.Dataset,
    numerator: str | Sequence[str],
    denominator: str | Sequence[str],
    *,
    weights: Mapping[str, float] | None = None,
) -> xr.Dataset:
    """Ratio of the intensities of two ROIs, or of two sums of ROIs, with its error.

    Parameters
    ----------
    series
        A ROI time series or a sample, dims ``(time, roi)``; it is computed.
    numerator, denominator
        Names of ROIs; the intensities of several are added. A ROI may stand in both.
    weights
        Intensity that a unit of each ROI's phase gives (structure factor, multiplicity, ...), by which its intensity is
        divided first; 1 for those that are not named.

    Returns
    -------
    Dataset
        ``ratio (time)``, ``ratio_errors`` and ``quality``, and ``ratio_scale_errors``: what the flat field's own
        counting adds, the same in all frames. NaN where the denominator is not above zero.

    Raises
    ------
    RoiError
        There is no ROI of that name.
    SchemaError
        There are no intensities.

    Warns
    -----
    XinsituWarning
        ROIs share a part of their pixels, and no ROI of the series is that part: what is in it is taken by its area.

    Notes
    -----
    ``R = sum_i u_i I_i / sum_i v_i I_i`` has the variance ``sum_ij g_i g_j C_ij`` with ``g_i = (u_i - R v_i) / sum_i
    v_i I_i``. ``C`` is the covariance of the net intensities ``I_i = S_i - A_i sum_r S_r / sum_r A_r``: sums ``S`` of
    ROIs have in common the variance of the pixels in both; a background region counts in all ROIs that use it, and the
    level of whole frames in all. Attenuation factors, exposure times, monitors and what frames are divided by are the
    same in numerator and denominator: neither they nor their errors are in a ratio (Bevington & Robinson, Data
    Reduction and Error Analysis, ch. 3).

    Examples
    --------
    >>> counts = xr.Dataset(
    ...     {
    ...         "intensity": (("time", "roi"), [[400.0, 100.0]]),
    ...         "intensity_errors": (("time", "roi"), [[20.0, 10.0]]),
    ...     },
    ...     {"roi": ["WZ", "ZB"]},
    ... )
    >>> found = ratio(counts, "WZ", "ZB")
    >>> found.ratio.item(), round(found.ratio_errors.item(), 4)
    (4.0, 0.4472)
    """
    check_kind(series, "Dataset")
    above, below = ([names] if isinstance(names, str) else list(names) for names in (numerator, denominator))
    names = list(dict.fromkeys([*above, *below]))
    part = _measured(series, names)
    scale = _per_unit(names, weights)
    u, v = (np.array([name in side for name in names]) / scale for side in (above, below))
    values, errors, shared, weak = _ratios(part, u[None], v)
    flags = np.bitwise_or.reduce(part.flags, axis=1) | np.where(weak, int(Quality.LOW_COUNTS), 0)
    text = f"{' + '.join(above)} over {' + '.join(below)}"
    return _described("ratio", ("time",), values[:, 0], errors[:, 0], shared[:, 0], flags, text, series)


def fraction(series: xr.Dataset, rois: Sequence[str], *, weights: Mapping[str, float] | None = None) -> xr.Dataset:
    """Return the part that each of some ROIs has in the sum of their intensities: phase fractions WZ, ZB, TW.

    Parameters
    ----------
    series, weights
        As in :func:`ratio`.
    rois
        Names, two at least; their fractions add up to 1.

    Returns
    -------
    Dataset
        ``fraction (time, roi)``, ``fraction_errors``, ``fraction_scale_errors`` and ``quality``, as in :func:`ratio`.

    Raises
    ------
    RoiError
        There is no ROI of that name, or less than two are named.
    SchemaError
        There are no intensities.

    Examples
    --------
    >>> counts = xr.Dataset({"intensity": (("time", "roi"), [[300.0, 75.0, 25.0]])}, {"roi": ["WZ", "ZB", "TW"]})
    >>> fraction(counts, ["WZ", "ZB", "TW"]).fraction.values
    array([[0.75  , 0.1875, 0.0625]])
    """
    names = list(dict.fromkeys([rois] if isinstance(rois, str) else rois))
    if len(names) < 2:
        raise RoiError("a fraction is of two ROIs at least, such as WZ, ZB and TW")
    part = _measured(series, names)
    scale = _per_unit(names, weights)
    values, errors, shared, weak = _ratios(part, np.diag(1 / scale), 1 / scale)
    flags = part.flags | np.where(weak, int(Quality.LOW_COUNTS), 0)[:, None]
    text = f"part of the sum of {', '.join(names)}"
    result = _described("fraction", ("time", "roi"), values, errors, shared, flags, text, series)
    return result.assign_coords(roi=describe(xr.DataArray(np.array(names), dims="roi"), "roi"))


def with_fractions(
    series: xr.Dataset, rois: Sequence[str], *, weights: Mapping[str, float] | None = None
) -> xr.Dataset:
    """Return the series with ``fraction (time, roi)`` and its errors beside the rest; NaN for all other ROIs."""
    parts = fraction(series, rois, weights=weights)
    places = [[str(name) for name in series["roi"].values].index(name) for name in parts["roi"].values]
    wide = {}
    for name in ("fraction", "fraction_errors"):
        values = np.full((series.sizes["time"], series.sizes["roi"]), np.nan)
        values[:, places] = parts[name].values
        text = f"part of the sum of {', '.join(parts['roi'].values)}"
        wide[name] = describe(xr.DataArray(values, dims=("time", "roi")), name, long_name=text).variable
    return series.assign(wide)


class _Part:
    """Net intensities of some ROIs as they were measured, their covariance, and what stays the same in all frames."""

    def __init__(self, net: Doubles, covariance: Doubles, flat: Doubles, flags: np.ndarray) -> None:
        self.net, self.covariance, self.flat, self.flags = net, covariance, flat, flags


def _per_unit(names: Sequence[str], weights: Mapping[str, float] | None) -> Doubles:
    weights = weights or {}
    if strange := [name for name in weights if name not in names]:
        raise RoiError(f"there is a weight of {strange[0]!r}, which is none of {', '.join(names)}")
    scale = np.array([float(weights.get(name, 1.0)) for name in names])
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise SchemaError("weights of ROIs are numbers above zero")
    return scale


def _ratios(part: _Part, u: Doubles, v: Doubles) -> tuple[Doubles, Doubles, Doubles, np.ndarray]:
    """Ratios ``(time, k)`` of ``u`` to ``v``, their errors, what the flat field adds, and weak denominators."""
    below = part.net @ v
    known = np.where(below > 0, below, np.nan)
    values = (part.net @ u.T) / known[:, None]
    g = (u[None] - values[:, :, None] * v) / known[:, None, None]  # (time, k, roi)
    variance = np.einsum("tki,tij,tkj->tk", g, part.covariance, g)
    shared = np.sqrt(np.einsum("tki,ti->tk", g**2, part.net**2)) * part.flat[:, None]
    spread = np.sqrt(np.maximum(np.einsum("i,tij,j->t", v, part.covariance, v), 0))
    weak = ~(below > WEAK * np.nan_to_num(spread))
    return values, np.sqrt(np.maximum(variance, 0)), shared, weak


def _described(
    name: str,
    dims: tuple[str, ...],
    values: Doubles,
    errors: Doubles,
    shared: Doubles,
    flags: np.ndarray,
    text: str,
    series: xr.Dataset,
) -> xr.Dataset:
    coords = {
        key: held.variable for key, held in series.coords.items() if held.dims in ((), ("time",)) and key != "roi"
    }
    variables = {}
    for key, numbers, words in (
        (name, values, text),
        (f"{name}_errors", errors, f"standard error of the {text}"),
        (f"{name}_scale_errors", shared, f"standard error of the {text} from the flat field, shared by all frames"),
    ):
        variables[key] = xr.Variable(dims, numbers, {"units": "1", "long_name": words})
    quality = describe(xr.DataArray(flags.astype(np.int32), dims=dims), "quality")
    kept = {
        key: series.attrs[key] for key in ("events", "rois", "source", "sources", "time_zone") if key in series.attrs
    }
    return xr.Dataset({**variables, "quality": quality.variable}, coords, kept)


# -- the covariance of net intensities --------------------------------------------------------------------------------


def _measured(series: xr.Dataset, names: Sequence[str]) -> _Part:
    """Intensities before anything was scaled, NaN where they are NaN now, with their covariance."""
    require(series, dims=("time", "roi"), variables=("intensity",))
    there = [str(name) for name in series["roi"].values] if "roi" in series.coords else []
    if unknown := [name for name in names if name not in there]:
        raise RoiError(f"there is no ROI {unknown[0]!r}; there are {', '.join(there) or 'none with a name'}")
    scaled = "intensity_measured" in series.variables
    wanted = [as_measured(name) if scaled else name for name in ("intensity", "intensity_errors")]
    read = series[[name for name in dict.fromkeys(("intensity", *wanted, "n_valid", "quality")) if name in series]]
    read = read.transpose("time", "roi", ...).compute()
    shape = (series.sizes["time"], len(there))
    known = np.isfinite(read["intensity"].values)
    net = np.where(known, read[wanted[0]].values, np.nan)
    errors = read[wanted[1]].values if wanted[1] in read else np.full(shape, np.nan)
    pixels = read["n_valid"].values.astype(float) if "n_valid" in read else np.full(shape, np.nan)
    flags = read["quality"].values if "quality" in read else np.zeros(shape, np.int32)
    used = [there.index(name) for name in names]
    covariance = _covariance(series, there, used, net, errors, pixels)
    flat_name = as_measured("scale_errors") if scaled else "scale_errors"
    flat = np.broadcast_to(np.nan_to_num(_per_frame(series, flat_name)), shape[:1])
    return _Part(net[:, used], covariance, flat, flags[:, used])


def _per_frame(series: xr.Dataset, name: str) -> Doubles:
    if name not in series.variables:
        return np.zeros(series.sizes["time"])
    return np.broadcast_to(np.asarray(series[name].values, dtype=float), (series.sizes["time"],))


def _covariance(
    series: xr.Dataset, names: Sequence[str], used: Sequence[int], net: Doubles, errors: Doubles, pixels: Doubles
) -> Doubles:
    """Covariance ``(time, roi, roi)`` of the net intensities of some ROIs."""
    under = _backgrounds(series, names)
    # what whole frames were divided by is in all errors and in no ratio
    variance = np.maximum(errors**2 - (net * _per_frame(series, "frame_scale_errors")[:, None]) ** 2, 0)
    weights = np.zeros((len(net), len(names), len(names)))  # of the sums of all ROIs in each net intensity
    weights[:] = np.eye(len(names))
    for number, others in under.items():
        area = pixels[:, others].sum(axis=1)
        weights[:, number, others] -= np.divide(pixels[:, number], area, out=np.zeros(len(net)), where=area > 0)[
            :, None
        ]
    needed = sorted({*used, *(other for number in used for other in under.get(number, ()))})
    sums = variance[:, :, None] * np.eye(len(names))
    places = Places.read(series, names)
    level = np.zeros_like(net)
    if "level_errors" in series.variables:  # of each sum; those less a background of their own do not have it
        level = _per_frame(series, "level_errors")[:, None] * pixels
        level[:, places.own_edge] = 0.0
        for number in set(needed) - set(under):
            sums[:, number, number] = np.maximum(sums[:, number, number] - level[:, number] ** 2, 0)
    guessed = places.put_shared(sums, needed)
    for number in under:
        if number in needed:  # a net intensity's error has the background's in it; take it out again
            only = weights[:, number].copy()
            only[:, number] = 0.0
            extra = np.einsum("ti,tij,tj->t", only, sums, only) + 2 * np.einsum("ti,ti->t", only, sums[:, number])
            sums[:, number, number] = np.maximum(variance[:, number] - extra, 0)
    places.put_shared(sums, needed)  # again, now that sums have their own variance
    if guessed:
        pairs = ", ".join(dict.fromkeys(f"{names[one]} and {places.called(other, names)}" for one, other in guessed))
        warn(
            f"{pairs} share a part of their pixels, and how much of their errors that is is an estimate by its area: "
            "measure that part as a ROI of its own, take backgrounds from other ROIs instead of from their edges, or "
            "use ROIs that do not overlap"
        )
    sums += level[:, :, None] * level[:, None, :]
    whole = np.einsum("tai,tij,tbj->tab", weights[:, used], sums, weights[:, used])
    return np.asarray(whole)


def _backgrounds(series: xr.Dataset, names: Sequence[str]) -> dict[int, list[int]]:
    """ROIs whose background comes from other ROIs, and from which."""
    found = {}
    for roi, one in roi_records(series).items():
        under = one.get("background")
        others = [name for name in under if name not in OWN_EDGE and name in names] if isinstance(under, list) else []
        if others and roi in names:
            found[names.index(roi)] = [names.index(name) for name in others]
    return found
