"""Workers that do not see the frames, or only some of them: one sentence or a flag, never an unmarked NaN."""

from __future__ import annotations

import builtins
import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from xinsitu import native
from xinsitu.cli import main
from xinsitu.errors import FrameError
from xinsitu.io.formats import many_files
from xinsitu.physics.stored import Stored
from xinsitu.schema import FrameStatus, Quality

pytestmark = pytest.mark.slow

FRAMES, GONE, DARK = 36, [5, 6, 20], [11, 30]
ROIS = [xi.Roi("spot", (8, 22), (10, 30))]
DIVIDED = xi.Correction(background=xi.Background((0, 6), (0, 9)))
UNREAD = "{} of 36 frames are NaN because they cannot be read"
ZERO = "the background is zero in {} of 36 frames; their values are NaN"


@pytest.fixture(scope="module")
def client():
    """Two workers that are processes of their own."""
    from distributed import Client, LocalCluster

    quiet = {"distributed.comm.timeouts.connect": "60s", "distributed.worker.profile.enabled": False}
    local = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set(quiet),
        LocalCluster(host="127.0.0.1", **local) as cluster,
        Client(cluster, set_as_default=False) as one,
    ):
        yield one


def pixels(level: float = 6.0) -> np.ndarray:
    counts = np.random.default_rng(8).poisson(level, (FRAMES, 24, 33)).astype("int32")
    counts[DARK, :6, :9] = 0
    return counts


def tiffs(folder: Path, counts: np.ndarray, compression: str | None = None) -> Path:
    for number, frame in enumerate(counts):
        stamp = f"2015:02:03 10:11:{number:02d}"
        tifffile.imwrite(folder / f"run_{number:04d}.tif", frame, compression=compression, datetime=stamp)
    return folder


def hdf5(folder: Path, counts: np.ndarray) -> Path:
    """One file a frame: of some of them only."""
    for number, frame in enumerate(counts):
        with h5py.File(folder / f"run_{number:04d}.h5", "w") as file:
            file["entry/data/data"] = frame[None]
            file["entry/instrument/detector/frame_time"] = 1.0
            file["entry/instrument/detector/frame_time"].attrs["units"] = "s"
            file["entry/start_time"] = f"2015-02-03T10:11:{number:02d}Z"
            file["entry"].attrs["NX_class"] = "NXentry"
    return folder


def virtual(folder: Path, counts: np.ndarray) -> Path:
    """A virtual dataset over files of three frames each."""
    layout = h5py.VirtualLayout(counts.shape, "int32")
    for first in range(0, FRAMES, 3):
        name = folder / f"piece_{first:02d}.h5"
        with h5py.File(name, "w") as file:
            file["data"] = counts[first : first + 3]
        layout[first : first + 3] = h5py.VirtualSource(name.name, "data", (3, *counts.shape[1:]))
    with h5py.File(folder / "run.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
        file["entry/instrument/detector/frame_time"] = 1.0
        file["entry/instrument/detector/frame_time"].attrs["units"] = "s"
        file["entry/start_time"] = "2015-02-03T10:11:00Z"
        file["entry"].attrs["NX_class"] = "NXentry"
    return folder


FORMATS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "plain": tiffs,
    "zlib": lambda folder, counts: tiffs(folder, counts, "zlib"),
    "hdf5": hdf5,
}


@pytest.fixture(params=FORMATS)
def folder(request, tmp_path) -> Path:
    (tmp_path / "beside").mkdir()
    (tmp_path / "run").mkdir()
    return FORMATS[request.param](tmp_path / "run", pixels())


def opened(folder: Path, on_error: str) -> xr.Dataset:
    how = {"tz": "UTC", "instrument": "generic", "on_error": on_error, "chunks": {"time": 7}}
    return xi.open_measurement(measurement_of(folder), **how)


def measurement_of(folder: Path) -> Path:
    return folder / "*.h5" if file_of(folder, 0).suffix == ".h5" else folder


def file_of(folder: Path, number: int) -> Path:
    return sorted(folder.glob(f"run_{number:04d}.*"))[0]


@contextlib.contextmanager
def computing(how: str, client) -> Iterator[None]:
    with client.as_current() if how == "cluster" else dask.config.set(scheduler=how):
        yield


@contextlib.contextmanager
def hidden(client, paths: list[Path], workers: list[str] | None = None) -> Iterator[None]:
    """Let files be where the client is, and not where the workers are."""
    names = [os.fspath(path) for path in paths]

    def hide() -> None:
        def seen(call):
            def refusing(path, *args, **kwargs):
                text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
                if any(text == name or text.startswith(name + os.sep) for name in names):
                    raise FileNotFoundError(2, "No such file or directory", text)
                return call(path, *args, **kwargs)

            refusing.before = call
            return refusing

        os.open, os.stat, builtins.open = seen(os.open), seen(os.stat), seen(builtins.open)
        many_files.compiled = lambda name: None
        Stored.before, Stored.in_files = Stored.in_files, staticmethod(lambda array, frames, part: None)

    def show() -> None:
        many_files.compiled = native.function
        Stored.in_files = staticmethod(Stored.before)
        os.open, os.stat, builtins.open = os.open.before, os.stat.before, builtins.open.before

    client.run(hide, workers=workers)
    try:
        yield
    finally:
        client.run(show, workers=workers)


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", xi.XinsituWarning)
        yield texts
    assert all(one.filename == __file__ for one in caught), [one.filename for one in caught]
    texts += [str(one.message) for one in caught]


def once(texts: list[str], beginning: str) -> bool:
    return sum(text.startswith(beginning) for text in texts) == 1


@pytest.mark.parametrize("how", ["threads", "processes", "cluster"])
def test_frames_that_vanish_are_flagged_and_heard(folder, how, client, tmp_path):
    scan = opened(folder, "nan")
    expected = pixels()[:, 8:22, 10:30].sum((1, 2)) / pixels()[:, :6, :9].mean((1, 2)).clip(1e-9)
    for number in GONE:
        file_of(folder, number).rename(tmp_path / "beside" / str(number))
    with computing(how, client), heard() as texts:
        series = xi.measure(scan, ROIS, correction=DIVIDED).compute()
    assert once(texts, UNREAD.format(3))
    assert once(texts, ZERO.format(2))
    quality = series.quality.values[:, 0]
    assert np.flatnonzero(quality & Quality.FRAME_FAULT).tolist() == GONE
    assert np.flatnonzero(quality & Quality.ZERO_BACKGROUND).tolist() == DARK
    lost = np.isin(np.arange(FRAMES), GONE + DARK)
    np.testing.assert_array_equal(np.isnan(series.intensity.values[:, 0]), lost)
    np.testing.assert_allclose(series.intensity.values[~lost, 0], expected[~lost], rtol=1e-5)


@pytest.mark.parametrize("how", ["processes", "cluster"])
def test_frames_that_vanish_have_a_status_in_what_is_written(folder, how, client, tmp_path):
    scan = opened(folder, "nan")
    for number in GONE:
        file_of(folder, number).unlink()
    with computing(how, client), heard() as texts:
        path = xi.write_frames(xi.correct(scan, DIVIDED), tmp_path / "frames.nc")
    assert once(texts, UNREAD.format(3))
    assert once(texts, ZERO.format(2))
    with heard():
        frames = xi.read_results(path).load()
    status = frames.frame_status.values
    assert np.flatnonzero(status == FrameStatus.UNREADABLE).tolist() == GONE
    assert np.flatnonzero(status == FrameStatus.ZERO_BACKGROUND).tolist() == DARK
    assert np.flatnonzero(frames.image.isnull().any(("y", "x"))).tolist() == sorted(GONE + DARK)


@pytest.mark.parametrize("how", ["processes", "cluster"])
def test_a_frame_that_vanishes_is_refused_by_name(folder, how, client, tmp_path):
    scan = opened(folder, "raise")
    file_of(folder, 20).unlink()
    with computing(how, client), pytest.raises(FrameError, match=r"run_0020\.\w+: the file was removed"):
        xi.measure(scan, ROIS).compute()
    with computing(how, client), pytest.raises(FrameError, match=r"run_0020\.\w+: the file was removed"):
        xi.write_frames(scan, tmp_path / "frames.nc")
    assert not list(tmp_path.glob("*.nc*"))


def test_a_folder_that_no_worker_has_is_refused_or_flagged(folder, client):
    with hidden(client, [folder]), client.as_current():
        with pytest.raises(FrameError, match="the file was removed"):
            xi.measure(opened(folder, "raise"), ROIS).compute()
        with heard() as texts:
            series = xi.measure(opened(folder, "nan"), ROIS, correction=DIVIDED).compute()
    assert once(texts, UNREAD.format(36))
    assert not any("background" in text for text in texts)
    assert np.isnan(series.intensity).all()
    assert ((series.quality & Quality.FRAME_FAULT) > 0).all()


def test_a_folder_that_one_worker_has_gives_flags_where_it_gives_nan(folder, client):
    blind = [sorted(client.scheduler_info()["workers"])[0]]
    with hidden(client, [folder], blind), client.as_current(), heard() as texts:
        scan = opened(folder, "nan").chunk({"time": 2})
        series = xi.measure(scan, ROIS).compute()
    lost = np.isnan(series.intensity.values[:, 0])
    np.testing.assert_array_equal(lost, (series.quality.values[:, 0] & Quality.FRAME_FAULT) > 0)
    assert once(texts, UNREAD.format(lost.sum())) or not lost.any()


@pytest.mark.parametrize("policy", ["raise", "nan"])
@pytest.mark.parametrize("command", ["measure", "parse"])
def test_commands_say_what_no_worker_has(folder, client, policy, command, tmp_path, capsys):
    rois, result = tmp_path / "rois.json", tmp_path / "out.nc"
    xi.write_rois(xi.RoiSet(ROIS), rois)
    words = ["--rois", str(rois)] if command == "measure" else []
    words += ["--tz", "UTC", "--on-error", policy, "--scheduler", client.scheduler.address, "-o", str(result)]
    with hidden(client, [folder]):
        assert main([command, str(measurement_of(folder)), *words]) == 1
    _, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("xinsitu: ")]
    assert len(lines) == 1
    assert "worker tcp://127.0.0.1:" in lines[0]
    assert f"does not see {folder}" in lines[0]
    assert not result.exists()


@pytest.mark.parametrize("how", ["processes", "cluster"])
@pytest.mark.parametrize("form", ["plain", "zlib"])
def test_what_few_counts_do_is_heard_from_workers(how, form, client, tmp_path):
    FORMATS[form](tmp_path, pixels(0.4))
    scan = opened(tmp_path, "raise")
    with computing(how, client), heard() as texts:
        xi.measure(scan, ROIS, correction=xi.Correction(median=3)).compute()
    assert once(texts, "few counts per pixel (spot")
    with computing(how, client), heard() as texts:
        xi.measure(scan, ROIS, correction=DIVIDED).compute()
    assert sum("counts" in text and "background" in text for text in texts) == 1, texts
    with computing(how, client), heard() as texts:
        xi.measure(scan, [xi.Roi("spot", (8, 22), (10, 30))], correction=xi.Correction(threshold=5, median=3)).compute()
    assert not any("few counts per pixel" in text for text in texts)


@pytest.mark.parametrize(
    ("how", "lost"),
    [*itertools.product(("threads", "processes", "cluster"), ("removed", "cut")), ("cluster", "not there for workers")],
)
def test_a_virtual_dataset_never_gives_zeros_for_a_piece_that_is_gone(how, lost, client, tmp_path):
    folder = virtual(tmp_path, pixels())
    keywords = {"tz": "UTC", "instrument": "generic", "chunks": {"time": 7}}
    kept, refusing = (
        xi.open_measurement(folder / "run.h5", on_error=policy, **keywords) for policy in ("nan", "raise")
    )
    piece = folder / "piece_18.h5"
    hiding = contextlib.nullcontext()
    if lost == "removed":
        piece.unlink()
    elif lost == "cut":
        piece.write_bytes(piece.read_bytes()[:-700])
    else:
        hiding = hidden(client, [piece])
    with hiding, computing(how, client):
        with pytest.raises(FrameError, match=r"piece_18\.h5"):
            xi.measure(refusing, ROIS).compute()
        with heard() as texts:
            series = xi.measure(kept, ROIS).compute()
    nan = np.isnan(series.intensity.values[:, 0])
    assert nan[18:21].all()
    np.testing.assert_array_equal(nan, (series.quality.values[:, 0] & Quality.FRAME_FAULT) > 0)
    assert once(texts, UNREAD.format(nan.sum()))
    assert "run.h5" in texts[0]
    np.testing.assert_array_equal(series.intensity.values[~nan, 0], pixels()[~nan, 8:22, 10:30].sum((1, 2)))
