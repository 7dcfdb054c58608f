"""What nobody saved when the explorer is stopped is kept aside, and offered with the same frames again."""

from __future__ import annotations

import json

import pytest

from xinsitu.app.serve import Explorer, explore
from xinsitu.app.state import unsaved
from xinsitu.recipe import Reading
from xinsitu.simulate import Truth

TOKYO = Reading(tz="Asia/Tokyo")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Panel and its parts, in threads that pytest does not own


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "xinsitu" / "unsaved"


@pytest.fixture
def opened(experiment: Truth):
    explorer = explore(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, browser=False)
    yield explorer
    explorer.stop()


def interrupt(explorer: Explorer, monkeypatch) -> None:
    def stopped(_: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(explorer._ended, "wait", stopped)
    explorer.wait()


def test_nothing_was_changed_and_nothing_is_kept(opened: Explorer, state, monkeypatch):
    assert opened.model.regions.rois
    interrupt(opened, monkeypatch)
    assert opened.kept == []
    assert not state.exists()


@pytest.mark.thorough
def test_a_new_roi_is_kept_and_offered(experiment: Truth, opened: Explorer, state, monkeypatch):
    opened.model.regions.add("all")
    opened.model.view.frame = 7
    interrupt(opened, monkeypatch)
    (path,) = opened.kept
    assert path.parent == state
    assert path.stat().st_mode & 0o077 == 0 or state.stat().st_mode & 0o077 == 0
    names = [one["name"] for one in json.loads(path.read_text())["rois"]["rois"]]
    assert names == [*experiment.rois.names, "ROI"]

    again = explore(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, browser=False)
    other = explore(experiment.folders["time2"], rois=experiment.rois, reading=TOKYO, browser=False)
    try:
        assert unsaved.latest(again.source) == path
        assert unsaved.latest(other.source) is None
        again.model.load(path.read_text())
        assert again.rois.names == (*experiment.rois.names, "ROI")
    finally:
        again.stop()
        other.stop()


def test_what_was_saved_is_not_kept(opened: Explorer, state, monkeypatch):
    opened.model.regions.add("all")
    opened.model.safe.update(unsaved.parts(opened.model).values())
    interrupt(opened, monkeypatch)
    assert opened.kept == []


def test_without_a_home_it_ends_all_the_same(opened: Explorer, state, monkeypatch):
    state.parent.parent.write_text("in the way")
    opened.model.regions.add("all")
    interrupt(opened, monkeypatch)
    assert opened.kept == []
    assert unsaved.latest(opened.source) is None
