"""The hand on the image and the page, by mouse and keyboard: box, panel and model say the same after each gesture."""

from __future__ import annotations

import time

import pytest

import xinsitu as xi
from tests.helpers.browser import PIXEL, PLACE, TOKYO, VIEW, in_a_browser
from xinsitu.app.serve import explore

pytestmark = in_a_browser

BOX = """(name) => {
  const box = Bokeh.documents[0].get_model_by_name(name)
  return box == null ? null : [box.top + 0.5, box.bottom + 0.5, box.left + 0.5, box.right + 0.5]
}"""
WHOLE = """() => {
  const rect = (one) => { const {left, top, right, bottom, width, height} = one.getBoundingClientRect()
                          return {left, top, right, bottom, width, height} }
  const figure = (name) => rect(Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name)).el)
  const parts = {bar: rect(document.querySelector("header")), left: rect(document.getElementById("left")),
                 right: rect(document.getElementById("right")), profiles: rect(document.querySelector(".profiles")),
                 cutouts: rect(document.getElementById("cutouts")), panel: rect(document.getElementById("panel"))}
  const names = ["image", "curve_com_l", "curve_fwhm_hk", "curve_intensity", "kymograph", "frame_slider"]
  for (const name of names)
    parts[name] = figure(name)
  return {parts, scrolls: [document.documentElement.scrollHeight, document.documentElement.scrollWidth]}
}"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("gestures"), measurements=1, frames=20)


def agree(tab, explorer, name):
    """Wait until the box on the page, the panel and the model have one place for the selected ROI, and return it."""
    model = explorer.model

    def same():
        if name not in model.regions.rois.names or model.regions.selected != name:
            return False
        (y0, y1), (x0, x1) = model.regions.rois[name].y, model.regions.rois[name].x
        typed = tab.field("rows y0:y1, columns x0:x1").input_value()
        return tab.page.evaluate(BOX, f"roi:{name}") == [y0, y1, x0, x1] and typed == f"{y0}:{y1}, {x0}:{x1}"

    tab.settle(same, f"page, panel and model differ about {name}")
    return explorer.rois[name]


def say_the_same(tab, explorer, name):
    """Wait until they agree and the numbers are those of it, and return the ROI."""
    agree(tab, explorer, name)
    tab.measured(explorer, name)
    return explorer.rois[name]


def spot(tab, name, down=0.5, across=0.5):
    place = tab.page.evaluate(PLACE, f"roi:{name}")
    return (
        place["left"] + (place["right"] - place["left"]) * across,
        place["top"] + (place["bottom"] - place["top"]) * down,
    )


def moved(tab, explorer, name):
    """Drag a ROI by its middle; it is selected, keeps its size, and lies elsewhere."""
    before = explorer.rois[name]
    tab.at_rest()
    tab.drag(spot(tab, name), (-14, 12))
    tab.settle(lambda: (explorer.rois[name].y, explorer.rois[name].x) != (before.y, before.x))
    after = say_the_same(tab, explorer, name)
    assert after.shape == before.shape
    assert after.x[0] < before.x[0]
    assert after.y[0] > before.y[0]


def draw(tab, explorer, corner, size):
    """Draw a ROI with the tool, and return its name."""
    known = set(explorer.rois.names)
    tab.page.keyboard.press("r")
    tab.at_rest()
    tab.drag(corner, size)
    tab.settle(lambda: len(explorer.rois) == len(known) + 1)
    (name,) = set(explorer.rois.names) - known
    say_the_same(tab, explorer, name)
    return name


def test_every_gesture_from_every_state(truth, start, tmp_path):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "WZ")
    model, keyboard = explorer.model, tab.page.keyboard
    tab.page.mouse.click(*spot(tab, "ZB"))
    say_the_same(tab, explorer, "ZB")
    moved(tab, explorer, "ZB")  # selected
    moved(tab, explorer, "TW")  # not selected
    whole = explorer.rois["TW"]
    tab.drag(spot(tab, "TW", 1, 1), (11, 9))
    tab.settle(lambda: explorer.rois["TW"].shape > whole.shape)
    assert say_the_same(tab, explorer, "TW").y[0] == whole.y[0]

    place = tab.page.evaluate(PIXEL, [15, 300])
    name = draw(tab, explorer, (place["x"], place["y"]), (40, 14))
    moved(tab, explorer, name)  # drawn
    tab.at_rest()
    tab.page.mouse.dblclick(*spot(tab, name))
    keyboard.type("spot A")
    keyboard.press("Enter")
    say_the_same(tab, explorer, "spot A")
    moved(tab, explorer, "spot A")  # renamed
    at = explorer.rois["spot A"]
    for chord, rows, columns in (("Alt+ArrowRight", 0, 1), ("Alt+Shift+ArrowUp", -10, 0), ("Alt+ArrowLeft", 0, -1)):
        keyboard.press(chord)
        at = at.moved(y=(at.y[0] + rows, at.y[1] + rows), x=(at.x[0] + columns, at.x[1] + columns))
        tab.settle(lambda at=at: explorer.rois["spot A"] == at)
    keyboard.press("Control+Alt+ArrowDown")
    tab.settle(lambda: explorer.rois["spot A"].y == (at.y[0], at.y[1] + 1))
    keyboard.press("Control+c")
    keyboard.press("Control+v")
    tab.settle(lambda: "spot A 2" in explorer.rois.names)
    say_the_same(tab, explorer, "spot A 2")
    moved(tab, explorer, "spot A 2")  # pasted
    last = explorer.rois["spot A 2"]
    keyboard.press("Delete")
    tab.settle(lambda: "spot A 2" not in explorer.rois.names)
    keyboard.press("Control+z")
    tab.settle(lambda: "spot A 2" in explorer.rois.names)
    tab.until("(name) => Bokeh.documents[0].get_model_by_name(name) != null", "roi:spot A 2")
    assert explorer.rois["spot A 2"] == last
    moved(tab, explorer, "spot A 2")  # undone

    xi.write_rois(xi.RoiSet([xi.Roi("tiny", y=(100, 106), x=(330, 336)), xi.Roi("far", y=(5, 45), x=(7, 60))]),
                  tmp_path / "other.json")  # fmt: skip
    tab.panel("Files")
    tab.page.locator("input[type=file]").set_input_files(tmp_path / "other.json")
    tab.settle(lambda: explorer.rois.names == ("tiny", "far"))
    tab.until("(name) => Bokeh.documents[0].get_model_by_name(name) != null", "roi:tiny")
    tab.panel("ROIs")
    moved(tab, explorer, "tiny")  # loaded, and small
    tab.page.locator("#cutouts figure").filter(has_text="far").click()
    tab.settle(lambda: model.regions.selected == "far")
    tab.until("() => location.search.includes('view=')")
    tab.page.reload()
    tab.there()
    tab.measured(explorer, "far")
    moved(tab, explorer, "tiny")  # restored
    assert tab.errors == []


def test_a_click_beside_all_rois_changes_nothing(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "WZ")
    before, selected = explorer.rois, explorer.model.regions.selected
    place = tab.page.evaluate(PIXEL, [180, 20])
    tab.page.mouse.click(place["x"], place["y"])
    tab.drag((place["x"], place["y"]), (30, -8))  # on empty ground, without the tool
    tab.page.keyboard.press("r")
    tab.page.keyboard.press("Escape")
    tab.drag((place["x"], place["y"]), (30, -8))
    tab.page.keyboard.press("ArrowRight")
    tab.settle(lambda: explorer.model.view.frame == 1)
    assert (list(explorer.rois), explorer.model.regions.selected) == (list(before), selected)


SIZES = [(3840, 2160), (2560, 1440), (1920, 1080), (1366, 768), (1100, 650)]
OVERLAID = f"""() => {{
  const figures = Object.fromEntries(["curve_com_l", "curve_intensity", "kymograph"].map((name) => {{
    const figure = Bokeh.documents[0].get_model_by_name(name)
    {VIEW}
    const area = view.canvas_view.el.getBoundingClientRect(), {{bbox}} = view.frame
    return [name, [area.left + bbox.left, area.top + bbox.top, area.left + bbox.right, area.top + bbox.bottom]]
  }}))
  const over = (one, other) => one[0] < other[2] && other[0] < one[2] && one[1] + 1 < other[3] && other[1] + 1 < one[3]
  const found = []
  for (const group of document.querySelectorAll("[data-plot]")) {{
    const {{left, top, right, bottom}} = group.getBoundingClientRect()
    for (const [name, frame] of Object.entries(figures))
      if (right > left && over([left, top, right, bottom], frame)) found.push(`${{group.dataset.plot}} over ${{name}}`)
  }}
  return found
}}"""
LABELS = f"""() => {{
  const figure = Bokeh.documents[0].get_model_by_name("image")
  {VIEW}
  const pen = document.createElement("canvas").getContext("2d")
  pen.font = "11px sans-serif"
  return figure.center.filter((one) => one.name?.startsWith("label:") && one.visible).map((one) => {{
    const x = view.frame.x_scale.compute(one.x) + one.x_offset, y = view.frame.y_scale.compute(one.y) - one.y_offset
    return {{name: one.text, left: x, right: x + pen.measureText(one.text).width, top: y - 14, bottom: y}}
  }})
}}"""


def crossing(labels):
    """Return pairs of names that cover each other."""
    pairs = [(one, other) for at, one in enumerate(labels) for other in labels[:at]]
    return [
        (one["name"], other["name"])
        for one, other in pairs
        if one["left"] < other["right"] and other["left"] < one["right"]
        and one["top"] < other["bottom"] and other["top"] < one["bottom"]
    ]  # fmt: skip


def test_everything_is_on_one_screen(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=SIZES[0])
    tab.measured(explorer, "WZ")
    for size in SIZES:
        tab.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        tab.at_rest()
        on_one_screen(tab, size, len(truth.rois))
    before = tab.page.evaluate(WHOLE)["parts"]["curve_intensity"]["width"]
    tab.page.locator("#fold").click()
    tab.at_rest()
    assert tab.page.evaluate(WHOLE)["parts"]["curve_intensity"]["width"] > before + 100  # the panel's room
    tab.page.locator("#fold").click()
    below_that_there_are_two_tabs(tab, explorer)
    tab.page.set_viewport_size({"width": 1100, "height": 650})
    tab.page.locator("#panel").wait_for()  # is there again
    assert tab.errors == []


def on_one_screen(tab, size, rois):
    found = tab.page.evaluate(WHOLE)
    parts, (width, height) = found["parts"], size
    assert found["scrolls"] == [height, width]
    assert parts["bar"]["height"] <= 33
    for name, part in parts.items():
        assert part["width"] > 40, (size, name)
        assert part["height"] > 25, (size, name)
        assert part["left"] >= 0, (size, name)
        assert part["top"] >= 0, (size, name)
        assert part["right"] <= width + 1, (size, name)
        assert part["bottom"] <= height + 1, (size, name)
    aspects = tab.page.evaluate("""() => [...document.querySelectorAll("#cutouts canvas")].map((one) => {
      const {width, height} = one.getBoundingClientRect()
      return width / height / (one.width / one.height)
    })""")
    assert len(aspects) == rois
    assert all(abs(aspect - 1) < 0.05 for aspect in aspects)  # pixels are square in the cut-outs, too
    used = sum(parts[name]["width"] * parts[name]["height"] for name in ("left", "right", "panel"))
    assert used >= 0.9 * width * (height - 32)
    tab.until(f"() => ({OVERLAID})().length === 0")  # switches cover no data
    where = "() => {const one = document.querySelector('header .where'); return one.scrollWidth <= one.clientWidth}"
    assert tab.page.evaluate(where), f"the line about the frame is cut at {size}"
    assert crossing(tab.page.evaluate(LABELS)) == [], size


def below_that_there_are_two_tabs(tab, explorer):
    tab.page.set_viewport_size({"width": 800, "height": 600})
    tab.page.locator("nav.narrow").wait_for()
    tab.at_rest()
    assert tab.page.locator("#image").is_visible()
    assert not tab.page.locator("#curves").is_visible()
    assert not tab.page.locator("#panel").is_visible()  # it would stand over the image
    tab.page.locator("nav.narrow").get_by_role("tab", name="curves").click()
    assert tab.page.locator("#curves").is_visible()
    assert tab.page.get_by_role("slider").first.is_visible()
    moved_to = explorer.model.view.frame + 1
    tab.page.keyboard.press("ArrowRight")
    tab.settle(lambda: explorer.model.view.frame == moved_to)


def test_names_of_close_regions_cover_each_other_nowhere(truth, start):
    close = [xi.Roi(f"spot number {n}", y=(60 + 3 * n, 80 + 3 * n), x=(200 + 4 * n, 216 + 4 * n)) for n in range(6)]
    explorer = explore(truth.folders["time1"], rois=xi.RoiSet(close), reading=TOKYO, browser=False)
    tab = start(explorer, size=(1100, 650))
    tab.at_rest()
    for name in ("spot number 0", "spot number 5"):
        tab.page.locator(f"#cutouts [data-roi='{name}']").click()
        tab.settle(lambda name=name: explorer.model.regions.selected == name)
        tab.at_rest()
        labels = tab.page.evaluate(LABELS)
        assert name in [one["name"] for one in labels]  # that of the selected one is always there
        assert crossing(labels) == []


def test_the_page_says_when_the_server_is_gone(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "WZ")
    assert not tab.page.locator("#lost").is_visible()
    explorer.stop()
    tab.page.locator("#lost").wait_for(timeout=5000)
    tab.until("() => document.getElementById('lost').textContent.includes('the server has ended')")


DASHED = """() => [...Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("image")).canvas_view.el.children]
  .filter((one) => one.style.borderStyle === "dashed").map((one) => one.style.display)"""
LAYOUTS = """() => {
  const {LayoutDOMView} = Bokeh.require("models/layouts/layout_dom"), plain = LayoutDOMView.prototype.update_layout
  window.layouts = 0
  LayoutDOMView.prototype.update_layout = function () {
    if (this.model.name === "curve_intensity") window.layouts += 1
    return plain.call(this)
  }
}"""


def test_what_is_drawn_stays_in_sight_until_its_region_is_there(truth, start, monkeypatch):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "WZ")
    plain, regions = type(explorer.model.regions).draw, type(explorer.model.regions)

    def slowly(self, *words):
        time.sleep(1)
        return plain(self, *words)

    monkeypatch.setattr(regions, "draw", slowly)
    tab.page.evaluate(LAYOUTS)
    place = tab.page.evaluate(PIXEL, [15, 300])
    tab.page.keyboard.press("r")
    tab.at_rest()
    tab.drag((place["x"], place["y"]), (40, 14))
    assert tab.page.evaluate(DASHED) == ["block"]
    tab.settle(lambda: len(explorer.rois) == len(truth.rois) + 1)
    tab.until("(name) => Bokeh.documents[0].get_model_by_name(`roi:${name}`) != null", explorer.rois.names[-1])
    assert tab.page.evaluate(DASHED) == ["none"]
    tab.measured(explorer, explorer.rois.names[-1])
    assert tab.page.evaluate("window.layouts") <= 2  # of all figures together, not once for each

    def refused(self, *words):
        raise xi.RoiError("not here")

    tab.page.keyboard.press("Escape")
    monkeypatch.setattr(regions, "draw", refused)
    tab.page.keyboard.press("r")
    tab.drag((place["x"], place["y"] + 60), (40, 14))
    tab.until(f"() => ({DASHED})()[0] === 'none'")
    assert tab.errors == []
