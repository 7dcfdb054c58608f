"""What the page says of the frame beside its picture: pixels that are no good, what happened when, and the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore
from xinsitu.physics.corrections.apply import Correction

pytestmark = in_a_browser

LEGEND = "() => [...document.querySelectorAll('#legend span')].map((one) => one.textContent)"
PIXEL_OF_CUTOUT = """([name, y, x]) => Array.from(
  document.querySelector(`#cutouts [data-roi="${name}"] canvas`).getContext("2d").getImageData(x, y, 1, 1).data)"""
MARKS = """() => {
  const handle = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("frame_slider")).el.shadowRoot
  const bar = handle.querySelector(".noUi-base").getBoundingClientRect()
  return [...document.querySelectorAll("#marks i")].map((one) => {
    const {left, width} = one.getBoundingClientRect()
    return [one.className, (left - bar.left) / bar.width, width / bar.width, one.title]
  })
}"""
NUMBERS = """() => Object.fromEntries([...document.querySelectorAll("#numbers dt")].map((one) =>
  [one.textContent, [one.nextSibling.textContent, one.nextSibling.title]]))"""
SENT = """Bokeh.documents[0].get_model_by_name("kymograph").renderers
  .find((one) => one.glyph.type === "Image").data_source.data.image[0]"""


@pytest.fixture
def scan(tmp_path):
    truth = xi.simulate_sample(tmp_path, measurements=1, frames=40)
    return xi.open_measurement(truth.folders["time1"], tz=TOKYO.tz).load()


def test_pixels_that_are_no_good(scan, start):
    values, cutoff = scan.image.values, int(scan.image.attrs["count_cutoff"])
    values[0, 20:22, 30:33] = cutoff + 7
    values[0, 25, 30:34] = -2
    mask = xr.zeros_like(scan.image[0], dtype=bool).drop_vars("time")
    mask[5:7, 5:9] = True
    rois = xi.RoiSet([xi.Roi("A", y=(18, 30), x=(28, 40))])
    explorer = explore(scan, rois=rois, correction=Correction(mask=mask), browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, "A")
    tab.until(f"() => ({LEGEND})().join() === '8 masked,4 faulty,6 saturated'")
    states = np.array(tab.page.evaluate("Array.from(Bokeh.documents[0].get_model_by_name('states').data.image[0])"))
    np.testing.assert_array_equal(np.flatnonzero(states == 3), np.flatnonzero((values[0] >= cutoff).ravel()))
    tab.at_rest()
    assert tab.page.evaluate(PIXEL_OF_CUTOUT, ["A", 2, 2]) == [0, 0xE5, 0xFF, 255]
    assert tab.page.evaluate(PIXEL_OF_CUTOUT, ["A", 7, 2]) == [0xFF, 0x9A, 0xD5, 255]
    tab.page.mouse.click(5, 5)
    tab.page.keyboard.press("ArrowRight")  # these stay masked, and nothing else
    tab.until(f"() => ({LEGEND})().join() === '8 masked'")
    tab.page.keyboard.press("ArrowLeft")
    tab.until(f"() => ({LEGEND})().length === 3")
    assert tab.errors == []


def test_events_and_segments_on_the_track(scan, start):
    explorer = explore(scan, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, explorer.rois.names[0])
    model = explorer.model
    assert tab.page.evaluate(MARKS) == []
    tab.type("go to", "8")
    tab.settle(lambda: model.view.frame == 8)
    tab.panel("Events")
    tab.page.get_by_placeholder("In shutter open").fill("In <open>")
    tab.page.get_by_placeholder("In shutter open").press("Enter")
    tab.press("at this frame")
    tab.settle(lambda: len(model.logbook.events) == 1)
    tab.panel("Attenuation")
    tab.press("add by clicks")
    tab.settle(lambda: bool(model.view.picking))
    for frame in (20, 24):
        tab.click_curve("curve_intensity", float(model.view.coordinates()[frame]))
    tab.settle(lambda: model.attenuation.question or model.attenuation.changes)
    if model.attenuation.question:
        tab.page.locator("#sure").get_by_role("button", name="take it").click()
    tab.settle(lambda: len(model.attenuation.changes) == 1)
    before, after = model.attenuation.place_of(model.attenuation.changes[0])
    tab.until("() => document.querySelectorAll('#marks i').length === 4")
    tab.at_rest()
    last = model.view.n_frames - 1
    found = {kind: (left * last, width * last, title) for kind, left, width, title in tab.page.evaluate(MARKS)}
    assert found["change"][0] == pytest.approx(before, abs=0.3)
    assert found["change"][1] == pytest.approx(after - before, abs=0.5)
    assert found["event"][0] == pytest.approx(8, abs=0.3)
    assert found["event"][2] == "event: In <open>"
    assert found["segment"][0] == pytest.approx(after, abs=0.3)  # the second one
    assert "×" in found["change"][2]
    tab.page.locator("#marks .event").click()
    tab.settle(lambda: model.view.frame == 8)
    tab.page.locator("#marks .change").click()
    tab.settle(lambda: model.view.frame == after)
    assert tab.errors == []


def test_numbers_of_the_frame_and_why_there_is_none(scan, start):
    spot = xi.Roi("spot", y=(80, 130), x=(60, 120))
    corner = xi.Roi("corner", y=(100, 106), x=(86, 92))  # inside the spot: the half level is not crossed
    only = xi.Roi("only", y=(80, 130), x=(60, 120), measure=("intensity",))
    explorer = explore(scan, rois=xi.RoiSet([spot, corner, only]), browser=False)
    tab = start(explorer, size=(1366, 900))
    tab.measured(explorer, "only")
    model = explorer.model
    tab.until("() => document.querySelectorAll('#numbers dd').length === 5")
    tab.page.mouse.click(5, 5)
    tab.page.keyboard.press("End")
    last = model.view.n_frames - 1
    tab.settle(lambda: model.view.frame == last)
    one = model.attenuation.shown("spot").isel(time=last)
    tab.settle(lambda: tab.page.evaluate(NUMBERS)["COM l"][0].startswith(f"{float(one['com_x']):.2f}"[:6]))
    found = tab.page.evaluate(NUMBERS)
    assert found["COM l"][0].endswith(" px")
    assert "±" in found["FWHM hk"][0]
    assert found["intensity"][0].endswith("counts")
    for name, label, why in (
        ("corner", "FWHM l", "half level not crossed"),
        ("only", "COM l", "only does not measure it"),
    ):
        tab.page.locator(f"#cutouts [data-roi={name}]").click()
        tab.settle(lambda label=label, why=why: tab.page.evaluate(NUMBERS).get(label) == ["–", why])
    assert "nan" not in tab.page.locator("#numbers").inner_text()
    assert tab.errors == []


def test_a_kymograph_that_changed_in_part_is_whole_on_the_page(scan, start):
    explorer = explore(scan, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, explorer.rois.names[0])
    session = explorer._sessions[0]
    tab.settle(lambda: session.kymograph._found is not None and session.drawing[session.kymograph].idle)
    found = session.kymograph._found
    values = found.values.copy()
    values[:, 3:5], values[2, 6] = np.nan, 1e6
    session._next(lambda: session.kymograph.take(replace(found, values=values)))
    tab.until(f"(peak) => Array.from({SENT}).includes(peak)", 1e6)
    sent = np.array(tab.page.evaluate(f"() => Array.from({SENT}, String)"), dtype="float32")
    np.testing.assert_array_equal(sent.reshape(values.shape), values)
    assert tab.errors == []


def test_shift_and_absolute_in_words(scan, start):
    explorer = explore(scan, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, explorer.rois.names[0])
    model = explorer.model
    assert model.curves.shift
    for words, shift in (("absolute", False), ("shift", True)):
        tab.toggle("right", words)
        tab.settle(lambda shift=shift: model.curves.shift is shift)
        tab.until("(shift) => Bokeh.documents[0].get_model_by_name('channel').shift === shift", shift)
    assert tab.errors == []
