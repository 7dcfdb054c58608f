"""Hints on zones, periods, logs and masks, each tried on the very case that prints it."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

from tests.helpers.camserver import stamp_of, write_frames
from xinsitu.cli import main
from xinsitu.errors import TimeError, XinsituWarning
from xinsitu.io.measurement import open_measurement, open_sample
from xinsitu.io.survey import survey

from .test_hints import FRAMES, WHERE, refused, stack


def readings(folder, stamps):
    folder.mkdir()
    for number, stamp in enumerate(stamps):
        tifffile.imwrite(folder / f"r_{number:03d}.tif", FRAMES[number % 6], datetime=stamp, metadata=None)
    return folder


@pytest.mark.parametrize("zone", ["America/Chicago", "Europe/Athens", "Australia/Lord_Howe"])
@pytest.mark.parametrize("by", ["keyword", "command"])
def test_the_offsets_that_are_offered_for_an_hour_that_occurs_twice(tmp_path, capsys, zone, by):
    first = {"America/Chicago": "2019:11:03 01:20", "Europe/Athens": "2019:10:27 03:20"}.get(zone, "2019:04:07 01:40")
    folder = readings(tmp_path / "r", [f"{first}:{second:02d}" for second in range(3)])
    with pytest.raises(TimeError) as told:
        open_measurement(folder, tz=zone, instrument="generic")
    offered = re.findall(r"'([+-]\d\d:\d\d)'", str(told.value))
    assert len(set(offered)) == 2
    local = np.datetime64(first.replace(":", "-", 2).replace(" ", "T"), "ns")
    for offset in offered:
        hours, minutes = int(offset[1:3]), int(offset[4:])
        ahead = np.timedelta64((hours * 60 + minutes) * (-1 if offset[0] == "-" else 1), "m")
        if by == "keyword":
            assert open_measurement(folder, tz=offset, instrument="generic").time.values[0] == local - ahead
        else:
            assert main(["info", str(folder), "--tz", offset, "--instrument", "generic"]) == 0
            assert f"begins {str(local - ahead)[:19].replace('T', ' ')} UTC" in capsys.readouterr().out


def test_values_that_begin_with_a_minus_sign_are_values():
    from xinsitu.cli import _signed

    assert _signed(["compare", "a.nc", "--interval", "-60:60", "--t0", "x"])[2] == "--interval=-60:60"
    assert _signed(["info", "x", "--tz=-05:00", "-7"]) == ["info", "x", "--tz=-05:00", "-7"]
    assert _signed(["plot", "a.nc", "--log", "-o", "b.png"]) == ["plot", "a.nc", "--log", "-o", "b.png"]


def test_a_reading_that_no_clock_showed_opens_in_another_zone(tmp_path):
    folder = readings(tmp_path / "r", ["2019:03:10 02:20:00", "2019:03:10 02:20:01"])
    with pytest.raises(TimeError, match=r"does not exist in America/Chicago.*give the right zone with tz="):
        open_measurement(folder, tz="America/Chicago", instrument="generic")
    assert open_measurement(folder, tz="America/Phoenix", instrument="generic").sizes["time"] == 2


@pytest.mark.parametrize("word", ["tz", "instrument"])
def test_a_zone_or_an_instrument_where_the_zone_is_not_known(tmp_path, capsys, word):
    folder = readings(tmp_path / "r", [stamp_of(number) for number in range(3)])
    with pytest.warns(XinsituWarning, match=r"say tz= \(--tz\) or instrument= \(--instrument") as told:
        open_measurement(folder)
    assert len(told) == 1
    value = {"tz": "Asia/Kolkata", "instrument": "diamond-i07"}[word]
    assert open_measurement(folder, **{word: value}).attrs["time_zone_source"] == word
    assert main(["info", str(folder)]) == 0
    assert "not known (--tz, --instrument)" in capsys.readouterr().out
    assert main(["info", str(folder), f"--{word}", value]) == 0
    assert "not known" not in capsys.readouterr().out
    assert main(["instrument"]) == 0  # 'xinsitu instrument' lists them
    assert "diamond-i07" in capsys.readouterr().out


def test_the_right_period_where_one_contradicts(tmp_path):
    folder = readings(tmp_path / "r", [stamp_of(number // 4) for number in range(24)])
    said = refused(folder, TimeError, time="period", period=0.31)
    assert "give the right period=" in said
    with pytest.raises(TimeError, match="contradicts the stamps"):
        open_measurement(folder, time="period", period=0.2, **WHERE)
    data = open_measurement(folder, time="period", period=0.25, **WHERE)
    np.testing.assert_array_equal(np.diff(data.time.values) / np.timedelta64(1, "ms"), 250)


def test_a_period_where_one_frame_alone_has_a_stamp(tmp_path, capsys):
    folder = readings(tmp_path / "r", [stamp_of(40), *[None] * 3])
    with pytest.warns(XinsituWarning, match=r"period= \(--period\) gives them times"):
        assert open_measurement(folder, **WHERE).attrs["time_source"] == "frame"
    data = open_measurement(folder, period=2.5, **WHERE)
    assert (np.diff(data.time.values) / np.timedelta64(1, "ms")).tolist() == [2500] * 3
    said = refused(folder, TimeError, time="stamp")
    assert "time='frame' numbers them" in said
    assert open_measurement(folder, time="frame", **WHERE).sizes["time"] == 4


@pytest.mark.thorough
def test_the_log_that_is_asked_for_among_too_many_and_among_two(tmp_path):
    visit = tmp_path / "visit"
    folder = visit / "p100k"
    write_frames(folder, 3, name="p100kImage_44_{}.tif")
    for scan in range(80):
        (visit / f"{scan + 200}.dat").write_text(f"frame_no\td5i\n0\t{scan}\n1\t{scan}\n2\t{scan}\n")
    with pytest.warns(XinsituWarning, match=r"80 files fit .*; give one with logs= \(--log\)"):
        open_measurement(folder, instrument="diamond-i07")
    assert (
        open_measurement(folder, instrument="diamond-i07", logs=visit / "217.dat").monitor.values.tolist() == [17] * 3
    )
    assert (
        main(["measure", str(folder), "--instrument", "diamond-i07", "--log", str(visit / "230.dat"), *_roi(tmp_path)])
        == 0
    )
    assert xr.open_dataset(tmp_path / "s.nc").monitor.values.tolist() == [30] * 3


def _roi(folder):
    from xinsitu import Roi, write_rois

    write_rois([Roi("A", y=(1, 9), x=(2, 11))], folder / "r.json", overwrite=True)
    return ["--rois", str(folder / "r.json"), "-o", str(folder / "s.nc"), "--force"]


def test_growth_logs_of_an_instrument_without_a_zone(tmp_path):
    from xinsitu import read_events_log

    log = tmp_path / "mbe.log"
    log.write_text(
        "#D 2016/07/01 10:00:00\n#C Shutter(s) opened or closed: 0 1 0 0 1\n"
        "#D 2016/07/01 10:05:00\n#C Shutter(s) opened or closed: 0 0 0 0 1\n"
    )
    with pytest.raises(TimeError, match="has no time zone; say tz="):
        read_events_log(log, instrument="generic")
    (event,) = read_events_log(log, instrument="generic", tz="Europe/Paris")
    assert str(event.start)[:19] == "2016-07-01T08:00:00"


def test_folders_inside_one_by_one_or_as_a_sample(tmp_path):
    for name in ("time1", "time2"):
        write_frames(tmp_path / "s" / name, 2)
    said = refused(tmp_path / "s")
    assert "open one of these, or all of them with open_sample" in said
    first = re.search(r"folders (\w+),", said)[1]
    assert open_measurement(tmp_path / "s" / first, **WHERE).sizes["time"] == 2
    assert len(open_sample(tmp_path / "s", **WHERE).children) == 2


@pytest.mark.thorough
def test_a_mask_that_the_file_brings_leaves_its_pixels_out(tmp_path, capsys):
    path = stack(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        mask = np.zeros(FRAMES.shape[1:], "u4")
        mask[3, 4:7] = 1
        file["entry/instrument/detector/pixel_mask"] = mask
    words = ["measure", str(path), "--tz", "UTC", *_roi(tmp_path)]
    assert main(words) == 0
    assert "the file calls 3 pixels bad; --mask with the path of the file leaves them out" in capsys.readouterr().out
    everything = xr.open_dataset(tmp_path / "s.nc").n_valid.values
    assert main([*words, "--mask", str(path)]) == 0
    assert (everything - xr.open_dataset(tmp_path / "s.nc").n_valid.values == 3).all()


# -- an axis in units of time that is no exposure (NXsas) -------------------------------------------------------------


def nxsas(path, unit="minutes", *, count_time=None):
    """Frames over an axis of sample times, as NXsas has them."""
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="data", axes=["sample_times", ".", "."])
        data["data"] = FRAMES[:4]
        data["sample_times"] = np.array([0.0, 4.0, 9.0, 15.0])
        data["sample_times"].attrs["units"] = unit
        file["entry"].attrs.update(NX_class="NXentry", default="data")
        file["entry/start_time"] = "2018-11-02T12:00:31+00:00"
        if count_time:
            file["entry/data/count_time"] = count_time
            file["entry/data/count_time"].attrs["units"] = "s"
    return path


def test_an_axis_of_times_is_said_to_be_no_exposure(tmp_path):
    said = "no count_time or exposure_time says how long frames were exposed; their axis sample_times (minutes)"
    with pytest.warns(XinsituWarning) as told:
        data = open_measurement(nxsas(tmp_path / "a.h5"), **WHERE)
    assert any(said in str(one.message) for one in told)
    assert "exposure_time" not in data.coords
    assert said in str(survey(tmp_path / "a.h5", **WHERE))
    for other in (nxsas(tmp_path / "b.h5", "K"), nxsas(tmp_path / "c.h5", count_time=30.0)):
        assert "is no exposure time" not in str(survey(other, **WHERE))


def test_an_example_of_nxsas_says_so(shared_data):
    path = shared_data / "outside" / "nxsas" / "nexus-example.hdf5"
    assert "their axis sample_times (minutes) is no exposure time" in str(survey(path, **WHERE))
