"""Ridges of a kymograph: several peaks followed through time, as they come, go and cross."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xinsitu.defaults import MOST_PEAKS, PeakShape
from xinsitu.errors import SchemaError

from .fits import fit_profiles
from .followed_peaks import GAP, LEAST, followed
from .followed_peaks import Event as Event


def find_ridges(
    profile: xr.DataArray,
    dim: str,
    *,
    peaks: int = 4,
    shape: PeakShape = "gaussian",
    shared_width: bool = False,
    errors: xr.DataArray | None = None,
    per_count: xr.DataArray | None = None,
    gap: int = GAP,
    least: int = LEAST,
) -> xr.Dataset:
    """Follow up to four peaks of profiles through time: where they come, go and cross.

    Each profile is fitted with one peak, two, and so on (:func:`fit_profiles`, whose start values come from the frame
    before, too); another peak is one only if chi square falls by more than 25 for it. Peaks of successive frames are
    taken for one ridge by where it is expected from its last fifteen frames (all ridges at once, by the least sum of
    distances: Kuhn's assignment), within a width or five standard errors.

    Parameters
    ----------
    profile
        Dims ``time`` and ``dim``, e.g. from :func:`~xinsitu.profiles`; loaded.
    dim
        Along which the peaks lie.
    peaks
        How many there are at most in a frame, 1 to 4.
    shape, shared_width, errors, per_count
        As in :func:`fit_profiles`.
    gap
        Frames in a row that a ridge may be missing; five times as many while it is expected within two widths of
        another peak, that may hide it.
    least
        Frames in which a ridge must be seen.

    Returns
    -------
    Dataset
        ``(time, ridge)``, ridges in the order of their first frame and place: ``height``, ``centre``, ``fwhm``,
        ``area``, each with ``*_errors``, NaN where a ridge is not seen; ``quality``, as of the fit; ``event``: ``born``
        and ``dies`` in its first and last frame, unless these are the first and last of all; ``crossing`` in the frame
        from which on it lies on the other side of another ridge; ``merged`` where it is missing between two frames and
        others are seen. ``n_peaks (time)``: how many peaks the frame shows.

    Raises
    ------
    SchemaError
        The profile has no ``time``, or the numbers make no sense.

    Notes
    -----
    H. W. Kuhn, Naval Res. Logist. Q. 2 (1955) 83, doi:10.1002/nav.3800020109. 25 is Wilks' likelihood ratio for three
    parameters at odds of 1.5e-5.

    Examples
    --------
    >>> x, time = np.arange(60.0), np.arange(12)
    >>> bell = lambda centre: 100 * np.exp(-((x - centre[:, None]) ** 2) / 18)
    >>> rows = bell(15 + 0.5 * time) + np.where(time[:, None] > 5, bell(40.0 + 0 * time), 0)
    >>> found = find_ridges(xr.DataArray(rows, dims=("time", "x")), "x", peaks=2)
    >>> found.centre.isel(time=[0, 11]).round(3).values.tolist(), found.event.max("time").values.tolist()
    ([[15.0, nan], [20.5, 40.0]], [0, 1])
    """
    if set(profile.dims) != {"time", dim} or dim == "time":
        raise SchemaError(f"ridges run through profiles with the dims time and {dim!r}, not {tuple(profile.dims)}")
    if isinstance(peaks, bool) or peaks not in range(1, MOST_PEAKS + 1):
        raise SchemaError(f"1 to {MOST_PEAKS} peaks are followed, not {peaks!r}")
    if gap < 0 or least < 1:
        raise SchemaError(f"gap is 0 or more, least 1 or more, not {gap!r} and {least!r}")
    profile = profile.transpose("time", dim).compute()
    how = {"shape": shape, "shared_width": shared_width, "errors": errors, "per_count": per_count}
    fits = [fit_profiles(profile, dim, peaks=number, **how) for number in range(1, peaks + 1)]  # type: ignore[arg-type]
    points = np.isfinite(profile.values).sum(axis=1)
    return followed(fits, points, weighted=errors is not None, gap=gap, least=least)
