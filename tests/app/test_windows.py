"""A window of frames that somebody chose on a curve: the figures that are saved are divided by it as the page is."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xinsitu as xi
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.state import export
from xinsitu.app.state.curve_state import window_text
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.screen import Screen, result
from xinsitu.app.state.view_file import view_text
from xinsitu.plots.curves import drawing
from xinsitu.plots.timeline import timeline
from xinsitu.recipe import Reading

TOKYO = Reading(tz="Asia/Tokyo")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("windows"), measurements=2, frames=24)


@pytest.fixture(params=["time1", "sample"])
def model(truth, request):
    store = FrameStore(open_source(truth.folders[request.param], reading=TOKYO))
    store.start()
    store.wait()
    one = ExplorerModel(store, rois=truth.rois)
    one.numbers.measure_now()
    yield one
    store.release()


@pytest.mark.thorough("time1-frame")
@pytest.mark.parametrize("axis", ["elapsed", "local", "utc", "frame"])
def test_a_saved_figure_is_divided_as_the_page_is(model, axis):
    model.view.axis = axis
    x = model.view.coordinates()
    model.curves.choose_window(*sorted((x[6], x[11]))) if axis != "frame" else setattr(model.curves, "span", (6, 12))
    model.curves.normalised = True
    drawn = drawing(result(model), **Screen.of(model).plot)
    (panel,) = [panel for panel in drawn.panels if panel.name == "intensity"]
    (curve,) = [curve for curve in panel.curves if curve.roi == "WZ"]
    shown = model.curves.drawn("WZ")["intensity"].values
    np.testing.assert_allclose(curve.y[np.isfinite(curve.y)], shown[np.isfinite(shown)], rtol=1e-9)
    first, behind = model.curves.span
    assert np.nanmean(shown[first:behind]) == pytest.approx(1)


def test_undivided_figures_have_no_window(model):
    model.curves.span = (2, 9)
    assert "normalise" not in Screen.of(model).plot
    assert "normalise" not in export.script(model)
    model.curves.normalised = True
    text = model.curves.window_text
    assert f"normalise={text!r}" in export.script(model)


def test_a_window_has_the_frames_that_were_chosen_and_no_other(model):
    line = timeline(result(model), x="elapsed")
    since = (line.times - line.start) / np.timedelta64(1, "s")
    for first, behind in ((0, 3), (5, 6), (len(since) - 4, len(since))):
        low, high = map(float, window_text(line, first, behind).split(":"))
        assert np.flatnonzero((since >= low) & (since <= high)).tolist() == list(range(first, behind))


def test_window_and_hidden_curves_are_there_again(model):
    model.curves.span, model.curves.normalised = (3, 8), True
    model.regions.hidden, model.view.each_frame = ("WZ",), True
    text = view_text(model)
    fresh = ExplorerModel(model.store)
    fresh.load(text)
    assert (fresh.curves.span, fresh.curves.normalised) == ((3, 8), True)
    assert (fresh.regions.hidden, fresh.view.each_frame) == (("WZ",), True)


@pytest.mark.parametrize("span", [[3], [8, 3], [3, 9999], ["a", "b"], [1.5, 3.5], "3:8", [True, 4]])
@pytest.mark.thorough("time1-span0", "time1-3:8", "sample-span3", "sample-span6")
def test_a_window_that_does_not_fit_is_left(model, span):
    view = json.loads(view_text(model))
    view["view"] |= {"span": span, "hidden": ["nobody"]}
    fresh = ExplorerModel(model.store, rois=model.regions.rois)
    fresh.load(json.dumps(view))
    assert (fresh.curves.span, fresh.regions.hidden) == (None, ())
