"""The report: all of a result on one page that asks nothing of the network and runs nothing of what stands in files."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.digits import with_error
from xinsitu.plots.report import LARGE, report_page

TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "p",
    "ul",
    "li",
    "table",
    "tr",
    "th",
    "td",
    "figure",
}
TAGS |= {"img", "pre", "span"}


class Reader(HTMLParser):
    """Tags, attributes and text of a page, as a browser takes them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def series(frames: int = 40, rois: tuple[str, ...] = ("WZ", "ZB"), factor: float = 5.0) -> xr.Dataset:
    """A run in which a filter goes in half-way, with what a result carries."""
    rng = np.random.default_rng(7)
    counts = np.full((frames, len(rois)), 40_000.0)
    counts[frames // 2 :] /= factor
    counts = rng.poisson(counts).astype(float)
    time = np.datetime64("2021-03-04T05:06:07", "ns") + np.arange(frames) * np.timedelta64(2, "s")
    return xr.Dataset(
        {
            "intensity": (("time", "roi"), counts, {"units": "counts", "long_name": "intensity"}),
            "intensity_errors": (("time", "roi"), np.sqrt(counts)),
            "quality": (("time", "roi"), np.where(np.arange(frames * len(rois)).reshape(frames, -1) == 4, 1, 0)),
        },
        {
            "time": time,
            "roi": list(rois),
            "measurement": ("time", np.repeat(["run1", "run2"], frames // 2)),
            "frame": ("time", np.tile(np.arange(frames // 2), 2)),
            "sample": "S9",
        },
        {"time_zone": "Europe/Paris", "time_zone_source": "tz", "xinsitu_version": "9.9", "source": "S9"},
    )


def joined(**how) -> xr.Dataset:
    return xi.correct_attenuation(series(**how), [xi.AttenuationChange("run1:19", "run2:0", note="0.1 mm Al")])


@pytest.mark.thorough
def test_a_report_has_what_a_logbook_needs():
    sample = joined().assign_attrs(
        recipe=json.dumps({"command": "stitch", "inputs": [{"measurement": "S9/run1"}, {"measurement": "S9/run2"}]}),
        rois=json.dumps({"rois": [{"name": "WZ", "y": [10, 20], "x": [31, 47], "background": ["edge"]}]}),
        versions=json.dumps({"numpy": "2.2.2"}),
        sources=json.dumps(["S9/run1", "S9/run2"]),
    )
    sample = sample.assign_coords(remarks="the background is zero in 3 of 40 frames; their values are NaN")
    sample = xi.with_events(sample, [xi.Event("In shutter open", "2021-03-04T05:06:17Z")])
    page = Reader(report_page(sample, source="S9.nc"))
    change = xi.attenuation_changes(sample)[0]
    for text in (
        "S9",
        "run1",
        "run2",
        "2021-03-04 06:06:07",
        "2021-03-04 06:06:17",
        with_error(change.factor, change.factor_errors),
        "0.1 mm Al",
        "WZ",
    ):
        assert text in page.text
    assert "10:20" in page.text
    assert "31:47" in page.text
    assert "saturated" in page.text
    assert "WZ in 1 of 40 frames" in page.text
    assert "the background is zero in 3 of 40 frames" in page.text
    assert "xinsitu 9.9, numpy 2.2.2" in page.text
    assert '"measurement": "S9/run2"' in page.text
    assert page.tags.count("img") == 2
    assert page.text.count("run1 frame 19") == 1


def test_without_changes_events_recipe_or_flags_it_says_so():
    page = Reader(report_page(series().drop_vars(["quality", "measurement", "sample"]), source="x.nc"))
    for text in ("None was corrected.", "No warning.", "No flag is set.", "The result holds no recipe."):
        assert text in page.text
    assert "Events" not in page.text


POISON = '</pre></style><script>alert(1)</script><img src=x onerror="alert(2)">\x1b[31m\u202e${x}{{y}}'


@pytest.mark.thorough
def test_nothing_in_a_result_does_anything_in_the_page():
    run = series(rois=(f"A {POISON}", "B"))
    run["measurement"] = ("time", [POISON] * 20 + ["run2"] * 20)
    sample = xi.correct_attenuation(run, [xi.AttenuationChange("19", "20", note=POISON)])
    names = sample.roi.values.tolist()
    poisoned = dict.fromkeys(("source", "instrument", "detector", "xinsitu_version", "time_source"), POISON)
    sample = sample.assign_attrs(
        **poisoned,
        rois=json.dumps({"rois": [{"name": names[0], "y": [POISON, 2], "x": [1, 2], "color": POISON, "role": POISON}]}),
        recipe=json.dumps({POISON: POISON, "inputs": [{POISON: 1}, POISON]}),
        sources=json.dumps([POISON]),
        versions=json.dumps({POISON: POISON}),
        correction=json.dumps({POISON: {"source": POISON}}),
    )
    sample = sample.assign_coords(remarks=POISON, sample=POISON)
    sample = xi.with_events(
        sample, [xi.Event(POISON.replace("\x1b", "").replace("\u202e", ""), "2021-03-04T05:06:17Z")]
    )
    text = report_page(sample, source=POISON)
    page = Reader(text)
    assert set(page.tags) <= TAGS
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(value.startswith("data:image/svg+xml;base64,") for name, value in page.attributes if name == "src")
    assert "\x1b" not in text
    assert "\u202e" not in text
    styles = [value for name, value in page.attributes if name == "style"]
    assert all(re.fullmatch(r"background:#[0-9a-f]{6}", style) for style in styles)


@pytest.mark.thorough
def test_it_asks_nothing_of_the_network():
    page = report_page(joined())
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", page)


@pytest.mark.thorough
def test_attributes_that_make_no_sense_say_nothing():
    sample = joined().assign_attrs(rois="{", recipe="[1, 2]", sources='"x"', versions="7", correction="[]")
    assert "The result holds no recipe." in report_page(sample)


@pytest.mark.thorough
def test_a_long_run_stays_a_file_that_can_be_opened():
    page = report_page(series(frames=40_000))
    assert len(page) < 3 * LARGE


@pytest.mark.thorough
def test_the_command_writes_it_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    xi.write_results(joined(), "S9.nc")
    assert main(["report", "S9.nc"]) == 0
    assert "S9_report.html" in capsys.readouterr().out
    first = (tmp_path / "S9_report.html").read_bytes()
    assert main(["report", "S9.nc"]) == 1
    assert main(["report", "S9.nc", "-o", "S9.nc"]) == 1
    assert main(["report", "S9.nc", "-o", "S9.txt"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["S9.nc", "S9_report.html"]
    assert (tmp_path / "S9_report.html").read_bytes() == first
    assert main(["report", "S9.nc", "--force", "--log"]) == 0


@pytest.mark.thorough
@pytest.mark.browser
def test_it_prints_on_a4(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("there is no chromium")
    path = tmp_path / "report.html"
    path.write_text(report_page(joined()))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        loaded = page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        coloured = page.evaluate("getComputedStyle(document.querySelector('.swatch')).printColorAdjust")
        printed = page.pdf(prefer_css_page_size=True)
        browser.close()
    assert wide == 0
    assert loaded
    assert coloured == "exact"  # browsers print no backgrounds otherwise, and a ROI has no colour
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert {(round(float(w)), round(float(h))) for w, h in boxes} == {(595, 842)}
    assert len(boxes) <= 4
