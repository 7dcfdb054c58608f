"""Gestures while something else goes on: frames come, are read, the line breaks, the page is loaded again, it plays."""

from __future__ import annotations

import shutil
import threading

import pytest

import xinsitu as xi
from tests.helpers.browser import FRAME, PIXEL, TOKYO, in_a_browser
from xinsitu.app.data import store
from xinsitu.app.serve import explore

from .test_gestures import agree, spot

pytestmark = in_a_browser
SOCKETS = """(() => {
  const Plain = window.WebSocket
  window.lines = []
  window.WebSocket = class extends Plain { constructor(...words) { super(...words); window.lines.push(this) } }
})()"""
LAYOUTS = """(name) => {
  const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name)), plain = view.request_layout.bind(view)
  window.layouts = 0
  view.request_layout = () => { window.layouts += 1; plain() }
}"""

CROSSED = """async ([newest, backs, to]) => {
  const named = (name) => Bokeh.documents[0].get_model_by_name(name)
  const channel = named("channel_holder").tags[0], slider = named("frame_slider")
  slider.value = 11
  await new Promise((go_on) => setTimeout(go_on))
  slider.value = to
  channel.goto = [newest, backs, channel.goto[2] + 1]
}"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("meanwhile"), measurements=1, frames=40)


def gestures(tab, explorer, name="spot"):
    """Move, resize, draw, remove, take back, nudge, go to a frame; page, panel and model agree after each."""
    keyboard, view, before = tab.page.keyboard, explorer.model.view, explorer.rois[name]
    tab.at_rest()
    tab.drag(spot(tab, name), (14, 12))
    tab.settle(lambda: explorer.rois[name] != before)
    assert agree(tab, explorer, name).shape == before.shape
    moved = explorer.rois[name]
    tab.drag(spot(tab, name, 1, 1), (10, 9))
    tab.settle(lambda: explorer.rois[name].shape > moved.shape)
    agree(tab, explorer, name)
    for _ in range(2):
        keyboard.press("Control+z")
    tab.settle(lambda: explorer.rois[name] == before)
    agree(tab, explorer, name)
    known = set(explorer.rois.names)
    begin = tab.page.evaluate(PIXEL, [150, 300])
    keyboard.press("r")
    tab.drag((begin["x"], begin["y"]), (24, 12))
    tab.settle(lambda: len(explorer.rois) == len(known) + 1)
    (new,) = set(explorer.rois.names) - known
    agree(tab, explorer, new)
    keyboard.press("Escape")
    tab.page.locator("#rename").wait_for(state="detached")
    keyboard.press("Delete")
    tab.settle(lambda: set(explorer.rois.names) == known)
    tab.page.mouse.click(*spot(tab, name))
    agree(tab, explorer, name)
    keyboard.press("Alt+ArrowRight")
    tab.settle(lambda: explorer.rois[name].x == (before.x[0] + 1, before.x[1] + 1))
    keyboard.press("Alt+ArrowLeft")
    tab.settle(lambda: explorer.rois[name] == before)
    agree(tab, explorer, name)
    keyboard.press("Home")
    tab.settle(lambda: view.frame == 0)
    keyboard.press("ArrowRight")
    tab.settle(lambda: view.frame == 1)
    assert tab.errors == []


def test_while_frames_come(truth, start, tmp_path):
    folder, frames = tmp_path / "time1", sorted(truth.folders["time1"].glob("*.tif"))
    folder.mkdir()
    for frame in frames[:10]:
        shutil.copy2(frame, folder)
    explorer = explore(folder, reading=TOKYO, browser=False, follow=True)
    tab = start(explorer, size=(1366, 768))
    goes_on = threading.Event()

    def grow():
        for frame in frames[10:]:
            shutil.copy2(frame, folder)
            goes_on.wait(0.4)

    thread = threading.Thread(target=grow)
    thread.start()
    gestures(tab, explorer)
    assert explorer.store.n_frames > 10
    goes_on.set()
    thread.join()
    tab.settle(lambda: explorer.store.n_frames == 40)
    assert explorer.model.view.frame == 1  # whoever went back is not carried away
    gestures(tab, explorer)
    tab.measured(explorer, "spot")


@pytest.mark.parametrize("to", [0, 10])
def test_the_newest_frame_that_crosses_a_step_back_does_not_undo_it(truth, start, to):
    """The message of a new frame is on its way while a person goes back: the server has not heard of it yet."""
    explorer = explore(truth.folders["time1"], reading=TOKYO, browser=False, follow=True)
    tab = start(explorer, size=(1366, 768))
    explorer.model.view.follow = True
    tab.set("frame_slider", "value", 10)
    tab.settle(lambda: explorer.model.view.frame == 10)
    tab.page.evaluate(CROSSED, [12, 0, to])
    tab.page.keyboard.press("ArrowRight")
    tab.settle(lambda: explorer.model.view.frame == to + 1 and not explorer.model.view.follow)
    tab.page.evaluate(CROSSED, [20, -1, 5])  # somebody asked for it
    tab.settle(lambda: explorer.model.view.frame == 20)
    assert tab.errors == []


def test_while_frames_are_read(truth, start, monkeypatch):
    going, plain = threading.Event(), store.FrameStore._read

    def slowly(self, time, *box, **of):
        going.wait(1.0)
        return plain(self, time, *box, **of)

    monkeypatch.setattr(store, "BLOCK_BYTES", 1)  # frame by frame
    monkeypatch.setattr(store.FrameStore, "_read", slowly)
    explorer = explore(truth.folders["time1"], reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.until("() => Bokeh.documents[0].get_model_by_name('state').text.includes('reading')")
    gestures(tab, explorer)
    going.set()
    tab.measured(explorer, "spot")
    gestures(tab, explorer)


def test_after_the_line_broke_and_while_it_plays(truth, start):
    explorer = explore(truth.folders["time1"], reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.page.add_init_script(SOCKETS)
    tab.page.reload()
    tab.there()
    tab.page.keyboard.press("Alt+ArrowDown")
    tab.settle(lambda: explorer.model.aside)
    rois = list(explorer.rois)
    tab.page.evaluate("window.before = true; window.lines.forEach((line) => line.close())")
    tab.until("() => window.before === undefined")  # the page came back by itself
    tab.there()
    assert list(explorer.rois) == rois
    gestures(tab, explorer)
    tab.measured(explorer, "spot")
    tab.set("speed", "value", 2)
    tab.page.keyboard.press(" ")
    tab.until("() => Bokeh.documents[0].get_model_by_name('play').active")
    before = explorer.rois["spot"]
    tab.drag(spot(tab, "spot"), (12, 8))
    tab.settle(lambda: explorer.rois["spot"] != before)
    agree(tab, explorer, "spot")
    tab.measured(explorer, "spot")
    tab.page.keyboard.press(" ")
    tab.until("() => !Bokeh.documents[0].get_model_by_name('play').active")
    assert tab.errors == []


def test_a_frame_is_painted_and_nothing_is_laid_out_anew(truth, start):
    explorer = explore(truth.folders["time1"], reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "spot")
    tab.at_rest()
    for frame in (3, 5, 11, 17):
        if frame == 5:  # the first image may be laid out with
            tab.page.evaluate(LAYOUTS, "image")
        tab.set("frame_slider", "value", frame)
        tab.until(FRAME, frame)
        tab.page.wait_for_timeout(300)
    assert tab.page.evaluate("window.layouts") == 0
    tab.type("highest colour", "500")
    tab.until("() => window.layouts > 0")  # the colour bar follows
    assert tab.errors == []
