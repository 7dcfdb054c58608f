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


BOXES = (((56, 77), (236, 254)), ((100, 130), (300, 340)), ((20, 40), (100, 130)))


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("newcomer"), measurements=3, frames=40)


def draw(tab, explorer, boxes):
    """Draw regions with the tool, see that they are selected and have curves, and return their names."""
    page = tab.page
    for y, x in boxes:
        known = set(explorer.rois.names)
        page.locator("[data-tool=draw]").click()
        tab.at_rest()
        begin, end = (page.evaluate(PIXEL, place) for place in ([y[0], x[0]], [y[1], x[1]]))
        tab.drag((begin["x"], begin["y"]), (end["x"] - begin["x"], end["y"] - begin["y"]))
        tab.settle(lambda known=known: len(explorer.rois) == len(known) + 1)
        page.mouse.click(begin["x"] - 4, begin["y"] - 40)  # beside it: the name stays
    drawn = [name for name in explorer.rois.names if name.startswith("ROI")]
    assert len(drawn) == 3
    tab.settle(lambda: page.evaluate(IN_THE_STRIP) == drawn[-1])  # it is selected, and in sight
    for name in drawn:
        tab.measured(explorer, name)
        assert np.isfinite(tab.column(name, "intensity")).any()
    return drawn


def save(tab, folder):
    """Save series, regions and a figure from the menu; they lie where results go."""
    for entry, ending in (("netCDF", ".nc"), ("ROIs", "rois.json"), ("PNG", ".png")):
        tab.page.locator("#save").click()
        tab.page.locator(f"#files [data-file={entry}]").click()
        tab.settle(lambda ending=ending: any(path.name.endswith(ending) for path in folder.iterdir()))


def agrees_with_the_page(tab, folder, drawn, figure):
    """What was saved holds the regions that were drawn and the one change that was taken."""
    (result,) = folder.glob("*.nc")
    saved = xi.read_results(result)
    assert set(drawn) <= set(saved["roi"].values)
    assert len(xi.attenuation_changes(saved)) == 1
    assert (folder / figure).read_bytes().startswith(b"\x89PNG")
    assert tab.errors == []


def test_with_the_mouse_alone(truth, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer = explore(truth.folders["sample"], reading=TOKYO, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "spot")
    model, page = explorer.model, tab.page
    drawn = draw(tab, explorer, [(roi.y, roi.x) for roi in list(truth.rois)[1:4]])  # three regions, each with the tool
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
    save(tab, tmp_path)
    agrees_with_the_page(tab, tmp_path, drawn, "0884.png")


def test_with_the_mouse_alone_on_real_frames(shared_data, start, tmp_path, monkeypatch):
    """The intensity falls a hundredfold; what may be no change of attenuation is taken after a question only."""
    monkeypatch.chdir(tmp_path)
    explorer = explore(shared_data / "i07" / "refl", browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "spot")
    drawn = draw(tab, explorer, BOXES)
    attenuation, page = explorer.model.attenuation, tab.page
    tab.panel("Attenuation")
    tab.press("find")
    tab.settle(lambda: attenuation.proposals and attenuation.rejected)
    page.locator("#changes .proposed").first.click()
    tab.press("accept")
    tab.settle(lambda: len(attenuation.changes) == 1)
    sure = page.locator("#sure")
    for answer, taken in (("leave it", 1), ("take it", 2)):
        page.locator("#changes .rejected").first.click()
        tab.press("accept")
        sure.wait_for()
        assert "not taken for a change" in sure.inner_text()
        sure.get_by_role("button", name=answer).click()
        sure.wait_for(state="hidden")
        tab.settle(lambda taken=taken: len(attenuation.changes) == taken and not attenuation.question)
    ticks = "Bokeh.documents[0].get_model_by_name('evidence').left[0].formatter.doFormat([1, 100, 1e6], {loc: 0})"
    assert page.evaluate(ticks) == ["1", "100", "1e6"]
    assert "nan" not in explorer._sessions[-1].evidence.table.text
    tab.press("reject")
    tab.settle(lambda: len(attenuation.changes) == 1)
    save(tab, tmp_path)
    agrees_with_the_page(tab, tmp_path, drawn, "refl.png")
