"""Room on the page: what stands in one line, what is shown whole without scrolling, and that no edge shines."""

from __future__ import annotations

import io

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore

pytestmark = in_a_browser

HIDDEN = """(where) => {
  const room = document.querySelector(where).getBoundingClientRect()
  return [...document.querySelectorAll(`${where} > *, #numbers dd`)].filter((one) => {
    if (!one.closest(where)) return false
    const {left, right, top, bottom} = one.getBoundingClientRect()
    return left < room.left - 1 || right > room.right + 1 || top < room.top - 1 || bottom > room.bottom + 1
  }).map((one) => one.textContent)
}"""
LINES = "(side) => Math.round(document.querySelector(`#${side} .tools`).getBoundingClientRect().height / 26)"
ROIS = xi.RoiSet(
    [xi.Roi(f"wide {number}", y=(10 + 15 * number, 20 + 15 * number), x=(100, 170)) for number in range(12)]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("room"), measurements=2, frames=20).folders["sample"]


def resized(tab, size):
    tab.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    tab.at_rest()


def test_two_regions_at_small_sizes(folder, start):
    explorer = explore(folder, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1100, 650))
    tab.measured(explorer, "spot")
    tab.at_rest()
    assert tab.page.evaluate(LINES, "right") == 1
    assert tab.page.evaluate(LINES, "left") == 2
    for label in ("time axis", "lowest colour", "highest colour"):
        assert tab.page.get_by_label(label, exact=True).first.is_visible()
    assert tab.page.locator("#numbers dd").count() == 5
    assert tab.page.evaluate(HIDDEN, "#panel .tab.shown > #numbers") == []
    assert tab.page.locator("#numbers").bounding_box()["y"] < 200  # what is looked at stands first
    tab.page.emulate_media(color_scheme="dark")
    tab.page.wait_for_timeout(500)
    assert edges_shine(tab) == []
    resized(tab, (800, 600))
    place = tab.page.locator("#image").bounding_box()
    assert place["width"] > 0.75 * 800
    assert tab.page.locator("#cutouts").bounding_box()["x"] >= place["x"] + place["width"]
    assert tab.page.locator(".profiles").bounding_box()["height"] >= 120
    assert tab.page.evaluate(HIDDEN, "#cutouts") == []
    tab.page.keyboard.press("End")
    tab.settle(lambda: explorer.model.view.frame == 39)
    tab.settle(lambda: tab.page.get_by_label("go to a measurement").input_value() == "time2")  # of the frame
    tab.page.evaluate(
        "document.getElementById('unseen').textContent = 12; document.getElementById('unseen').hidden = false"
    )
    tab.at_rest()
    where = "(() => {const one = document.querySelector('header .where'); return one.scrollWidth <= one.clientWidth})()"
    assert tab.page.evaluate(where), "the line about the frame is cut"
    assert tab.errors == []


def test_nothing_is_cut_in_a_small_window(folder, start):
    """What is under the cursor with q and angles, the fields beside the slider, the names of the axes."""
    stands = xi.DetectorGeometry(0.25, 1.1e-10, beam_centre=(97.25, 300.5), pixel_size=(172e-6, 172e-6))
    explorer = explore(folder, reading=TOKYO, browser=False, geometry=stands, correction=xi.Correction(median=3))
    tab = start(explorer, size=(1100, 650))
    tab.measured(explorer, "spot")
    tab.at_rest()
    under = tab.page.locator("#under")
    at = tab.middle("roi:spot")
    tab.page.mouse.move(at[0] - 3, at[1])
    tab.page.mouse.move(*at)
    tab.settle(lambda: "χ" in under.text_content())
    assert " counts · " in under.text_content()
    assert under.evaluate("(one) => one.scrollWidth <= one.clientWidth && one.scrollHeight <= one.clientHeight")
    assert tab.get("curve_intensity", "left[0].axis_label") == "intensity\n(counts)"  # a median leaves them counts
    before = under.text_content()
    tab.page.keyboard.press("Shift+ArrowRight")  # the hand rests: the value is that of the frame that is shown
    tab.settle(lambda: tab.get("channel", "done[0]") == 10)
    frame, (row, column) = tab.image().reshape(195, 487), _pixel(before)
    tab.settle(lambda: f" · {frame[row, column]:g} counts · " in under.text_content())
    for size in ((1100, 650), (800, 600)):
        resized(tab, size)
        if size[0] < 1100:
            tab.page.get_by_role("tab", name="curves", exact=True).click()
            tab.at_rest()
        assert tab.page.evaluate(CUT, ["goto", "speed"]) == []
        assert tab.page.evaluate(NAMES) == []
        assert tab.page.evaluate(CROWDED) == [], size
    assert tab.errors == []


def _pixel(said):
    column, row = said.split(" · ")[0].split(", ")
    return int(row.removeprefix("row ")), int(column.removeprefix("column "))


CUT = """(names) => names.filter((name) => {
  const field = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name)).shadow_el.querySelector("input")
  const one = field.getBoundingClientRect(), room = document.querySelector(".track").getBoundingClientRect()
  const own = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name)).el.getBoundingClientRect()
  return one.bottom > Math.min(room.bottom, own.bottom) + 0.5 || one.top < room.top
})"""
NAMES = """() => ["com_l", "com_hk", "fwhm_l", "fwhm_hk", "intensity"].filter((name) => {
  const figure = Bokeh.documents[0].get_model_by_name(`curve_${name}`), axis = figure.left[0]
  const pen = document.createElement("canvas").getContext("2d")
  pen.font = `${axis.axis_label_text_font_size} ${axis.axis_label_text_font}`
  const lines = axis.axis_label.split("\\n")
  return Math.max(...lines.map((line) => pen.measureText(line).width)) > figure.outer_height
})"""

CROWDED = """() => ["com_l", "com_hk", "fwhm_l", "fwhm_hk", "intensity"].flatMap((name) => {
  const figure = Bokeh.documents[0].get_model_by_name(`curve_${name}`), view = Bokeh.index.find_one(figure)
  const {ticker} = figure.left[0], {start, end} = view.frame.y_range
  const at = view.frame.y_scale.v_compute(ticker.get_ticks(start, end, view.frame.y_range, NaN).major)
  const apart = Math.min(...[...at].slice(1).map((y, i) => Math.abs(y - at[i])))
  return at.length < 1 || apart < 14 ? [[name, at.length, apart, figure.inner_height]] : []
})"""


def test_the_panel_needs_no_scrolling(folder, start):
    tab = start(explore(folder, reading=TOKYO, browser=False), size=(1100, 650))
    for name in ("ROIs", "Corrections", "Attenuation", "Events", "Compare", "Files"):
        tab.panel(name)
        tab.at_rest()
        code = "(() => {const one = document.querySelector('#panel .tab.shown')\n"
        code += "return [one.scrollHeight - one.clientHeight, one.scrollWidth - one.clientWidth]})()"
        assert tab.page.evaluate(code) == [0, 0], name
    assert tab.errors == []


def test_the_splitter_is_dragged_and_remembered(folder, start):
    tab = start(explore(folder, reading=TOKYO, browser=False), size=(1366, 768))
    splitter, left, curves = (tab.page.locator(one) for one in ("#splitter", "#left", "#curves"))

    def wide(one):
        tab.at_rest()
        return one.bounding_box()["width"]

    for step in (150, -200):
        before, room = wide(left), wide(curves)
        at = splitter.bounding_box()
        tab.drag((at["x"] + 3, at["y"] + 300), (step, 0))
        assert wide(left) == pytest.approx(before + step, abs=4)
        assert wide(curves) == pytest.approx(room - step, abs=4)
    figure = tab.page.evaluate("Bokeh.documents[0].get_model_by_name('image').inner_width")
    assert 0 < figure < wide(left)  # the image went with its column
    at = splitter.bounding_box()
    tab.drag((at["x"] + 3, at["y"] + 300), (-900, 0))
    assert wide(left) >= 240
    splitter.focus()
    before = wide(left)
    tab.page.keyboard.press("ArrowRight")
    assert wide(left) == pytest.approx(before + 20, abs=1)
    before = wide(left)
    tab.page.reload()
    tab.there()
    assert wide(left) == pytest.approx(before, abs=2)
    assert tab.errors == []


def edges_shine(tab):
    """Names of the figures at whose upper or left edge pixels are lighter than lines of the page."""
    from PIL import Image

    seen = np.asarray(Image.open(io.BytesIO(tab.page.screenshot())).convert("L"), dtype=int)
    ground = seen[tuple(int(part) for part in _corner(tab, "image", down=4, across=4))]
    found = []
    for name in ("image", "curve_com_l", "curve_intensity", "kymograph", "profiles"):
        y, x = (int(part) for part in _corner(tab, name))
        if (np.abs(seen[y : y + 3, x + 5 : x + 30] - ground) > 12).any():
            found.append(name)
    return found


def _corner(tab, name, down=0, across=0):
    code = "(name) => {const {top, left} = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name))"
    top, left = tab.page.evaluate(code + ".el.getBoundingClientRect(); return [top, left]}", name)
    return top + down, left + across


def test_twelve_wide_regions_are_all_in_sight(folder, start):
    explorer = explore(folder, rois=ROIS, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "wide 11")
    for size in ((1366, 768), (1100, 650), (800, 600)):
        resized(tab, size)
        tab.until("() => document.querySelectorAll('#cutouts canvas').length === 12")
        assert tab.page.evaluate(HIDDEN, "#cutouts") == [], size
    resized(tab, (1366, 768))
    assert tab.page.locator("#chips button").count() == 12
    assert all(tab.page.locator("#chips button").nth(at).bounding_box()["x"] < 1086 for at in range(12))
    scrolls = (
        "(() => {const one = document.querySelector('#right .tools'); return one.scrollHeight - one.clientHeight})()"
    )
    assert tab.page.evaluate(scrolls) <= 0
    assert tab.errors == []


FILLED = """() => {
  const rect = (one) => one.getBoundingClientRect()
  const room = rect(document.getElementById("left")), profiles = rect(document.querySelector(".profiles"))
  const cards = [...document.querySelectorAll("#cutouts figure")].map(rect)
  const beside = profiles.top < cards[0].bottom ? profiles.right : 0
  return {right: Math.max(beside, ...cards.map((one) => one.right)) / room.right, high: profiles.height,
          down: Math.max(profiles.bottom, ...cards.map((one) => one.bottom)) / room.bottom,
          hole: profiles.top - Math.max(...cards.map((one) => one.bottom))}
}"""
SETS = {
    "one": [xi.Roi("spot", y=(60, 90), x=(60, 92))],
    "two": [xi.Roi("spot", y=(60, 90), x=(60, 92)), xi.Roi("other", y=(20, 40), x=(160, 180))],
    "a tall one among them": [
        xi.Roi("spot", y=(60, 80), x=(232, 254)), xi.Roi("wide", y=(20, 40), x=(300, 420)),
        xi.Roi("low", y=(100, 130), x=(100, 160)), xi.Roi("tall", y=(20, 140), x=(150, 170)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("rois", SETS.values(), ids=SETS)
def test_cutouts_and_profiles_fill_the_column(folder, start, rois):
    explorer = explore(folder, rois=xi.RoiSet(rois), reading=TOKYO, browser=False)
    tab = start(explorer, size=(1100, 650))
    tab.measured(explorer, "spot")
    for size in ((1100, 650), (1366, 768), (1920, 1080), (2560, 1440), (3840, 2160)):
        resized(tab, size)
        tab.until("(n) => document.querySelectorAll('#cutouts canvas').length === n", len(rois))
        found = tab.page.evaluate(FILLED)
        assert found["right"] >= 0.75, (size, found)  # no white half
        assert found["down"] >= 0.99, (size, found)
        assert found["high"] >= 120, (size, found)
        assert tab.page.evaluate(HIDDEN, "#cutouts") == [], size
        if len(rois) < 3:
            assert found["hole"] < 40, (size, found)
    assert tab.errors == []


def test_nothing_moves_while_a_region_is_resized(folder, start):
    explorer = explore(folder, rois=xi.RoiSet(SETS["two"]), reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "spot")
    tab.at_rest()
    profiles, before = tab.page.locator(".profiles"), tab.page.locator(".profiles").bounding_box()
    x, y = tab.corner("roi:spot")
    tab.page.mouse.move(x, y)
    tab.page.mouse.down()
    for step in range(1, 9):
        tab.page.mouse.move(x + 8 * step, y)
        tab.page.wait_for_timeout(50)
    tab.settle(lambda: explorer.rois["spot"].shape[1] > 80)
    assert profiles.bounding_box() == before
    tab.page.mouse.up()
    tab.settle(lambda: profiles.bounding_box() != before)  # the cut-outs are wider now
    assert tab.errors == []
