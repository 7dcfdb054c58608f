"""A quantity more among the curves of the page: measured when it is chosen, never before."""

from __future__ import annotations

import numpy as np

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore
from xinsitu.values import Roi, RoiSet, Rotated

pytestmark = in_a_browser
HEIGHT = """() => Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name('curve_further')).el.clientHeight"""
CURVE = "(at) => Array.from(Bokeh.documents[0].get_model_by_name('further')?.data.ys[at] ?? [], String)"


def same_curve(one, other):
    return one.shape == other.shape and np.allclose(one, other, equal_nan=True)


def test_a_quantity_is_drawn_when_it_is_chosen_and_follows_the_roi(tmp_path, start):
    folder = xi.simulate_sample(tmp_path, measurements=1, frames=20).folders["time1"]
    rois = RoiSet([Roi("first", y=(80, 120), x=(210, 270)), Roi("box", geometry=Rotated((104, 88), (40, 60), 20))])
    explorer = explore(folder, rois=rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "box")
    assert tab.page.evaluate("() => Bokeh.documents[0].get_model_by_name('curve_further')") is None
    assert explorer.model.further.found is None
    scan, correction = explorer.model.store.data, explorer.model.view.active_correction

    def shows(name, *asked):
        tab.field("a quantity more").select_option(label=name)
        quantity = dict(std="std", **{"sigma l": "sigma_x", "FWHM along": "fwhm_along", "maximum": "maximum"})[name]
        drawn(quantity, *asked)

    def drawn(quantity, *asked):
        expected = xi.measure(scan, explorer.rois.also(*asked), correction=correction).compute()[quantity]

        def same():
            found = [np.array(tab.page.evaluate(CURVE, at), dtype=float) for at in range(2)]
            return all(map(same_curve, found, expected.values.T))

        tab.settle(same, f"the page does not show {quantity}")
        tab.until(f"() => ({HEIGHT})() > 40")

    shows("std", "std")
    shows("sigma l", "sigma")
    shows("maximum")
    shows("FWHM along")
    tab.drag_roi("box", (9, 4))
    tab.measured(explorer, "box")
    drawn("fwhm_along")
    tab.page.reload()  # what was shown is there again
    tab.there()
    tab.measured(explorer, "box")
    drawn("fwhm_along")
    assert tab.field("a quantity more").input_value() == "FWHM along"
    tab.field("a quantity more").select_option(label="also: —")
    tab.until("() => Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name('curve_further')) == null")
    assert explorer.model.further.request() is None
    assert tab.errors == []
