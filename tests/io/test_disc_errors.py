"""Errors of the disc, put into system calls from outside: what was asked for, or one sentence that names the file."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import xinsitu as xi
from xinsitu.io.formats import hdf5_links, hdf5_stack

ROIS = [xi.Roi("spot", (8, 22), (10, 30))]
AS_HDF5_SAYS_IT = (
    "Can't synchronously read data (file read failed: time = Mon Nov 30 02:34:02 2026, filename = 'frames.h5', "
    "file descriptor = 3, errno = 5, error message = 'Input/output error', buf = 0x1, total read size = 8, offset = 0)"
)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(3).poisson(9, (20, 24, 33)).astype("int32")


@pytest.fixture(scope="module")
def folder(frames, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("disc") / "0912" / "time1"
    path.mkdir(parents=True)
    for number, frame in enumerate(frames):
        stamp = f"2015:02:03 10:11:{number:02d}"
        tifffile.imwrite(path / f"run_{number:04d}.tif", frame, datetime=stamp)
    return path


@pytest.fixture(scope="module")
def file(frames, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("disc") / "frames.h5"
    with h5py.File(path, "w") as to:
        to["entry/data/data"] = frames
    return path


class TestInHdf5:
    @pytest.fixture
    def failing(self, monkeypatch):
        """Let so many openings of a file to come fail as HDF5 fails where the disc does."""
        plain, left, asked = hdf5_stack.opened, [0], []

        def opened(path):
            asked.append(path)
            if left[0]:
                left[0] -= 1
                raise OSError(errno.EIO, AS_HDF5_SAYS_IT)
            return plain(path)

        def fail(times: int) -> list:
            left[0] = times
            return asked

        monkeypatch.setattr(hdf5_stack, "opened", opened)
        monkeypatch.setattr("xinsitu.io.formats.reading.time.sleep", lambda seconds: None)
        return fail

    def test_what_passes_is_read_again(self, failing, file, frames):
        scan = xi.open_measurement(file, instrument="generic", time="frame")
        asked = failing(2)
        np.testing.assert_array_equal(scan.image.isel(time=slice(0, 3)).values, frames[:3])
        assert len(asked) == 3

    def test_what_stays_is_told_as_the_disc_says_it(self, failing, file):
        scan = xi.open_measurement(file, instrument="generic", time="frame")
        failing(99)
        with pytest.raises(xi.FrameError, match=r"frames\.h5: cannot be read \(Input/output error\)$"):
            scan.image.values  # noqa: B018 - reads

    def test_damage_is_damage(self, file, tmp_path):
        cut = tmp_path / "cut.h5"
        cut.write_bytes(file.read_bytes()[:3000])
        with pytest.raises(xi.XinsituError, match=r"cut\.h5: .*truncated file"):
            xi.open_measurement(cut, instrument="generic", time="frame")

    def test_results_too(self, folder, tmp_path, monkeypatch):
        path = xi.write_results(xi.measure(xi.open_measurement(folder, tz="UTC"), ROIS), tmp_path / "r.nc")

        def fails(path, *mode, **how):
            raise OSError(errno.EIO, AS_HDF5_SAYS_IT)

        monkeypatch.setattr(hdf5_links, "opened", fails)
        hdf5_links._references.cache_clear()
        with pytest.raises(xi.XinsituError, match=r"r\.nc: cannot be read \(Input/output error\)$"):
            xi.read_results(path)


PROGRAM = """
import sys, warnings
import xinsitu as xi
warnings.simplefilter("ignore")
try:
    scan = xi.open_measurement(sys.argv[1], instrument="generic", tz="UTC", time=sys.argv[2], on_error=sys.argv[3])
    sums = xi.measure(scan, [xi.Roi("spot", (8, 22), (10, 30))]).compute().intensity
    print("sums", *sums.values.ravel())
except xi.XinsituError as error:
    print("said", error)
"""


def injected(source: Path, hit: list[Path], when: str, *, time: str = "auto", on_error: str = "raise") -> str:
    """What measuring prints while reads of these files fail, counted in each thread: ``3``, or ``3+`` from then on."""
    only = [word for path in hit for word in ("-P", str(path))]
    inject = ["-e", "trace=read,pread64,preadv", "-e", f"inject=read,pread64,preadv:error=EIO:when={when}"]
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", *only, *inject]
    done = subprocess.run(
        [*strace, sys.executable, "-c", PROGRAM, str(source), time, on_error], capture_output=True, text=True
    )
    assert not done.stderr, done.stderr
    return done.stdout.strip()


def can_inject() -> bool:
    """Whether strace is here, may look at other processes, and lets a read of this file fail."""
    fail = ["-e", "trace=read", "-e", "inject=read:error=EIO:when=1+", "-P", __file__]
    try:
        done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", *fail, "cat", __file__], capture_output=True)
    except OSError:
        return False
    return done.returncode == 1 and not done.stdout and b"nput/output error" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not can_inject(), reason="no strace that lets reads fail")
class TestInSystemCalls:
    @pytest.fixture
    def right(self, frames) -> str:
        return "sums " + " ".join(str(float(frame[8:22, 10:30].sum())) for frame in frames)

    @pytest.mark.parametrize("when", ["1", "2"])
    def test_a_frame_that_fails_once(self, folder, right, when):
        assert injected(folder, [folder / "run_0007.tif"], when) == right

    def test_a_frame_that_fails_always(self, folder, right):
        hit = [folder / "run_0007.tif"]
        assert re.fullmatch(
            r"said \S+/run_0007\.tif: cannot be read \(Input/output error\);.*", injected(folder, hit, "1+")
        )
        words = right.split()
        words[8] = "nan"
        assert injected(folder, hit, "1+", on_error="nan").split() == words

    @pytest.mark.parametrize("when", ["1", "4", "30", "9+", "60+"])
    def test_a_file_of_frames(self, file, right, when):
        got = injected(file, [file], when, time="frame")
        sentence = r"said \S+frames\.h5: cannot be read \(Input/output error\)"
        assert got == right or re.fullmatch(sentence, got), got
