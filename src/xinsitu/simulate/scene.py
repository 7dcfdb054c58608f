"""What falls on the detector, noise-free, and what the detector makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.special import ndtr

from xinsitu.values import Roi

from .experiment import Experiment
from .parts import Spot

Array = npt.NDArray[np.float64]

_CHIP_ROWS, _CHIP_COLUMNS = 97.5, 60.875  # 2 x 8 readout chips of a PILATUS module


@dataclass(frozen=True, eq=False)
class Pixels:
    """How the pixels of one detector differ.

    Parameters
    ----------
    sensitivity
        (y, x), mean 1; 0 where dead.
    hot
        (y, x), counts that hot pixels add to every frame.
    """

    sensitivity: Array
    hot: Array


def make_pixels(experiment: Experiment, rng: np.random.Generator) -> Pixels:
    """Draw sensitivity, hot and dead pixels."""
    rows, columns = experiment.detector.shape
    y, x = np.mgrid[0:rows, 0:columns]
    slope = 1 + 0.05 * np.sin(2.1 * y / rows + 0.4) * np.cos(2.9 * x / columns)
    chip = (y // _CHIP_ROWS * 8 + x // _CHIP_COLUMNS).astype("int64")
    steps = 1 + 0.02 * rng.standard_normal(int(chip.max()) + 1)
    sensitivity = slope * steps[chip] * (1 + experiment.flat_spread * rng.standard_normal((rows, columns)))
    allowed = np.ones((rows, columns), dtype=bool)
    if not experiment.faults_in_rois:
        for roi in experiment.rois:
            # with a margin, so that no filter carries a fault into a ROI
            allowed[max(roi.y[0] - 3, 0) : roi.y[1] + 3, max(roi.x[0] - 3, 0) : roi.x[1] + 3] = False
    chosen = rng.choice(np.flatnonzero(allowed), experiment.hot + experiment.dead, replace=False)
    sensitivity.flat[chosen[experiment.hot :]] = 0
    hot = np.zeros((rows, columns))
    hot.flat[chosen[: experiment.hot]] = rng.uniform(3_000, 30_000, experiment.hot)
    return Pixels(sensitivity / sensitivity.mean(), hot)


def _between(change: tuple[float, float], progress: Array) -> Array:
    return change[0] + (change[1] - change[0]) * progress


def _bins(centre: Array, sigma: Array, first: int, behind: int) -> Array:
    """Gaussian of area one, integrated over each pixel; dims (time, pixel)."""
    edges = np.arange(first, behind + 1) - 0.5
    return np.diff(ndtr((edges - centre[:, None]) / sigma[:, None]), axis=1)


def spot_profiles(
    spot: Spot, progress: Array, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[Array, Array, Array]:
    """Return counts (time), and the shares of rows (time, y) and columns (time, x) of one spot."""
    return (
        _between(spot.counts, progress),
        _bins(_between(spot.y, progress), _between(spot.sigma_y, progress), *rows),
        _bins(_between(spot.x, progress), _between(spot.sigma_x, progress), *columns),
    )


def noise_free(
    experiment: Experiment, progress: Array, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[Array, Array]:
    """Separable parts ``(time, y, spot)`` and ``(time, spot, x)``; their product plus ``diffuse`` is the frame.

    Neither attenuated nor touched by the detector.
    """
    parts = [spot_profiles(spot, progress, rows, columns) for spot in experiment.spots]
    along_y = np.stack([counts[:, None] * shares for counts, shares, _ in parts], axis=2)
    along_x = np.stack([shares for _, _, shares in parts], axis=1)
    return along_y, along_x


def roi_series(experiment: Experiment, timeline: xr.Dataset) -> xr.Dataset:
    """Return what a perfect measurement of the ROIs gives, dims ``(time, roi)``, from pixel-integrated spots.

    ``intensity`` is net of the diffuse background where the ROI declares one, and ``background`` is what it was net of;
    centre of mass and FWHM are those of the net profiles.
    """
    progress = timeline["progress"].to_numpy()
    columns = []
    for roi in experiment.rois:
        along_y, along_x = noise_free(experiment, progress, roi.y, roi.x)
        height, width = roi.shape
        under = np.full((len(progress), height, 1), experiment.diffuse * width)
        profile_y = np.einsum("tys,ts->ty", along_y, along_x.sum(axis=2))
        profile_x = np.einsum("ts,tsx->tx", along_y.sum(axis=1), along_x)
        if not roi.background:
            profile_y = profile_y + experiment.diffuse * width
            profile_x = profile_x + experiment.diffuse * height
        background = under.sum(axis=(1, 2)) if roi.background else np.zeros(len(progress))
        columns.append(measure_profiles(profile_y, profile_x, roi) | {"background": background})
    return xr.Dataset(
        {name: (("time", "roi"), np.stack([column[name] for column in columns], axis=1)) for name in columns[0]},
        coords={**timeline.coords, "roi": list(experiment.rois.names)},
    )


def measure_profiles(profile_y: Array, profile_x: Array, roi: Roi) -> dict[str, Array]:
    """Sum, centre of mass and FWHM of net noise-free profiles (time, y) and (time, x)."""
    y, x = np.arange(*roi.y), np.arange(*roi.x)
    total = profile_y.sum(axis=1)
    return {
        "intensity": total,
        "com_y": profile_y @ y / total,
        "com_x": profile_x @ x / total,
        "fwhm_y": half_maximum_width(profile_y),
        "fwhm_x": half_maximum_width(profile_x),
    }


def half_maximum_width(profiles: Array) -> Array:
    """Full width at half maximum of profiles (time, pixel) on a base of zero, by linear interpolation.

    NaN where the profile does not fall to the half on both sides.

    Examples
    --------
    >>> half_maximum_width(np.array([[0.0, 2.0, 4.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0]]))
    array([ 2., nan])
    """
    bins, each = np.arange(profiles.shape[1]), np.arange(len(profiles))
    top, half = profiles.argmax(axis=1), profiles.max(axis=1) / 2
    low = profiles <= half[:, None]
    left = np.where(low & (bins < top[:, None]), bins, -1).max(axis=1)
    right = np.where(low & (bins > top[:, None]), bins, len(bins)).min(axis=1)
    crossed = (left >= 0) & (right < len(bins))
    left, right, half, each = left[crossed], right[crossed], half[crossed], each[crossed]
    rise = (half - profiles[each, left]) / (profiles[each, left + 1] - profiles[each, left])
    fall = (profiles[each, right - 1] - half) / (profiles[each, right - 1] - profiles[each, right])
    widths = np.full(len(profiles), np.nan)
    widths[crossed] = right - 1 + fall - (left + rise)
    return widths
