"""The whole job as somebody does it who has read the first screen of the docs, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, Tab, needs_chromium
from xinsitu.app.serve import explore
from xinsitu.cli import main
from xinsitu.recipe import Correcting
from xinsitu.recipe.rerun import differences
from xinsitu.schema import Quality
from xinsitu.simulate import Experiment, Truth, simulate_sample
from xinsitu.simulate.parts import Dump

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "explore.md").read_text(encoding="utf-8")
FIRST_SCREEN = PAGE.split("## ")[0]
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", FIRST_SCREEN, flags=re.DOTALL)


@pytest.fixture
def typed() -> Iterator[object]:
    """Type a command into a shell; returns the first line that it prints."""
    started: list[subprocess.Popen[str]] = []

    def run(line: str, folder: Path) -> str:
        words = line.split()
        assert words[0] == "xinsitu"
        environment = os.environ | {"BROWSER": "true"}  # the test has a browser of its own
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", *words], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
            )
        )
        return started[-1].stdout.readline().strip()

    yield run
    for process in started:
        process.terminate()
        process.wait(20)


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@needs_chromium
def test_the_first_screen_is_enough(tmp_path: Path, typed, chromium, monkeypatch, capsys):
    simulate_sample(tmp_path, measurements=1, frames=200)
    begin = time.monotonic()
    (command,), (code,) = blocks("shell"), blocks("python")
    context = chromium.new_context(viewport={"width": 1500, "height": 1000}, accept_downloads=True)
    tab = Tab(context.new_page(), typed(command, tmp_path))
    edges = {edge: tab.get("roi:spot", edge) for edge in ("left", "right")}
    tab.drag_roi("spot", (20, 10))
    assert tab.get("roi:spot", "left") > edges["left"] + 4
    tab.drag_roi("spot", (15, 8), grip="corner")
    assert tab.get("roi:spot", "right") - tab.get("roi:spot", "left") > edges["right"] - edges["left"] + 2
    tab.all_read()
    for label in ("netCDF", "ROIs", "recipe"):
        tab.save(label, tmp_path)
    box = {edge: tab.get("roi:spot", edge) + 0.5 for edge in ("top", "bottom", "left", "right")}
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    seconds = time.monotonic() - begin
    with capsys.disabled():
        print(f"\nthe whole job took {seconds:.0f} s")  # under a minute where the machine does nothing else
    moved = xi.read_rois("rois.json")["spot"]
    assert (*moved.y, *moved.x) == (box["top"], box["bottom"], box["left"], box["right"])
    table, saved = names["table"], xi.read_results("0884_time1.nc")
    assert isinstance(table, pd.DataFrame)
    assert len(table) == 200 * saved.sizes["roi"]
    scan = xi.open_measurement("0884/time1", instrument="spring8-bl11xu")
    flat = xi.open_flatfield("flatfield1", instrument="spring8-bl11xu")
    correction = xi.Correction(median=3, threshold=5, flatfield=flat)  # what explore does unless told otherwise
    expected = xi.measure(scan, xi.read_rois("rois.json"), correction=correction).compute()
    np.testing.assert_array_equal(saved["com_x"].values, expected["com_x"].values)
    assert tab.errors == []
    with zipfile.ZipFile("0884_time1_recipe.zip") as archive:
        archive.extractall()
    assert main(["run", "recipe.toml", "--force"]) == 0
    again = differences(saved, xi.read_results("0884_time1.nc"))
    assert {name for name in again if name in saved.variables} <= {"measurement"}


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Two measurements, an interrupted scan, two changes of the filter, and a beam dump that is none."""
    usual = Experiment.make(measurements=2, frames=80, counts=1e7)
    eventful = replace(usual, dumps=(Dump("time1", 40, 5),))
    return simulate_sample(tmp_path_factory.mktemp("unseen"), seed=7, experiment=eventful)


def right(sample, truth: Truth) -> None:
    """Hold that a joined sample is what was simulated."""
    factors = [change.factor for change in xi.attenuation_changes(sample)]
    np.testing.assert_allclose(factors, [change.factor for change in truth.changes], rtol=0.01)
    dumped = (sample["quality"].sel(roi="WZ").values & Quality.NO_BEAM) > 0
    assert np.flatnonzero(dumped).tolist() == list(range(40, 45))
    good = ~dumped & np.isfinite(sample["intensity"].sel(roi="WZ").values)
    assert good.sum() > 140
    expected = truth.through_median(3)["intensity"].sel(roi="WZ").values
    ratio = sample["intensity"].sel(roi="WZ").values[good] / expected[good]
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=0.02)


def test_an_unseen_folder_with_the_commands(unseen: Truth, tmp_path: Path, monkeypatch, capsys):
    root = unseen.folders["sample"].parent
    monkeypatch.chdir(tmp_path)
    begin = time.monotonic()
    for line in (
        f"info {root}/0884",
        f"measure {root}/0884/time1 {root}/0884/time2 --rois {root}/rois.json --flatfield {root}/flatfield1 -o series/",
        "stitch series/ --find --proposal changes.json -o joined.nc",
        "plot joined.nc -o joined.png --log",
    ):
        assert main(line.split()) == 0, line
    assert time.monotonic() - begin < 600
    right(xi.read_results("joined.nc"), unseen)
    assert main(["run", "joined.nc"]) == 0
    assert "same" in capsys.readouterr().out


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@needs_chromium
def test_an_unseen_folder_on_the_page(unseen: Truth, tmp_path: Path, start, monkeypatch):
    begin = time.monotonic()
    correcting = Correcting(median=3, flatfield=unseen.folders["flatfield"])
    sample = unseen.folders["sample"]
    explorer = explore(sample, rois=unseen.rois, reading=TOKYO, correcting=correcting, browser=False)
    tab = start(explorer, size=(1500, 1900))
    tab.measured(explorer, "WZ")
    tab.panel("Attenuation")
    tab.press("find")
    for left in range(len(unseen.changes), 0, -1):
        tab.until("(n) => document.querySelectorAll('#changes .proposed').length === n", left)
        tab.page.locator("#changes .proposed").first.click()
        tab.settle(lambda left=left: explorer.model.attenuation.looked_at == len(unseen.changes) - left)
        tab.press("accept")
    tab.settle(lambda: len(explorer.model.attenuation.changes) == len(unseen.changes))
    files = [tab.save(label, tmp_path) for label in ("netCDF", "PNG", "recipe")]
    assert time.monotonic() - begin < 600
    joined = xi.read_results(files[0]).load()
    right(joined, unseen)
    explorer.stop()
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(files[2]) as archive:
        archive.extractall("recipe")
    pictures = []
    for _ in range(2):  # from the recipe alone, twice: the same bits, and the same picture
        assert main(["run", "recipe/recipe.toml", "--force"]) == 0
        assert differences(joined, xi.read_results("recipe/0884.nc")) == {}
        pictures.append(Path("recipe/0884.png").read_bytes())
    assert pictures[0] == pictures[1] == files[1].read_bytes()
