"""Profiles on the axes of rotated boxes and sectors: their coordinates say where things are."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xinsitu as xi
from xinsitu.values import KeyFrame, Rotated, Sector

Y, X = np.mgrid[:90, :100].astype(float)


def image(*frames):
    return xr.DataArray(np.stack(frames), dims=("time", "y", "x"))


def tilted(centre, angle, along, across, height=1000.0):
    turn = np.radians(angle)
    a = (X - centre[1]) * np.cos(turn) + (Y - centre[0]) * np.sin(turn)
    b = (Y - centre[0]) * np.cos(turn) - (X - centre[1]) * np.sin(turn)
    return height * np.exp(-(a**2) / 2 / along**2 - b**2 / 2 / across**2)


def com(profile, dim):
    return float((profile * profile[dim]).sum() / profile.sum())


@pytest.mark.parametrize("angle", [0, 25, -70, 90, 133])
@pytest.mark.parametrize("edges", ["whole", "exact"])
def test_a_tilted_peak_has_its_place_and_width_along_and_across(angle, edges):
    turn = np.radians(angle)
    centre = 45 + 3 * np.sin(turn) - 2 * np.cos(turn), 50 + 3 * np.cos(turn) + 2 * np.sin(turn)  # -2 across, 3 along
    roi = xi.Roi("a", geometry=Rotated((45.0, 50.0), (40, 60), angle), edges=edges)
    frames = image(tilted(centre, angle, along=6.0, across=3.0))
    series = xi.measure(frames, [roi]).isel(time=0, roi=0)
    for dim, bins, place, width in (("along", 60, 3.0, 6.0), ("across", 40, -2.0, 3.0)):
        profile = xi.profiles(frames, roi, along=dim).isel(time=0)
        assert profile.dims == (dim,)
        np.testing.assert_array_equal(profile[dim], np.arange(bins) - 0.5 * (bins - 1))
        assert profile[dim].attrs["units"] == "pixel"
        assert profile.sum() == pytest.approx(float(series.intensity), rel=1e-12)
        assert com(profile, dim) == pytest.approx(place, abs=0.01)
        assert com(profile, dim) == pytest.approx(float(series[f"com_{dim}"]), abs=1e-9)
        found = float(xi.fwhm(profile, dim))
        assert found == pytest.approx(float(series[f"fwhm_{dim}"]), rel=0.01)
        assert found == pytest.approx(np.hypot(2.3548 * width, 0.96), rel=0.02)


@pytest.mark.parametrize("angle", [45, -45, 225, 43, 47, 38])
@pytest.mark.parametrize(("width", "off"), [(5, 0.045), (7, 0.02), (12, 0.01)])
@pytest.mark.thorough("5-0.045-45", "7-0.02--45", "12-0.01-38")
def test_rows_of_pixels_do_not_beat_with_the_bins_of_a_diagonal_box(angle, width, off):
    truth, random = np.hypot(width, np.sqrt(8 * np.log(2) / 6)), np.random.default_rng(angle % 360)
    for _ in range(12):
        centre, middle = 45 + random.uniform(-0.5, 0.5, (2, 2))
        roi = xi.Roi("a", geometry=Rotated(tuple(map(float, middle)), (30, 36), angle))
        found = xi.measure(image(tilted(centre, angle, along=width / 2.3548, across=4.0)), [roi])
        assert float(found.fwhm_along[0, 0]) == pytest.approx(truth, rel=off)


@pytest.mark.thorough
@settings(max_examples=25)
@given(angle=st.floats(-360, 360), high=st.floats(3, 30), wide=st.floats(3, 40), seed=st.integers(0, 99))
def test_every_count_is_in_the_profile_and_its_middle_is_that_of_the_pixels(angle, high, wide, seed):
    roi = xi.Roi("a", geometry=Rotated((44.3, 50.2), (high, wide), angle), edges="exact")
    frames = image(np.random.default_rng(seed).uniform(0, 9, Y.shape))
    series = xi.measure(frames, [roi]).isel(time=0, roi=0)
    for dim in ("along", "across"):
        profile = xi.profiles(frames, roi, along=dim).isel(time=0)
        assert profile.sum() == pytest.approx(float(series.intensity), rel=1e-9)
        assert com(profile, dim) == pytest.approx(float(series[f"com_{dim}"]), abs=1e-7)


def test_a_ring_has_its_radius_and_a_spot_on_it_its_azimuth():
    radius, angle = np.hypot(Y - 40, X - 30), np.degrees(np.arctan2(Y - 40, X - 30))
    ring = np.exp(-((radius - 31.3) ** 2) / 2 / 2.0**2) / radius.clip(1)
    spot = np.exp(-((radius - 30) ** 2) / 8 - (angle - 48.0) ** 2 / 2 / 5.0**2)
    roi = xi.Roi("a", geometry=Sector((40.0, 30.0), (20.0, 42.0), (10.0, 80.0)), edges="exact")
    frames = image(ring, spot).chunk({"time": 1})
    along_r, along_a = (xi.profiles(frames, roi, along=dim).compute() for dim in ("radius", "azimuth"))
    series = xi.measure(frames, [roi]).compute().sel(roi="a")
    np.testing.assert_array_equal(along_r.radius, np.arange(20.5, 42))
    assert along_a.azimuth.attrs["units"] == "degree"
    assert along_a.azimuth.values[[0, -1]] == pytest.approx([10, 80], abs=1.0)
    for profile, dim in ((along_r, "radius"), (along_a, "azimuth")):
        np.testing.assert_allclose(profile.sum(dim), series.intensity, rtol=1e-12)
    assert com(along_r[0], "radius") == pytest.approx(31.3, abs=0.05)
    assert com(along_a[0], "azimuth") == pytest.approx(45.0, abs=0.5)
    assert com(along_a[1], "azimuth") == pytest.approx(48.0, abs=0.1)
    assert float(xi.fwhm(along_a[1], "azimuth")) == pytest.approx(2.3548 * 5, rel=0.03)


@pytest.mark.parametrize("angle", [(-20.0, 20.0), (340.0, 380.0), (700.0, 740.0)])
def test_a_sector_over_0_degrees_has_one_axis(angle):
    off = np.degrees(np.arctan2(Y - 40, X - 30))
    spot = np.exp(-((np.hypot(Y - 40, X - 30) - 30) ** 2) / 8 - (off - 3.0) ** 2 / 18)
    roi = xi.Roi("a", geometry=Sector((40.0, 30.0), (20.0, 40.0), angle), edges="exact")
    profile = xi.profiles(image(spot), roi, along="azimuth").isel(time=0)
    assert com(profile, "azimuth") == pytest.approx(0.5 * sum(angle) + 3.0, abs=0.05)


def test_a_rotated_box_that_moves_takes_its_axes_with_it():
    shape = Rotated((30.0, 30.0), (16, 30), 30)
    still = xi.Roi("a", geometry=shape)
    moved = still.moved(y=(still.y[0] + 8, still.y[1] + 8), x=(still.x[0] + 20, still.x[1] + 20))
    time = np.datetime64("2014-05-28T08:00", "ns") + np.arange(2) * np.timedelta64(1, "s")
    frames = image(tilted((30, 30), 30, 5, 2), tilted((38, 50), 30, 5, 2)).assign_coords(
        time=time, frame=("time", [0, 1])
    )
    path = tuple(KeyFrame(xi.Key(frame=n), roi.y, roi.x) for n, roi in enumerate((still, moved)))
    roi = xi.Roi("a", geometry=shape, path=path)
    profile = xi.profiles(frames, roi, along="along")
    np.testing.assert_allclose(profile[0], profile[1], rtol=1e-9)


def test_a_background_is_taken_off_and_axes_that_a_roi_has_not_are_refused():
    box = xi.Roi("a", geometry=Rotated((45.0, 50.0), (20, 30), 20), background=("edge",))
    profile = xi.profiles(image(np.full(Y.shape, 7.0)), box, along="along")
    np.testing.assert_allclose(profile, 0, atol=1e-9)
    for roi, dim in ((box, "radius"), (xi.Roi("b", y=(3, 9), x=(4, 20)), "along")):
        with pytest.raises(xi.RoiError, match=f"has no axis '{dim}'"):
            xi.profiles(image(Y), roi, along=dim)
    with pytest.raises(xi.SchemaError, match="across"):
        xi.profiles(image(Y), box, along="z")
