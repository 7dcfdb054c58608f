"""The explorer in a real browser: dragged, typed, played, clicked, saved, and nobody else's state or network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import FRAME, TOKYO, in_a_browser
from xinsitu.app.serve import explore

POISON = "<img src=x onerror=window.hacked=1>"
pytestmark = in_a_browser


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("browser"), measurements=2, frames=40)


def test_drag_type_play_click(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo")
    tab = start(explorer)
    tab.measured(explorer, "WZ")

    def same_as_measure():
        tab.measured(explorer, "WZ")
        expected = xi.measure(scan, explorer.rois).sel(roi="WZ").compute()
        for column in ("intensity", "com_x", "com_y", "fwhm_x", "fwhm_y", "intensity_errors"):
            np.testing.assert_array_equal(tab.column("WZ", column), expected[column].values)

    same_as_measure()
    before = explorer.rois["WZ"]
    tab.drag_roi("WZ", (30, 15))
    body = tab.has_box(explorer.model, "WZ")
    assert body.shape == before.shape
    assert body.x[0] > before.x[0] + 5
    same_as_measure()

    tab.drag_roi("WZ", (24, 12), grip="corner")
    corner = tab.has_box(explorer.model, "WZ")
    assert corner.shape[0] > body.shape[0]
    assert corner.shape[1] > body.shape[1]
    assert (corner.y[0], corner.x[0]) == (body.y[0], body.x[0])
    same_as_measure()

    tab.page.keyboard.press("Control+z")
    tab.settle(lambda: explorer.rois["WZ"] == body)
    words = "rows y0:y1, columns x0:x1"
    (y0, y1), (x0, x1) = body.y, body.x
    tab.settle(lambda: tab.field(words).input_value() == f"{y0}:{y1}, {x0}:{x1}")
    tab.type(words, "60:150, 205:275")
    tab.settle(lambda: (explorer.rois["WZ"].y, explorer.rois["WZ"].x) == ((60, 150), (205, 275)))
    tab.has_box(explorer.model, "WZ")
    same_as_measure()

    tab.set("speed", "value", 40)
    tab.set("play", "active", True)
    tab.until(FRAME, 39)
    tab.until("() => Bokeh.documents[0].get_model_by_name('play').active === false")
    assert tab.get("frame_slider", "value") == 39
    np.testing.assert_array_equal(tab.image(), scan.image[39].values.ravel())

    seconds = tab.page.evaluate("Bokeh.documents[0].get_model_by_name('places').data.x[11]")
    tab.click_curve("curve_intensity", seconds)
    tab.until("() => Math.abs(Bokeh.documents[0].get_model_by_name('channel').done[0] - 11) <= 1")
    assert tab.get("cursor:curve_com_l", "location") == pytest.approx(seconds, abs=2)
    shown = tab.get("frame_slider", "value")
    tab.page.mouse.click(5, 5)
    for _ in range(3):
        tab.page.keyboard.press("ArrowRight")
    tab.until(FRAME, shown + 3)
    assert explorer.model.view.frame == shown + 3
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "blob:"))] == []


def test_sample_changes_files_and_the_same_state_again(truth, start, tmp_path):
    explorer = explore(truth.folders["sample"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1500, 1900))
    tab.measured(explorer, "WZ")
    tab.panel("Attenuation")
    tab.press("find")
    tab.settle(lambda: len(explorer.model.attenuation.proposals) == len(truth.changes))
    tab.press("accept")
    tab.settle(lambda: len(explorer.model.attenuation.changes) == 1)
    tab.shows(explorer.model, "WZ")
    shown = explorer.model.attenuation.shown("WZ")["intensity"].values
    np.testing.assert_array_equal(tab.column("WZ", "intensity"), shown)
    opened = {}
    for label in ("netCDF", "CSV", "ROIs", "recipe", "code", "changes", "PNG", "HTML"):
        opened[label] = tab.save(label, tmp_path)
    result = xi.read_results(opened["netCDF"])
    np.testing.assert_array_equal(result["intensity"].sel(roi="WZ").values, shown)
    assert len(opened["CSV"].read_text().splitlines()) == 81
    assert list(xi.read_rois(opened["ROIs"])) == list(explorer.rois)
    assert len(xi.read_attenuation_changes(opened["changes"])) == 1
    assert opened["PNG"].read_bytes().startswith(b"\x89PNG")
    assert "recipe.toml" in zipfile.ZipFile(opened["recipe"]).namelist()
    subprocess.run([sys.executable, opened["code"].name], cwd=tmp_path, check=True, capture_output=True)
    again = xi.read_results(tmp_path / "0884.nc")
    np.testing.assert_array_equal(again["intensity"].sel(roi="WZ").values, shown)

    document = json.loads(opened["ROIs"].read_text())
    document["rois"][0]["name"] = POISON
    poisoned = tmp_path / "poisoned.json"
    poisoned.write_text(json.dumps(document))
    tab.page.locator("input[type=file]").set_input_files(poisoned)
    tab.until("(name) => Bokeh.documents[0].get_model_by_name(name) != null", f"roi:{POISON}")
    tab.measured(explorer, POISON)
    tab.at_rest()
    assert tab.page.evaluate("window.hacked") is None
    assert tab.errors == []


def test_two_sessions_stay_apart_and_memory_comes_back(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    one = start(explorer)
    one.measured(explorer, "WZ")
    first = explorer.model
    two = start(explorer)
    two.measured(explorer, "WZ")
    second = explorer.model
    assert first is not second
    two.drag_roi("WZ", (30, 15))
    two.has_box(second, "WZ")
    two.set("frame_slider", "value", 20)
    two.until(FRAME, 20)
    assert second.regions.rois["WZ"] != first.regions.rois["WZ"] == truth.rois["WZ"]
    assert (first.view.frame, second.view.frame) == (0, 20)
    assert one.get("frame_slider", "value") == 0
    explorer.stop()
    assert explorer.store.loaded == 0


def test_poisoned_folders_are_text(truth, start, tmp_path):
    folder = tmp_path / POISON.replace("/", "") / "time1"
    shutil.copytree(truth.folders["time1"], folder)
    explorer = explore(folder, rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(600, 1200))
    tab.measured(explorer, "WZ")
    tab.at_rest()
    assert tab.page.evaluate("window.hacked") is None
    assert "onerror" in tab.page.title()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 620  # a narrow window scrolls one way only
    assert Path(explorer.source.folders[0]).is_dir()
