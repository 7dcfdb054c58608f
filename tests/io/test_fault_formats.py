"""The fault corpus in other formats, and faults that come after opening: all in three places, three policies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.errors import FrameChanged, FrameError, XinsituWarning
from xinsitu.io.measurement import open_measurement
from xinsitu.io.survey import survey
from xinsitu.schema import FrameStatus

COUNT = 5
SHAPE = (31, 47)
POLICIES = ("raise", "skip", "nan")
_ENDS = pytest.mark.thorough
PLACES = pytest.mark.parametrize(
    "where",
    [
        pytest.param(0, id="first", marks=_ENDS),
        pytest.param(COUNT // 2, id="middle"),
        pytest.param(COUNT - 1, id="last", marks=_ENDS),
    ],
)


def by_tifffile(**options):
    return lambda path, pixels: tifffile.imwrite(path, pixels, metadata=None, **options)


def edf(path: Path, pixels: np.ndarray) -> None:
    head = (
        f"{{\nByteOrder = LowByteFirst ;\nDataType = SignedInteger ;\nDim_1 = {SHAPE[1]} ;\nDim_2 = {SHAPE[0]} ;\n"
        f"Size = {pixels.nbytes} ;\n"
    )
    path.write_bytes(head.ljust(510).encode() + b"}\n" + pixels.tobytes())


def cbf(path: Path, pixels: np.ndarray) -> None:
    pytest.importorskip("fabio")
    from fabio.cbfimage import CbfImage

    CbfImage(data=pixels, header={"_array_data.header_contents": "# Exposure_time 1.0 s"}).write(str(path))


FORMATS = {
    "camserver": (".tif", lambda path, pixels: path.write_bytes(camserver_bytes(pixels))),
    "deflate": (".tif", by_tifffile(compression="zlib")),
    "lzw with predictor": (".tif", by_tifffile(compression="lzw", predictor=True)),
    "tiles": (".tif", by_tifffile(tile=(16, 16))),
    "bigtiff": (".tif", by_tifffile(bigtiff=True)),
    "big-endian strips": (".tif", by_tifffile(byteorder=">", rowsperstrip=4)),
    "edf": (".edf", edf),
    "cbf": (".cbf", cbf),
}
DAMAGE = {
    "empty": lambda data: b"",
    "three bytes": lambda data: data[:3],
    "inside the header": lambda data: data[:100],
    "half": lambda data: data[: len(data) // 2],
    "twenty bytes short": lambda data: data[:-20],
    "text": lambda data: b"hello " * 99,
    "zeros": lambda data: bytes(len(data)),
    "another frame's size": None,
}
SHORTER_BUT_WHOLE = {("cbf", "twenty bytes short")}  # the last words are padding: all pixels are there


@PLACES
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", FORMATS)
def test_no_fault_of_any_format_gives_a_wrong_answer(tmp_path, kind, damage, where):
    ending, write = FORMATS[kind]
    truth = np.stack([ramp(number, SHAPE) for number in range(COUNT)])
    for number, pixels in enumerate(truth):
        write(tmp_path / f"a_{number}{ending}", pixels)
    path = tmp_path / f"a_{where}{ending}"
    change = DAMAGE[damage]
    if change is not None:
        path.write_bytes(change(path.read_bytes()))
    elif kind == "edf":
        path.write_bytes(path.read_bytes().replace(b"Dim_2 = 31", b"Dim_2 = 30"))
    else:
        write(path, truth[where][:-1].copy())
    aged(path)
    rest = [number for number in range(COUNT) if number != where]
    options = {"time": "frame", "logs": None}
    if (kind, damage) in SHORTER_BUT_WHOLE:
        np.testing.assert_array_equal(open_measurement(tmp_path, **options).image, truth)
        return
    with pytest.raises(FrameError, match=path.name) as caught:
        open_measurement(tmp_path, **options).image.load()
    assert "\n" not in str(caught.value)
    with pytest.warns(XinsituWarning, match=rf"{path.name}: .*left out, 1 of {COUNT}"):
        skipped = open_measurement(tmp_path, on_error="skip", **options)
    assert skipped.frame.values.tolist() == rest
    np.testing.assert_array_equal(skipped.image, truth[rest])
    kept = open_measurement(tmp_path, on_error="nan", **options)
    assert kept.frame_status.values[where] != FrameStatus.OK
    assert np.isnan(kept.image[where]).all()
    np.testing.assert_array_equal(kept.image[rest], truth[rest])
    assert "5 seen = 4 good frames + 1 bad + 0 others" in str(survey(tmp_path))


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def overwritten_in_place(path: Path) -> None:
    path.write_bytes(camserver_bytes(ramp(77), stamp_of(2)))


def renamed_over(path: Path) -> None:
    other = path.with_suffix(".part")
    other.write_bytes(camserver_bytes(ramp(77), stamp_of(2)))
    os.replace(other, path)


LATE = {
    "removed": Path.unlink,
    "truncated": lambda path: os.truncate(path, 4200),
    "emptied": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "touched": lambda path: os.utime(path, (1, 1)),
    "overwritten in place": overwritten_in_place,
    "renamed over": renamed_over,
    "replaced by a folder": replaced_by_a_folder,
    "replaced by a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "the folder is gone": lambda path: shutil.rmtree(path.parent),
}


@PLACES
@pytest.mark.parametrize("kind", LATE)
def test_no_fault_that_comes_after_opening_gives_a_wrong_answer(tmp_path, kind, where):
    folder = tmp_path / "0884" / "time1"
    truth = write_frames(folder, COUNT)
    path = folder / f"0884_time_1_{where:05d}.tif"
    opened = {policy: open_measurement(folder, tz="UTC", on_error=policy, chunks={"time": 1}) for policy in POLICIES}
    LATE[kind](path)
    everything = kind == "the folder is gone"
    rest = [] if everything else [number for number in range(COUNT) if number != where]
    for policy in ("raise", "skip"):
        with pytest.raises(FrameError, match="0884_time_1_" if everything else path.name) as caught:
            opened[policy].image.compute()
        assert "\n" not in str(caught.value)
        if kind not in ("replaced by a folder", "replaced by a link to itself"):
            assert isinstance(caught.value, FrameChanged)
        np.testing.assert_array_equal(opened[policy].image[rest], truth[rest])
    with pytest.warns(XinsituWarning, match="frames are NaN because they cannot be read"):
        image = opened["nan"].image.values
    assert np.isnan(image[where]).all()
    np.testing.assert_array_equal(image[rest], truth[rest])
