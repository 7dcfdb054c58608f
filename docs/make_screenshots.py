"""Take the pictures that need a browser or are shown by the README: of the explorer and of a joined sample.

    python docs/make_screenshots.py

Needs playwright and chromium; run by hand where the explorer changed.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import xinsitu as xi
from xinsitu.app.serve import explore

FIGURES = Path(__file__).parent / "figures"
WIDE = {"width": 1500, "height": 1000}


def take(folder: Path) -> None:
    """Simulate a sample, draw it joined, and photograph the explorer on it."""
    truth = xi.simulate_sample(folder)
    flat = xi.open_flatfield(truth.folders["flatfield"], instrument="spring8-bl11xu")
    correction = xi.Correction(median=3, threshold=5, flatfield=flat)
    scans = [xi.open_measurement(path, instrument="spring8-bl11xu") for path in truth.measurements]
    sample = xi.stitch([xi.measure(scan, truth.rois, correction=correction).compute() for scan in scans])
    joined = xi.with_events(xi.correct_attenuation(sample, truth.changes), truth.events)
    xi.save_plot(joined, FIGURES / "sample.png", t0="In shutter open")
    handle = explore(scans[0], rois=truth.rois, correction=correction, browser=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=WIDE)
        page.goto(handle.url)
        page.wait_for_timeout(10_000)
        page.screenshot(path=FIGURES / "explore.png")
        browser.close()
    handle.stop()
    for path in FIGURES.glob("*.png"):  # few colours: a third of the size
        small = (
            Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        )
        small.save(path, optimize=True)


if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        take(Path(temporary))
