"""Names and texts of files are shown as they stand, in every page, figure and notebook: none of them does anything."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.browser import PIXEL, in_a_browser
from xinsitu.app.serve import explore
from xinsitu.plots import plot_comparison, plot_frames, plot_kymograph, waterfall, write_html
from xinsitu.plots.markup import as_html, visible
from xinsitu.recipe import Reading
from xinsitu.values import Event, Roi, RoiSet

TOOLTIPS = """() => {
  const found = []
  const walk = (root) => root.querySelectorAll("*").forEach((one) => {
    if (one.shadowRoot) walk(one.shadowRoot)
    if (String(one.className).includes("bk-tooltip-row-")) found.push(one.innerText)
  })
  walk(document)
  return found.join("|")
}"""
FIRES = "() => window.fired ?? null"


def poison(place: str) -> str:
    """Text that, taken as HTML, says where it was taken so; without a slash, as folders have none in their names."""
    return f"<img src=x onerror=window.fired='{place}'>"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a<b>&\"'", "a&#60;b&#62;&#38;&#34;&#39;"),
        ("@x $y {z} `", "&#64;x &#36;y &#123;z&#125; &#96;"),
        ("tab\there\r\n\x00\x1b[2J\x7f\x9b", "tabhere[2J"),
        ("right\u202eto\u2066left\u200f", "righttoleft"),
        ("一 é °", "一 é °"),
        ("", ""),
    ],
)
def test_as_html(text, html):
    import html as library

    assert as_html(text) == html
    assert library.unescape(as_html(text)) == visible(text)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """A sample in which every text that somebody else could have written says what it must not."""
    made = xi.simulate_sample(tmp_path_factory.mktemp("clean"), measurements=2, frames=20, counts=1e6)
    folder = tmp_path_factory.mktemp("poisoned") / poison("sample")
    for number in (1, 2):
        at = folder / f"{poison('measurement')}{number}"
        shutil.copytree(made.folders[f"time{number}"], at)
        for frame in at.glob("*.tif"):
            text = frame.read_bytes()
            serial = b"PILATUS 100K, S/N 1-0884, SPring-8"
            assert serial in text
            frame.write_bytes(text.replace(serial, b"<img src=x onerror=window.fired=1>"))
        log = next(at.glob("*.log"))
        (at / log.name).write_text(
            log.read_text().replace("mbe", poison("log")).replace("F.M.", "<img%20src=x%20onerror=window.fired=3>")
        )
    rois = RoiSet([
        Roi(poison("roi"), y=(60, 150), x=(210, 270), background=(poison("background") + "@value $x {0}",)),
        Roi(poison("background") + "@value $x {0}", y=(60, 150), x=(145, 195), role="background"),
    ])  # fmt: skip
    return folder, rois


class TestInABrowser:
    pytestmark = in_a_browser

    def test_figures_and_notebooks_show_text(self, poisoned, chromium, tmp_path):
        folder, rois = poisoned
        at = sorted(folder.iterdir())
        scans = [xi.open_measurement(one, tz="Asia/Tokyo", chunks={}) for one in at]
        scan = scans[0]
        for axis in ("y", "x"):
            scan[axis].attrs["long_name"] = scan.image[axis].attrs["long_name"] = poison(f"axis {axis}")
        series = [xi.measure(one, rois).compute() for one in scans]
        for one in series:
            one.intensity.attrs["long_name"] = poison("quantity")
            one.com_x.attrs["units"] = poison("unit")
        joined = xi.stitch(series).assign_attrs(note=poison("attribute"), source=poison("source"))
        event = Event(poison("event"), joined["time"].values[3])
        pages = tmp_path / poison("page")
        pages.mkdir()
        for name, options in {"elapsed": {}, "local": {"x": "local"}, "slope": {"derivative": True}}.items():
            options |= {"roi": rois.names}  # one of the two is a background
            xi.save_plot(joined, pages / f"{poison(name)}.html", events=[event], **options)
        xi.save_plot(joined, pages / "figure.svg", events=[event])
        names = {f"{poison('one')}": series[0], f"{poison('two')}": series[1]}
        compared = {name: one.assign_coords(elapsed=("time", np.arange(20.0))) for name, one in names.items()}
        plot_comparison(compared, pages / "compared.html")
        plot_comparison(compared, pages / "compared.svg")
        roi = rois[poison("roi")]
        write_html(plot_kymograph(scan, roi), pages / "kymograph.html")
        write_html(waterfall(scan, roi), pages / "waterfall.html")
        write_html(plot_frames(scan.isel(time=slice(0, 1)), rois=rois)[0], pages / "frame.html")
        tree = xr.DataTree.from_dict({f"/{one.name}": two for one, two in zip(at, series, strict=True)})
        frame = xi.to_dataframe(joined)
        shown = [scan, scan.image, joined, joined.intensity, tree, frame]
        (pages / "notebook.html").write_text(
            "<!doctype html>" + "".join(one._repr_html_() for one in shown), encoding="utf-8"
        )

        hovered = ""
        page = chromium.new_page(viewport={"width": 1000, "height": 900})
        for path in sorted(pages.iterdir()):
            page.goto("file://" + quote(str(path)))
            if path.suffix == ".html" and path.stem != "notebook":
                page.wait_for_function("() => window.Bokeh?.documents?.length > 0")
            page.wait_for_timeout(700)
            assert page.evaluate(FIRES) is None, path.name
            if path.suffix == ".html":
                for y in range(60, 400, 20):
                    for x in range(110, 820, 55):
                        page.mouse.move(x, y)
                        hovered += page.evaluate(TOOLTIPS)
                assert page.evaluate(FIRES) is None, path.name
            else:
                assert page.evaluate("document.documentElement.nodeName") == "svg"
        page.close()
        for place in ("background", "axis x", "axis y"):
            assert poison(place) in hovered, "nothing was hovered"

    def test_the_explorer_shows_text(self, poisoned, start):
        folder, rois = poisoned
        at = sorted(folder.iterdir())[0]
        scan = xi.open_measurement(at, tz="Asia/Tokyo", chunks={})
        names = {axis: scan[axis].astype(float).rename(poison(f"calibrated {axis}")) for axis in ("y", "x")}
        for one in names.values():
            one.attrs["units"] = poison("calibrated unit")
        explorer = explore(at, rois=rois, reading=Reading(tz="Asia/Tokyo"), calibration=names, browser=False)
        tab = start(explorer)
        tab.measured(explorer, poison("roi"))
        model = explorer.model

        def act() -> None:
            model.view.message = poison("message")
            model.logbook.add_event(poison("event"))
            model.attenuation.pick_change()
            model.view.pick(8)
            model.view.pick(9)

        tab.page.evaluate("() => 0")
        explorer._loop.call_soon_threadsafe(lambda: next(iter(explorer._documents)).add_next_tick_callback(act))
        tab.settle(lambda: len(model.logbook.events) == 1 and len(model.attenuation.changes) == 1)
        tab.until("(text) => Bokeh.documents[0].get_model_by_name('message').text === text", poison("message"))
        tab.at_rest()
        hovered = ""
        for y in range(20, 190, 25):
            for x in range(20, 480, 40):
                point = tab.page.evaluate(PIXEL, [y, x])
                tab.page.mouse.move(point["x"], point["y"])
            hovered += tab.page.evaluate(TOOLTIPS) + tab.page.locator("#under").text_content()
        assert tab.page.evaluate(FIRES) is None
        assert poison("calibrated x") in hovered
        assert poison("calibrated unit") in hovered
        assert "onerror" in tab.page.title()
        assert tab.errors == []
        assert Path(explorer.source.folders[0]).is_dir()
