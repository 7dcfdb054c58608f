"""What one sees and does on the page beside dragging, in a real browser: the image, the axes, the sample, beam time."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import FRAME, PIXEL, TOKYO, in_a_browser
from xinsitu.app import explorer as explorer_module
from xinsitu.app.serve import explore
from xinsitu.app.state.view_file import document
from xinsitu.digits import with_error
from xinsitu.recipe import Correcting

pytestmark = in_a_browser

COLUMN = """([name, column, values]) => {
  const shown = Array.from(Bokeh.documents[0].get_model_by_name(name).data[column] ?? [])
  return shown.length === values.length && shown.every((value, i) => value === values[i])
}"""
BARS = "(name) => Array.from(Bokeh.documents[0].get_model_by_name('bars:WZ').data[name])"
DATED = """(dated) => ["kymograph"].every((name) => {
  const shown = Bokeh.documents[0].get_model_by_name(name).below.filter((axis) => axis.visible)
  return shown.length === 1 && (shown[0].type === "DatetimeAxis") === dated
})"""
ENDS = "([name, range]) => {const one = Bokeh.documents[0].get_model_by_name(name)[range]; return [one.start, one.end]}"
X_RANGE = """([first, last]) => {
  const {start, end} = Bokeh.documents[0].get_model_by_name("curve_com_l").x_range
  return start < first && last < end && end - start < 1.1 * (last - first) + 1
}"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("page"), measurements=2, frames=40)


def click_curve(tab, explorer, frame):
    tab.click_curve("curve_com_l", float(explorer.model.view.coordinates()[frame]))


def test_q_and_angles_under_the_mouse(truth, start):
    middle, pixel, distance, wavelength = (97.25, 300.5), 172e-6, 0.25, 1.1e-10
    stands = xi.DetectorGeometry(distance, wavelength, beam_centre=middle, pixel_size=(pixel, pixel))
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False, geometry=stands)
    tab = start(explorer)
    tab.measured(explorer, "WZ")
    tip = tab.page.locator("#under")
    for row, column in ((30, 300), (97.4, 60.3), (0, 0), (194, 486)):  # azimuths go round at row 97.25
        at = tab.page.evaluate(PIXEL, [row, column])
        tab.page.mouse.move(at["x"] - 3, at["y"])
        tab.page.mouse.move(at["x"], at["y"])
        tab.settle(lambda words=f"column {column:.0f}, row {row:.0f} ": words in tip.text_content())
        place = tab.page.evaluate(
            """({x, y}) => {
          const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("image"))
          const area = view.canvas_view.el.getBoundingClientRect(), {x_scale, y_scale} = view.frame
          return [y_scale.invert(y - area.top), x_scale.invert(x - area.left)]}""",
            at,
        )
        y, x = (pixel * (one - first) for one, first in zip(place, middle, strict=True))
        angle = np.arctan2(np.hypot(y, x), distance)
        said = tip.text_content().split(" · ")
        parts = dict(part.rstrip("° Å⁻¹").split(" ") for part in said if part.startswith(("q ", "2θ ", "χ ")))
        assert float(parts["q"]) == pytest.approx(4 * np.pi / 1e10 / wavelength * np.sin(angle / 2), abs=2e-4)
        assert float(parts["2θ"]) == pytest.approx(np.degrees(angle), abs=2e-3)
        turned = float(parts["χ"]) - np.degrees(np.arctan2(y, x))
        assert (turned + 180) % 360 - 180 == pytest.approx(0, abs=0.06)
        assert "exit" not in tip.text_content()
        assert tip.evaluate("(line) => line.scrollWidth <= line.clientWidth")


def test_image_hover_goto_limits_changes(truth, start):
    y, x = np.mgrid[:195, :487]
    maps = {"x": xi.reciprocal_axis(1.0 + 0.001 * np.arange(487), "l", axis="x"),
            "y": xi.reciprocal_axis(0.01 * y + 0.0001 * x, "hk")}  # fmt: skip
    explorer = explore(
        truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False, calibration=maps,
        correcting=Correcting(median=3),
    )  # fmt: skip
    tab = start(explorer)
    tab.measured(explorer, "WZ")
    model = explorer.model
    drawn = """() => Bokeh.documents[0].get_model_by_name('curve_com_l').renderers
      .filter((one) => one.data_source.name === "lines:WZ").some((one) => one.data_source.data.com_x?.length === 40)"""
    tab.until(drawn)  # also what was measured before the page came
    tab.page.get_by_label("selected", exact=True).select_option("WZ")
    tab.settle(lambda: model.regions.selected == "WZ")
    tab.at_rest()
    tab.page.get_by_label("kind", exact=True).select_option("centre of mass")
    tab.until("() => Bokeh.documents[0].get_model_by_name('roi:WZ')?.line_color === 'yellow'")
    tab.until(drawn)  # and what was measured before the curve was made
    tab.page.get_by_label("kind", exact=True).select_option("everything")

    tab.at_rest()
    place = tab.page.evaluate(PIXEL, [30, 300])
    tab.page.mouse.move(place["x"] - 5, place["y"])
    tab.page.mouse.move(place["x"], place["y"])
    tip = tab.page.locator("#under")
    column, row = 300, 30
    tab.settle(lambda: f"column {column}, row {row}" in tip.text_content())
    text = tip.text_content()
    assert f"{float(model.view.image().values[row, column]):.3f}".rstrip("0").rstrip(".") in text
    inside = [float(word) for word in text.replace(",", " ").split() if word.replace(".", "").isdigit()]
    assert any(abs(value - (1 + 0.001 * column)) < 0.001 for value in inside), text
    assert any(abs(value - (0.01 * row + 0.0001 * column)) < 0.01 for value in inside), text

    def go(words):
        tab.type("go to", words)

    go("17")
    tab.until(FRAME, 17)
    go(str(model.store.data["time"].values[9] + np.timedelta64(9, "h"))[11:19])
    tab.until(FRAME, 9)
    assert model.view.frame == 9
    go("4000")
    tab.until("() => Bokeh.documents[0].get_model_by_name('message').visible")
    assert "no frame 4000" in tab.get("message", "text")
    assert model.view.frame == 9

    tab.panel("Corrections")
    slider = tab.page.locator("#panel .noUi-handle-upper").first
    high = model.view.limits[1]
    slider.focus()
    for _ in range(5):
        slider.press("ArrowLeft")
    tab.settle(lambda: model.view.limits[1] < 0.99 * high)
    tab.page.get_by_label("percentile").select_option("95.0")
    tab.settle(lambda: model.view.limits[1] == pytest.approx(np.percentile(model.view.image().values, 95)))

    tab.page.get_by_label("image shows", exact=True).select_option("change since previous")
    tab.settle(lambda: model.view.compare == "previous")
    tab.until("() => Bokeh.documents[0].get_model_by_name('frame').data.image[0].some((value) => value < 0)")
    shown = tab.image()
    expected = (
        model.store.image(9, model.view.correction).values.astype(float)
        - model.store.image(8, model.view.correction).values
    )
    np.testing.assert_allclose(shown, expected.ravel(), atol=1e-3)
    assert tab.errors == []


def test_curves_axes_events_flags_and_a_moving_roi(truth, start):
    explorer = explore(truth.folders["sample"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1500, 1900))
    tab.measured(explorer, "WZ")
    model = explorer.model
    for axis in ("local", "utc", "frame", "elapsed"):
        tab.page.get_by_label("time axis").select_option(axis)
        tab.settle(lambda axis=axis: model.view.axis == axis)
        places = [float(model.view.coordinates()[at]) for at in (0, -1)]
        tab.until(X_RANGE, places)
        tab.until(DATED, axis in ("local", "utc"))  # the kymograph comes after the curves

    tab.at_rest()
    tab.page.locator("[data-plot=intensity]").get_by_role("button", name="log", exact=True).click()
    tab.settle(lambda: model.curves.log_intensity)
    tab.until("() => Bokeh.documents[0].get_model_by_name('curve_intensity').y_scale.type === 'LogScale'")
    tab.page.locator("[data-plot=intensity]").get_by_role("button", name="log", exact=True).click()
    tab.until("() => Bokeh.documents[0].get_model_by_name('curve_intensity').y_scale.type === 'LinearScale'")

    series = model.attenuation.shown("WZ")
    x, ends = (np.array(tab.page.evaluate(BARS, name), dtype=float) for name in ("x", "fwhm_x"))
    assert np.isnan([x[2::3], ends[2::3]]).all()  # a gap behind each bar
    np.testing.assert_array_equal(x[::3], x[1::3])
    x, low, high = x[::3], ends[::3], ends[1::3]
    frames = np.arange(0, model.view.n_frames, 2)  # of more bars than 75, each second one
    np.testing.assert_array_equal(x, model.view.coordinates()[frames])
    half = series["fwhm_x_errors"].values[frames]
    np.testing.assert_allclose((high - low) / 2, half, rtol=1e-6)
    np.testing.assert_allclose((high + low) / 2, series["fwhm_x"].values[frames], rtol=1e-12)

    x, other = (tab.place("curve_fwhm_l", float(model.view.coordinates()[at])) for at in (0, 30))
    tab.drag((x["x"], x["y"]), (other["x"] - x["x"], 0))  # the cursor leads to the frame
    tab.until("() => Math.abs(Bokeh.documents[0].get_model_by_name('channel').done[0] - 30) <= 2")

    gap = int(model.view.breaks()[0])
    drawn = tab.page.evaluate(
        """() => Bokeh.documents[0].get_model_by_name('curve_intensity').renderers
        .filter((r) => r.glyph.type === 'Line' && r.glyph.line_alpha?.value !== 0.3)
        .map((r) => Array.from(r.data_source.data[r.glyph.y.field], (v) => isFinite(v)))[0]"""
    )
    assert drawn[gap] is False  # the curve is interrupted before the second measurement
    assert sum(drawn) == model.view.n_frames

    tab.panel("Events")
    tab.page.get_by_placeholder("In shutter open").fill("As <b>open</b>")
    tab.page.get_by_placeholder("In shutter open").press("Enter")
    tab.press("by a click")
    tab.until("() => Bokeh.documents[0].get_model_by_name('picking').visible")
    click_curve(tab, explorer, 12)
    tab.settle(lambda: len(model.logbook.events) == 1)
    assert abs(model.logbook.events[0].start.frame - 12) <= 1
    tab.until("(name) => Bokeh.documents[0].get_model_by_name('events').data.text?.[0] === name", "As <b>open</b>")
    assert tab.get("picking", "visible") is False
    tab.until("(n) => Math.abs(Bokeh.documents[0].get_model_by_name('channel').done[0] - n) <= 1", 12)

    tab.page.mouse.click(5, 5)
    model_frame = model.view.frame
    tab.page.keyboard.press("k")
    tab.settle(lambda: model.regions.roi.path is not None)
    tab.page.keyboard.press("Home")
    tab.until(FRAME, 0)
    tab.drag_roi(model.regions.selected, (40, 20))
    tab.settle(lambda: len(model.regions.roi.path) == 2)
    tab.measured(explorer, model.regions.selected)
    keys = [float(model.view.coordinates()[at]) for at in (0, model_frame)]
    tab.until(COLUMN, ["kymograph_keys", "x", keys])
    tab.until(COLUMN, ["kymograph_path", "low", (model.regions.boxes(model.regions.selected)[:, 2] - 0.5).tolist()])
    assert len(tab.page.evaluate("Array.from(Bokeh.documents[0].get_model_by_name('path_keys').data.x)")) == 2
    tab.page.keyboard.press("Control+z")
    tab.settle(lambda: len(model.regions.roi.path) == 1)
    tab.page.keyboard.press("Control+y")
    tab.settle(lambda: len(model.regions.roi.path) == 2)
    tab.panel("ROIs")
    tab.type("name", "moving")
    tab.settle(lambda: model.regions.selected == "moving")
    tab.until("() => Bokeh.documents[0].get_model_by_name('roi:moving') != null")
    tab.measured(explorer, "moving")
    for words, names in (("duplicate", 6), ("remove", 5)):
        tab.press(words)
        tab.settle(lambda names=names: len(model.regions.rois) == names)
    assert tab.errors == []


def test_evidence_and_changes_by_clicks(truth, start):
    explorer = explore(truth.folders["sample"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1500, 1900))
    tab.measured(explorer, "WZ")
    model = explorer.model
    assert tab.get("evidence_row", "visible") is False
    tab.panel("Attenuation")
    tab.press("find")
    tab.until("() => Bokeh.documents[0].get_model_by_name('evidence_row').visible")
    found = model.attenuation.evidence()
    used = len(found.rows) * (len(found.report.before) + len(found.report.after))
    tab.until("(n) => Bokeh.documents[0].get_model_by_name('evidence_used').data.x.length === n", used)
    tab.at_rest()
    shown = tab.page.locator("table").first
    shown.wait_for()
    cells = shown.locator("tr").nth(1).locator("td").all_inner_texts()
    assert cells[0] == found.rows[0].roi
    assert cells[3] == with_error(found.rows[0].log_ratio, found.rows[0].log_error)
    assert found.agreement in tab.get("evidence_table", "text").replace("&lt;", "<")

    tab.press("accept")
    tab.settle(lambda: len(model.attenuation.changes) == 1 and model.attenuation.looked_at == 0)
    corrected = model.attenuation.shown("WZ")["intensity"].values
    measured = model.numbers.of("WZ")["intensity"].values
    assert not np.array_equal(corrected, measured)
    tab.press("measured")
    tab.settle(lambda: not model.attenuation.scaled)
    tab.settle(lambda: np.array_equal(tab.column("WZ", "intensity"), measured))
    tab.press("corrected")
    tab.settle(lambda: model.attenuation.scaled)
    tab.settle(lambda: np.array_equal(tab.column("WZ", "intensity"), corrected, equal_nan=True))

    tab.press("move by clicks")
    tab.settle(lambda: bool(model.view.picking))
    click_curve(tab, explorer, 50)
    tab.settle(lambda: "other end" in model.view.picking)
    click_curve(tab, explorer, 60)
    tab.settle(lambda: "disagree" in model.attenuation.question)  # nothing changes there: the page asks
    tab.page.locator("#sure").get_by_role("button", name="take it").click()
    tab.settle(
        lambda: [abs(model.attenuation.place_of(change)[0] - 50) <= 1 for change in model.attenuation.changes] == [True]
    )
    before, after = model.attenuation.place_of(model.attenuation.changes[0])
    assert abs(after - 60) <= 1
    tab.until(
        "(x) => Bokeh.documents[0].get_model_by_name('spans').data.left[0] === x",
        float(model.view.coordinates()[before]),
    )
    tab.press("reject")
    tab.settle(lambda: model.attenuation.changes == ())
    tab.press("add by clicks")
    tab.settle(lambda: bool(model.view.picking))
    tab.page.keyboard.press("Escape")
    tab.settle(lambda: not model.view.picking)
    assert tab.errors == []


def test_copy_compare_and_the_same_state_after_a_reload(truth, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = xi.RoiSet([xi.Roi("far", y=(5, 25), x=(7, 40))])
    xi.write_rois(other, tmp_path / "other.json")
    scans = [xi.open_measurement(folder, tz="Asia/Tokyo") for folder in truth.measurements]
    xi.write_results(xi.stitch([xi.measure(one, truth.rois).compute() for one in scans]), tmp_path / "joined.nc")
    explorer = explore(
        truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False, correcting=Correcting(median=3)
    )
    tab = start(explorer)
    tab.measured(explorer, "WZ")
    model = explorer.model
    tab.panel("Compare")
    tab.page.get_by_label("compare with result").select_option("joined.nc")
    tab.settle(lambda: model.curves.result is not None)
    tab.until("() => Bokeh.documents[0].get_model_by_name('result:WZ') != null")
    last = float(model.view.places_of(model.curves.result["time"].values)[-1])
    tab.until("(last) => Bokeh.documents[0].get_model_by_name('curve_com_l').x_range.end >= last", last)
    tab.panel("ROIs")
    tab.page.get_by_label("copy ROIs from").select_option("other.json")
    tab.settle(lambda: model.regions.rois.names == ("far",))
    tab.until("() => Bokeh.documents[0].get_model_by_name('roi:far') != null")

    tab.field("go to").fill("23")
    tab.field("go to").press("Enter")
    tab.until(FRAME, 23)
    tab.page.get_by_label("time axis").select_option("local")
    tab.settle(lambda: model.view.axis == "local")
    tab.until("() => Bokeh.documents[0].get_model_by_name('curve_com_l').x_range.start > 1e11")  # dates are there
    point = tab.place("curve_com_l", float(model.view.coordinates()[10]))
    tab.page.mouse.move(point["x"], point["y"])
    tab.page.mouse.wheel(0, -300)
    tab.settle(lambda: model.view.window is not None)
    pixel = tab.page.evaluate(PIXEL, [100, 250])
    tab.page.mouse.move(pixel["x"], pixel["y"])
    tab.page.mouse.wheel(0, -300)
    tab.settle(lambda: model.view.part is not None)
    tab.at_rest()
    tab.toggle("left", "log")
    tab.settle(lambda: not model.view.log_image)
    tab.panel("Corrections")
    tab.page.locator(".bk-Checkbox").filter(has_text="corrected").first.locator("input").click()
    tab.settle(lambda: not model.view.corrected)
    tab.at_rest()
    tab.panel("Events")
    tab.page.get_by_placeholder("In shutter open").fill("open")
    tab.page.get_by_placeholder("In shutter open").press("Enter")
    tab.press("at this frame")
    tab.settle(lambda: len(model.logbook.events) == 1)
    before = document(model)
    tab.until("() => location.search.includes('view=')")
    tab.page.reload()
    tab.there()
    tab.until(FRAME, 23)
    assert explorer.model is not model
    after = document(explorer.model)
    assert after == before
    tab.until("() => Bokeh.documents[0].get_model_by_name('frame_slider').value === 23")
    assert tab.get("roi:far", "left") == 6.5
    assert tab.page.evaluate(ENDS, ["curve_com_l", "x_range"]) == after["in_view"]["window"][0]
    assert [tab.page.evaluate(ENDS, ["image", name]) for name in ("x_range", "y_range")] == after["in_view"]["part"]
    assert after["compared"] == "joined.nc"
    tab.until("() => Bokeh.documents[0].get_model_by_name('result:WZ') != null")
    tab.panel("Compare")
    assert tab.page.get_by_label("compare with result").input_value() == "joined.nc"
    np.testing.assert_array_equal(tab.image(), scans[0].image[23].values.ravel())

    saved = tab.save("view", tmp_path)
    assert json.loads(saved.read_text()) == json.loads(json.dumps(after))
    second = start(explorer)
    assert explorer.model.regions.rois.names != ("far",)
    second.page.locator("input[type=file]").set_input_files(saved)
    second.settle(lambda: explorer.model.regions.rois.names == ("far",))
    second.until(FRAME, 23)
    second.settle(lambda: document(explorer.model) == after)
    assert tab.errors == second.errors == []


def test_frames_and_measurements_appear_while_they_are_written(truth, start, tmp_path, monkeypatch):
    monkeypatch.setattr(explorer_module, "FOLLOW", 0.3)
    sample = tmp_path / "0884"
    frames = {name: sorted(Path(truth.folders[name]).glob("*.tif"), key=number) for name in ("time1", "time2")}
    (sample / "time1").mkdir(parents=True)
    for path in frames["time1"][:10]:
        shutil.copy(path, sample / "time1" / path.name)
    explorer = explore(sample, rois=truth.rois, reading=TOKYO, browser=False, follow=True)
    tab = start(explorer)
    tab.measured(explorer, "WZ")
    model = explorer.model
    whole, halves = threading.Event(), threading.Event()
    looks, plain = [], explorer.store.refresh
    monkeypatch.setattr(explorer.store, "refresh", lambda: (plain(), looks.append(1)))

    def write():
        for path in frames["time1"][10:20]:
            target = sample / "time1" / path.name
            content = path.read_bytes()
            target.write_bytes(content[: len(content) // 2])
            time.sleep(0.05)
            target.write_bytes(content)
        half = sample / "time1" / frames["time1"][20].name
        half.write_bytes(frames["time1"][20].read_bytes()[:5000])
        halves.set()
        whole.wait(60)
        half.write_bytes(frames["time1"][20].read_bytes())
        (sample / "time2").mkdir()
        *others, last = frames["time2"][:6]
        for path in others:
            shutil.copy(path, sample / "time2" / path.name)
        (sample / "last").write_bytes(saturated(last, 105, 240))
        (sample / "last").rename(sample / "time2" / last.name)  # at once: a frame that was read is not read again

    writer = threading.Thread(target=write)
    writer.start()
    try:
        halves.wait(60)
        tab.settle(lambda: model.view.n_frames == 20)
        tab.until(FRAME, 19)  # the newest frame is shown by itself
        tab.measured(explorer, "WZ")
        seen = len(looks)
        tab.settle(lambda: len(looks) >= seen + 3)
        assert model.view.n_frames == 20  # the half-written one waits
        assert "error" not in tab.get("message", "text")
        scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo").isel(time=slice(0, 20))
        expected = xi.measure(scan, truth.rois).sel(roi="WZ")["intensity"].values
        np.testing.assert_array_equal(tab.column("WZ", "intensity"), expected)
        tab.page.mouse.click(5, 5)
        tab.page.keyboard.press("ArrowLeft")  # somebody looks back
        tab.until(FRAME, 18)
        tab.settle(lambda: not model.view.follow)
    finally:
        whole.set()
        writer.join()
    tab.settle(lambda: model.view.n_frames == 27)
    tab.measured(explorer, "WZ")
    assert list(model.view.measurements()) == ["time1", "time2"]
    assert model.view.frame == 18  # and stays where they are
    assert tab.get("frame_slider", "end") == 26
    _, end = tab.page.evaluate(
        "(() => {const r = Bokeh.documents[0].get_model_by_name('curve_com_l').x_range; return [r.start, r.end]})()"
    )
    assert end > model.view.coordinates()[-1]
    assert model.numbers.of("WZ").sizes["time"] == 27
    tab.until("() => Bokeh.documents[0].get_model_by_name('state').text.includes('saturated: WZ - insert a filter')")
    place = float(model.view.coordinates()[-1])
    tab.until("(x) => Bokeh.documents[0].get_model_by_name('flags:WZ').data.intensity_x.includes(x)", place)
    assert tab.errors == []


def saturated(path, y, x):
    """Content of a frame with a pixel beyond what the detector counts."""
    content = bytearray(path.read_bytes())
    at = len(content) - 4 * 195 * 487 + 4 * (487 * y + x)
    content[at : at + 4] = (2_000_000).to_bytes(4, "little")
    return bytes(content)


def number(path):
    return [int(part) for part in path.stem.split("_") if part.isdigit()]
