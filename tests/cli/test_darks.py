"""Darks and background images from the command to the result, in recipes, in the page, and out of harm's way."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile

import xinsitu as xi
from xinsitu.app.state.corrections import Corrections
from xinsitu.cli import main
from xinsitu.recipe import Correcting, Measure, Reading
from xinsitu.recipe.made_from import state_of
from xinsitu.recipe.rerun import differences
from xinsitu.simulate import Truth

ZONE = ["--instrument", "spring8-bl11xu"]


@pytest.fixture(scope="module")
def folders(experiment: Truth, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Frames that pass for a dark and for a background: of another measurement, of other numbers."""
    base = tmp_path_factory.mktemp("images")
    for name, first, number in (("dark1", 3, 7), ("empty1", 20, 4)):
        (base / name).mkdir()
        for path in sorted(experiment.folders["time2"].glob("*.tif"))[first : first + number]:
            shutil.copy2(path, base / name)
    shutil.copytree(experiment.folders["time1"], base / "0884" / "time1")
    xi.write_rois(experiment.rois, base / "rois.json")
    return {name: base / name for name in ("dark1", "empty1")} | {"base": base, "time1": base / "0884" / "time1"}


def mean(folder: Path) -> np.ndarray:
    return np.mean([tifffile.imread(path) for path in sorted(folder.glob("*.tif"))], axis=0, dtype="float64")


def test_a_folder_is_averaged_with_its_exposure(folders):
    dark = xi.open_image(folders["dark1"], instrument="spring8-bl11xu")
    np.testing.assert_allclose(dark, mean(folders["dark1"]), rtol=1e-12)
    scan = xi.open_measurement(folders["dark1"], time="frame")
    assert dark.attrs["n_frames"] == 7
    assert dark.attrs["exposure_time"] == float(scan.exposure_time)
    assert dark.attrs["units"] == "counts"


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_measured_recorded_and_done_again(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(folders["base"])
    words = ["measure", "0884/time1", "--rois", "rois.json", *ZONE, "--median", "0", "-o", "s.nc"]
    words += ["--dark", "dark1", "--background-image", "empty1"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "correction: less the dark dark1, less the image empty1" in said.out + said.err
    result = xi.read_results("s.nc")
    raw = np.array([tifffile.imread(path) for path in sorted(Path("0884/time1").glob("*.tif"))], dtype="float64")
    box = np.s_[:, 60:150, 210:270]
    net = (raw - mean(folders["empty1"]))[box].sum(axis=(1, 2))  # exposures are equal: the dark is in the empty frames
    plain = xi.measure(
        xi.open_measurement("0884/time1", instrument="spring8-bl11xu"),
        [xi.Roi("a", y=(60, 150), x=(210, 270))],
        correction=xi.Correction(background_image=xi.open_image("empty1")),
    )
    np.testing.assert_allclose(plain.intensity[:, 0], net, rtol=1e-5, atol=0.1)
    roi = xi.read_rois("rois.json")
    again = xi.measure(
        xi.open_measurement("0884/time1", instrument="spring8-bl11xu"),
        roi,
        correction=xi.Correction(dark=xi.open_image("dark1"), background_image=xi.open_image("empty1")),
    )
    np.testing.assert_array_equal(again.intensity, result.intensity)
    recipe = json.loads(result.attrs["recipe"])
    assert (recipe["correction"]["dark"], recipe["correction"]["background_image"]) == ("dark1", "empty1")
    assert main(["run", "s.nc"]) == 0
    assert differences(result, xi.read_results("s.nc")) == {}
    os.remove("s.nc")


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_in_a_recipe_file(folders, monkeypatch):
    monkeypatch.chdir(folders["base"])
    Path("recipe.toml").write_text(
        'format = "xinsitu-recipe"\nversion = 1\nsample = "0884"\nrois = "rois.json"\n'
        '[reading]\ninstrument = "spring8-bl11xu"\n[correction]\ndark = "dark1"\n[output]\nresult = "r.nc"\n'
    )
    assert main(["run", "recipe.toml"]) == 0
    made = xi.read_results("r.nc")
    scan = xi.open_measurement("0884/time1", instrument="spring8-bl11xu")
    correction = xi.Correction(median=3, threshold=5, dark=xi.open_image("dark1"))
    np.testing.assert_array_equal(
        made.intensity, xi.measure(scan, xi.read_rois("rois.json"), correction=correction).intensity
    )
    assert (np.array(made.intensity_errors)[:, 0] > 0).all()


@pytest.mark.parametrize("option", ["--dark", "--background-image"])
def test_nothing_is_written_among_them(folders, option, capsys, monkeypatch):
    monkeypatch.chdir(folders["base"])
    before = sorted(folders["dark1"].iterdir())
    words = ["measure", "0884/time1", "--rois", "rois.json", *ZONE, option, "dark1", "-o", "dark1/out.nc"]
    assert main(words) == 1
    assert "folder of its own frames" in capsys.readouterr().err
    assert sorted(folders["dark1"].iterdir()) == before


def test_another_dark_makes_a_sample_anew(folders, tmp_path):
    shutil.copytree(folders["dark1"], tmp_path / "dark")
    step = Measure(folders["time1"], xi.read_rois(folders["base"] / "rois.json"), Reading(), Correcting(
        dark=tmp_path / "dark"))  # fmt: skip
    before = state_of(step)
    assert before == state_of(step)
    next((tmp_path / "dark").iterdir()).unlink()
    assert state_of(step) != before


def test_a_folder_that_is_not_there_is_named(folders, capsys, monkeypatch):
    monkeypatch.chdir(folders["base"])
    assert main(["measure", "0884/time1", "--rois", "rois.json", *ZONE, "--dark", "nowhere", "-o", "x.nc"]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert not Path("x.nc").exists()


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_the_page_switches_them_and_its_script_has_them(folders, experiment, tmp_path, monkeypatch):
    from xinsitu.app.data.beside import calibrations
    from xinsitu.app.serve import explore
    from xinsitu.app.state import export

    explorer = explore(folders["time1"], rois=experiment.rois, reading=Reading(instrument="spring8-bl11xu"),
                       browser=False)  # fmt: skip
    try:
        assert calibrations(explorer.source, "dark") == {"dark1": folders["dark1"]}
        model = explorer.model
        now: Corrections = model.view.corrections
        for name, folder in (("dark", "dark1"), ("background_image", "empty1")):
            now = now.calibrated(name, folders[folder], model.source)
        assert now.correction.applied == ("dark", "background_image")
        assert now.switched("dark", False).correction.applied == ("background_image",)
        assert now.switched("dark", False).switched("dark", True) == now
        model.view.correct(now)
        script = export.script(model)
        assert f"dark = xi.open_image({folders['dark1'].resolve().as_posix()!r}" in script
        monkeypatch.chdir(tmp_path)
        names: dict[str, object] = {}
        exec(compile(script, "script", "exec"), names)
        assert names["correction"] == now.correction
        files = export.recipe_files(model)
        assert f'background_image = "{folders["empty1"].resolve().as_posix()}"' in files["recipe.toml"]
    finally:
        explorer.stop()


OWN = "is made of the measurement's own frames"


@pytest.mark.parametrize("name", ["dark", "background_image", "flatfield"])
@pytest.mark.filterwarnings("ignore:.*is taken for a flat field:xinsitu.errors.XinsituWarning")
def test_a_measurement_as_its_own_dark_is_said(folders, name):
    make = xi.open_flatfield if name == "flatfield" else xi.open_image
    images = [make(folders[one], instrument="spring8-bl11xu") for one in ("time1", "dark1")]
    scan = xi.open_measurement(folders["time1"], on_error="nan").isel(time=slice(2, 9), y=slice(60, 150))
    rois = [xi.Roi("a", y=(80, 90), x=(100, 110))]
    with pytest.warns(xi.XinsituWarning, match=OWN):
        xi.measure(scan, rois, correction=xi.Correction(**{name: images[0]}))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", f".*{OWN}")
        xi.measure(scan, rois, correction=xi.Correction(**{name: images[1]}))


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_command_recipe_and_page_say_it_too(folders, experiment, tmp_path, monkeypatch, capsys):
    from xinsitu.app.serve import explore

    monkeypatch.chdir(folders["base"])
    words = ["0884/time1", "--rois", "rois.json", *ZONE, "-o", str(tmp_path / "s.nc"), "--dark", "0884/time1"]
    assert main(["measure", *words]) == 0
    assert OWN in capsys.readouterr().err
    assert main(["measure", "0884", *words[1:-1], "0884/time1"]) == 1
    assert "0884: holds no measurement beside its calibrations" in capsys.readouterr().err
    recipe = 'format = "xinsitu-recipe"\nversion = 1\nsample = "0884"\nrois = "rois.json"\n'
    Path("none.toml").write_text(recipe + '[correction]\ndark = "0884/time1"\n')
    assert main(["run", "none.toml"]) == 1
    assert "holds no measurement that include and exclude let through, beside calib" in capsys.readouterr().err
    recipe += 'measurements = ["time1"]\n'
    recipe += '[output]\nresult = "own.nc"\n[correction]\nbackground_image = "0884/time1"\n'
    Path("own.toml").write_text(recipe)
    assert main(["run", "own.toml"]) == 0
    assert OWN in capsys.readouterr().err
    explorer = explore(folders["time1"], rois=experiment.rois, browser=False)
    try:
        explorer.model.view.calibrate("dark", str(folders["time1"]))
        assert OWN in explorer.model.view.message
    finally:
        explorer.stop()
