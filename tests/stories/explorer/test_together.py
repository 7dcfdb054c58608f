"""Several people at one explorer, hostile names, and what is left when everybody has gone; in a real browser."""

from __future__ import annotations

import gc
import json
import re
import shutil
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import FRAME, SECONDS, THERE, TOKYO, in_a_browser
from xinsitu.app import explorer as explorer_module
from xinsitu.app.page.session import Session
from xinsitu.app.serve import explore
from xinsitu.cli import main

EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'${window.hacked=1}{{7*7}}"
pytestmark = in_a_browser


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("together"), measurements=1, frames=60)


def test_two_people_at_once_mix_nothing(truth, start):
    """Turn by turn, each in a browser of their own: ROIs, frames, names, axes, undo, files."""
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tabs, models = [], []
    for _ in range(2):
        tabs.append(start(explorer))
        tabs[-1].measured(explorer, "WZ")
        models.append(explorer.model)
    one, two = tabs
    boxes = ("60:140, 205:265", "70:150, 215:280")
    for number in range(3):
        for tab, box in zip(tabs, boxes, strict=True):
            tab.page.get_by_label("selected", exact=True).select_option("WZ")
            tab.type("rows y0:y1, columns x0:x1", box)
            tab.set("frame_slider", "value", 10 * number + (tab is two))
        for n, tab in enumerate(tabs):
            tab.until(FRAME, 10 * number + n)
    for model, box, n in zip(models, boxes, range(2), strict=True):
        one.settle(lambda model=model: not model.numbers.stale() and model.regions.rois["WZ"] != truth.rois["WZ"])
        (y0, y1), (x0, x1) = model.regions.rois["WZ"].y, model.regions.rois["WZ"].x
        assert f"{y0}:{y1}, {x0}:{x1}" == box
        assert model.view.frame == 20 + n
    one.field("name").first.fill("mine")
    one.field("name").first.press("Enter")
    one.settle(lambda: "mine" in models[0].regions.rois.names)
    assert "mine" not in models[1].regions.rois.names
    for tab, model, roi in zip(tabs, models, ("mine", "WZ"), strict=True):
        tab.settle(lambda model=model: not model.numbers.stale())
        tab.shows(model, roi)
    assert not np.array_equal(one.column("mine", "intensity"), two.column("WZ", "intensity"))
    assert one.errors == two.errors == []
    for tab in tabs:
        assert [url for url in tab.requests if not re.match(r"(http|ws)://127\.0\.0\.1:|blob:|data:", url)] == []


def test_what_a_closed_tab_used_comes_back(truth, chromium, monkeypatch):
    monkeypatch.setattr(explorer_module, "CLOSED_TAB", 2000)
    alive: list[tuple[weakref.ref, ...]] = []
    plain = Session.start

    def noted(self: Session) -> None:
        alive.append(tuple(map(weakref.ref, (self.image, self.curves, self.frames, self.model))))
        plain(self)

    monkeypatch.setattr(Session, "start", noted)
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    for _ in range(3):
        pages = [chromium.new_page() for _ in range(2)]
        for page in pages:
            page.goto(explorer.url)
            page.wait_for_function(THERE, timeout=1000 * SECONDS)
        explorer.store.wait()
        assert explorer.store.loaded == 60
        assert len(explorer._models) >= 2
        for page in pages:
            page.close()
        end = time.monotonic() + SECONDS
        while (explorer._models or explorer.store.loaded) and time.monotonic() < end:  # the frames after the last tab
            time.sleep(0.1)
        assert explorer._models == []
        assert explorer.store.loaded == 0  # frames, tiles
        assert explorer.store._held.pieces == []
    end = time.monotonic() + SECONDS
    while sum(one() is not None for views in alive for one in views) > 1 and time.monotonic() < end:
        gc.collect()
        time.sleep(0.2)
    left = [one() for views in alive for one in views if one() is not None]
    assert all(one is explorer._idle for one in left)  # the last model: the handle still answers with it
    assert explorer.rois.names == truth.rois.names
    assert "xinsitu-frames" not in threads()
    explorer.stop()
    ours = {"xinsitu-explorer", "xinsitu-server", "xinsitu-frames", "xinsitu-follow"}
    end = time.monotonic() + SECONDS
    while ours & threads() and time.monotonic() < end:
        time.sleep(0.1)
    assert not ours & threads()


def threads() -> set[str]:
    return {thread.name.rsplit("_", 1)[0] for thread in threading.enumerate()}


def test_each_plot_is_saved_as_a_picture(truth, start, tmp_path):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1700, 1300))
    tab.measured(explorer, "WZ")
    tab.at_rest()
    press = """(name) => Bokeh.documents[0].get_model_by_name(name).toolbar.tools
      .find((tool) => tool.type === "SaveTool").do.emit(undefined)"""
    saved = []
    for name in ("image", "curve_com_l", "curve_fwhm_hk", "curve_intensity", "kymograph"):
        with tab.page.expect_download(timeout=1000 * SECONDS) as coming:
            tab.page.evaluate(press, name)
        assert coming.value.suggested_filename == f"0884_time1_{name}.png"
        coming.value.save_as(tmp_path / f"{name}.png")
        saved.append((tmp_path / f"{name}.png").read_bytes())
    assert all(one.startswith(b"\x89PNG\r\n") and len(one) > 2000 for one in saved)
    assert len(set(saved)) == len(saved)
    for name in ("image", "kymograph"):
        tab.page.locator("#save").click()
        with tab.page.expect_download(timeout=1000 * SECONDS) as coming:
            tab.page.locator(f"#files [data-picture={name}]").click()
        said = f"{coming.value.suggested_filename} is sent to the browser's downloads"
        tab.settle(lambda said=said: explorer.model.view.message == said)
        tab.until("(said) => document.querySelector('#told li').textContent.endsWith(said)", said)
    assert tab.errors == []


def test_no_text_becomes_a_script(truth, start, tmp_path):
    """Names of folders, ROIs and events, comments of the log and of the frames' headers: text, wherever it is shown."""
    folder = tmp_path / EVIL.replace("/", "_") / "time1"
    shutil.copytree(truth.folders["time1"], folder)
    (log,) = folder.glob("*.log")
    log.write_text(re.sub(r"(?m)^#C .*$", f"#C {EVIL}", log.read_text()) + f"#C {EVIL}\n")
    frame = sorted(folder.glob("*.tif"))[0]
    content = frame.read_bytes()
    frame.write_bytes(content.replace(b"p100k0884_T5000_vrf_m0p20.bin", b"<script>hacked=1</script>.bin"))
    rois = xi.RoiSet([replace(roi, name=f"{EVIL[:60]} {n}", background=()) for n, roi in enumerate(truth.rois)])
    explorer = explore(folder, rois=rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1500, 1900))
    tab.measured(explorer, rois.names[0])
    model = explorer.model
    tab.page.evaluate("window.hacked = undefined")
    for act in (
        lambda: model.logbook.add_event(EVIL),
        lambda: setattr(model.view, "message", EVIL),
        lambda: model.logbook.add_event(EVIL + " again"),
    ):
        explorer._loop.call_soon_threadsafe(model_tick(explorer, model, act))
    tab.settle(lambda: len(model.logbook.events) == 2)
    tab.until("() => Bokeh.documents[0].get_model_by_name('events').data.text?.length === 2")
    names = [event.name for event in model.logbook.events]
    assert EVIL in names
    page = tab.save("HTML", tmp_path)
    script = tab.save("code", tmp_path)
    compile(script.read_text(), "script", "exec")
    netcdf = tab.save("netCDF", tmp_path)
    assert tab.page.evaluate("window.hacked") is None
    assert tab.errors == []
    exported = tmp_path / "exported.html"
    assert main(["plot", str(netcdf), "-o", str(exported)]) == 0
    for path in (page, exported):
        other = tab.page.context.new_page()
        errors: list[str] = []
        requests: list[str] = []
        other.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
        other.on("request", lambda request, requests=requests: requests.append(request.url))
        other.goto(path.as_uri())
        other.wait_for_function("() => window.Bokeh?.documents?.[0]?.is_idle", timeout=1000 * SECONDS)
        assert other.evaluate("window.hacked") is None, path
        assert other.evaluate("document.querySelectorAll('img[src=x]').length") == 0
        assert errors == []
        assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
        assert "<script>window.hacked" not in path.read_text()
    table = json.dumps(xi.read_results(netcdf).attrs, default=str)
    assert "hacked" in table  # it came through as text


def model_tick(explorer, model, act):
    """Do something on the tab's own tick, as a person's click would."""

    def tick() -> None:
        session = next(one for one in gc.get_objects() if isinstance(one, Session) and vars(one).get("model") is model)
        session.do(act)

    return tick
