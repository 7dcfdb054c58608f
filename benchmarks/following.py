"""Follow a folder that a fast writer fills in the page of the explorer: frames lost, numbers wrong, how late they are.

The writer of ``watching.py`` fills the folder, a fifth of its frames half-written first, late, renamed, or written
anew; ``xinsitu explore --follow`` serves it, and a browser shows it. A frame's lag counts from when its file was last
written to its number in the curve of the page.

    python benchmarks/following.py --frames 4000 --rate 200
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

import xinsitu as xi
from feel import FLAGS
from watching import CORRECTION, HOW, ROIS
from xinsitu.io.documents import write_rois

BEFORE = 20
"""Frames that are there before the page is."""
NOTED = """() => {
  window.noted = {}
  window.longest = 0
  let before = performance.now()
  setInterval(() => {
    window.longest = Math.max(window.longest, performance.now() - before)
    before = performance.now()
    const {x, intensity} = Bokeh.documents[0].get_model_by_name("series:spot").data, now = Date.now()
    for (let i = 0; i < x.length; i++) {
      const known = window.noted[x[i]]
      if (known === undefined || known[0] !== intensity[i]) window.noted[x[i]] = [intensity[i], now]
    }
  }, 20)
}"""
COME = """(count) => {
  const source = globalThis.Bokeh?.documents?.[0]?.get_model_by_name("series:spot")
  return source != null && source.data.x.length >= count
}"""


def processor(process: int) -> float:
    """Seconds that a process has taken of the processor."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def run(count: int, rate: float) -> None:
    """Say how the page follows."""
    with tempfile.TemporaryDirectory() as room, sync_playwright() as api:
        folder, rois = Path(room) / "time1", Path(room) / "rois.json"
        write_rois(xi.RoiSet(ROIS), rois)
        writer = [sys.executable, str(Path(__file__).with_name("watching.py")), "--write", str(folder)]
        subprocess.run([*writer, f"--frames={BEFORE}", "--rate=1000"], check=True, stdout=subprocess.DEVNULL)
        how = ["--instrument", "generic", "--tz", "UTC", "--time", "frame", "--ignore-time-order", "--rois", str(rois)]
        words = [sys.executable, "-m", "xinsitu", "explore", str(folder), "--follow", "--no-browser", *how]
        browser = api.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            page.goto((server.stdout.readline() if server.stdout else "").strip(), wait_until="commit")
            page.wait_for_function(COME, arg=BEFORE, timeout=60_000)
            page.evaluate(NOTED)
            used = processor(server.pid)
            with subprocess.Popen([*writer, f"--first={BEFORE}", f"--frames={count}", f"--rate={rate}"]) as writing:
                writing.wait()
            end = time.monotonic() + 120
            while not page.evaluate(COME, count) and time.monotonic() < end:
                page.wait_for_timeout(100)
            page.wait_for_timeout(5000)  # what was written anew last
            used = processor(server.pid) - used
            noted = {int(name): value for name, value in page.evaluate("window.noted").items()}
            silent = page.evaluate("window.longest")
            server.terminate()
        browser.close()
        scan = xi.open_measurement(folder, time="frame", order_error="ignore", **HOW)
        series = xi.measure(scan, ROIS, correction=CORRECTION).compute()
        numbers = dict(zip(series.frame.values.tolist(), series.intensity.values[:, 0].tolist(), strict=True))
        lost = [number for number in numbers if number not in noted]
        wrong = [number for number, value in numbers.items() if number in noted and noted[number][0] != value]
        files = {number: folder / f"run_{number:06d}.tif" for number in noted if number >= BEFORE}
        lags = np.array([noted[number][1] / 1000 - path.stat().st_mtime for number, path in files.items()])
        print(f"{len(numbers)} frames at {rate:g} a second: {len(lost)} lost, {len(wrong)} wrong")
        print(
            f"lag in the page: median {np.median(lags):.2f} s, 99 % {np.quantile(lags, 0.99):.2f} s, "
            f"longest {lags.max():.2f} s"
        )
        print(f"the page did not answer for {silent:.0f} ms at most; processor of the server {used:.1f} s")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=200)
    words = parser.parse_args()
    run(words.frames, words.rate)
