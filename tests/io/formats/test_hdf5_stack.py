"""Frames in HDF5 and netCDF, lazily; files that point elsewhere."""

from __future__ import annotations

import os
import pickle

import h5py
import numpy as np
import pytest
import xarray as xr

from tests.helpers.camserver import ramp, write_frames
from xinsitu.errors import FrameChanged, FrameError, LayoutError
from xinsitu.io.lazy_frames import LazyFrames
from xinsitu.io.measurement import open_flatfield, open_measurement
from xinsitu.io.survey import survey
from xinsitu.schema import epoch_seconds

TRUTH = np.stack([ramp(number) for number in range(6)])


def nexus(path, **more):
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["data/data"] = TRUTH
        entry["start_time"] = "2022-11-01T16:43:30.250-07:00"
        detector = entry.create_group("instrument/detector")
        detector["frame_time"] = 0.5
        detector["frame_time"].attrs["units"] = "s"
        detector["count_time"] = 450.0
        detector["count_time"].attrs["units"] = "ms"
        detector["x_pixel_size"] = 75e-6
        detector["x_pixel_size"].attrs["units"] = "m"
        detector["y_pixel_size"] = 0.075
        detector["y_pixel_size"].attrs["units"] = "mm"
        detector["saturation_value"] = 65534
        detector["description"] = "Eiger 500K"
        for name, value in more.items():
            entry[name] = value
    return path


def test_nexus_frames(tmp_path):
    path = nexus(tmp_path / "scan_0001.nxs")
    for data in (
        open_measurement(path),
        xr.open_dataset(path, engine="xinsitu"),
        xr.open_dataset(path, engine="xinsitu", chunks={}),
    ):
        assert data.image.dtype == np.int32
        np.testing.assert_array_equal(data.image, TRUTH)
        np.testing.assert_array_equal(data.image[1:4, 3:5, ::-2], TRUTH[1:4, 3:5, ::-2])
        np.testing.assert_array_equal(data.image[[5, 0, 0], 3], TRUTH[[5, 0, 0], 3])
        expected = 1667321010.25 + 7 * 3600 + 0.5 * np.arange(6)
        np.testing.assert_allclose(epoch_seconds(data.time), expected, rtol=0, atol=1e-6)
        assert float(data.exposure_time) == 0.45
        assert data.attrs["pixel_size_y"] == pytest.approx(75e-6)
        assert data.attrs["pixel_size_x"] == 75e-6
        assert data.attrs["count_cutoff"] == 65534
        assert data.attrs["detector"] == "Eiger 500K"
        assert data.measurement.item() == "scan_0001"
        xr.testing.assert_identical(pickle.loads(pickle.dumps(data)), data)


def test_only_what_is_asked_for_is_read(tmp_path, computes, monkeypatch):
    path = nexus(tmp_path / "a.h5")
    shapes = []
    real = h5py.Dataset.__getitem__
    monkeypatch.setattr(
        h5py.Dataset, "__getitem__", lambda self, key, **k: shapes.append(np.shape(r := real(self, key, **k))) or r
    )
    with computes(0):
        image = open_measurement(path).image
    assert max(map(len, shapes), default=0) < 2
    shapes.clear()
    image[2:4, 5:7, 3:6].compute()
    assert shapes == [(2, 2, 3)]


def test_eiger_master_with_its_data_files(tmp_path):
    for number in range(3):
        with h5py.File(tmp_path / f"run_data_00000{number + 1}.h5", "w") as file:
            file["entry/data/data"] = TRUTH[2 * number : 2 * number + 2].astype("u4")
    with h5py.File(tmp_path / "run_master.h5", "w") as file:
        for number in range(3):
            file[f"entry/data/data_00000{number + 1}"] = h5py.ExternalLink(
                f"run_data_00000{number + 1}.h5", "/entry/data/data"
            )
    data = open_measurement(tmp_path / "run_master.h5", time="frame")
    np.testing.assert_array_equal(data.image, TRUTH)
    np.testing.assert_array_equal(data.image[1:5, 2], TRUTH[1:5, 2])
    part = tmp_path / "run_data_000002.h5"
    os.utime(part, ns=(1, 1))
    with pytest.raises(FrameChanged, match=r"run_data_000002\.h5"):
        data.image.compute()
    assert data.frame.values.tolist() == [0, 1, 2, 3, 4, 5]
    part.unlink()
    with pytest.raises(FrameError, match=r"run_data_000002\.h5"):
        open_measurement(tmp_path / "run_master.h5", time="frame")


def test_areadetector_file(tmp_path):
    with h5py.File(tmp_path / "ad.h5", "w") as file:
        file["entry/data/data"] = TRUTH.astype("u2")
        group = file.create_group("entry/instrument/NDAttributes")
        group["NDArrayEpicsTSSec"] = 802_117_916 + np.arange(6)
        group["NDArrayEpicsTSnSec"] = np.full(6, 103_746_502)
        group["Temperature"] = 20.5 + np.arange(6)
    data = open_measurement(tmp_path / "ad.h5")
    np.testing.assert_allclose(epoch_seconds(data.time), 1433269916.103746 + np.arange(6), rtol=0, atol=1e-6)
    assert data.Temperature.values.tolist() == [20.5, 21.5, 22.5, 23.5, 24.5, 25.5]


def test_a_stack_in_netcdf(tmp_path):
    time = np.array(["2014-05-28T08:00:00.25"], "datetime64[ns]") + np.arange(6) * np.timedelta64(1, "s")
    dataset = xr.Dataset({"image": (("time", "y", "x"), TRUTH.astype("f4"), {"units": "1"})}, {"time": time})
    dataset = dataset.assign_coords(frame=("time", np.arange(3, 9)))
    dataset.to_netcdf(
        tmp_path / "stack.nc",
        engine="h5netcdf",
        encoding={"time": {"units": "seconds since 1970-01-01", "dtype": "f8"}},
    )
    data = open_measurement(tmp_path / "stack.nc")
    np.testing.assert_array_equal(data.image, TRUTH)
    np.testing.assert_array_equal(data.time.values, time)
    assert data.frame.values.tolist() == list(range(3, 9))
    assert data.image.attrs["units"] == "1"


def test_corrected_frames_stay_corrected(tmp_path):
    from xinsitu import Correction, correct
    from xinsitu import write_frames as write_stack
    from xinsitu.errors import CorrectionError

    write_frames(tmp_path / "m", 4)
    correction = Correction(flatfield=xr.DataArray(1 + ramp(0) / 1e3, dims=("y", "x")))
    corrected = correct(open_measurement(tmp_path / "m", instrument="diamond-i07"), correction)
    write_stack(corrected, tmp_path / "corrected.nc")
    with h5py.File(tmp_path / "corrected.nc"):  # while somebody else reads it
        again = open_measurement(tmp_path / "corrected.nc")
    np.testing.assert_array_equal(again.image, corrected.image)
    np.testing.assert_array_equal(again.time, corrected.time)
    assert again.attrs["instrument"] == "diamond-i07"
    assert again.attrs["time_zone"] == "Europe/London"
    assert again.image.attrs["units"] == "counts"
    assert again.image.attrs["corrections"] == "flatfield"
    with pytest.raises(CorrectionError):
        correct(again, correction)


def test_nan_policy_promotes_here_too(tmp_path):
    data = open_measurement(nexus(tmp_path / "a.h5"), on_error="nan")
    assert data.image.dtype == np.float64
    np.testing.assert_array_equal(data.image, TRUTH)


def test_a_flat_field_in_hdf5(tmp_path):
    flat = open_flatfield(nexus(tmp_path / "flat.h5"))
    np.testing.assert_allclose(flat, TRUTH.mean(0) / TRUTH.mean(), rtol=1e-14)


def test_any_single_stack_is_found_and_several_are_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scan/frames"] = TRUTH
    np.testing.assert_array_equal(open_measurement(tmp_path / "a.h5", time="frame").image, TRUTH)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["scan/dark"] = TRUTH
    with pytest.raises(LayoutError, match="several stacks of frames, scan/dark, scan/frames"):
        open_measurement(tmp_path / "a.h5", time="frame")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = 3
    with pytest.raises(LayoutError, match=r"b\.h5: no stack of frames"):
        open_measurement(tmp_path / "b.h5", time="frame")


def test_files_that_point_elsewhere_are_refused(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(13 * 17 * 4))
    inside = tmp_path / "m"
    inside.mkdir()
    with h5py.File(inside / "storage.h5", "w") as file:
        file.create_dataset("entry/data/data", (1, 13, 17), "i4", external=[(str(secret), 0, 13 * 17 * 4)])
    nexus(tmp_path / "other.h5")
    with h5py.File(inside / "link.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("../other.h5", "/entry/data/data")
    layout = h5py.VirtualLayout((6, 13, 17), "i4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "entry/data/data", (6, 13, 17))
    with h5py.File(inside / "virtual.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    for name in ("storage.h5", "link.h5", "virtual.h5"):
        with pytest.raises(FrameError, match=f"{name}: .*refers to another file"):
            open_measurement(inside / name, time="frame")


def test_damaged_files_are_named(tmp_path):
    path = nexus(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FrameError, match=r"a\.h5"):
        open_measurement(path, time="frame")
    path.write_bytes(b"not HDF5 at all")
    with pytest.raises(FrameError, match=r"a\.h5"):
        open_measurement(path, time="frame")


def test_stacks_are_named_after_their_files(tmp_path):
    path = nexus(tmp_path / "a.h5")
    one, other = (open_measurement(path).image.data.name for _ in range(2))
    assert one == other
    os.utime(path, ns=(1, 1))
    assert open_measurement(path).image.data.name != one
    assert issubclass(LazyFrames, xr.backends.BackendArray)


def test_old_and_new_clocks_of_areadetector(tmp_path):
    path = tmp_path / "ad.h5"
    for offset in (0, 631_152_000):  # since 1970, as in old versions, and since 1990
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = TRUTH
            file["entry/instrument/NDAttributes/NDArrayTimeStamp"] = 1_401_264_119.5 - offset + np.arange(6)
        os.utime(path, (1_401_264_200, 1_401_264_200))
        data = open_measurement(path)
        np.testing.assert_allclose(epoch_seconds(data.time), 1_401_264_119.5 + np.arange(6), rtol=0, atol=2e-6)


def test_a_survey_of_one_file_and_of_a_pattern(tmp_path):
    text = str(survey(nexus(tmp_path / "scan_0001.nxs"), tz="UTC"))
    assert "6 of 13 x 17 int32" in text
    assert "2022-11-01 23:43:30.25 to 2022-11-01 23:43:32.75 UTC" in text
    assert "1 seen = 1 good (6 frames) + 0 bad + 0 others" in text
    write_frames(tmp_path / "m", 4)
    assert survey(str(tmp_path / "m" / "*_0000[12].tif"), tz="UTC").n_frames == 2
