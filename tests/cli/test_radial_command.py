"""Profiles along q from the command to a file that opens with a plot, can be done again, and says what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xinsitu as xi
from xinsitu.cli import main

pytest.importorskip("pyFAI")
GEOMETRY = xi.DetectorGeometry(0.2, 1e-10, (97, 30), (172e-6, 172e-6), (0.02, 0.0, 0.0))
ZONE = ["--instrument", "spring8-bl11xu"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "waxs.json").write_text(json.dumps(GEOMETRY.to_dict()))
    return tmp_path


@pytest.mark.thorough
def test_a_sector_in_time_by_the_command(experiment, folder, capsys):
    scan_at = str(experiment.folders["time1"])
    words = [scan_at, "--geometry", "waxs.json", "--chi", "-20:20", "--bins", "80", *ZONE]
    assert main(["radial", *words, "-o", "sector.nc", "--figure", "sector.png"]) == 0
    said = capsys.readouterr().out
    assert "of 80 bins hold pixels" in said
    found = xi.read_results("sector.nc")
    correction = xi.Correction(median=3, threshold=5)  # that of every command
    scan = xi.open_measurement(scan_at, instrument="spring8-bl11xu")
    expected = xi.radial_profiles(scan, GEOMETRY, bins=80, chi=(-20, 20), correction=correction).compute()
    np.testing.assert_array_equal(found.intensity, expected.intensity)
    np.testing.assert_array_equal(found.intensity_errors, expected.intensity_errors)
    assert found.intensity_errors.notnull().any()
    assert xi.DetectorGeometry.from_dict(json.loads(found.attrs["geometry"])) == GEOMETRY
    assert (folder / "sector.png").stat().st_size > 5_000
    assert main(["run", "sector.nc"]) == 0
    capsys.readouterr()
    assert main(["info", "sector.nc"]) == 0
    assert "  results   60 frames, intensity, intensity_errors" in capsys.readouterr().out
    xi.write_rois(experiment.rois, "rois.json")
    assert main(["measure", "sector.nc", "--rois", "rois.json"]) == 1
    assert "not frames" in capsys.readouterr().err
    assert main(["radial", *words, "-o", "sector.nc"]) == 1
    assert "sector.nc" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_ring_along_the_azimuth_without_errors_says_why(experiment, folder, capsys):
    scan_at = str(experiment.folders["time1"])
    words = ["--geometry", "waxs.json", "--along", "chi", "--q", "1.0:1.1", "--bins", "20", "--threshold", "0", *ZONE]
    assert main(["radial", scan_at, *words, "-o", "ring.nc"]) == 0
    assert "errors: not known: a median" in capsys.readouterr().out
    assert xi.read_results("ring.nc").intensity.dims == ("time", "chi")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--geometry", "none.poni"], "none.poni"),
        (["--geometry", "waxs.json", "--q", "90:91"], "no pixel"),
        (["--geometry", "waxs.json", "-o", "a.csv"], "a.csv"),
        (["--geometry", "waxs.json", "-o", "waxs.json"], "waxs.json"),
        (["--geometry", "waxs.json", "--bins", "1"], "bins"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(experiment, folder, capsys, words, said):
    assert main(["radial", str(experiment.folders["time1"]), *ZONE, *words]) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(error) == 1
    assert said in error[0]
    assert json.loads((folder / "waxs.json").read_text()) == GEOMETRY.to_dict()
    assert not list(folder.glob("*.nc"))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["radial", "--geometry", "waxs.json"], "q.html"),
        (["radial", "--geometry", "waxs.json"], "q.nc"),
        (["watch", "--rois", "rois.json", "--until-idle", "1"], "w.xyz"),
        (["stitch"], "s"),
    ],
)
def test_a_figure_of_no_kind_is_refused_before_any_work(experiment, folder, capsys, words, name):
    """It is drawn when all else is done: after a night of watching."""
    with pytest.raises(SystemExit):
        main([words[0], str(experiment.folders["time1"]), *words[1:], "-o", "a.nc", "--figure", name])
    assert f"{name}: " in capsys.readouterr().err
    assert not list(folder.glob("*.nc"))


def test_a_map_is_no_page(experiment, capsys):
    with pytest.raises(SystemExit):
        main(["two-time", str(experiment.folders["time1"]), "--rois", "none.json", "-o", "map.html"])
    assert "map.html: this figure ends in .png, .pdf or .svg" in capsys.readouterr().err
