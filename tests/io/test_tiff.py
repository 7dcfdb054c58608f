"""TIFFs whose header is not taken at its word: layouts not understood, reserved files, promised pages, one stamp."""

from __future__ import annotations

import os
import struct
import time
import warnings

import numpy as np
import pytest
import tifffile
import xarray as xr

from xinsitu.errors import FrameError, TimeError, XinsituWarning
from xinsitu.io.formats.tiff import LAYOUT
from xinsitu.io.measurement import open_measurement
from xinsitu.io.survey import survey
from xinsitu.physics.corrections.apply import flatfield
from xinsitu.schema import FrameStatus, epoch_seconds

WHERE = {"tz": "UTC", "instrument": "generic"}
PIXELS = np.random.default_rng(3).integers(0, 500, (5, 32, 48)).astype("u2")


def entries(blob):
    """Place of every directory entry, by its tag; little-endian, classic or BigTIFF."""
    big = blob[2:4] == b"+\0"
    first = struct.unpack_from("<Q" if big else "<I", blob, 8 if big else 4)[0]
    count = struct.unpack_from("<Q" if big else "<H", blob, first)[0]
    start, size = (first + 8, 20) if big else (first + 2, 12)
    return {struct.unpack_from("<H", blob, start + size * k)[0]: start + size * k for k in range(count)}


def changed(path, tag, kind=None, number=None):
    """Give a tag another type, or another number."""
    blob = bytearray(path.read_bytes())
    place = entries(bytes(blob))[tag]
    if kind is not None:
        struct.pack_into("<H", blob, place + 2, kind)
    if number is not None:
        struct.pack_into("<H", blob, place, number)
    path.write_bytes(blob)
    aged(path)
    return path


def aged(path):
    os.utime(path, (time.time() - 100, time.time() - 100))


@pytest.mark.parametrize("kind", [2, 5, 12, 77])
@pytest.mark.parametrize("how", ["plain", "lzw", "tiled", "big"])
def test_a_tag_of_the_layout_with_a_type_that_is_not_understood_is_refused(tmp_path, kind, how):
    options = {"plain": {}, "lzw": {"compression": "lzw"}, "tiled": {"tile": (16, 16)}, "big": {"bigtiff": True}}[how]
    path = tmp_path / "f_0001.tif"
    tifffile.imwrite(path, PIXELS[0], metadata=None, **options)
    there = sorted(LAYOUT & entries(path.read_bytes()).keys())
    assert {256, 257, 258, 259} <= set(there)
    for tag in there:
        tifffile.imwrite(path, PIXELS[0], metadata=None, **options)
        changed(path, tag, kind)
        with pytest.raises(FrameError, match=r"f_0001\.tif"):
            open_measurement(tmp_path, time="frame", **WHERE).image.values  # noqa: B018 - read
        assert survey(tmp_path, check=True, **WHERE).n_frames == 0


@pytest.mark.parametrize("lost", [322, 323, 324, 325])
def test_tiles_without_one_of_their_tags_are_refused(tmp_path, lost):
    path = tmp_path / "f_0001.tif"
    tifffile.imwrite(path, PIXELS[0], metadata=None, tile=(16, 16))
    np.testing.assert_array_equal(open_measurement(tmp_path, time="frame", **WHERE).image[0], PIXELS[0])
    changed(path, lost, number=273 if lost == 324 else 40000 + lost)
    with pytest.raises(FrameError, match=rf"in tiles, and it lacks the tags .*{lost}"):
        open_measurement(tmp_path, time="frame", **WHERE)


# -- files that were reserved and not filled --------------------------------------------------------------------------


def reserved(path, frame):
    """Write the header alone; the pixels are a hole."""
    tifffile.imwrite(path, frame, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(offset)
        file.truncate(size)
    if path.stat().st_blocks * 512 >= size:
        pytest.skip("this disc fills holes")


def frames(folder, count, dtype="i4"):
    big = np.random.default_rng(5).integers(1, 90, (count, 200, 300)).astype(dtype)
    for number, frame in enumerate(big):
        tifffile.imwrite(folder / f"f_{number:04d}.tif", frame, metadata=None)
        aged(folder / f"f_{number:04d}.tif")
    return big


def test_a_frame_that_is_only_a_hole_is_pending_and_then_suspect(tmp_path):
    big = frames(tmp_path, 4)
    for number in (2, 3):
        reserved(tmp_path / f"f_{number:04d}.tif", big[number])
    with pytest.raises(FrameError, match=r"f_0002\.tif: still being written .*2 bad frames|still being written"):
        open_measurement(tmp_path, time="frame", **WHERE)
    with pytest.warns(XinsituWarning, match="left out, 2 of 4 files"):
        assert open_measurement(tmp_path, time="frame", on_error="skip", **WHERE).frame.values.tolist() == [0, 1]
    for number in (2, 3):
        aged(tmp_path / f"f_{number:04d}.tif")
    with pytest.warns(XinsituWarning, match="suspect_zero_tail"):
        data = open_measurement(tmp_path, time="frame", **WHERE)
    assert data.frame_status.values.tolist() == [0, 0, *[FrameStatus.SUSPECT_ZERO_TAIL] * 2]
    assert "suspect   f_0002.tif" in str(survey(tmp_path, **WHERE))


def test_frames_that_are_mostly_holes_are_suspect_and_dark_ones_are_not(tmp_path):
    big = frames(tmp_path, 5)
    for number in (1, 2, 3, 4):
        reserved(tmp_path / f"f_{number:04d}.tif", big[number])
        aged(tmp_path / f"f_{number:04d}.tif")
    with pytest.warns(XinsituWarning, match="4 frames in all, flagged suspect_zero_tail"):
        open_measurement(tmp_path, time="frame", **WHERE)
    dark = tmp_path / "dark"
    dark.mkdir()
    for number in range(3):
        tifffile.imwrite(dark / f"d_{number}.tif", np.zeros((200, 300), "i4") + (number == 1), metadata=None)
        aged(dark / f"d_{number}.tif")
    assert not open_measurement(dark, time="frame", **WHERE).frame_status.values.any()


# -- what a description promises --------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [1, 2, 4])
def test_part_of_a_stack_with_the_description_of_the_whole(tmp_path, there):
    text = "ImageJ=1.53\nimages=5\nslices=5\nloop=false\n"
    path = tmp_path / "part_1.tif"
    with tifffile.TiffWriter(path) as tiff:
        for frame in PIXELS[:there]:
            tiff.write(frame, description=text, metadata=None, contiguous=False)
    with pytest.warns(
        XinsituWarning, match=rf"part_1\.tif: its description promises 5 frames, and the file holds {there}"
    ):
        data = open_measurement(path, time="frame", **WHERE)
    np.testing.assert_array_equal(data.image, PIXELS[:there])
    assert "promises 5 frames" in str(survey(path, **WHERE))


def test_a_stack_behind_one_directory_that_was_cut_is_refused(tmp_path):
    path = tmp_path / "cut_1.tif"
    tifffile.imwrite(path, PIXELS, imagej=True)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    one = PIXELS[0].nbytes
    path.write_bytes(whole[: offset + 3 * one + 20])
    aged(path)
    with pytest.raises(FrameError, match=r"cut_1\.tif"):
        open_measurement(path, time="frame", **WHERE)


def test_marccd_frames(tmp_path):
    for number, frame in enumerate(PIXELS):
        tifffile.imwrite(tmp_path / f"x_{number:04d}.mccd", frame, metadata=None)
    np.testing.assert_array_equal(open_measurement(tmp_path, time="frame", **WHERE).image, PIXELS)


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_frames_decoded_on_many_threads_leave_warnings_as_they_were(tmp_path, compression):
    """Filters that threads set and put back in any order stayed at *ignore*: nothing was heard from then on."""
    for number in range(48):
        tifffile.imwrite(tmp_path / f"a_{number:03d}.tif", PIXELS[number % 5], compression=compression)
    scan = open_measurement(tmp_path, time="frame", chunks={"time": 1}, **WHERE)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("default")
        before, shown = list(warnings.filters), warnings.showwarning
        for _ in range(4):
            total = scan.image.sum().compute(scheduler="threads", num_workers=8)
            assert (warnings.filters, warnings.showwarning) == (before, shown)
    assert int(total) == sum(int(PIXELS[number % 5].sum()) for number in range(48))
    dead = xr.ones_like(scan.image[0], dtype=float).compute()
    dead[3, :7] = 0
    with pytest.warns(XinsituWarning, match="flatfield: 7 of 1536 pixels are zero"):
        flatfield(scan.image, dead)


# -- one stamp for many frames ----------------------------------------------------------------------------------------


def test_a_stamp_on_the_first_page_only_is_said_and_never_that_of_all(tmp_path):
    path = tmp_path / "s_1.tif"
    tifffile.imwrite(path, PIXELS, datetime="2020:01:02 03:04:05", photometric="minisblack")
    with (
        pytest.warns(XinsituWarning, match=r"s_1\.tif: only its first page has a time stamp"),
        pytest.warns(XinsituWarning, match=r"the other 4 frames have none; time is the frame number"),
    ):
        data = open_measurement(path, **WHERE)
    assert data.attrs["time_source"] == "frame"
    assert epoch_seconds(data.time).tolist() == [0, 1, 2, 3, 4]
    with pytest.warns(XinsituWarning, match="only its first page"):
        placed = open_measurement(path, period=0.25, **WHERE)
    begun = np.datetime64("2020-01-02T03:04:05")
    assert ((placed.time.values - begun) / np.timedelta64(1, "s")).tolist() == [0, 0.25, 0.5, 0.75, 1.0]
    assert placed.frame_status.values.tolist() == [0, *[FrameStatus.NO_STAMP] * 4]
    with pytest.warns(XinsituWarning, match="only its first page"), pytest.raises(TimeError, match="only s_1"):
        open_measurement(path, time="stamp", **WHERE)


def test_each_page_has_its_own_moment_exposure_and_attributes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "s_1.tif") as file:
        for number, page in enumerate(PIXELS[:3]):
            seconds = [(65002, 4, 1, 900000000 + 4 * number, True), (65003, 4, 1, 500000000, True)]
            file.write(
                page,
                description=f"# Exposure_time {number + 1} s",
                extratags=[*seconds, (65010, 2, 0, f"Temperature:{20 + number}", True)],
                metadata=None,
            )
    data = open_measurement(tmp_path / "s_1.tif", tz="UTC", instrument="generic")
    assert ((data.time.values - data.time.values[0]) / np.timedelta64(1, "s")).tolist() == [0, 4, 8]
    assert data.exposure_time.values.tolist() == [1, 2, 3]
    assert data.Temperature.values.tolist() == [20, 21, 22]


@pytest.mark.parametrize("text", ["a", "ab", "abc", "abcd", "abcde", "a longer name of a program"])
def test_texts_that_lie_in_their_tag_and_behind_it(tmp_path, text):
    """Up to four bytes, the closing zero among them, stand where longer ones have their place."""
    tifffile.imwrite(tmp_path / "a_0001.tif", np.zeros((8, 9), "int32"), software=text, metadata=None)
    data = open_measurement(tmp_path, tz="UTC", instrument="generic", time="frame")
    assert data.attrs["software"] == text


@pytest.mark.parametrize("kind", [1, 2, 7])
def test_a_stamp_is_read_whichever_kind_of_bytes_its_tag_has(tmp_path, kind):
    """BYTE, ASCII or UNDEFINED: the same text, as tifffile reads it."""
    path = tmp_path / "f_0001.tif"
    tifffile.imwrite(path, PIXELS[0], metadata=None, datetime="2014:05:28 17:01:59")
    changed(path, 306, kind)
    with tifffile.TiffFile(path) as file:
        value = file.pages[0].tags[306].value
    assert (value if isinstance(value, str) else value.rstrip(b"\0").decode()) == "2014:05:28 17:01:59"
    assert epoch_seconds(open_measurement(tmp_path, **WHERE).time).tolist() == [1_401_296_519]
