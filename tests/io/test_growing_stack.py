"""HDF5 files that grow: frames come when they are there; in the end the numbers are those of measuring afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.growing import put
from xinsitu.io.growing_folder import GrowingFolder
from xinsitu.io.growing_results import GrowingResults
from xinsitu.io.growing_stack import GrowingStack, growing_frames
from xinsitu.io.options import OpenOptions
from xinsitu.live.growing_series import GrowingSeries

SHAPE = 30, 40
HOW = {"instrument": "generic", "tz": "UTC", "time": "frame"}
ROIS = [xi.Roi("a", (5, 25), (6, 30), background=["b"]), xi.Roi("b", (0, 4), (0, 40), role="background")]
CORRECTION = xi.Correction(median=3, threshold=5)

pytestmark = pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).poisson(7, SHAPE).astype("int32")


def append(path: Path, numbers: range, name: str = "entry/data/data") -> None:
    with h5py.File(path, "a") as file:
        if name not in file:
            file.create_dataset(name, (0, *SHAPE), "i4", maxshape=(None, *SHAPE), chunks=(1, *SHAPE))
        stack, first = file[name], file[name].shape[0]
        stack.resize(first + len(numbers), axis=0)
        for place, number in enumerate(numbers, first):
            stack[place] = pixels(number)


def growing(path: Path, monkeypatch: pytest.MonkeyPatch) -> GrowingStack:
    monkeypatch.setattr("xinsitu.io.growing_stack.SHARE", 1)  # as often as may be
    return GrowingStack(path, OpenOptions(on_error="skip", **HOW))


def numbers_of(names: list[str]) -> list[int]:
    return [int(name.split(":")[1]) for name in names]


def test_frames_come_one_look_after_they_are_there(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    frames = growing(path, monkeypatch)
    assert frames.look() == []
    path.write_bytes(b"\x89HDF")  # begun
    assert frames.look() == []
    path.unlink()
    append(path, range(3))
    assert frames.look() == []
    assert frames.pending == 3
    assert numbers_of(frames.look()) == [0, 1, 2]
    assert (frames.look(), frames.pending, len(frames)) == ([], 0, 3)
    append(path, range(3, 5))
    assert [numbers_of(frames.look()) for _ in range(3)] == [[], [3, 4], []]


@pytest.mark.parametrize("kind", ["claims", "garbage", "pipe"])
def test_a_file_without_frames_says_why_once(tmp_path, monkeypatch, kind):
    path = tmp_path / "run.h5"
    frames = growing(path, monkeypatch)
    monkeypatch.setattr("xinsitu.io.growing_stack.SILENT", 0.0)
    frames.look()
    if kind == "claims":
        append(path, range(2))
        with h5py.File(path, "a") as file:
            file["entry/data/data"].resize(10**9, axis=0)
    elif kind == "garbage":
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\x99" * 5000)
    else:
        os.mkfifo(path)
    with pytest.warns(xi.XinsituWarning, match=r"run\.h5: .*; it is waited for") as said:
        assert [frames.look() for _ in range(3)] == [[], [], []]
    assert len(said) == 1
    path.unlink()
    append(path, range(3))
    frames.look()
    assert numbers_of(frames.look()) == [0, 1, 2]


def test_frames_that_are_counted_and_not_written_wait(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    append(path, range(2))
    with h5py.File(path, "a") as file:
        file["entry/data/data"].resize(5, axis=0)
    frames = growing(path, monkeypatch)
    frames.look()
    assert numbers_of(frames.look()) == [0, 1]
    with h5py.File(path, "a") as file:
        for number in (2, 3, 4):
            file["entry/data/data"][number] = pixels(number)
    frames.look()
    assert numbers_of(frames.look()) == [2, 3, 4]


def test_a_master_leads_to_data_files_that_grow(tmp_path, monkeypatch):
    master = tmp_path / "run_master.h5"
    with h5py.File(master, "w") as file:
        for piece in (1, 2):
            file[f"entry/data/data_{piece:06d}"] = h5py.ExternalLink(f"run_data_{piece:06d}.h5", "entry/data/data")
    append(tmp_path / "run_data_000001.h5", range(4))
    frames = growing(master, monkeypatch)
    frames.look()
    assert numbers_of(frames.look()) == [0, 1, 2, 3]
    append(tmp_path / "run_data_000001.h5", range(4, 6))
    frames.look()
    assert len(frames.look()) == 2
    append(tmp_path / "run_data_000002.h5", range(6, 9))
    frames.look()
    assert len(frames.look()) == 3
    assert len(frames) == 9


def test_bit_for_bit_also_where_a_frame_was_written_anew(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    live = GrowingSeries(growing(path, monkeypatch), ROIS, lambda scan: CORRECTION)
    seen = 0
    for first in range(0, 12, 4):
        append(path, range(first, first + 4))
        seen += sum(part.sizes["time"] for _ in range(2) for part in live.look())
        assert live.series().sizes["time"] == seen == first + 4
    with h5py.File(path, "a") as file:
        file["entry/data/data"][5] = pixels(500)
    live.settle()
    expected = xi.measure(xi.open_measurement(path, **HOW), ROIS, correction=CORRECTION).compute()
    xr.testing.assert_identical(live.series(), expected)


@pytest.mark.thorough
def test_the_file_grows_by_what_is_new(tmp_path, monkeypatch):
    monkeypatch.setattr("xinsitu.live.growing_series.BEFORE", 8)
    monkeypatch.setattr("xinsitu.live.growing_series.REACH", 3)
    path, output = tmp_path / "run.h5", tmp_path / "out.nc"
    live = GrowingSeries(growing(path, monkeypatch), ROIS, lambda scan: CORRECTION)
    results, lengths = GrowingResults(output, overwrite=False, source=path), []
    for step, first in enumerate(range(0, 40, 10)):
        append(path, range(first, first + 10))
        live.look()
        live.look()
        lengths.append(put(live, results, first=step == 0))
        found = xi.read_results(output)
        expected = xi.measure(xi.open_measurement(path, **HOW), ROIS, correction=CORRECTION).compute()
        for name in set(expected.variables) - {"remarks"}:
            xr.testing.assert_equal(found[name].variable, expected[name].variable)
    assert lengths == [10, 13, 13, 13]


def test_all_rows_are_written_where_numbers_step_back(tmp_path, monkeypatch):
    """Rows go behind those with lower numbers: only in their order is it known which these are."""
    path = tmp_path / "run.h5"
    frames = growing(path, monkeypatch)
    append(path, range(6))
    frames.look()
    assert len(frames.look()) == 6
    frames._frame = np.array([0, 1, 2, 5, 4, 3])
    assert (frames.tail(["1:3"], 1).place, len(frames.tail(["1:3"], 1).files)) == (0, 6)
    frames._frame = np.arange(6)
    assert (frames.tail(["1:3"], 1).place, len(frames.tail(["1:3"], 1).files)) == (2, 4)


def test_frames_stay_what_they_were_where_one_before_them_is_filled_in(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    frames = growing(path, monkeypatch)
    append(path, range(2))
    with h5py.File(path, "a") as file:
        file["entry/data/data"].resize(4, axis=0)
        file["entry/data/data"][3] = pixels(3)
    frames.look()
    assert numbers_of(frames.look()) == [0, 1, 3]
    with h5py.File(path, "a") as file:
        file["entry/data/data"][2] = pixels(2)
    frames.look()
    assert (numbers_of(frames.look()), len(frames), frames.pending) == ([2], 4, 0)


def test_a_frame_that_cannot_be_read_holds_nobody_up(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "entry/data/data", (0, *SHAPE), "i4", maxshape=(None, *SHAPE), chunks=(1, *SHAPE), compression=1
        )
    append(path, range(3))
    with h5py.File(path, "a") as file:
        file["entry/data/data"].id.write_direct_chunk((1, 0, 0), b"half of it")
    live = GrowingSeries(growing(path, monkeypatch), ROIS, lambda scan: CORRECTION)
    live.look()
    assert [part.frame.values.tolist() for part in live.look()] == [[0, 2]]
    with h5py.File(path, "a") as file:
        file["entry/data/data"][1] = pixels(1)
    assert [part.frame.values.tolist() for _ in range(2) for part in live.look()] == [[1]]


def test_what_grows_is_told_by_its_name(tmp_path):
    assert isinstance(growing_frames(tmp_path / "later.nxs"), GrowingStack)
    assert isinstance(growing_frames(tmp_path / "later"), GrowingFolder)


WRITER = """
import sys, h5py, numpy as np
file = h5py.File(sys.argv[1], "w", libver="latest")
stack = file.create_dataset("entry/data/data", (0, 30, 40), "i4", maxshape=(None, 30, 40), chunks=(1, 30, 40))
file.swmr_mode = True
for number, line in enumerate(sys.stdin):
    stack.resize(number + 1, axis=0)
    stack[number] = np.random.default_rng(number).poisson(7, (30, 40))
    stack.flush()
    print("written", flush=True)
"""


@pytest.mark.thorough
def test_a_file_is_followed_while_its_writer_has_it_open(tmp_path, monkeypatch):
    """Written for readers beside (SWMR): HDF5 refuses it to all who do not ask for that."""
    path = tmp_path / "run.h5"
    live = GrowingSeries(growing(path, monkeypatch), ROIS, lambda scan: CORRECTION)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        for number in range(3):
            print("next", file=writer.stdin, flush=True)
            assert writer.stdout.readline() == "written\n"
            live.look()
            assert [part.frame.item() for part in live.look()] == [number]
        np.testing.assert_array_equal(xi.open_measurement(path, **HOW).image[2], pixels(2))
        live.settle()
        during = live.series()
        writer.stdin.close()
    expected = xi.measure(xi.open_measurement(path, **HOW), ROIS, correction=CORRECTION).compute()
    xr.testing.assert_equal(during, expected)
