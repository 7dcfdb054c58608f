"""Peaks from the command to a file that can be done again, and what makes no sense."""

from __future__ import annotations

import numpy as np
import pytest

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.plots.curves import drawing

ZONE = ["--instrument", "spring8-bl11xu"]


@pytest.fixture
def folder(experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    xi.write_rois(experiment.rois, "rois.json")
    return str(experiment.folders["time1"])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "how", "first"),
    [
        ([], {}, {}),
        (
            ["--shape", "lorentzian", "--peaks", "2", "--shared-width"],
            {"shape": "lorentzian", "peaks": 2, "shared_width": True},
            {"peak": 0},
        ),
        (["--peaks", "2", "--follow"], {"peaks": 2, "follow": True}, {"ridge": 0}),
    ],
)
def test_peaks_are_those_of_the_function_and_come_again(experiment, folder, capsys, words, how, first):
    assert main(["fit", folder, "--rois", "rois.json", "-o", "fits.nc", *ZONE, *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    correction = xi.Correction(median=3, threshold=5)  # that of every command
    scan = xi.open_measurement(folder, instrument="spring8-bl11xu")
    expected = xi.fit_rois(scan, experiment.rois, correction=correction, **how).compute()
    found = xi.read_results("fits.nc")
    assert set(found.data_vars) == set(expected.data_vars)
    for name in expected.data_vars:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=str(name))
    one = expected.isel(first).sel(roi="WZ")
    told = next(line for line in lines if line.startswith("WZ "))
    y, x = (one[f"centre_{axis}"].dropna("time") for axis in "yx")
    assert told.split()[:3] == ["WZ", "1", str(y.size)]
    assert f"{float(y.median()):.2f}" in told
    assert f"{float(x.median()):.2f}" in told
    assert main(["run", "fits.nc"]) == 0
    assert "same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rois", "none.json"], "none.json"),
        (["--rois", "rois.json", "-o", "a.csv"], "a.csv"),
        (["--rois", "rois.json", "-o", "rois.json"], "rois.json"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(folder, capsys, words, said):
    assert main(["fit", folder, *ZONE, *words]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert said in errors[0]


def test_shapes_and_numbers_of_peaks_that_there_are_not(folder, capsys):
    for words in (["--shape", "square"], ["--peaks", "5"]):
        with pytest.raises(SystemExit):
            main(["fit", folder, "--rois", "rois.json", *words])
        assert "invalid choice" in capsys.readouterr().err


@pytest.mark.thorough
def test_fits_beside_series_are_not_joined_with_them(folder, tmp_path, capsys):
    (tmp_path / "res").mkdir()
    assert main(["fit", folder, "--rois", "rois.json", "-o", "res/0884_time1_fits.nc", *ZONE]) == 0
    assert main(["measure", folder, "--rois", "rois.json", "-o", "res/", *ZONE]) == 0
    assert main(["stitch", "res/", "-o", "sample.nc"]) == 0
    assert "intensity" in xi.read_results("sample.nc")
    capsys.readouterr()


@pytest.mark.thorough
@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_fits_of_several_peaks_are_drawn_and_told_for_what_they_are(folder, tmp_path, capsys, follow):
    assert main(["fit", folder, "--rois", "rois.json", "-o", "fits.nc", *ZONE, "--peaks", "2", *follow]) == 0
    assert main(["plot", "fits.nc"]) == 0
    assert (tmp_path / "fits.png").stat().st_size > 10_000
    found = xi.read_results("fits.nc")
    (dim,) = {"peak", "ridge"} & set(found.dims)
    shown = drawing(found, quantity="centre_x")
    (panel,) = shown.panels
    assert panel.quantity == "centre of the fitted peak along x"
    every = {f"{roi} {peak + 1}": found.centre_x.sel(roi=roi, **{dim: peak}).values
             for roi in found.roi.values for peak in found[dim].values}  # fmt: skip
    assert {curve.roi for curve in panel.curves} == {name for name, one in every.items() if np.isfinite(one).any()}
    for curve in panel.curves:
        np.testing.assert_array_equal(curve.y[np.isfinite(curve.y)], every[curve.roi][np.isfinite(every[curve.roi])])
    assert {curve.roi.split()[0] for curve in drawing(found, roi="CTR").panels[0].curves} == {"CTR"}
    capsys.readouterr()
    assert main(["info", "fits.nc"]) == 0
    assert "fits      60 frames" in capsys.readouterr().out
    for words, said in (
        (["compare", "fits.nc"], "several peaks"),
        (["measure", "fits.nc", "--rois", "rois.json"], "not frames"),
        (["fit", "fits.nc", "--rois", "rois.json"], "not frames"),
    ):
        assert main(words) == 1
        (error,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
        assert said in error
        assert "fault of xinsitu" not in error
