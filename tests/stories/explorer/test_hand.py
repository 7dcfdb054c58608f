"""Every gesture by mouse and keyboard, at three sizes, on simulated and on real frames; one page for all."""

from __future__ import annotations

import pytest

import xinsitu as xi
from tests.helpers.browser import PIXEL, TOKYO, in_a_browser
from xinsitu.app.serve import explore
from xinsitu.recipe import Reading

from .test_gestures import draw, moved, say_the_same, spot

pytestmark = in_a_browser
SIZES = [(1920, 1080), (1366, 768), (1100, 650)]
FIGURE = """(name) => {
  const figure = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name)).el.getBoundingClientRect()
  return {left: figure.left, top: figure.top, bottom: figure.bottom}
}"""
CURSOR = "Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name('image')).canvas_view.el.style.cursor"
CHOSEN = """() => [document.querySelector("#chips .selected")?.textContent,
  document.querySelector("#cutouts [aria-selected=true]")?.dataset.roi]"""


@pytest.fixture(params=["simulated", "I07"])
def page(request, start, tmp_path):
    """A tab with an explorer as it begins by itself: one region on the spot, one beside it."""
    if request.param == "I07":
        folder = request.getfixturevalue("shared_data") / "i07" / "refl" / "380404"
        reading = Reading(tz="Europe/London")
    else:
        folder, reading = xi.simulate_sample(tmp_path, measurements=1, frames=40).folders["time1"], TOKYO
    explorer = explore(folder, reading=reading, browser=False)
    tab = start(explorer, size=SIZES[0])
    tab.measured(explorer, "spot")
    return tab, explorer


def test_every_gesture_at_three_sizes(page):
    tab, explorer = page
    for size in SIZES:
        tab.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        tab.at_rest()
        for gestures in (on_regions, on_the_image, of_keys, on_curves, on_chips, in_the_list):
            gestures(tab, explorer)
            assert tab.errors == [], (size, gestures.__name__)
        assert explorer.rois.names == ("spot", "background")


def chosen(tab, explorer, name):
    """Wait until chip, panel and cut-out are those of a region."""
    say_the_same(tab, explorer, name)
    tab.until(f"(name) => ({CHOSEN})().every((one) => one === name)", name)


def on_regions(tab, explorer):
    before = list(explorer.rois)
    for name in ("background", "spot"):
        tab.page.mouse.click(*spot(tab, name))
        chosen(tab, explorer, name)
    assert list(explorer.rois) == before  # a click moves nothing
    tab.page.mouse.move(*spot(tab, "spot", 0.5, 1))
    tab.until(f"() => {CURSOR} === 'ew-resize'")
    moved(tab, explorer, "spot")
    moved(tab, explorer, "background")  # not selected
    whole = explorer.rois["spot"]
    for down, across, step in ((0.5, 1, (12, 0)), (1, 1, (10, 9))):  # an edge, a corner
        tab.at_rest()
        tab.drag(spot(tab, "spot", down, across), step)
        tab.settle(lambda whole=whole: explorer.rois["spot"].shape > whole.shape)
        after = say_the_same(tab, explorer, "spot")
        assert (after.y[0], after.x[0]) == (whole.y[0], whole.x[0])
        assert down == 1 or after.y == whole.y
        whole = after
    for _ in range(4):
        tab.page.keyboard.press("Control+z")
    tab.settle(lambda: list(explorer.rois) == before)
    tab.at_rest()
    tab.page.mouse.dblclick(*spot(tab, "spot"))
    for name in ("peak", "spot"):
        tab.page.keyboard.type(name)
        tab.page.keyboard.press("Enter")
        chosen(tab, explorer, name)
        if name == "peak":
            tab.at_rest()
            tab.page.mouse.dblclick(*spot(tab, "peak"))


def on_the_image(tab, explorer):
    view, mouse, keyboard = explorer.model.view, tab.page.mouse, tab.page.keyboard
    (top, bottom), (left, right) = view.shape
    place = tab.page.evaluate(PIXEL, [top + 0.2 * (bottom - top), left + 0.8 * (right - left)])
    before = list(explorer.rois)
    keyboard.press("r")
    keyboard.press("Escape")
    tab.drag((place["x"], place["y"]), (20, 8))  # nothing is in the hand
    name = draw(tab, explorer, (place["x"], place["y"]), (24, 12))
    keyboard.press("Escape")  # its name was offered to be typed over
    tab.page.locator("#rename").wait_for(state="detached")
    keyboard.press("Delete")
    tab.settle(lambda: name not in explorer.rois.names)
    assert list(explorer.rois) == before
    tab.at_rest()
    mouse.move(*spot(tab, "spot"))
    tab.until("() => /column \\d+, row \\d+ · .* · spot$/.test(document.getElementById('under').textContent)")
    mouse.wheel(0, -400)
    tab.settle(lambda: view.part is not None)
    for press, button in ((" ", "left"), (None, "middle")):
        zoomed = view.part
        at = spot(tab, "spot")
        if press:
            keyboard.down(press)
        mouse.move(*at)
        mouse.down(button=button)
        mouse.move(at[0] + 20, at[1] + 6, steps=5)
        mouse.up(button=button)
        if press:
            keyboard.up(press)
        tab.settle(lambda zoomed=zoomed: view.part != zoomed)
    keyboard.press("f")
    tab.settle(lambda: view.part is None)
    assert list(explorer.rois) == before


def of_keys(tab, explorer):
    model, keyboard = explorer.model, tab.page.keyboard
    last = model.view.n_frames - 1
    for key, frame in (("Home", 0), ("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10),
                       ("Shift+ArrowLeft", 0), ("End", last), ("Home", 0)):  # fmt: skip
        keyboard.press(key)
        tab.settle(lambda frame=frame: model.view.frame == frame, key)
    keyboard.press(" ")
    tab.settle(lambda: model.view.frame > 1, "it does not play")
    keyboard.press(" ")
    keyboard.press("Tab")
    tab.settle(lambda: model.regions.selected != "spot")
    keyboard.press("Shift+Tab")
    chosen(tab, explorer, "spot")
    before = at = explorer.rois["spot"]
    for chord, rows, columns in (("Alt+ArrowRight", 0, 1), ("Alt+Shift+ArrowDown", 10, 0), ("Alt+ArrowLeft", 0, -1),
                                 ("Alt+Shift+ArrowUp", -10, 0)):  # fmt: skip
        keyboard.press(chord)
        at = at.moved(y=(at.y[0] + rows, at.y[1] + rows), x=(at.x[0] + columns, at.x[1] + columns))
        tab.settle(lambda at=at: explorer.rois["spot"] == at, chord)
    keyboard.press("Control+Alt+ArrowDown")
    tab.settle(lambda: explorer.rois["spot"].y == (at.y[0], at.y[1] + 1))
    keyboard.press("Control+z")
    tab.settle(lambda: explorer.rois["spot"] == before)
    keyboard.press("Control+Shift+z")
    tab.settle(lambda: explorer.rois["spot"] != before)
    keyboard.press("Control+z")
    tab.settle(lambda: explorer.rois["spot"] == before)
    keyboard.press("Control+c")
    keyboard.press("Control+v")
    tab.settle(lambda: "spot 2" in explorer.rois.names)
    chosen(tab, explorer, "spot 2")
    keyboard.press("Delete")
    tab.settle(lambda: explorer.rois.names == ("spot", "background"))


def on_curves(tab, explorer):
    view, mouse = explorer.model.view, tab.page.mouse
    x = view.coordinates()
    tab.click_curve(f"curve_com_{view.direction('x')}", float(x[7]))
    tab.settle(lambda: view.frame == 7)
    begin, end = (tab.place("curve_intensity", float(x[at])) for at in (5, 25))
    tab.drag((begin["x"], begin["y"]), (end["x"] - begin["x"], 3))
    tab.settle(lambda: view.window is not None)
    tab.page.wait_for_timeout(700)
    middle = tab.place("curve_intensity", float(x[15]))
    mouse.dblclick(middle["x"], middle["y"])
    tab.settle(lambda: view.window is None)
    begin, end = (tab.place("curve_intensity", float(x[at])) for at in (5, 25))
    said = tab.page.locator("#told li")
    before = said.count()
    tab.page.keyboard.down("Shift")
    tab.drag((begin["x"] - 2, begin["y"]), (end["x"] - begin["x"] + 4, 0))
    tab.page.keyboard.up("Shift")
    tab.settle(lambda: said.count() > before, "the window is not said")
    assert "slope" in said.first.text_content()
    before = high(tab, "curve_intensity")
    for larger in (True, False):
        at = tab.page.evaluate(FIGURE, "curve_intensity")
        mouse.click(at["left"] + 8, (at["top"] + at["bottom"]) / 2)  # what the axis is called
        tab.settle(
            lambda larger=larger: (high(tab, "curve_intensity") > before + 40) == larger, "no larger, or no less"
        )


def high(tab, name):
    at = tab.page.evaluate(FIGURE, name)
    return at["bottom"] - at["top"]


def on_chips(tab, explorer):
    regions, chip = explorer.model.regions, tab.page.locator("#chips button")
    chip.filter(has_text="spot").click()
    tab.settle(lambda: regions.hidden == ("spot",))
    tab.page.keyboard.press("Control+a")
    tab.settle(lambda: regions.hidden == ())
    chip.filter(has_text="background").click(modifiers=["Alt"])
    tab.settle(lambda: regions.hidden == ("spot",))
    chip.filter(has_text="background").click(modifiers=["Alt"])
    tab.settle(lambda: regions.hidden == ())
    tab.page.locator("#cutouts figure").filter(has_text="spot").click()
    chosen(tab, explorer, "spot")


def in_the_list(tab, explorer):
    """Add a change by two clicks on a curve, walk to it, reject it."""
    attenuation, x = explorer.model.attenuation, explorer.model.view.coordinates()
    tab.panel("Attenuation")
    tab.press("add by clicks")
    tab.settle(lambda: explorer.model.view.picking)
    for frame in (12, 13):
        tab.click_curve("curve_intensity", float(x[frame]))
        tab.settle(lambda frame=frame: explorer.model.view.frame == frame)
    tab.settle(lambda: len(attenuation.changes) == 1 or attenuation.question)
    if attenuation.question:
        tab.page.locator("#sure").get_by_role("button", name="take it").click()
        tab.settle(lambda: len(attenuation.changes) == 1)
    listed = tab.page.locator("#changes")
    listed.locator("div").first.wait_for()
    listed.focus()
    for key in ("ArrowDown", "ArrowUp"):
        tab.page.keyboard.press(key)
    tab.settle(lambda: attenuation.looked_at == 0)
    tab.page.keyboard.press("Delete")
    tab.settle(lambda: attenuation.changes == ())
    tab.panel("ROIs")
    tab.page.evaluate("document.activeElement.blur()")
