"""One clock for opening frames, reading KEYs and drawing: the same names of zones, the same refusals."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xinsitu.clock import as_moment, find_zone, from_local, in_zone, moment, parse_stamp, to_utc
from xinsitu.epoch import (
    epoch_seconds,
    in_nanoseconds,
    microseconds_from_time,
    mid_exposure,
    outside,
    time_from_microseconds,
)
from xinsitu.errors import StitchError, TimeError
from xinsitu.physics.moments import time_of

NAMES = {"UTC-03:30": -12600, "-0330": -12600, "Z": 0, "utc": 0, "+05:45": 20700, "Asia/Kathmandu": 20700}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_opens_frames_reads_keys_and_draws(name):
    reading, offset = "2016-03-02T06:07:08.25", NAMES[name]
    utc = np.datetime64(reading, "ns") - np.timedelta64(offset, "s")
    clock = np.array([np.datetime64(reading, "us").astype("int64")])
    assert to_utc(clock, find_zone(name))[0] * 1000 == utc.astype("int64")
    assert from_local(reading, name) == utc
    sample = xr.Dataset(coords={"time": [utc]}, attrs={"time_zone": name})
    assert time_of(sample, reading) == utc
    assert in_zone(np.array([utc]), name)[0] == np.datetime64(reading, "ns")


@pytest.mark.parametrize(
    ("reading", "why"), [("2017-10-29T02:10:00", "occurs twice"), ("2017-03-26T02:10:00", "does not exist")]
)
def test_an_hour_that_a_clock_shows_twice_or_never_is_refused_by_all(reading, why):
    clock = np.array([np.datetime64(reading, "us").astype("int64")])
    with pytest.raises(TimeError, match=why):
        to_utc(clock, find_zone("Europe/Paris"))
    sample = xr.Dataset(
        coords={"time": np.array(["2017-10-29", "2017-10-30"], "datetime64[ns]")}, attrs={"time_zone": "Europe/Paris"}
    )
    with pytest.raises(StitchError, match=why):
        time_of(sample, reading)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Africa/Monrovia", "America/St_Johns", "Europe/Paris", "-03:30"])
def test_clocks_of_zones_are_those_of_pandas(zone):
    times = np.random.default_rng(5).integers(-(2**61), 2**61, 300).astype("datetime64[ns]")
    odd = np.array(["1972-01-07T00:44:29.999999999", "1972-01-07T00:44:30", "2017-10-29T01:00:00", "NaT"], times.dtype)
    times = np.concatenate([times, odd])
    wall = pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(find_zone(zone)).tz_localize(None)
    np.testing.assert_array_equal(in_zone(times, zone), wall.to_numpy())
    assert in_zone(times[:0], zone).dtype == times.dtype


def test_an_unknown_zone_is_refused_by_all():
    for ask in (
        lambda: find_zone("Mars/Base"),
        lambda: in_zone(np.array(["2017-01-01"], "datetime64[ns]"), "Mars/Base"),
    ):
        with pytest.raises(TimeError, match="Mars/Base"):
            ask()


@pytest.mark.parametrize(
    ("zone", "skipped", "there"),
    [
        ("Africa/Monrovia", "1972-01-07T00:44:20", "1972-01-07T00:44:40"),  # 44 min 30 s forward
        ("Europe/Amsterdam", "1937-07-01T00:00:20", "1937-07-01T00:00:40"),  # 28 s forward
    ],
)
def test_zones_that_change_off_the_quarter_hour(zone: str, skipped: str, there: str) -> None:
    """In one quarter of an hour there are readings that do not exist and others that do."""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    def micro(text: str) -> np.ndarray:
        return np.array([np.datetime64(text, "us").astype("int64")])

    with pytest.raises(TimeError, match="does not exist"):
        to_utc(micro(skipped), find_zone(zone))
    true = datetime.fromisoformat(there).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
    assert to_utc(micro(there), find_zone(zone))[0] == np.datetime64(true, "us").astype("int64")
    both = np.concatenate([micro(there), micro(there) + 1_000_000])
    assert np.diff(to_utc(both, find_zone(zone))).tolist() == [1_000_000]


@pytest.mark.parametrize("name", ["UTC+24:00", "-24:00", "+24:30"])
def test_an_offset_of_a_day_is_no_zone(name):
    with pytest.raises(TimeError, match="no time zone"):
        find_zone(name)


@pytest.mark.parametrize("form", ["2014:05:28 {}", "2014-05-28T{}", "Wed May 28 {} 2014"])
def test_a_day_ends_with_its_last_second_and_no_month_is_made_up(form):
    midnight, last = (parse_stamp(form.format(text)) for text in ("00:00:00", "23:59:59"))
    assert last.microseconds - midnight.microseconds == 86_399_000_000
    for text in ("24:00:00", "23:60:00", "23:59:60"):
        assert parse_stamp(form.format(text)) is None
    for month in ("Xyz", "13", "00"):
        assert parse_stamp(form.replace("May", month).replace("05", month).format("12:00:00")) is None


def test_only_one_time_is_a_moment():
    time = np.datetime64("2014-05-28T17:00:00")
    assert as_moment(time) == as_moment(np.array(time)) == time
    for value in (np.array([time]), np.float64(3), np.array(3), 3, "2014-05-28"):
        assert as_moment(value) is None


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59", "2263-01-01", "1600-01-01T00:00:00", "0001-01-01T00:00:00"])
def test_no_year_that_is_not_kept_becomes_another(text):
    with pytest.raises(TimeError, match="lies outside the years 1678 to 2261"):
        moment(f"{text.partition('T')[0]}T00:00:00+23:59")
    for value in (np.datetime64(text), datetime.fromisoformat(text)):
        with pytest.raises(TimeError, match="lies outside the years"):
            as_moment(value)
    with pytest.raises(TimeError, match="lies outside the years"):
        from_local(text, "Asia/Tokyo")


UNITS = {"Y": "2263", "M": "2262-05", "D": "1677-09-21", "h": "2262-04-12T00", "s": "1677-09-21T00:12:43",
         "us": "2262-04-11T23:47:16.854776"}  # fmt: skip


@pytest.mark.parametrize(("unit", "text"), UNITS.items())
def test_times_of_no_unit_become_others(unit, text):
    """Nanoseconds end within a second of a day; NumPy goes round."""
    times = np.array(["2014-01-01", text], f"datetime64[{unit}]")
    for one in (times, times[1], np.array([2**62], times.dtype)):
        for convert in (in_nanoseconds, microseconds_from_time, epoch_seconds):
            with pytest.raises(TimeError, match="lies outside the years"):
                convert(one)
        assert outside(np.atleast_1d(one))[-1]
    assert not outside(times)[0]
    with pytest.raises(TimeError, match="lies outside the years"):
        mid_exposure(xr.Dataset(coords={"time": xr.Variable("time", times[1:].astype("datetime64[us]"))}))


def test_whole_microseconds_become_no_other_time():
    for one in (9_223_372_036_854_776, -9_223_372_036_854_776, 9 * 10**18):
        with pytest.raises(TimeError, match="lies outside the years"):
            time_from_microseconds([0, one])
    assert microseconds_from_time(time_from_microseconds(9_223_372_036_000_000)) == 9_223_372_036_000_000


def test_times_between_are_what_they_were():
    assert moment("2261-12-31T23:59:59Z") == np.datetime64("2261-12-31T23:59:59")
    assert moment("1678-01-01T00:00:00+00:30") == np.datetime64("1677-12-31T23:30")
    assert as_moment(pd.Timestamp("2014-05-28 17:00", tz="Asia/Tokyo")) == np.datetime64("2014-05-28T08:00")
    assert np.isnat(as_moment(np.datetime64("NaT", "us")))


@pytest.mark.parametrize("month", range(1, 13))
def test_each_month_by_its_name_is_that_of_python(month):
    shown = datetime(2014, month, 28, 17, 4, 36, tzinfo=UTC)
    name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month - 1]
    assert parse_stamp(f"Wed {name} 28 17:04:36 2014").microseconds == int(shown.timestamp()) * 1_000_000


@pytest.mark.parametrize(("before", "after", "offset"), [(-1, 7200, 2), (-7200, 1, 1)])
def test_readings_that_repeat_in_the_hour_that_comes_twice_are_told_by_what_is_beside_them(before, after, offset):
    """A clock of whole seconds beside quicker frames: equal readings are no step back."""
    begin = np.datetime64("2017-10-29T02:00:00", "us").astype("int64")
    inside = begin + 1_000_000 * np.repeat(np.arange(0, 3600, 600), 2)
    clock = np.concatenate([[begin + 1_000_000 * before], inside, [begin + 1_000_000 * (3600 + after)]])
    found = to_utc(clock, find_zone("Europe/Paris"))
    assert ((clock - found)[1:-1] == offset * 3600 * 1_000_000).all()


@pytest.mark.parametrize(("text", "zone"), [
    ("2262-04-12T05:00:00", "Asia/Tokyo"), ("1677-09-20T20:00:00", "America/New_York"), ("9999-12-31T23:59:59", "UTC"),
    ("0001-01-01T00:00:00", "UTC"),
])  # fmt: skip
def test_a_reading_beyond_the_years_that_are_kept_is_refused_though_its_moment_is_not(text, zone):
    with pytest.raises(TimeError, match="lies outside the years"):
        from_local(text, zone)
