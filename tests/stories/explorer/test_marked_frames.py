"""Frames marked as bad in the page: they decide nothing, are not drawn, and all that comes out says so."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.serve import explore
from xinsitu.app.state import export, unsaved
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.view_file import view_text
from xinsitu.cli import main
from xinsitu.recipe import Reading
from xinsitu.recipe.rerun import differences
from xinsitu.schema import Quality


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("bad"), measurements=2, frames=30)


@pytest.fixture
def make(truth):
    stores = []

    def build(which):
        store = FrameStore(open_source(truth.folders[which], reading=Reading(tz="Asia/Tokyo")))
        stores.append(store)
        store.start()
        store.wait()
        model = ExplorerModel(store, rois=truth.rois)
        model.numbers.measure_now()
        return model

    yield build
    for store in stores:
        store.release()


def flagged(series):
    bits = series["quality"].values & int(Quality.BAD_FRAME)
    return np.flatnonzero(bits if bits.ndim == 1 else bits.any(axis=1)).tolist()


def mark(model, *frames):
    for frame in frames:
        model.view.frame = frame
        model.numbers.mark_bad()


@pytest.mark.thorough
def test_a_mark_comes_and_goes(make):
    model = make("time1")
    mark(model, 4, 17)
    assert model.numbers.bad_places() == (4, 17)
    assert flagged(model.attenuation.shown("WZ")) == [4, 17]
    mark(model, 4)
    assert model.numbers.bad_places() == (17,)
    assert flagged(model.attenuation.shown("WZ")) == [17]


@pytest.mark.thorough
@pytest.mark.parametrize(("which", "frames"), [("time1", (3, 12)), ("sample", (7, 33, 41))])
def test_all_that_comes_out_says_so(make, tmp_path, monkeypatch, which, frames):
    model = make(which)
    mark(model, *frames)
    screen = export.result(model)
    assert flagged(screen) == list(frames)
    (tmp_path / "screen.nc").write_bytes(export.netcdf(model))
    assert differences(xi.read_results(tmp_path / "screen.nc"), screen) == {}
    for name, text in export.recipe_files(model).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(export.script(model), "script", "exec"), {})
    result = xi.read_results(f"{export.name_of(model)}.nc").load()
    assert flagged(result) == list(frames)
    assert main(["run", "recipe.toml", "--force"]) == 0
    assert flagged(xi.read_results(f"{export.name_of(model)}.nc").load()) == list(frames)
    fresh = make(which)
    fresh.load(view_text(model))
    assert fresh.numbers.bad_places() == frames
    assert "bad_frames" in unsaved.parts(model)


def test_they_decide_no_factor(make):
    model = make("sample")
    model.attenuation.find_changes()
    model.attenuation.accept_all()
    first = model.attenuation.settled()[0]
    before, _ = model.attenuation.place_of(first)
    mark(model, before - 1)
    used = model.attenuation.settled()[0]
    assert used.evidence != first.evidence
    assert np.isfinite(used.factor)


class TestPage:
    pytestmark = in_a_browser

    def test_by_a_click_and_by_a_key(self, truth, start):
        explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
        tab = start(explorer, size=(1366, 768))
        tab.measured(explorer, "WZ")
        model = explorer.model
        tab.click_curve("curve_intensity", float(model.view.coordinates()[9]))
        tab.settle(lambda: model.view.frame == 9)
        tab.panel("Events")
        tab.press("bad frame")
        tab.settle(lambda: model.numbers.bad_places() == (9,))
        tab.until("""() => {
          const {x, intensity} = Bokeh.documents[0].get_model_by_name("series:WZ").data
          const drawn = Bokeh.documents[0].get_model_by_name("lines:WZ").data
          return !drawn.intensity.includes(intensity[9]) && drawn.intensity.includes(intensity[8])
        }""")
        tab.page.keyboard.press("ArrowRight")
        tab.settle(lambda: model.view.frame == 10)
        tab.page.keyboard.press("b")
        tab.settle(lambda: model.numbers.bad_places() == (9, 10))
        tab.page.keyboard.press("b")
        tab.settle(lambda: model.numbers.bad_places() == (9,))
        assert json.loads(view_text(model))["bad_frames"]
        assert tab.errors == []
