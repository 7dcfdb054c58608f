"""Regions of any shape on the page: drawn, stretched, changed by their handles, measured; curves follow."""

from __future__ import annotations

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore
from xinsitu.values import Ellipse, Polygon, Roi, RoiSet

pytestmark = in_a_browser

PLACES = """(points) => {
  const figure = Bokeh.documents[0].get_model_by_name('image'), view = Bokeh.index.find_one(figure)
  const {left, top} = view.canvas_view.el.getBoundingClientRect(), {x_scale, y_scale} = view.frame
  return points.map(([y, x]) => [left + x_scale.compute(x), top + y_scale.compute(y)])
}"""


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
