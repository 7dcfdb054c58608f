"""Folders that detectors write into in five ways, opened again and again meanwhile: never a pixel that was not written.

A slow writer, one that renames, one that reserves a file and fills it, one that writes frames anew in place, and one
that appends to an HDF5 file.
"""

from __future__ import annotations

import os
import threading
import time

import h5py
import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.camserver import camserver_bytes, ramp, stamp_of
from xinsitu.errors import XinsituError

pytestmark = pytest.mark.thorough

SHAPE = (150, 200)
FRAMES = 40
ROIS = [xi.Roi("A", y=(20, 140), x=(10, 190))]


def content(number, version=0):
    return camserver_bytes(pixels(number, version), stamp_of(number))


def pixels(number, version=0):
    return ramp(number, SHAPE) + 500_000 * version + 1  # no pixel is zero


def slow(path, number):
    with open(path, "wb", buffering=0) as file:
        for part in np.array_split(np.frombuffer(content(number), "u1"), 5):
            file.write(part.tobytes())
            time.sleep(0.004)


def renaming(path, number):
    part = path.with_suffix(".tmp")
    slow(part, number)
    part.rename(path)


def reserving(path, number):
    whole = content(number)
    with open(path, "wb", buffering=0) as file:
        file.truncate(len(whole))
        time.sleep(0.004)
        for begin in range(0, len(whole), len(whole) // 4 + 1):
            file.write(whole[begin : begin + len(whole) // 4 + 1])
            time.sleep(0.004)


def rewriting(path, number):
    """As where a series is measured once more: another frame first, cut and written over in place."""
    if not path.exists():
        path.write_bytes(content(number, version=1))
        time.sleep(0.01)
    slow(path, number)


WRITERS = [slow, renaming, reserving, rewriting]


def write_all(folder, writer, ended):
    try:
        for number in range(FRAMES):
            writer(folder / f"run_{number:04d}.tif", number)
            time.sleep(0.01)
    finally:
        ended.set()


def right(number, found, versions):
    return any(np.array_equal(found, pixels(number, version)) for version in versions)


@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@pytest.mark.parametrize("policy", ["skip", "nan"])
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_what_is_read_while_others_write_was_written(tmp_path, writer, policy):
    ended, seen, looks = threading.Event(), 0, 0
    versions = (0, 1) if writer is rewriting else (0,)
    threading.Thread(target=write_all, args=(tmp_path, writer, ended)).start()
    while True:
        last = ended.is_set()
        said = ""
        try:
            scan = xi.open_measurement(tmp_path, tz="UTC", on_error=policy, order_error="ignore")
            image, status = scan.image.values, scan.frame_status.values
        except XinsituError as error:
            said = str(error)
        if said:
            assert str(tmp_path) in said  # nothing there yet, or changed while it was read
            assert not last, said
            continue
        for number, frame, flag in zip(scan.frame.values, image, status, strict=True):
            if flag == 0 and not np.isnan(frame).any():
                assert right(int(number), frame, versions), (number, frame[:, 0])
                seen += 1
        looks += 1
        if last:
            break
    assert looks > 2
    assert seen > FRAMES
    whole = xi.open_measurement(tmp_path, tz="UTC")
    np.testing.assert_array_equal(whole.image, [pixels(number) for number in range(FRAMES)])


@pytest.mark.parametrize("part", [0.04, 0.3, 0.75])
def test_the_only_frame_there_is_waits_for_its_end(tmp_path, part):
    whole, path = content(0), tmp_path / "run_0000.tif"
    with open(path, "wb", buffering=0) as file:
        file.truncate(len(whole))
        file.write(whole[: int(part * len(whole))])
    if os.stat(path).st_blocks * 512 >= len(whole):
        pytest.skip("this disc has no holes")
    for policy in ("raise", "skip", "nan"):
        with pytest.raises(XinsituError, match=r"run_0000\.tif: still being written"):
            xi.open_measurement(tmp_path, tz="UTC", on_error=policy)
    path.write_bytes(whole)
    np.testing.assert_array_equal(xi.open_measurement(tmp_path, tz="UTC").image, [pixels(0)])


@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_numbers_that_are_watched_are_those_of_the_end(tmp_path, writer):
    """Frames that were measured before they were written anew are measured once more."""
    folder, ended = tmp_path / "run", threading.Event()
    folder.mkdir()
    threading.Thread(target=write_all, args=(folder, writer, ended)).start()
    watched = xi.watch(folder, ROIS, until_idle=1.5, tz="UTC", order_error="ignore")
    expected = [pixels(number)[20:140, 10:190].sum(dtype="i8") for number in range(FRAMES)]
    assert watched.frame.values.tolist() == list(range(FRAMES))
    assert watched.intensity.values.ravel().tolist() == expected


@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_an_hdf5_file_that_grows(tmp_path):
    path, ended = tmp_path / "run_1.h5", threading.Event()

    def append():
        try:
            with h5py.File(path, "w", libver="latest") as file:
                stack = file.create_dataset(
                    "entry/data/data", (0, *SHAPE), "i4", maxshape=(None, *SHAPE), chunks=(1, *SHAPE)
                )
                for number in range(FRAMES):
                    stack.resize(number + 1, axis=0)
                    stack[number] = pixels(number)
                    file.flush()
                    time.sleep(0.02)
        finally:
            ended.set()

    threading.Thread(target=append).start()
    seen = 0
    while True:
        last = ended.is_set()
        said = ""
        try:
            image = xi.open_measurement(path, time="frame").image.values
        except XinsituError as error:
            said = str(error)
        if said:
            assert "run_1.h5" in said
            assert not last, said
            continue
        for number, frame in enumerate(image):
            np.testing.assert_array_equal(frame, pixels(number))
        seen += len(image)
        if last:
            break
    assert seen >= FRAMES
    assert len(image) == FRAMES
