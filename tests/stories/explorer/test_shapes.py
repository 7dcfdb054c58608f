"""Regions of any shape on the page: drawn, stretched, changed by their handles, measured; curves follow."""

from __future__ import annotations

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore
from xinsitu.app.state.shape_edits import DRAWN, text_of
from xinsitu.values import Ellipse, Mask, Polygon, Roi, RoiSet

from .test_gestures import say_the_same, spot

pytestmark = in_a_browser

PLACES = """(points) => {
  const figure = Bokeh.documents[0].get_model_by_name('image'), view = Bokeh.index.find_one(figure)
  const {left, top} = view.canvas_view.el.getBoundingClientRect(), {x_scale, y_scale} = view.frame
  return points.map(([y, x]) => [left + x_scale.compute(x), top + y_scale.compute(y)])
}"""

LINE = "([axis, at]) => Array.from(Bokeh.documents[0].get_model_by_name('outlines').data[axis][at])"


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("shapes"), measurements=1, frames=20)


def on_screen(tab, *points):
    """Places on the screen of points ``(y, x)`` on the detector."""
    return tab.page.evaluate(PLACES, [list(point) for point in points])


def dragged(tab, start, stop):
    tab.at_rest()
    (x, y), (to_x, to_y) = on_screen(tab, start, stop)
    tab.page.mouse.move(x, y)
    tab.page.mouse.down()
    tab.page.mouse.move((x + to_x) / 2, (y + to_y) / 2, steps=3)
    tab.page.mouse.move(to_x, to_y, steps=3)
    tab.page.mouse.up()


def follows(tab, explorer, name):
    """Intensities that the page shows are those that measure gives for the shape."""
    model = explorer.model
    tab.measured(explorer, name)
    tab.at_rest()
    scan, correction = model.store.data, model.view.active_correction
    expected = xi.measure(scan, model.regions.rois, correction=correction).compute().intensity.sel(roi=name).values

    def same():
        found = model.numbers.of(name)
        return found is not None and np.allclose(found["intensity"].values.ravel(), expected, equal_nan=True)

    tab.settle(same, f"the curves of {name} are not those of its shape")


def test_a_shape_is_drawn_stretched_and_turned_and_its_curves_follow(truth, start):
    rois = RoiSet([Roi("first", y=(20, 60), x=(40, 90), background=("edge",))])
    explorer = explore(truth.folders["time1"], rois=rois, reading=TOKYO, browser=False)
    tab = start(explorer)
    model = explorer.model
    tab.measured(explorer, "first")

    tab.page.select_option("#drawn-shape", "ellipse")
    tab.page.click("[data-tool=draw]")
    dragged(tab, (79.5, 199.5), (129.5, 279.5))
    tab.settle(lambda: model.regions.selected != "first", "nothing was drawn")
    name = model.regions.selected
    tab.page.keyboard.press("Escape")
    shape = model.regions.rois[name].geometry
    assert isinstance(shape, Ellipse)
    np.testing.assert_allclose([*shape.centre, *shape.axes], [104.5, 239.5, 25, 40], atol=1.5)

    follows(tab, explorer, name)
    there = shape.centre[0] - 20, shape.centre[1] + 30
    dragged(tab, shape.centre, there)
    tab.settle(lambda: np.allclose(model.regions.rois[name].geometry.centre, there, atol=1.5), "it was not moved")
    tab.at_rest()
    moved = model.regions.rois[name].geometry
    assert moved.axes == shape.axes

    (handle, *_) = model.regions.handles()
    dragged(tab, handle, (moved.centre[0] + 20, moved.centre[1] + 20))
    tab.settle(lambda: abs(model.regions.rois[name].geometry.angle - 45) < 5, "it was not turned")
    follows(tab, explorer, name)
    tab.press("undo")
    tab.settle(lambda: model.regions.rois[name].geometry == moved, "undo did not take the turn back")
    assert tab.errors == []


def test_a_polygon_is_clicked_and_its_corner_dragged(truth, start):
    rois = RoiSet([Roi("first", y=(20, 60), x=(40, 90))])
    explorer = explore(truth.folders["time1"], rois=rois, reading=TOKYO, browser=False)
    tab = start(explorer)
    model = explorer.model
    tab.measured(explorer, "first")
    tab.page.select_option("#drawn-shape", "polygon")
    tab.page.click("[data-tool=draw]")
    corners = [(80, 200), (80, 300), (140, 300), (150, 220)]
    tab.at_rest()
    places = on_screen(tab, *corners)
    for x, y in places[:-1]:
        tab.page.mouse.click(x, y)
    tab.page.mouse.dblclick(*places[-1])
    tab.settle(lambda: model.regions.selected != "first", "no polygon")
    name = model.regions.selected
    tab.page.keyboard.press("Escape")
    shape = model.regions.rois[name].geometry
    assert isinstance(shape, Polygon)
    np.testing.assert_allclose(shape.points, corners, atol=1.5)
    dragged(tab, shape.points[0], (95, 215))
    tab.settle(lambda: abs(model.regions.rois[name].geometry.points[0][0] - 95) < 2, "the corner was not dragged")
    follows(tab, explorer, name)
    assert model.regions.rois[name].geometry.points[1:] == shape.points[1:]
    assert tab.errors == []


def agree(tab, explorer, name):
    """Wait until model, line and handles on the image, and panel have one shape for a ROI, and return it."""
    say_the_same(tab, explorer, name)
    model = explorer.model
    geometry = model.regions.rois[name].geometry

    def same():
        at = [roi.name for roi in model.regions.rois if roi.geometry is not None].index(name)
        line = np.concatenate(geometry.outlines())
        shown = [tab.page.evaluate(LINE, [axis, at]) for axis in ("ys", "xs")]
        handles = np.reshape(tab.get("channel", "handles"), (-1, 2))
        return (
            np.allclose(np.transpose(shown), np.concatenate([line, line[:1]]))
            and np.allclose(handles, model.regions.handles())
            and tab.field("shape").input_value() == geometry.kind
            and tab.field("shape as in files").input_value() == text_of(model.regions.rois[name])
        )

    if geometry is not None:
        tab.settle(same, f"page, panel and model have other shapes of {name}")
    return model.regions.rois[name]


def drawn(tab, explorer, kind):
    """Draw a ROI of a shape by mouse, give it the name of the shape, and return it."""
    tab.page.select_option("#drawn-shape", kind)
    tab.page.keyboard.press("r")
    if kind == "polygon":
        tab.at_rest()
        *first, last = on_screen(tab, (80, 200), (80, 300), (140, 300), (150, 220))
        for place in first:
            tab.page.mouse.click(*place)
        tab.page.mouse.dblclick(*last)
    else:
        dragged(tab, (79.5, 199.5), (129.5, 279.5))
    tab.page.locator("#rename").wait_for()
    tab.page.keyboard.type(f"a {kind}")
    tab.page.keyboard.press("Enter")
    tab.settle(lambda: f"a {kind}" in explorer.rois.names)
    return agree(tab, explorer, f"a {kind}")


def test_every_shape_by_mouse(truth, start):
    rois = RoiSet([Roi("first", y=(20, 60), x=(40, 90))])
    explorer = explore(truth.folders["time1"], rois=rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "first")
    regions = explorer.model.regions
    for kind in DRAWN:
        begun = drawn(tab, explorer, kind)
        name = begun.name
        assert kind == ("rectangle" if begun.geometry is None else begun.geometry.kind)

        tab.page.mouse.click(*spot(tab, "first"))  # what is not selected is moved by its body, too
        agree(tab, explorer, "first")
        tab.at_rest()
        tab.drag(spot(tab, name), (-40, -30))
        tab.settle(lambda name=name, begun=begun: explorer.rois[name].y != begun.y, f"the {kind} was not moved")
        moved = agree(tab, explorer, name)
        step = moved.y[0] - begun.y[0], moved.x[0] - begun.x[0]
        assert step < (-9, -9)
        assert moved == begun.moved(y=moved.y, x=moved.x)

        tab.at_rest()
        tab.drag(spot(tab, name, 1, 1), (24, 20))
        tab.settle(lambda name=name, moved=moved: explorer.rois[name] != moved, f"the {kind} was not stretched")
        wide = agree(tab, explorer, name)
        if kind != "sector":  # the end of its arc lies in the corner
            assert np.abs(np.subtract((wide.y[0], wide.x[0]), (moved.y[0], moved.x[0]))).max() <= 1
        assert wide.y[1] > moved.y[1]
        assert wide.x[1] > moved.x[1]

        states = [begun, moved, wide]
        for number in range(len(regions.handles())):
            (y, x), before = regions.handles()[number], explorer.rois[name]
            dragged(tab, (y, x), (y + 6, x - 9))
            tab.settle(lambda name=name, before=before: explorer.rois[name] != before, f"handle {number} of a {kind}")
            tab.page.wait_for_timeout(200)
            states.append(agree(tab, explorer, name))
            there = regions.handles()[number]
            assert np.hypot(there[0] - y, there[1] - x) > 3
            if number == 0 or kind == "polygon":  # it goes where it is put; others along one direction
                np.testing.assert_allclose(there, (y + 6, x - 9), atol=1.5)
        follows(tab, explorer, name)
        for before in states[-2::-1]:
            tab.page.keyboard.press("Control+z")
            tab.settle(lambda name=name, before=before: explorer.rois[name] == before, f"undo of a {kind}")
            agree(tab, explorer, name)
        for _ in states[1:]:
            tab.page.keyboard.press("Control+Shift+z")
        tab.settle(lambda name=name, states=states: explorer.rois[name] == states[-1], f"redo of a {kind}")
        tab.page.keyboard.press("Alt+ArrowLeft")
        last = states[-1]
        tab.settle(lambda name=name, last=last: explorer.rois[name].x[0] == last.x[0] - 1, f"nudge of a {kind}")
        assert agree(tab, explorer, name) == last.moved(x=(last.x[0] - 1, last.x[1] - 1))
        tab.page.keyboard.press("Delete")
        tab.settle(lambda name=name: name not in explorer.rois.names)
        assert tab.errors == [], kind


def test_corners_of_a_polygon_and_pixels_of_a_mask_come_and_go_by_mouse(truth, start):
    shape = Polygon(((80, 200), (80, 300), (140, 300), (150, 220)))
    explorer = explore(truth.folders["time1"], rois=RoiSet([Roi("a", geometry=shape)]), reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    keyboard, mouse = tab.page.keyboard, tab.page.mouse
    agree(tab, explorer, "a")

    keyboard.down("Alt")
    mouse.click(*on_screen(tab, (84, 250))[0])
    tab.settle(lambda: len(explorer.rois["a"].geometry.points) == 5, "no corner was added")
    np.testing.assert_allclose(agree(tab, explorer, "a").geometry.points[1], (84, 250), atol=1)
    tab.page.wait_for_timeout(600)
    mouse.click(*on_screen(tab, (140, 300))[0])
    tab.settle(lambda: len(explorer.rois["a"].geometry.points) == 4, "no corner was taken away")
    keyboard.up("Alt")
    assert (140, 300) not in agree(tab, explorer, "a").geometry.points
    keyboard.press("Control+z")
    keyboard.press("Control+z")
    tab.settle(lambda: explorer.rois["a"].geometry == shape, "undo did not bring the corners back")

    tab.field("shape").select_option("mask")
    tab.settle(lambda: isinstance(explorer.rois["a"].geometry, Mask), "it did not become pixels")
    pixels = say_the_same(tab, explorer, "a").geometry
    assert pixels.area == shape.weights("whole")[1].sum()
    for counted, begin, end in ((True, (60, 180), (60, 230)), (False, (110, 240), (110, 260))):
        before = explorer.rois["a"].geometry
        keyboard.down("Alt")
        dragged(tab, begin, end)
        keyboard.up("Alt")
        tab.settle(lambda before=before: explorer.rois["a"].geometry != before, "nothing was painted")
        tab.at_rest()
        after = say_the_same(tab, explorer, "a").geometry
        (row, first), (_, last) = begin, end
        way = after.holds((row, first + 2), (1, last - first - 4))
        assert way.all() == counted
        assert way.any() == counted
        assert abs(after.area - before.area) == pytest.approx(last - first + 1, abs=3)
    follows(tab, explorer, "a")
    keyboard.press("Control+z")
    keyboard.press("Control+z")
    tab.settle(lambda: explorer.rois["a"].geometry == pixels, "undo did not take the pixels back")
    assert tab.errors == []


def test_a_mask_from_a_file_is_drawn_painted_on_and_measured(truth, start, tmp_path):
    y, x = np.mgrid[:40, :60]
    mask = Mask.of((y // 3 + x // 5) % 3 > 0, (80, 220))
    xi.write_rois(RoiSet([Roi("loaded", geometry=mask)]), tmp_path / "rois.json")
    explorer = explore(truth.folders["time1"], reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.page.locator("input[type=file]").set_input_files(tmp_path / "rois.json")
    tab.settle(lambda: explorer.rois.names == ("loaded",), "the mask is not there")
    tab.at_rest()
    assert say_the_same(tab, explorer, "loaded").geometry == mask
    follows(tab, explorer, "loaded")
    tab.page.keyboard.down("Alt")
    dragged(tab, (130, 225), (130, 265))
    tab.page.keyboard.up("Alt")
    tab.settle(lambda: explorer.rois["loaded"].geometry != mask, "nothing was painted")
    tab.at_rest()
    assert say_the_same(tab, explorer, "loaded").geometry.area - mask.area == pytest.approx(41, abs=3)
    follows(tab, explorer, "loaded")
    assert tab.errors == []
