"""Every file appears whole or not at all, on the disc before it has its name, and leaves nothing beside it."""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.errors import ResultExists, SchemaError
from xinsitu.io import disk
from xinsitu.io.disk import new_file, refuse_existing, write_whole
from xinsitu.io.documents import write_rois
from xinsitu.io.frame_files import write_frames
from xinsitu.io.tables import write_csv
from xinsitu.recipe.recipe_file import write_recipe

ROIS = [xi.Roi("a", y=(1, 5), x=(2, 7))]


def series() -> xr.Dataset:
    time_ = xi.schema.time_from_microseconds(np.arange(40) * 1_000_000)
    values = np.random.default_rng(3).normal(5, 1, (40, 1))
    return xr.Dataset({"intensity": (("time", "roi"), values, {"units": "counts"})}, {"time": time_, "roi": ["a"]})


def frames() -> xr.Dataset:
    time_ = xi.schema.time_from_microseconds(np.arange(6) * 1_000_000)
    return xr.Dataset({"image": (("time", "y", "x"), np.ones((6, 50, 60), "f4"))}, {"time": time_}).chunk(time=2)


WRITERS = {
    "nc": lambda path, **how: xi.write_results(series(), path, **how),
    "stack.nc": lambda path, **how: write_frames(frames(), path, **how),
    "small.nc": lambda path, **how: write_frames(frames(), path, compression="deflate", **how),
    "csv": lambda path, **how: write_csv(series(), path, **how),
    "json": lambda path, **how: write_rois(ROIS, path, **how),
    "toml": lambda path, **how: write_recipe({"sample": "s", "rois": "r.json"}, path, **how),
    "png": lambda path, **how: xi.save_plot(series(), path, **how),
    "pdf": lambda path, **how: xi.save_plot(series(), path, **how),
    "svg": lambda path, **how: xi.save_plot(series(), path, **how),
    "html": lambda path, **how: xi.save_plot(series(), path, **how),
}
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


@pytest.mark.parametrize("ending", WRITERS)
def test_every_writer_refuses_what_is_there_unless_asked(tmp_path, ending):
    path = tmp_path / f"precious.{ending}"
    path.write_text("precious")
    with pytest.raises(ResultExists, match="already exists"):
        WRITERS[ending](path)
    assert path.read_text() == "precious"
    WRITERS[ending](path, overwrite=True)
    assert path.read_bytes() != b"precious"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.thorough("122-toml")
@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disc_that_fails_at_the_last_moment_is_named_and_leaves_the_old_file(tmp_path, monkeypatch, ending, code):
    path = tmp_path / f"kept.{ending}"
    path.write_text("kept")

    def fsync(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(disk.os, "fsync", fsync)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        WRITERS[ending](path, overwrite=True)
    assert str(path) in str(caught.value)
    assert path.read_text() == "kept"
    assert os.listdir(tmp_path) == [path.name]


def test_content_is_on_the_disc_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    done = []
    path = tmp_path / "a.txt"
    fsync = os.fsync

    def watched(descriptor):
        done.append((os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(disk.os, "fsync", watched)
    for overwrite in (False, True):
        done.clear()
        write_whole(path, b"x" * 5000, overwrite=overwrite)
        assert done[0][0].endswith(".part")
        assert done[0][1] is overwrite
        assert done[-1] == (tmp_path.name, True)
        assert len(done) == 2


def test_what_the_disc_gives_back_otherwise_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("old")
    write = Path.write_bytes

    def flipped(self, content):
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 4
        return write(self, bytes(changed))

    monkeypatch.setattr(Path, "write_bytes", flipped)
    with pytest.raises(OSError, match=r"a\.csv: what was written could not be read back"):
        write_csv(series(), tmp_path / "a.csv", overwrite=True)
    monkeypatch.setattr(Path, "write_bytes", lambda self, content: write(self, content[:-1]))
    with pytest.raises(OSError, match=r"b\.nc: what was written could not be read back"):
        xi.write_results(series(), tmp_path / "b.nc")
    assert os.listdir(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"


KILLED = """
import os, sys, time
from xinsitu.io.disk import new_file
with new_file(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.thorough
def test_what_a_killed_process_left_is_cleared_by_the_next_and_what_a_living_one_writes_is_not(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / name)], stdout=subprocess.PIPE, text=True)
        for name in ("dead.nc", "alive.nc")
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "begun\n"
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait()
        others = {".somebody.part", ".a.nc.0011aabb.part", "a.part", f".x.{'0' * 8}-1-{'0' * 8}.part"}
        for name in others:
            (tmp_path / name).write_text("not ours")
        assert len(list(tmp_path.glob(".dead.nc.*.part"))) == 1
        write_whole(tmp_path / "third.txt", b"3")
        assert list(tmp_path.glob(".dead.nc.*.part")) == []
        assert len(list(tmp_path.glob(".alive.nc.*.part"))) == 1
        assert others <= set(os.listdir(tmp_path))
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()


def test_the_longest_names_are_written(tmp_path):
    for name in ("n" * 252 + ".nc", "ü" * 126 + ".nc"):
        write_whole(tmp_path / name, b"long")
        assert (tmp_path / name).read_bytes() == b"long"


@pytest.mark.thorough
@pytest.mark.parametrize("ending", ["nc", "stack.nc", "small.nc", "csv", "png"])
def test_a_limit_of_file_size_is_an_error_that_names_the_file(tmp_path, ending):
    """In a process of its own: HDF5 was seen to end one by a signal."""
    code = (
        "import resource, sys, pathlib; sys.path.insert(0, '.')\n"
        "from tests.io.test_disk import WRITERS\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))\n"
        "try: WRITERS[sys.argv[1]](pathlib.Path(sys.argv[2]))\n"
        "except OSError as fault: print(fault.errno, fault)\n"
    )
    path = tmp_path / f"big.{ending}"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, ending, str(path)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-500:]
    assert run.stdout.startswith(f"{errno.EFBIG} "), run.stdout
    assert str(path) in run.stdout
    assert os.listdir(tmp_path) == []


@pytest.fixture
def small_disc(tmp_path):
    """A disc of half a megabyte."""
    place = tmp_path / "disc"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.thorough("csv-8192")
@pytest.mark.parametrize("before", [0, 8192])
@pytest.mark.parametrize("ending", WRITERS)
def test_a_full_disc_is_one_sentence_and_leaves_nothing(small_disc, ending, before):
    if before and ending in ("json", "toml", "csv", "nc"):
        pytest.skip("shorter than what is left")
    (small_disc / "ballast").write_bytes(os.urandom(400 * 1024))
    path = small_disc / f"new.{ending}"
    room = os.statvfs(small_disc)
    (small_disc / "rest").write_bytes(os.urandom(room.f_bavail * room.f_frsize - before))
    with pytest.raises(OSError, match=r"new\.") as caught:
        WRITERS[ending](path)
    assert caught.value.errno == errno.ENOSPC
    assert not [name for name in os.listdir(small_disc) if name.startswith((".", "new"))]
    (small_disc / "ballast").unlink()
    WRITERS[ending](path) if ending != "html" else None
    assert path.exists() or ending == "html"  # the page alone is larger than the disc


@pytest.mark.parametrize("ending", [*WRITERS, "zarr"])
def test_a_disc_that_is_read_only_is_told_by_the_name_of_the_file(small_disc, ending):
    """What cannot be made cannot be removed either, and that hid the name."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disc)], check=True)
    path = small_disc / f"new.{ending}"
    with pytest.raises(OSError, match="Read-only file system") as caught:
        WRITERS.get(ending, WRITERS["stack.nc"])(path)
    assert caught.value.filename == str(path)


def test_a_simulation_names_the_file_that_a_disc_does_not_take(small_disc):
    with pytest.raises(OSError, match="No space left") as caught:
        xi.simulate_sample(small_disc / "s", measurements=1, frames=20)
    assert str(caught.value.filename).startswith(str(small_disc / "s"))


def test_new_file_lets_other_errors_be_what_they_are(tmp_path):
    def fails(fault):
        with new_file(tmp_path / "a.nc") as temporary:
            temporary.write_text("half")
            raise fault

    elsewhere = FileNotFoundError(errno.ENOENT, "No such file or directory", "/frames/x_0001.tif")
    for fault in (ValueError("no"), OSError("frame 7 is gone"), elsewhere):
        with pytest.raises(type(fault)) as caught:
            fails(fault)
        assert caught.value is fault
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_figures_survive_being_killed(tmp_path):
    """A picture is there whole or not at all, at whatever moment its writer dies."""
    code = (
        "import sys, pathlib; sys.path.insert(0, '.')\n"
        "from tests.io.test_disk import WRITERS\n"
        "print('begun', flush=True)\n"
        "while True: WRITERS['png'](pathlib.Path(sys.argv[1]), overwrite=True)\n"
    )
    path = tmp_path / "a.png"
    rng = np.random.default_rng(0)
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, str(path)], stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[2],
        ) as writer:  # fmt: skip
            writer.stdout.readline()
            time.sleep(float(rng.uniform(0.3, 2)))
            writer.kill()
        if path.exists():
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    write_whole(tmp_path / "b", b"")
    assert {name for name in os.listdir(tmp_path) if name.endswith(".part")} == set()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("ending", [".tif", ".TIFF", ".cbf", ".edf", ".mccd"])
def test_what_a_detector_wrote_is_never_replaced_whatever_is_allowed(tmp_path, ending):
    path = tmp_path / f"alone{ending}"
    write_whole(path, b"a new one may be written")
    with pytest.raises(ResultExists, match=r"alone.*is a detector frame or a picture and is never replaced"):
        write_whole(path, b"another", overwrite=True)
    assert path.read_bytes() == b"a new one may be written"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def store(path, text="{}"):
    """A Zarr store without anything in it but what says that it is ours."""
    path.mkdir()
    about = {"zarr_format": 3, "node_type": "group", "attributes": {"xinsitu_version": text}}
    (path / "zarr.json").write_text(json.dumps(about))
    return path


def test_a_store_that_was_put_aside_when_its_writer_was_killed_is_there_again(tmp_path):
    dead, path = f"{disk.here()}-{2**22 + 1}-0123abcd", tmp_path / "a.zarr"
    store(tmp_path / f".a.zarr.{dead}.old", "first")
    store(tmp_path / f".a.zarr.{disk.here()}-{os.getpid()}-0123abcd.old", "at work")
    with pytest.raises(ResultExists, match="already exists"):
        refuse_existing(path)
    assert "first" in (path / "zarr.json").read_text()
    store(tmp_path / f".a.zarr.{dead}.old", "older")
    refuse_existing(path, overwrite=True)
    assert "first" in (path / "zarr.json").read_text()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        f".a.zarr.{disk.here()}-{os.getpid()}-0123abcd.old", "a.zarr"
    ]  # fmt: skip


def foreign(path):
    """A Zarr store of another program."""
    path.mkdir()
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}))
    return path


def test_a_store_of_another_program_is_never_replaced(tmp_path):
    path = foreign(tmp_path / "a.zarr")
    with pytest.raises(ResultExists, match="already exists"):
        refuse_existing(path)
    with pytest.raises(ResultExists, match="is a Zarr store of another program and is not replaced"):
        refuse_existing(path, overwrite=True)
    assert refuse_existing(store(tmp_path / "b.zarr"), overwrite=True) == tmp_path / "b.zarr"


def test_a_store_of_another_program_that_has_come_meanwhile_is_not_replaced(tmp_path):
    part = store(tmp_path / ".a.zarr.part")
    path = foreign(tmp_path / "a.zarr")
    before = (path / "zarr.json").read_bytes()
    with pytest.raises(ResultExists, match="is a Zarr store of another program and is not replaced"):
        disk.claimed(part, path, overwrite=True)
    assert (path / "zarr.json").read_bytes() == before
    assert part.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing lists open files here")
def test_writing_leaves_no_file_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(30):
        write_whole(tmp_path / f"{number}.txt", b"whole")
    assert len(os.listdir("/proc/self/fd")) <= before + 5


def test_parts_of_the_dead_are_cleared_and_no_others(tmp_path):
    dead, alive = 2**22 + 1, os.getpid()
    stale = f".a.nc.{disk.here()}-{dead}-0123abcd.part"
    kept = {
        f".a.nc.{disk.here()}-{alive}-0123abcd.part", f".a.nc.00000000-{dead}-0123abcd.part",
        f"a.nc.{disk.here()}-{dead}-0123abcd.part", f".a.nc.{disk.here()}-{dead}-0123abcd.old",
    }  # fmt: skip
    for name in (stale, *kept):
        (tmp_path / name).write_text("half")
    write_whole(tmp_path / "b.txt", b"whole")
    assert set(os.listdir(tmp_path)) == {*kept, "b.txt"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="nothing tells the state of a process here")
def test_who_has_ended_is_not_alive_though_nobody_has_waited_for_it():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert disk.is_alive(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # looks, and leaves it to be waited for
    os.kill(process.pid, 0)  # its number is still there
    assert not disk.is_alive(process.pid)
    process.communicate()


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError])
def test_a_store_that_cannot_be_replaced_keeps_its_name(tmp_path, monkeypatch, fault):
    path, part = store(tmp_path / "a.zarr", "first"), store(tmp_path / "part", "second")

    def stop(*_):
        raise fault

    monkeypatch.setattr(os, "rename", stop)
    with pytest.raises(fault) as raised:
        disk.claimed(part, path, overwrite=True)
    assert not isinstance(raised.value, ResultExists)
    assert "first" in (path / "zarr.json").read_text()
    monkeypatch.undo()
    disk.claimed(part, path, overwrite=True)
    assert "second" in (path / "zarr.json").read_text()
    assert [one.name for one in tmp_path.iterdir()] == ["a.zarr"]


def test_a_process_began_when_it_did():
    """What another one left, that had its number before, is told by it."""
    psutil = pytest.importorskip("psutil")
    for one in (psutil.Process(), psutil.Process().parents()[0]):
        assert disk.began(one.pid) == pytest.approx(one.create_time(), abs=2)
    assert disk.began(2**22 + 1) == 0


@pytest.mark.parametrize("enabled", [True, False])
def test_the_search_for_cycles_is_put_off_for_a_while_and_left_as_it_was(enabled):
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        with disk.uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
    finally:
        gc.enable() if before else gc.disable()


def test_a_name_promises_what_is_written():
    for name in ("a.nc", "a.NC4", "a.h5", "a.hdf5", "a.nxs", "a"):
        disk.refuse_other_format(name)
        disk.refuse_other_format(name, stores=True)
    disk.refuse_other_format("a.zarr", stores=True)
    with pytest.raises(SchemaError, match=r"not called \.zarr; name it \.nc$"):
        disk.refuse_other_format("a.zarr")
    with pytest.raises(SchemaError, match=r"not called \.CSV; name it \.nc; a table is what write_csv writes"):
        disk.refuse_other_format("a.CSV", stores=True)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file that opens and cannot be read")
def test_what_is_there_and_cannot_be_read_is_named():
    """It was ``Input/output error``, and nobody knew of what."""
    with pytest.raises(OSError, match="/proc/self/mem"):
        refuse_existing("/proc/self/mem", overwrite=True)


def test_a_store_that_came_meanwhile_stays_where_nobody_asked_to_replace_it(tmp_path):
    for name in ("part", "store"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "zarr.json").write_text(name)
    with pytest.raises(ResultExists, match=r"store: was written by somebody else meanwhile and is not replaced"):
        disk.claimed(tmp_path / "part", tmp_path / "store", overwrite=False)
    assert [(tmp_path / name / "zarr.json").read_text() for name in ("part", "store")] == ["part", "store"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["part", "store"]


def test_a_folder_that_is_not_there_is_told_before_the_work(tmp_path):
    for path in (tmp_path / "no" / "a.nc", tmp_path / "file" / "a.nc"):
        (tmp_path / "file").touch()
        with pytest.raises(
            FileNotFoundError, match=r"(no|file): there is no such folder to write a\.nc in; make it first"
        ):
            refuse_existing(path, overwrite=True)
