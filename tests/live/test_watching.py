"""Numbers while a measurement is taken: nothing lost, nothing wrong, and in the end those of measuring afterwards."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import aged, camserver_bytes, stamp_of
from tests.helpers.growing import put
from xinsitu.io.growing_folder import GrowingFolder
from xinsitu.io.growing_results import GrowingResults
from xinsitu.io.options import OpenOptions
from xinsitu.live.growing_series import GrowingSeries

ROIS = xi.RoiSet(
    [
        xi.Roi("spot", (5, 30), (6, 40), background=("edge",)),
        xi.Roi("rod", (3, 20), (20, 45), background=("dark",)),
        xi.Roi("dark", (32, 40), (0, 50), role="background"),
    ]
)
HOW = {"instrument": "generic", "tz": "UTC"}
FLAT = xr.DataArray(np.random.default_rng(1).normal(1, 0.02, (40, 50)), dims=("y", "x"), attrs={"total_counts": 9000.0})
CORRECTIONS = {
    "nothing": None,
    "outliers": xi.Correction(median=3, threshold=5),
    "flat": xi.Correction(flatfield=FLAT, median=3, threshold=5),
    "median": xi.Correction(median=3),
    "divide": xi.Correction(background=xi.Background(y=(33, 39), x=(0, 50))),
    "subtract": xi.Correction(median=3, background=xi.Background(y=(33, 39), x=(0, 50), mode="subtract")),
}


def pixels(number: int, version: int = 0) -> np.ndarray:
    y, x = np.mgrid[:40, :50]
    light = 4 + 60 * np.exp(-((y - 17) ** 2 + (x - 25 - number / 400) ** 2) / 30)
    return np.random.default_rng([number, version]).poisson(light).astype("int32")


def write(folder: Path, number: int, version: int = 0) -> None:
    data = camserver_bytes(pixels(number, version), stamp_of(number / 3))
    (folder / f"0911_time_1_{number:05d}.tif").write_bytes(data)


def measured(folder: Path, correction: xi.Correction | None, **how) -> xr.Dataset:
    return xi.measure(xi.open_measurement(folder, **HOW, **how), ROIS, correction=correction).compute()


def growing(folder: Path, correction: xi.Correction | None = None, **how) -> GrowingSeries:
    opening = OpenOptions(**{"on_error": "skip", **HOW, **how})
    return GrowingSeries(GrowingFolder(folder, opening, now=lambda: time.time() + 0.2), ROIS, lambda scan: correction)


@pytest.mark.thorough("nothing")
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
def test_bit_for_bit_whatever_the_order(tmp_path, correction):
    live = growing(tmp_path, correction)
    order = np.random.default_rng(5).permutation(31).tolist()
    for part in (order[:1], order[1:9], order[9:10], order[10:28], order[28:]):
        for number in part:
            write(tmp_path, number, 1 if number == 11 else 0)
        live.look()
        if len(part) == 18:
            live.series()
    write(tmp_path, 11)
    live.settle()
    xr.testing.assert_identical(live.series(), measured(tmp_path, correction))


@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_each_frame_is_measured_once(tmp_path, monkeypatch):
    from xinsitu.live import growing_series

    seen = []
    rows_of = growing_series.rows_of
    monkeypatch.setattr(growing_series, "rows_of", lambda fit: seen.append(fit.image.sizes["time"]) or rows_of(fit))
    live = growing(tmp_path, CORRECTIONS["flat"])
    for first in range(0, 24, 6):
        for number in range(first, first + 6):
            write(tmp_path, number)
        live.look()
        live.series()
    assert sum(seen) == 24


@pytest.mark.parametrize("policy", ["skip", "nan"])
def test_bad_frames_are_as_in_opening(tmp_path, policy):
    live = growing(tmp_path, on_error=policy)
    for number in range(9):
        write(tmp_path, number)
    for number, keep in ((3, 4500), (6, 10)):
        path = tmp_path / f"0911_time_1_{number:05d}.tif"
        path.write_bytes(path.read_bytes()[:keep])
        aged(path)
    other = camserver_bytes(np.zeros((7, 9), "int32"), stamp_of(3))
    (tmp_path / "0911_time_1_00009.tif").write_bytes(other)
    live.look()
    found = live.series()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xi.XinsituWarning)
        expected = measured(tmp_path, None, on_error=policy)
    xr.testing.assert_identical(found, expected)


@pytest.mark.thorough
def test_what_the_callback_gets_is_what_the_end_says(tmp_path):
    seen: dict[int, xr.Dataset] = {}

    def note(new: xr.Dataset) -> None:
        seen.update({int(one.frame[0]): one for _, one in new.groupby("time", squeeze=False)})

    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()
    for number in range(7):
        write(tmp_path, number)
    end = xi.watch(tmp_path, ROIS, on_frames=note, stop=stop, **HOW)
    assert sorted(seen) == list(range(7))
    for number, one in seen.items():
        for name in ("intensity", "com_x", "fwhm_y", "intensity_errors", "n_valid"):
            np.testing.assert_array_equal(one[name].values[0], end[name].values[number])


@pytest.mark.thorough
def test_the_file_can_be_read_at_every_moment(tmp_path, monkeypatch):
    monkeypatch.setattr("xinsitu.live.watching.SHARE", 0)  # as often as may be, however busy the machine is
    folder, output = tmp_path / "frames", tmp_path / "out.nc"
    stop, ended = threading.Event(), threading.Event()
    sizes, faults = [], []

    def take() -> None:
        folder.mkdir()
        for number in range(2000):
            write(folder, number)
            time.sleep(0.05)
            if len(set(sizes)) > 2 or faults:
                break
        stop.set()

    def read() -> None:
        while not ended.is_set():
            if output.exists():
                try:
                    sizes.append(xi.read_results(output).sizes["time"])
                except Exception as fault:  # noqa: BLE001 - whatever it is, it is one too many
                    faults.append(fault)

    threads = [threading.Thread(target=one) for one in (take, read)]
    for one in threads:
        one.start()
    end = xi.watch(folder, ROIS, output=output, stop=stop, **HOW)
    ended.set()
    for one in threads:
        one.join()
    assert faults == []
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 2
    np.testing.assert_array_equal(xi.read_results(output).intensity, end.intensity)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_takes_all_frames_is_refused(tmp_path):
    write(tmp_path, 0)
    moving = xi.Roi("a", (1, 9), (1, 9), path=[{"at": {"frame": 0}, "y": [1, 9], "x": [1, 9]}])
    with pytest.raises(xi.RoiError, match="'a' moves"):
        xi.watch(tmp_path, [moving], until_idle=0, **HOW)
    for wrong in (
        xi.Correction(normalise="monitor"),
        xi.Correction(background=xi.Background(y=(0, 3), x=(0, 3), mode="divide", normalise="mean")),
    ):
        with pytest.raises(xi.CorrectionError, match="watch without"):
            xi.watch(tmp_path, ROIS, correction=wrong, until_idle=0, **HOW)


def test_outputs_are_refused_before_the_first_frame(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        write(folder, number)
    (tmp_path / "there.nc").write_text("somebody's")
    with pytest.raises(xi.ResultExists):
        xi.watch(folder, ROIS, output=tmp_path / "there.nc", until_idle=0, **HOW)
    with pytest.raises(xi.LayoutError, match="its own frames"):
        xi.watch(folder, ROIS, output=folder / "out.nc", until_idle=0, **HOW)
    with pytest.raises(xi.SchemaError):
        xi.watch(folder, ROIS, output=tmp_path / "out.csv", until_idle=0, **HOW)
    assert (tmp_path / "there.nc").read_text() == "somebody's"


def test_no_frame_is_said(tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(xi.LayoutError, match="no frame has come"):
        xi.watch(tmp_path / "never", ROIS, stop=stop, **HOW)


@pytest.mark.thorough
def test_memory_hardly_grows(tmp_path, monkeypatch):
    """Seven numbers of 8 bytes and two hashes are kept of a frame; a name as a string in a dict is 150 bytes already.

    Twelve hours at a frame a second are 43,200 frames: 6.5 MB at this bound. What a few thousand frames are kept for
    (looks back, names that are not sorted in) is made small; what a look leaves in caches, as many looks with fewer
    frames leave as well; and what else happens in this process meanwhile is not in all of three rounds.
    """
    monkeypatch.setattr("xinsitu.io.growing_folder.RECENT", 20)
    monkeypatch.setattr("xinsitu.io.frame_table.Numbers.MANY", 16)
    monkeypatch.setattr("xinsitu.live.growing_series.BEFORE", 30)
    live, count = growing(tmp_path, order_error="ignore"), 0

    def kept(at_once: int) -> int:
        nonlocal count
        used = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            for number in range(count, count + at_once):
                if number < 4:
                    write(tmp_path, number)
                else:
                    os.link(tmp_path / f"0911_time_1_{number % 4:05d}.tif", tmp_path / f"0911_time_1_{number:05d}.tif")
            count += at_once
            live.look()
            live.keep(live.together(*live.snapshot(tail=count > at_once)))
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - used

    tracemalloc.start()
    kept(10)
    few, many = zip(*((kept(10), kept(200)) for _ in range(3)), strict=True)
    tracemalloc.stop()
    assert len(live) == count == 1920
    assert (min(many) - min(few)) / (3 * 190) < 150


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
@pytest.mark.parametrize("told", ["names", "times"])
def test_the_file_grows_by_what_is_new_beside_a_log(tmp_path, monkeypatch, told):
    """Which point of the log belongs to the last frames is told by names and times, and by counting all alone."""
    monkeypatch.setattr("xinsitu.live.growing_series.BEFORE", 30)
    monkeypatch.setattr("xinsitu.live.growing_series.REACH", 10)
    folder, output = tmp_path / "frames", tmp_path / "out.nc"
    folder.mkdir()
    live, results, lengths = growing(folder), GrowingResults(output, overwrite=False, source=folder), []
    for step, count in enumerate((20, 60, 100)):
        for number in range((0, 20, 60)[step], count):
            write(folder, number)
        seconds = 1_401_296_400 + np.arange(-1, count // 3 + 2)
        by_name = [f"0911_time_1_{number:05d}.tif,{7 * number}" for number in range(count)]
        by_time = [f"{second},{second % 1000}" for second in seconds]
        text = ["name,current", *by_name] if told == "names" else ["epoch,current", *by_time]
        (folder / "ring.log").write_text("\n".join(text) + "\n")
        live.settle()
        lengths.append(put(live, results, first=step == 0))
        found, expected = xi.read_results(output), measured(folder, None)
        assert np.isfinite(expected.current).all()
        for name in expected.coords:
            np.testing.assert_array_equal(found[name].values, expected[name].values)
    assert lengths == [20, 60, 50]


@pytest.mark.thorough
def test_points_of_a_log_that_can_only_be_counted_are_no_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("xinsitu.live.growing_series.BEFORE", 3)
    log = tmp_path / "ring.csv"
    live = growing(tmp_path, logs=str(log))
    for number in range(9):
        write(tmp_path, number)
        log.write_text("current,ring\n" + "".join(f"{100 + one},5\n" for one in range(number + 1)))
        live.look()
        together = live.together(*live.snapshot(tail=number > 0))
        assert not [text for text in together.said if "ring" in text]
    assert "current" not in together.series
    xr.testing.assert_identical(live.series(), measured(tmp_path, None, logs=str(log)))


class Told:
    """Notes what it is given, and refuses rows when it is told to."""

    def __init__(self, refused: set[int]) -> None:
        self.calls, self.refused = [], refused

    def write(self, series: xr.Dataset, *, last: bool) -> None:
        self.calls.append("last" if last else "all")

    def append(self, rows: xr.Dataset) -> bool:
        self.calls.append("rows")
        return len(self.calls) not in self.refused


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ({3}, ["all", "rows", "rows", "all", "rows", "rows"]),  # as where a log has come
        ({2, 3}, ["all", "rows", "all", "all", "all", "all"]),  # as where rows never fit
    ],
)
def test_rows_that_do_not_fit_once_are_put_behind_again(tmp_path, refused, expected):
    from xinsitu.live.watching import _Steps

    live, output = growing(tmp_path), Told(refused)
    steps = _Steps(live, output)
    for number in range(6):
        write(tmp_path, number)
        live.look()
        steps.due, steps._next = True, 0.0
        steps.step()
        steps._job.result()
        steps._finish()
    assert output.calls == expected


WRITER = """
import random, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.live.test_watching import pixels
from tests.helpers.camserver import camserver_bytes, stamp_of
folder, count, rate = Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
folder.mkdir(parents=True)
luck, later, begun = random.Random(8), [], time.perf_counter()
def place(number): return folder / f"0911_time_1_{number:05d}.tif"
def whole(number, version=0): return camserver_bytes(pixels(number, version), stamp_of(number / 3))
def finish(kind, number):
    if kind == "half":
        with place(number).open("ab") as file: file.write(whole(number)[6000:])
    else: place(number).write_bytes(whole(number))
for number in range(count):
    time.sleep(max(0, number / rate - (time.perf_counter() - begun)))
    kind = luck.choice(["half", "late", "anew", "renamed"] + 12 * ["plain"])
    if kind == "half":
        with place(number).open("wb") as file: file.write(whole(number)[:6000])
    elif kind == "anew": place(number).write_bytes(whole(number, 1))
    elif kind == "renamed":
        (folder / f".{number}").write_bytes(whole(number)); (folder / f".{number}").rename(place(number))
    elif kind == "plain": place(number).write_bytes(whole(number))
    if kind in ("half", "late", "anew"): later.append((number + luck.randrange(1, 80), kind, number))
    for one in sorted(later):
        if one[0] <= number: later.remove(one); finish(*one[1:])
for one in sorted(later): finish(*one[1:])
"""


@pytest.mark.thorough
def test_a_fast_writer_loses_nothing(tmp_path):
    folder, count = tmp_path / "0911" / "time1", 500
    root = str(Path(__file__).parents[2])
    writer = subprocess.Popen([sys.executable, "-c", WRITER, root, str(folder), str(count), "250"])
    stop, last = threading.Event(), {}

    def note(new: xr.Dataset) -> None:
        last.update(zip(new.frame.values.tolist(), new.intensity.values.tolist(), strict=True))

    threading.Thread(target=lambda: (writer.wait(), stop.set())).start()
    correction = CORRECTIONS["outliers"]
    end = xi.watch(folder, ROIS, correction=correction, on_frames=note, output=tmp_path / "o.nc", stop=stop, **HOW)
    assert writer.returncode == 0
    expected = measured(folder, correction)
    xr.testing.assert_identical(end, expected)
    assert expected.frame.values.tolist() == list(range(count))
    assert last == dict(enumerate(expected.intensity.values.tolist()))
    np.testing.assert_array_equal(xi.read_results(tmp_path / "o.nc").com_x, expected.com_x)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_the_file_grows_by_what_is_new(tmp_path):
    """Late frames and those that are written anew come to their place; in the end it is the file of measuring."""
    folder, output = tmp_path / "frames", tmp_path / "out.nc"
    folder.mkdir()
    live = growing(folder, CORRECTIONS["outliers"])
    results = GrowingResults(output, overwrite=False, source=folder)
    steps = [[*range(40)], [*range(40, 900)], [*range(900, 908), *range(910, 940)], [*range(940, 960), 908, 700]]
    lengths = []
    for number, frames in enumerate(steps):
        for frame in frames:
            write(folder, frame, 1 if frame == 700 and number == 1 else 0)
        live.settle()
        lengths.append(put(live, results, first=number == 0))
        found, expected = xi.read_results(output), measured(folder, CORRECTIONS["outliers"])
        assert set(found.variables) == set(expected.variables)
        for name in set(expected.variables) - {"remarks"}:
            xr.testing.assert_equal(found[name].variable, expected[name].variable)
    with h5py.File(output) as file:  # many small pieces take long to read
        assert {file[name].chunks[0] for name in ("com_x", "stamp", "time", "entry/com_x/elapsed")} == {1024}
    assert lengths == [40, 900, 200 + 38, 959 - 700 + 200]
    results.write(live.series(), last=True)
    written = xi.write_results(measured(folder, CORRECTIONS["outliers"]), tmp_path / "again.nc")
    assert output.read_bytes() == written.read_bytes()


@pytest.mark.thorough
def test_a_file_that_is_not_ours_any_more_is_written_whole(tmp_path):
    folder, output = tmp_path / "frames", tmp_path / "out.nc"
    folder.mkdir()
    for number in range(4):
        write(folder, number)
    results, series = GrowingResults(output, overwrite=False, source=folder), measured(folder, None)
    assert not results.append(series)
    results.write(series[{"time": slice(2)}], last=False)
    assert not results.append(series.assign(further=("time", np.arange(4.0))))
    assert results.append(series[{"time": slice(1, 4)}])
    assert xi.read_results(output).sizes["time"] == 4
    output.write_bytes(output.read_bytes())
    assert not results.append(series)
    output.unlink()
    assert not results.append(series)


FULL = """
import resource, sys
import xinsitu as xi
from xinsitu.io.growing_results import GrowingResults
series, path = xi.read_results(sys.argv[1]), sys.argv[2]
results = GrowingResults(path, overwrite=False, source="nowhere")
results.write(series[{"time": slice(2)}], last=False)
size = len(open(path, "rb").read())
for more in range(0, 4_000_000, 900_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + more, -1))
    try:
        results.append(series)
    except OSError as fault:
        assert path in str(fault), fault
        assert xi.read_results(path).sizes["time"] == 2
    else:
        break
assert more and xi.read_results(path).sizes["time"] == 300
"""


@pytest.mark.thorough
def test_a_full_disc_leaves_the_file_as_it_was(tmp_path):
    for number in range(300):
        write(tmp_path, number)
    path = xi.write_results(measured(tmp_path, None), tmp_path.parent / f"{tmp_path.name}.nc")
    (tmp_path / "out").mkdir()
    program = [sys.executable, "-c", FULL, path, tmp_path / "out" / "growing.nc"]
    subprocess.run(program, check=True, preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["growing.nc"]


@pytest.mark.thorough
def test_a_series_that_is_let_go_leaves_no_file_open(tmp_path):
    growing = GrowingSeries(GrowingFolder(tmp_path, OpenOptions(tz="UTC", instrument="generic")), ROIS, lambda _: None)
    aside = growing._rows.aside._file
    del growing
    gc.collect()
    assert aside.closed
