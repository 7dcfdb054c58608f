"""Reflectivity scans of Diamond I07 by the command line alone, nobody naming an instrument; what is said is true."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

import xinsitu as xi
from xinsitu.cli import main

pytestmark = pytest.mark.thorough

SCANS = {"380404": 61, "380405": 15, "380406": 14}
RECIPE = """
format = "xinsitu-recipe"
version = 1
sample = "{sample}"
{which}
rois = "{rois}"
[output]
result = "{name}.nc"
table = "{name}.csv"
figures = ["{name}.png"]
"""


@pytest.fixture
def scans(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # the box that the beamline used
    xi.write_rois([xi.Roi("spot", y=(56, 77), x=(236, 254))], tmp_path / "rois.json")
    return shared_data / "i07" / "refl"


def beamline_sums(folder: Path) -> dict[str, float]:
    with (folder.parent / "roi1_by_the_beamline.csv").open() as file:
        return {row["file"]: float(row["gda_sum"]) for row in csv.DictReader(file)}


def recipe(scans: Path, name: str, which: str) -> str:
    path = Path.cwd() / f"{name}.toml"
    path.write_text(RECIPE.format(sample=scans, which=which, rois=Path.cwd() / "rois.json", name=name))
    return str(path)


def test_every_scan_is_described_and_parsed(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(scans)]) == 0
    said = capsys.readouterr().out
    assert said.count("diamond-i07 (recognised by S/N 1-0103)") == len(SCANS)
    for name, frames in SCANS.items():
        assert main(["parse", str(scans / name)]) == 0
        said = capsys.readouterr().out
        assert "instrument: diamond-i07 (recognised by S/N 1-0103)" in said
        assert "UTC, from tiff:306, zone Europe/London (instrument)" in said
        assert "bl11xu" not in said.lower()
        with h5py.File(f"refl_{name}_frames.nc") as file:
            assert file["image"].shape == (frames, 195, 487)
            assert np.isfinite(file["image"][:]).all()


def test_the_measured_sums_are_the_beamlines(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", str(scans), "--rois", "rois.json", "--median", "0", "-o", "results/"]) == 0
    assert "move within the measurement" in capsys.readouterr().err
    theirs = beamline_sums(scans)
    for name in SCANS:
        series = xi.read_results(f"results/refl_{name}.nc")
        names = [f"p100kImage_{name}_{number}.tif" for number in series.frame.values]
        assert series.intensity.values[:, 0].tolist() == [theirs[one] for one in names]


def test_a_run_joins_them_by_what_they_share(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The attenuator changed between the scans by 59 and 35, as points of the same angle say."""
    path = recipe(scans, "joined", 'overlap = "qdcd"')
    assert main(["run", path]) == 0
    sample = xi.read_results("joined.nc")
    factors = sorted(set(sample.attenuation_factor.values[np.isfinite(sample.attenuation_factor.values)]), reverse=True)
    assert 1 / factors[1] == pytest.approx(59.0, abs=1.0)
    assert factors[1] / factors[2] == pytest.approx(35.0, abs=1.0)
    assert {one.name for one in Path.cwd().iterdir()} >= {"joined.nc", "joined.csv", "joined.png"}
    capsys.readouterr()
    assert main(["run", "joined.nc"]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
    assert main(["run", path]) == 0
    assert "done before" in capsys.readouterr().out


def test_neighbours_in_time_are_no_evidence_while_motors_are_scanned(
    scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", recipe(scans, "found", "find = true")]) == 0
    assert "motors move in 87 of 90 frames" in capsys.readouterr().err


def test_a_folder_of_recipes_and_what_it_gives_can_be_joined(
    scans: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "recipes").mkdir()
    for name in SCANS:
        one = Path(recipe(scans, name, f'measurements = ["{name}"]'))
        one.rename(tmp_path / "recipes" / one.name)
    assert main(["run", "recipes"]) == 0
    with Path("recipes/summary.csv").open() as file:
        assert [(row["measurement"], int(row["frames"])) for row in csv.DictReader(file)] == list(SCANS.items())
    capsys.readouterr()
    assert main(["stitch", *(f"recipes/{name}.nc" for name in SCANS), "--overlap", "qdcd", "-o", "again.nc"]) == 0
    assert "make no sense" not in capsys.readouterr().err
    assert xi.read_results("again.nc").sizes["time"] == 90
