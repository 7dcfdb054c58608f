"""Frames that are still being written, and frames whose end never was."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.errors import FrameError, XinsituWarning
from xinsitu.io.faults import find_zero_tails
from xinsitu.io.measurement import open_measurement
from xinsitu.io.survey import survey
from xinsitu.schema import FrameStatus

COUNT = 6


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "0884" / "time1"
    write_frames(path, COUNT)
    for file in path.iterdir():
        aged(file)
    return path


def cut(path, keep=4500):
    path.write_bytes(path.read_bytes()[:keep])


@pytest.mark.parametrize("keep", [0, 5, 100, 4096, 4500, 4979])
def test_the_newest_frame_short_and_just_changed_is_still_being_written(folder, keep):
    last = folder / "0884_time_1_00005.tif"
    cut(last, keep)
    with pytest.raises(FrameError, match=r"00005\.tif: still being written \(.*\); open it again in a moment"):
        open_measurement(folder, tz="UTC")
    with pytest.warns(XinsituWarning, match=r"00005\.tif: still being written"):
        skipped = open_measurement(folder, tz="UTC", on_error="skip")
    assert skipped.frame.values.tolist() == [0, 1, 2, 3, 4]
    assert skipped.attrs["frames_left_out"] == "0884_time_1_00005.tif (pending)"
    kept = open_measurement(folder, tz="UTC", on_error="nan")
    assert kept.frame_status.values.tolist() == [0] * 5 + [FrameStatus.PENDING]
    assert np.isnan(kept.image[5]).all()
    found = survey(folder, tz="UTC")
    assert found.fates[last.name] == "pending"
    assert "0884_time_1_00005.tif: pending, still being written" in str(found)
    last.write_bytes(camserver_bytes(ramp(5), stamp_of(5)))
    np.testing.assert_array_equal(open_measurement(folder, tz="UTC").image[5], ramp(5))


def test_a_frame_cut_long_ago_or_before_newer_ones_was_cut(folder):
    last, third = folder / "0884_time_1_00005.tif", folder / "0884_time_1_00003.tif"
    cut(last)
    aged(last)
    assert survey(folder, tz="UTC").fates[last.name] == "truncated"
    cut(third)
    last.write_bytes(camserver_bytes(ramp(5), stamp_of(5)))
    assert survey(folder, tz="UTC").fates[third.name] == "truncated"


def test_a_new_series_that_overwrites_an_older_longer_one(folder):
    """The frame being written is not the last one; those behind it were left by the older series."""
    cut(folder / "0884_time_1_00002.tif")
    fates = survey(folder, tz="UTC").fates
    assert [fates[name] for name in sorted(fates)] == ["ok", "ok", "pending", "ok", "ok", "ok"]


def test_several_frames_at_the_end_may_be_on_their_way(folder):
    for number in (4, 5):
        cut(folder / f"0884_time_1_{number:05d}.tif", 0 if number == 5 else 4500)
    fates = survey(folder, tz="UTC").fates
    assert [fates[name] for name in sorted(fates)] == ["ok"] * 4 + ["pending"] * 2


def test_a_directory_that_is_written_last(folder):
    """libtiff writes eight bytes without the place of the directory, then pixels, then the directory."""
    (folder / "0884_time_1_00006.tif").write_bytes(b"II*\0\0\0\0\0" + bytes(3000))
    with pytest.raises(FrameError, match=r"00006\.tif: still being written \(its directory was not written\)"):
        open_measurement(folder, tz="UTC")


def test_an_hdf5_file_that_is_still_being_written(tmp_path):
    path = tmp_path / "run_1.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.stack([ramp(number) for number in range(6)])
    for keep in (0, 2000):
        path.write_bytes(path.read_bytes()[:keep] if keep else b"")
        with pytest.raises(FrameError, match=r"run_1\.h5: still being written \(.*\); open it again in a moment"):
            open_measurement(path, time="frame")
        aged(path)
        with pytest.raises(FrameError, match=r"run_1\.h5: is no readable HDF5 file"):
            open_measurement(path, time="frame")
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = np.stack([ramp(number) for number in range(6)])


# -- ends that read as zeros ------------------------------------------------------------------------------------------

SHAPE = (195, 487)


def tails(frames, offset=4096):
    candidates = [index for index, frame in enumerate(frames) if not frame[-10:].any()]
    sound = [index for index in range(len(frames)) if index not in candidates]
    return find_zero_tails(lambda index: frames[index], [offset] * len(frames), candidates, sound)


@pytest.mark.parametrize("where", [0, 3, 7])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.93])
def test_an_end_that_neighbours_contradict_is_found(where, kept):
    rng = np.random.default_rng(1)
    frames = rng.poisson(0.1, (8, *SHAPE)).astype("int32")
    frames[where].ravel()[int(kept * frames[where].size) :] = 0
    assert tails(frames) == [where]


def test_flags_that_every_frame_has_are_missed_where_they_lack():
    frames = np.zeros((5, *SHAPE), "int32")
    frames[:, :20] = 100
    frames[:, 190, 300] = -2  # a bad pixel
    assert tails(frames) == []
    frames[2, 100:] = 0
    assert tails(frames) == [2]


def test_dark_frames_and_falling_light_are_not_accused():
    rng = np.random.default_rng(1)
    light = np.array([1e6, 1e6, 1e5, 1e3, 1e2, 10, 1, 0])
    profile = np.exp(-np.arange(SHAPE[0]) / 8.0)[:, None] * np.ones(SHAPE[1])
    frames = rng.poisson(light[:, None, None] * profile / profile.sum()).astype("int32")
    assert sum(not frame[-10:].any() for frame in frames) > 3
    assert tails(frames) == []


def test_no_real_frame_is_accused(shared_data):
    import tifffile

    for scan in ("380404", "380405", "380406"):
        paths = sorted((shared_data / "i07" / "refl" / scan).glob("*.tif"))
        frames = [tifffile.imread(path) for path in paths]
        assert tails(frames) == []
        with_zeros = [index for index, frame in enumerate(frames) if not frame[-10:].any()]
        bright = next((index for index, frame in enumerate(frames) if frame[-60:].sum() > 200), None)
        if bright is not None:
            frames[bright] = frames[bright].copy()
            frames[bright][-60:] = 0
            assert set(tails(frames)) <= {bright}
        assert with_zeros or scan == "380406"


def test_a_hole_in_dark_rows_is_not_suspect_at_opening(tmp_path):
    """Copies leave blocks of zeros out: the hole is what was there."""
    for number in range(5):
        pixels = np.zeros(SHAPE, "int32")
        pixels[:20] = 50
        data = camserver_bytes(pixels, stamp_of(number))
        path = tmp_path / f"a_{number}.tif"
        if number != 2:
            path.write_bytes(data)
            continue
        with open(path, "wb") as file:
            file.write(data[: len(data) // 3])
            file.truncate(len(data))
        if os.stat(path).st_blocks * 512 >= len(data):
            pytest.skip("this disc fills holes")
    assert not open_measurement(tmp_path, tz="UTC").frame_status.any()


def test_a_newer_frame_that_is_bad_in_another_way_tells_that_a_cut_one_was_cut(folder):
    cut(folder / "0884_time_1_00003.tif")
    (folder / "0884_time_1_00005.tif").write_bytes(b"no frame at all" * 400)
    fates = survey(folder, tz="UTC").fates
    assert fates["0884_time_1_00003.tif"] == "truncated"
    assert fates["0884_time_1_00005.tif"] not in ("ok", "pending")
