"""Masked, faulty and saturated pixels: the same as those that are left out and counted where ROIs are measured."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.app.data.pixel_states import pixel_states
from xinsitu.physics.corrections.apply import Correction


@pytest.fixture
def one(tmp_path):
    truth = xi.simulate_sample(tmp_path, measurements=1, frames=20)
    return xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo").isel(time=[3]).load()


@pytest.mark.thorough
def test_as_roi_sums_have_them(one):
    cutoff = int(one.image.attrs["count_cutoff"])
    one.image.values[0, 50:53, 60:64] = [[cutoff], [cutoff + 1], [cutoff - 1]]
    one.image.values[0, 55, 60:65] = -2
    mask = xr.zeros_like(one.image[0], dtype=bool).drop_vars("time")
    mask[52:54, 70:73] = True
    correction = Correction(mask=mask)
    states = pixel_states(one, correction)
    roi = xi.Roi("all", y=(40, 70), x=(50, 80))
    series = xi.measure(one, xi.RoiSet([roi]), correction=correction).compute().isel(time=0, roi=0)
    inside = states[40:70, 50:80]
    assert int((inside == 3).sum()) == int(series["n_saturated"]) == 8
    assert int((inside == 2).sum()) == 5
    np.testing.assert_array_equal(states == 1, mask.values)
    assert int(series["n_valid"]) == inside.size - 5 - 6
    assert (pixel_states(one, None) == 1).sum() == 0


def test_no_cutoff_no_saturation(one):
    del one.image.attrs["count_cutoff"], one.attrs["count_cutoff"]
    one.image.values[0, 50, 60] = 2**30
    assert not pixel_states(one, None).any()


def test_bright_frames_of_i07(shared_data):
    scan = xi.open_measurement(shared_data / "i07" / "refl" / "380404", tz="Europe/London").isel(time=[0, 30]).load()
    scan.image.attrs["count_cutoff"] = cutoff = int(scan.image.max()) // 2
    for at in (0, 1):
        frame = scan.isel(time=[at])
        np.testing.assert_array_equal(pixel_states(frame, None) == 3, frame.image.values[0] >= cutoff)
    assert (scan.image.values >= cutoff).any()
