"""True times: zones, summer time, steady periods, orders; the same on every machine."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.camserver import camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.clock import find_zone, parse_stamp, to_utc
from xinsitu.errors import TimeError, XinsituWarning
from xinsitu.io.measurement import open_measurement
from xinsitu.io.periods import by_period
from xinsitu.io.times import Readings, make_times, progress
from xinsitu.schema import FrameStatus, epoch_seconds

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2014:05:28 17:01:59", 1401296519),
        ("2014-05-28T17:01:59", 1401296519),
        ("2014/05/28 17:01:59", 1401296519),
        ("2014/May/28 17:01:59.000", 1401296519),
        ("Wed May 28 17:01:59 2014", 1401296519),
        ("2011-07-22T17:33:22.529", 1311356002.529),
        ("2007/Jun/17 15:12:36.928", 1182093156.928),
        ("1999:12:31 23:59:59.999999", 946684799.999999),
        ("2016:02:29 00:00:00", 1456704000),
    ],
)
def test_forms_of_stamps(text, seconds):
    assert parse_stamp(text).microseconds == round(seconds * SECOND)


@pytest.mark.parametrize(
    "text", ["", "   ", "0000:00:00 00:00:00", "2014:13:01 00:00:00", "2015:02:29 00:00:00", "now"]
)
def test_what_is_no_stamp(text):
    assert parse_stamp(text) is None


@pytest.mark.parametrize(("text", "hours"), [("Z", 0), ("-07:00", -7), ("+0930", 9.5)])
def test_stamps_with_their_own_offset(text, hours):
    assert parse_stamp(f"2022-11-01T16:43:30.015{text}").offset == hours * 3600 * SECOND


def clock(text: str) -> int:
    return parse_stamp(text).microseconds


def test_the_night_when_the_clock_is_set_back():
    zone = find_zone("Europe/Copenhagen")
    start = clock("2014:10:25 23:30:00")  # UTC 2014-10-25 23:30, local 01:30
    utc = start + np.arange(0, 3 * 3600, 7) * SECOND
    local = utc + np.where(utc < clock("2014:10:26 01:00:00"), 2, 1) * 3600 * SECOND
    np.testing.assert_array_equal(to_utc(local, zone), utc)
    for part in (slice(0, 600), slice(1200, None)):  # only one of the two passes was recorded
        np.testing.assert_array_equal(to_utc(local[part], zone), utc[part])


def test_an_hour_that_occurs_twice_and_nothing_tells_which():
    with pytest.raises(TimeError, match=r"occurs twice in Europe/Copenhagen .* tz='\+02:00' or '\+01:00'"):
        to_utc(np.array([clock("2014:10:26 02:30:00")]), find_zone("Europe/Copenhagen"))
    assert to_utc(np.array([clock("2014:10:26 02:30:00")]), find_zone("+01:00"))[0] == clock("2014:10:26 01:30:00")


def test_an_hour_that_does_not_exist():
    with pytest.raises(TimeError, match=r"2014-03-30 02:30:00 does not exist in Europe/Copenhagen"):
        to_utc(np.array([clock("2014:03:30 02:30:00")]), find_zone("Europe/Copenhagen"))


@pytest.mark.thorough
@given(st.lists(st.integers(0, 4 * 10**9), min_size=1, max_size=20))
def test_tokyo_is_nine_hours_ahead_always(seconds):
    seconds = [second for second in seconds if second > 0]
    local = np.array(sorted(seconds), dtype="int64") * SECOND
    local = local[local > clock("1960:01:01 00:00:00")]
    if len(local):
        np.testing.assert_array_equal(to_utc(local, find_zone("Asia/Tokyo")), local - 9 * 3600 * SECOND)


PROGRAM = """
import locale, sys, warnings
from xinsitu.io.measurement import open_measurement
warnings.simplefilter("error")
try:
    locale.setlocale(locale.LC_ALL, sys.argv[2])
except locale.Error:
    pass
print(open_measurement(sys.argv[1], tz="Europe/Copenhagen").time.values.astype("int64").tolist())
"""


@pytest.mark.thorough
def test_the_same_under_any_zone_and_locale_of_the_machine(tmp_path):
    write_frames(tmp_path / "m", 3)
    found = set()
    for zone, locale in [("UTC", "C"), ("Asia/Tokyo", "ja_JP.UTF-8"), ("Australia/Lord_Howe", "de_DE.UTF-8")]:
        environment = {"TZ": zone, "LC_ALL": locale, "PATH": "/usr/bin"}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "m"), locale],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(run.stdout)
    assert len(found) == 1
    assert found.pop().startswith("[1401289200000000000")  # 17:00 in Copenhagen's summer is 15:00 UTC


# -- steady periods ---------------------------------------------------------------------------------------------------


def series(period: float, count: int, *, pauses=(), lost=(), jitter=0.0, seed=0):
    """True times, stamps cut to seconds, frame numbers."""
    rng = np.random.default_rng(seed)
    number = np.array([n for n in range(count) if n not in lost])
    true = rng.uniform(0, 1) + period * number + rng.uniform(-jitter, jitter, len(number))
    for at, length in pauses:
        true[number >= at] += length
    return true, np.floor(true), number


def fit(stamps, number, period):
    breaks = np.zeros(len(stamps), dtype=bool)
    stamps = (stamps * SECOND).astype("int64")
    found = by_period(stamps, number, breaks, period=period * SECOND, resolution=SECOND)
    return found.times / SECOND, found.uncertainty / SECOND, found.parts


@given(
    period=st.floats(0.02, 2.0),
    seed=st.integers(0, 10**6),
    pause=st.one_of(st.none(), st.floats(5, 100)),
    lost=st.integers(0, 100),
)
@settings(max_examples=100)
def test_the_true_time_lies_within_the_bound(period, seed, pause, lost):
    pauses = () if pause is None else ((150, pause),)
    true, stamps, number = series(period, 400, pauses=pauses, lost=range(200, 200 + lost), seed=seed)
    times, uncertainty, _ = fit(stamps, number, period)
    assert (np.abs(times - true) <= uncertainty + 2e-6).all()


def test_a_steady_scan_is_known_to_hundredths_of_a_second():
    true, stamps, number = series(0.1, 6000)
    times, uncertainty, parts = fit(stamps, number, 0.1)
    assert parts == 1
    assert uncertainty.max() <= 0.051
    assert np.abs(times - true).max() < 0.051


def test_pauses_and_missing_numbers_stay_gaps():
    _, stamps, number = series(0.1, 3000, pauses=[(1000, 60)], lost=range(2000, 2300))
    times, _, parts = fit(stamps, number, 0.1)
    assert parts == 2
    np.testing.assert_allclose(np.diff(times)[[999, 1999]], [60.1, 30.1], atol=0.1)


@pytest.mark.parametrize("wrong", [0.1 * 1.01, 0.2, 0.05])
def test_a_wrong_period_is_refused(wrong):
    _, stamps, number = series(0.1, 3000)
    with pytest.raises(TimeError, match="contradicts the stamps"):
        fit(stamps, number, wrong)


def fast(folder, count=40, period=0.25):
    folder.mkdir()
    for number in range(count):
        data = camserver_bytes(ramp(number), stamp_of(0.4 + number * period), exposure=0.2, period=period)
        (folder / f"a_{number}.tif").write_bytes(data)
    return folder


def test_opening_by_period(tmp_path):
    folder = fast(tmp_path / "m")
    data = open_measurement(folder, tz="UTC", time="period")
    true = 1_401_296_400.4 + 0.25 * np.arange(40)
    assert data.attrs["time_source"] == "period"
    error = np.abs(epoch_seconds(data.time) - true)
    assert (error <= data.time_uncertainty.values + 1e-6).all()
    assert float(data.time_uncertainty.max()) <= 0.126
    assert data.time_uncertainty.attrs["units"] == "s"
    with pytest.raises(TimeError, match=r"a period of 0\.5 s contradicts the stamps"):
        open_measurement(folder, tz="UTC", time="period", period=0.5)


def test_times_from_files_and_from_hand(tmp_path):
    write_frames(tmp_path / "m", 3)
    data = open_measurement(tmp_path / "m", time="mtime")
    assert data.attrs["time_source"] == "mtime"
    seconds = [path.stat().st_mtime for path in sorted((tmp_path / "m").iterdir())]
    np.testing.assert_allclose(epoch_seconds(data.time), seconds, atol=2e-6, rtol=0)
    given = np.array(["2020-01-01T00:00:00", "2020-01-01T00:00:01.5", "2020-01-01T00:00:02"], "datetime64[ms]")
    np.testing.assert_array_equal(open_measurement(tmp_path / "m", time=given).time.values, given)
    np.testing.assert_array_equal(
        epoch_seconds(open_measurement(tmp_path / "m", time=np.array([1.0, 2.5, 4.0])).time), [1, 2.5, 4]
    )
    for far, unit in ((far, unit) for far in ("2300-01-01", "1500-01-01", "NaT") for unit in ("D", "s", "us")):
        bad = np.array([far, "2020-01-01", "2020-01-02"], f"datetime64[{unit}]")
        with pytest.raises(TimeError, match=r"for \S+\.tif is no time of the years"):
            open_measurement(tmp_path / "m", time=bad)
    for bad, words in [(given[:2], "3 frames, but times of shape"), (given[::-1], "time runs backwards")]:
        with pytest.raises(TimeError, match=words):
            open_measurement(tmp_path / "m", time=bad)
    with pytest.raises(TimeError, match="is no time"):
        open_measurement(tmp_path / "m", time=np.array([1.0, np.nan, 2.0]))


def test_the_newest_series_of_a_folder(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 8)
    for number in range(3):
        path = folder / f"0884_time_1_{number:05d}.tif"
        path.write_bytes(camserver_bytes(ramp(50 + number), stamp_of(100 + number)))
    with pytest.raises(TimeError, match=r"from 0884_time_1_00002\.tif .* to 0884_time_1_00003.*series='newest'"):
        open_measurement(folder, tz="UTC")
    data = open_measurement(folder, tz="UTC", series="newest")
    assert data.frame.values.tolist() == [0, 1, 2]
    assert data.image[:, 0, 0].values.tolist() == [50000, 51000, 52000]
    write_frames(tmp_path / "sound", 3)
    assert open_measurement(tmp_path / "sound", tz="UTC", series="newest").sizes["time"] == 3


def test_missing_numbers_can_be_filled(tmp_path):
    folder = tmp_path / "m"
    truth = write_frames(folder, 8)
    for number in (2, 3, 6):
        (folder / f"0884_time_1_{number:05d}.tif").unlink()
    assert open_measurement(folder, tz="UTC").frame.values.tolist() == [0, 1, 4, 5, 7]
    data = open_measurement(folder, tz="UTC", fill_missing=True)
    assert data.frame.values.tolist() == list(range(8))
    assert data.image.dtype == np.float64
    missing = data.frame_status == FrameStatus.MISSING
    assert np.flatnonzero(missing).tolist() == [2, 3, 6]
    assert np.isnan(data.image[missing.values]).all()
    np.testing.assert_array_equal(data.image[~missing.values], truth[~missing.values])
    np.testing.assert_array_equal(np.diff(epoch_seconds(data.time)), 1)
    (folder / "0884_time_1_99999.tif").write_bytes(camserver_bytes(ramp(9), stamp_of(9)))
    with pytest.raises(ValueError, match="too many to fill"):
        open_measurement(folder, tz="UTC", fill_missing=True)


def test_what_the_stamp_marks_is_said(tmp_path):
    write_frames(tmp_path / "m", 2)
    assert open_measurement(tmp_path / "m", tz="UTC").attrs["stamp_marks"] == "end"
    assert open_measurement(tmp_path / "m", tz="UTC", stamp_marks="start").attrs["stamp_marks"] == "start"
    with pytest.raises(ValueError, match="stamp_marks"):
        open_measurement(tmp_path / "m", tz="UTC", stamp_marks="middle")


def epics_tiff(path, seconds, nanoseconds, attributes):
    import tifffile

    tags = [(65000, 12, 1, 1.5, False), (65001, 4, 1, 7, False)]
    tags += [(65002, 4, 1, seconds, False), (65003, 4, 1, nanoseconds, False)]
    tags += [(65010 + i, 2, 0, text, False) for i, text in enumerate(attributes)]
    tifffile.imwrite(path, ramp(1).astype("u2"), metadata=None, software="EPICS areaDetector", extratags=tags)


def test_areadetector_stamps_need_no_zone(tmp_path):
    (tmp_path / "m").mkdir()
    for number in range(3):
        values = [f"Temperature:{20.5 + number}", "Sample:InAs", f"ring current:{300 - number}"]
        epics_tiff(tmp_path / "m" / f"a_{number}.tif", 802_117_916 + number, 103_746_502, values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no word of a default zone
        data = open_measurement(tmp_path / "m")
    expected = 631_152_000 + 802_117_916.103746 + np.arange(3)
    np.testing.assert_allclose(epoch_seconds(data.time), expected, rtol=0, atol=1e-6)
    assert data.attrs["time_source"] == "epics:65002"
    assert data.stamp.values[0] == "802117916.103746502"
    assert data.Temperature.values.tolist() == [20.5, 21.5, 22.5]
    assert data["ring_current"].values.tolist() == [300, 299, 298]
    assert data.Sample.values.tolist() == ["InAs"] * 3


@pytest.mark.parametrize("text", ["inf", "-Infinity", "1e999", "nan"])
def test_an_attribute_that_is_not_finite_is_no_value(tmp_path, text):
    (tmp_path / "m").mkdir()
    for number, value in enumerate(["7.5", text, "8.5"]):
        epics_tiff(tmp_path / "m" / f"a_{number}.tif", 802_117_916 + number, 0, [f"Heater:{value}"])
    np.testing.assert_array_equal(open_measurement(tmp_path / "m").Heater, [7.5, np.nan, 8.5])


def test_every_page_has_its_own_stamp(tmp_path):
    import tifffile

    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for number in range(4):
            file.write(ramp(number), metadata=None, datetime=stamp_of(number * 2), photometric="minisblack")
    data = open_measurement(tmp_path / "stack.tif", tz="UTC")
    assert (epoch_seconds(data.time) - 1_401_296_400).tolist() == [0, 2, 4, 6]
    assert data.frame.values.tolist() == [0, 1, 2, 3]
    assert data.scan.values.tolist() == [1, 1, 1, 1]
    np.testing.assert_array_equal(data.image, np.stack([ramp(number) for number in range(4)]))


def test_numbers_go_on_over_scans(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 3, name="a_1_{}.tif")
    for number in range(3):
        (folder / f"a_2_{number}.tif").write_bytes(camserver_bytes(ramp(number), stamp_of(10 + number)))
    data = open_measurement(folder, time="frame")
    assert epoch_seconds(data.time).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_period_needs_every_stamp(tmp_path):
    folder = fast(tmp_path / "m")
    (folder / "a_7.tif").write_bytes(camserver_bytes(ramp(7), ""))
    with pytest.raises(TimeError, match="needs a stamp on every frame"):
        open_measurement(folder, tz="UTC", time="period")
    (folder / "a_7.tif").write_bytes(camserver_bytes(ramp(7), "2014:05:28 11:00:00"))
    with pytest.raises(TimeError, match="needs a stamp on every frame, in order"):
        open_measurement(folder, tz="UTC", time="period", order_error="ignore")
    write_frames(tmp_path / "none", 3, text="# no period here\r\n")
    with pytest.raises(TimeError, match="give period= in seconds"):
        open_measurement(tmp_path / "none", tz="UTC", time="period")
    assert open_measurement(tmp_path / "none", tz="UTC", time="period", period=1).attrs["time_source"] == "period"


@pytest.mark.parametrize("epoch", [0, 631_152_000])
def test_the_drivers_own_clock_alone(tmp_path, epoch):
    """Tag 65000 counts from 1970 in old versions of areaDetector and from 1990 in new ones."""
    import os

    import tifffile

    (tmp_path / "m").mkdir()
    for number in range(2):
        path = tmp_path / "m" / f"a_{number}.tif"
        tags = [(65000, 12, 1, 1_433_269_916.25 - epoch + number, False)]
        tifffile.imwrite(path, ramp(1), metadata=None, extratags=tags)
        os.utime(path, (1_433_270_000, 1_433_270_000))
    data = open_measurement(tmp_path / "m")
    assert epoch_seconds(data.time).tolist() == [1_433_269_916.25, 1_433_269_917.25]
    assert data.attrs["time_source"] == "epics:65000"
    os.utime(path, (1, 1))
    with pytest.warns(XinsituWarning, match=r"only a_0\.tif has a time stamp"):
        assert open_measurement(tmp_path / "m").attrs["time_source"] == "frame"
    placed = open_measurement(tmp_path / "m", period=2.5)
    assert placed.frame_status.values.tolist() == [0, FrameStatus.NO_STAMP]
    assert (epoch_seconds(placed.time) - 1_433_269_916.25).tolist() == [0, 2.5]
    os.utime(tmp_path / "m" / "a_0.tif", (1, 1))
    with pytest.raises(TimeError, match=r"no frame has a time stamp \(a_0\.tif has '\d+\.25', which is no time\)"):
        open_measurement(tmp_path / "m", time="stamp")


def test_stamps_with_their_own_offset_win_over_the_zone(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    for number in range(2):
        stamp = f"2022-11-01T16:43:3{number}-07:00"
        (folder / f"a_{number}.tif").write_bytes(camserver_bytes(ramp(number), stamp))
    with pytest.warns(XinsituWarning, match="tz='Asia/Tokyo' contradicts it and is not used"):
        data = open_measurement(folder, tz="Asia/Tokyo")
    assert epoch_seconds(data.time).tolist() == [1667346210, 1667346211]
    assert epoch_seconds(open_measurement(folder, tz="America/Los_Angeles").time)[0] == 1667346210


def seconds_of(folder, stamps):
    """Open frames of these stamps; seconds since 17:00:00, and the attributes of the times."""
    folder.mkdir()
    for number, stamp in stamps.items():
        (folder / f"a_{number:04d}.tif").write_bytes(camserver_bytes(ramp(number), stamp))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XinsituWarning)
        data = open_measurement(folder, tz="UTC", time="stamp")
    start = np.datetime64("2014-05-28T17:00:00", "ns")
    return ((data.time.values - start) / np.timedelta64(1, "s")).tolist(), data.attrs


def test_frames_of_one_stamp_are_spread_over_its_second_in_their_order(tmp_path):
    stamps = [stamp_of(second) for second in (5, 6, 6, 6, 6, 7, 9, 9)]
    found, _ = seconds_of(tmp_path / "m", dict(enumerate(stamps)))
    assert found == [5, 6, 6.25, 6.5, 6.75, 7, 9, 9.5]


def test_frames_without_a_stamp_lie_between_and_beyond_the_others_at_their_pace(tmp_path):
    """Known at 10, 12 and 20 of the numbers 3, 4 and 8: 2 s a frame over all."""
    known = {3: stamp_of(10), 4: stamp_of(12), 8: stamp_of(20)}
    stamps = {number: known.get(number, "") for number in (1, 2, 3, 4, 6, 7, 8, 9, 12)}
    found, _ = seconds_of(tmp_path / "m", stamps)
    assert found == [6, 8, 10, 12, 16, 18, 20, 22, 28]


@pytest.mark.parametrize(
    ("stamp", "resolution"),
    [("2014:05:28 17:01:59", 1.0), ("2014-05-28T17:01:59.25", 0.01), ("2014-05-28T17:01:59.123456789", 1e-6)],
)
def test_the_resolution_is_that_of_the_digits_and_never_finer_than_what_is_kept(tmp_path, stamp, resolution):
    _, attrs = seconds_of(tmp_path / "m", {0: stamp})
    assert attrs["time_resolution"] == pytest.approx(resolution, rel=1e-12)


def test_numbers_go_on_where_a_scan_begins_with_the_last_one_again():
    assert progress(np.array([1, 1, 2, 2]), np.array([4, 5, 5, 6])).tolist() == [4, 5, 6, 7]
    assert progress(np.array([1, 1, 2, 2]), np.array([4, 5, 6, 7])).tolist() == [4, 5, 6, 7]


def test_files_none_of_which_has_a_time_are_refused():
    nothing, ones = np.zeros(2, dtype="int64"), np.ones(2, dtype="int64")
    readings = Readings(["", ""], [None, None], nothing, ones, np.arange(2), ["a", "b"], "m")
    with pytest.raises(TimeError, match=r"m: no frame has a time$"):
        make_times(readings, zone="UTC", time="mtime")
