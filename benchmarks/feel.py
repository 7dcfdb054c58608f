"""How the explorer feels, in a real browser: time to a new frame, and from the mouse to the curve.

Run ``python benchmarks/feel.py [FRAMES] [--tiled]``; with ``--tiled`` the frames are taken as larger than the memory.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
import warnings
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import xinsitu as xi
from xinsitu.app.serve import Explorer, explore
from xinsitu.recipe import Correcting, Reading

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FRAME = """(frame) => new Promise((resolve) => {
  const document = Bokeh.documents[0], start = performance.now()
  const channel = document.get_model_by_name("channel"), source = document.get_model_by_name("frame")
  const look = () => {
    if (channel.done[0] !== frame) { setTimeout(look, 1); return }
    const there = performance.now() - start
    requestAnimationFrame(() => requestAnimationFrame(() => resolve([there, performance.now() - start])))
  }
  document.get_model_by_name("frame_slider").value = frame
  look()
})"""
MOVE = """([name, left, right]) => new Promise((resolve) => {
  const document = Bokeh.documents[0], start = performance.now()
  const box = document.get_model_by_name(`roi:${name}`), source = document.get_model_by_name(`series:${name}`)
  const before = source.data
  const look = () => {
    if (source.data === before) setTimeout(look, 1)
    else requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - start)))
  }
  box.left = left; box.right = right
  look()
})"""


def said(name: str, times: list[float], wanted: float) -> None:
    median = statistics.median(times)
    ordered = sorted(times)
    verdict = "" if median <= wanted else f"   (wanted: {wanted:.0f})"
    print(f"{name:<44} {median:7.0f} ms median {ordered[int(0.95 * (len(ordered) - 1))]:7.0f} ms p95{verdict}")


def rest(page: Page, explorer: Explorer) -> None:
    while not explorer.store.complete or explorer.model.numbers.stale():
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)


def run(frames: int, *, tiled: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as api:
        truth = xi.simulate_frames(Path(folder) / "sample", frames, distinct=min(frames, 500))
        (measurement,) = [path for name, path in truth.folders.items() if name.startswith("time")]
        rois = xi.RoiSet([xi.Roi(f"R{n}", y=(80, 120), x=(60 + 70 * n, 100 + 70 * n)) for n in range(5)])
        memory = 1 if tiled else 16 * 2**30
        reading = Reading(tz="Asia/Tokyo", order_error="ignore")
        start = time.perf_counter()
        explorer = explore(
            measurement, rois=rois, reading=reading, correcting=Correcting(median=None), browser=False, memory=memory
        )
        browser = api.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.goto(explorer.url)
        page.wait_for_function("() => window.Bokeh?.documents?.[0]?.get_model_by_name('image')?.inner_width > 0")
        print(
            f"{frames} frames, five ROIs of 40 x 40 pixels; the page is there after {time.perf_counter() - start:.1f} s"
        )
        rest(page, explorer)
        print(f"everything read and measured after {time.perf_counter() - start:.1f} s")
        pairs = [page.evaluate(FRAME, (37 * n + 11) % frames) for n in range(30)]
        said("frame: slider to data in the page", [there for there, _ in pairs], 60)
        said("frame: slider to painted", [painted for _, painted in pairs], 100)
        rest(page, explorer)
        moves = []
        for number in range(15):
            moves.append(page.evaluate(MOVE, ["R2", 200.5 + number, 240.5 + number]))
            page.wait_for_timeout(500)  # until kymograph and profiles have followed
        said("ROI: box to painted curve", moves, 400 if tiled else 150)
        explorer.stop()
        browser.close()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", nargs="?", type=int, default=2000)
    parser.add_argument("--tiled", action="store_true")
    words = parser.parse_args()
    run(words.frames, tiled=words.tiled)
