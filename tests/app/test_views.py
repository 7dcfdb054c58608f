"""Views of the explorer in a document without a browser, and the server around them."""

from __future__ import annotations

import errno
import html
import http.client
import json
import os
import threading
import time
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr
from bokeh.document import Document
from bokeh.models import BoxAnnotation, ColumnDataSource
from bokeh.server.callbacks import NextTickCallback, TimeoutCallback

import xinsitu as xi
from xinsitu.app.data.cutouts import Section, SectionRequest
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.network import origins
from xinsitu.app.page.file_form import wire_files
from xinsitu.app.page.forms import plot_tools
from xinsitu.app.page.session import Session
from xinsitu.app.serve import explore
from xinsitu.app.state import export, unsaved
from xinsitu.app.state.change_evidence import Row
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.view_file import view_text
from xinsitu.app.views.change_list import said
from xinsitu.app.views.channel import code
from xinsitu.app.views.evidence import table
from xinsitu.app.views.image import shrunk
from xinsitu.io.disk import write_whole
from xinsitu.recipe import Reading
from xinsitu.values import Event, RoiSet

TOKYO = Reading(tz="Asia/Tokyo")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("views"), measurements=2, frames=20)


@pytest.fixture
def session(truth):
    store = FrameStore(open_source(truth.folders["sample"], reading=TOKYO))
    store.start()
    store.wait()
    with ThreadPoolExecutor(3) as pool:
        one = Session(ExplorerModel(store, rois=truth.rois), Document(), pool)
        one.document.add_root(one.image.figure)
        for figure in (one.curves.column, one.kymograph.figure, one.section.root, one.player.root):
            one.document.add_root(figure)
        one.start()
        drain(one)
        yield one
        one.close()


def drain(session, seconds=20):
    """Run what waits for the next tick, or a moment, until everything rests."""
    end = time.monotonic() + seconds
    while True:
        waiting = [
            one for one in session.document.session_callbacks if isinstance(one, NextTickCallback | TimeoutCallback)
        ]
        for one in waiting:
            session.document.callbacks.remove_session_callback(one)
            one.callback()
        if not waiting and all(job.idle for job in session.jobs):
            return
        assert time.monotonic() < end, "the explorer never rests"
        time.sleep(0.002)


def named(session, name):
    return session.document.get_model_by_name(name)


@pytest.mark.thorough
def test_names_are_those_of_the_contract(session):
    for name in (
        "image",
        "curve_com_l",
        "curve_com_hk",
        "curve_fwhm_l",
        "curve_fwhm_hk",
        "curve_intensity",
        "kymograph",
    ):
        assert named(session, name).name == name
    for roi in session.model.regions.rois.names:
        assert isinstance(named(session, f"roi:{roi}"), BoxAnnotation)
        assert isinstance(session.curves._sources[roi], ColumnDataSource)
        assert session.curves._sources[roi].name == f"series:{roi}"


@pytest.mark.thorough
def test_curves_hold_what_the_model_measured(session):
    expected = session.model.numbers.of("WZ")
    data = session.curves._sources["WZ"].data
    for column in ("intensity", "com_x", "fwhm_y_errors", "quality"):
        np.testing.assert_array_equal(data[column], expected[column].values)
    np.testing.assert_array_equal(data["x"], session.model.view.coordinates())
    assert session.channel.breaks == session.model.view.breaks().tolist()
    assert 20 in session.channel.breaks


def test_what_is_on_the_page_is_not_sent_again(session, monkeypatch):
    """Whatever somebody does, kymograph and profiles are asked for again: they are mostly what they were."""
    session.model.attenuation.looked_at = -1
    heard = []
    session.document.on_change(lambda event: heard.append(event.attr) if hasattr(event, "attr") else None)
    session.do(lambda: None)
    drain(session)
    assert heard == []
    monkeypatch.setattr("xinsitu.app.data.cutouts.profiles", None)  # nor are the frames looked at
    session.do(lambda: None)
    drain(session)
    assert not session.model.view.failed, session.model.view.message
    monkeypatch.undo()
    session.do(lambda: session.model.regions.nudge(1, 0, size=False))
    drain(session)
    assert "data" in heard


def test_of_a_kymograph_that_changed_in_part_that_part_is_sent(session):
    view, heard = session.kymograph, []
    session.document.on_change(lambda event: heard.append(event))
    found = view._found
    values = found.values.copy()
    values[:, 5], values[2, 7] = np.nan, 1e6
    for shown, columns in ((values, 3), (found.values, 3), (found.values + 1, None)):
        heard.clear()
        view.take(replace(found, values=shown))
        (event,) = [one for one in heard if getattr(one, "model", None) is view.source]
        if columns:
            (((_, rows, part), sent),) = event.patches["image"]
            assert (rows, part) == (slice(0, len(values)), slice(5, 8))
            np.testing.assert_array_equal(sent, shown[:, 5:8])
        else:
            assert event.attr == "data"
        np.testing.assert_array_equal(view.source.data["image"][0], shown)
        assert view._found.values is shown


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        (xi.Rotated((105, 240), (30, 60), 25), {"x": "along (px)", "y": "across (px)"}),
        (xi.Sector((40, 240), (40, 80), (60, 120)), {"x": "azimuth (°)", "y": "radius (px)"}),
    ],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_the_kymograph_runs_along_the_axes_of_a_shape_where_asked(session, shape, axes):
    model, view = session.model, session.kymograph
    (button,) = [one for one in plot_tools(session)["kymograph"] if getattr(one, "label", "") == "own"]
    turned = xi.Roi("turned", geometry=shape)
    rois = xi.RoiSet([xi.Roi("box", (90, 120), (220, 260)), turned])
    model.regions.load_rois(json.dumps({"format": "xinsitu-rois", "version": 1, **rois.to_dict()}))
    model.regions.selected = "box"
    assert not button.visible
    model.cutouts.own_axes = True
    assert model.cutouts.axis == model.cutouts.along  # a rectangle has no other ones
    model.regions.selected = "turned"
    assert button.visible
    for along, title in axes.items():
        model.cutouts.along, axis = along, title.split()[0]
        drain(session)
        expected = xi.profiles(model.store.measurable(), turned, along=axis, correction=model.view.active_correction)
        shown = view.source.data["image"][0]
        np.testing.assert_allclose(shown[:, [0, -1]], expected.values[[0, -1]].T, rtol=1e-5, atol=1e-3)
        place, half = expected[axis].values, 0.5 * np.diff(expected[axis].values)[0]
        ends = view.figure.y_range.start, view.figure.y_range.end
        assert ends == pytest.approx((place[0] - half, place[-1] + half))
        assert view.figure.yaxis[0].axis_label == f"turned\n{title}"
        drawn = np.asarray(view.trace.data["com"], dtype=float)
        series = model.numbers.of("turned")
        com = series[f"com_{axis}"].values if f"com_{axis}" in series else np.empty(0)
        np.testing.assert_array_equal(drawn[np.isfinite(drawn)], com[np.isfinite(com)])
        assert (com.size > 0) == isinstance(shape, xi.Rotated)
    assert json.loads(view_text(model))["view"]["own_axes"] is True
    model.cutouts.own_axes = False
    drain(session)
    assert view.figure.y_range.start == turned.y[0] - 0.5


@pytest.mark.thorough
def test_the_browser_moves_a_box(session):
    box = named(session, "roi:WZ")
    before = session.model.regions.rois["WZ"]
    box.left, box.right = before.x[0] + 4.3, before.x[1] + 4.3
    drain(session)
    assert session.model.regions.rois["WZ"].x == (before.x[0] + 5, before.x[1] + 5)
    assert box.left == before.x[0] + 4.3  # still under the mouse
    session.channel.drag = ("roi:WZ", "pan:end", 1)
    drain(session)
    assert box.left == before.x[0] + 4.5
    session.channel.key = ("ctrl+z", 1)
    drain(session)
    assert session.model.regions.rois["WZ"] == before
    assert box.left == before.x[0] - 0.5


@pytest.mark.thorough
def test_boxes_and_curves_follow_the_model(session):
    session.do(lambda: session.model.regions.add("com"))
    drain(session)
    assert named(session, "roi:COM").line_color == "yellow"
    assert named(session, "roi:COM").line_width > named(session, "roi:WZ").line_width
    assert json.loads(session.channel.regions)[-1] == {"name": "COM", "color": "yellow", "hidden": False}
    session.do(lambda: session.model.regions.rename("COM", "peak"))
    drain(session)
    assert named(session, "roi:COM") is None
    assert len(session.curves._sources["peak"].data["com_x"]) == 40
    drawn = session.curves._drawn["peak"]["lines"]
    assert drawn not in [one.data_source for one in named(session, "curve_intensity").renderers[2:]]
    assert drawn in [one.data_source for one in named(session, "curve_com_l").renderers[2:]]
    session.do(lambda: session.model.regions.remove("peak"))
    drain(session)
    assert named(session, "roi:peak") is None
    assert "peak" not in session.curves._sources


@pytest.mark.thorough
def test_the_browser_asks_for_a_frame(session):
    session.channel.ask = (17, 5, 0)
    drain(session)
    assert session.channel.done == (17, 5)
    assert session.model.view.frame == 17
    np.testing.assert_array_equal(session.image.source.data["image"][0], session.model.view.image(17).values)


@pytest.mark.thorough
def test_the_line_is_of_the_frame_that_is_shown(session):
    """The next one is wanted, and the number of frames grows, before its image is there."""
    session.channel.ask = (17, 5, 0)
    drain(session)
    session.model.view.frame = 20
    session.model.view.n_frames += 1
    session.tell()
    assert session.channel.text.startswith("18 of ")
    session.channel.ask = (20, 6, 0)
    drain(session)
    assert session.channel.text.startswith("21 of ")
    assert session.channel.known == session.model.view.frame_text(20)


@pytest.mark.thorough
def test_a_frame_that_cannot_be_read_frees_the_way_and_is_said(session):
    session.model.store.faults[9] = "truncated <b>file</b>"
    session.channel.ask = (9, 1, 0)
    drain(session)
    assert session.channel.done == (9, 1)
    assert session.image.fault.visible
    assert "truncated" in session.image.fault.text
    session.channel.ask = (10, 2, 0)
    drain(session)
    assert session.channel.done == (10, 2)
    assert not session.image.fault.visible


@pytest.mark.thorough
def test_scales_axes_and_events(session):
    model = session.model
    model.view.log_image = False
    assert [layer.visible for layer in session.image.layers] == [False, True, False]
    model.view.compare = "previous"
    assert [layer.visible for layer in session.image.layers] == [False, False, True]
    assert -model.view.limits[0] == model.view.limits[1]
    model.view.compare = "values"
    model.view.axis = "local"
    np.testing.assert_array_equal(session.curves.places.data["x"], model.view.coordinates())
    model.curves.log_intensity = True
    assert session.curves.figures["intensity_log"] in session.curves.column.children
    assert session.curves.figures["intensity"] not in session.curves.column.children
    assert [one.name for one in session.curves.column.children] == [
        "curve_com_l", "curve_com_hk", "curve_fwhm_l", "curve_fwhm_hk", "curve_intensity", "kymograph"
    ]  # fmt: skip
    model.logbook.events = (Event("open", model.store.data.time.values[3]),)
    assert session.curves._marks.data["text"] == ["open"]
    assert session.curves._marks.data["x"] == [model.view.coordinates()[3]]


@pytest.mark.thorough
def test_colours_are_chosen_for_image_and_kymograph_alike(session):
    from bokeh.palettes import Magma256, RdBu11, Viridis256

    image, kymograph = session.image.mappers, session.kymograph._mappers
    assert list(image[0].palette) == list(kymograph[0].palette) == list(Viridis256)
    session.model.view.colours = "magma"
    for mapper in (*image[:2], kymograph[0], kymograph[2]):
        assert list(mapper.palette) == list(Magma256)
    for mapper in (image[2], kymograph[1]):  # of changes: red and blue about nothing
        assert list(mapper.palette) == list(RdBu11)
    fresh = ExplorerModel(session.model.store)
    fresh.load(view_text(session.model))
    assert fresh.view.colours == "magma"


@pytest.mark.thorough
def test_a_click_picks_an_end_of_a_change(session):
    session.model.attenuation.pick_change()
    session.channel.click = ("curve_com_l", 12, 1)
    drain(session)
    session.channel.click = ("curve_com_l", 15, 2)
    drain(session)
    (change,) = session.model.attenuation.changes
    assert (change.before_key.frame, change.after_key.frame) == (12, 15)
    assert session.curves._spans.data["left"] == [session.model.view.coordinates()[12]]


@pytest.mark.thorough
def test_a_saved_result_lies_below_the_curves(session, tmp_path):
    model, figure = session.model, named(session, "curve_com_l")
    before = len(figure.renderers)
    joined = xi.stitch([xi.measure(part, model.regions.rois).compute() for part in model.source.parts])
    model.curves.open_result(xi.write_results(joined, tmp_path / "joined.nc"))
    assert len(figure.renderers) > before
    assert figure.renderers[0].data_source in session.result.sources.values()
    data = session.result.sources["WZ"].data
    shown = data["intensity"][np.isfinite(data["x"])]
    np.testing.assert_array_equal(shown, joined["intensity"].sel(roi="WZ").values)
    model.curves.open_result(None)
    assert len(figure.renderers) == before


@pytest.mark.thorough
def test_evidence_is_a_table_of_text(session, truth):
    assert not session.evidence.root.visible
    session.model.regions.rename("WZ", "<b>WZ</b>")
    drain(session)
    session.model.attenuation.changes = tuple(truth.changes)
    session.model.attenuation.looked_at = 0
    assert session.evidence.root.visible
    assert "<b>WZ</b>" in html.unescape(session.evidence.table.text)
    assert "<b>" not in session.evidence.table.text
    number = len(session.model.attenuation.evidence().rows)
    assert len(session.evidence.lines.data["xs"]) == 2 * number
    session.model.attenuation.looked_at = -1
    assert not session.evidence.root.visible


@pytest.mark.parametrize(
    ("scan", "text"), [(1, "time2 95 × 8.41 ± 0.05 attenuator"), (2, "time2:2:95 × 8.41 ± 0.05 attenuator")]
)
def test_changes_of_two_scans_are_told_apart_in_the_list(scan, text):
    """Numbers of frames begin again in each scan."""
    key = xi.Key("time2", scan, 95)
    change = xi.AttenuationChange("2014-05-28T08:00:00Z", "time3:0", factor=8.412, factor_errors=0.05, before_key=key)
    assert said(change) == text


def test_profiles_say_why_there_is_no_number_as_the_panel_does(session):
    background = next(roi.name for roi in session.model.regions.rois if not roi.measures("com"))
    session.do(lambda: setattr(session.model.regions, "selected", background))
    drain(session)
    told = {label: why for label, _, why in json.loads(session.channel.numbers)}
    title = session.section._plots["x"].title.text
    assert told["COM l"] == f"{background} does not measure it"
    assert f"COM – ({told['COM l']})" in title


def test_colour_bars_have_short_numbers(session):
    """The room beside the image is that of 1e5: those of less than a decade, 4.000e4, were cut off."""
    assert {bar.formatter.code for bar in session.image._bars} == {code("ticks")}


def test_what_holds_no_counts_is_a_dash_in_the_evidence():
    rows = (Row("a", 100.0, 50.0, -0.7, 0.1, 0.5), Row("b", 0.0, 29.0, np.nan, np.nan, np.nan))
    text = table(SimpleNamespace(rows=rows, title="t", agreement="a", remarks=()))
    assert "<td>-0.70 ± 0.10</td>" in text
    assert "<td>29</td><td>–</td><td>–</td>" in text
    assert "nan" not in text


@pytest.mark.thorough
def test_a_figure_without_a_number_says_why():
    ramp = np.broadcast_to(np.arange(20, dtype="int32"), (12, 20, 20)).copy()  # nowhere falls below its half again
    times = np.datetime64("2024-01-01T00:00:00", "ns") + np.arange(12) * np.timedelta64(1, "s")
    frames = xr.Dataset({"image": (("time", "y", "x"), ramp, {"units": "counts"})}, coords={"time": times})
    spot = xi.Roi("spot", y=(0, 20), x=(0, 20), background=())
    with ThreadPoolExecutor(1) as pool:
        one = Session(ExplorerModel(FrameStore(open_source(frames)), rois=RoiSet([spot])), Document(), pool)
        one.document.add_root(one.curves.root)
        one.model.numbers.measure_now()
        one.curves.measured()
        assert named(one, "why:fwhm_x").text == "half level not crossed"
        assert named(one, "why:com_x").text == named(one, "why:intensity").text == ""
        one.model.regions.hidden = ("spot",)
        assert named(one, "why:fwhm_x").text == ""
        one.close()


@pytest.mark.thorough
def test_what_is_refused_is_said(session):
    session.do(lambda: session.model.regions.rename("WZ", "ZB"))
    drain(session)
    assert "already" in session.model.view.message


def test_what_a_closed_tab_waited_for_is_dropped(caplog):
    go = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        tab = SimpleNamespace(document=Document(), pool=pool)
        Session.later(tab, go.wait, lambda _: None)
        vars(tab).clear()  # as a tab is that was closed
        go.set()
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


@pytest.mark.thorough
def test_scrolling_back_ends_following(session):
    session.model.view.follow = True
    session.channel.ask = (30, 1, 0)
    drain(session)
    assert session.model.view.follow
    session.channel.ask = (29, 2, 1)
    drain(session)
    assert not session.model.view.follow


def test_large_frames_travel_with_their_highest_pixels():
    frame = np.random.default_rng(0).poisson(3, (1679, 1475))
    small = shrunk(frame)
    assert small.size <= 600_000
    assert small.max() == frame.max()
    assert shrunk(frame[:100, :100]).shape == (100, 100)


@pytest.mark.parametrize("background", [(), ("ground",), ("edge",), ("plane",)])
@pytest.mark.parametrize("recipe", [None, xi.Correction(background=xi.Background((0, 3), (0, 40), mode="subtract"))])
def test_the_bar_at_half_maximum_is_as_long_as_the_width_that_is_written(background, recipe):
    y, x = np.mgrid[:44, :52]
    frame = 90 * np.exp(-((y - 24) ** 2) / 40 - (x - 27) ** 2 / 60) + 12 + 0.5 * x
    counts = np.round(frame)[None].astype("int32")
    coords = {"time": [np.datetime64("2015-02-03", "ns")], "y": np.arange(44), "x": np.arange(52)}
    image = xr.DataArray(counts, coords, ("time", "y", "x"), attrs={"units": "counts"})
    ground = [xi.Roi("ground", (4, 8), (2, 9), role="background")] if background == ("ground",) else []
    rois = xi.RoiSet([xi.Roi("spot", (8, 41), (6, 47), background=background), *ground])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xi.XinsituWarning)
        series = xi.measure(image, rois, correction=recipe).sel(roi="spot").isel(time=0)
        found = Section.of(SectionRequest(image.to_dataset(name="image"), rois["spot"], recipe, rois))
    for axis in ("y", "x"):
        left, right, level = found.half_maximum(axis)
        assert right - left == pytest.approx(float(series[f"fwhm_{axis}"]), rel=1e-9)
        assert getattr(found, axis).min() < level < getattr(found, axis).max()
        assert left < float(series[f"com_{axis}"]) < right
    assert found.x.sum() == pytest.approx(float(series.intensity), rel=1e-6)


class TestServer:
    def page(self, url, **headers):
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()

    @pytest.mark.thorough
    def test_only_this_machine_and_its_own_pages(self, truth):
        explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
        try:
            assert explorer.url.startswith("http://127.0.0.1:")
            port = urlsplit(explorer.url).port
            text = self.page(explorer.url)
            assert "<html" in text
            assert 'src="http' not in text.replace(f'src="http://127.0.0.1:{port}', "")
            assert 'href="http' not in text
            for origin, code in (("http://evil.example", 403), (f"http://127.0.0.1:{port}", 101)):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                headers = {
                    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                    "Sec-WebSocket-Version": "13", "Origin": origin, "Sec-WebSocket-Protocol": "bokeh, token",
                }  # fmt: skip
                connection.request("GET", f"/ws?token={explorer.token}", headers=headers)
                assert connection.getresponse().status == code
                connection.close()
            assert origins(port, public=False) == [f"127.0.0.1:{port}", f"localhost:{port}"]
        finally:
            explorer.stop()

    @pytest.mark.thorough
    def test_a_handle_without_a_browser(self, truth):
        scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo")
        explorer = explore(scan, rois=RoiSet(list(truth.rois)), correction=xi.Correction(median=3), browser=False)
        try:
            expected = xi.measure(scan, truth.rois, correction=xi.Correction(median=3)).compute()
            np.testing.assert_array_equal(explorer.series["intensity"].values, expected["intensity"].values)
            assert explorer.rois.names == truth.rois.names
            assert len(explorer.to_dataframe()) == 20 * len(truth.rois)
            assert explorer.url in explorer._repr_html_()
        finally:
            explorer.stop()

    def test_rois_and_corrections_that_do_not_fit_are_refused_at_once(self, truth):
        far = RoiSet([xi.Roi("far", y=(500, 600), x=(0, 10))])
        with pytest.raises(xi.RoiError, match="'far'"):
            explore(truth.folders["time1"], rois=far, reading=TOKYO, browser=False)
        small = xi.Correction(flatfield=np.ones((10, 10)))
        with pytest.raises(xi.CorrectionError, match="flatfield"):
            explore(truth.folders["time1"], correction=small, reading=TOKYO, browser=False)
        with pytest.raises(xi.LayoutError):
            explore(truth.folders["time1"].parent.parent / "nowhere", browser=False)

    def test_a_taken_port_is_one_sentence(self, truth):
        one = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
        try:
            port = urlsplit(one.url).port
            with pytest.raises(xi.XinsituError, match=f"port {port}"):
                explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False, port=port)
        finally:
            one.stop()


@pytest.mark.thorough
@pytest.mark.parametrize("key", ["ROIs", "view"])
@pytest.mark.parametrize("how", ["full disc", "sent", "written", "written, tab closed"])
def test_what_is_asked_for_is_safe_once_it_is_written_or_sent(session, tmp_path, monkeypatch, how, key):
    """What was kept aside of it was cleared before: a disc that was full lost it."""
    monkeypatch.chdir(tmp_path)
    wire_files(session)
    session.model.safe = set()
    held, writing, asked = threading.Event(), threading.Event(), []
    monkeypatch.setattr(session, "rest", lambda: asked.append(unsaved.at_risk(session.model)))

    def write(path, content):
        writing.set()
        held.wait(30)
        if how == "full disc":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write_whole(path, content)

    monkeypatch.setattr("xinsitu.app.page.file_form.write_whole", write)
    monkeypatch.setattr(type(session.document), "session_context", SimpleNamespace(session=None))
    session.channel.beside, model = how != "sent", session.model
    session.channel.save = (key, True, session.channel.save[2] + 1)
    until(session, lambda: writing.is_set() or how == "sent")
    safe = unsaved.parts(model)["rois"] in model.safe
    assert not safe or how == "sent"
    held.set()
    if how == "written, tab closed":
        end = time.monotonic() + 30
        while unsaved.parts(model)["rois"] not in model.safe:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert len(list(tmp_path.iterdir())) == 1
        return
    said = {"full disc": lambda: "no space" in model.view.message, "sent": lambda: session.channel.file[0]}
    until(session, said.get(how, lambda: "saved as" in model.view.message))
    if how == "full disc":
        assert model.view.message.startswith(f"{tmp_path}{os.sep}")
        assert model.view.message.endswith(": no space left on device")
    assert (unsaved.parts(model)["rois"] in model.safe) == (how != "full disc")
    assert asked  # and what was kept aside of it is looked at


@pytest.mark.thorough
@pytest.mark.parametrize("beside", [True, False])
def test_what_takes_a_while_is_said_at_once_and_what_came_of_it_at_the_end(session, tmp_path, monkeypatch, beside):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(type(session.document), "session_context", SimpleNamespace(session=None))
    wire_files(session)
    session.channel.beside, view = beside, session.model.view
    held = threading.Event()
    for fault in (None, OSError(errno.EIO, "Input/output error")):
        held.clear()

        def figure(screen, ending, fault=fault):
            held.wait(30)
            if fault:
                raise fault
            return b"a picture"

        monkeypatch.setattr(export, "figure", figure)
        session.channel.save = ("PNG", beside, session.channel.save[2] + 1)
        until(session, lambda: view.message.startswith("making ") and view.message.endswith(".png …"))
        held.set()
        said = ".png: input/output error" if fault else "saved as" if beside else "is sent to the browser"
        until(session, lambda said=said: said in view.message)
        assert view.failed == bool(fault)


def until(session, holds):
    end = time.monotonic() + 60
    while not holds():
        drain(session)
        assert time.monotonic() < end


@pytest.mark.thorough
@pytest.mark.parametrize("among", [True, False])
def test_files_of_the_page_never_go_among_frames(session, truth, tmp_path, monkeypatch, among):
    folder = truth.folders["time1"] if among else tmp_path
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    session.channel.beside = True
    wire_files(session)
    monkeypatch.setattr(type(session.document), "session_context", SimpleNamespace(session=None))  # a tab that is open
    session.channel.save = ("ROIs", True, session.channel.save[2] + 1)
    until(session, lambda: session.channel.file[0] or (tmp_path / "rois.json").exists())
    if among:
        assert sorted(folder.iterdir()) == before
        assert session.channel.file[0] == "rois.json"
        assert xi.RoiSet.from_dict(json.loads(session.channel.file[1])).names == truth.rois.names
    else:
        assert not session.channel.file[0]
        assert not session.channel.file[0]


def test_what_stands_in_the_form_of_files_begins_in_one_line(session, monkeypatch):
    from panel import Row

    from xinsitu.app.page.file_form import files

    def left(part):
        margin = part.margin
        own = margin if isinstance(margin, int) else margin[1] if len(margin) == 2 else margin[3]
        return own + left(part[0]) if isinstance(part, Row) else own

    monkeypatch.setattr(session.model, "left", Path("unsaved.json"))
    form = files(session)
    assert len(form) == 3
    assert {left(part) for part in form} == {10}
