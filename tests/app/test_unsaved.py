"""What nobody saved when the explorer is stopped is kept aside, and offered with the same frames again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bokeh.document import Document

from xinsitu.app.page.session import Session
from xinsitu.app.serve import Explorer, explore, stay
from xinsitu.app.state import unsaved
from xinsitu.recipe import Reading
from xinsitu.simulate import Truth

TOKYO = Reading(tz="Asia/Tokyo")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Panel and its parts, in threads that pytest does not own


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "xinsitu" / "unsaved"


@pytest.fixture
def opened(experiment: Truth):
    explorer = explore(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, browser=False)
    yield explorer
    explorer.stop()


def interrupt(explorer: Explorer, monkeypatch) -> None:
    def stopped(_: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(explorer._ended, "wait", stopped)
    explorer.wait()


def test_nothing_was_changed_and_nothing_is_kept(opened: Explorer, state, monkeypatch):
    assert opened.model.regions.rois
    interrupt(opened, monkeypatch)
    assert opened.kept == []
    assert not state.exists()


@pytest.mark.thorough
def test_a_new_roi_is_kept_and_offered(experiment: Truth, opened: Explorer, state, monkeypatch):
    opened.model.regions.add("all")
    opened.model.view.frame = 7
    interrupt(opened, monkeypatch)
    (path,) = opened.kept
    assert path.parent == state
    assert path.stat().st_mode & 0o077 == 0 or state.stat().st_mode & 0o077 == 0
    names = [one["name"] for one in json.loads(path.read_text())["rois"]["rois"]]
    assert names == [*experiment.rois.names, "ROI"]

    again = explore(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, browser=False)
    other = explore(experiment.folders["time2"], rois=experiment.rois, reading=TOKYO, browser=False)
    try:
        assert unsaved.latest(again.source) == path
        assert unsaved.latest(other.source) is None
        again.model.load(path.read_text())
        assert again.rois.names == (*experiment.rois.names, "ROI")
    finally:
        again.stop()
        other.stop()


def test_what_was_saved_is_not_kept(opened: Explorer, state, monkeypatch):
    opened.model.regions.add("all")
    opened.model.safe.update(unsaved.parts(opened.model).values())
    interrupt(opened, monkeypatch)
    assert opened.kept == []


def test_without_a_home_it_ends_all_the_same(opened: Explorer, state, monkeypatch, capsys):
    state.parent.parent.write_text("in the way")
    opened.model.regions.add("all")
    interrupt(opened, monkeypatch)
    assert opened.kept == []
    assert len(opened.lost) == 1
    stay(opened, browser=False)
    assert "xinsitu: not saved, and cannot be kept: " in capsys.readouterr().err
    assert unsaved.latest(opened.source) is None


def test_what_another_explorer_keeps_is_not_offered_while_it_runs(opened: Explorer, state):
    """Two of one folder would write over each other, and who saves first takes the other's copy away."""
    path = unsaved.new_place(opened.source)
    unsaved.keep(path, "{}")
    assert unsaved.latest(opened.source) == path  # our own, of a tab that was closed
    code = (
        "import sys, time; from types import SimpleNamespace; from pathlib import Path\n"
        "from xinsitu.app.state import unsaved\n"
        "source = SimpleNamespace(folders=[Path(sys.argv[1])], name='')\n"
        "path = unsaved.new_place(source); unsaved.keep(path, '{}'); print(path, flush=True); time.sleep(60)\n"
    )
    words = [sys.executable, "-c", code, str(opened.source.folders[0])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        its = Path(other.stdout.readline().strip())
        assert its.exists()
        assert unsaved.latest(opened.source) == path
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # nobody has waited for it: its number is still there
        assert unsaved.latest(opened.source) == its
    assert unsaved.latest(opened.source) == its


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="nothing tells when a process began here")
def test_what_was_kept_before_the_machine_started_anew_is_offered_whoever_has_the_number_now(opened: Explorer, state):
    path = unsaved.new_place(opened.source)
    stem, made, where, _ = path.stem.split("-")
    old = path.with_name(f"{stem}-{int(made) - 10**18}-{where}-{os.getppid()}.json")
    unsaved.keep(old, "{}")
    assert unsaved.latest(opened.source) == old


def test_what_a_full_disc_did_not_take_is_kept_once_there_is_room(opened: Explorer, state, monkeypatch):
    """It was tried once for each change, and then no more."""
    full, document, said = [True], Document(), []
    keep = unsaved.keep

    def kept(path, text):
        if full:
            raise OSError(28, "No space left on device", str(path))
        keep(path, text)

    monkeypatch.setattr(unsaved, "keep", kept)
    with ThreadPoolExecutor(1) as pool:
        session = Session(opened.model, document, pool)
        monkeypatch.setattr(session, "say", said.append)
        opened.model.regions.add("all")

        def rest(ends):
            end = time.monotonic() + 20
            session.keeping.ask()
            while not ends():
                assert time.monotonic() < end
                for callback in list(document.session_callbacks):
                    document.remove_next_tick_callback(callback)
                    callback.callback()
                time.sleep(0.01)

        rest(lambda: session.channel.kept == "-" and session.keeping.idle)
        rest(lambda: session.keeping.idle)
        assert len(said) == 1
        assert said[0].startswith(f"what is not saved cannot be kept aside: {state}")
        assert said[0].endswith(".json: no space left on device")
        full.clear()
        rest(lambda: session.channel.kept not in ("", "-"))
        (path,) = state.iterdir()
        assert session.channel.kept == str(path)
        session.close()
