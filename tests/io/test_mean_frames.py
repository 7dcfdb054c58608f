"""Means of frames that xinsitu wrote itself: they are those of the detector's own files, pixel by pixel."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import write_frames

OWN = "is made of the measurement's own frames"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "turned.toml"
    path.write_text("time_zone = 'Asia/Tokyo'\n[axes]\nflip = ['x']\n")
    return path


@pytest.fixture
def scan(tmp_path, table):
    write_frames(tmp_path / "0884" / "dark1", 7)
    return xi.open_measurement(tmp_path / "0884" / "dark1", instrument=table)


def written(scan, path):
    if path.suffix == ".zarr":
        pytest.importorskip("zarr")
    return xi.write_frames(scan, path)


@pytest.mark.thorough("cut1-.zarr")
@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize("cut", [slice(None), slice(3, 9)])
def test_the_mean_of_written_frames_is_that_of_the_raw_ones(scan, table, tmp_path, ending, cut):
    path = written(scan.isel(y=cut), tmp_path / f"f{ending}")
    for kind in (xi.open_image, xi.open_flatfield):
        raw = kind(tmp_path / "0884" / "dark1", instrument=table)
        for again in (kind(path), kind(path, instrument=table)):  # turned once, as it was written
            level = again / again.mean() if kind is xi.open_flatfield else again
            cut_raw = raw.isel(y=cut)
            expected = cut_raw / cut_raw.mean() if kind is xi.open_flatfield else cut_raw
            xr.testing.assert_allclose(level, expected, rtol=1e-12)
            assert again.y.values.tolist() == scan.y.values[cut].tolist()
            same = ("exposure_time", "n_frames", "source", "detector_serial", "threshold_energy", "units")
            assert {name: again.attrs.get(name) for name in same} == {name: raw.attrs.get(name) for name in same}


@pytest.mark.thorough
def test_a_written_dark_is_scaled_by_its_exposure(scan, tmp_path):
    write_frames(tmp_path / "0884" / "time1", 3, exposure=2.0)
    frames = xi.open_measurement(tmp_path / "0884" / "time1", tz="Asia/Tokyo")
    dark = written(scan, tmp_path / "dark.nc")
    assert xi.open_image(dark).attrs["exposure_time"] == float(scan.exposure_time)
    roi = [xi.Roi("all", y=(0, 13), x=(0, 17))]
    series = xi.measure(frames, roi, correction=xi.Correction(dark=xi.open_image(dark)))
    expected = frames.image.sum(("y", "x")) - 2 * scan.image.mean("time").sum()
    np.testing.assert_allclose(series.intensity[:, 0], expected, rtol=1e-5)


def test_frames_without_pixels_are_no_part_of_it(scan, tmp_path, table):
    whole = sorted((tmp_path / "0884" / "dark1").glob("*.tif"))
    whole[2].write_bytes(whole[2].read_bytes()[:-20])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xi.XinsituWarning)
        frames = xi.open_measurement(tmp_path / "0884" / "dark1", instrument=table, on_error="nan")
        raw = xi.open_image(tmp_path / "0884" / "dark1", instrument=table, on_error="skip")
    path = xi.write_frames(frames, tmp_path / "f.nc")
    again = xi.open_image(path)
    np.testing.assert_array_equal(again, raw)
    assert again.attrs["n_frames"] == raw.attrs["n_frames"] == 6


def test_frames_that_were_divided_by_a_background_are_no_dark(scan, tmp_path):
    divided = xi.correct(scan, xi.Correction(background=xi.Background(y=(0, 4), x=(0, 6), mode="divide")))
    path = xi.write_frames(divided, tmp_path / "f.nc")
    with pytest.raises(xi.LayoutError, match="divided by their background"):
        xi.open_image(path)


@pytest.mark.thorough
def test_frames_are_their_own_dark_wherever_they_lie(scan, tmp_path, table):
    raw, roi = tmp_path / "0884" / "dark1", [xi.Roi("a", y=(2, 9), x=(3, 12))]
    write_frames(tmp_path / "0884" / "dark2", 4)  # with the same numbers and stamps
    path = written(scan, tmp_path / "f.nc")
    frames = (scan, xi.open_measurement(path), xi.correct(scan, xi.Correction(median=3)).isel(time=slice(2, 5)))
    for one in frames:
        for dark in (xi.open_image(raw, instrument=table), xi.open_image(path)):
            with pytest.warns(xi.XinsituWarning, match=OWN):
                xi.measure(one, roi, correction=xi.Correction(dark=dark))
        with warnings.catch_warnings():
            warnings.filterwarnings("error", f".*{OWN}")
            other = xi.open_image(tmp_path / "0884" / "dark2", instrument=table)
            xi.measure(one, roi, correction=xi.Correction(dark=other))
