"""Frames that come while the explorer runs: read only while somebody looks, and their memory goes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from xinsitu.app.data.memory import give_back, keep_small
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.recipe import Reading
from xinsitu.simulate import Truth


@pytest.fixture
def growing(experiment: Truth, tmp_path: Path):
    """A store of the first 20 frames, and what lets ten more come."""
    frames = sorted(experiment.folders["time1"].glob("*.tif"))
    folder = tmp_path / "0884" / "time1"
    folder.mkdir(parents=True)
    coming = iter(frames)

    def come(number: int) -> None:
        for _ in range(number):
            shutil.copy2(next(coming), folder)

    come(20)
    return FrameStore(open_source(folder, reading=Reading(tz="Asia/Tokyo"))), come


def test_new_frames_are_read_while_somebody_looks(growing):
    store, come = growing
    store.start()
    store.wait()
    come(10)
    assert store.refresh() == 10
    store.wait()
    assert (store.loaded, store.n_frames) == (30, 30)


def test_after_the_last_tab_nothing_is_read(growing):
    store, come = growing
    store.start()
    store.wait()
    store.release()
    for so_far in (30, 40):
        come(10)
        store.refresh()
        assert (store.loaded, store.n_frames) == (0, so_far)
    store.start()  # somebody comes
    store.wait()
    assert (store.loaded, store.n_frames) == (40, 40)


@pytest.mark.slow
def test_a_night_of_looks_keeps_no_more_than_the_frames(growing):
    """What a look takes beside them goes back: measured from where it is settled."""
    import psutil

    process = psutil.Process()
    keep_small()
    store, come = growing
    store.start()
    store.wait()

    def look() -> int:
        come(1)
        store.refresh()
        store.wait()
        store.measurable()["image"][:, :150, :300].mean("time").compute()
        give_back()
        return process.memory_info().rss

    before = [look() for _ in range(8)][-1]
    after = [look() for _ in range(24)][-1]
    frame = int(np.prod(store.data["image"].shape[1:])) * 4
    assert after - before < 24 * frame * 2 + 8 * 2**20
    assert store.loaded == 52


def test_other_systems_have_nothing_to_do(monkeypatch):
    asked = []

    def none(name: object) -> object:
        asked.append(name)
        raise OSError("no such library")

    monkeypatch.setattr("ctypes.CDLL", none)
    keep_small()
    give_back()
    assert asked == [None, None]
