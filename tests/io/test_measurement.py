"""Opening: the Dataset of the data model, its times, its faults, real frames."""

from __future__ import annotations

import csv
import os
import pickle
import time as clock
from itertools import groupby

import dask
import numpy as np
import pytest
import tifffile
import xarray as xr

from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.errors import FrameError, LayoutError, TimeError, XinsituWarning
from xinsitu.io.formats import stack as frame_stack
from xinsitu.io.measurement import open_flatfield, open_measurement, open_sample
from xinsitu.io.survey import survey
from xinsitu.schema import FrameStatus, epoch_seconds


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "0884" / "time1"
    write_frames(path, 5)
    return path


def both_ways(path, **options):
    """The same measurement by the function and by the engine."""
    yield open_measurement(path, **options)
    yield xr.open_dataset(path, engine="xinsitu", **options)
    yield xr.open_dataset(path, engine="xinsitu", chunks={}, **options)


def test_the_dataset_is_that_of_the_data_model(folder):
    for data in both_ways(folder, tz="Asia/Tokyo"):
        assert dict(data.sizes) == {"time": 5, "y": 13, "x": 17, "bound": 2}
        assert data.image.dtype == np.int32
        assert data.image.attrs["units"] == "counts"
        np.testing.assert_array_equal(data.image, np.stack([ramp(n) for n in range(5)]))
        np.testing.assert_array_equal(epoch_seconds(data.time), 1_401_296_400 - 9 * 3600 + np.arange(5))
        assert data.time.dtype == "datetime64[ns]"
        assert data.frame.values.tolist() == [0, 1, 2, 3, 4]
        assert data.scan.values.tolist() == [1] * 5
        assert data.stamp.values[1] == "2014:05:28 17:00:01"
        assert data.frame_status.dtype == np.int8
        assert data.frame_status.attrs["flag_meanings"].startswith("ok missing truncated")
        assert float(data.exposure_time) == 1.0
        assert data.exposure_time.attrs["units"] == "s"
        assert (data.sample.item(), data.measurement.item()) == ("0884", "time1")
        assert (data.y.dtype, data.x.values[-1]) == (np.int64, 16)
        assert (data.y.attrs["long_name"], data.x.attrs["long_name"]) == ("hk", "l")
        assert data.encoding["source"] == str(folder)


def test_attributes_say_where_the_numbers_come_from(folder):
    attrs = open_measurement(folder, tz="Asia/Tokyo").attrs
    expected = {
        "source": "0884/time1", "time_zone": "Asia/Tokyo", "time_zone_source": "tz", "time_source": "tiff:306",
        "time_resolution": 1.0, "count_cutoff": 1048574, "pixel_size_y": 172e-6, "pixel_size_x": 172e-6,
        "detector": "PILATUS 100K", "detector_serial": "1-0230", "instrument": "spring8-bl11xu",
        "threshold_energy": 5000.0, "exposure_period": 1.0, "Conventions": "CF-1.11", "trim_file": "p100k.bin",
    }  # fmt: skip
    assert {name: attrs[name] for name in expected} == expected
    assert all(isinstance(value, str | int | float) for value in attrs.values())
    assert "xinsitu_version" in attrs


def test_opening_reads_no_pixel_and_computes_nothing(folder, computes, monkeypatch):

    monkeypatch.setattr(frame_stack, "_read_into", lambda *a: pytest.fail("a pixel was read"))
    with computes(0):
        for data in both_ways(folder, tz="Asia/Tokyo"):
            repr(data)
            part = data.isel(time=slice(2), y=slice(3, 5)).image
            part = part if part.chunks is None else part * 2
            assert part.shape == (2, 2, 17)


def test_a_zone_that_nobody_knows_is_said_once(folder):
    with pytest.warns(XinsituWarning, match="nor is the time zone of their stamps") as caught:
        data = open_measurement(folder, instrument="generic")
    assert len(caught) == 1
    assert data.attrs["time_zone_source"] == "unknown"
    assert open_measurement(folder, instrument="spring8-bl11xu").attrs["time_zone_source"] == "instrument"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "Europe/Copenhagen", "America/Los_Angeles", "Asia/Kathmandu"])
def test_the_zone_of_this_machine_plays_no_part(folder, zone, monkeypatch):
    expected = open_measurement(folder, tz="Asia/Tokyo").time.values
    monkeypatch.setenv("TZ", zone)
    clock.tzset()
    try:
        np.testing.assert_array_equal(open_measurement(folder, tz="Asia/Tokyo").time.values, expected)
    finally:
        monkeypatch.undo()
        clock.tzset()


def test_an_unknown_zone_is_refused(folder):
    with pytest.raises(TimeError, match="'Asia/Tokio' is no time zone"):
        open_measurement(folder, tz="Asia/Tokio")


def test_scans_of_one_name_are_one_measurement(tmp_path):
    folder = tmp_path / "InAs0799" / "time2"
    write_frames(folder, 3, name="0799time2_1_{}.tif")
    for number in range(2):
        pixels = camserver_bytes(ramp(10 + number), stamp_of(60 + number))
        (folder / f"0799time2_2_{number}.tif").write_bytes(pixels)
    data = open_measurement(folder, tz="UTC")
    assert data.scan.values.tolist() == [1, 1, 1, 2, 2]
    assert data.frame.values.tolist() == [0, 1, 2, 0, 1]
    assert np.diff(epoch_seconds(data.time)).tolist() == [1, 1, 58, 1]
    assert int(data.image[3, 0, 0]) == 10000


def test_one_second_stamps_keep_their_order(tmp_path):
    (tmp_path / "m").mkdir()
    for number in range(12):
        data = camserver_bytes(ramp(number), stamp_of(number // 4), exposure=0.2, period=0.25)
        (tmp_path / "m" / f"a_{number}.tif").write_bytes(data)
    data = open_measurement(tmp_path / "m", tz="UTC")
    np.testing.assert_array_equal(data.image[:, 0, 0], np.arange(12) * 1000)
    assert len(set(data.stamp.values.tolist())) == 3
    assert (np.diff(data.time.values) == np.timedelta64(250, "ms")).all()  # spread within their second


def test_stamps_that_decrease_are_an_error_that_names_the_first_pair(folder):
    (folder / "0884_time_1_00003.tif").write_bytes(camserver_bytes(ramp(3), "2014:05:28 16:00:00"))
    with pytest.raises(TimeError, match=r"from 0884_time_1_00002\.tif \(2014:05:28 17:00:02\) to 0884_time_1_00003"):
        open_measurement(folder, tz="UTC")
    data = open_measurement(folder, tz="UTC", order_error="ignore")
    assert data.frame.values.tolist() == [0, 1, 2, 3, 4]
    assert data.frame_status.values.tolist() == [0, 0, 0, FrameStatus.STALE_TIME, 0]


def test_a_frame_without_a_stamp_is_placed_by_its_number(tmp_path):
    (tmp_path / "m").mkdir()
    stamps = ["", stamp_of(10), "", "0000:00:00 00:00:00", stamp_of(40), ""]
    for number, stamp in zip([0, 1, 2, 3, 4, 6], stamps, strict=True):
        (tmp_path / "m" / f"a_{number}.tif").write_bytes(camserver_bytes(ramp(number), stamp))
    said = (
        r"4 of 6 frames have no time stamp that can be read \(frame 0 is the first, it has none\): .* flagged no_stamp"
    )
    with pytest.warns(XinsituWarning, match=said) as heard:
        data = open_measurement(tmp_path / "m", tz="UTC")
    assert len(heard) == 1
    seconds = epoch_seconds(data.time) - 1_401_296_400
    assert seconds.tolist() == [0, 10, 20, 30, 40, 60]
    assert (data.frame_status == FrameStatus.NO_STAMP).values.tolist() == [True, False, True, True, False, True]
    assert data.stamp.values[3] == "0000:00:00 00:00:00"


def test_without_any_stamp_the_frame_number_is_the_time(tmp_path):
    (tmp_path / "m").mkdir()
    for number in (3, 4, 7):
        tifffile.imwrite(tmp_path / "m" / f"a_{number}.tif", ramp(number), metadata=None)
    with pytest.warns(XinsituWarning, match="no frame has a time stamp"):
        data = open_measurement(tmp_path / "m", tz="UTC")
    assert epoch_seconds(data.time).tolist() == [3, 4, 7]
    assert data.attrs["time_source"] == "frame"
    with pytest.raises(TimeError, match="no frame has a time stamp"):
        open_measurement(tmp_path / "m", tz="UTC", time="stamp")
    assert open_measurement(tmp_path / "m", time="frame").attrs["time_source"] == "frame"


BAD = {
    "truncated": (lambda data: data[:-100], FrameStatus.TRUNCATED),
    "empty": (lambda data: b"", FrameStatus.TRUNCATED),
    "text": (lambda data: b"hello " * 1000, FrameStatus.UNREADABLE),
    "wrong shape": (lambda data: camserver_bytes(ramp(0, (17, 13)), stamp_of(2)), FrameStatus.WRONG_SHAPE),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("where", [0, 2, 4])
def test_a_bad_frame_is_an_error_or_left_out_or_nan(folder, kind, where):
    change, status = BAD[kind]
    path = folder / f"0884_time_1_0000{where}.tif"
    path.write_bytes(change(path.read_bytes()))
    aged(path)
    with pytest.raises(FrameError, match=path.name) as caught:
        open_measurement(folder, tz="UTC")
    assert str(caught.value).count("\n") == 0
    rest = [number for number in range(5) if number != where]
    with pytest.warns(XinsituWarning, match=rf"{path.name}: .*left out"):
        skipped = open_measurement(folder, tz="UTC", on_error="skip")
    assert skipped.frame.values.tolist() == rest
    assert skipped.image.dtype == np.int32
    np.testing.assert_array_equal(skipped.image, np.stack([ramp(n) for n in rest]))
    assert skipped.attrs["frames_left_out"] == f"{path.name} ({status.name.lower()})"
    kept = open_measurement(folder, tz="UTC", on_error="nan")
    assert "frames_left_out" not in kept.attrs
    assert kept.image.dtype == np.float64
    assert kept.frame_status.values[where] == status
    assert np.isnan(kept.image[where]).all()
    np.testing.assert_array_equal(kept.image[rest], np.stack([ramp(n) for n in rest]))
    assert (np.diff(epoch_seconds(kept.time)) == 1).all()


def test_dtypes_are_never_cast_silently(tmp_path):
    (tmp_path / "m").mkdir()
    for number in range(5):
        pixels = ramp(number).astype("float32" if number == 3 else "int32")
        tifffile.imwrite(tmp_path / "m" / f"a_{number}.tif", pixels, metadata=None)
    with pytest.raises(FrameError, match=r"a_3\.tif: 13 x 17 float32 found, 13 x 17 int32 expected"):
        open_measurement(tmp_path / "m", time="frame")
    data = open_measurement(tmp_path / "m", time="frame", on_error="nan")
    assert data.frame_status.values[3] == FrameStatus.WRONG_DTYPE


def test_a_number_that_comes_twice_is_a_fault(folder):
    (folder / "0884_time_1_2.tif").write_bytes(camserver_bytes(ramp(2), stamp_of(2)))
    with pytest.raises(FrameError, match=r"has the same number as 0884_time_1_0*2\.tif"):
        open_measurement(folder, tz="UTC")


@pytest.mark.parametrize("option", ["on_error", "order_error", "time"])
def test_unknown_policies_are_refused(folder, option):
    with pytest.raises(ValueError, match=option):
        open_measurement(folder, tz="UTC", **{option: "guess"})


def test_folders_that_hold_no_measurement(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "gone", tmp_path / "empty", tmp_path):
        with pytest.raises(LayoutError, match=str(path)) as caught:
            open_measurement(path, tz="UTC")
        assert "\n" not in str(caught.value)


def test_pickles_whole(folder):
    for data in both_ways(folder, tz="UTC"):
        xr.testing.assert_identical(pickle.loads(pickle.dumps(data)), data)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_any_scheduler_and_chunking_gives_the_same(folder, scheduler):
    truth = np.stack([ramp(n) for n in range(5)])
    with dask.config.set(scheduler=scheduler):
        for chunks in ({}, {"time": 2}, {"time": 1, "y": 13}, None, "auto"):
            data = open_measurement(folder, tz="UTC", chunks=chunks)
            np.testing.assert_array_equal(data.image.values, truth)


@pytest.mark.thorough
def test_an_overwritten_frame_is_never_stale_under_a_cluster(folder):
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", host="127.0.0.1"
        ) as cluster,
        Client(cluster),
    ):
        kept = open_measurement(folder, tz="UTC", chunks={"time": 1}).image.persist()
        np.testing.assert_array_equal(kept, np.stack([ramp(n) for n in range(5)]))
        (folder / "0884_time_1_00002.tif").write_bytes(camserver_bytes(ramp(99), stamp_of(2)))
        again = open_measurement(folder, tz="UTC", chunks={"time": 1}).image
        assert int(again[2, 0, 0]) == 99000


def test_2000_frames_open_in_a_second(tmp_path):
    source = tmp_path / "one.tif"
    source.write_bytes(camserver_bytes(ramp(0, (195, 487)), stamp_of(0)))
    (tmp_path / "m").mkdir()
    for number in range(2000):
        os.link(source, tmp_path / "m" / f"a_{number:05d}.tif")
    open_measurement(tmp_path / "m", tz="UTC")
    start = clock.perf_counter()
    data = open_measurement(tmp_path / "m", tz="UTC")
    assert clock.perf_counter() - start < 1
    assert data.sizes["time"] == 2000
    assert 16 * 2**20 <= data.image.data.blocks[0].nbytes <= 32 * 2**20


def test_flat_field_is_the_mean_over_its_own_mean(tmp_path):
    rng = np.random.default_rng(5)
    frames = rng.poisson(200, (60, 13, 17)).astype("int32")
    (tmp_path / "flat").mkdir()
    for number, pixels in enumerate(frames):
        (tmp_path / "flat" / f"flat_{number}.tif").write_bytes(camserver_bytes(pixels))
    flat = open_flatfield(tmp_path / "flat")
    mean = frames.mean(axis=0)
    np.testing.assert_allclose(flat, mean / mean.mean(), rtol=1e-14)
    assert (flat.dims, flat.dtype, flat.name) == (("y", "x"), np.float64, "flatfield")
    assert flat.attrs["threshold_energy"] == 5000.0


def test_flagged_pixels_of_a_flat_field_are_nan(tmp_path):
    (tmp_path / "flat").mkdir()
    for number in range(3):
        pixels = np.full((13, 17), 100, "int32")
        pixels[4, 5] = -1
        (tmp_path / "flat" / f"flat_{number}.tif").write_bytes(camserver_bytes(pixels))
    flat = open_flatfield(tmp_path / "flat")
    assert np.isnan(flat[4, 5])
    assert (flat.where(flat.notnull(), 1) == 1).all()
    dark = tmp_path / "dark"
    write_frames(dark, 1)
    (dark / "0884_time_1_00000.tif").write_bytes(camserver_bytes(np.zeros((13, 17), "int32")))
    with pytest.raises(LayoutError, match="a flat field with a mean of 0"):
        open_flatfield(dark)


def test_a_sample_is_a_tree_of_its_measurements(tmp_path):
    sample = tmp_path / "0884"
    for name in ("time10", "time2", "test", "test2"):
        write_frames(sample / name, 2)
    (sample / "notes.txt").touch()
    (sample / "empty").mkdir()
    tree = open_sample(sample, tz="Asia/Tokyo")
    assert list(tree.children) == ["time2", "time10"]
    assert tree.attrs == {"sample": "0884", "left_out": "empty, notes.txt, test, test2"}
    assert tree["time2"].image.shape == (2, 13, 17)
    assert list(open_sample(sample, include="test*", exclude="", tz="UTC").children) == ["test", "test2"]
    with pytest.raises(LayoutError, match="no measurement here"):
        open_sample(sample, include="other*")
    with pytest.warns(XinsituWarning) as caught:
        open_sample(sample, instrument="generic")
    assert len(caught) == 1


def test_a_survey_accounts_for_every_file(folder):
    (folder / "0884_time_1_00001.tif").unlink()
    path = folder / "0884_time_1_00003.tif"
    path.write_bytes(path.read_bytes()[:-4])
    (folder / "0884_time_1.log").touch()
    (folder / ".DS_Store").touch()
    text = str(survey(folder))
    assert "6 seen = 3 good frames + 1 bad + 2 others" in text
    assert "scan 1: 0 to 4, missing 1" in text
    assert "0884_time_1_00003.tif: truncated" in text
    assert "2014-05-28 17:00:00 to 2014-05-28 17:00:04 Asia/Tokyo (of the instrument)" in text
    assert "from      spring8-bl11xu (recognised by PILATUS 100K, names of the folders)" in text
    assert "PILATUS 100K, S/N 1-0230" in text
    above = survey(folder.parent, tz="UTC")
    assert above.n_frames == 3
    assert len(above.faults) == 1
    with pytest.raises(LayoutError):
        survey(folder.parent.parent)


# -- real frames ------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_i07_frames_are_those_of_tifffile(shared_data):
    folder = shared_data / "i07" / "refl" / "380404"
    names = sorted(os.listdir(folder))
    truth = np.stack([tifffile.imread(folder / name) for name in names])
    for data in both_ways(folder, instrument="diamond-i07"):
        assert (data.image.shape, data.image.dtype) == ((61, 195, 487), np.int32)
        np.testing.assert_array_equal(data.image, truth)
        assert data.frame.values[0] == 5885902
        with tifffile.TiffFile(folder / names[-1]) as tiff:
            stamp = np.datetime64(tiff.pages[0].datetime)  # February: the zone's offset is 0
        assert data.time.values[-1] == stamp


def test_sums_are_those_of_the_beamline(shared_data):
    with open(shared_data / "i07" / "roi1_by_the_beamline.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    count = 0
    for scan, group in groupby(rows, key=lambda row: row["scan"]):
        data = open_measurement(shared_data / "i07" / "refl" / scan, instrument="diamond-i07", chunks=None)
        for position, row in enumerate(group):
            y, x, h, w = (int(float(row[f"roi_{name}"])) for name in "yxhw")
            pixels = data.image[position, y : y + h, x : x + w].values
            assert pixels.sum() == float(row["gda_sum"])
            assert (pixels.min(), pixels.max()) == (float(row["gda_min"]), float(row["gda_max"]))
            count += 1
    assert count == 90
