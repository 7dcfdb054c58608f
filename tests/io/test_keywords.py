"""What can be asked for, and what cannot: one sentence each."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.errors import LayoutError, XinsituError, XinsituWarning
from xinsitu.io.measurement import open_flatfield, open_measurement, open_sample
from xinsitu.io.survey import survey
from xinsitu.schema import FrameStatus, epoch_seconds


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "0884" / "time1"
    write_frames(path, 5)
    return path


WRONG = [
    ("tz", 5), ("tz", 9.0), ("tz", b"UTC"), ("tz", ["UTC"]), ("tz", "Mars"),
    ("instrument", 5), ("instrument", "nowhere"), ("instrument", ["spring8-bl11xu"]),
    ("on_error", None), ("on_error", 1), ("on_error", "ignore"), ("on_error", ["skip"]),
    ("time", None), ("time", 5), ("time", "stamps"), ("time", b"stamp"), ("time", [1, 2]), ("time", ["a"] * 5),
    ("time", np.array([None] * 5)), ("time", [np.nan] * 5), ("time", [1e18] * 5), ("time", [-1e11] * 5),
    ("order_error", None), ("order_error", "skip"), ("order_error", True),
    ("series", 3), ("series", "b"), ("fill_missing", "yes"), ("fill_missing", None),
    ("period", 0), ("period", -1), ("period", "1 s"), ("period", True), ("period", float("nan")),
    ("stamp_marks", "middle"), ("stamp_marks", 1), ("logs", 3), ("logs", True),
    ("chunks", -5), ("chunks", "many"), ("chunks", {"time": 0}), ("chunks", {"t": 2}), ("chunks", {"time": "x"}),
    ("chunks", 2.5), ("chunks", {"time": (1, 1)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: str(value)[:20])
def test_a_wrong_keyword_is_refused_in_one_sentence(folder, name, value):
    with pytest.raises(XinsituError) as caught:
        open_measurement(folder, **{"tz": "UTC", name: value})
    said = str(caught.value)
    assert "\n" not in said
    assert name in said or repr(value) in said or str(folder) in said


def test_other_openings_refuse_the_same(folder):
    for opened in (open_flatfield, survey, open_sample):
        for wrong in ({"tz": 5}, {"instrument": 5}):
            with pytest.raises(XinsituError):
                opened(folder.parent if opened is open_sample else folder, **wrong)


@pytest.mark.parametrize(
    "wrong", [{"include": 5}, {"exclude": None}, {"path": 5}, {"path": None}, {"path": ""}], ids=str
)
def test_a_sample_that_cannot_be_meant(folder, wrong):
    with pytest.raises(LayoutError, match=f"{next(iter(wrong))} is .*, not "):
        open_sample(**{"path": folder.parent, **wrong})


WRONG_PATHS = [5, None, b"time1", [1, 2], "", [], [None]]


@pytest.mark.parametrize("path", WRONG_PATHS, ids=str)
def test_what_is_no_path(path):
    for opened in (open_measurement, open_flatfield, survey):
        with pytest.raises(LayoutError) as caught:
            opened(path)
        assert "\n" not in str(caught.value)


def test_times_of_any_kind_of_array(folder):
    moments = pd.date_range("2014-05-28T08:00:00", periods=5, freq="s")
    for times in (moments, moments.values, list(moments.values), epoch_seconds(moments.values)):
        data = open_measurement(folder, time=times)
        assert np.diff(epoch_seconds(data.time)).tolist() == [1] * 4
        assert data.attrs["time_source"] == "given"
        assert data.time.values[0] == moments.values[0]


# -- paths ------------------------------------------------------------------------------------------------------------


def test_folders_are_measurements_of_their_own(folder):
    write_frames(folder.parent / "time2", 3)
    sample = folder.parent
    several = [f"{sample}/time*/*.tif", f"{sample}/time*", [folder, sample / "time2"], f"{sample}/t*/0884_*"]
    for path in several:
        for opened in (open_measurement, survey):
            with pytest.raises(LayoutError, match=r"2 folders, time1, time2, each a measurement of its own; .*stitch"):
                opened(path, tz="UTC")
    for path in (f"{sample}/*1/*.tif", f"{sample}/*1", [folder], f"{sample}/*1/*_0000?.tif", Path(sample) / "*1"):
        assert open_measurement(path, tz="UTC").sizes["time"] == 5
    with pytest.raises(LayoutError, match=r"no folder fits this pattern"):
        open_measurement(f"{sample}/nights*/*.tif")
    with pytest.raises(LayoutError, match=r"no file fits this pattern"):
        open_measurement(f"{folder}/*.png")
    with pytest.raises(LayoutError, match=r"a folder in a list of files"):
        open_measurement([folder, folder / "0884_time_1_00000.tif"])


def test_lists_may_come_from_anything(folder):
    names = sorted(folder.glob("*.tif"))
    for files in (names, tuple(names), iter(names), (str(name) for name in names), filter(Path.is_file, names)):
        data = open_measurement(files, tz="UTC")
        np.testing.assert_array_equal(data.image, np.stack([ramp(n) for n in range(5)]))


def test_a_path_from_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert open_measurement("~/time1", tz="UTC").sizes["time"] == 5


# -- clocks that were not set -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stamp", "when"), [("1970:01:01 00:00:07", "before 1995"), ("2099:05:28 17:00:04", "future")])
def test_stamps_of_a_clock_that_was_not_set(folder, stamp, when):
    number = 0 if when == "before 1995" else 4
    path = folder / f"0884_time_1_0000{number}.tif"
    path.write_bytes(camserver_bytes(ramp(number), stamp))
    with pytest.warns(XinsituWarning, match=rf"{path.name} is stamped {stamp}, .*{when}, 1 frame in all") as caught:
        data = open_measurement(folder, tz="UTC")
    assert len(caught) == 1
    assert data.frame_status.values[number] == FrameStatus.DOUBTFUL_TIME
    assert (data.frame_status != 0).sum() == 1
    assert f"1 frame is stamped before 1995 or in the future, {path.name} first" in str(survey(folder, tz="UTC"))


@pytest.mark.parametrize("stamp", ["9999:12:31 23:59:59", "0001:01:01 00:00:00", "2300:01:01 00:00:00"])
def test_a_year_that_no_clock_shows_is_no_stamp(folder, stamp):
    (folder / "0884_time_1_00002.tif").write_bytes(camserver_bytes(ramp(2), stamp))
    with pytest.warns(
        XinsituWarning, match=r"1 of 5 frames have no time stamp that can be read \(frame 2 is the first"
    ):
        data = open_measurement(folder, tz="UTC")
    assert data.frame_status.values.tolist() == [0, 0, FrameStatus.NO_STAMP, 0, 0]
    assert np.diff(epoch_seconds(data.time)).tolist() == [1] * 4


def test_a_count_of_seconds_that_is_none(tmp_path):
    for number, moment in enumerate(("1401264000.5", "1e300", "1401264002.5")):
        head = f"{{\nDataType = UnsignedShort ;\nDim_1 = 4 ;\nDim_2 = 3 ;\ntime_of_day = {moment} ;\n}}\n"
        (tmp_path / f"a_{number}.edf").write_bytes(head.encode() + bytes(24))
    with pytest.warns(XinsituWarning, match="1 of 3 frames have no time stamp that can be read"):
        data = open_measurement(tmp_path)
    assert epoch_seconds(data.time).tolist() == [1401264000.5, 1401264001.5, 1401264002.5]
    assert data.frame_status.values.tolist() == [0, FrameStatus.NO_STAMP, 0]


def test_a_stamp_of_today_is_believed(folder):
    import time

    now = time.strftime("%Y:%m:%d %H:%M:%S", time.gmtime())
    (folder / "0884_time_1_00004.tif").write_bytes(camserver_bytes(ramp(4), now))
    for zone in ("UTC", "-12:00", "+14:00"):
        assert not open_measurement(folder, tz=zone).frame_status.any()


def test_numbered_frames_have_no_zone(folder):
    data = open_measurement(folder, tz="Asia/Tokyo", time="frame")
    assert not {"time_zone", "time_zone_source", "stamp_marks"} & set(data.attrs)
    assert data.attrs["time_source"] == "frame"
    assert open_measurement(folder, tz="Asia/Tokyo").attrs["stamp_marks"] == "end"
    from xinsitu import write_frames as write

    path = write(open_measurement(folder, tz="Asia/Tokyo"), folder.parent / "out.nc")
    assert "time_zone" not in open_measurement(path, time="frame").attrs
    assert stamp_of(0) == data.stamp.values[0]
    assert os.path.exists(path)


def test_a_keyword_that_there_is_not_is_told_of_the_function_that_was_called(folder):
    for called, opener in (
        ("open_measurement()", xi.open_measurement),
        ("the engine 'xinsitu'", lambda path, **words: xr.open_dataset(path, engine="xinsitu", **words)),
    ):
        with pytest.raises(TypeError) as told:
            opener(folder, zone="UTC")
        assert str(told.value) == f"{called} got an unexpected keyword argument 'zone'"
