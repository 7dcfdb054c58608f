"""HDF5 files that hang or end the library, declare what they do not hold, or go in circles: one sentence, at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

import xinsitu as xi
from xinsitu.errors import FrameError, LayoutError, RoiError, SchemaError, XinsituError
from xinsitu.io.formats import hdf5_look
from xinsitu.io.formats.hdf5_look import what_breaks
from xinsitu.io.instruments import load_instrument
from xinsitu.io.log_files import read_log
from xinsitu.io.measurement import open_measurement
from xinsitu.io.results import read_results


def sound(path):
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.arange(24, dtype="i4").reshape(2, 3, 4)
    return path


def test_sound_files_pass_and_one_process_looks_at_all(tmp_path):
    paths = [sound(tmp_path / f"{name}.h5") for name in ("a", "ü b", "line\nbreak")]
    assert [what_breaks(path) for path in paths] == ["", "", ""]
    first = hdf5_look._looker._process
    assert [what_breaks(path) for path in paths] == ["", "", ""]
    assert hdf5_look._looker._process is first
    (tmp_path / "text.h5").write_text("no HDF5")
    assert what_breaks(tmp_path / "text.h5") == ""  # an error that can be caught is not its business


@pytest.mark.thorough
def test_a_library_that_hangs_or_dies_is_said_in_time_and_the_next_file_is_read(tmp_path, monkeypatch):
    path = sound(tmp_path / "bad.h5")
    monkeypatch.setattr(hdf5_look, "TIME_LIMIT", 0.5)
    deeds = {"while True: pass": "does not come to an end", "__import__('os').kill(0, 9)": "breaks down"}
    for deed, said in deeds.items():
        looker = hdf5_look._Looker()
        code = hdf5_look._LOOK.replace("look(json", f"if 'bad' in line:\n            {deed}\n        look(json")
        monkeypatch.setattr(hdf5_look, "_LOOK", code)
        monkeypatch.setattr(hdf5_look, "_looker", looker)
        begun = time.monotonic()
        with pytest.raises(FrameError, match=rf"bad\.h5: damaged: the HDF5 library {said}"):
            open_measurement(path, time="frame")
        with pytest.raises(SchemaError, match=rf"bad\.h5: damaged: the HDF5 library {said}"):
            read_results(path)
        assert time.monotonic() - begun < 20
        assert what_breaks(sound(tmp_path / "good.h5")) == ""
        looker.stop()
        monkeypatch.undo()
        monkeypatch.setattr(hdf5_look, "TIME_LIMIT", 0.5)


@pytest.mark.slow
def test_a_file_that_takes_long_and_goes_on_is_sound(tmp_path, monkeypatch):
    """Thousands of scans on a slow disc: what counts is how long nothing is found, and there is an end to all."""
    path = tmp_path / "long.h5"
    with h5py.File(path, "w") as file:
        for number in range(40):
            file[f"{number}.1/measurement/eiger"] = np.ones((2, 3), "u2")
    slow = hdf5_look._LOOK.replace("seen.add(address)", "seen.add(address); time.sleep(0.1)")
    assert slow != hdf5_look._LOOK
    hdf5_look._looker.stop()
    monkeypatch.setattr(hdf5_look, "_LOOK", slow)
    try:
        monkeypatch.setattr(hdf5_look, "TIME_LIMIT", 6.0)
        begin = time.monotonic()
        assert what_breaks(path) == ""
        assert time.monotonic() - begin > 8
        monkeypatch.setattr(hdf5_look, "PATIENCE", 2.0)
        assert what_breaks(path) == "what it holds cannot be listed within 2 s: too much, or on too slow a disc"
        with pytest.raises(FrameError, match=r"long\.h5: .*cannot be listed within 2 s"):
            open_measurement(path, time="frame")
    finally:
        hdf5_look._looker.stop()


def test_no_module_of_the_working_directory_is_run(tmp_path):
    """A folder of somebody's data may hold a file that is called as a module."""
    for name in ("h5py", "json", "signal"):
        (tmp_path / f"{name}.py").write_text("open('taken', 'w')\n")
    sound(tmp_path / "a.h5")
    code = "from xinsitu.io.formats.hdf5_look import what_breaks; print(repr(what_breaks('a.h5')))"
    run = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == "''\n"
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize("length", [1, 2, 5])
def test_virtual_datasets_in_a_circle_are_refused(tmp_path, length):
    names = [f"part{number}.h5" for number in range(length)]
    for number, name in enumerate(names):
        target = "." if length == 1 else names[(number + 1) % length]
        layout = h5py.VirtualLayout((3, 4, 5), "u2")
        layout[:] = h5py.VirtualSource(target, "entry/data/data", (3, 4, 5))
        with h5py.File(tmp_path / name, "w") as file:
            file.create_virtual_dataset("entry/data/data", layout)
    begun = time.monotonic()
    with pytest.raises(FrameError, match=r"part0\.h5: .*circle"):
        open_measurement(tmp_path / "part0.h5", time="frame")
    assert time.monotonic() - begun < 10


def test_a_chain_of_virtual_datasets_is_followed_to_its_depth(tmp_path):
    def chain(depth):
        for number in range(depth, -1, -1):
            with h5py.File(tmp_path / f"c{number}.h5", "w") as file:
                if number == depth:
                    file["entry/data/data"] = np.full((3, 4, 5), 7, "u2")
                    continue
                layout = h5py.VirtualLayout((3, 4, 5), "u2")
                layout[:] = h5py.VirtualSource(f"c{number + 1}.h5", "entry/data/data", (3, 4, 5))
                file.create_virtual_dataset("entry/data/data", layout)
        return open_measurement(tmp_path / "c0.h5", time="frame")

    np.testing.assert_array_equal(chain(2).image, 7)
    with pytest.raises(FrameError, match="deep"):
        chain(40)


@pytest.mark.thorough
def test_work_is_bounded_by_what_is_there_and_not_by_what_is_claimed(tmp_path):
    with h5py.File(tmp_path / "claims.h5", "w") as file:
        file.create_dataset("entry/data/data", (70_000_000, 8, 9), "i4", chunks=(1, 8, 9))
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        groups = [file.create_group(f"g{number}") for number in range(60)]
        for one in groups:
            for number, other in enumerate(groups):
                one[f"to{number}"] = other  # hard links: 60 to the power of 16 ways through them
    begun = time.monotonic()
    with pytest.raises(LayoutError, match=r"claims\.h5: declares 70000000 frames"):
        open_measurement(tmp_path / "claims.h5", time="frame")
    with pytest.raises(XinsituError, match=r"groups\.h5"):
        open_measurement(tmp_path / "groups.h5", time="frame")
    many = [xi.Roi(f"r{number}", y=(1, 4), x=(1, 4)) for number in range(10_001)]
    with pytest.raises(RoiError, match="10001 ROIs"):
        xi.RoiSet(many)
    assert len(xi.RoiSet(many[:-1])) == 10_000
    assert time.monotonic() - begun < 20


def pipe(path):
    os.mkfifo(path)


def made_up(path):
    """Link to a file that says to be an ordinary one, and blocks whoever reads it."""
    if not os.path.exists("/proc/kmsg"):
        pytest.skip("the kernel has no messages here")
    os.symlink("/proc/kmsg", path)


@pytest.mark.parametrize("make", [pipe, made_up])
@pytest.mark.parametrize(
    "name", ["x_0001.tif", "log.dat", "r.json", "m.npy", "m.msk", "c.txt", "i.toml", "h.h5", "n.nc"]
)
def test_a_pipe_or_a_file_of_the_kernel_in_place_of_a_file_is_refused_at_once(tmp_path, name, make):
    path = tmp_path / name
    make(path)
    readers = {
        "x_0001.tif": lambda: open_measurement(tmp_path, time="frame"), "log.dat": lambda: read_log(path),
        "r.json": lambda: xi.read_rois(path), "m.npy": lambda: xi.read_mask(path), "m.msk": lambda: xi.read_mask(path),
        "c.txt": lambda: xi.read_calibration(path, axis="x"), "i.toml": lambda: load_instrument(path),
        "h.h5": lambda: open_measurement(tmp_path, time="frame"), "n.nc": lambda: read_results(path),
    }  # fmt: skip

    begun = time.monotonic()
    with pytest.raises((XinsituError, OSError), match="no ordinary file") as caught:
        readers[name]()
    assert name in str(caught.value)
    assert time.monotonic() - begun < 5


def test_a_frame_that_became_a_pipe_does_not_hang(tmp_path):
    import tifffile

    for number in range(2):
        tifffile.imwrite(tmp_path / f"x_{number}.tif", np.ones((5, 6), "u2"), metadata=None)
    scan = open_measurement(tmp_path, time="frame")
    (tmp_path / "x_1.tif").unlink()
    os.mkfifo(tmp_path / "x_1.tif")
    with pytest.raises(FrameError, match=r"x_1\.tif"):
        scan.image.values  # noqa: B018 - reads
