"""Forty and more kinds of TIFF, bit for bit as tifffile reads them."""

from __future__ import annotations

import itertools

import cv2
import fabio
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.helpers.camserver import aged
from xinsitu.errors import FrameError, XinsituWarning
from xinsitu.io.measurement import open_measurement
from xinsitu.io.survey import survey

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
LAYOUTS = {
    "strip": {},
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 32)},
    "bigtiff": {"bigtiff": True},
    "zlib": {"compression": "zlib"},
    "zlib-strips": {"compression": "zlib", "rowsperstrip": 7, "predictor": True},
    "lzw": {"compression": "lzw"},
    "zstd-tiles": {"compression": "zstd", "tile": (16, 16)},
}
VARIANTS = [
    (order, dtype, layout)
    for order, dtype, layout in itertools.product("<>", DTYPES, LAYOUTS)
    if dtype not in ("f2", "i8", "u8") or "predictor" not in LAYOUTS[layout]  # the TIFF predictors stop at 32 bits
]


def frames(dtype):
    rng = np.random.default_rng(3)
    if dtype.startswith("f"):
        return [rng.normal(0, 1e3, (37, 45)).astype(dtype) for _ in range(3)]
    bounds = np.iinfo(dtype)
    return [rng.integers(bounds.min, bounds.max, (37, 45), dtype=dtype, endpoint=True) for _ in range(3)]


@pytest.mark.parametrize(("order", "dtype", "layout"), VARIANTS)
def test_equals_tifffile_bit_for_bit(tmp_path, order, dtype, layout):
    for number, pixels in enumerate(frames(dtype)):
        tifffile.imwrite(tmp_path / f"a_{number}.tif", pixels, byteorder=order, metadata=None, **LAYOUTS[layout])
    data = open_measurement(tmp_path, time="frame")
    truth = np.stack([tifffile.imread(tmp_path / f"a_{number}.tif") for number in range(3)])
    assert data.image.dtype == np.dtype(dtype)
    assert data.image.values.tobytes() == truth.astype(dtype).tobytes()
    part = data.image[1:, 5:9, 3:40:4].values
    assert part.tobytes() == np.ascontiguousarray(truth[1:, 5:9, 3:40:4]).astype(dtype).tobytes()


DECODERS = {
    "tifffile": tifffile.imread,
    "Pillow": lambda path: np.asarray(Image.open(path)),
    "fabio": lambda path: fabio.open(str(path)).data,
    "OpenCV": lambda path: cv2.imread(str(path), cv2.IMREAD_UNCHANGED),
    "libtiff": lambda path: imagecodecs.tiff_decode(path.read_bytes()),
}


def swaps_wrongly(decoder, order, dtype, layout):
    """Pillow, which fabio asks, leaves compressed 32-bit pixels of other machines as they stand."""
    return decoder in ("Pillow", "fabio") and (order, dtype) in ((">", "i4"), (">", "f4")) and "comp" in str(layout)


@pytest.mark.thorough
def test_four_decoders_and_ours_give_the_same_bits_for_forty_kinds(tmp_path, capfd):
    by_four = 0
    for order, dtype, layout in VARIANTS:
        written = frames(dtype)[0]
        path = tmp_path / f"a_{order == '<':d}{dtype}{layout}_1.tif"
        tifffile.imwrite(path, written, byteorder=order, metadata=None, **LAYOUTS[layout])
        agree = 0
        for name, decode in DECODERS.items():
            try:
                found = np.asarray(decode(path))
            except Exception:  # noqa: BLE001 (no decoder reads every kind, and each says so in its own way)
                continue
            if found.dtype == object or (found.shape, found.dtype.newbyteorder("=")) != (written.shape, written.dtype):
                continue
            if not swaps_wrongly(name, order, dtype, LAYOUTS[layout]):
                assert found.astype(dtype).tobytes() == written.tobytes(), (name, order, dtype, layout)
                agree += 1
        ours = open_measurement(path, time="frame").image.values[0]
        assert ours.tobytes() == written.tobytes(), (order, dtype, layout)
        by_four += agree >= 4
    assert by_four >= 60
    capfd.readouterr()  # OpenCV and fabio print what they cannot read


STACKS = {
    "imagej": {"imagej": True},
    "imagej behind one directory": {"imagej": True, "truncate": True},
    "imagej with two axes": {"imagej": True, "truncate": True, "metadata": {"axes": "TZYX"}},
    "tifffile behind one directory": {"truncate": True, "photometric": "minisblack"},
    "ome": {"ome": True, "photometric": "minisblack"},
    "pages": {"photometric": "minisblack", "metadata": None},
    "compressed pages": {"photometric": "minisblack", "compression": "zlib"},
}


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("order", "<>")
def test_stacks_in_one_file_are_frames_in_order(tmp_path, kind, dtype, order):
    truth = np.arange(6 * 37 * 45).reshape(6, 37, 45).astype(dtype)
    stored = truth.reshape(2, 3, 37, 45) if "two axes" in kind else truth
    tifffile.imwrite(tmp_path / "a_1.tif", stored, byteorder=order, **STACKS[kind])
    data = open_measurement(tmp_path, time="frame")
    assert data.image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(data.image, truth)
    np.testing.assert_array_equal(data.image[[5, 2], 3:9, ::4], truth[[5, 2], 3:9, ::4])
    assert data.frame.values.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_stack_that_was_cut_and_a_colour_picture_are_refused(tmp_path):
    path = tmp_path / "a_1.tif"
    tifffile.imwrite(path, np.zeros((6, 37, 45), "u2"), imagej=True, truncate=True)
    path.write_bytes(path.read_bytes()[:-10])
    aged(path)
    with pytest.raises(FrameError, match=r"a_1\.tif: truncated: 6 frames of 3330 bytes expected"):
        open_measurement(tmp_path, time="frame")
    for options in ({}, {"compression": "lzw"}, {"planarconfig": "separate"}):
        shape = (3, 37, 45) if "planarconfig" in options else (37, 45, 3)
        tifffile.imwrite(path, np.zeros(shape, "u1"), photometric="rgb", **options)
        with pytest.raises(FrameError, match=r"a_1\.tif: 3 values per pixel, a colour picture and no detector frame"):
            open_measurement(tmp_path, time="frame")


def test_damage_inside_compressed_frames_shows_at_reading_and_in_a_check(tmp_path):
    """Every frame of the series is compressed: no header tells."""
    truth = np.random.default_rng(0).poisson(50, (5, 195, 487)).astype("i4")
    for compression in ("zlib", "zstd"):
        for number, pixels in enumerate(truth):
            tifffile.imwrite(tmp_path / f"a_{number}.tif", pixels, metadata=None, compression=compression)
        path = tmp_path / "a_3.tif"
        with tifffile.TiffFile(path) as tiff:
            place = tiff.pages[0].dataoffsets[0]
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(b"\xff" * 200)
        rest = [0, 1, 2, 4]
        for policy in ("raise", "skip"):
            data = open_measurement(tmp_path, time="frame", on_error=policy, chunks=None)
            np.testing.assert_array_equal(data.image[rest], truth[rest])
            with pytest.raises(FrameError, match=r"a_3\.tif: ") as caught:
                data.image.load()
            assert "\n" not in str(caught.value)
        kept = open_measurement(tmp_path, time="frame", on_error="nan")
        with pytest.warns(XinsituWarning, match=r"1 of \d+ frames are NaN because they cannot be read"):
            image = kept.image.values
        assert np.isnan(image[3]).all()
        np.testing.assert_array_equal(image[rest], truth[rest])
        assert survey(tmp_path).faults == ()
        found = survey(tmp_path, check=True)
        assert [fault.path for fault in found.faults] == [str(path)]
        assert "5 seen = 4 good frames + 1 bad + 0 others" in str(found)
        assert "checked   every pixel of 4 frames was read" in str(found)


@pytest.mark.thorough
def test_a_file_of_pages_cut_anywhere_never_gives_fewer_frames(tmp_path):
    """All frames or none: where only the last words of the header are cut off, all pixels are there."""
    truth = np.arange(4 * 20 * 30, dtype="u2").reshape(4, 20, 30)
    path = tmp_path / "a_1.tif"
    for options in ({"metadata": None}, {"imagej": True}, {"ome": True}, {"metadata": None, "compression": "zlib"}):
        tifffile.imwrite(path, truth, photometric="minisblack", **options)
        whole = path.read_bytes()
        refused = 0
        for keep in [*range(1, len(whole), 151), *range(len(whole) - 360, len(whole), 11)]:
            path.write_bytes(whole[:keep])
            try:
                image = open_measurement(tmp_path, time="frame").image.values
            except FrameError:
                refused += 1
                continue
            np.testing.assert_array_equal(image, truth)
        assert refused > 20
