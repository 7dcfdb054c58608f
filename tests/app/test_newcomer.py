"""The first ten minutes of a newcomer, by mouse alone: draw regions, see curves, correct a change, save, a figure."""

from __future__ import annotations

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import PIXEL, TOKYO, in_a_browser
from xinsitu.app.serve import explore

pytestmark = in_a_browser


IN_THE_STRIP = """() => {
  const strip = document.getElementById("cutouts").getBoundingClientRect()
  const card = document.querySelector("#cutouts [aria-selected=true]"), {left, right} = card.getBoundingClientRect()
  return left >= strip.left - 1 && right <= strip.right + 1 ? card.dataset.roi : null
}"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("newcomer"), measurements=3, frames=40)


def test_with_the_mouse_alone(truth, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer = explore(truth.folders["sample"], reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "spot")
    model, page = explorer.model, tab.page
    for roi in list(truth.rois)[1:4]:  # three regions, each with the tool
        known = set(explorer.rois.names)
        page.locator("[data-tool=draw]").click()
        tab.at_rest()
        begin, end = (page.evaluate(PIXEL, place) for place in ([roi.y[0], roi.x[0]], [roi.y[1], roi.x[1]]))
        tab.drag((begin["x"], begin["y"]), (end["x"] - begin["x"], end["y"] - begin["y"]))
        tab.settle(lambda known=known: len(explorer.rois) == len(known) + 1)
        page.mouse.click(begin["x"] - 4, begin["y"] - 40)  # beside it: the name stays
    drawn = [name for name in explorer.rois.names if name.startswith("ROI")]
    assert len(drawn) == 3
    tab.settle(lambda: page.evaluate(IN_THE_STRIP) == drawn[-1])  # it is selected, and in sight
    for name in drawn:
        tab.measured(explorer, name)
        assert np.isfinite(tab.column(name, "intensity")).any()
    tab.panel("Attenuation")
    tab.press("find")
    tab.settle(lambda: bool(model.attenuation.proposals))
    page.locator("#changes .proposed").first.click()
    tab.press("accept")
    tab.settle(lambda: len(model.attenuation.changes) == 1)
    before, after = model.attenuation.place_of(model.attenuation.changes[0])
    assert any(
        abs(before - place) <= 2 for place in [model.attenuation.place_of(change)[0] for change in truth.changes]
    )
    assert after > before
    for entry, ending in (("netCDF", ".nc"), ("ROIs", "rois.json"), ("PNG", ".png")):
        page.locator("#save").click()
        page.locator(f"#files [data-file={entry}]").click()
        tab.settle(lambda ending=ending: any(path.name.endswith(ending) for path in tmp_path.iterdir()))
    (result,) = tmp_path.glob("*.nc")
    saved = xi.read_results(result)
    assert set(drawn) <= set(saved["roi"].values)
    assert len(xi.attenuation_changes(saved)) == 1
    assert (tmp_path / "0884.png").read_bytes().startswith(b"\x89PNG")
    assert tab.errors == []
