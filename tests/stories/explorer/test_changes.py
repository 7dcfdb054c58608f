"""The list of changes of attenuation: walked, accepted, rejected, asked about; what is shown follows."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.data.cutouts import Kymograph
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.serve import explore
from xinsitu.app.state.model import ExplorerModel
from xinsitu.errors import DocumentError
from xinsitu.recipe import Reading
from xinsitu.values import Roi, RoiSet

ROIS = RoiSet([Roi("A", y=(10, 30), x=(10, 30)), Roi("B", y=(10, 30), x=(50, 70)), Roi("C", y=(40, 60), x=(20, 60))])


def frames(*, steps, alone=None, decay=None):
    """Counts that fall by a factor of all at some frames, of one ROI at another, and die away within a few frames."""
    rng = np.random.default_rng(5)
    mean = np.full((90, 70, 80), 30.0)
    for frame, factor in steps:
        mean[frame:] /= factor
    if alone is not None:
        mean[alone:, 10:30, 50:70] /= 3
    if decay is not None:
        mean *= np.exp(-np.clip(np.arange(90) - decay, 0, 8) / 3)[:, None, None]
    time = np.datetime64("2014-05-28T08:00", "ns") + np.arange(90) * np.timedelta64(1, "s")
    coords = {"time": time, "frame": ("time", np.arange(90))}
    image = xr_image(rng.poisson(mean).astype("int32"))
    return image.assign_coords(coords)


def xr_image(values):
    return xr.Dataset({"image": (("time", "y", "x"), values, {"units": "counts"})})


@pytest.fixture
def make():
    stores = []

    def build(data):
        store = FrameStore(open_source(data, reading=Reading()))
        stores.append(store)
        model = ExplorerModel(store, rois=ROIS)
        model.numbers.measure_now()
        return model

    yield build
    for store in stores:
        store.release()


def test_it_is_walked_and_all_are_accepted(make):
    model = make(frames(steps=[(30, 4.0), (60, 0.2)]))
    with pytest.raises(DocumentError, match="find some first"):
        model.attenuation.accept_all()
    model.attenuation.find_changes()
    assert len(model.attenuation.proposals) == 2
    assert model.attenuation.looked_at == 0
    model.attenuation.look_next()
    model.attenuation.look_next()
    assert model.attenuation.looked_at == len(model.attenuation.listed) - 1 or model.attenuation.looked_at == 2
    model.attenuation.accept_all()
    assert [round(change.factor, 1) for change in model.attenuation.settled()] == [4.0, 0.2]
    assert model.attenuation.proposals == ()
    with pytest.raises(DocumentError, match="accepted already"):
        model.attenuation.accept_listed(0)


def test_what_was_rejected_says_why_and_is_taken_after_a_question_only(make):
    model = make(frames(steps=[(30, 4.0)], decay=60))
    model.attenuation.find_changes()
    assert model.attenuation.rejected
    assert all(change.note for change in model.attenuation.rejected)
    number = len(model.attenuation.proposals)
    model.attenuation.accept_listed(number)
    assert model.attenuation.rejected[0].note in model.attenuation.question
    assert model.attenuation.changes == ()
    model.attenuation.answer(yes=False)
    assert (model.attenuation.changes, model.attenuation.question) == ((), "")
    model.attenuation.accept_listed(number)
    taken = model.attenuation.rejected[0]
    model.attenuation.answer(yes=True)
    (change,) = model.attenuation.changes
    assert model.attenuation.place_of(change) == model.attenuation.place_of(taken)
    assert change.note == ""
    assert taken not in model.attenuation.rejected


def test_clicks_that_the_rois_speak_against_are_asked_about(make):
    model = make(frames(steps=[(30, 4.0)], alone=60))
    model.attenuation.pick_change()
    model.view.pick(29)
    model.view.pick(30)
    assert len(model.attenuation.changes) == 1  # all agree: no question
    assert model.attenuation.question == ""
    model.attenuation.pick_change()
    model.view.pick(59)
    model.view.pick(60)
    assert "disagree" in model.attenuation.question
    assert len(model.attenuation.changes) == 1
    model.attenuation.answer(yes=False)
    assert len(model.attenuation.changes) == 1
    model.attenuation.pick_change(0)  # the good one is moved to where they disagree: it stays until the answer
    model.view.pick(59)
    model.view.pick(60)
    assert model.attenuation.place_of(model.attenuation.changes[0]) == (29, 30)
    model.attenuation.answer(yes=True)
    assert [model.attenuation.place_of(change) for change in model.attenuation.changes] == [(59, 60)]


def test_the_kymograph_follows_corrected(make):
    model = make(frames(steps=[(30, 4.0)]))
    model.regions.selected = "C"
    measured = Kymograph.of(model.cutouts.kymograph_request()).values
    model.attenuation.find_changes()
    model.attenuation.accept_all()
    corrected = Kymograph.of(model.cutouts.kymograph_request()).values
    factors = model.attenuation.factors()
    assert factors[10] == 1
    assert factors[50] == pytest.approx(4, rel=0.02)
    before, after = corrected[:, :25].mean(), corrected[:, 40:].mean()
    assert after == pytest.approx(before, rel=0.05)
    model.attenuation.scaled = False
    np.testing.assert_array_equal(Kymograph.of(model.cutouts.kymograph_request()).values, measured)
    assert model.attenuation.factors() is None


class TestPage:
    pytestmark = in_a_browser

    def test_by_keyboard_and_question(self, start):
        explorer = explore(frames(steps=[(20, 4.0), (40, 0.2)], decay=65), rois=ROIS, reading=TOKYO, browser=False)
        tab = start(explorer, size=(1366, 768))
        tab.measured(explorer, "A")
        model, keyboard, options = explorer.model, tab.page.keyboard, tab.page.locator("#changes [role=option]")
        tab.panel("Attenuation")
        tab.press("find")
        tab.settle(lambda: len(model.attenuation.proposals) == 2)
        tab.settle(lambda: options.count() == len(model.attenuation.listed) > 2)
        assert options.last.get_attribute("class") == "rejected"
        assert model.attenuation.rejected[-1].note in options.last.inner_text()
        options.first.click()
        tab.page.locator("#changes").focus()
        keyboard.press("ArrowDown")
        tab.settle(lambda: model.attenuation.looked_at == 1)
        keyboard.press("Enter")
        tab.settle(lambda: len(model.attenuation.changes) == 1)
        tab.press("accept all")
        tab.settle(lambda: len(model.attenuation.changes) == 2)
        tab.until("() => Bokeh.documents[0].get_model_by_name('channel').factors.length === 90")
        options.last.click()
        tab.settle(lambda: model.attenuation.looked_at == len(model.attenuation.listed) - 1)
        tab.page.locator("#changes").focus()
        keyboard.press("Enter")
        tab.page.locator("#sure").wait_for()
        tab.page.locator("#sure").get_by_role("button", name="leave it").click()
        tab.settle(lambda: model.attenuation.question == "")
        assert len(model.attenuation.changes) == 2
        left = len(model.attenuation.listed)
        tab.page.locator("#changes").focus()
        keyboard.press("Delete")
        tab.settle(lambda: len(model.attenuation.listed) == left - 1)
        assert len(model.attenuation.changes) == 2
        assert tab.errors == []
