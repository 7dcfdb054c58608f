"""R22: the explorer follows a folder that grows, tabs come and go; memory and descriptors stay where they are."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright
from tests.helpers.browser import CHROMIUM, FLAGS, Tab
from tests.helpers.camserver import camserver_bytes, ramp, stamp_of

SHAPE = (40, 60)
FIRST = 60
EACH, AWAY = 240.0, 60.0
"""Seconds that a tab is looked at, and that nobody looks."""
GROWTH = 50.0
ROIS = {"format": "xinsitu-rois", "version": 1, "rois": [{"name": "spot", "y": [5, 30], "x": [10, 50]}]}


def add(folder: Path, number: int) -> None:
    """Write one frame as a detector does: under another name, then renamed."""
    path = folder / f"run_{number:06d}.tif"
    part = path.with_suffix(".tmp")
    part.write_bytes(camserver_bytes(ramp(number % 1000, SHAPE), stamp_of(number % 20_000)))
    part.rename(path)


def writer(folder: Path, stop: threading.Event, count: list[int]) -> None:
    """One frame a second."""
    while not stop.wait(1.0):
        add(folder, count[0])
        count[0] += 1


def soak(seconds: float, told: Callable[..., None]) -> int:
    """Follow for so long; 1 where memory grew by more than :data:`GROWTH`, or descriptors or threads leaked."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary, "run")
        folder.mkdir()
        Path(temporary, "rois.json").write_text(json.dumps(ROIS))
        for number in range(FIRST):
            add(folder, number)
        said = stack.enter_context(open(Path(temporary, "said"), "w+"))
        command = [sys.executable, "-m", "xinsitu", "explore", str(folder), "--follow", "--no-browser", "--port", "0"]
        command += ["--tz", "UTC", "--ignore-time-order", "--rois", str(Path(temporary, "rois.json"))]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, cwd=temporary)
        stack.callback(server.terminate)
        url = next(found[0] for line in server.stdout or () if (found := re.search(r"http://\S+", line)))
        stop, count = threading.Event(), [FIRST]
        stack.callback(stop.set)
        threading.Thread(target=writer, args=(folder, stop, count), daemon=True).start()
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        stack.callback(browser.close)
        process, begin, looks = psutil.Process(server.pid), time.monotonic(), []
        while time.monotonic() - begin < seconds:
            page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
            tab = Tab(page, url)
            page.wait_for_timeout(1000 * min(EACH, max(10.0, seconds / 5)))
            with_tab = process.memory_info().rss / 2**20
            page.context.close()
            time.sleep(min(AWAY, seconds / 10))
            looks.append((process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()))
            told(
                f"{count[0]} frames, {with_tab:.0f} MB looked at; %.0f MB, %d descriptors, %d threads after" % looks[-1]
            )
            if tab.errors:
                print("in the page:", *tab.errors, sep="\n")
                return 1
        said.seek(0)
        words = said.read()
        (first, fds, _), (last, fds_now, _) = looks[min(1, len(looks) - 1)], looks[-1]
        frames = (count[0] - FIRST) * SHAPE[0] * SHAPE[1] * 4 / 2**20
        faults = words.count("Traceback") + words.count("the explorer: ")
        minutes, alive = (time.monotonic() - begin) / 60, server.poll() is None
        told(f"followed for {minutes:.0f} min, {count[0] - FIRST} frames ({frames:.0f} MB) came, {len(looks)} tabs")
        told(
            f"{last - first:+.0f} MB from the second look to the last, {fds_now - fds:+d} descriptors, "
            f"{faults} tracebacks or messages not taken, process {'alive' if alive else 'dead'}"
        )
        if words.strip():
            print(words[-3000:])
        return int(last - first > GROWTH or fds_now > fds + 5 or faults > 0 or not alive)


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp())
    sys.exit(soak(60 * float(sys.argv[1]), print))
