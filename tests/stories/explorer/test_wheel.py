"""The wheel: no closer than some pixels or frames, and out to everything from wherever the hand is."""

from __future__ import annotations

import pytest

import xinsitu as xi
from tests.helpers.browser import PIXEL, TOKYO, in_a_browser
from xinsitu.app.serve import explore

pytestmark = in_a_browser

SPAN = """([name, range]) => {
  const {start, end} = Bokeh.documents[0].get_model_by_name(name)[range]
  return Math.abs(end - start)
}"""


@pytest.fixture(scope="module")
def tab_of(tmp_path_factory):
    truth = xi.simulate_sample(tmp_path_factory.mktemp("wheel"), measurements=1, frames=40)
    return lambda: explore(truth.folders["time1"], rois=truth.rois, browser=False, reading=TOKYO)


def span(tab, name, which="x_range"):
    return tab.page.evaluate(SPAN, [name, which])


def turn(tab, point, notches, times=40):
    tab.page.mouse.move(point["x"], point["y"])
    for _ in range(times):
        tab.page.mouse.wheel(0, notches)
        tab.page.wait_for_timeout(10)


def test_the_image_comes_no_closer_than_some_pixels_and_goes_back_whole(tab_of, start):
    explorer = tab_of()
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "WZ")
    tab.at_rest()
    view = explorer.model.view
    (top, bottom), (left, right) = view.shape
    whole = span(tab, "image")
    corner, away = ([top + part * (bottom - top), left + part * (right - left)] for part in (0.1, 0.9))
    far = tab.page.evaluate(PIXEL, away)
    turn(tab, tab.page.evaluate(PIXEL, corner), -400)
    tab.until("() => Bokeh.documents[0].get_model_by_name('image').x_range.end < 100")
    assert span(tab, "image") == pytest.approx(12)
    assert span(tab, "image", "y_range") == pytest.approx(12 * (bottom - top) / (right - left))  # square pixels
    tab.settle(lambda: view.part is not None)
    turn(tab, far, 100)  # where one edge is there long before the other
    tab.settle(lambda: view.part is None, lambda: f"it stays at {view.part}")
    assert span(tab, "image") == whole
    assert tab.errors == []


def test_time_comes_no_closer_than_some_frames_by_wheel_or_drag_and_goes_no_further_than_it_goes(tab_of, start):
    explorer = tab_of()
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "WZ")
    view = explorer.model.view
    for name in ("curve_com_l", "kymograph"):
        whole = span(tab, name)
        point = tab.place(name, float(view.coordinates()[10]))
        turn(tab, point, -400)
        tab.settle(lambda: view.window is not None)
        assert span(tab, name) == pytest.approx(4)  # a frame a second
        turn(tab, point, 400)
        tab.settle(lambda: view.window is None, lambda: f"it stays at {view.window}")
        assert span(tab, name) == whole
    point = tab.place("curve_com_l", float(view.coordinates()[20]))
    tab.drag((point["x"], point["y"]), (14, 0))  # a tenth of a second on this screen, or a few
    tab.settle(lambda: view.window is not None)
    assert span(tab, "curve_com_l") >= 3.99
    assert tab.errors == []
