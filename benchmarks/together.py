"""What a second person costs the first: the time to a new frame, alone and while somebody else plays and drags.

Run ``python benchmarks/together.py [FRAMES]``; two real browsers, one server.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import warnings
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import xinsitu as xi
from feel import FLAGS, FRAME
from xinsitu.app.serve import explore
from xinsitu.recipe import Reading

BUSY = """() => {
  const document = Bokeh.documents[0], slider = document.get_model_by_name("frame_slider")
  const box = document.get_model_by_name("roi:R1"), width = box.right - box.left
  let n = 0
  window.busy = setInterval(() => {
    n += 1
    slider.value = n % (slider.end + 1)
    box.left = 50.5 + n % 200; box.right = box.left + width
  }, 100)
}"""


def times(page: Page, frames: int) -> list[float]:
    return [page.evaluate(FRAME, (37 * n + 11) % frames)[0] for n in range(40)]


def run(frames: int) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as api:
        truth = xi.simulate_frames(Path(folder) / "sample", frames, distinct=min(frames, 500))
        rois = xi.RoiSet([xi.Roi(f"R{n}", y=(80, 120), x=(60 + 70 * n, 100 + 70 * n)) for n in range(5)])
        reading = Reading(tz="Asia/Tokyo", order_error="ignore")
        explorer = explore(truth.folders["time1"], rois=rois, reading=reading, browser=False)
        pages = []
        for _ in range(2):
            browser = api.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            pages.append(browser.new_page(viewport={"width": 1500, "height": 1100}))
            pages[-1].goto(explorer.url)
            pages[-1].wait_for_function(
                "() => window.Bokeh?.documents?.[0]?.get_model_by_name('image')?.inner_width > 0"
            )
        while not explorer.store.complete or any(model.numbers.stale() for model in explorer._models):
            pages[0].wait_for_timeout(100)
        pages[0].wait_for_timeout(1000)
        alone = times(pages[0], frames)
        pages[1].evaluate(BUSY)
        beside = times(pages[0], frames)
        ratio = statistics.median(beside) / statistics.median(alone)
        print(f"frame alone: {statistics.median(alone):.0f} ms median; beside somebody who drags and plays ten times a")
        print(f"second: {statistics.median(beside):.0f} ms median, {max(beside):.0f} ms at most; {ratio:.1f} times")
        explorer.stop()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
