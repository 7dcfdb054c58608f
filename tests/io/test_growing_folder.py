"""Folders that grow: half-written, renamed, late and rewritten frames, and looks that cost the same however many."""

from __future__ import annotations

import os
import time

import pytest

import xinsitu as xi
from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of
from xinsitu.io import growing_folder
from xinsitu.io.growing_folder import ASKED, AT_ONCE, HELD, LISTED, NEWEST_HELD, GrowingFolder
from xinsitu.io.options import OpenOptions
from xinsitu.schema import FrameStatus


def name(number: int) -> str:
    return f"0911_time_1_{number:05d}.tif"


def content(number: int, version: int = 0) -> bytes:
    return camserver_bytes(ramp(number + 500 * version), stamp_of(number))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "0911" / "time1"
    path.mkdir(parents=True)
    return path


def growing(folder, **how):
    """A folder whose clock is a minute ahead, so that files have settled, and cut ones are old."""
    ahead = how.pop("ahead", 0.2)
    return GrowingFolder(
        folder, OpenOptions(on_error="skip", instrument="generic", tz="UTC", **how), now=lambda: time.time() + ahead
    )


def test_a_folder_that_is_not_there_yet(tmp_path):
    frames = growing(tmp_path / "later")
    assert frames.look() == []
    (tmp_path / "later").mkdir()
    assert frames.look() == []
    (tmp_path / "later" / name(3)).write_bytes(content(3))
    assert frames.look() == [name(3)]
    assert frames.look() == []


@pytest.mark.parametrize("keep", [0, 8, 3000, 4096, 4700])
def test_a_half_written_frame_waits(folder, keep):
    frames = growing(folder)
    (folder / name(0)).write_bytes(content(0))
    (folder / name(1)).write_bytes(content(1)[:keep])
    assert frames.look() == [name(0)]
    assert (len(frames), frames.pending) == (1, 1)
    with (folder / name(1)).open("ab") as file:
        file.write(content(1)[keep:])
    assert frames.look() == [name(1)]
    assert frames.pending == 0
    scan, names = frames.open(frames.snapshot())
    assert names == (name(0), name(1))
    assert (scan.image[1].values == ramp(1)).all()


def test_late_and_renamed_frames_come_when_they_are_there(folder):
    frames = growing(folder)
    for number in (0, 1, 5, 9):
        (folder / name(number)).write_bytes(content(number))
    assert frames.look() == [name(number) for number in (0, 1, 5, 9)]
    (folder / ".part").write_bytes(content(7))
    (folder / (name(3) + ".tmp")).write_bytes(content(3))
    assert frames.look() == []
    (folder / ".part").rename(folder / name(7))
    (folder / (name(3) + ".tmp")).rename(folder / name(3))
    assert frames.look() == [name(3), name(7)]
    scan, _ = frames.open(frames.snapshot())
    assert scan.frame.values.tolist() == [0, 1, 3, 5, 7, 9]


def test_what_comes_between_two_questions_keeps_its_order(folder, monkeypatch):
    """Asked for, the second frame is not there; it and the third one come before that one is asked for."""
    frames = growing(folder)
    (folder / name(0)).write_bytes(content(0))
    frames.look()
    plain = frames._is_there

    def asked(one):
        there = plain(one)
        if one == name(1) and not there:
            for number in (1, 2):
                (folder / name(number)).write_bytes(content(number))
        return there

    monkeypatch.setattr(frames, "_is_there", asked)
    monkeypatch.setattr(frames, "_listed", lambda: iter(()))  # the part of the folder whose turn it is has neither
    frames.look()
    found = [file.frame for file in frames.in_order().files]
    assert found == list(range(len(found)))


def test_a_frame_that_is_written_anew_comes_again_when_it_is_whole(folder):
    frames = growing(folder)
    for number in range(4):
        (folder / name(number)).write_bytes(content(number))
    assert len(frames.look()) == 4
    (folder / name(2)).write_bytes(content(2, 1)[:4500])
    assert frames.look() == []
    assert len(frames) == 3
    (folder / name(2)).write_bytes(content(2, 1))
    assert frames.look() == [name(2)]
    scan, _ = frames.open(frames.snapshot())
    assert (scan.image[2].values == ramp(502)).all()


def test_an_old_frame_that_is_written_anew_is_found_in_turn(folder, monkeypatch):
    monkeypatch.setattr(growing_folder, "RECENT", 40)
    frames = growing(folder)
    for number in range(3 * HELD):
        (folder / name(number)).write_bytes(content(number))
    while frames.look():
        pass
    (folder / name(2)).write_bytes(content(2, 1))
    found = [one for _ in range(8) for one in frames.look()]
    assert found == [name(2)]


def test_a_frame_of_the_last_seconds_that_is_written_anew_is_found_within_a_second(folder):
    """Two seconds at 200 frames a second lie between; ten looks are a second."""
    frames, first = growing(folder), folder / name(0)
    first.write_bytes(content(0))
    for number in range(1, 3000):
        os.link(first, folder / name(number))
    while frames.look():
        pass
    (folder / name(2600)).unlink()
    (folder / name(2600)).write_bytes(content(2600, 1))
    assert [one for _ in range(3) for one in frames.look()] == [name(2600)]


def test_a_frame_that_was_cut_is_given_up_and_taken_if_it_is_mended(folder):
    frames = growing(folder)
    (folder / name(0)).write_bytes(content(0))
    (folder / name(1)).write_bytes(content(1)[:4500])
    aged(folder / name(1))
    assert frames.look() == [name(0)]
    assert frames.given_up[name(1)].status == FrameStatus.TRUNCATED
    assert frames.pending == 0
    (folder / name(1)).write_bytes(content(1))
    aged(folder / name(1))  # as a copy that keeps times leaves it
    assert [one for _ in range(3) for one in frames.look()] == [name(1)]
    assert not frames.given_up


def test_a_frame_that_was_removed_keeps_its_place(folder):
    frames = growing(folder)
    for number in range(3):
        (folder / name(number)).write_bytes(content(number))
    frames.look()
    (folder / name(1)).unlink()
    assert frames.look() == frames.settle() == []
    assert len(frames) == 3


def test_the_next_scan_is_of_the_measurement_and_other_series_are_not(folder):
    frames = growing(folder)
    for number in range(12):
        (folder / name(number)).write_bytes(content(number))
    frames.look()
    (folder / "0911_time_2_00000.tif").write_bytes(content(20))
    (folder / "0911_time_4_00000.tif").write_bytes(content(21))
    (folder / "other_1_00000.tif").write_bytes(content(22))
    (folder / "0911_time_1_00012.png").write_bytes(content(23))
    assert frames.look() == ["0911_time_2_00000.tif"]


def test_files_and_stacks_are_refused(folder, tmp_path):
    file = tmp_path / "a.tif"
    file.write_bytes(content(0))
    with pytest.raises(xi.LayoutError, match=r"a\.tif: this is a file"):
        GrowingFolder(file)
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(xi.LayoutError, match=r"a\.zarr: this is a file or Zarr store"):
        GrowingFolder(tmp_path / "a.zarr")
    with pytest.raises(xi.LayoutError, match="fill_missing"):
        GrowingFolder(folder, OpenOptions(fill_missing=True))
    import h5py
    import numpy as np

    with h5py.File(folder / "run_1.h5", "w") as stack:
        stack["entry/data/data"] = np.zeros((2, 4, 4))
    with pytest.raises(xi.LayoutError, match="these are HDF5 files"):
        GrowingFolder(folder).look()


@pytest.mark.parametrize("there", [900, 2700])
def test_the_work_of_a_look_does_not_grow(folder, there, monkeypatch):
    """Three frames have come, the last behind one that is late."""
    first = folder / name(0)
    first.write_bytes(content(0))
    for number in range(1, there):
        os.link(first, folder / name(number))
    frames = growing(folder)
    while frames.look():
        pass
    assert len(frames) == there
    calls = {"files": 0, "entries": 0}

    def counted(function, what):
        def call(*arguments, **keywords):
            calls[what] += 1
            return function(*arguments, **keywords)

        return call

    monkeypatch.setattr(os, "stat", counted(os.stat, "files"))
    monkeypatch.setattr(os, "open", counted(os.open, "files"))
    note = frames._note
    monkeypatch.setattr(frames, "_note", counted(note, "entries"))
    monkeypatch.setattr(time, "time", time.time)
    new = (there, there + 1, there + 3)
    for number in new:
        os.link(first, folder / name(number))
    assert frames.look() == [name(number) for number in new]
    assert calls["files"] <= HELD + NEWEST_HELD + ASKED + 20
    assert calls["entries"] <= LISTED + AT_ONCE
