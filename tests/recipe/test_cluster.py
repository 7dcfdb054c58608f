"""A cluster of real processes tells the truth: other versions, no mount, no workers, killed ones."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import dask
import distributed  # its configuration, before it is changed for a while
import numpy as np
import pytest
import tifffile
import xarray as xr
from distributed.core import ConnectionPool

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.recipe import Measure
from xinsitu.recipe import cluster as module
from xinsitu.recipe.cluster import Cluster, computing
from xinsitu.recipe.worker_questions import answer, objection, probes, versions

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ROIS = [xi.Roi("spot", (8, 22), (10, 30))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mounted") / "0912" / "time1"
    path.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(40):
        stamp = f"2015:02:03 10:11:{number:02d}"
        tifffile.imwrite(path / f"run_{number:04d}.tif", rng.poisson(9, (24, 33)).astype("int32"), datetime=stamp)
    xi.write_rois(xi.RoiSet(ROIS), path.parent / "rois.json")
    return path


def words(folder: Path, output: Path, *more: str) -> list[str]:
    rois = str(folder.parent / "rois.json")
    return ["measure", str(folder), "--rois", rois, "--tz", "UTC", "-o", str(output), *more]


@pytest.fixture(scope="module")
def expected(folder, tmp_path_factory) -> xr.Dataset:
    path = tmp_path_factory.mktemp("alone") / "alone.nc"
    assert main(words(folder, path)) == 0
    return xi.read_results(path)


@contextlib.contextmanager
def processes(workers: int):
    """A scheduler and workers that are processes; more may join."""
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "60s"}),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1",
            dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
        ) as one,
    ):  # fmt: skip
        yield one


OTHER = """
import sys
from xinsitu.recipe import worker_questions
real = worker_questions.versions
told = real() | {"xinsitu": "9.9.9 (0badc0de)"}
worker_questions.versions = lambda: told
from distributed.cli.dask_worker import main
main(sys.argv[1:], standalone_mode=False)
"""

NONE = """
import sys
sys.modules["xinsitu"] = None
from distributed.cli.dask_worker import main
main(sys.argv[1:], standalone_mode=False)
"""


@contextlib.contextmanager
def joining(address: str, program: str | None = None):
    """Another worker that joins, perhaps of another version."""
    start = ["-c", program] if program else ["-m", "distributed.cli.dask_worker"]
    options = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--host", "127.0.0.1"]
    with subprocess.Popen(
        [sys.executable, *start, address, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_worker_is_judged_by_what_it_says(folder):
    own = versions()["xinsitu"]
    seen = probes([folder])
    assert objection("w", answer(seen), own) == ""
    assert len(seen) == 3
    gone = {**seen, str(folder / "nothing.tif"): 5}
    assert "w does not see" in objection("w", answer(gone), own)
    assert "nothing.tif" in objection("w", answer(gone), own)
    shorter = {path: size + (size > 0) for path, size in seen.items()}
    assert "does not see" in objection("w", answer(shorter), own)
    assert "another xinsitu, or none" in objection("w", ModuleNotFoundError("no xinsitu"), own)
    assert "other numbers" in objection("w", ({"xinsitu": "0.0.1 (12345678)"}, ""), own)


def test_without_a_cluster_nothing_is_asked_or_recorded(monkeypatch):
    monkeypatch.delenv(module.ENVIRONMENT, raising=False)
    with computing([]) as where:
        assert where == Cluster()
        series = xr.Dataset(attrs={"a": 1})
        assert where.recorded(series) is series


def test_own_workers_keep_the_memory_that_they_use_again(monkeypatch):
    """Where they gave it back at once, each array was made of new pages, and a worker took a third more time."""
    seen: dict[str, object] = {}

    def started(**local: object) -> SimpleNamespace:
        seen.update(dask.config.get(module.SPAWNED))
        return SimpleNamespace(dashboard_link="")

    monkeypatch.setattr("distributed.LocalCluster", started)
    module._processes(2, lambda said: None)
    assert "OMP_NUM_THREADS" in seen
    assert module.TRIM not in seen
    assert module.TRIM in dask.config.get(module.SPAWNED)  # of others as it was


def test_processes_of_this_machine_give_the_same_bits(folder, expected, tmp_path, capsys):
    assert main(words(folder, tmp_path / "a.nc", "--workers", "2")) == 0
    err = capsys.readouterr().err
    assert "2 workers; what they do: http://127.0.0.1:" in err
    found = xi.read_results(tmp_path / "a.nc")
    told = json.loads(found.attrs["workers"])
    assert told == {"number": 2, "versions": [versions()]}
    xr.testing.assert_equal(found, expected)


def test_what_joins_is_asked_and_what_dies_is_made_up_for(folder, expected, tmp_path, capsys, monkeypatch):
    """One scheduler for all of it: they take seconds to start."""
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    slowly, slower, blind = sent_whole()
    with processes(0) as cluster:
        monkeypatch.setenv(module.ENVIRONMENT, cluster.scheduler_address)
        # no workers: said, and waited for
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(main(words(folder, tmp_path / "none.nc"))))
        thread.start()
        said = ""
        for _ in range(200):
            said += capsys.readouterr().err
            if "has no workers after 1 s; waiting for one" in said:
                break
            time.sleep(0.1)
        else:
            pytest.fail(said)
        assert not codes
        cluster.scale(2)
        thread.join(60)
        assert codes == [0]
        xr.testing.assert_equal(xi.read_results(tmp_path / "none.nc"), expected)

        # a worker that joins meanwhile, of another version or without xinsitu: named, nothing computed, left alone
        scan = xi.open_measurement(folder, tz="UTC", chunks={"time": 1})
        long = scan.image.copy(data=scan.image.data.map_blocks(slower, dtype="int32")).sum(("y", "x"))
        for program, why in ((OTHER, "has xinsitu 9.9.9 (0badc0de) and this program"), (NONE, "or none (")):
            with computing([folder], address=cluster.scheduler_address) as where:
                assert where.client is not None
                with joining(cluster.scheduler_address, program) as other:
                    for lazy in (long, scan.image[0]):
                        with pytest.raises(xi.XinsituError, match=re.escape(why)) as caught:
                            lazy.compute()
                        assert str(caught.value).endswith("it joined meanwhile, so nothing is computed")
                    assert other.poll() is None
                    assert len(where.client.scheduler_info()["workers"]) == 3
            for _ in range(100):  # it is gone, and forgotten
                if len(cluster.scheduler_info["workers"]) == 2:
                    break
                time.sleep(0.1)

        # one that is killed in the midst: the same bits
        with computing([folder], address=cluster.scheduler_address) as where:
            assert where.client is not None
            scan = xi.open_measurement(folder, tz="UTC", chunks={"time": 1})
            pids = where.client.run(os.getpid)
            slow = scan.assign(image=scan.image.copy(data=scan.image.data.map_blocks(slowly, dtype="int32")))
            timer = threading.Timer(0.5, os.kill, (next(iter(pids.values())), signal.SIGKILL))
            timer.start()
            total = slow.image.sum(("y", "x")).compute()
            timer.join()
            np.testing.assert_array_equal(total, scan.image.sum(("y", "x")).values)

        # frames that workers do not see: one sentence, no result, whatever is done with bad frames
        with computing([], address=cluster.scheduler_address) as where:
            assert where.client is not None
            where.client.run(blind, str(folder))
        for policy in ("raise", "nan"):
            assert main(words(folder, tmp_path / "blind.nc", "--on-error", policy)) == 1
            err = capsys.readouterr().err
            assert "does not see" in err
            assert str(folder) in err
            assert "worker tcp://127.0.0.1:" in err
            assert not (tmp_path / "blind.nc").exists()


def sent_whole() -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray], Callable[[str], None]]:
    """Functions that travel as they are: workers do not find the modules of tests."""

    def slowly(block: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return block

    def slower(block: np.ndarray) -> np.ndarray:
        time.sleep(2)
        return block

    def blind(path: str) -> None:
        real = os.stat

        def stat(one, *args, **kwargs):
            if str(one).startswith(path):
                raise FileNotFoundError(2, "No such file or directory", str(one))
            return real(one, *args, **kwargs)

        os.stat = stat

    return slowly, slower, blind


def test_a_worker_that_is_there_with_another_version_is_refused_by_name(folder, tmp_path, capsys):
    with processes(0) as cluster, joining(cluster.scheduler_address, OTHER):
        assert main(words(folder, tmp_path / "a.nc", "--scheduler", cluster.scheduler_address)) == 1
    err = capsys.readouterr().err
    assert "has xinsitu 9.9.9 (0badc0de) and this program" in err
    assert len([line for line in err.splitlines() if "error" in line]) == 1
    assert not (tmp_path / "a.nc").exists()


@contextlib.contextmanager
def scheduler(file: Path, port: str = "0"):
    """A scheduler that is a process of its own, and its address."""
    options = ["--host", "127.0.0.1", "--port", port, "--no-dashboard", "--scheduler-file", str(file)]
    once = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *options],
        env=once, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            while not file.exists() or not file.read_text().endswith("}"):  # it is there before it is written
                time.sleep(0.05)
            yield process, json.loads(file.read_text())["address"]
        finally:
            process.kill()


def _kill_soon(process: subprocess.Popen) -> str:
    threading.Timer(0.5, process.kill).start()
    return "sleeping"


def test_workers_and_schedulers_that_are_lost_are_one_sentence(folder, tmp_path):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        scheduler(tmp_path / "scheduler.json") as (process, address),
    ):
        with (
            joining(address),
            pytest.raises(xi.XinsituError, match="1 worker died over the same frames"),
            computing([], address=address) as where,
        ):
            where.client.submit(os._exit, 1).result()
        with (
            joining(address),
            pytest.raises(xi.XinsituError, match="the scheduler was lost meanwhile"),
            computing([folder], address=address) as where,
        ):
            where.client.submit(time.sleep, 30, key=_kill_soon(process)).result()


def test_a_connection_that_times_out_while_the_client_closes_hides_no_sentence(tmp_path, monkeypatch):
    """distributed's pool raises where it cancels a connection whose time is just over (seen on a busy machine)."""
    close, fallen = ConnectionPool.close, []

    async def stumble(pool: ConnectionPool) -> None:
        if not fallen:
            fallen.append(pool)
            raise RuntimeError("Cannot change state of expiring Timeout")
        await close(pool)

    with scheduler(tmp_path / "scheduler.json") as (_, address), joining(address):
        monkeypatch.setattr(ConnectionPool, "close", stumble)
        with pytest.raises(xi.XinsituError, match="what is to be said"), computing([], address=address) as where:
            raise xi.XinsituError("what is to be said")
        assert fallen
        assert where.client.status == "closed"
    with pytest.raises(ValueError, match="No clients found"):
        distributed.default_client()


@pytest.mark.timeout(180)
def test_a_scheduler_that_is_started_again_is_one_sentence_and_then_serves(folder, expected, tmp_path, capfd):
    with scheduler(tmp_path / "first.json") as (process, address), joining(address):
        again = []

        def start_again() -> None:
            process.kill()
            process.wait()
            again.append(stack.enter_context(scheduler(tmp_path / "second.json", address.rpartition(":")[2])))

        with contextlib.ExitStack() as stack:
            timer = threading.Timer(1, start_again)
            with (
                pytest.raises(xi.XinsituError, match="the scheduler was lost meanwhile"),
                computing([folder], address=address) as where,
            ):
                where.client.submit(time.sleep, 100, key=(timer.start(), "sleeping")[1]).result()
            timer.join()
            assert again[0][1] == address
            assert "Traceback" not in capfd.readouterr().err
            with joining(address):
                assert main(words(folder, tmp_path / "a.nc", "--scheduler", address)) == 0
    xr.testing.assert_equal(xi.read_results(tmp_path / "a.nc"), expected)


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:the image says counts, but somebody has calculated with it")
def test_a_store_is_whole_though_a_worker_dies_and_goes_on_after_a_lost_scheduler(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("xinsitu.io.zarr_frames.in_chunks", lambda image: image.chunk(time=2))
    slowly, *_ = sent_whole()
    scan = xi.open_measurement(folder, tz="UTC", chunks={"time": 1})
    slow = scan.assign(image=scan.image.copy(data=scan.image.data.map_blocks(slowly, dtype="int32")))
    chunks = {one.name: one for one in [*xi.write_frames(scan, tmp_path / "alone.zarr").glob("image/c/*")]}
    assert len(chunks) > 10

    def same(path: Path) -> bool:
        return all((path / "image" / "c" / n / "0" / "0").read_bytes() == (one / "0" / "0").read_bytes()
                   for n, one in chunks.items())  # fmt: skip

    with processes(2) as cluster, computing([folder], address=cluster.scheduler_address) as where:
        pids = where.client.run(os.getpid)
        threading.Timer(0.4, os.kill, (next(iter(pids.values())), signal.SIGKILL)).start()
        assert same(xi.write_frames(slow, tmp_path / "killed.zarr"))
        assert next(iter(pids.values())) not in where.client.run(os.getpid).values()
    with (
        scheduler(tmp_path / "scheduler.json") as (process, address),
        joining(address),
        killed_after_a_chunk(tmp_path, process),
        pytest.raises(xi.XinsituError, match="the scheduler was lost meanwhile"),
        computing([folder], address=address),
    ):
        xi.write_frames(slow, tmp_path / "lost.zarr")
    assert not (tmp_path / "lost.zarr").exists()
    (part,) = tmp_path.glob(".lost.zarr.*")
    kept = {one: one.stat().st_mtime_ns for one in part.glob("store/image/c/*/0/0")}
    assert kept
    written = xi.write_frames(slow, tmp_path / "lost.zarr")
    assert same(written)
    assert all((written / one.relative_to(part / "store")).stat().st_mtime_ns == when for one, when in kept.items())


@contextlib.contextmanager
def killed_after_a_chunk(folder: Path, process: subprocess.Popen):
    def wait() -> None:
        while not [*folder.glob(".lost.zarr.*/store/image/c/*/0/0")]:
            time.sleep(0.01)
        process.kill()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield


def test_no_scheduler_is_one_sentence(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "CONNECTING", "1s")
    assert main(words(folder, tmp_path / "a.nc", "--scheduler", "tcp://127.0.0.1:9")) == 1
    assert "tcp://127.0.0.1:9: no dask scheduler answers there" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(words(folder, tmp_path / "a.nc", "--scheduler", "tcp://127.0.0.1:9", "--workers", "2"))


def test_paths_travel_and_pixels_do_not(capsys):
    """By a relay that counts every byte: the rows of statistics of a frame, and the flat field once."""
    spec = importlib.util.spec_from_file_location("cluster_benchmark", ROOT / "benchmarks" / "cluster.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.main(["--frames", "120", "--chunk", "10"])  # so few frames of a small detector miss its bar
    said = capsys.readouterr().out
    assert "the same bits" in said
    assert float(re.search(r"([\d.]+) kB a frame", said)[1]) < 40


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (distributed.client.FutureCancelledError("key", "lost"), "tcp://far: the scheduler was lost meanwhile"),
        (distributed.client.ClosedClientError("closed"), "tcp://far: the scheduler was lost meanwhile"),
        (distributed.comm.CommClosedError(), "tcp://far: the scheduler was lost meanwhile"),
        (
            distributed.KilledWorker("key", SimpleNamespace(address="tcp://worker"), 3),
            "tcp://far: 4 workers died over the same frames",
        ),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_loss_is_a_sentence_where_the_next_measurement_is_tried(fault, says):
    class Lost:
        def get(self, graph, keys):
            raise fault

    with pytest.raises(xi.XinsituError, match=says):
        module._watched([], "tcp://far")(Lost(), {}, [])
    with pytest.raises(xi.XinsituError, match="tcp://far: worker 7 is another one; it joined meanwhile"):
        module._watched(["worker 7 is another one"], "tcp://far")(Lost(), {}, [])


SAMPLE = """format = "xinsitu-recipe"
version = 1
sample = "0912"
measurements = ["time1", "time2", "time3"]
rois = "0912/rois.json"
[reading]
tz = "UTC"
[output]
result = "{name}.nc"
"""


@pytest.mark.parametrize("command", ["measure", "run"])
def test_what_is_lost_is_said_once_and_what_was_done_stays(folder, tmp_path, monkeypatch, capsys, command):
    sample, produce = tmp_path / "0912", Measure.produce
    shutil.copytree(folder.parent, sample)
    for number in (2, 3):
        shutil.copytree(folder, sample / f"time{number}")
    (tmp_path / "a.toml").write_text(SAMPLE.format(name="a"))
    (tmp_path / "b.toml").write_text(SAMPLE.format(name="b"))

    def lost_on_the_way(step):
        if step.measurement.name == "time1":
            return produce(step)
        with module._losses_in_words("tcp://far"):
            raise distributed.client.ClosedClientError("closed")

    monkeypatch.setattr(Measure, "produce", lost_on_the_way)
    monkeypatch.chdir(tmp_path)
    given = {"measure": ["0912", "--rois", "0912/rois.json", "--tz", "UTC", "-o", "out/"], "run": ["a.toml", "b.toml"]}
    assert main([command, *given[command]]) == 1
    said = capsys.readouterr()
    assert said.err.count("the scheduler was lost") == 1, said.err
    assert "failed" not in said.err
    done = [*(tmp_path / "out").glob("*.nc"), *tmp_path.glob(".*.parts/*.nc")]
    assert [xi.read_results(path).sizes["time"] for path in done] == [40]
    assert not [*tmp_path.glob("*.nc")]
