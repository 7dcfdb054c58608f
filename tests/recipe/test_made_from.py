"""Whatever a step reads, another content of it is another state: nothing is taken for done that is not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.recipe import Calibrating, Correcting, Measure, Reading
from xinsitu.recipe.made_from import state_of
from xinsitu.simulate import Truth

ROIS = xi.RoiSet((xi.Roi("A", y=(1, 3), x=(1, 4)),), detector_shape=(4, 5))


def other(path: Path) -> None:
    """Write a file anew: another content, another time."""
    path.write_bytes(path.read_bytes() + b" ")
    os.utime(path, ns=(7, 7))


def with_files(folder: Path) -> tuple[Measure, Path]:
    for name in ("m.npy", "l.dat", "own.log", "here.toml"):
        (folder / name).write_text("1 2 3")
    (folder / "scan").mkdir()
    step = Measure(
        folder / "scan", ROIS, Reading(logs=folder / "own.log", instrument=os.fspath(folder / "here.toml")),
        Correcting(mask=folder / "m.npy"), calibrating=(Calibrating("x", "l", folder / "l.dat"),),
    )  # fmt: skip
    return step, folder


def mask(folder: Path) -> tuple[Measure, Path]:
    return with_files(folder)[0], folder / "m.npy"


def calibration(folder: Path) -> tuple[Measure, Path]:
    return with_files(folder)[0], folder / "l.dat"


def log(folder: Path) -> tuple[Measure, Path]:
    return with_files(folder)[0], folder / "own.log"


def instrument(folder: Path) -> tuple[Measure, Path]:
    return with_files(folder)[0], folder / "here.toml"


def pattern(folder: Path) -> tuple[Measure, Path]:
    for number in range(3):
        (folder / f"a_{number}.tif").write_bytes(bytes([number]) * 50)
    return Measure(folder / "a_*.tif", ROIS), folder / "a_1.tif"


def one_file(folder: Path) -> tuple[Measure, Path]:
    (folder / "pages.tif").write_bytes(b"pages")
    return Measure(folder / "pages.tif", ROIS), folder / "pages.tif"


def linked(folder: Path) -> tuple[Measure, Path]:
    with h5py.File(folder / "data_1.h5", "w") as file:
        file["entry/data/data"] = np.ones((3, 4, 5), "u2")
    with h5py.File(folder / "scan.h5", "w") as file:
        file["entry/data"] = h5py.ExternalLink("data_1.h5", "entry/data/data")
    return Measure(folder / "scan.h5", ROIS), folder / "data_1.h5"


def flat_of_a_pattern(folder: Path) -> tuple[Measure, Path]:
    step, frame = pattern(folder)
    (folder / "scan").mkdir()
    return Measure(folder / "scan", ROIS, correcting=Correcting(flatfield=step.measurement)), frame


def store(folder: Path) -> tuple[Measure, Path]:
    (folder / "f.zarr" / "image" / "c" / "0" / "0").mkdir(parents=True)
    (folder / "f.zarr" / "zarr.json").write_text('{"attributes": {}}')
    (folder / "f.zarr" / "image" / "c" / "0" / "0" / "0").write_bytes(b"chunk")
    return Measure(folder / "f.zarr", ROIS), folder / "f.zarr" / "image" / "c" / "0" / "0" / "0"


@pytest.mark.parametrize(
    "made", [mask, calibration, log, instrument, pattern, one_file, linked, flat_of_a_pattern, store]
)
def test_another_content_is_another_state(tmp_path, made):
    step, file = made(tmp_path)
    before = state_of(step)
    assert state_of(step) == before
    other(file)
    assert state_of(step) != before


@pytest.mark.thorough
@pytest.mark.parametrize("which", ["mask", "flat field"])
def test_measure_does_not_take_for_done_what_was_calibrated_otherwise(experiment: Truth, tmp_path, capsys, which):
    for name in ("time1", "time2"):
        shutil.copytree(experiment.folders[name], tmp_path / "0884" / name)
    shutil.copytree(experiment.folders["flatfield"], tmp_path / "white")
    pixels = np.zeros(experiment.rois.detector_shape, bool)
    np.save(tmp_path / "mask.npy", pixels)
    words = ["measure", str(tmp_path / "0884"), "--rois", str(experiment.files["rois"]), "--tz", "Asia/Tokyo"]
    words += ["--mask", str(tmp_path / "mask.npy"), "--flatfield", str(tmp_path / "white"), "-o", str(tmp_path / "out")]
    assert main(words) == 0
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.count("(done before)") == 2
    if which == "mask":
        pixels[70:100, 220:250] = True
        np.save(tmp_path / "mask.npy", pixels)
    else:
        frames = sorted((tmp_path / "white").glob("*.tif"))
        frames[1].write_bytes(frames[0].read_bytes())
    assert main(words) == 1
    said = capsys.readouterr()
    assert "done before" not in said.out
    assert "was made otherwise or from other frames" in said.err
    assert main([*words, "--force"]) == 0


@pytest.mark.thorough
def test_a_sample_of_patterns_is_not_done_once_its_frames_changed(experiment: Truth, tmp_path, capsys):
    shutil.copytree(experiment.folders["time1"], tmp_path / "0884" / "time1")
    shutil.copyfile(experiment.files["rois"], tmp_path / "rois.json")
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'format = "xinsitu-recipe"\nversion = 1\nsample = "0884"\nmeasurements = ["time1/*.tif"]\nrois = "rois.json"\n'
        '[reading]\ntz = "Asia/Tokyo"\n'
    )
    assert main(["run", str(recipe)]) == 0
    assert main(["run", str(recipe)]) == 0
    assert "done before" in capsys.readouterr().out
    frames = sorted((tmp_path / "0884" / "time1").glob("*.tif"))
    whole = bytearray(frames[3].read_bytes())
    whole[5000:150000] = bytes(145000)
    frames[3].write_bytes(whole)
    before = xi.read_results(tmp_path / "0884.nc").intensity[3].values
    assert main(["run", str(recipe)]) == 0
    assert "done before" not in capsys.readouterr().out
    assert not np.array_equal(xi.read_results(tmp_path / "0884.nc").intensity[3].values, before)
