"""Damage that other readers take for pixels: checksums, tags of several numbers, parts of a frame that are nowhere."""

from __future__ import annotations

import struct

import fabio
import numpy as np
import pytest
import tifffile

from tests.fuzz.frame_mutants import judged, run, seeds, wrongly
from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of
from tests.io.test_tiff import entries
from xinsitu.errors import FrameError, XinsituWarning
from xinsitu.io.formats.tiff import SINGLE
from xinsitu.io.measurement import open_measurement

PIXELS = np.random.default_rng(11).poisson(60, (4, 21, 34)).astype("i4")


def test_frames_of_every_layout_are_read_as_written(tmp_path):
    for one in seeds():
        assert judged(one, one.data, tmp_path / f"a_1{one.ending}") == "as written", one.layout


@pytest.mark.thorough
def test_a_mutant_is_refused_or_read_as_others_read_it(tmp_path):
    found, odd = run(1000, tmp_path, seed=4, opened=20)
    assert [(one.fate, one.layout) for one in odd if wrongly(one)] == []
    assert found["refused"] > 500
    assert found["as written"] > 100
    assert found["in a series: flagged"] > 10


def written(path, **options):
    tifffile.imwrite(path, PIXELS[0], metadata=None, **options)
    aged(path)
    return path


def put(path, tag, place, form, value):
    """Change a field of the entry of a tag."""
    blob = bytearray(path.read_bytes())
    struct.pack_into(form, blob, entries(bytes(blob))[tag] + place, value)
    path.write_bytes(blob)
    aged(path)


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"tile": (16, 16)}], ids=["plain", "lzw", "tiles"])
def test_a_tag_of_one_number_that_has_several_is_refused(tmp_path, options):
    path = tmp_path / "f_0001.tif"
    tags = sorted(SINGLE & entries(written(path, **options).read_bytes()).keys())
    assert {256, 257, 259} <= set(tags)
    for tag in tags:
        for count in (2, 5, 65535):
            put(written(path, **options), tag, 4, "<I", count)
            with pytest.raises(FrameError, match=rf"f_0001\.tif: its tag {tag} is {count} values"):
                open_measurement(tmp_path, time="frame")


@pytest.mark.parametrize("tag", [258, 339])
def test_the_kind_of_several_numbers_is_never_that_of_one(tmp_path, tag):
    path = written(tmp_path / "f_0001.tif")
    put(path, tag, 4, "<I", 3)
    with pytest.raises(FrameError, match=r"f_0001\.tif"):
        open_measurement(tmp_path, time="frame").image.load()


@pytest.mark.parametrize(
    "options", [{"tile": (16, 16)}, {"rowsperstrip": 4, "compression": "zlib"}], ids=["tiles", "zlib"]
)
def test_parts_of_a_picture_that_are_nowhere_are_never_zeros(tmp_path, options):
    """tifffile fills up with zeros what has no place."""
    path = tmp_path / "f_0001.tif"
    where, sizes = (324, 325) if "tile" in options else (273, 279)
    for tag, place, value in ((where, 8, 2**31), (sizes, 8, 2**31), (where, 4, 2), (sizes, 4, 2)):
        put(written(path, **options), tag, place, "<I", value)
        with pytest.raises(FrameError, match=r"f_0001\.tif: "):
            open_measurement(tmp_path, time="frame").image.load()
    blob = bytearray(written(path, **options).read_bytes())
    (there,) = struct.unpack_from("<I", blob, entries(bytes(blob))[where] + 8)
    for value in (0, 4):
        struct.pack_into("<I", blob, there + 4, value)  # the second part
        path.write_bytes(blob)
        with pytest.raises(FrameError, match=r"f_0001\.tif: .*at byte"):
            open_measurement(tmp_path, time="frame").image.load()


@pytest.mark.parametrize("compression", [2, 3, 4, 32771])
def test_compressions_of_black_and_white_give_no_counts(tmp_path, compression):
    path = written(tmp_path / "f_0001.tif", compression="lzw")
    put(path, 259, 8, "<I", compression)
    with pytest.raises(FrameError, match=rf"f_0001\.tif: compression {compression} is of black and white"):
        open_measurement(tmp_path, time="frame")


@pytest.fixture
def cbf(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    for number, pixels in enumerate(PIXELS):
        fabio.cbfimage.CbfImage(data=pixels).write(folder / f"a_{number}.cbf")
    return folder


def test_pixels_of_a_cbf_file_with_another_checksum_are_refused(cbf):
    path = cbf / "a_2.cbf"
    blob = bytearray(path.read_bytes())
    assert b"Content-MD5: " in blob
    begin = blob.find(b"\x0c\x1a\x04\xd5") + 4
    blob[begin + 300] ^= 1  # one bit: it still decompresses, to other counts from there on
    path.write_bytes(blob)
    scan = open_measurement(cbf, time="frame", chunks=None)
    np.testing.assert_array_equal(scan.image[[0, 1, 3]], PIXELS[[0, 1, 3]])
    with pytest.raises(FrameError, match=r"a_2\.cbf: its pixels are not those that were written"):
        scan.image[2].load()
    kept = open_measurement(cbf, time="frame", on_error="nan")
    with pytest.warns(XinsituWarning, match="1 of 4 frames are NaN"):
        image = kept.image.values
    assert np.isnan(image[2]).all()
    np.testing.assert_array_equal(image[[0, 1, 3]], PIXELS[[0, 1, 3]])


@pytest.mark.parametrize("line", [b"", b"Content-MD5: none\r\n", b"Content-MD5: \r\n", b"Content-MD5: 0000\r\n"])
def test_a_cbf_file_without_a_checksum_is_read(cbf, line):
    for path in cbf.iterdir():
        blob = path.read_bytes()
        begin = blob.index(b"Content-MD5: ")
        path.write_bytes(blob[:begin] + line + blob[blob.index(b"\r\n", begin) + 2 :])
    np.testing.assert_array_equal(open_measurement(cbf, time="frame").image, PIXELS)


def test_sound_frames_with_odd_tags_that_say_nothing_of_the_layout_are_read(tmp_path):
    """What is not understood and decides nothing is no reason to refuse a frame."""
    path = tmp_path / "f_0001.tif"
    path.write_bytes(camserver_bytes(ramp(3), stamp_of(3)))
    for tag, count in ((254, 7), (262, 9), (282, 4), (36867, 3)):
        put(path, tag, 4, "<I", count)
    np.testing.assert_array_equal(open_measurement(tmp_path, tz="UTC").image[0], ramp(3))
