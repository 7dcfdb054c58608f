"""The first gestures on the image: every ROI can be clicked and dragged, and page, panel and model say the same."""

from __future__ import annotations

import json

import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore
from xinsitu.values import Roi, RoiSet

pytestmark = in_a_browser
WORDS = "rows y0:y1, columns x0:x1"


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("boxes"), measurements=1, frames=20)


def same_everywhere(tab, model, name):
    """The box on the page and the text in the panel are those of the model."""
    tab.until("(name) => Bokeh.documents[0].get_model_by_name(name) != null", f"roi:{name}")
    roi = tab.has_box(model, name)
    code = (
        "(name) => Bokeh.documents[0].get_model_by_name('image').center.filter((one) => one.name === name)"
        ".map((box) => [box.left, box.right, box.top, box.bottom].map(Number))"
    )
    (y0, y1), (x0, x1) = roi.y, roi.x
    edges = [[x0 - 0.5, x1 - 0.5, y0 - 0.5, y1 - 0.5]]
    tab.settle(lambda: tab.page.evaluate(code, f"roi:{name}") == edges, f"{name} is not there once, where it is")
    if model.regions.selected == name:
        tab.settle(lambda: tab.field(WORDS).input_value() == f"{y0}:{y1}, {x0}:{x1}", "the panel says something else")
        tab.settle(lambda: tab.field("name").first.input_value() == name)
    return roi


def inside(tab, name, part):
    """A point of the screen in a box: ``part`` of its height and width from its upper left corner, 0 to 1."""
    (left, top), (right, bottom) = tab.middle(f"roi:{name}"), tab.corner(f"roi:{name}")
    return left + (2 * part - 1) * (right - left), top + (2 * part - 1) * (bottom - top)


def moved(tab, model, name, part=0.3, step=(40, 20)):
    """Drag a ROI by a point of its body, and wait for the model."""
    before = same_everywhere(tab, model, name)
    tab.at_rest()
    drags = tab.get("channel", "drag[2]")
    tab.drag(inside(tab, name, part), step)
    tab.until("(n) => Bokeh.documents[0].get_model_by_name('channel').drag[2] >= n", drags + 2)
    tab.settle(lambda: model.regions.rois[name] != before, f"{name} was not moved")
    tab.at_rest()
    after = same_everywhere(tab, model, name)
    assert after.shape == before.shape, "it was resized, not moved"
    return before, after


def test_every_roi_is_clicked_and_dragged(truth, start):
    rois = RoiSet([
        Roi("wide", y=(30, 120), x=(60, 200)), Roi("within", y=(60, 80), x=(100, 130)),
        Roi("spot", y=(140, 146), x=(300, 306)), Roi("edge", y=(0, 40), x=(447, 487)),
    ])  # fmt: skip
    explorer = explore(truth.folders["time1"], rois=rois, reading=TOKYO, browser=False)
    tab = start(explorer)
    model = explorer.model
    tab.measured(explorer, "wide")
    assert model.regions.selected == "wide"
    before, after = moved(tab, model, "wide", part=0.12)  # selected, and not by its middle
    assert (after.y[0] > before.y[0], after.x[0] > before.x[0]) == (True, True)
    for name in ("within", "spot", "edge", "wide"):
        x, y = inside(tab, name, 0.5 if name != "wide" else 0.05)
        shown = list(model.regions.rois)
        tab.at_rest()
        tab.page.mouse.click(x, y)
        tab.settle(lambda: model.regions.selected == name, f"{name} was not selected")  # noqa: B023 - settled in this turn
        assert list(model.regions.rois) == shown, "a click moves nothing"
        same_everywhere(tab, model, name)
    moved(tab, model, "spot", part=0.5, step=(-60, -30))  # 6 x 6 pixels, not selected before
    assert model.regions.selected == "spot"
    moved(tab, model, "spot", part=0.5, step=(20, 10))
    tab.page.mouse.click(*tab.middle("roi:edge"))
    tab.settle(lambda: model.regions.selected == "edge")
    assert tab.errors == []


def test_every_new_roi_lies_where_the_model_has_it(truth, start, tmp_path):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer)
    model = explorer.model
    tab.measured(explorer, "WZ")
    for name in model.regions.rois.names:
        same_everywhere(tab, model, name)

    tab.press("add")
    tab.page.get_by_text("intensity", exact=True).last.click()
    tab.settle(lambda: model.regions.selected == "intensity")
    moved(tab, model, "intensity")
    tab.type("name", "new")
    tab.settle(lambda: model.regions.selected == "new")
    moved(tab, model, "new", step=(-30, 15))
    tab.press("duplicate")
    tab.settle(lambda: model.regions.selected == "new 2")
    _, placed = moved(tab, model, "new 2", part=0.8, step=(10, 10))
    tab.press("remove")
    tab.settle(lambda: "new 2" not in model.regions.rois.names)
    tab.press("undo")
    tab.settle(lambda: "new 2" in model.regions.rois.names)
    assert same_everywhere(tab, model, "new 2") == placed
    for name in model.regions.rois.names:
        same_everywhere(tab, model, name)

    document = json.loads(model.regions.rois_text())
    for number, one in enumerate(document["rois"]):
        one["name"] = f"loaded {number}"
        one["background"] = []
    (tmp_path / "rois.json").write_text(json.dumps(document))
    tab.page.locator("input[type=file]").set_input_files(tmp_path / "rois.json")
    tab.settle(lambda: "loaded 0" in model.regions.rois.names)
    moved(tab, model, "loaded 0", step=(15, 8))
    tab.page.reload()
    tab.there()
    tab.settle(lambda: explorer.model is not model)
    for name in model.regions.rois.names:
        assert same_everywhere(tab, explorer.model, name) == model.regions.rois[name]
    assert tab.errors == []


def test_what_is_meant_of_boxes_over_each_other(truth, start):
    rois = RoiSet([
        Roi("wide", y=(30, 170), x=(60, 300)), Roi("within", y=(90, 120), x=(100, 150)),
        Roi("first", y=(40, 46), x=(400, 406)), Roi("second", y=(40, 46), x=(400, 406)),
    ])  # fmt: skip
    explorer = explore(truth.folders["time1"], rois=rois, reading=TOKYO, browser=False)
    tab = start(explorer)
    model, regions = explorer.model, explorer.model.regions
    tab.measured(explorer, "wide")
    tab.at_rest()
    (x, _), (right, _) = tab.middle("roi:within"), tab.corner("roi:within")
    wide, within = regions.rois["wide"], regions.rois["within"]
    tab.drag((2 * x - right - 1, tab.middle("roi:within")[1]), (30, 0))  # the outer half of its line
    tab.settle(lambda: regions.rois["within"].x[0] > within.x[0], "its line is not its edge")
    assert regions.rois["wide"] == wide
    assert same_everywhere(tab, model, "within").x[1] == within.x[1]
    for name in ("second", "first"):  # the selected one of two in one place
        tab.page.locator(f"#cutouts [data-roi={name}]").click()
        tab.settle(lambda: regions.selected == name)  # noqa: B023 - settled in this turn
        moved(tab, model, name, part=0.5, step=(-40, 20))
        assert regions.selected == name
        tab.page.keyboard.press("Control+z")
        tab.settle(lambda: regions.rois["first"].y == regions.rois["second"].y)
    assert tab.errors == []


def test_the_panel_follows_a_roi_that_moves_with_the_frames(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer)
    regions, keyboard = explorer.model.regions, tab.page.keyboard
    tab.measured(explorer, "WZ")
    tab.page.mouse.click(*tab.middle("roi:WZ"))
    tab.settle(lambda: regions.selected == "WZ")
    keyboard.press("k")
    tab.settle(lambda: regions.rois["WZ"].path is not None)
    keyboard.press("End")
    tab.settle(lambda: explorer.model.view.frame == 19)
    keyboard.press("Alt+Shift+ArrowDown")
    for key in ("Home", "End", "ArrowLeft"):
        keyboard.press(key)

        def same():
            (y0, y1), (x0, x1) = regions.box("WZ")
            return tab.field(WORDS).input_value() == f"{y0}:{y1}, {x0}:{x1}"

        tab.settle(lambda key=key: explorer.model.view.frame == {"Home": 0, "End": 19, "ArrowLeft": 18}[key])
        tab.settle(same, f"the panel says another frame's place after {key}")
    assert tab.errors == []


def test_a_shape_that_was_chosen_is_drawn(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer)
    tab.measured(explorer, "WZ")
    tab.page.select_option("#drawn-shape", "ellipse")
    tab.at_rest()
    x, y = tab.middle("roi:WZ")
    tab.drag((x, y), (60, 40))
    tab.settle(lambda: len(explorer.rois) == len(truth.rois) + 1, "nothing was drawn")
    assert explorer.rois[explorer.rois.names[-1]].geometry.kind == "ellipse"
    assert tab.errors == []
