"""The explorer in a real browser: dragged, typed, played, clicked, saved, and nobody else's state or network."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import xinsitu as xi
from xinsitu.app.serve import Explorer, explore
from xinsitu.recipe import Reading

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
POISON = "<img src=x onerror=window.hacked=1>"
TOKYO = Reading(tz="Asia/Tokyo")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
    pytest.mark.filterwarnings("ignore"),  # of Panel and its parts, in threads that pytest does not own
]

PLACE = """(name) => {
  const document = Bokeh.documents[0]
  const figure = document.get_model_by_name("image"), box = document.get_model_by_name(name)
  const find = (view) => view.model === figure ? view
    : (view.child_views ?? []).reduce((found, child) => found ?? find(child), null)
  const view = [...Bokeh.index.roots].reduce((found, root) => found ?? find(root), null)
  const area = view.canvas_view.el.getBoundingClientRect(), {x_scale, y_scale} = view.frame
  return {left: area.left + x_scale.compute(box.left), right: area.left + x_scale.compute(box.right),
          top: area.top + y_scale.compute(box.top), bottom: area.top + y_scale.compute(box.bottom)}
}"""
CURVE = """([name, x]) => {
  const figure = Bokeh.documents[0].get_model_by_name(name)
  const find = (view) => view.model === figure ? view
    : (view.child_views ?? []).reduce((found, child) => found ?? find(child), null)
  const view = [...Bokeh.index.roots].reduce((found, root) => found ?? find(root), null)
  view.el.scrollIntoView({block: "center"})
  const area = view.canvas_view.el.getBoundingClientRect(), bbox = view.frame.bbox
  return {x: area.left + view.frame.x_scale.compute(x), y: area.top + (bbox.top + bbox.bottom) / 2}
}"""


class Tab:
    """One browser tab with an explorer in it."""

    def __init__(self, page, url):
        self.page, self.requests, self.errors = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        self.until("() => window.Bokeh?.documents?.[0]?.get_model_by_name('image')?.inner_width > 0")

    def until(self, condition, argument=None):
        self.page.wait_for_function(condition, arg=argument, polling=100, timeout=45_000)

    def get(self, name, attribute):
        return self.page.evaluate(f"(name) => Bokeh.documents[0].get_model_by_name(name).{attribute}", name)

    def set(self, name, attribute, value):
        code = f"([name, value]) => {{Bokeh.documents[0].get_model_by_name(name).{attribute} = value}}"
        self.page.evaluate(code, [name, value])

    def column(self, roi, column):
        code = "([name, column]) => Array.from(Bokeh.documents[0].get_model_by_name(name).data[column] ?? [], String)"
        return np.array(self.page.evaluate(code, [f"series:{roi}", column]), dtype=float)

    def drag(self, start, step, moves=12):
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(start[0] + 9, start[1])  # beyond what Bokeh takes for a long press
        for number in range(1, moves + 1):
            mouse.move(start[0] + step[0] * number / moves, start[1] + step[1] * number / moves)
            self.page.wait_for_timeout(25)
        mouse.up()

    def middle(self, box):
        place = self.page.evaluate(PLACE, box)
        return (place["left"] + place["right"]) / 2, (place["top"] + place["bottom"]) / 2

    def corner(self, box):
        place = self.page.evaluate(PLACE, box)
        return place["right"], place["bottom"]

    def settle(self, condition, seconds=45):
        """Wait until the model says so."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the page does not get there"
            self.page.wait_for_timeout(50)

    def all_read(self):
        """Wait until the page no longer says that it reads."""
        self.until("() => !Bokeh.documents[0].get_model_by_name('state').text.includes('reading')")

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def place(self, figure, x):
        """Point of the screen at a place of a time axis, once the page has come to rest."""
        before = None
        while (point := self.page.evaluate(CURVE, [figure, x])) != before:
            before = point
            self.page.wait_for_timeout(250)
        return point

    def save(self, label, folder):
        """Download a file of the side bar."""
        from playwright.sync_api import TimeoutError as Late

        try:
            with self.page.expect_download(timeout=60_000) as coming:
                self.page.locator(f".download-{label.lower()}").get_by_text(label, exact=True).click()
        except Late as late:
            raise AssertionError(f"no {label} came; the page says {self.get('message', 'text')!r}") from late
        path = folder / coming.value.suggested_filename
        coming.value.save_as(path)
        return path

    def field(self, label):
        return self.page.get_by_label(label, exact=True)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("browser"), measurements=2, frames=40)


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def start(chromium):
    with contextlib.ExitStack() as stack:

        def open_tab(explorer: Explorer, size=(1500, 1150)) -> Tab:
            context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
            stack.callback(context.close)
            stack.callback(explorer.stop)
            return Tab(context.new_page(), explorer.url)

        yield open_tab


def measured(tab: Tab, explorer: Explorer, roi: str) -> None:
    """Wait until the numbers in the browser are those of the ROIs in the model."""
    end = time.monotonic() + 45
    while explorer.model.stale() or not explorer.store.complete:
        assert time.monotonic() < end, explorer.model.message
        tab.page.wait_for_timeout(100)
    expected = explorer.model.shown(roi)["n_valid"].values
    tab.until(
        "([name, n, first]) => {const data = Bokeh.documents[0].get_model_by_name(name).data;"
        " return data.n_valid?.length === n && data.n_valid[0] === first}",
        [f"series:{roi}", len(expected), int(expected[0])],
    )


def test_drag_type_play_click(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo")
    tab = start(explorer)
    measured(tab, explorer, "WZ")

    def same_as_measure():
        measured(tab, explorer, "WZ")
        expected = xi.measure(scan, explorer.rois).sel(roi="WZ").compute()
        for column in ("intensity", "com_x", "com_y", "fwhm_x", "fwhm_y", "intensity_errors"):
            np.testing.assert_array_equal(tab.column("WZ", column), expected[column].values)

    same_as_measure()
    before = explorer.rois["WZ"]
    tab.drag(tab.middle("roi:WZ"), (30, 15))
    tab.until("() => Bokeh.documents[0].get_model_by_name('channel').drag[1] === 'pan:end'")
    tab.page.wait_for_timeout(400)
    body = explorer.rois["WZ"]
    assert body.shape == before.shape
    assert body.x[0] > before.x[0] + 5
    assert (tab.get("roi:WZ", "left"), tab.get("roi:WZ", "top")) == (body.x[0] - 0.5, body.y[0] - 0.5)  # snapped
    same_as_measure()

    place = tab.page.evaluate(PLACE, "roi:WZ")
    tab.drag((place["right"], place["bottom"]), (24, 12))
    tab.page.wait_for_timeout(600)
    corner = explorer.rois["WZ"]
    assert corner.shape[0] > body.shape[0]
    assert corner.shape[1] > body.shape[1]
    assert (corner.y[0], corner.x[0]) == (body.y[0], body.x[0])
    same_as_measure()

    tab.page.keyboard.press("Control+z")
    tab.page.wait_for_timeout(500)
    assert explorer.rois["WZ"] == body
    field = tab.field("rows y0:y1, columns x0:x1")
    field.fill("60:150, 205:275")
    field.press("Enter")
    tab.page.wait_for_timeout(500)
    assert (explorer.rois["WZ"].y, explorer.rois["WZ"].x) == ((60, 150), (205, 275))
    assert tab.get("roi:WZ", "left") == 204.5
    same_as_measure()

    tab.set("speed", "value", 40)
    tab.set("play", "active", True)
    tab.until("() => Bokeh.documents[0].get_model_by_name('channel').done[0] === 39")
    assert tab.get("play", "active") is False
    assert tab.get("frame_slider", "value") == 39
    np.testing.assert_array_equal(
        np.array(tab.page.evaluate("Array.from(Bokeh.documents[0].get_model_by_name('frame').data.image[0])")),
        scan.image[39].values.ravel(),
    )

    seconds = tab.page.evaluate("Bokeh.documents[0].get_model_by_name('places').data.x[11]")
    point = tab.place("curve_intensity", seconds)
    tab.page.mouse.click(point["x"], point["y"])
    tab.until("() => Math.abs(Bokeh.documents[0].get_model_by_name('channel').done[0] - 11) <= 1")
    assert tab.get("cursor:curve_com", "location") == pytest.approx(seconds, abs=2)
    shown = tab.get("frame_slider", "value")
    tab.page.mouse.click(5, 5)
    for _ in range(3):
        tab.page.keyboard.press("ArrowRight")
    tab.until(f"() => Bokeh.documents[0].get_model_by_name('channel').done[0] === {shown + 3}")
    assert explorer.model.frame == shown + 3
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "blob:"))] == []


def test_sample_changes_files_and_the_same_state_again(truth, start, tmp_path):
    explorer = explore(truth.folders["sample"], rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(1500, 1900))
    measured(tab, explorer, "WZ")
    tab.button("find").click()
    tab.page.wait_for_timeout(1500)
    assert len(explorer.model.proposals) == len(truth.changes)
    tab.button("accept").click()
    tab.page.wait_for_timeout(1500)
    assert len(explorer.model.changes) == 1
    shown = explorer.model.shown("WZ")["intensity"].values
    np.testing.assert_array_equal(tab.column("WZ", "intensity"), shown)
    opened = {}
    for label in ("netCDF", "CSV", "ROIs", "recipe", "code", "changes", "PNG", "HTML"):
        opened[label] = tab.save(label, tmp_path)
    result = xi.read_results(opened["netCDF"])
    np.testing.assert_array_equal(result["intensity"].sel(roi="WZ").values, shown)
    assert len(opened["CSV"].read_text().splitlines()) == 81
    assert list(xi.read_rois(opened["ROIs"])) == list(explorer.rois)
    assert len(xi.read_attenuation_changes(opened["changes"])) == 1
    assert opened["PNG"].read_bytes().startswith(b"\x89PNG")
    assert "recipe.toml" in zipfile.ZipFile(opened["recipe"]).namelist()
    subprocess.run([sys.executable, opened["code"].name], cwd=tmp_path, check=True, capture_output=True)
    again = xi.read_results(tmp_path / "0884.nc")
    np.testing.assert_array_equal(again["intensity"].sel(roi="WZ").values, shown)

    document = json.loads(opened["ROIs"].read_text())
    document["rois"][0]["name"] = POISON
    poisoned = tmp_path / "poisoned.json"
    poisoned.write_text(json.dumps(document))
    tab.page.locator("input[type=file]").set_input_files(poisoned)
    tab.until("(name) => Bokeh.documents[0].get_model_by_name(name) != null", f"roi:{POISON}")
    measured(tab, explorer, POISON)
    tab.page.wait_for_timeout(500)
    assert tab.page.evaluate("window.hacked") is None
    assert tab.errors == []


def test_two_sessions_stay_apart_and_memory_comes_back(truth, start):
    explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
    one = start(explorer)
    measured(one, explorer, "WZ")
    first = explorer.model
    two = start(explorer)
    measured(two, explorer, "WZ")
    second = explorer.model
    assert first is not second
    two.drag(two.middle("roi:WZ"), (30, 15))
    two.set("frame_slider", "value", 20)
    two.until("() => Bokeh.documents[0].get_model_by_name('channel').done[0] === 20")
    two.page.wait_for_timeout(500)
    assert second.rois["WZ"] != first.rois["WZ"] == truth.rois["WZ"]
    assert (first.frame, second.frame) == (0, 20)
    assert one.get("frame_slider", "value") == 0
    explorer.stop()
    assert explorer.store.loaded == 0


def test_poisoned_folders_are_text(truth, start, tmp_path):
    folder = tmp_path / POISON.replace("/", "") / "time1"
    shutil.copytree(truth.folders["time1"], folder)
    explorer = explore(folder, rois=truth.rois, reading=TOKYO, browser=False)
    tab = start(explorer, size=(600, 1200))
    measured(tab, explorer, "WZ")
    tab.page.wait_for_timeout(500)
    assert tab.page.evaluate("window.hacked") is None
    assert "onerror" in tab.page.title()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 620  # a narrow window scrolls one way only
    assert Path(explorer.source.folders[0]).is_dir()
