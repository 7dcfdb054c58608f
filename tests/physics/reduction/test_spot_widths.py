"""Widths, intensities and positions of spots of known shapes, made by SciPy, at counts from none to plenty."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.special import erf, voigt_profile

import xinsitu as xi
from xinsitu.schema import Quality

ROWS, COLUMNS, FRAMES = 74, 84, 500
BOX = xi.Roi("S", y=(12, 66), x=(12, 76), background=("BG",))
ROIS = [BOX, xi.Roi("BG", y=(0, 9), x=(0, COLUMNS), role="background")]


def gaussian(size, centre, sigma):
    edges = np.arange(size + 1) - 0.5
    return np.diff(0.5 * (1 + erf((edges - centre) / sigma / np.sqrt(2))))


def lorentzian(size, centre, half):
    edges = np.arange(size + 1) - 0.5
    return np.diff(np.arctan((edges - centre) / half) / np.pi)


def sampled(size, function):
    fine = (np.arange(16 * size) + 0.5) / 16 - 0.5
    return function(fine).reshape(size, 16).mean(axis=1)


def split(size, centre, left, right):
    values = sampled(size, lambda m: np.exp(-0.5 * ((m - centre) / np.where(m < centre, left, right)) ** 2))
    return values / values.sum()


def double(size, centre, sigma, apart, share):
    return share * gaussian(size, centre - apart / 2, sigma) + (1 - share) * gaussian(size, centre + apart / 2, sigma)


SHAPES = {
    "gaussian": (gaussian(ROWS, 38.4, 3.6), gaussian(COLUMNS, 43.7, 5.4)),
    "narrow": (gaussian(ROWS, 38.4, 1.6), gaussian(COLUMNS, 43.7, 2.2)),
    "lorentzian": (lorentzian(ROWS, 38.4, 1.8), lorentzian(COLUMNS, 43.7, 2.4)),
    "voigt": tuple(
        sampled(size, lambda m, c=centre, s=sigma: voigt_profile(m - c, s, 1.3))
        for size, centre, sigma in ((ROWS, 38.4, 2.4), (COLUMNS, 43.7, 3.2))
    ),
    "asymmetric": (split(ROWS, 35.2, 2.7, 5.2), split(COLUMNS, 40.1, 3.4, 5.8)),
    "double": (double(ROWS, 38.4, 3.2, 5.5, 0.5), double(COLUMNS, 43.7, 2.6, 12.0, 0.65)),
}


def width(profile):
    """Full width at half of the highest bin, first crossings outwards, straight lines: what the noise-free spot has."""
    top = int(profile.argmax())
    half = profile[top] / 2
    right = top + int(np.argmax(profile[top:] <= half))
    left = top - int(np.argmax(profile[top::-1] <= half))
    after = right - 1 + (profile[right - 1] - half) / (profile[right - 1] - profile[right])
    before = left + (half - profile[left]) / (profile[left + 1] - profile[left])
    return after - before


def frames_of(truth, seed=3, frames=FRAMES):
    counts = np.random.default_rng(seed).poisson(truth, (frames, *truth.shape)).astype("int32")
    return xr.DataArray(counts, dims=("time", "y", "x"), attrs={"units": "counts"})


def of(kind, counts):
    """Truth and measurement of a spot on 1.5 counts per pixel."""
    along_y, along_x = SHAPES[kind]
    peak = counts * np.outer(along_y, along_x)
    inside = peak[12:66, 12:76]
    return {"fwhm_y": width(inside.sum(1)), "fwhm_x": width(inside.sum(0)), "intensity": inside.sum()}, peak + 1.5


def assert_right_or_flagged(series, truth, flags):
    good = (series.quality & int(flags)) == 0
    if good.mean() < 0.6:
        return False
    for name, true in truth.items():
        values, errors = series[name].values[good], float(np.median(series[f"{name}_errors"].values[good]))
        bias, scatter = (np.nanmean(values) - true) / errors, np.nanstd(values) / errors
        own = scatter / np.sqrt(good.sum())
        assert abs(bias) < 0.25 + 2 * own, f"{name} is off by {bias:.2f} errors"
        assert 0.85 - 0.06 < scatter < 1.15 + 0.06, f"{name} scatters by {scatter:.2f} errors"
    return True


@pytest.mark.parametrize("counts", [300, 700, 1400, 3000, 8000, 15_000])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("recipe", [None, xi.Correction(median=3, threshold=5)], ids=["raw", "outliers"])
@pytest.mark.thorough(
    "raw-gaussian-3000",
    "raw-lorentzian-700",
    "raw-voigt-8000",
    "raw-double-1400",
    "outliers-asymmetric-3000",
    "outliers-narrow-700",
)
def test_widths_are_right_or_flagged(kind, counts, recipe):
    truth, level = of(kind, counts)
    del truth["intensity"]
    series = xi.measure(frames_of(level), ROIS, correction=recipe).sel(roi="S")
    flags = Quality.NOISY_PROFILE | Quality.LOW_COUNTS | Quality.HALF_LEVEL_NOT_CROSSED
    told = assert_right_or_flagged(series, truth, flags)
    if counts >= 3000 and kind != "double":
        assert told, "a width of 3,000 counts is worth more than a flag"
    if counts <= 300 and kind != "narrow":
        assert not told


@pytest.mark.thorough
@pytest.mark.parametrize(("counts", "most"), [(2500, 1.18), (3500, 1.13)])
def test_widths_of_few_bins_scatter_as_stated(counts, most):
    """The height is that of the highest bin: which one that is adds to the error."""
    scatter = []
    for full in (5.0, 5.5, 6.0):
        peak = counts * np.outer(gaussian(ROWS, 38.4, 2.0), lorentzian(COLUMNS, 43.6, full / 2))
        series = xi.measure(frames_of(peak + 2.0, frames=800), ROIS).sel(roi="S")
        scatter.append(float(series.fwhm_x.std() / series.fwhm_x_errors.median()))
    assert np.mean(scatter) < most


def test_two_peaks_of_one_height_are_flagged():
    """Which of the two is the highest is decided by the noise."""
    along_y, _ = SHAPES["gaussian"]
    peak = 20_000 * np.outer(along_y, double(COLUMNS, 43.5, 2.6, 14.0, 0.5))
    series = xi.measure(frames_of(peak + 1.5, frames=60), ROIS).sel(roi="S")
    assert float((series.quality & Quality.NOISY_PROFILE > 0).mean()) > 0.9


@pytest.mark.parametrize("counts", [3000, 8000, 20_000])
@pytest.mark.parametrize("share", [0.5, 0.54, 0.58])
@pytest.mark.parametrize("apart", [1.22, 1.3, 1.4])
def test_peaks_that_merge_are_right_or_flagged(apart, share, counts):
    """Windows fill the valley between them; the frames in which they do not are no better for it."""
    sigma = 4.0
    peak = counts * np.outer(SHAPES["gaussian"][0], double(COLUMNS, 43.4, sigma, apart * 2.3548 * sigma, share))
    series = xi.measure(frames_of(peak + 1.5, frames=120), ROIS).sel(roi="S")
    good = (series.quality & int(Quality.NOISY_PROFILE | Quality.HALF_LEVEL_NOT_CROSSED)) == 0
    off = ((series.fwhm_x - width(peak[12:66, 12:76].sum(0))) / series.fwhm_x_errors).values[good]
    assert good.mean() < 0.5 or (abs(off.mean()) < 0.5 and off.std() < 1.4), f"{good.mean():.0%}: {off.mean():.1f}"
    assert good.mean() < 0.05 or np.nanmax(abs(off)) < 6, f"{good.mean():.0%}: {np.nanmax(abs(off)):.0f} errors"


@pytest.mark.parametrize("counts", [3000, 8000, 20_000])
@pytest.mark.parametrize("kind", ["gaussian", "narrow", "lorentzian", "voigt", "asymmetric"])
def test_frames_beside_one_that_is_doubtful_are_not_flagged_of_one_peak(kind, counts):
    _, level = of(kind, counts)
    series = xi.measure(frames_of(level, seed=8), ROIS).sel(roi="S")
    assert not (series.quality & int(Quality.NOISY_PROFILE)).any()


def test_frames_around_those_of_merging_peaks_are_flagged_and_no_others():
    along_y, along_x = SHAPES["gaussian"]
    level = np.repeat((9000 * np.outer(along_y, along_x) + 1.5)[None], 60, axis=0)
    level[[30, 34]] = 9000 * np.outer(along_y, double(COLUMNS, 43.5, 2.6, 14.0, 0.5)) + 1.5
    frames = xr.DataArray(np.random.default_rng(5).poisson(level).astype("int32"), dims=("time", "y", "x"))
    series = xi.measure(frames.assign_attrs(units="counts"), ROIS).sel(roi="S")
    assert np.flatnonzero(series.quality & Quality.NOISY_PROFILE).tolist() == list(range(27, 38))


@pytest.mark.thorough
def test_frames_at_a_limit_are_not_chosen_by_luck():
    """Intensities near five errors: what is not flagged is not what happened to be high."""
    along_y, along_x = SHAPES["gaussian"]
    for counts in (180, 220, 260, 300, 350):
        truth, level = counts, counts * np.outer(along_y, along_x) + 0.5
        series = xi.measure(frames_of(level, frames=800), ROIS).sel(roi="S")
        good = (series.quality & Quality.LOW_COUNTS) == 0
        if good.mean() < 0.05:
            continue
        kept = series.intensity.values[good]
        assert abs(kept.mean() / truth - 1) < 0.06, f"{counts}: {kept.mean() / truth:.2f} in {int(good.sum())} frames"


def test_a_frame_that_drops_is_flagged_among_bright_ones():
    along_y, along_x = SHAPES["gaussian"]
    level = np.repeat((5000 * np.outer(along_y, along_x) + 1.0)[None], 30, axis=0)
    level[17] = 1.0
    frames = xr.DataArray(np.random.default_rng(5).poisson(level).astype("int32"), dims=("time", "y", "x"))
    series = xi.measure(frames.assign_attrs(units="counts"), ROIS).sel(roi="S")
    assert np.flatnonzero(series.quality & Quality.LOW_COUNTS).tolist() == [17]


@pytest.mark.parametrize("counts", [1500, 6000, 40_000])
@pytest.mark.parametrize("kind", ["gaussian", "narrow", "lorentzian", "voigt", "asymmetric"])
@pytest.mark.filterwarnings("ignore:few counts per pixel:xinsitu.XinsituWarning")
@pytest.mark.thorough("gaussian-6000", "lorentzian-6000")
def test_what_a_plain_median_does_is_flagged_widths_and_positions_too(kind, counts):
    _, level = of(kind, counts)
    frames = frames_of(level, frames=240)
    raw, filtered = (xi.measure(frames, ROIS, correction=how).sel(roi="S") for how in (None, xi.Correction(median=3)))
    flagged = float((filtered.quality & Quality.MEDIAN_BIAS > 0).mean())
    worst = 0.0
    for name in ("intensity", "com_y", "com_x", "fwhm_y", "fwhm_x"):
        change = filtered[name] - raw[name]
        worst = max(worst, float(abs(change.mean() / filtered[f"{name}_errors"].median())))
    if worst > 1:
        assert flagged > 0.95, f"{worst:.1f} errors"
    if worst < 0.3:
        assert flagged < 0.05, f"{worst:.1f} errors"


def test_without_noise_the_width_is_that_of_single_bins():
    along_y, along_x = SHAPES["asymmetric"]
    counts = np.rint(1e12 * np.outer(along_y, along_x)[None]).astype("int64")
    quiet = xr.DataArray(counts, dims=("time", "y", "x"), attrs={"units": "counts"})
    series = xi.measure(quiet, [xi.Roi("S", y=BOX.y, x=BOX.x, background=())]).sel(roi="S").isel(time=0)
    base = along_x[12:76] * along_y[12:66].sum() * 1e9
    edge = np.concatenate([base[:3], base[-3:]]).mean()
    assert float(series.fwhm_x) == pytest.approx(width(base - edge), rel=1e-6)
