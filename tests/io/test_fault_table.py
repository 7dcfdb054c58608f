"""What is promised for each kind of fault of a folder, one test per promise, by the name of the fault.

Discs that are full, crashes while writing and two writers of one result are in ``test_results.py``; folders of 100,000
frames in ``benchmarks/opening.py``; sums that would wrap in ``test_corrections.py`` and ``test_reductions.py``.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time as clock

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.errors import FrameChanged, FrameError, LayoutError, TimeError, XinsituWarning
from xinsitu.io.formats import tiff_other
from xinsitu.io.measurement import open_flatfield, open_measurement
from xinsitu.io.survey import survey
from xinsitu.schema import FrameStatus

COUNT = 6
TRUTH = np.stack([ramp(number) for number in range(COUNT)])
ROI = xi.Roi("A", y=(2, 8), x=(3, 9))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "0884" / "time1"
    write_frames(path, COUNT)
    return path


def frame(folder, number):
    return folder / f"0884_time_1_{number:05d}.tif"


def test_last_frame_still_being_written(folder):
    """Pieces of a frame arrive one by one: at no moment is anything else read than what was written."""
    whole = camserver_bytes(ramp(COUNT), stamp_of(COUNT))
    for keep in [*range(0, len(whole), 97), len(whole) - 1]:
        frame(folder, COUNT).write_bytes(whole[:keep])
        with pytest.raises(FrameError, match=r"00006\.tif: still being written"):
            open_measurement(folder, tz="UTC")
    frame(folder, COUNT).write_bytes(whole)
    np.testing.assert_array_equal(open_measurement(folder, tz="UTC").image[:-1], TRUTH)


def test_zero_bytes(folder):
    """A disc that was full leaves many empty files; they never decide shape or dtype."""
    for number in range(COUNT - 1):
        frame(folder, number).write_bytes(b"")
        aged(frame(folder, number))
    with pytest.raises(FrameError, match=r"00000\.tif: the file is empty \(0 bytes\) \(and 4 more bad frames\)"):
        open_measurement(folder, tz="UTC")
    kept = open_measurement(folder, tz="UTC", on_error="nan")
    assert kept.image.shape == TRUTH.shape
    np.testing.assert_array_equal(kept.image[-1], TRUTH[-1])
    assert survey(folder, tz="UTC").fates[frame(folder, 0).name] == "truncated"


def test_zero_tail(folder):
    """The disc has no hole to see: a check finds the end that was never written, a warning says it."""
    shape = (195, 487)
    frames = np.random.default_rng(0).poisson(5, (COUNT, *shape)).astype("int32")
    frames[3].ravel()[60_000:] = 0
    for number, pixels in enumerate(frames):
        frame(folder, number).write_bytes(camserver_bytes(pixels, stamp_of(number)))
    found = survey(folder, tz="UTC", check=True)
    assert found.fates[frame(folder, 3).name] == "suspect_zero_tail"
    assert "suspect   0884_time_1_00003.tif: its end was never written and reads as zeros" in str(found)
    assert found.n_frames == COUNT  # a warning only
    with open(frame(folder, 3), "r+b") as file:
        file.truncate(4096 + 240_000)
        file.truncate(4096 + frames[0].nbytes)
    if os.stat(frame(folder, 3)).st_blocks * 512 >= 4096 + frames[0].nbytes:
        pytest.skip("this disc fills holes")
    with pytest.warns(XinsituWarning, match=r"00003\.tif: its end was never written"):
        data = open_measurement(folder, tz="UTC")
    assert data.frame_status.values.tolist() == [0, 0, 0, FrameStatus.SUSPECT_ZERO_TAIL, 0, 0]
    np.testing.assert_array_equal(data.image, frames)


def test_missing_numbers(folder):
    for number in (2, 3):
        frame(folder, number).unlink()
    data = open_measurement(folder, tz="UTC")
    assert data.frame.values.tolist() == [0, 1, 4, 5]
    assert np.diff(data.time.values).astype("timedelta64[s]").astype(int).tolist() == [1, 3, 1]
    np.testing.assert_array_equal(data.image, TRUTH[[0, 1, 4, 5]])
    assert "0 to 5, missing 2 to 3" in str(survey(folder, tz="UTC"))
    filled = open_measurement(folder, tz="UTC", fill_missing=True)
    assert filled.frame.values.tolist() == list(range(COUNT))
    assert (filled.frame_status == FrameStatus.MISSING).values.tolist() == [False, False, True, True, False, False]
    assert np.isnan(filled.image[2:4]).all()
    np.testing.assert_array_equal(filled.image[[0, 1, 4, 5]], TRUTH[[0, 1, 4, 5]])


def test_stale_frames_of_an_older_longer_series(folder):
    for number in range(3):
        frame(folder, number).write_bytes(camserver_bytes(ramp(number + 50), stamp_of(1000 + number)))
    with pytest.raises(TimeError, match=r"00002\.tif .* to 0884_time_1_00003\.tif .*series='newest'"):
        open_measurement(folder, tz="UTC")
    data = open_measurement(folder, tz="UTC", series="newest")
    np.testing.assert_array_equal(data.image, [ramp(50), ramp(51), ramp(52)])
    assert data.attrs["frames_left_out"].count("stale_time") == 3


def test_several_series_in_one_folder(folder):
    write_frames(folder, 3, name="align_{}.tif")
    with pytest.raises(
        LayoutError, match=r"2 series .*0884_time_1\*\.tif \(6 frames\), align\*\.tif \(3 frames\); choose"
    ):
        open_measurement(folder, tz="UTC")
    assert open_measurement(folder, tz="UTC", series="0884_time_1").sizes["time"] == COUNT


def test_overlapping_series_in_one_folder(folder):
    """Two series of one name, padded otherwise: a number that comes twice is never one of the two in silence."""
    write_frames(folder, 2, name="0884_time_1_{}.tif")
    with pytest.raises(
        FrameError, match=r"0884_time_1_0\.tif: has the same number as 0884_time_1_00000\.tif|has the same"
    ):
        open_measurement(folder, tz="UTC")
    assert "duplicate_number" in survey(folder, tz="UTC").fates.values()


def test_consecutive_scans_of_one_name_are_one_measurement(tmp_path):
    for scan, count in ((1, 4), (2, 3)):
        for number in range(count):
            path = tmp_path / f"0799time2_{scan}_{number}.tif"
            path.write_bytes(camserver_bytes(ramp(number), stamp_of(60 * scan + number)))
    data = open_measurement(tmp_path, tz="UTC")
    assert data.scan.values.tolist() == [1] * 4 + [2] * 3
    assert data.frame.values.tolist() == [0, 1, 2, 3, 0, 1, 2]


@pytest.mark.parametrize("other", ["u2", "u4", "f4", "f8", "i8", "i2"])
def test_mixed_dtypes(folder, other):
    tifffile.imwrite(frame(folder, 4), ramp(4).astype(other), metadata=None)
    with pytest.raises(FrameError, match=r"00004\.tif: 13 x 17 \w+ found, 13 x 17 int32 expected as in most frames"):
        open_measurement(folder, tz="UTC")
    kept = open_measurement(folder, tz="UTC", on_error="nan")
    assert kept.frame_status.values[4] == FrameStatus.WRONG_DTYPE
    np.testing.assert_array_equal(kept.image[:4], TRUTH[:4])


@pytest.mark.parametrize("shape", [(17, 13), (13, 16), (14, 17), (1, 221)])
def test_mixed_shapes(folder, shape):
    frame(folder, 0).write_bytes(camserver_bytes(np.zeros(shape, "int32"), stamp_of(0)))
    with pytest.raises(FrameError, match=r"00000\.tif: .* found, 13 x 17 int32 expected"):
        open_measurement(folder, tz="UTC")
    assert open_measurement(folder, tz="UTC", on_error="nan").frame_status.values[0] == FrameStatus.WRONG_SHAPE


def test_mixed_byte_order_is_no_fault(folder):
    tifffile.imwrite(frame(folder, 3), ramp(3), byteorder=">", metadata=None, datetime=stamp_of(3))
    data = open_measurement(folder, tz="UTC")
    assert data.image.dtype == np.dtype("=i4")
    np.testing.assert_array_equal(data.image, TRUTH)


def test_strays(folder):
    strays = [
        "0884_time_1_00002.tif.log", "._0884_time_1_00002.tif", ".DS_Store", "Thumbs.db", "0884_time_1_00009.tif.tmp",
        ".0884_time_1_00009.tif.part", "all_mean.tif", "0884_time_1_00003.tif~", "0884_time_1_00003.png", "README",
        "0884_time_1_00003 (copy).tif", "desktop.ini", "0884_time_1_00004.tif.filepart",
    ]  # fmt: skip
    for name in strays:
        (folder / name).write_bytes(camserver_bytes(ramp(99)))
    data = open_measurement(folder, tz="UTC", logs=None)
    np.testing.assert_array_equal(data.image, TRUTH)
    found = survey(folder, tz="UTC")
    assert set(found.fates) == set(os.listdir(folder))
    assert f"{COUNT + len(strays)} seen = {COUNT} good frames + 0 bad + {len(strays)} others" in str(found)


def test_no_zero_padding_and_a_width_that_changes(tmp_path):
    for number in (0, 9, 10, 99, 100, 999, 1000, 1001):
        (tmp_path / f"a_{number:03d}.tif").write_bytes(camserver_bytes(ramp(number % 7), stamp_of(number)))
    data = open_measurement(tmp_path, tz="UTC")
    assert data.frame.values.tolist() == [0, 9, 10, 99, 100, 999, 1000, 1001]


def test_flags_in_pixels(tmp_path):
    pixels = np.full((13, 17), 7, "int32")
    pixels[3, 4], pixels[4, 5], pixels[5, 6] = -1, -2, 1_048_574
    for name, stored in (("signed", pixels), ("unsigned", pixels.view("u4"))):
        (tmp_path / name).mkdir()
        for number in range(2):
            path = tmp_path / name / f"a_{number}.tif"
            path.write_bytes(camserver_bytes(pixels, stamp_of(number)))
            if name == "unsigned":
                tifffile.imwrite(path, stored, metadata=None, description="# Count_cutoff 1048574 counts", software="x")
        data = open_measurement(tmp_path / name, tz="UTC", time="frame")
        np.testing.assert_array_equal(data.image[0], stored)  # raw integers, untouched
        series = xi.measure(data, [ROI]).compute()
        assert series.n_valid.values.ravel().tolist() == [34, 34]
        assert series.n_saturated.values.ravel().tolist() == [1, 1]
        assert series.intensity.values.ravel().tolist() == [33 * 7 + 1_048_574] * 2


def test_not_a_number_in_floating_point_frames(tmp_path):
    pixels = np.full((13, 17), 2.0, "f4")
    pixels[3, 4], pixels[4, 5] = np.nan, np.inf
    for number in range(3):
        tifffile.imwrite(tmp_path / f"a_{number}.tif", pixels, metadata=None)
    data = open_measurement(tmp_path, time="frame")
    np.testing.assert_array_equal(data.image[0], pixels)
    series = xi.measure(data, [ROI]).compute()
    assert series.n_valid.values.ravel().tolist() == [34] * 3
    assert series.intensity.values.ravel().tolist() == [68] * 3


def test_lfs_pointer(folder):
    frame(folder, 1).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 383956\n")
    with pytest.raises(FrameError, match=r"00001\.tif: this is a Git LFS pointer, not image data; run git lfs pull"):
        open_measurement(folder, tz="UTC")


@pytest.mark.parametrize(
    ("head", "name"),
    [(b"\xff\xd8\xff\xe0", "a JPEG image"), (b"\x89PNG\r\n", "a PNG image"), (b"\x89HDF\r\n", "an HDF5 file"),
     (b"<!DOCTYPE html>", "HTML"), (b"\x1f\x8b", "a gzip file")],
)  # fmt: skip
def test_not_tiff(folder, head, name):
    frame(folder, 1).write_bytes(head + bytes(500))
    with pytest.raises(FrameError, match=rf"00001\.tif: this is {name}"):
        open_measurement(folder, tz="UTC")


def test_compressed_without_the_decoder(tmp_path, monkeypatch):
    """Where imagecodecs is not installed, the message says what is missing and which file needs it."""
    for number in range(2):
        tifffile.imwrite(tmp_path / f"a_{number}.tif", ramp(number), compression="lzw", metadata=None)
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", Missing(), raising=False)
    data = open_measurement(tmp_path, time="frame")
    with pytest.raises(FrameError, match=r"a_0\.tif: .*imagecodecs") as caught:
        data.image.load()
    assert "\n" not in str(caught.value)
    assert tiff_other.MAX_RATIO > 1


class Missing:
    """What tifffile does where a codec is not there."""

    def __getitem__(self, key):
        raise KeyError(f"{key!r} requires the 'imagecodecs' package")


def test_several_pages_are_all_read_or_refused(folder, tmp_path):
    path = tmp_path / "pages" / "a_1.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, TRUTH, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(open_measurement(path.parent, time="frame").image, TRUTH)
    tifffile.imwrite(frame(folder, 2), TRUTH[:3], photometric="minisblack", metadata=None)
    with pytest.raises(FrameError, match=r"00002\.tif: 13 x 17 int32 in 3 pages found"):
        open_measurement(folder, tz="UTC")


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EAGAIN])
def test_network_disc(folder, monkeypatch, code, files_one_by_one):
    """Errors that may pass are tried again three times; sizes are checked at each read."""
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)
    real, left = os.open, {"failures": 3}

    def failing(path, *args, **options):
        if str(path).endswith("00003.tif") and left["failures"]:
            left["failures"] -= 1
            raise OSError(code, os.strerror(code))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", failing)
    data = open_measurement(folder, tz="UTC")
    assert left["failures"] == 0
    left["failures"] = 3
    np.testing.assert_array_equal(data.image, TRUTH)
    left["failures"] = 99
    with pytest.raises(FrameError, match=r"00003\.tif: cannot be read"):
        open_measurement(folder, tz="UTC")


def test_locks_that_a_network_disc_does_not_know(tmp_path, monkeypatch):
    path = tmp_path / "a_1.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = TRUTH
    real = h5py.File

    class NoLocks(real):
        def __init__(self, name, mode="r", **options):
            if options.get("locking") is not False:
                raise OSError(errno.ENOLCK, "No locks available")
            super().__init__(name, mode, **options)

    monkeypatch.setattr(h5py, "File", NoLocks)
    try:
        np.testing.assert_array_equal(open_measurement(path, time="frame").image, TRUTH)
    finally:
        monkeypatch.undo()


def test_read_only_source(folder):
    for path in (*folder.iterdir(), folder):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        listing = sorted(os.listdir(folder))
        np.testing.assert_array_equal(open_measurement(folder, tz="UTC").image, TRUTH)
        str(survey(folder, tz="UTC", check=True))
        open_flatfield(folder)
        assert sorted(os.listdir(folder)) == listing
    finally:
        folder.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="everything may be read by root")
def test_a_frame_that_may_not_be_read(folder):
    frame(folder, 2).chmod(0)
    with pytest.raises(FrameError, match=r"00002\.tif: cannot be read \(Permission denied\)"):
        open_measurement(folder, tz="UTC")


def test_a_file_that_changes_or_vanishes(folder):
    for opened in (open_measurement(folder, tz="UTC"), xr.open_dataset(folder, engine="xinsitu", chunks={}, tz="UTC")):
        assert opened.image[0, 0, 0].compute() == 0
    names = {open_measurement(folder, tz="UTC").image.data.name}
    frame(folder, 2).write_bytes(camserver_bytes(ramp(9), stamp_of(2)))
    with pytest.raises(
        FrameChanged, match=r"00002\.tif: the file changed after the measurement was opened; open it ag"
    ):
        opened.image.compute()
    names.add(open_measurement(folder, tz="UTC").image.data.name)
    assert len(names) == 2  # a persisted chunk of the old pixels is never taken for the new ones
    frame(folder, 2).unlink()
    with pytest.raises(FrameChanged, match=r"00002\.tif: the file was removed"):
        opened.image.compute()
