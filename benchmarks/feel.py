"""How the explorer feels, in a real browser: time to the first image, to a new frame, and from the mouse to the curve.

Run ``python benchmarks/feel.py [FRAMES] [--tiled]``; with ``--tiled`` the frames are taken as larger than the memory.
The first image counts from the command on, in a browser that is open; while frames are read the longest time is said in
which the server answered nothing. Behind the times on the clock stand those of the server's processor, which other
programs on the machine disturb less. Exits 1 where a bar is missed by more than noise: by the quickest start, by the
quickest quarter of the gestures. ``--quick`` starts once, tries less, and never fails.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
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
SILENT = """() => {
  let since = performance.now(), last = -1
  window.silent = 0
  setInterval(() => {
    const channel = window.Bokeh?.documents?.[0]?.get_model_by_name("channel")
    if (channel == null || channel.pong !== last || channel.pong === channel.ping) since = performance.now()
    last = channel?.pong
    window.silent = Math.max(window.silent, performance.now() - since)
  }, 20)
}"""
SHOWN = """() => Bokeh.documents[0].get_model_by_name("image").inner_width > 0
  && Bokeh.documents[0].get_model_by_name("frame").data.image[0].length > 4"""
TRIED = f"() => {{try {{return ({SHOWN})()}} catch {{return false}}}}"
MOVE = """([name, left, right]) => new Promise((resolve) => {
  const document = Bokeh.documents[0], start = performance.now()
  const box = document.get_model_by_name(`roi:${name}`), source = document.get_model_by_name(`series:${name}`)
  const before = source.data
  const look = () => {
    if (source.data === before) setTimeout(look, 1)
    else requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - start)))
  }
  box.setv({left, right})  // in one, as the hand does
  look()
})"""


def said(name: str, times: list[float], wanted: float) -> bool:
    """Say how long something took; whether that is more than wanted even where nothing disturbed it."""
    ordered = sorted(times)
    median, quick, slow = (
        statistics.median(ordered),
        ordered[len(ordered) // 4],
        ordered[int(0.95 * (len(ordered) - 1))],
    )
    verdict = "" if median <= wanted else f"   (wanted: {wanted:.0f}{', missed' if quick > wanted else ''})"
    print(f"{name:<44} {median:7.0f} ms median {quick:7.0f} ms p25 {slow:7.0f} ms p95{verdict}")
    return quick > wanted


def start(page: Page, measurement: Path) -> tuple[float, float, float]:
    """Return how many seconds the command takes until it serves, its first image is on the screen, and the page is."""
    words = [sys.executable, "-m", "xinsitu", "explore", str(measurement), "--no-browser", "--tz", "Asia/Tokyo"]
    start = time.perf_counter()
    with subprocess.Popen([*words, "--ignore-time-order"], stdout=subprocess.PIPE, text=True) as process:
        url = (process.stdout.readline() if process.stdout else "").strip()
        served = time.perf_counter() - start
        page.goto(url, wait_until="commit")
        page.wait_for_function(f"() => document.querySelector('#image img')?.complete || ({TRIED})()", polling=20)
        seconds = time.perf_counter() - start
        page.wait_for_function(TRIED, polling=20)
        whole = time.perf_counter() - start
        process.terminate()
    print(f"the command: served after {served:.1f} s, first image on the screen after {seconds:.1f} s (wanted: 1.5), ")
    print(f"             all of the page after {whole:.1f} s (wanted: 3)")
    return served, seconds, whole


def rest(page: Page, explorer: Explorer) -> None:
    while not explorer.store.complete or explorer.model.numbers.stale():
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)


def run(frames: int, *, tiled: bool, quick: bool) -> bool:
    """Say how it feels; whether all bars hold."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as api:
        truth = xi.simulate_frames(Path(folder) / "sample", frames, distinct=min(frames, 500))
        (measurement,) = [path for name, path in truth.folders.items() if name.startswith("time")]
        rois = xi.RoiSet([xi.Roi(f"R{n}", y=(80, 120), x=(60 + 70 * n, 100 + 70 * n)) for n in range(5)])
        memory = 1 if tiled else 16 * 2**30
        reading = Reading(tz="Asia/Tokyo", order_error="ignore")
        browser = api.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        _, first, whole = map(min, zip(*(start(page, measurement) for _ in range(1 if quick else 3)), strict=True))
        missed = [first > 1.5, whole > 3]
        begun, worked = time.perf_counter(), time.process_time()
        explorer = explore(
            measurement, rois=rois, reading=reading, correcting=Correcting(median=None), browser=False, memory=memory
        )
        page.goto(explorer.url)
        page.evaluate(SILENT)
        page.wait_for_function("() => window.Bokeh?.documents?.[0]?.get_model_by_name('image')?.inner_width > 0")
        print(
            f"{frames} frames, five ROIs of 40 x 40 pixels; the page is there after {time.perf_counter() - begun:.1f} s"
        )
        rest(page, explorer)
        print(
            f"everything read and measured after {time.perf_counter() - begun:.1f} s "
            f"({time.process_time() - worked:.1f} s of the processor)"
        )
        missed.append(said("longest time without an answer", [page.evaluate("window.silent")], 500))
        worked = time.process_time()
        pairs = [page.evaluate(FRAME, (37 * n + 11) % frames) for n in range(8 if quick else 30)]
        worked = (time.process_time() - worked) / len(pairs)
        said("frame: slider to data in the page", [there for there, _ in pairs], 50)
        missed.append(said(f"frame: slider to painted ({1000 * worked:.0f} ms CPU)", [shown for _, shown in pairs], 50))
        rest(page, explorer)
        moves, worked = [], time.process_time()
        for number in range(5 if quick else 15):
            moves.append(page.evaluate(MOVE, ["R2", 200.5 + number, 240.5 + number]))
            page.wait_for_timeout(500)  # until kymograph and profiles have followed
        worked = (time.process_time() - worked) / len(moves)
        missed.append(
            said(f"ROI: box to painted curve ({1000 * worked:.0f} ms CPU, all)", moves, 200 if tiled else 100)
        )
        explorer.stop()
        browser.close()
        return not any(missed)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", nargs="?", type=int, default=2000)
    parser.add_argument("--tiled", action="store_true")
    parser.add_argument("--quick", action="store_true", help="less of everything, and no verdict")
    words = parser.parse_args()
    holds = run(words.frames, tiled=words.tiled, quick=words.quick)
    sys.exit(0 if holds or words.quick else 1)
