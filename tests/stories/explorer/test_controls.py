"""Every control of the page has a name and says what it does; switches at the plots change what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.serve import explore
from xinsitu.app.state import export
from xinsitu.app.state.model import ExplorerModel
from xinsitu.errors import SchemaError
from xinsitu.recipe import Reading

CONTROLS = """() => {
  const found = []
  const walk = (root) => {
    for (const one of root.querySelectorAll("*")) {
      if (one.shadowRoot) walk(one.shadowRoot)
      if (!one.matches("input, select, textarea, button, [role=slider], [role=separator], [role=listbox]")) continue
      const labels = [...(one.labels ?? [])].map((label) => label.textContent.trim()).join(" ")
      const text = one.matches("button") ? one.textContent.trim() : ""
      const name = one.getAttribute("aria-label") || labels || text
      found.push({name, tip: one.title || one.closest("[title]")?.title || "", html: one.outerHTML.slice(0, 160),
                  symbol: !/\\p{L}/u.test(name)})
    }
  }
  walk(document)
  return found
}"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("controls"), measurements=1, frames=40)


@pytest.fixture
def model(truth):
    store = FrameStore(open_source(truth.folders["time1"], reading=Reading(tz="Asia/Tokyo")))
    store.start()
    store.wait()
    model = ExplorerModel(store, rois=truth.rois)
    model.numbers.measure_now()
    yield model
    store.release()


@pytest.mark.thorough
def test_smoothed_curves_are_those_of_smooth_and_slopes_those_of_derivative(model):
    series = model.attenuation.shown("WZ")
    assert model.curves.drawn("WZ") is series or model.curves.drawn("WZ").equals(series)
    model.curves.smooth = True
    expected = xi.smooth(series["com_x"], 11)
    np.testing.assert_allclose(model.curves.drawn("WZ")["com_x"].values, expected.values, rtol=1e-9)
    model.curves.derivative = True
    expected = xi.derivative(series["intensity"], 11)
    np.testing.assert_allclose(model.curves.drawn("WZ")["intensity"].values, expected.values, rtol=1e-6, atol=1e-6)
    model.numbers.measure_now()
    np.testing.assert_array_equal(export.result(model)["com_x"].sel(roi="WZ").values, series["com_x"].values)
    assert "smooth='savgol:11,2', derivative=True" in export.script(model)
    assert export.figure(model, "png").startswith(b"\x89PNG")


def test_a_window_says_mean_and_slope_and_divides(model):
    x = model.view.coordinates()
    model.regions.selected = "WZ"
    model.curves.choose_window(float(x[20]) + 0.1, float(x[4]) - 0.1)  # either way round
    assert model.curves.span == (4, 21)
    assert model.view.message.startswith("WZ, 17 frames; COM l ")
    series = model.attenuation.shown("WZ")
    line = xi.slope(series["com_x"][4:21])
    stated = model.view.message.split("COM l ")[1].split(";")[0]
    assert abs(float(stated.split(" ± ")[0]) - float(series["com_x"][4:21].mean())) < 0.01
    assert abs(float(stated.split("slope ")[1].split(" ± ")[0]) - float(line["slope"])) < float(line["slope_errors"])
    model.curves.normalised = True
    drawn = model.curves.drawn("WZ")["intensity"].values
    assert np.nanmean(drawn[4:21]) == pytest.approx(1)
    np.testing.assert_allclose(drawn * float(series["intensity"][4:21].mean()), series["intensity"].values)
    with pytest.raises(SchemaError, match="three frames"):
        model.curves.choose_window(float(x[3]), float(x[4]))


class TestPage:
    pytestmark = in_a_browser

    def test_every_control_has_a_name_and_says_what_it_does(self, truth, start):
        explorer = explore(truth.folders["sample"], rois=truth.rois, reading=TOKYO, browser=False)
        tab = start(explorer, size=(1366, 768))
        tab.measured(explorer, "WZ")
        tab.page.mouse.move(700, 300)
        tab.page.wait_for_timeout(1500)
        found = tab.page.evaluate(CONTROLS)
        assert len(found) > 80
        nameless = [one["html"] for one in found if not one["name"] or one["symbol"]]
        assert nameless == []
        assert [one["html"] for one in found if not one["tip"]] == []
        assert tab.errors == []

    def test_switches_at_the_plots_and_a_window(self, truth, start):
        explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
        tab = start(explorer, size=(1366, 768))
        tab.measured(explorer, "WZ")
        model, page = explorer.model, tab.page
        tab.at_rest()
        for plot, name, attribute in (
            ("com", "smooth", "smooth"),
            ("com", "d/dt", "derivative"),
            ("intensity", "log", "log_intensity"),
            ("kymograph", "log", "log_kymograph"),
        ):
            page.locator(f"[data-plot={plot}]").get_by_role("button", name=name, exact=True).click()
            tab.settle(lambda attribute=attribute: getattr(model.part_with(attribute), attribute))
        tab.until("() => Bokeh.documents[0].get_model_by_name('curve_com_l').left[0].axis_label.includes('px/s')")
        expected = model.curves.drawn("WZ")["com_x"].values
        tab.settle(lambda: np.array_equal(tab.column("WZ", "com_x"), expected, equal_nan=True))
        begin, end = (tab.place("curve_fwhm_l", float(model.view.coordinates()[at])) for at in (5, 25))
        page.keyboard.down("Shift")
        page.mouse.move(begin["x"] - 2, begin["y"])
        page.mouse.down()
        page.mouse.move((begin["x"] + end["x"]) / 2, begin["y"], steps=4)
        page.mouse.move(end["x"] + 2, end["y"], steps=4)
        page.mouse.up()
        page.keyboard.up("Shift")
        tab.settle(lambda: model.curves.span is not None)
        assert abs(model.curves.span[0] - 5) <= 1
        assert abs(model.curves.span[1] - 26) <= 1
        assert model.view.window is None  # it did not zoom
        tab.settle(lambda: "slope" in model.view.message)
        assert tab.errors == []

    def test_dark_figures_where_the_page_is_dark(self, truth, start):
        explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
        tab = start(explorer, size=(1366, 768))
        tab.measured(explorer, "WZ")
        ground = "() => Bokeh.documents[0].get_model_by_name('curve_com_l').background_fill_color"
        assert tab.page.evaluate(ground) == "#ffffff"
        tab.page.locator("#help-button").click()
        tab.page.locator("[data-theme=dark]").click()
        tab.until(f"() => ({ground})() === '#16191d'")
        tab.page.keyboard.press("Escape")
        tab.page.locator("#help-button").click()
        tab.page.locator("[data-theme=light]").click()
        tab.until(f"() => ({ground})() === '#ffffff'")
        assert tab.errors == []
