"""Take the pictures that need a browser or are shown by the README: of the explorer and of a joined sample.

    python docs/make_screenshots.py

Needs playwright and chromium, and jupyter-lab on the path for the notebook; run by hand where the explorer changed.
"""

from __future__ import annotations

import contextlib
import io
import secrets
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Error, Page, sync_playwright

import xinsitu as xi
from xinsitu.app.network import free_port
from xinsitu.app.serve import explore

FIGURES = Path(__file__).parent / "figures"
WIDE, NARROW, PAGE = ({"width": 1500, "height": 1000}, {"width": 600, "height": 1300}, {"width": 1100, "height": 1750})
CELLS = (
    "import xinsitu as xi\n\nscan = xi.open_measurement('0884/time1', tz='Asia/Tokyo')\n"
    "rois = xi.read_rois('rois.json')",
    "scan.insitu.plot_frames(rois=rois)",
    "handle = scan.insitu.explore(rois=rois)\nhandle",
)


def notebook(browser: Browser, folder: Path, jupyter: str) -> None:
    """Run a notebook in JupyterLab and photograph it."""
    import nbformat

    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "growth.ipynb")
    token, port = secrets.token_hex(8), free_port()
    settings = [f"--port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--allow-root"]
    server = subprocess.Popen([jupyter, "--no-browser", *settings])
    try:
        page = browser.new_page(viewport=PAGE)
        for _ in range(60):
            with contextlib.suppress(Error):
                page.goto(f"http://127.0.0.1:{port}/doc/tree/growth.ipynb?token={token}")
                break
            time.sleep(1)
        page.wait_for_timeout(12_000)
        with contextlib.suppress(Error):
            page.get_by_role("button", name="No", exact=True).click(timeout=3000)  # news
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.wait_for_timeout(60_000)
        assert "Traceback" not in page.locator(".jp-Notebook").inner_text(), "a cell of the notebook failed"
        page.locator(".jp-Notebook").screenshot(path=FIGURES / "notebook.png")
    finally:
        server.terminate()
        server.wait()


def film(page: Page, path: Path, pictures: int = 12) -> None:
    """Photograph the page while the frames go on, and write it as a moving picture."""
    shots = []
    for _ in range(pictures):
        page.keyboard.press("Shift+ArrowRight")
        page.wait_for_timeout(700)
        shots.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize((1000, 667)))
    shots[0].save(path, save_all=True, append_images=shots[1:], duration=600, loop=0, quality=60)


def take(folder: Path, jupyter: str | None) -> None:
    """Simulate a sample, draw it joined, and photograph the explorer on it."""
    truth = xi.simulate_sample(folder)
    flat = xi.open_flatfield(truth.folders["flatfield"], instrument="spring8-bl11xu")
    correction = xi.Correction(median=3, threshold=5, flatfield=flat)
    scans = [xi.open_measurement(path, instrument="spring8-bl11xu") for path in truth.measurements]
    sample = xi.stitch([xi.measure(scan, truth.rois, correction=correction).compute() for scan in scans])
    joined = xi.with_events(xi.correct_attenuation(sample, truth.changes), truth.events)
    xi.save_plot(joined, FIGURES / "sample.png", t0="In shutter open", overwrite=True)
    handle = explore(scans[0], rois=truth.rois, correction=correction, browser=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, size in (("explore", WIDE), ("explore_narrow", NARROW)):
            page = browser.new_page(viewport=size)
            page.goto(handle.url)
            page.wait_for_timeout(12_000)
            page.screenshot(path=FIGURES / f"{name}.png")
            if size is WIDE:
                film(page, FIGURES / "explore.webp")
        if jupyter is not None:
            notebook(browser, folder, jupyter)
        browser.close()
    handle.stop()
    for path in FIGURES.glob("*.png"):  # few colours: a third of the size
        small = Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        take(Path(temporary), shutil.which("jupyter-lab"))
