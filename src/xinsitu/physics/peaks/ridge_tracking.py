"""Ridges of a kymograph: several peaks followed through time, as they come, go and cross."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.optimize import linear_sum_assignment

from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles
from xinsitu.schema import Quality

from .fits import MOST_PEAKS, Shape, fit_profiles

CERTAIN = 25.0
"""By how much chi square must fall for one more peak, in units of that of a point: noise does it in 1 of 60,000."""
REACH = 1.0
"""Widths from where a ridge is expected within which a peak is taken for it ..."""
NOISE = 5.0
"""... and standard errors of both."""
SLOPE = 15
"""Frames of a ridge from which it is told where it goes on."""
HIDDEN, LONGER = 2.0, 5
"""Widths of a peak within which another one is hidden, and times the gap that it may stay so."""
FAR = 1e9
NAMES = ("height", "centre", "fwhm", "area")


class Event(enum.IntFlag):
    """What happens to a ridge in a frame, stored as CF ``flag_masks`` in ``event``."""

    BORN = 1
    DIES = 2
    CROSSING = 4
    MERGED = 8


def find_ridges(
    profile: xr.DataArray,
    dim: str,
    *,
    peaks: int = 4,
    shape: Shape = "gaussian",
    shared_width: bool = False,
    errors: xr.DataArray | None = None,
    per_count: xr.DataArray | None = None,
    gap: int = 12,
    least: int = 5,
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
    number = _how_many(fits, np.isfinite(profile.values).sum(axis=1), weighted=errors is not None)
    frames = [_peaks_of(fits, int(n), frame) for frame, n in enumerate(number)]
    ridges = [ridge for ridge in _linked(frames, gap) if len(ridge.places) >= least]
    return _named(ridges, number, fits[0], profile)


def _how_many(fits: list[xr.Dataset], points: npt.NDArray[np.intp], *, weighted: bool) -> npt.NDArray[np.int64]:
    """Return how many peaks each frame shows: as long as each of them makes chi square small enough."""
    number = np.zeros(len(points), dtype=np.int64)
    best = np.full(len(points), np.inf)
    for count, found in enumerate(fits, start=1):
        sound = (found["quality"].values & Quality.FIT_FAILED) == 0
        chi_square = np.where(sound, found["chi_square"].values, np.inf)
        per_point = chi_square / np.maximum(found["n_free"].values, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            if weighted:  # a shape that does not fit has its chi square all over the profile
                fallen = (best - chi_square) / np.maximum(per_point, 1)
            else:
                fallen = points * np.log(best / np.maximum(chi_square, 1e-300))
        better = sound & ((number == 0) | (fallen > CERTAIN))
        number, best = np.where(better, count, number), np.where(better, chi_square, best)
    return number


Peak = dict[str, float]


def _peaks_of(fits: list[xr.Dataset], number: int, frame: int) -> list[Peak]:
    """Return the peaks of one frame, along the axis."""
    if number == 0:
        return []
    found = fits[number - 1]
    columns = {name + end: np.atleast_1d(found[name + end].values[frame]) for name in NAMES for end in ("", "_errors")}
    quality = float(found["quality"].values[frame])
    return [{name: float(values[peak]) for name, values in columns.items()} | {"quality": quality}
            for peak in range(number)]  # fmt: skip


@dataclass
class _Ridge:
    """A peak followed so far: its frames, and what it was in them."""

    frames: list[int] = field(default_factory=list)
    places: list[Peak] = field(default_factory=list)

    def expected(self, frame: int) -> float:
        """Where it should be in a frame, by a straight line through the last ones."""
        last = self.frames[-SLOPE:]
        centres = [place["centre"] for place in self.places[-SLOPE:]]
        if len(last) < 3:
            return centres[-1]
        slope, at = np.polyfit(np.array(last, dtype=float) - last[-1], centres, 1)
        return float(at + slope * (frame - last[-1]))

    def distance(self, peak: Peak, frame: int) -> float:
        """Return how far a peak is from where it should be, in what it may be off; large beyond."""
        own = self.places[-1]
        noise = np.hypot(peak["centre_errors"], own["centre_errors"])
        reach = max(REACH * min(peak["fwhm"], own["fwhm"]), NOISE * float(np.nan_to_num(noise)))
        reach *= 1 + (frame - self.frames[-1] - 1) / SLOPE  # a line says less, the further it goes on
        off = abs(peak["centre"] - self.expected(frame)) / reach
        alike = abs(np.log(peak["area"] / own["area"])) if min(peak["area"], own["area"]) > 0 else 1.0
        return FAR if off > 1 else off + 0.1 * min(alike, 2.0)

    def lives(self, frame: int, peaks: list[Peak], gap: int) -> bool:
        """Whether it may go on in a frame: not missing for long, or hidden by a peak of this frame."""
        missing = frame - self.frames[-1] - 1
        if missing <= gap:
            return True
        if missing > LONGER * gap:
            return False
        return any(abs(peak["centre"] - self.expected(frame)) < HIDDEN * peak["fwhm"] for peak in peaks)

    def add(self, frame: int, peak: Peak) -> None:
        """Go on."""
        self.frames.append(frame)
        self.places.append(peak)


def _linked(frames: list[list[Peak]], gap: int) -> list[_Ridge]:
    """Put the peaks of successive frames together to ridges."""
    every: list[_Ridge] = []
    alive: list[_Ridge] = []
    for frame, peaks in enumerate(frames):
        alive = [ridge for ridge in alive if ridge.lives(frame, peaks, gap)]
        taken: set[int] = set()
        if alive and peaks:
            cost = np.array([[ridge.distance(peak, frame) for peak in peaks] for ridge in alive])
            for one, other in zip(*linear_sum_assignment(cost), strict=True):
                if cost[one, other] < FAR:
                    alive[one].add(frame, peaks[other])
                    taken.add(int(other))
        new = [_Ridge([frame], [peak]) for place, peak in enumerate(peaks) if place not in taken]
        every, alive = every + new, alive + new
    return every


def _events(ridges: list[_Ridge], centre: Doubles, number: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return what happens to ridges, ``(time, ridge)``."""
    event = np.zeros(centre.shape, dtype=np.int32)
    seen = np.isfinite(centre)
    for place, ridge in enumerate(ridges):
        first, last = ridge.frames[0], ridge.frames[-1]
        event[first, place] |= Event.BORN if first > 0 else 0
        event[last, place] |= Event.DIES if last < len(centre) - 1 else 0
        missing = ~seen[:, place] & (number > 0)
        missing[:first] = missing[last:] = False
        event[missing, place] |= Event.MERGED
    for one, other, frame in _crossings(centre):
        event[frame, [one, other]] |= Event.CROSSING
    return event


def _crossings(centre: Doubles) -> Iterator[tuple[int, int, int]]:
    """Give pairs of ridges, and the frames from which on they lie the other way round."""
    for one in range(centre.shape[1]):
        for other in range(one + 1, centre.shape[1]):
            apart = centre[:, one] - centre[:, other]
            known = np.flatnonzero(np.isfinite(apart) & (apart != 0))
            for turned in np.flatnonzero(np.diff(np.sign(apart[known])) != 0):
                yield one, other, int(known[turned + 1])


def _named(ridges: list[_Ridge], number: npt.NDArray[np.int64], first: xr.Dataset, profile: xr.DataArray) -> xr.Dataset:
    """One variable per quantity, with units, errors and flags."""
    shape, dims = (profile.sizes["time"], len(ridges)), ("time", "ridge")
    columns = {name + end: np.full(shape, np.nan) for name in NAMES for end in ("", "_errors")}
    quality = np.zeros(shape, dtype=np.int32)
    for place, ridge in enumerate(ridges):
        for name, values in columns.items():
            values[ridge.frames, place] = [peak[name] for peak in ridge.places]
        quality[ridge.frames, place] = [int(peak["quality"]) for peak in ridge.places]
    coords = {name: one for name, one in profile.coords.items() if one.dims in ((), ("time",))}
    result = xr.Dataset(coords={**coords, "ridge": ("ridge", np.arange(len(ridges)), {"long_name": "ridge"})})
    for name, values in columns.items():
        result[name] = xr.Variable(dims, values, first[name].attrs)
    result["quality"] = xr.Variable(dims, quality, first["quality"].attrs)
    result["event"] = xr.Variable(
        dims,
        _events(ridges, columns["centre"], number),
        {
            "flag_masks": np.array([one.value for one in Event], dtype=np.int32),
            "flag_meanings": " ".join(str(one.name).lower() for one in Event),
            "long_name": "what happens to a ridge",
        },
    )
    result["n_peaks"] = xr.Variable(("time",), number, {"long_name": "number of peaks in the frame"})
    return result
