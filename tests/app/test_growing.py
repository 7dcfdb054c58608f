"""A measurement that grows while it is explored: every frame is read once, none is lost, none is half."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr
from bokeh.document import Document

import xinsitu as xi
from xinsitu.app.data import cutouts
from xinsitu.app.data.cutouts import Kymograph
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.page.session import Session
from xinsitu.app.state import measuring
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.views.channel import Channel
from xinsitu.app.views.curves_view import CurvesView
from xinsitu.app.views.kymograph import KymographView
from xinsitu.io import growing_folder
from xinsitu.io.growing_folder import SETTLED
from xinsitu.recipe import Reading
from xinsitu.schema import Quality
from xinsitu.values import Roi, RoiSet

READING = Reading(time="frame")
SHAPE = (40, 50)
ROIS = RoiSet([Roi("A", y=(5, 25), x=(10, 30)), Roi("B", y=(30, 38), x=(33, 49))])


def frame(number):
    return np.random.default_rng(number).poisson(20 + number % 17, SHAPE).astype("int32")


def write(folder: Path, numbers) -> None:
    for number in numbers:
        tifffile.imwrite(folder / f"run_{number:05d}.tif", frame(number))


class Counting(FrameStore):
    """A store that counts how often each frame is read for its copy."""

    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        self.reads: list[int] = []

    def _read(self, time, *box, **of):
        if not box:
            self.reads += range(time.start, time.stop)
        return super()._read(time, *box, **of)


def look(store) -> None:
    time.sleep(1.5 * SETTLED)
    store.refresh()
    store.start()
    store.wait()


def holds(store, folder, frames) -> None:
    """Hold that the numbers are those of somebody who opens the folder afterwards."""
    model = ExplorerModel(store, rois=ROIS)
    model.numbers.measure_now()
    expected = xi.measure(xi.open_measurement(folder, time="frame"), ROIS).compute()
    assert expected.sizes["time"] == frames
    for roi in ROIS.names:
        for name in ("intensity", "com_x", "maximum"):
            np.testing.assert_array_equal(
                model.attenuation.shown(roi)[name].values, expected[name].sel(roi=roi).values, name
            )
    np.testing.assert_array_equal(
        model.store.measurable()["image"].values, xi.open_measurement(folder, time="frame").image.values
    )


@pytest.mark.thorough
@pytest.mark.parametrize("memory", [2**30, 1, 100 * 40 * 50 * 4], ids=["memory", "tiled", "from memory to tiles"])
def test_each_frame_is_read_once(tmp_path, memory):
    write(tmp_path, range(60))
    store = Counting(open_source(tmp_path, reading=READING), memory=memory)
    look(store)
    behind = 60
    for more in (1, 30, 90, 2, 250, *[1] * 15):
        write(tmp_path, range(behind, behind + more))
        behind += more
        look(store)
        assert store.complete
    assert sorted(store.reads) == list(range(behind))
    holds(store, tmp_path, behind)
    assert not store._held.tiled or len(store._held.pieces) <= 8  # however often it grows
    store.release()


def test_frames_that_come_as_reading_ends_are_read(tmp_path, monkeypatch):
    """Its thread has looked for the last time, and is still there when more frames come."""
    held, plain = threading.Event(), FrameStore._read_all
    monkeypatch.setattr(FrameStore, "_read_all", lambda self: (plain(self), held.wait(30)))
    write(tmp_path, range(10))
    store = FrameStore(open_source(tmp_path, reading=READING))
    store.start()
    while not store.complete:
        time.sleep(0.01)
    time.sleep(0.1)
    write(tmp_path, range(10, 15))
    time.sleep(1.5 * SETTLED)
    store.refresh()
    assert store.n_frames == 15
    end = time.monotonic() + 10
    while not store.complete and time.monotonic() < end:
        time.sleep(0.01)
    held.set()
    assert store.complete
    holds(store, tmp_path, 15)


@pytest.mark.thorough
def test_other_frames_are_read_anew(tmp_path):
    write(tmp_path, range(5, 40))
    store = Counting(open_source(tmp_path, reading=READING), memory=1)
    look(store)
    write(tmp_path, range(5))  # come late, and belong before the others
    for _ in range(3):  # nobody asks for them by name: they are found as the folder is listed
        look(store)
    holds(store, tmp_path, 40)


@pytest.mark.parametrize("memory", [2**30, 1], ids=["memory", "tiled"])
def test_frames_that_come_late_take_none_of_the_others_away(tmp_path, memory):
    """What stands behind them was shown, and is at hand at every moment; nothing but them is read."""
    write(tmp_path, [*range(30), *range(33, 60)])
    store = Counting(open_source(tmp_path, reading=READING), memory=memory)
    look(store)
    write(tmp_path, range(31, 33))
    tifffile.imwrite(tmp_path / "run_00050.tif", frame(1050))
    store.reads, store.start = [], lambda: None  # nobody else reads
    time.sleep(1.5 * SETTLED)
    store.refresh()
    assert store.n_frames == store.loaded == 59
    assert sorted(store.reads) == [30, 31, 49]
    holds(store, tmp_path, 59)


@pytest.mark.thorough
def test_frames_that_are_no_more_are_forgotten(tmp_path):
    """Otherwise memory grew with every frame that is written anew."""
    write(tmp_path, range(20))
    store = FrameStore(open_source(tmp_path, reading=READING))
    look(store)
    for turn in range(8):
        for number in range(20):
            tifffile.imwrite(tmp_path / f"run_{number:05d}.tif", frame(1000 * turn + number))
        look(store)
    assert len(store._held.marks) <= 2 * 20
    assert sum(map(len, store._held.pieces)) == len(store._held.marks)
    holds(store, tmp_path, 20)


@pytest.mark.thorough
def test_a_full_disc_slows_but_loses_nothing(tmp_path, monkeypatch):
    write(tmp_path, range(60))
    store = Counting(open_source(tmp_path, reading=READING), memory=1)
    look(store)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0})())
    write(tmp_path, range(60, 90))
    look(store)
    assert "no room" in store.note
    holds(store, tmp_path, 90)
    write(tmp_path, range(90, 95))
    look(store)
    holds(store, tmp_path, 95)


@pytest.mark.slow
def test_a_fast_writer_with_frames_half_written(tmp_path):
    """Some 200 frames in a second, each tenth of them written in two halves with a pause between."""
    write(tmp_path, range(3))
    store = Counting(open_source(tmp_path, reading=READING), memory=200 * 40 * 50 * 4)
    behind, stop = 600, threading.Event()

    def writer():
        for number in range(3, behind):
            path = tmp_path / f"run_{number:05d}.tif"
            if number % 10:
                tifffile.imwrite(path, frame(number))
            else:
                content = tmp_path.parent / f"{tmp_path.name}.part"
                tifffile.imwrite(content, frame(number))
                data = content.read_bytes()
                with path.open("wb", buffering=0) as file:
                    file.write(data[: 7 * len(data) // 10])
                    time.sleep(0.05)
                    file.write(data[7 * len(data) // 10 :])
            time.sleep(0.003)
        stop.set()

    thread = threading.Thread(target=writer)
    thread.start()
    seen = []
    while not stop.is_set():
        try:
            look(store)
        except (xi.XinsituError, OSError):
            continue
        seen.append(store.loaded)
    thread.join()
    end = time.monotonic() + 20
    while store.loaded < behind and time.monotonic() < end:
        look(store)
    assert store.loaded == behind
    assert seen == sorted(seen)
    assert sorted(store.reads) == list(range(behind))
    assert store.faults == {}
    holds(store, tmp_path, behind)


def opened(monkeypatch):
    """Count which files are opened whole, and which headers are read."""
    whole, plain = [], Reading.open

    def counted(self, folder, **options):
        whole.append(Path(folder).name)
        return plain(self, folder, **options)

    monkeypatch.setattr(Reading, "open", counted)
    return whole


@pytest.mark.thorough
@pytest.mark.parametrize("memory", [2**30, 1], ids=["memory", "tiled"])
def test_a_sample_grows_by_what_comes_and_by_measurements_that_begin(tmp_path, monkeypatch, memory):
    sample = tmp_path / "0884"
    truth = xi.simulate_sample(tmp_path / "whole", measurements=2, frames=20)
    for name in ("time1", "time2"):
        (sample / name).mkdir(parents=True)
    files = {name: sorted(truth.folders[name].glob("*.tif"), key=_number) for name in ("time1", "time2")}

    def write_frames(name, numbers):
        for number in numbers:
            source = files[name][number]
            (sample / name / source.name).write_bytes(source.read_bytes())

    write_frames("time1", range(20))
    reading = Reading(tz="Asia/Tokyo")
    whole = opened(monkeypatch)
    store = Counting(open_source(sample, reading=reading), memory=memory)
    look(store)
    assert store.n_frames == 20
    for numbers in (range(5), range(5, 6), range(6, 20)):
        write_frames("time2", numbers)
        look(store)
        assert store.complete
    assert store.n_frames == 40
    before = len(whole)
    for _ in range(3):
        look(store)  # nothing has come: nothing is opened
    assert len(whole) == before
    assert whole.count("time1") == 1
    assert whole.count("time2") <= 3  # twice while it was empty
    assert sorted(store.reads) == list(range(40))
    parts = [xi.open_measurement(truth.folders[name], tz="Asia/Tokyo").image.values for name in ("time1", "time2")]
    np.testing.assert_array_equal(store.measurable().image.values, np.concatenate(parts))
    np.testing.assert_array_equal(store.data["measurement"].values, ["time1"] * 20 + ["time2"] * 20)
    store.release()


def _number(path):
    return [int(part) for part in path.stem.split("_") if part.isdigit()]


def test_a_measurement_of_another_detector_that_begins_is_left_out(tmp_path):
    for name, shape in (("time1", SHAPE), ("time2", (11, 12))):
        (tmp_path / name).mkdir()
        for number in range(4):
            if name == "time1":
                tifffile.imwrite(tmp_path / name / f"run_{number}.tif", np.ones(shape, "int32"))
    store = Counting(open_source(tmp_path, reading=READING))
    look(store)
    for number in range(4):
        tifffile.imwrite(tmp_path / "time2" / f"run_{number}.tif", np.ones((11, 12), "int32"))
    look(store)
    assert store.n_frames == 4
    assert "11 x 12" in store.source.left_out[0]


def test_an_hdf5_file_that_grows_is_opened_again_but_no_frame_is_read_twice(tmp_path):
    import h5py

    with h5py.File(tmp_path / "run_1.h5", "w") as file:
        data = file.create_dataset("entry/data/data", (6, *SHAPE), maxshape=(None, *SHAPE), dtype="int32")
        data[:] = [frame(number) for number in range(6)]
    store = Counting(open_source(tmp_path, reading=READING))
    look(store)
    assert store.n_frames == 6
    with h5py.File(tmp_path / "run_1.h5", "a") as file:
        data = file["entry/data/data"]
        data.resize(9, axis=0)
        data[6:] = [frame(number) for number in range(6, 9)]
    look(store)
    assert store.n_frames == 9
    assert sorted(store.reads) == list(range(9))
    np.testing.assert_array_equal(store.measurable().image.values, [frame(number) for number in range(9)])
    store.release()


@pytest.mark.thorough
@pytest.mark.parametrize("memory", [2**30, 1, 50 * 40 * 50 * 4], ids=["memory", "tiled", "from memory to tiles"])
def test_of_a_frame_that_was_written_anew_no_other_is_read_again(tmp_path, memory):
    write(tmp_path, range(60))
    store = Counting(open_source(tmp_path, reading=READING), memory=memory)
    look(store)
    write(tmp_path, range(60, 80))
    look(store)
    model = ExplorerModel(store, rois=ROIS)
    model.numbers.measure_now()
    tifffile.imwrite(tmp_path / "run_00055.tif", frame(1000))
    for _ in range(2):
        look(store)
    assert store.complete
    assert sorted(store.reads) == sorted([*range(80), 55])
    model.numbers.measure_now()
    expected = frame(1000)[5:25, 10:30].sum()
    assert model.numbers.of("A").intensity.values[55] == expected  # of as many frames as before
    holds(store, tmp_path, 80)
    store.release()


@pytest.mark.thorough
def test_of_frames_that_were_written_anew_no_other_is_measured_again(tmp_path, monkeypatch):
    """Numbers and kymograph; also of frames that came in between, and of two such looks in a row."""
    measured, summed, plain, sums = [], [], measuring.rows_of, cutouts.profiles
    monkeypatch.setattr(measuring, "rows_of", lambda fit: (measured.append(fit.image.sizes["time"]), plain(fit))[1])
    write(tmp_path, [*range(50), *range(52, 60)])
    store = FrameStore(open_source(tmp_path, reading=READING))
    look(store)
    model = ExplorerModel(store, rois=ROIS)
    view = KymographView(model, CurvesView(model, Channel()))
    model.numbers.measure_now()
    view.take(Kymograph.of(view.request()))
    monkeypatch.setattr(
        cutouts,
        "profiles",
        lambda data, *words, **how: (summed.append(data.sizes["time"]), sums(data, *words, **how))[1],
    )
    for numbers, anew in ((range(50, 51), 1050), (range(40, 41), 40), (range(60, 63), 60), (range(30, 31), 1030)):
        for number in numbers:
            tifffile.imwrite(tmp_path / f"run_{number:05d}.tif", frame(anew if anew > 1000 else number))
        look(store)
        if anew == 40:
            continue
        model.numbers.measure_now()
        view.take(Kymograph.of(view.request()))
        expected = xi.measure(xi.open_measurement(tmp_path, time="frame"), ROIS).compute()
        xr.testing.assert_equal(model.numbers.measured().drop_vars("remarks"), expected.drop_vars("remarks"))
        whole = Kymograph.of(model.cutouts.kymograph_request())
        np.testing.assert_array_equal(view._found.values, whole.values)
    assert measured == [58, 1, 4, 1]
    assert summed == [1, 59, 4, 62, 1, 62]
    store.release()


@pytest.mark.thorough
def test_a_frame_that_stays_half_holds_the_others_up_for_a_moment_only(tmp_path, monkeypatch):
    write(tmp_path, range(10))
    store = FrameStore(open_source(tmp_path, reading=READING))
    look(store)
    whole = tmp_path / "run_00010.tif"
    write(tmp_path, range(10, 14))
    data = whole.read_bytes()
    whole.write_bytes(data[:4000])
    monkeypatch.setattr(growing_folder, "PATIENCE", 60)
    look(store)
    assert store.n_frames == 10
    monkeypatch.setattr(growing_folder, "PATIENCE", 0)
    look(store)
    assert store.n_frames == 10  # nothing has come
    write(tmp_path, [14])
    look(store)
    assert store.data["frame"].values.tolist() == [*range(10), 11, 12, 13, 14]
    monkeypatch.setattr(growing_folder, "PATIENCE", 60)
    write(tmp_path, [15])
    look(store)
    assert store.n_frames == 15  # what was seen is not taken back
    whole.write_bytes(data)
    look(store)
    holds(store, tmp_path, 16)


@pytest.mark.thorough
def test_a_frame_that_is_shown_may_be_none_for_a_while(tmp_path):
    """The last one is written anew, as somebody looks at it: the page shows the one before, and goes on."""
    write(tmp_path, range(10))
    store = FrameStore(open_source(tmp_path, reading=READING))
    look(store)
    with ThreadPoolExecutor(1) as pool:
        model = ExplorerModel(store, rois=ROIS)
        session = Session(model, Document(), pool)
        model.view.follow = True
        model.numbers.measure_now()
        session.poll()
        model.view.frame = 9
        session.channel.done = (9, 1)
        store.data = store.data.isel(time=slice(0, 8))
        session.poll()
        assert model.view.frame == 7
        session.kymograph.measured()
        assert {len(column) for column in session.kymograph.trace.data.values()} == {8}
        session.tell()
        assert session.channel.text.startswith("8 of 8")
        session.close()
    store.release()


def test_of_many_frames_of_which_one_is_bad_few_pieces_are_read(tmp_path, monkeypatch):
    write(tmp_path, range(64))
    store = FrameStore(open_source(tmp_path, reading=READING))
    (tmp_path / "run_00021.tif").write_bytes(b"no longer")
    pieces, plain = [], FrameStore._read
    monkeypatch.setattr(FrameStore, "_read", lambda self, *box, **of: (pieces.append(box), plain(self, *box, **of))[1])
    frames = store._read(slice(0, 64))
    assert list(store.faults) == [21]
    assert len(pieces) <= 2 * 6 + 1
    assert not frames[21].any()
    np.testing.assert_array_equal(frames[[20, 22, 63]], [frame(20), frame(22), frame(63)])


@pytest.mark.thorough
def test_new_frames_alone_are_measured(tmp_path, monkeypatch):
    measured = []
    plain = measuring.rows_of
    monkeypatch.setattr(measuring, "rows_of", lambda fit: (measured.append(fit.image.sizes["time"]), plain(fit))[1])
    write(tmp_path, range(60))
    store = FrameStore(open_source(tmp_path, reading=READING))
    look(store)
    model = ExplorerModel(store, rois=ROIS, correction=xi.Correction(median=3, threshold=5))
    for behind, more in ((60, 20), (80, 1), (81, 3)):
        model.numbers.measure_now()
        write(tmp_path, range(behind, behind + more))
        look(store)
    model.numbers.measure_now()
    assert measured == [60, 20, 1, 3]
    scan = xi.open_measurement(tmp_path, time="frame")
    expected = xi.measure(scan, ROIS, correction=xi.Correction(median=3, threshold=5)).compute()
    found = model.numbers.measured()
    xr.testing.assert_equal(found.drop_vars("remarks"), expected.drop_vars("remarks"))
    summed = []
    sums = cutouts.profiles
    monkeypatch.setattr(
        cutouts,
        "profiles",
        lambda data, *words, **how: (summed.append(data.sizes["time"]), sums(data, *words, **how))[1],
    )
    shown = Kymograph.of(model.cutouts.kymograph_request())
    write(tmp_path, range(84, 90))
    look(store)
    again = Kymograph.of(replace(model.cutouts.kymograph_request(), before=shown))
    whole = Kymograph.of(model.cutouts.kymograph_request())
    assert summed == [84, 6, 90]
    np.testing.assert_array_equal(again.values, whole.values)
    assert (again.left, again.right) == (whole.left, whole.right)
    model.regions.place("A", (6, 25), (10, 30))
    model.numbers.measure_now()
    assert measured[4:] == [90]  # another ROI: of all frames
    store.release()


@pytest.mark.thorough
def test_numbers_follow_frames_that_are_still_being_read(tmp_path):
    """Where frames come as fast as they are read, it is never complete: numbers were up to 30 % of a run behind."""
    write(tmp_path, range(100))
    store = FrameStore(open_source(tmp_path, reading=READING))
    with ThreadPoolExecutor(1) as pool:
        session, asked = Session(ExplorerModel(store, rois=ROIS), Document(), pool), []
        session.measuring.ask = lambda: asked.append(store.loaded)
        for store._loaded in (50, 55, 57):
            session._free_at = 0.0
            session.poll()
        session.poll()
        session.close()
    assert asked == [50, 55, 57]


@pytest.mark.thorough
def test_curves_go_before_the_kymograph(tmp_path):
    write(tmp_path, range(20))
    store = FrameStore(open_source(tmp_path, reading=READING))
    look(store)
    with ThreadPoolExecutor(1) as pool:
        session, rested = Session(ExplorerModel(store, rois=ROIS), Document(), pool), []
        session.rest = lambda: rested.append(store.n_frames)
        session.poll()
        session.poll()
        assert not session.measuring.idle
        assert rested == []
        session.measuring._waiting = session.measuring._wanted = False  # they are there
        for _ in range(3):
            session.poll()
        assert rested == [20]
        write(tmp_path, [20])
        look(store)
        session.poll()
        session.measuring._waiting = session.measuring._wanted = False
        session.poll()
        assert rested == [20]  # a moment later
        session._rest_at = 0.0
        session.poll()
        assert rested == [20, 21]
        session.close()
    store.release()


def test_what_all_frames_share_is_reckoned_where_they_are_read_lazily():
    frames = np.random.default_rng(5).poisson(50, (20, 30, 40)).astype(np.int32)
    time = np.datetime64("2014-05-28") + np.arange(20).astype("timedelta64[s]")
    image = xr.DataArray(frames, dims=("time", "y", "x"), coords={"time": time.astype("datetime64[ns]")}).chunk(time=7)
    recipe = xi.Correction(background=xi.Background(y=(0, 8), x=(0, 8), mode="divide", normalise="mean"))
    rois = RoiSet([Roi("spot", (10, 20), (10, 20))])
    data = image.to_dataset(name="image")
    found = measuring.answer(measuring.Request(data, rois, ("spot",), recipe, {})).series
    assert found.equals(xi.measure(data, rois, correction=recipe).compute())


@pytest.mark.thorough
def test_numbers_of_frames_that_cannot_be_read_are_none_whatever_is_measured():
    rng = np.random.default_rng(2)
    image = xr.DataArray(
        rng.poisson(20, (6, *SHAPE)).astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"}
    )
    rois = RoiSet(
        [
            Roi("A", y=(5, 25), x=(10, 30), measure=["intensity", "com", "fwhm", "mean", "std", "sigma"]),
            Roi("B", y=(30, 38), x=(33, 49)),
        ]
    )
    series = xi.measure(image, rois)
    found = measuring.masked(series, {1: "gone", 4: "gone", 9: "not there yet"})
    bad = np.isin(np.arange(6), [1, 4])
    for name, variable in found.data_vars.items():
        assert variable.dtype == series[name].dtype
        assert repr(variable.attrs) == repr(series[name].attrs)
        np.testing.assert_array_equal(variable.values[~bad], series[name].values[~bad])
        if name == "n_valid":
            assert not variable.values[bad].any()
        elif name == "quality":
            wanted = (series[name].values[bad] & ~int(Quality.OUTLIER)) | int(
                Quality.FRAME_FAULT | Quality.MASKED_PIXELS
            )
            np.testing.assert_array_equal(variable.values[bad], wanted)
        elif variable.dtype.kind == "f":
            assert np.isnan(variable.values[bad]).all()
    assert measuring.masked(series, {}) is series
