"""Peaks of successive frames put together to ridges, and what happens to these: born, crossing, merged, gone."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.optimize import linear_sum_assignment

from xinsitu.kernels import Bools, Doubles
from xinsitu.schema import Quality

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
HELD = 0.1, 0.5
"""By which part of a peak that has ended in it one is larger: as long as it may be in it, and where it surely is."""
FAR = 1e9
NAMES = ("height", "centre", "fwhm", "area")


class Event(enum.IntFlag):
    """What happens to a ridge in a frame, stored as CF ``flag_masks`` in ``event``."""

    BORN = 1
    DIES = 2
    CROSSING = 4
    MERGED = 8


HINTS = 15
"""Frames in most of which a peak is rather fitted as two before it is doubted."""
GAP, LEAST = 12, 5
"""Frames in a row that a ridge may be missing, and in which it must be seen."""


def followed(
    fits: Sequence[xr.Dataset], points: npt.NDArray[np.intp], *, weighted: bool, gap: int = GAP, least: int = LEAST
) -> xr.Dataset:
    """Put together the peaks of fits ``(time, peak)`` with one peak, two, and so on, as :func:`find_ridges` says.

    ``points`` are those that each frame was fitted to; not ``weighted``: their scatter tells the errors.
    """
    number = _how_many(fits, points, weighted=weighted)
    frames = [_peaks_of(fits, int(n), frame) for frame, n in enumerate(number)]
    ridges = [ridge for ridge in _linked(frames, gap) if len(ridge.places) >= least]
    result = _named(ridges, number, fits[0])
    centre, fwhm, area = (result[name].values for name in ("centre", "fwhm", "area"))
    doubt = _holds_another(centre, fwhm, gap) | _rather_two(centre, fwhm, fits, number)
    for way in (slice(None), slice(None, None, -1)):  # what has ended in a peak, and what will begin in one
        doubt |= _has_taken(centre[way], fwhm[way], area[way])[way]
    result["quality"].values[doubt] |= int(Quality.ERRORS_DOUBTFUL)
    return result


def _how_many(fits: Sequence[xr.Dataset], points: npt.NDArray[np.intp], *, weighted: bool) -> npt.NDArray[np.int64]:
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


def _peaks_of(fits: Sequence[xr.Dataset], number: int, frame: int) -> list[Peak]:
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


def _holds_another(centre: Doubles, fwhm: Doubles, gap: int) -> Bools:
    """Tell where a peak is fitted to two, ``(time, ridge)``: another ridge, not seen there, should be where it is.

    What is born from another peak, or dies in one, may have been there before, or be there still.
    """
    held, frame = np.zeros(centre.shape, dtype=bool), np.arange(len(centre))
    for known, own in zip(np.isfinite(centre).T, centre.T, strict=True):
        place, lived = np.interp(frame, frame[known], own[known]), frame[known]
        hidden = ~known & (frame >= lived[0] - gap) & (frame <= lived[-1] + gap)
        with np.errstate(invalid="ignore"):
            held |= hidden[:, None] & (np.abs(centre - place[:, None]) < HIDDEN * fwhm)
    return held


def _rather_two(centre: Doubles, fwhm: Doubles, fits: Sequence[xr.Dataset], number: npt.NDArray[np.int64]) -> Bools:
    """Tell where a peak is rather two, ``(time, ridge)``: with one more in the frame, as a rule two lie in its place.

    Noise makes such a fit in a frame here and there. A peak that grows, or fades, slowly is there for many frames in
    which it alone would not make chi square small enough; and it draws the one beside it to itself.
    """
    from scipy.ndimage import median_filter

    near = np.zeros(centre.shape, dtype=np.int64)
    for count, found in enumerate(fits[1:], start=1):
        apart = np.abs(found["centre"].values[:, None, :] - centre[:, :, None])  # NaN where that fit failed
        with np.errstate(invalid="ignore"):
            near += np.where((number == count)[:, None], (apart < HIDDEN * fwhm[:, :, None]).sum(axis=2), 0)
    return np.asarray(median_filter(near >= 2, size=(HINTS, 1), mode="mirror")) if near.size else near >= 2


def _has_taken(centre: Doubles, fwhm: Doubles, area: Doubles) -> Bools:
    """Tell where a peak is as large as it and another one were, ``(time, ridge)``, since this ended beside it.

    And from there on as long as it is larger than it was alone: one that fades in it is in it to the end.
    """
    from scipy.ndimage import binary_propagation, median_filter

    taken = np.zeros(centre.shape, dtype=bool)
    seen, frame = np.isfinite(centre), np.arange(len(centre))
    for ended, own in itertools.permutations(range(centre.shape[1]), 2):
        both = np.flatnonzero(seen[:, ended] & seen[:, own])[-SLOPE:]
        if not (np.abs(centre[both, own] - centre[both, ended]) < HIDDEN * fwhm[both, own])[-LEAST:].any():
            continue
        known = np.flatnonzero(seen[:, own])
        level = median_filter(np.interp(frame, known, area[known, own]), HINTS, mode="mirror")
        more = (level - np.median(area[both, own])) / np.median(area[both, ended])
        since = frame > np.flatnonzero(seen[:, ended])[-1]
        taken[:, own] |= binary_propagation(since & (more > HELD[1]), mask=since & (more > HELD[0]))
    return taken


def _crossings(centre: Doubles) -> Iterator[tuple[int, int, int]]:
    """Give pairs of ridges, and the frames from which on they lie the other way round."""
    for one in range(centre.shape[1]):
        for other in range(one + 1, centre.shape[1]):
            apart = centre[:, one] - centre[:, other]
            known = np.flatnonzero(np.isfinite(apart) & (apart != 0))
            for turned in np.flatnonzero(np.diff(np.sign(apart[known])) != 0):
                yield one, other, int(known[turned + 1])


def _named(ridges: list[_Ridge], number: npt.NDArray[np.int64], first: xr.Dataset) -> xr.Dataset:
    """One variable per quantity, with units, errors and flags."""
    shape, dims = (len(number), len(ridges)), ("time", "ridge")
    columns = {name + end: np.full(shape, np.nan) for name in NAMES for end in ("", "_errors")}
    quality = np.zeros(shape, dtype=np.int32)
    for place, ridge in enumerate(ridges):
        for name, values in columns.items():
            values[ridge.frames, place] = [peak[name] for peak in ridge.places]
        quality[ridge.frames, place] = [int(peak["quality"]) for peak in ridge.places]
    coords = {name: one for name, one in first.coords.items() if one.dims in ((), ("time",))}
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
