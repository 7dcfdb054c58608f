"""SPEC files as SPEC, bluesky and others write them: headers that come again, single blanks, cells without a number."""

from __future__ import annotations

import numpy as np
import pytest

from xinsitu.errors import XinsituWarning
from xinsitu.io.log_files import NO_TIME, LogTable, point_times, read_log

DAY = "#D Mon Mar 04 05:06:40 2019\n"


def read(tmp_path, text, name="a.spec"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_log(path)


def header(epoch, motors="tth  phi"):
    return f"#F a\n#E {epoch}\n{DAY}#C a  User = me\n#O0 {motors}\n\n"


def scan(number, labels, rows, width=None):
    return f"#S {number} ascan\n{DAY}#N {width or len(labels.split())}\n#L {labels}\n" + "".join(
        f"{row}\n" for row in rows
    )


ROWS = ["0 10 1", "1 11 2", "2 12 3"]


def test_each_scan_counts_from_the_header_above_it(tmp_path):
    labels = "Time  Epoch  Mon"
    text = header(1000) + scan(1, labels, ROWS) + scan(2, labels, ROWS) + header(5000) + scan(3, labels, ROWS)
    text += header(9000, "tth  omega") + "#C nothing behind it\n"
    found = read(tmp_path, text)
    assert [table.scan for table in found] == [1, 2, 3]
    assert [table.epoch for table in found] == [1000, 1000, 5000]
    assert point_times(found[0], "UTC").tolist() == [1_010_000_000, 1_011_000_000, 1_012_000_000]
    assert [set(table.motors) for table in found] == [{"tth", "phi"}] * 3
    assert found[2].metadata["date"] == "Mon Mar 04 05:06:40 2019"


def test_a_header_that_lost_its_first_line_ends_the_scan_too(tmp_path):
    labels = "Time  Epoch  Mon"
    text = header(1000) + scan(1, labels, ROWS) + "#E 7000\n" + DAY + scan(2, labels, ROWS)
    assert [(table.scan, table.epoch, len(table)) for table in read(tmp_path, text)] == [(1, 1000, 3), (2, 7000, 3)]


@pytest.mark.parametrize(
    ("labels", "width", "expected"),
    [
        ("Time Epoch Mon", 3, ["Time", "Epoch", "Mon"]),
        ("Two Theta  Epoch  Mon", 3, ["Two Theta", "Epoch", "Mon"]),
        ("Time\tEpoch\tMon", 3, ["Time", "Epoch", "Mon"]),
        ("Time Epoch  Mon", 3, ["Time", "Epoch", "Mon"]),
    ],
)
def test_names_parted_by_single_blanks_where_their_number_says_so(tmp_path, labels, width, expected):
    (table,) = read(tmp_path, header(1000) + scan(1, labels, ROWS, width))
    assert list(table.columns) == expected
    assert (len(table), table.bad_lines) == (3, 0)


@pytest.mark.parametrize("word", ["None", "nan", "null", "N/A", "inf", "-Infinity", "1.#QNAN", "----", "****"])
def test_a_cell_without_a_number_costs_no_point(tmp_path, word):
    rows = [f"0 10 {word}", "1 11 5", f"2 {word} 6", "3 13 nonsense"]
    (table,) = read(tmp_path, header(1000) + scan(1, "Time  Epoch  Mon", rows))
    assert (len(table), table.bad_lines) == (3, 1)
    np.testing.assert_array_equal(table.columns["Mon"], [np.nan, 5, 6])
    assert point_times(table, "UTC").tolist() == [1_010_000_000, 1_011_000_000, NO_TIME]
    (table,) = read(tmp_path, f"time,mon\n1,{word}\n2,7\n", "a.csv")
    np.testing.assert_array_equal(table.columns["mon"], [np.nan, 7])


def test_an_epoch_that_is_unix_time_already_is_not_counted_from_the_header(tmp_path):
    rows = [f"{k} {1_500_000_000 + k} {k}" for k in range(3)]
    (table,) = read(tmp_path, header(1_500_000_000) + scan(1, "Time  Epoch  Mon", rows))
    assert point_times(table, "UTC").tolist() == [(1_500_000_000 + k) * 1_000_000 for k in range(3)]


def test_a_mark_in_front_of_the_text_is_no_part_of_it(tmp_path):
    (table,) = read(tmp_path, "\ufefftime,mon\n1600000000,2\n1600000001,3\n", "a.csv")
    assert list(table.columns) == ["time", "mon"]
    (table,) = read(tmp_path, "\ufeff" + header(1000) + scan(1, "Time  Epoch  Mon", ROWS))
    assert table.epoch == 1000


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [("time [ms]", 1_600_000_000_250.0, 1_600_000_000_250_000), ("Epoch (s)", 1.6e9, 1_600_000_000_000_000),
     ("timestamp / min", 26_666_667.0, 1_600_000_020_000_000), ("time", 1.6e9, 1_600_000_000_000_000)],
)  # fmt: skip
def test_units_in_labels(label, value, expected):
    table = LogTable("a.csv", None, {label: np.array([value])})
    assert point_times(table, "UTC").tolist() == [expected]


def test_an_unknown_unit_in_a_label_is_said():
    with pytest.warns(XinsituWarning, match=r"a\.csv: the unit of the column 'time \[jiffies\]'"):
        assert point_times(LogTable("a.csv", None, {"time [jiffies]": np.array([1.0])}), "UTC") is None
