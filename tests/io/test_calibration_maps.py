"""Calibrations from files: what they hold, which way round, and what the command makes of them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.recipe.recipe_file import read_recipe

SHAPE = (195, 487)


def l_map():
    """Falls along x and is tilted, so that a transposition or a turn shows."""
    y, x = np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])
    return 1.8 - 0.0005 * x + 1e-5 * y


def write(folder, kind):
    path = folder / f"0884L{kind}"
    if kind == ".npy":
        np.save(path, l_map())
    elif kind == ".tif":
        tifffile.imwrite(path, l_map().astype("float32"))
    elif kind == ".h5":
        with h5py.File(path, "w") as file:
            file["entry/l"] = l_map()
            file["entry/title"] = "a calibration"
    else:
        np.savetxt(path, l_map(), fmt="%.12g", delimiter="," if kind == ".csv" else " ", header="l of 0884")
    return path


@pytest.mark.parametrize("kind", [".dat", ".csv", ".npy", ".tif", ".h5"])
def test_maps_of_all_kinds_are_read_as_they_stand(kind, tmp_path):
    found = xi.read_calibration(write(tmp_path, kind), SHAPE)
    np.testing.assert_allclose(found, l_map(), rtol=1e-7 if kind == ".tif" else 1e-11)
    assert found.dims == ("y", "x")
    assert found.dtype == np.float64
    assert found.attrs["source"] == f"0884L{kind}"
    assert found.x.values.tolist() == list(range(487))


def test_a_map_with_the_columns_first_is_said_and_turned_on_request(tmp_path):
    np.savetxt(tmp_path / "0884L.dat", l_map().T)
    with pytest.raises(xi.FrameError, match=r"0884L.dat: the map has 487 rows and 195 columns.*give transpose=True"):
        xi.read_calibration(tmp_path / "0884L.dat", SHAPE)
    np.testing.assert_allclose(xi.read_calibration(tmp_path / "0884L.dat", SHAPE, transpose=True), l_map())


def test_vectors_know_their_axis_by_their_length(tmp_path):
    np.savetxt(tmp_path / "l.txt", np.linspace(1, 2, 487))
    np.savetxt(tmp_path / "k.txt", np.linspace(1, 2, 195)[None])
    image = xr.DataArray(np.zeros((2, *SHAPE), "int32"), dims=("time", "y", "x"))
    assert xi.read_calibration(tmp_path / "l.txt", image).dims == ("x",)
    assert xi.read_calibration(tmp_path / "k.txt", image.to_dataset(name="image")).dims == ("y",)
    assert xi.read_calibration(tmp_path / "k.txt", image.isel(x=slice(90, 120))).dims == ("y",)
    for detector in (None, (100, 100), (487, 487)):
        with pytest.raises(xi.FrameError, match="its length must be that of one axis"):
            xi.read_calibration(tmp_path / "l.txt", detector)


def test_files_that_are_no_calibration_are_refused(tmp_path):
    (tmp_path / "words.dat").write_text("h k l\n1 2 3\n")
    (tmp_path / "ragged.dat").write_text("1 2 3\n1 2\n")
    (tmp_path / "empty.dat").write_text("# nothing\n")
    np.save(tmp_path / "holes.npy", np.where(l_map() > 1.7, np.nan, l_map()))
    np.save(tmp_path / "small.npy", np.ones((10, 20)))
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["h"], file["l"] = l_map(), l_map()
    for name, said in (
        ("words.dat", "cannot be read"),
        ("ragged.dat", "cannot be read"),
        ("empty.dat", "vector or a map"),
        ("holes.npy", "not finite"),
        ("small.npy", "10 rows and 20 columns, the detector 195 and 487$"),
        ("two.h5", "give one with dataset=: h, l"),
        ("none.dat", "cannot be read"),
    ):
        with pytest.raises(xi.FrameError, match=said) as caught:
            xi.read_calibration(tmp_path / name, SHAPE)
        assert name in str(caught.value)
    assert xi.read_calibration(tmp_path / "two.h5", SHAPE, dataset="l").shape == SHAPE
    with pytest.raises(xi.FrameError, match="no map at m"):
        xi.read_calibration(tmp_path / "two.h5", SHAPE, dataset="m")


@pytest.mark.thorough
def test_the_command_calibrates_and_its_recipe_does_it_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    truth = xi.simulate_sample("beamtime", measurements=1, frames=20)
    xi.write_rois(truth.rois, "rois.json")
    np.savetxt("0884L.dat", l_map().T)
    np.savetxt("0884K.dat", np.broadcast_to(0.9 + 0.001 * np.arange(195)[:, None], SHAPE))
    words = ["measure", "beamtime/0884/time1", "--rois", "rois.json", "--median", "0", "--tz", "Asia/Tokyo"]
    words.append("--profiles")
    assert main([*words, "--calibration", "x:l=0884L.dat,6.0583", "-o", "a.nc"]) == 1
    assert "columns of the detector first" in capsys.readouterr().err
    np.savetxt("0884L.dat", l_map())
    calibration = ["--calibration", "x:l=0884L.dat,6.0583", "--calibration", "y:k=0884K.dat"]
    assert main([*words, *calibration, "-o", "a.nc"]) == 0
    found = xi.read_results("a.nc").sel(roi="WZ")
    middle = float(np.mean([1e-5 * y for y in range(*truth.rois["WZ"].y)]))
    expected = 2 * np.pi / 6.0583 * (1.8 - 0.0005 * found.com_x + middle)
    np.testing.assert_allclose(found.com_l, expected, rtol=1e-9)
    np.testing.assert_allclose(found.com_k, 0.9 + 0.001 * found.com_y, rtol=1e-9)
    np.testing.assert_allclose(found.fwhm_l, 2 * np.pi / 6.0583 * 0.0005 * found.fwhm_x, rtol=1e-9)
    assert found.com_l.attrs["units"] == "1/angstrom"
    assert found.profile_x.dims == ("time", "x")
    assert main(["run", "a.nc"]) == 0
    assert "same" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--calibration", "l=0884L.dat", "-o", "b.nc"])
    assert "AXIS:NAME=FILE" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_recipe_file_calibrates_all_measurements_of_a_sample(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = xi.simulate_sample("beamtime", measurements=2, frames=20)
    xi.write_rois(truth.rois, "rois.json")
    np.savetxt("0884L.dat", l_map().T)
    recipe = """
format = "xinsitu-recipe"
version = 1
sample = "beamtime/0884"
include = "time*"
rois = "rois.json"
[reading]
tz = "Asia/Tokyo"
[[calibration]]
axis = "x"
name = "l"
file = "0884L.dat"
lattice_constant = 6.0583
transpose = true
"""
    (tmp_path / "recipe.toml").write_text(recipe)
    assert main(["run", "recipe.toml"]) == 0
    sample = xi.read_results("0884.nc")
    assert sample.com_l.dims == ("time", "roi")
    assert sample.com_l.sel(roi="WZ").notnull().all()
    assert sample.l_spread.dims == ("roi",)
    (tmp_path / "recipe.toml").write_text(recipe.replace('name = "l"\n', ""))
    with pytest.raises(xi.DocumentError, match="lacks name"):
        read_recipe(tmp_path / "recipe.toml")
