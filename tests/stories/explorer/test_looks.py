"""What a hand meets first: names typed in the dark, long names, colour limits of less than a decade."""

from __future__ import annotations

import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore

pytestmark = in_a_browser

STYLE = """(selector) => {
  const {fontFamily, backgroundColor, color} = getComputedStyle(document.querySelector(selector))
  return [fontFamily, backgroundColor, color]
}"""
WIDE = """() => {
  const {el} = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("evidence_table"))
  return [el.scrollWidth, el.clientWidth]
}"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("looks"), measurements=3, frames=40)


def test_a_name_is_typed_in_the_letters_and_colours_of_the_page(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "WZ")
    tab.page.emulate_media(color_scheme="dark")
    tab.at_rest()
    tab.page.mouse.dblclick(*tab.middle("roi:WZ"))
    tab.page.locator("#rename").wait_for()
    assert tab.page.evaluate(STYLE, "#rename") == tab.page.evaluate(STYLE, "#app")
    assert tab.errors == []


def test_the_image_stays_as_large_as_it_is_when_its_limits_change(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "WZ")
    tab.at_rest()
    view, inner = explorer.model.view, tab.get("image", "inner_width")
    for number, text in ((1, "37000"), (0, "20000"), (0, "2000"), (1, "1200000"), (0, "0.2")):
        field = tab.page.locator("#left .limits input").nth(number)
        field.fill(text)
        field.press("Enter")
        tab.settle(lambda number=number, text=text: view.limits[number] == float(text))
        tab.at_rest()
        assert tab.get("image", "inner_width") == inner, text
    assert tab.errors == []


def test_the_evidence_of_regions_with_long_names_is_not_cut_off(truth, start):
    long = "wurtzite of the second growth"
    rois = xi.RoiSet([*truth.rois, xi.Roi(long, *[(truth.rois["WZ"].y), (truth.rois["WZ"].x)])])
    explorer = explore(truth.folders["sample"], rois=rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, long)
    tab.panel("Attenuation")
    tab.press("find")
    tab.until("() => Bokeh.documents[0].get_model_by_name('evidence_row').visible")
    tab.at_rest()
    needed, there = tab.page.evaluate(WIDE)
    assert needed <= there
    assert tab.errors == []


def test_of_two_equal_regions_the_selected_is_under_the_hand_at_any_scale(truth, start):
    rois = xi.RoiSet([xi.Roi("one", y=(30, 61), x=(60, 97)), xi.Roi("other", y=(33, 64), x=(66, 103))])
    explorer = explore(truth.folders["time1"], rois=rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "one")
    for width in (1366, 1331, 1297, 1203):
        tab.page.set_viewport_size({"width": width, "height": 768})
        for name in rois.names:
            explorer._sessions[0].do(lambda name=name: setattr(explorer.model.regions, "selected", name))
            tab.until("(name) => Bokeh.documents[0].get_model_by_name('channel').selected === name", name)
            tab.at_rest()
            tab.page.mouse.move(5, 5)
            tab.page.mouse.move(*tab.middle("roi:one"))
            tab.until("(name) => document.getElementById('under').textContent.endsWith(` · ${name}`)", name)
    assert tab.errors == []
