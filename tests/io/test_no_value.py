"""Pixels without a value and full pixels, as files say them, against xarray's own decoding."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest
import xarray as xr

from xinsitu import Background, Correction, Roi, correct, measure, write_frames
from xinsitu.errors import FrameError
from xinsitu.io.measurement import open_flatfield, open_measurement

WHERE = {"tz": "UTC", "instrument": "generic"}
TIME = np.datetime64("2020-02-03T04:05:06", "ns") + np.arange(3) * np.timedelta64(2, "s")
ROI = Roi("A", y=(1, 9), x=(2, 11))


def packed(path, encoding, attributes=(), dtype="f8", value=np.nan):
    image = np.random.default_rng(1).integers(5, 60, (3, 10, 12)).astype(dtype)
    image[:, 4, 5:8] = value
    data = xr.Dataset({"image": (("time", "y", "x"), image, dict(attributes))}, {"time": TIME})
    data.to_netcdf(path, engine="h5netcdf", encoding={"image": dict(encoding)})
    return path


@pytest.mark.thorough("encoding4-attributes4-f8-nan")
@pytest.mark.parametrize(
    ("encoding", "attributes", "dtype", "value"),
    [
        ({"dtype": "int16", "_FillValue": 7777}, {}, "f8", np.nan),
        ({"dtype": "uint16", "_FillValue": 65535}, {}, "f8", np.nan),
        ({"dtype": "int32", "_FillValue": -99}, {}, "f8", np.nan),
        ({"dtype": "float32", "_FillValue": 1e25}, {}, "f8", np.nan),
        ({"dtype": "float64", "_FillValue": np.nan}, {}, "f8", np.nan),
        ({}, {"missing_value": np.int32(8888)}, "int32", 8888),
        ({}, {"valid_min": np.int32(0), "valid_max": np.int32(100)}, "int32", 101),
        ({}, {"valid_range": np.array([0, 100], "int32")}, "int32", -5),
    ],
)  # fmt: skip
def test_what_cf_calls_missing_is_nan(tmp_path, encoding, attributes, dtype, value):
    path = packed(tmp_path / "a.nc", encoding, attributes, dtype, value)
    data = open_measurement(path, **WHERE)
    with xr.open_dataset(path) as own:
        expected = own.image.where(own.image >= 0).where(own.image <= 100).load()
    assert np.isnan(data.image.values[:, 4, 5:8]).all()
    np.testing.assert_array_equal(data.image.values, expected)
    found = measure(data, [ROI]).compute()
    np.testing.assert_allclose(found.intensity[:, 0], expected[:, 1:9, 2:11].sum(("y", "x")))
    assert found.n_valid.values.ravel().tolist() == [69] * 3
    assert not {"missing_value", "valid_min", "valid_max", "valid_range"} & set(data.image.attrs)
    background = Correction(background=Background(y=(3, 6), x=(4, 9), mode="subtract"))
    level = expected[:, 3:6, 4:9].mean(("y", "x"))
    np.testing.assert_allclose(correct(data, background).image[:, 0, 0], expected[:, 0, 0] - level, rtol=1e-5)
    assert np.isnan(open_flatfield(path).values[4, 5:8]).all()
    np.testing.assert_array_equal(data.image[1:, 4:6, 3:7], expected[1:, 4:6, 3:7])
    again = open_measurement(write_frames(data, tmp_path / "again.nc"), **WHERE)
    np.testing.assert_array_equal(again.image.values, expected)


def test_without_such_attributes_the_stored_type_stays(tmp_path):
    data = open_measurement(packed(tmp_path / "a.nc", {}, {}, "uint16", 9999), **WHERE)
    assert data.image.dtype == np.uint16
    assert data.image.values[0, 4, 5] == 9999


@pytest.mark.parametrize("name", ["valid_max", "missing_value"])
def test_a_bound_or_code_may_be_text_and_what_is_no_number_is_said(tmp_path, name):
    frames = np.where(np.arange(12) == 5, 90, 7) * np.ones((2, 8, 1), "i4")
    for text, left in (("90" if name == "missing_value" else "50", 11), ("a lot", 12)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["entry/data/data"] = frames
            file["entry/data/data"].attrs[name] = text
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            data = open_measurement(tmp_path / "a.h5", tz="UTC", time="frame")
        series = measure(data, [Roi("a", y=(0, 8), x=(0, 12))]).compute()
        assert series.n_valid.values[:, 0].tolist() == [8 * left] * 2
        assert any(f"{name} of the frames is 'a lot'" in str(one.message) for one in said) == (text == "a lot")


def test_unsigned_numbers_in_signed_ones_are_refused(tmp_path):
    path = packed(tmp_path / "a.nc", {}, {"_Unsigned": "true"}, "int16", -3)
    with pytest.raises(FrameError, match=r"a\.nc: /image is packed \(_Unsigned\)"):
        open_measurement(path, **WHERE)


# -- full pixels ------------------------------------------------------------------------------------------------------


def ccd(path, *, dtype="u2", mask=None, **values):
    image = np.full((3, 10, 12), 7, dtype)
    image[:, 4, 5:8] = np.iinfo(dtype).max
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/instrument/detector")
        group.attrs["NX_class"] = "NXdetector"
        group["data"] = image
        for name, value in values.items():
            group[name] = value
        if mask is not None:
            group["pixel_mask"] = mask
    return path


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_the_highest_number_is_full_where_a_cut_off_is_known(tmp_path, dtype):
    top = np.iinfo(dtype).max
    for cutoff in (top, top - 20, top + 70_000):  # a counter of more bits goes on, its pixels do not
        data = open_measurement(ccd(tmp_path / "a.h5", dtype=dtype, saturation_value=cutoff), time="frame", **WHERE)
        found = measure(data, [ROI]).compute()
        assert data.attrs["count_cutoff"] == min(cutoff, top)
        assert found.n_saturated.values.ravel().tolist() == [3] * 3
        assert found.maximum.values.ravel().tolist() == [top] * 3
        assert found.intensity.values.ravel().tolist() == [69 * 7 + 3 * top] * 3
        assert (found.quality.values & 1).all()


def test_pixels_of_the_mask_are_dead_and_no_full_ones(tmp_path):
    mask = np.zeros((10, 12), "u4")
    mask[4, 5], mask[2, 2] = 1, 1  # one at the highest number, one that counts all the same
    data = open_measurement(ccd(tmp_path / "a.h5", saturation_value=60000, mask=mask), time="frame", **WHERE)
    found = measure(data, [ROI]).compute()
    assert found.n_saturated.values.ravel().tolist() == [2] * 3
    assert found.n_valid.values.ravel().tolist() == [71] * 3
    assert found.intensity.values.ravel().tolist() == [69 * 7 + 2 * 65535] * 3
    cut = data.isel(y=slice(3, None), x=slice(4, None))
    assert measure(cut, [Roi("B", y=(3, 6), x=(4, 9))]).compute().n_saturated.values.ravel().tolist() == [2] * 3
    masked = measure(data, [ROI], correction=Correction(mask=data.mask)).compute()
    assert masked.n_saturated.values.ravel().tolist() == [2] * 3
    assert masked.n_valid.values.ravel().tolist() == [70] * 3


def test_without_a_cut_off_and_in_wide_types_it_is_a_code(tmp_path):
    found = measure(open_measurement(ccd(tmp_path / "a.h5"), time="frame", **WHERE), [ROI]).compute()
    assert found.n_valid.values.ravel().tolist() == [69] * 3
    assert found.n_saturated.values.ravel().tolist() == [-1] * 3
    data = open_measurement(ccd(tmp_path / "b.h5", dtype="u4", saturation_value=60000), time="frame", **WHERE)
    found = measure(data, [ROI]).compute()
    assert found.n_valid.values.ravel().tolist() == [69] * 3
    assert found.n_saturated.values.ravel().tolist() == [0] * 3


def test_the_lowest_of_several_cut_offs_and_none_that_is_no_number(tmp_path):
    path = ccd(tmp_path / "c.h5", saturation_value=-1)
    with pytest.warns(UserWarning, match="saturation_value is not above zero; it is not used"):
        data = open_measurement(path, time="frame", **WHERE)
    assert "count_cutoff" not in data.attrs
    path = ccd(tmp_path / "a.h5", saturation_value=np.inf)
    with pytest.warns(UserWarning, match="saturation_value is no finite number"):
        assert "count_cutoff" not in open_measurement(path, time="frame", **WHERE).attrs
    path = ccd(tmp_path / "b.h5", saturation_value=60000)
    with h5py.File(path, "a") as file:
        file["entry/instrument/detector/detectorSpecific/countrate_correction_count_cutoff"] = 41000
    assert open_measurement(path, time="frame", **WHERE).attrs["count_cutoff"] == 41000
