"""Numbers while a measurement is taken: nothing lost, nothing wrong, and in the end those of measuring afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import aged, camserver_bytes, stamp_of
from xinsitu.io.growing_folder import GrowingFolder
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


def test_memory_is_that_of_the_numbers(tmp_path):
    """Twelve hours at a frame a second are 43 200 frames: at so many bytes each they fit anywhere."""
    live = growing(tmp_path)
    used = []
    tracemalloc.start()
    for number in range(300):
        write(tmp_path, number % 7)
        (tmp_path / f"0911_time_1_{number % 7:05d}.tif").rename(tmp_path / f"0911_time_1_{number + 7:05d}.tif")
        if number % 10 == 9:
            live.look()
            used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(live) > 250
    assert (used[-1] - used[9]) / (10 * (len(used) - 10)) < 3500


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
