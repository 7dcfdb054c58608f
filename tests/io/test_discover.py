"""Which files are frames, and in what order."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinsitu.errors import LayoutError
from xinsitu.io.discover import choose, group, look, natural_key
from xinsitu.io.instruments import load_instrument

BL11XU = load_instrument("spring8-bl11xu").patterns


def names_of(series):
    return [file.name for file in series.files]


def test_frames_are_ordered_by_number_whatever_the_listing_order():
    ordered = [f"a_{number}.tif" for number in range(1200)]
    shuffled = random.Random(1).sample(ordered, len(ordered))
    (series,), rest = group(shuffled)
    assert names_of(series) == ordered
    assert rest == []


@given(st.sets(st.integers(0, 10**9), min_size=1), st.randoms())
def test_any_numbers_come_out_sorted(numbers, rng):
    names = [f"s_{number}.tif" for number in numbers]
    rng.shuffle(names)
    (series,), _ = group(names)
    assert [file.frame for file in series.files] == sorted(numbers)


def test_the_padding_may_run_over():
    (series,), _ = group(["x_1000.tif", "x_999.tif", "x_0998.tif"])
    assert [file.frame for file in series.files] == [998, 999, 1000]


def test_consecutive_scans_of_one_name_are_one_measurement():
    names = [f"InAs0799time2_1_{n}.tif" for n in range(358)] + [f"InAs0799time2_2_{n}.tif" for n in range(42)]
    (series,), rest = group(reversed(names), BL11XU)
    assert names_of(series) == names
    assert series.files[357].number == (1, 357)
    assert series.files[358].number == (2, 0)
    assert series.name == "InAs0799time2"
    assert not rest


def test_the_number_of_the_measurement_is_not_a_scan():
    (series,), _ = group(["0884_time_3_00000.tif", "0884_time_3_00001.tif"], BL11XU)
    assert [file.number for file in series.files] == [(1, 0), (1, 1)]


def test_gda_names_hold_scan_and_frame():
    (series,), _ = group(["p100kImage_380404_5885902.tif"], load_instrument("diamond-i07").patterns)
    assert series.files[0].number == (380404, 5885902)


def test_scans_that_do_not_follow_each_other_are_separate_series(tmp_path):
    for name in ("a_1_0.tif", "a_1_1.tif", "a_5_0.tif"):
        (tmp_path / name).touch()
    folder = look(tmp_path)
    with pytest.raises(LayoutError, match=r"2 series .*a_1\*\.tif \(2 frames\), a_5\*\.tif \(1 frame\)"):
        choose(folder)
    assert names_of(choose(folder, "a_5")) == ["a_5_0.tif"]
    with pytest.raises(LayoutError, match="no series is named 'b'"):
        choose(folder, "b")


def test_strays_are_left_alone_and_counted(tmp_path):
    frames = [f"m_{number:05d}.tif" for number in range(20)]
    strays = [
        ".DS_Store",
        "._m_00000.tif",
        "Thumbs.db",
        "all_mean.tif",
        "m_00003.tif.tmp",
        "x.tif.log.old",
        "notes.pdf",
    ]
    logs = ["m.log", "scan.dat"]
    for name in (*frames, *strays, *logs, "mean_1.tif"):
        (tmp_path / name).touch()
    (tmp_path / "analysis").mkdir()
    folder = look(tmp_path)
    assert names_of(choose(folder)) == frames
    assert set(folder.strays) == {*strays, "mean_1.tif"}
    assert set(folder.logs) == set(logs)
    assert folder.folders == ("analysis",)
    assert len(frames) + len(folder.strays) + len(folder.logs) == len([e for e in os.scandir(tmp_path) if e.is_file()])


def test_numbers_too_long_for_a_frame_are_no_frames():
    series, rest = group(["a_12345678901234567890123.tif"])
    assert not series
    assert rest == ["a_12345678901234567890123.tif"]


def test_faults_of_folders_are_named(tmp_path):
    with pytest.raises(LayoutError, match=r"gone_master\.h5: there is no such file"):
        look(tmp_path / "gone_master.h5")
    with pytest.raises(LayoutError, match="gone: there is no such folder"):
        look(tmp_path / "gone")
    with pytest.raises(LayoutError, match=f"{tmp_path.name}: the folder is empty"):
        choose(look(tmp_path))
    file = tmp_path / "notes.txt"
    file.touch()
    with pytest.raises(LayoutError, match="this is a file"):
        look(file)
    with pytest.raises(LayoutError, match="of 1 file here none is a numbered frame"):
        choose(look(tmp_path))
    file.unlink()
    (tmp_path / "run_master.h5").touch()
    with pytest.raises(LayoutError, match=r"open the HDF5 file itself, such as run_master\.h5"):
        choose(look(tmp_path))
    (tmp_path / "run_master.h5").unlink()
    (tmp_path / "time1").mkdir()
    with pytest.raises(LayoutError, match="but folders time1; open one of these"):
        choose(look(tmp_path))


def test_one_listing_is_enough(tmp_path, monkeypatch):
    (tmp_path / "a_1.tif").touch()
    calls = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: calls.append(path) or scandir(path))
    look(tmp_path)
    assert len(calls) == 1


def test_natural_order():
    assert sorted(["time10", "time9", "time1a", "test"], key=natural_key) == ["test", "time1a", "time9", "time10"]
