"""What a header says, against the bytes that were written and against other readers."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile

from tests.helpers.camserver import camserver_bytes, ramp
from xinsitu.errors import FrameError
from xinsitu.io.formats.reading import read_header
from xinsitu.schema import FrameStatus


def write(tmp_path, data, name="a_1.tif"):
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


def test_a_camserver_file_is_read_to_the_field(tmp_path):
    path = write(tmp_path, camserver_bytes(ramp(3), exposure=0.5, period=0.7))
    header = read_header(path)
    assert (header.shape, header.dtype, header.offset, header.pages) == ((13, 17), np.dtype("<i4"), 4096, 1)
    assert (header.stamp, header.stamp_source) == ("2014:05:28 17:01:59", "tiff:306")
    assert header.detector == ("PILATUS 100K", "1-0230")
    text = header.text
    assert (text.exposure_time, text.exposure_period, text.count_cutoff) == (0.5, 0.7, 1048574)
    assert (text.pixel_size_y, text.pixel_size_x, text.threshold_energy) == (172e-6, 172e-6, 5000.0)
    assert (text.tau, text.n_excluded_pixels, text.flat_field) == (199.1e-9, 1, None)
    assert header.size == 4096 + 13 * 17 * 4


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_plain_files_of_any_type_are_located_like_tifffile_does(tmp_path, order, dtype):
    path = str(tmp_path / "a_1.tif")
    tifffile.imwrite(path, ramp(1).astype(dtype), byteorder=order, metadata=None)
    header = read_header(path)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        assert header.offset == page.dataoffsets[0]
        assert header.shape == page.shape
    assert header.dtype == np.dtype(order + dtype)


def test_strips_one_after_another_are_one_block(tmp_path):
    path = str(tmp_path / "a_1.tif")
    tifffile.imwrite(path, ramp(1), rowsperstrip=2, metadata=None)
    assert read_header(path).offset > 0


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"}, {"compression": "lzw"}, {"compression": "zstd"},
        {"compression": "lzw", "predictor": 2}, {"tile": (16, 16)}, {"bigtiff": True},
        {"compression": "zlib", "tile": (16, 16)},
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_tifffile(tmp_path, options):
    path = str(tmp_path / "a_1.tif")
    tifffile.imwrite(path, ramp(1), metadata=None, datetime="2014:05:28 17:01:59", **options)
    header = read_header(path)
    assert (header.shape, header.dtype, header.offset) == ((13, 17), np.dtype("int32"), -1)
    assert header.stamp == "2014:05:28 17:01:59"


def test_pages_are_counted(tmp_path):
    path = str(tmp_path / "a_1.tif")
    tifffile.imwrite(path, np.stack([ramp(0), ramp(1), ramp(2)]), photometric="minisblack", metadata=None)
    assert read_header(path).pages == 3


GOOD = camserver_bytes(ramp(0))


def patched(offset: int, value: bytes) -> bytes:
    return GOOD[:offset] + value + GOOD[offset + len(value) :]


def entry(tag: int) -> int:
    """Offset of the value of a tag in the directory."""
    for index in range(18):
        place = 132 + 12 * index
        if struct.unpack_from("<H", GOOD, place)[0] == tag:
            return place + 8
    raise KeyError(tag)


FAULTS = {
    "empty": (b"", "empty", FrameStatus.TRUNCATED),
    "8 bytes": (GOOD[:8], "the directory should be at byte 130", FrameStatus.TRUNCATED),
    "4 bytes": (GOOD[:4], "only 4 bytes", FrameStatus.TRUNCATED),
    "header only": (GOOD[:4096], "truncated: 884 bytes of pixels expected, 0 found", FrameStatus.TRUNCATED),
    "half": (GOOD[: 4096 + 400], "884 bytes of pixels expected, 400 found", FrameStatus.TRUNCATED),
    "one byte short": (GOOD[:-1], "883 found", FrameStatus.TRUNCATED),
    "inside the directory": (GOOD[:200], "ends inside its directory", FrameStatus.TRUNCATED),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "git lfs pull", FrameStatus.UNREADABLE),
    "html": (b"<!DOCTYPE html><html>not found</html>", "HTML", FrameStatus.UNREADABLE),
    "text": (b"1 2 3\n4 5 6\n", "text, not a TIFF", FrameStatus.UNREADABLE),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG", FrameStatus.UNREADABLE),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG", FrameStatus.UNREADABLE),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5", FrameStatus.UNREADABLE),
    "zeros": (bytes(5000), "zeros", FrameStatus.UNREADABLE),
    "noise": (b"\x07\x91\xfe\xed" * 100, "not a TIFF", FrameStatus.UNREADABLE),
    "directory beyond the file": (patched(4, struct.pack("<I", 10**9)), "directory should be", FrameStatus.TRUNCATED),
    "directory in the magic": (patched(4, struct.pack("<I", 2)), "cannot be at byte 2", FrameStatus.UNREADABLE),
    "no tags": (patched(130, b"\0\0"), "0 tags", FrameStatus.UNREADABLE),
    "60000 tags": (patched(130, struct.pack("<H", 60000)), "60000 tags", FrameStatus.UNREADABLE),
    "huge": (patched(entry(256), struct.pack("<I", 4_000_000)), "declares", FrameStatus.UNREADABLE),
    "bomb": (patched(entry(256), struct.pack("<I", 2**31)), "more than any detector", FrameStatus.UNREADABLE),
    "no width": (patched(entry(256), bytes(4)), "no image size", FrameStatus.UNREADABLE),
    "pixels at 0": (patched(entry(273), bytes(4)), "cannot begin at byte 0", FrameStatus.UNREADABLE),
    "pixels outside": (patched(entry(273), struct.pack("<I", 10**9)), "0 found", FrameStatus.TRUNCATED),
    "short strip": (patched(entry(279), struct.pack("<I", 10)), "the header declares 10", FrameStatus.UNREADABLE),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_is_said_in_one_sentence_that_names_the_file(tmp_path, kind):
    data, words, status = FAULTS[kind]
    path = write(tmp_path, data, "bad_7.tif")
    with pytest.raises(FrameError) as caught:
        read_header(path)
    assert str(caught.value).startswith(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.status == status


def test_a_looped_directory_ends(tmp_path):
    path = str(tmp_path / "a_1.tif")
    tifffile.imwrite(path, np.stack([ramp(0), ramp(1)]), photometric="minisblack", metadata=None)
    data = bytearray((tmp_path / "a_1.tif").read_bytes())
    first = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, first)[0]
    second = struct.unpack_from("<I", data, first + 2 + 12 * count)[0]
    count = struct.unpack_from("<H", data, second)[0]
    struct.pack_into("<I", data, second + 2 + 12 * count, first)
    (tmp_path / "a_1.tif").write_bytes(bytes(data))
    with pytest.raises(FrameError, match="its pages form a loop"):
        read_header(path)


def test_a_file_that_went_away_is_missing(tmp_path):
    with pytest.raises(FrameError) as caught:
        read_header(str(tmp_path / "a_1.tif"))
    assert caught.value.status == FrameStatus.MISSING


def test_the_directory_may_stand_behind_the_pixels(tmp_path):
    pixels = np.arange(200 * 300, dtype="uint16").reshape(200, 300)
    path = tmp_path / "a_1.tif"
    tags = [(256, 4, 1, 300), (257, 4, 1, 200), (258, 3, 1, 16), (259, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1)]
    tags += [(278, 4, 1, 200), (279, 4, 1, 120000)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + 120000) + pixels.tobytes() + directory)
    header = read_header(str(path))
    assert (header.shape, header.dtype, header.offset) == ((200, 300), np.dtype("<u2"), 8)
