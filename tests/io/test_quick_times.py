"""The quick ways from stamps to UTC give what the careful ones give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xinsitu import clock as zones
from xinsitu.clock import parse_stamp
from xinsitu.io.log_files import read_log

ZONES = (
    "Asia/Tokyo",
    "Europe/Copenhagen",
    "America/Los_Angeles",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Asia/Kathmandu",
    "Europe/Amsterdam",  # until 1937 its offset was 19 min 32 s
    "Africa/Monrovia",  # changed at an odd moment
)


@given(st.from_regex(r"[0-9]{4}:[0-9]{2}:[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", fullmatch=True))
@example("2014:05:28 17:01:59")
@example("2014:05:28 24:00:00")
@example("2014:02:29 00:00:00")
@example("0000:00:00 00:00:00")
@example("2016:12:31 23:59:60")
def test_stamps_of_tag_306(text):
    assert parse_stamp(text) == parse_stamp(text.replace(" ", "T"))


@pytest.mark.parametrize("name", ZONES)
@given(data=st.data())
def test_offsets_by_quarters_of_an_hour(name, data):
    zone = zones.find_zone(name)
    start = data.draw(st.integers(-2_000_000_000, 2_200_000_000))
    step = data.draw(st.sampled_from([1, 7, 600, 86_400]))
    seconds = start + step * np.arange(60)
    expected = np.array([zones._offsets(int(second), zone) for second in seconds]).T
    np.testing.assert_array_equal(zones._table(seconds, lambda second: zones._offsets(second, zone), rows=2), expected)


@pytest.mark.parametrize(
    ("name", "change"), [("Europe/Copenhagen", 1_396_144_800), ("Australia/Lord_Howe", 1_396_749_600)]
)
def test_offsets_around_a_change(name, change):
    zone = zones.find_zone(name)
    seconds = change - 40_000 + 60 * np.arange(2_000)
    expected = np.array([zones._offsets(int(second), zone) for second in seconds]).T
    assert len(np.unique(expected)) == 2
    np.testing.assert_array_equal(zones._table(seconds, lambda second: zones._offsets(second, zone), rows=2), expected)


def test_lines_of_a_log_that_are_no_numbers_are_counted(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("#S 1 timescan 1 0\n#L Time  Monitor\n0 1\n1 nan\n2 inf\n3 x\n4\n5 6\n")
    (table,) = read_log(path)
    np.testing.assert_array_equal(table.columns["Time"], [0.0, 1.0, 2.0, 5.0])
    np.testing.assert_array_equal(table.columns["Monitor"], [1.0, np.nan, np.nan, 6.0])
    assert table.bad_lines == 2
