"""Frames that become others, or vanish, while they are explored: old pixels under their names are never shown."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import tifffile
from bokeh.document import Document

import xinsitu as xi
from tests.helpers.camserver import aged
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.data.unchanged import Look, same_files, states
from xinsitu.app.explorer import Explorer, Opened
from xinsitu.app.page.session import Session
from xinsitu.app.serve import explore
from xinsitu.app.state.model import ExplorerModel
from xinsitu.errors import FrameError, LayoutError
from xinsitu.recipe import Reading

READING = Reading(time="frame")
FIRST, SECOND = 1000, 2000


def write(folder, numbers, code, shape=(20, 30)):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        path = folder / f"run_{number:05d}.tif"
        tifffile.imwrite(path, np.full(shape, code + number, "int32"))
        aged(path, 3600 - code / 10)


def explored(folder, memory=2**30):
    store = FrameStore(open_source(folder, reading=READING), memory=memory)
    store.start()
    store.wait()
    return store


def look(store, times=1):
    for _ in range(times):
        store.refresh()
        store.start()
        store.wait()


def shown(store):
    """First pixel of each frame: of what is shown, and of what is measured."""
    alone = [int(store.image(at).values[0, 0]) for at in range(store.n_frames)]
    assert alone == store.measurable().image.values[:, 0, 0].tolist()
    return alone


@pytest.mark.parametrize("memory", [2**30, 1], ids=["memory", "tiled"])
@pytest.mark.parametrize("looks", [0, 2], ids=["before the first look", "later"])
@pytest.mark.parametrize("how", ["rewritten", "other folder", "fewer", "renamed"])
def test_other_frames_of_the_same_names(tmp_path, memory, looks, how):
    folder = tmp_path / "m"
    write(folder, range(8), FIRST)
    store = explored(folder, memory)
    look(store, looks)
    if how == "rewritten":
        write(folder, range(8), SECOND)
    elif how == "renamed":
        for number in reversed(range(8)):
            (folder / f"run_{number:05d}.tif").rename(folder / f"run_{number + 1:05d}.tif")
    else:
        write(tmp_path / "other", range(8 if how == "other folder" else 3), SECOND)
        folder.rename(tmp_path / "before")
        (tmp_path / "other").rename(folder)
    look(store, 3)
    present = [int(tifffile.imread(path)[0, 0]) for path in sorted(folder.glob("*.tif"))]
    if how == "fewer" and looks:  # those that were removed stay what they were
        assert [int(store.image(at).values[0, 0]) for at in range(3)] == present
        left = [FIRST + number for number in range(3, 8)]
        assert store.measurable().image.values[:, 0, 0].tolist() == present + left
        assert "5 of the frames that are shown are no longer there" in store.trouble
    elif how == "renamed" and looks:
        assert [int(store.image(at).values[0, 0]) for at in range(1, 9)] == present
        assert store.measurable().image.values[1:, 0, 0].tolist() == present
        assert "1 of the frames that are shown" in store.trouble
    else:
        assert shown(store) == present
        assert store.trouble == ""
    store.release()


def test_a_frame_that_is_none_any_more_goes(tmp_path):
    """It was shown as it had been, for as long as no other frame came."""
    write(tmp_path, range(8), FIRST)
    store = explored(tmp_path)
    look(store)
    path = tmp_path / "run_00005.tif"
    path.write_bytes(path.read_bytes()[:100])
    aged(path)
    look(store, 3)
    assert shown(store) == [FIRST + number for number in (0, 1, 2, 3, 4, 6, 7)]
    version = store.version
    look(store, 2)
    assert store.version == version  # once
    store.release()


@pytest.mark.parametrize("looks", [0, 2])
def test_frames_of_another_shape_are_not_shown_as_these(tmp_path, looks):
    write(tmp_path, range(4), FIRST)
    store = explored(tmp_path)
    look(store, looks)
    write(tmp_path, range(4), SECOND, shape=(10, 30))
    for _ in range(2):
        with pytest.raises(LayoutError, match="has frames of 10 x 30 pixels now, not 20 x 30"):
            look(store)
    assert shown(store) == [FIRST + number for number in range(4)]
    store.release()


def test_an_hdf5_file_in_the_place_of_another(tmp_path):
    path = tmp_path / "run_1.h5"
    for code in (FIRST, SECOND):
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = np.full((5, 20, 30), code, "int32")
        aged(path, 3600 - code / 10)
        if code == FIRST:
            store = explored(tmp_path)
            look(store)
    look(store)
    assert shown(store) == [SECOND] * 5
    before = store.version
    look(store, 2)
    assert store.version == before
    store.release()


def test_states_are_those_of_the_files(tmp_path):
    write(tmp_path, range(5), FIRST)
    scan = xi.open_measurement(tmp_path, time="frame")
    known = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(tmp_path.iterdir())]
    assert states(scan) == known
    assert states(scan.isel(time=slice(1, 4), y=slice(3, 9))) == known[1:4]
    loaded = scan.compute()
    assert states(loaded) is None
    write(tmp_path, [3], SECOND)
    again = xi.open_measurement(tmp_path, time="frame")
    assert same_files([scan], [again]) == 3
    assert same_files([scan, scan], [again, scan]) == 3
    assert same_files([scan, again], [scan, again]) == 10
    assert same_files([scan.isel(time=slice(0, 2)), scan], [scan, scan]) == 2
    assert same_files([loaded], [again.compute()]) == 0
    assert same_files([loaded], [loaded]) == 5
    assert same_files([], [scan]) == 0


@pytest.mark.thorough
def test_the_page_takes_another_frame_of_the_same_number(tmp_path):
    """As many frames as before, and all read before the page looks again: it asks for the one that it shows."""
    write(tmp_path, range(6), FIRST)
    store = explored(tmp_path)
    look(store)
    with ThreadPoolExecutor(1) as pool:
        session, asked = Session(ExplorerModel(store), Document(), pool), []
        session.poll()
        session.frames.ask = lambda: asked.append(store.version)
        session.poll()
        assert asked == []
        write(tmp_path, range(6), SECOND)
        look(store, 2)
        session.poll()
        session.poll()
        assert asked == [store.version]
        session.close()
    store.release()


@pytest.mark.parametrize("how", ["removed", "renamed", "empty", "frames removed", "fault"])
def test_what_is_wrong_on_the_disc_is_said_while_it_is_wrong(tmp_path, monkeypatch, capfd, how):
    folder, aside = tmp_path / "m", tmp_path / "aside"
    write(folder, range(6), FIRST)
    store = explored(folder)
    explorer = Explorer()
    explorer.begin(Opened(store.source, store))
    monkeypatch.setattr("xinsitu.app.explorer.FOLLOW", 0.02)
    explorer.follow(lambda: pytest.fail("it is open"))
    until(lambda: store.source.states)
    shutil.copytree(folder, aside)
    if how in ("removed", "empty"):
        shutil.rmtree(folder)
    if how == "renamed":
        folder.rename(tmp_path / "elsewhere")
    if how == "empty":
        folder.mkdir()
    if how == "frames removed":
        for number in (2, 4):
            os.remove(folder / f"run_{number:05d}.tif")
    if how == "fault":
        plain = store.source.reopen
        monkeypatch.setattr(type(plain), "__call__", lambda self: 1 / 0)
    words = {
        "removed": "m: is no longer there", "renamed": "m: is no longer there", "empty": "6 of the frames that are",
        "frames removed": "2 of the frames that are shown", "fault": "ZeroDivisionError",
    }  # fmt: skip
    until(lambda: words[how] in store.trouble)
    assert shown(store) == [FIRST + number for number in range(6)]
    if how == "fault":
        monkeypatch.undo()
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    until(lambda: store.trouble == "")
    explorer.stop()
    assert "Traceback" not in capfd.readouterr().err


def until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def hdf5(path, frames, *, anew=False):
    """Write frames into one HDF5 file; into the one that is there, or into another of its name."""
    with h5py.File(path, "w" if anew or not path.exists() else "a") as file:
        if "entry" not in file:
            file.create_dataset("entry/data/data", (0, 20, 30), "int32", maxshape=(None, 20, 30), chunks=(1, 20, 30))
        data = file["entry/data/data"]
        before = len(data)
        data.resize(len(frames), axis=0)
        for number in range(before, len(frames)):
            data[number] = frames[number]


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_an_hdf5_file_that_grows_and_one_in_its_place_whatever_becomes_of_bad_frames(tmp_path, on_error):
    path = tmp_path / "run_1.h5"
    hdf5(path, [FIRST] * 5)
    store = FrameStore(open_source(path, reading=Reading(time="frame", on_error=on_error)), memory=2**30)
    store.start()
    store.wait()
    look(store, 2)
    hdf5(path, [FIRST] * 7)
    look(store, 2)
    assert shown(store) == [FIRST] * 7
    hdf5(path, [SECOND] * 9, anew=True)
    look(store, 2)
    assert shown(store) == [SECOND] * 9
    store.release()


WAYS = {
    "other inode": lambda path, frames: (path.rename(path.with_name("aside")), hdf5(path, frames)),
    "rewritten": lambda path, frames: hdf5(path, frames, anew=True),
}


@pytest.mark.parametrize("blank", [0, 2], ids=["", "first frames alike"])
@pytest.mark.parametrize("place", ["measurement", "sample"])
@pytest.mark.parametrize("how", WAYS)
def test_an_hdf5_file_in_the_place_of_a_shorter_one(tmp_path, how, place, blank):
    """It was taken for growth: the old pixels stayed under the new file's name."""
    folder = tmp_path / "s" / "z" if place == "sample" else tmp_path / "m"
    folder.mkdir(parents=True)
    path = folder / "run_1.h5"
    hdf5(path, [0] * blank + [FIRST] * (5 - blank))
    if place == "sample":
        write(tmp_path / "s" / "n", range(3), 3000)
    store = explored(tmp_path / "s" if place == "sample" else folder)
    look(store, 2)
    before = store.version
    WAYS[how](path, [0] * blank + [SECOND] * (9 - blank))
    look(store, 2)
    assert store.version == before + 1
    found = shown(store)
    assert found.count(SECOND) == 9 - blank
    assert FIRST not in found
    look(store, 2)
    assert store.version == before + 1
    hdf5(path, [0] * blank + [SECOND] * (12 - blank))  # and this one grows
    look(store, 2)
    assert store.version == before + 1
    assert shown(store).count(SECOND) == 12 - blank
    store.release()


def test_an_hdf5_file_that_cannot_be_read_for_a_moment(tmp_path):
    """What was shown stays, and goes on when it can be read again."""
    (tmp_path / "s" / "z").mkdir(parents=True)
    path = tmp_path / "s" / "z" / "run_1.h5"
    write(tmp_path / "s" / "n", range(3), SECOND)
    hdf5(path, [FIRST] * 5)
    store = explored(tmp_path / "s")
    look(store, 2)
    hdf5(path, [FIRST] * 7)
    look(store)
    assert store.n_frames == 10
    before = store.version
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(50)
    with pytest.raises(FrameError, match="still being written"):
        look(store)
    assert (store.n_frames, store.version) == (10, before)
    with path.open("r+b") as file:
        file.write(content)
    hdf5(path, [FIRST] * 8)
    look(store)
    assert (store.n_frames, store.version) == (11, before)
    assert shown(store).count(FIRST) == 8
    store.release()


def tiff_folder(tmp_path):
    write(tmp_path / "m", range(300), FIRST)
    return tmp_path / "m", [tmp_path / "m" / f"run_{number:05d}.tif" for number in (0, 150, 299)]


def hdf5_folder(tmp_path):
    (tmp_path / "m").mkdir()
    paths = [tmp_path / "m" / "run_1.h5"]
    hdf5(paths[0], [FIRST] * 5)
    return tmp_path / "m", paths


@pytest.mark.parametrize("made", [tiff_folder, hdf5_folder])
def test_files_that_are_other_ones_are_found_in_some_looks(tmp_path, made):
    folder, paths = made(tmp_path)
    look_ = Look(open_source(folder, reading=READING).parts)
    assert [look_(0) for _ in range(9)] == [0] * 9
    aside = tmp_path / "aside"
    for number, path in enumerate(paths):
        shutil.copy2(path, aside)
        path.unlink() if number % 2 else path.write_bytes(path.read_bytes() + b" ")
        assert max(look_(0) for _ in range(9)) == number + 1
        assert look_(60) == number + 1
    shutil.copy2(aside, paths[-1])
    assert look_(0) == len(paths) - 1
    assert Look([open_source(folder, reading=READING).data.isel(time=slice(0, 2)).load()])(1) == 0


def test_without_following_the_page_says_that_files_changed(tmp_path, monkeypatch):
    """It showed frames as they had been read, and nobody knew."""
    write(tmp_path / "m", range(6), FIRST)
    monkeypatch.setattr("xinsitu.app.explorer.NOTICE", 0.02)
    store = explored(tmp_path / "m")
    explorer = Explorer()
    explorer.begin(Opened(store.source, store))
    explorer.notice()
    path = tmp_path / "m" / "run_00003.tif"
    content, state = path.read_bytes(), path.stat()
    path.write_bytes(content + b" ")
    time.sleep(0.2)
    assert store.trouble == ""  # nobody looks
    explorer._models.append(explorer.model)
    until(lambda: store.trouble)
    assert store.trouble.startswith("1 file of these frames changed or vanished since they were opened")
    os.remove(tmp_path / "m" / "run_00004.tif")
    until(lambda: store.trouble.startswith("2 files"))
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    until(lambda: store.trouble.startswith("1 file "))
    assert shown(store) == [FIRST + number for number in range(6)]
    explorer.stop()


def test_explore_notices_where_it_does_not_follow(tmp_path, monkeypatch):
    write(tmp_path / "m", range(3), FIRST)
    called = []
    for name in ("notice", "follow"):
        monkeypatch.setattr(Explorer, name, lambda self, *_, name=name: called.append(name))
    for follow in (False, True):
        explore(tmp_path / "m", reading=READING, follow=follow, browser=False, block=False).stop()
    assert called == ["notice", "follow"]


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_a_zarr_store_in_the_place_of_a_shorter_one(tmp_path, on_error):
    """Of the same measurement, so that nothing but its pixels tells it from one that has grown."""
    pytest.importorskip("zarr")
    stores = []
    for name, numbers, code in (("a", range(5), FIRST), ("b", range(9), SECOND)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "m", numbers, code)
        scan = xi.open_measurement(tmp_path / name / "m", time="frame")
        stores.append(xi.write_frames(scan, tmp_path / f"{name}.zarr"))
    store = FrameStore(open_source(stores[0], reading=Reading(on_error=on_error)), memory=2**30)
    store.start()
    store.wait()
    look(store, 2)
    assert shown(store) == [FIRST + number for number in range(5)]
    shutil.rmtree(stores[0])
    stores[1].rename(stores[0])
    look(store, 2)
    assert shown(store) == [SECOND + number for number in range(9)]
    store.release()
