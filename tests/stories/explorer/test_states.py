"""What the explorer says while there is nothing yet, and what it leaves behind: waiting, saving, a prompt, the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, Tab, in_a_browser
from xinsitu.app.page.file_form import _written
from xinsitu.app.serve import explore
from xinsitu.errors import LayoutError, XinsituError

PLACES = """() => ["header", "#image", "#cutouts", ".profiles", "#curves", "#panel"].map((one) => {
  const {x, y, width, height} = document.querySelector(one).getBoundingClientRect()
  return [x, y, width, height]
})"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("states"), measurements=1, frames=20)


@pytest.fixture
def command(tmp_path):
    """Start ``xinsitu explore`` in a folder of its own."""
    started = []

    def run(*words, **options):
        line = [sys.executable, "-m", "xinsitu", "explore", *map(str, words), "--no-browser", "--tz", "Asia/Tokyo"]
        environment = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(line, cwd=tmp_path, env=environment, **pipes, **options))
        return started[-1]

    yield run
    for one in started:
        one.kill()
        one.wait(20)


@pytest.mark.thorough
def test_the_first_frame_is_waited_for(truth, tmp_path):
    folder = tmp_path / "0901" / "time1"  # not there yet
    explorer = explore(folder, rois=truth.rois, reading=TOKYO, browser=False, follow=True)
    try:
        assert explorer.waiting_for == str(folder)
        with pytest.raises(XinsituError, match="no frame has come yet"):
            _ = explorer.rois
        folder.mkdir(parents=True)
        frames = sorted(truth.folders["time1"].glob("*.tif"))
        (folder / frames[0].name).write_bytes(frames[0].read_bytes()[:1000])  # is being written
        time.sleep(2.5)
        assert explorer.waiting_for
        for frame in frames:
            shutil.copy2(frame, folder)
        end = time.monotonic() + 20
        while explorer.waiting_for and time.monotonic() < end:
            time.sleep(0.1)
        expected = xi.measure(xi.open_measurement(folder, tz="Asia/Tokyo"), truth.rois).compute()
        while explorer.store.n_frames < 20 and time.monotonic() < end:
            time.sleep(0.1)
        np.testing.assert_array_equal(explorer.series["intensity"].values, expected["intensity"].values)
    finally:
        explorer.stop()


def test_without_follow_nothing_is_waited_for(tmp_path):
    with pytest.raises(LayoutError):
        explore(tmp_path / "nowhere", browser=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError):
        explore(tmp_path / "empty", browser=False)


def test_what_is_saved_replaces_nothing(tmp_path):
    names = [_written(tmp_path, "0884_time1.nc", bytes([number])).name for number in range(3)]
    assert names == ["0884_time1.nc", "0884_time1_2.nc", "0884_time1_3.nc"]
    assert [(tmp_path / name).read_bytes() for name in names] == [b"\0", b"\1", b"\2"]


@pytest.mark.slow
def test_a_prompt_has_the_explorer_at_hand(truth, command):
    process = command(truth.folders["time1"], "--console")
    typed = (
        "print(explorer.rois.names)\nprint(sorted(explorer.series.sizes.items()))\nprint(explorer.changes)\nexit()\n"
    )
    out, err = process.communicate(typed, timeout=90)
    assert out.startswith("http://127.0.0.1")
    assert "('spot', 'background')" in out
    assert "('roi', 2), ('time', 20)]" in out
    assert "()" in out
    assert "explorer.rois, explorer.series, explorer.changes" in err
    assert process.returncode == 0


class TestPage:
    pytestmark = in_a_browser

    def test_the_page_waits_and_then_shows(self, truth, start, tmp_path):
        folder = tmp_path / "0902" / "time1"
        explorer = explore(folder, rois=truth.rois, reading=TOKYO, browser=False, follow=True)
        tab = start(explorer, size=(1366, 768), there=False)
        tab.page.get_by_text("waiting for the first frame of").wait_for()
        shutil.copytree(truth.folders["time1"], folder)
        tab.there()
        tab.measured(explorer, "WZ")
        assert tab.errors == []

    def test_files_go_beside_the_results(self, truth, start, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
        tab = start(explorer, size=(1366, 768))
        tab.measured(explorer, "WZ")
        for number in (1, 2):
            tab.page.locator("#save").click()
            tab.page.locator("#files [data-file=netCDF]").click()
            tab.settle(lambda number=number: len(list(tmp_path.glob("*.nc"))) == number)
            tab.settle(lambda: "saved as" in explorer.model.view.message)
        assert sorted(path.name for path in tmp_path.glob("*.nc")) == ["0884_time1.nc", "0884_time1_2.nc"]
        saved = xi.read_results(tmp_path / "0884_time1.nc")
        expected = xi.measure(xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo"), truth.rois).compute()
        np.testing.assert_array_equal(saved["intensity"].values, expected["intensity"].values)
        assert tab.save("ROIs", tmp_path / "..").exists()  # with Shift: a download
        assert not (tmp_path / "rois.json").exists()

    def test_whoever_ends_the_server_loses_nothing(self, truth, chromium, command, tmp_path):
        process = command(truth.folders["time1"])
        context = chromium.new_context(viewport={"width": 1366, "height": 768})
        tab = Tab(context.new_page(), process.stdout.readline().strip())
        tab.page.keyboard.press("Alt+ArrowRight")
        tab.page.wait_for_timeout(1500)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        tab.page.locator("#lost").wait_for()
        tab.until("() => document.getElementById('lost').textContent.includes('the server has ended')")
        assert time.monotonic() - begin < 10  # two seconds where the machine does nothing else
        _, err = process.communicate(timeout=30)
        assert "kept in" in err
        assert list((tmp_path / "state" / "xinsitu" / "unsaved").glob("*.json"))
        context.close()

    def test_a_line_that_dies_silently_and_a_server_that_is_killed(self, truth, chromium, command):
        process = command(truth.folders["time1"])
        context = chromium.new_context(viewport={"width": 1366, "height": 768})
        tab = Tab(context.new_page(), process.stdout.readline().strip())
        lost, begin = tab.page.locator("#lost"), json.loads(tab.get("channel", "regions"))[0]["name"]
        assert tab.get("channel", "kept") == ""
        tab.page.keyboard.press("Alt+ArrowRight")
        tab.until("() => Bokeh.documents[0].get_model_by_name('channel').kept.endsWith('.json')")
        kept = Path(tab.get("channel", "kept"))
        box = [tab.get(f"roi:{begin}", edge) + 0.5 for edge in ("top", "bottom", "left", "right")]
        process.send_signal(signal.SIGSTOP)  # the line is open, and nobody answers
        lost.wait_for()
        assert "connection lost, trying again" in lost.inner_text()
        process.send_signal(signal.SIGCONT)
        lost.wait_for(state="hidden")
        assert not tab.page.evaluate("document.getElementById('app').classList.contains('lost')")
        process.kill()  # no time for a last word
        tab.until(f"() => document.getElementById('lost').textContent.includes('your ROIs are saved in {kept}')")
        (roi,) = [one for one in json.loads(kept.read_text())["rois"]["rois"] if one["name"] == begin]
        assert [*roi["y"], *roi["x"]] == box
        again = command(truth.folders["time1"])
        tab = Tab(context.new_page(), again.stdout.readline().strip())
        tab.until("() => Bokeh.documents[0].get_model_by_name('message').text.includes('not saved last time')")
        tab.page.locator("#told li").get_by_text("not saved last time").wait_for(state="attached")
        tab.page.locator("#notices").get_by_text("not saved last time").wait_for(state="hidden")  # by itself
        context.close()

    def test_what_was_said_stays_behind_the_bell(self, truth, start):
        explorer = explore(truth.folders["time1"], rois=truth.rois, reading=TOKYO, browser=False)
        tab = start(explorer, size=(1366, 768))
        tab.at_rest()
        layout = tab.page.evaluate(PLACES)
        bell, told, notice = (tab.page.locator(where) for where in ("#bell", "#told", "#notices"))
        for name in ("ZB", "TW"):
            tab.type("name", name)  # taken
            notice.get_by_text(f"there is a ROI '{name}' already").wait_for()
        assert tab.page.evaluate(PLACES) == layout  # nothing moved
        tab.page.mouse.move(700, 400)  # controls are named, and coloured, as the hand comes near
        tab.page.wait_for_timeout(700)
        color = notice.get_by_text("already").evaluate("(one) => getComputedStyle(one).color")
        assert color == "rgb(255, 255, 255)"  # on red, and not as dark as the text of the page
        tab.page.wait_for_timeout(5500)
        assert notice.get_by_text("already").is_visible()  # an error stays
        notice.get_by_text("already").click()
        notice.get_by_text("already").wait_for(state="hidden")
        assert bell.inner_text() == "2"
        bell.click()
        assert [line[8:] for line in told.inner_text().splitlines()] == [
            "there is a ROI 'TW' already", "there is a ROI 'ZB' already"
        ]  # fmt: skip
        bell.click()
        assert not told.is_visible()
        assert tab.errors == []
