"""Peaks of ROIs followed through time, with births, deaths and crossings flagged, from simulated frames; as lmfit."""

from __future__ import annotations

import lmfit.models
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.physics.peaks.followed_peaks import Event

FRAMES, ROWS, COLUMNS = 80, 24, 110
T, X = np.arange(FRAMES), np.arange(float(COLUMNS))
CENTRES = np.stack([25 + 0.6 * T, 80 - 0.5 * T, np.full(FRAMES, 98.0), np.full(FRAMES, 7.0)])
"""The first two cross in frame 50; the third is born in frame 20, the fourth dies in frame 60."""
LIFE = np.stack([T >= 0, T >= 0, T >= 20, T <= 60])
PARTS = (1.0, 0.7, 0.8, 0.6)
ROIS = [xi.Roi("four", y=(0, 24), x=(0, 110)), xi.Roi("empty", y=(24, 40), x=(0, 110))]
pytestmark = pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")


def frames(counts, *, seed=5, ground=0.02):
    along = np.zeros((FRAMES, COLUMNS))
    for centre, alive, part in zip(CENTRES, LIFE, PARTS, strict=True):
        bell = np.exp(-((X - centre[:, None]) ** 2) / 2 / 3.0**2) / 3.0 / np.sqrt(2 * np.pi)
        along += counts * part * alive[:, None] * bell
    across = np.exp(-((np.arange(40) - 11.0) ** 2) / 2 / 3.0**2) / 3.0 / np.sqrt(2 * np.pi)
    mean = along[:, None, :] * across[None, :, None] + ground
    drawn = np.random.default_rng(seed).poisson(mean).astype("int32")
    return xr.DataArray(drawn, dims=("time", "y", "x"), attrs={"units": "counts"}).assign_coords(x=X.astype(int) + 300)


def moved(rois):
    return [roi.moved(x=(300, 410)) for roi in rois]


def truth_of(found):
    """Which of the simulated peaks each ridge is."""
    own = found.centre_x.values - 300
    return [int(np.nanargmin(np.nanmedian(np.abs(own[:, [ridge]].T - CENTRES), axis=1))) for ridge in range(4)]


def when(found, ridge, event, axis="x"):
    return np.flatnonzero(found[f"event_{axis}"].values[:, ridge] & event).tolist()


@pytest.mark.thorough
@pytest.mark.parametrize("counts", [200, 2000, 20_000])
def test_births_deaths_and_crossings_of_peaks_in_a_roi(counts):
    every = xi.fit_rois(frames(counts).chunk({"time": 30}), moved(ROIS), peaks=4, follow=True)
    found = every.sel(roi="four")
    assert np.isfinite(found.centre_x).any("time").sum() == 4
    which = truth_of(found)
    assert sorted(which) == [0, 1, 2, 3]
    apart = np.abs(CENTRES[0] - CENTRES[1]) > 9
    for ridge, number in enumerate(which):
        seen = np.isfinite(found.centre_x.values[:, ridge])
        clear = seen & (apart | (number > 1))
        off = (found.centre_x.values[:, ridge] - 300 - CENTRES[number])[clear]
        pull = off / found.centre_x_errors.values[clear, ridge]
        assert np.abs(pull).max() < 5
        assert 0.7 < pull.std() < 1.3
        area = (found.area_x.values[clear, ridge] - counts * PARTS[number]) / found.area_x_errors.values[clear, ridge]
        width = (found.fwhm_x.values[clear, ridge] - 3 * 2.3548) / found.fwhm_x_errors.values[clear, ridge]
        assert np.abs([np.median(area), np.median(width)]).max() < 1
        assert not (seen & ~LIFE[number]).any()
        assert seen[LIFE[number] & (apart | (number > 1))].mean() > 0.97
        born, dies, crossing = (when(found, ridge, event) for event in (Event.BORN, Event.DIES, Event.CROSSING))
        late = 2 if counts == 200 else 0  # frames in which a peak of 120 counts may be missed
        assert len(born) == (number == 2)
        assert all(20 <= frame <= 20 + late for frame in born)
        assert len(dies) == (number == 3)
        assert all(60 - late <= frame <= 60 for frame in dies)
        assert len(crossing) == (number < 2)
        assert all(43 <= frame <= 62 for frame in crossing)  # the first frame in which both are seen again
    assert np.isfinite(found.centre_y).any("time").sum() == 1  # along y they lie over each other
    nothing = every.sel(roi="empty")
    assert np.isnan(nothing.centre_x).all()
    assert (nothing.event_x == 0).all()
    assert float(nothing.n_peaks_x.mean()) < 0.1


@pytest.mark.thorough
def test_at_20_counts_what_is_seen_lies_on_a_true_path():
    found = xi.fit_rois(frames(20, ground=0.002), moved(ROIS[:1]), peaks=4, follow=True).sel(roi="four")
    assert found.sizes["ridge"] >= 1
    for ridge in range(found.sizes["ridge"]):
        seen = np.isfinite(found.centre_x.values[:, ridge])
        if seen.any():
            off = np.abs(found.centre_x.values[seen, ridge] - 300 - CENTRES[:, seen]).min(axis=0)
            assert (off < 5 * np.maximum(found.centre_x_errors.values[seen, ridge], 0.5)).mean() > 0.9


@pytest.mark.thorough
def test_one_implementation_says_what_happens():
    image = frames(2000)
    found = xi.fit_rois(image, moved(ROIS[:1]), peaks=3, follow=True).sel(roi="four")
    profile = xi.profiles(image, moved(ROIS)[0], along="x")
    ridges = xi.find_ridges(profile, "x", peaks=3, errors=np.sqrt(profile), per_count=xr.DataArray(1.0))
    np.testing.assert_array_equal(found.event_x.values, ridges.event.values)
    np.testing.assert_allclose(found.centre_x.values, ridges.centre.values, atol=1e-3)
    assert found.event_x.attrs["flag_meanings"] == ridges.event.attrs["flag_meanings"]


@pytest.mark.thorough
@pytest.mark.parametrize("counts", [200, 20_000])
def test_positions_widths_and_areas_are_those_of_lmfit(counts):
    image = frames(counts)
    found = xi.fit_rois(image, moved(ROIS[:1]), peaks=4, follow=True).sel(roi="four")
    for frame in (5, 30, 75):
        row = image.values[frame, :24].sum(axis=0)
        own = found.isel(time=frame).dropna("ridge", subset=["centre_x"]).sortby("centre_x")
        assert own.sizes["ridge"] == LIFE[:, frame].sum()
        model = lmfit.models.LinearModel()
        for number in range(own.sizes["ridge"]):
            model = model + lmfit.models.GaussianModel(prefix=f"p{number}_")
        start = model.make_params(slope=0, intercept=0.3)
        for number in range(own.sizes["ridge"]):
            values = {"center": float(own.centre_x[number]) - 299.5, "amplitude": 0.7 * counts, "sigma": 3.5}
            for name, value in values.items():
                start[f"p{number}_{name}"].set(value=value)
        best = None
        for _ in range(30):  # weights that follow the curve, as Poisson's likelihood has them
            variance = np.maximum(row, 1) if best is None else np.maximum(best.best_fit, 1e-3)
            best = model.fit(row, start, x=X, weights=variance**-0.5, scale_covar=False)
            start = best.params
        for number in range(own.sizes["ridge"]):
            for name, its, shift in (("centre", "center", 300), ("fwhm", "fwhm", 0), ("area", "amplitude", 0)):
                theirs = best.params[f"p{number}_{its}"].value + shift
                off = abs(float(own[f"{name}_x"][number]) - theirs)
                assert off < 0.05 * float(own[f"{name}_x_errors"][number]), (frame, number, name)


@pytest.mark.parametrize("peaks", [0, 5, True])
def test_numbers_of_peaks_that_there_are_not_are_refused(peaks):
    with pytest.raises(xi.SchemaError, match="1 to 4 peaks"):
        xi.fit_rois(frames(20), moved(ROIS), peaks=peaks, follow=True)
