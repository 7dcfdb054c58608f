"""Corrections switched in the page: everything that comes of them is what public functions give."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from tests.helpers.browser import PIXEL, TOKYO, in_a_browser
from xinsitu.app.data.cutouts import Section
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.serve import explore
from xinsitu.app.state import export
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.view_file import document, view_text
from xinsitu.cli import main
from xinsitu.errors import CorrectionError, XinsituError
from xinsitu.recipe import Reading
from xinsitu.recipe.rerun import differences


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("corrections"), measurements=1, frames=24)


@pytest.fixture
def model(truth):
    store = FrameStore(open_source(truth.folders["time1"], reading=Reading(tz="Asia/Tokyo")))
    store.start()
    store.wait()
    yield ExplorerModel(store, rois=truth.rois)
    store.release()


def other_flat(truth, folder: Path) -> Path:
    """A folder of flat-field frames in which one column counts half as much."""
    frames = xi.open_measurement(truth.folders["flatfield"], time="frame")["image"].values.copy()
    frames = np.maximum(frames, 2)
    frames[:, :, 240] //= 2
    folder.mkdir()
    for number, frame in enumerate(frames[:4]):
        tifffile.imwrite(folder / f"flat_{number:05d}.tif", frame.astype("int32"))
    return folder


def holds(model: ExplorerModel, truth, folder: Path, monkeypatch, correction: xi.Correction) -> None:
    """Hold that screen, image, script and recipe are what the public functions give."""
    scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo")
    expected = xi.measure(scan, truth.rois, correction=correction).compute()
    model.numbers.measure_now()
    for roi in truth.rois.names:
        np.testing.assert_array_equal(
            model.attenuation.shown(roi)["intensity"].values, expected["intensity"].sel(roi=roi).values
        )
    np.testing.assert_allclose(model.view.image(7).values, xi.correct(scan, correction)["image"][7].values, rtol=1e-5)
    model.view.frame = 7
    shown = Section.of(model.cutouts.section_request())
    expected_x = xi.profiles(scan, model.regions.roi, along="x", rois=truth.rois, correction=correction)[7].values
    np.testing.assert_allclose(shown.x, expected_x, rtol=1e-5)
    for name, text in export.recipe_files(model).items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    exec(compile(export.script(model), "script", "exec"), {})
    (result,) = folder.glob("*.nc")
    assert differences(export.result(model), xi.read_results(result)) == {}
    assert main(["run", "recipe.toml", "--force"]) == 0
    again = xi.read_results(result)
    np.testing.assert_array_equal(again["intensity"].values, expected["intensity"].values)


@pytest.mark.thorough
def test_every_step_can_be_switched_and_comes_out(model, truth, tmp_path, monkeypatch):
    flat, mask = other_flat(truth, tmp_path / "flat_2"), np.zeros((195, 487), dtype=bool)
    mask[100:103, 230:236] = True
    np.save(tmp_path / "bad_mask.npy", mask)
    model.view.correct(model.view.corrections.changed(median=5, threshold=None))
    model.view.calibrate("flatfield", str(flat))
    model.view.calibrate("mask", str(tmp_path / "bad_mask.npy"))
    model.view.draw_background((0.2, 24.9), (449.7, 480.1))
    region = model.view.corrections.correction.background
    assert region.boxes == (((1, 25), (450, 481)),)
    model.view.correct(model.view.corrections.with_background(region.boxes, "divide, keep counts"))
    correction = xi.Correction(
        median=5, flatfield=xi.open_flatfield(flat), mask=xi.read_mask(tmp_path / "bad_mask.npy"),
        background=xi.Background(regions=region.boxes, mode="divide", normalise="mean"),
    )  # fmt: skip
    (tmp_path / "all").mkdir()
    holds(model, truth, tmp_path / "all", monkeypatch, correction)
    model.view.correct(model.view.corrections.switched("flatfield", on=False))
    model.view.type_background("")
    model.view.correct(model.view.corrections.changed(median=None))
    (tmp_path / "less").mkdir()
    holds(model, truth, tmp_path / "less", monkeypatch, xi.Correction(mask=correction.mask))
    model.view.correct(model.view.corrections.switched("flatfield", on=True))
    model.view.correct(model.view.corrections.switched("mask", on=False))
    (tmp_path / "flat").mkdir()
    holds(model, truth, tmp_path / "flat", monkeypatch, xi.Correction(flatfield=correction.flatfield))


@pytest.mark.thorough
def test_normalised_by_a_counter(model, truth, tmp_path, monkeypatch):
    from xinsitu.app.state.corrections import counters

    assert "frame" not in counters(model.store.data)
    name = counters(model.store.data)[0]
    model.view.correct(model.view.corrections.changed(normalise=name))
    holds(model, truth, tmp_path, monkeypatch, xi.Correction(normalise=name))


def test_what_does_not_fit_is_refused_and_changes_nothing(model, tmp_path):
    before = model.view.corrections
    np.save(tmp_path / "small_mask.npy", np.ones((3, 3)))
    for act in (
        lambda: model.view.calibrate("mask", str(tmp_path / "small_mask.npy")),
        lambda: model.view.calibrate("flatfield", str(tmp_path / "nowhere")),
        lambda: model.view.correct(model.view.corrections.switched("flatfield", on=True)),
        lambda: model.view.type_background("0:20, 400:900"),
        lambda: model.view.correct(model.view.corrections.changed(median=4)),
    ):
        with pytest.raises(XinsituError):
            act()
        assert model.view.corrections == before
    assert not model.view.corrected
    with pytest.raises(CorrectionError, match="flat field"):
        model.view.corrections.switched("flatfield", on=True)


def test_what_a_step_warns_of_is_said(model):
    pixels = np.ones((195, 487))
    pixels[4, 5:205] = 0
    flat = xr.DataArray(pixels, dims=("y", "x"))
    model.view.correct(model.view.corrections.changed(flatfield=flat))
    assert "200 of 94965 pixels" in model.view.message


def test_a_view_keeps_them_but_opens_no_files_of_strangers(model, truth, tmp_path):
    model.view.calibrate("flatfield", str(truth.folders["flatfield"]))  # lies beside the frames
    model.view.correct(model.view.corrections.changed(median=3, threshold=4.0))
    text = view_text(model)
    fresh = ExplorerModel(model.store, rois=truth.rois)
    fresh.load(text)
    assert fresh.view.active_correction == model.view.active_correction
    assert fresh.view.corrections.correcting == model.view.corrections.correcting
    strange = json.loads(text)
    strange["correction"]["flatfield"] = other_flat(truth, tmp_path / "flat_elsewhere").as_posix().lstrip("/")
    another = ExplorerModel(model.store, rois=truth.rois)
    another.load(json.dumps(strange))
    assert not another.view.corrections.has("flatfield")
    model.view.correct(model.view.corrections.switched("flatfield", on=False))
    fresh.load(json.dumps(document(model)))
    assert fresh.view.active_correction == xi.Correction(median=3, threshold=4.0)


class TestPage:
    pytestmark = in_a_browser

    def test_corrections_are_changed_by_hand(self, truth, start, tmp_path):
        flat = other_flat(truth, truth.folders["sample"].parent / "flat_other")
        explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
        tab = start(explorer, size=(1366, 768))
        tab.measured(explorer, "WZ")
        model, raw = explorer.model, tab.column("WZ", "intensity")
        tab.panel("Corrections")
        tab.page.get_by_label("flat field: beside the frames").select_option("flat_other")
        tab.settle(lambda: model.view.corrections.has("flatfield"))
        tab.measured(explorer, "WZ")
        assert not np.array_equal(tab.column("WZ", "intensity"), raw)
        tab.page.get_by_label("median", exact=True).select_option("median 3 x 3")
        tab.settle(lambda: model.view.corrections.correction.median == 3)
        tab.press("draw background")
        tab.until("() => Bokeh.documents[0].get_model_by_name('channel').tool[0] === 'background'")
        corner, end = (tab.page.evaluate(PIXEL, place) for place in ([4, 400], [30, 470]))
        tab.drag((corner["x"], corner["y"]), (end["x"] - corner["x"], end["y"] - corner["y"]))
        tab.settle(lambda: model.view.corrections.correction.background is not None)
        assert explorer.rois.names == truth.rois.names  # none was drawn
        tab.until("() => Bokeh.documents[0].get_model_by_name('background').data.left.length === 1")
        tab.measured(explorer, "WZ")
        region = model.view.corrections.correction.background
        scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo")
        correction = xi.Correction(median=3, flatfield=xi.open_flatfield(flat), background=region)
        expected = xi.measure(scan, truth.rois, correction=correction).compute()
        np.testing.assert_array_equal(tab.column("WZ", "intensity"), expected["intensity"].sel(roi="WZ").values)
        tab.page.locator("#panel .shown input[type=checkbox]").nth(1).uncheck()
        tab.settle(lambda: not model.view.corrections.has("flatfield"))
        tab.field("background: rows y0:y1, columns x0:x1").fill("")
        tab.page.keyboard.press("Enter")
        tab.settle(lambda: model.view.corrections.correction.background is None)
        corrected = xi.correct(scan, xi.Correction(median=3))["image"][0].values
        tab.settle(lambda: np.array_equal(tab.image(), corrected.ravel()))
        assert tab.errors == []
