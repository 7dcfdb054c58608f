"""Frames in a Zarr store: the same as in HDF5, whole or not at all, gone on with, and nothing lost in silence."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap

import dask
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import write_frames as write_camserver
from xinsitu.cli import main
from xinsitu.errors import FrameChanged, FrameError, LayoutError, ResultExists, SchemaError, TimeError
from xinsitu.io import zarr_frames
from xinsitu.io.formats.zarr_stack import COMPLETE
from xinsitu.schema import FrameStatus

zarr = pytest.importorskip("zarr")
COUNT, SHAPE = 23, (30, 41)


@pytest.fixture
def folder(tmp_path):
    write_camserver(tmp_path / "s" / "time1", COUNT, shape=SHAPE)
    return tmp_path


@pytest.fixture
def scan(folder, monkeypatch):
    """23 frames in chunks of 5, the last one of 3."""
    monkeypatch.setattr(zarr_frames, "in_chunks", lambda image: image.chunk(time=5))
    return xi.open_measurement(folder / "s" / "time1", tz="Asia/Tokyo", chunks={"time": 7})


def chunks(path):
    return sorted((path / "image" / "c").iterdir(), key=lambda one: int(one.name))


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.thorough("False-bitshuffle-lz4")
@pytest.mark.parametrize("compression", [None, "deflate", "bitshuffle-lz4"])
@pytest.mark.parametrize("corrected", [False, True])
def test_a_store_opens_as_the_hdf5_file_does(scan, folder, compression, corrected):
    data = xi.correct(scan, xi.Correction(median=3, background=xi.Background((0, 6), (0, 9)))) if corrected else scan
    store, file = folder / "out" / "f.zarr", folder / "out" / "f.nc"
    store.parent.mkdir()
    for path in (store, file):
        assert xi.write_frames(data, path, compression=compression, recipe={"command": "test"}) == path
    assert entries(store.parent) == ["f.nc", "f.zarr"]
    one, two = xi.open_measurement(store), xi.open_measurement(file)
    different = {name for name in {*one.attrs, *two.attrs} if str(one.attrs.get(name)) != str(two.attrs.get(name))}
    assert different == {"source_token"}
    xr.testing.assert_identical(one.drop_attrs(deep=False).compute(), two.drop_attrs(deep=False).compute())
    assert {name: one[name].dtype for name in one.variables} == {name: two[name].dtype for name in two.variables}
    np.testing.assert_array_equal(zarr.open_array(store / "image", mode="r")[:], data.image.values)
    rois = [xi.Roi("a", (10, 28), (10, 35))]
    xr.testing.assert_equal(xi.measure(one, rois).compute(), xi.measure(two, rois).compute())


def test_it_is_format_3_in_chunks_of_whole_frames_and_other_readers_take_it(scan, folder):
    path = xi.write_frames(scan, folder / "f.zarr")
    image = zarr.open_group(path, mode="r")["image"]
    assert (image.metadata.zarr_format, image.chunks) == (3, (5, *SHAPE))
    assert [one.name for one in chunks(path)] == ["0", "1", "2", "3", "4"]
    plain = xr.open_zarr(path, consolidated=False)
    np.testing.assert_array_equal(plain.image.values, scan.image.values)
    assert plain.time.values[3] == scan.time.values[3]


@pytest.mark.parametrize("key", [(3, 4, 5), (slice(2, 17), slice(3, 9), slice(0, 41, 7)), (slice(None, None, -3),)])
def test_any_selection_is_that_of_the_frames(scan, folder, key):
    opened = xi.open_measurement(xi.write_frames(scan, folder / "f.zarr"), chunks=None)
    np.testing.assert_array_equal(opened.image[key].values, scan.image.values[key])


@pytest.mark.filterwarnings("ignore:the image says counts, but somebody has calculated with it")
def test_chunks_of_zeros_are_stored_and_a_lost_one_is_no_zeros(scan, folder):
    path = xi.write_frames(scan.assign(image=scan.image.where(False, 0)), folder / "f.zarr")
    assert len(chunks(path)) == 5
    shutil.rmtree(path / "image" / "c" / "2")
    strict, lenient = (xi.open_measurement(path, on_error=how) for how in ("raise", "nan"))
    assert strict.image[:10].values.max() == 0
    with pytest.raises(FrameError, match="is not there any more"):
        strict.image[9:11].compute()
    with pytest.warns(xi.XinsituWarning, match="5 of 23 frames are NaN because they cannot be read"):
        gone = np.flatnonzero(np.isnan(lenient.image.values).all(axis=(1, 2)))
    assert gone.tolist() == [10, 11, 12, 13, 14]


def test_a_chunk_that_goes_after_opening_is_no_zeros_of_a_store_that_leaves_zeros_out(scan, folder):
    """As other programs write them: what was there is known, what was not is zero."""
    path = xi.write_frames(scan, folder / "f.zarr")
    about = json.loads((path / "zarr.json").read_text())
    del about["attributes"][COMPLETE]
    (path / "zarr.json").write_text(json.dumps(about))
    shutil.rmtree(path / "image" / "c" / "1")
    opened = xi.open_measurement(path)
    assert opened.image[5:10].values.max() == 0
    shutil.rmtree(path / "image" / "c" / "2")
    with pytest.raises(FrameChanged, match="c/2/0/0: the file was removed after the measurement was opened"):
        opened.image[10].compute()


def test_a_damaged_chunk_is_named(scan, folder):
    path = xi.write_frames(scan, folder / "f.zarr", compression="deflate")
    chunk = path / "image" / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:50])
    with pytest.raises(FrameError, match=r"c/1/0/0.*cannot be read"):
        xi.open_measurement(path).image[5].compute()


@pytest.mark.parametrize("compression", ["deflate", "bitshuffle-lz4"])
def test_a_byte_of_the_pixels_that_the_disc_gives_back_otherwise_is_an_error_and_no_other_pixel(
    scan, folder, compression
):
    path = xi.write_frames(scan, folder / "f.zarr", compression=compression)
    chunk = path / "image" / "c" / "1" / "0" / "0"
    sound = chunk.read_bytes()
    for place in np.linspace(0, len(sound) - 1, 40).astype(int):
        chunk.write_bytes(sound[:place] + bytes([sound[place] ^ 8]) + sound[place + 1 :])
        with pytest.raises(FrameError, match=r"c/1/0/0.*cannot be read"):
            xi.open_measurement(path).image[5:7].compute()


@pytest.mark.parametrize("lost", ["time", "frame_status", "monitor", "y"])
def test_a_store_that_has_lost_an_array_is_refused(scan, folder, lost):
    """As a copy that stopped. Without its times it had those of its frame numbers."""
    path = xi.write_frames(scan.assign_coords(monitor=("time", np.zeros(COUNT))), folder / "a.zarr")
    np.testing.assert_array_equal(xi.open_measurement(path).monitor, np.zeros(COUNT))
    shutil.rmtree(path / lost)
    with pytest.raises(LayoutError, match=rf"a\.zarr: the Zarr store has lost {lost}, as in a copy that stopped"):
        xi.open_measurement(path)


def test_numbers_that_a_store_has_lost_are_gaps_and_times_an_error(scan, folder):
    """They were zeros; a counter was as if there had been no beam, and time began in 1970."""
    path = xi.write_frames(scan.assign_coords(monitor=("time", np.arange(1.0, 24.0))), folder / "a.zarr")
    shutil.rmtree(path / "monitor" / "c")
    assert np.isnan(xi.open_measurement(path).monitor).all()
    shutil.rmtree(path / "time" / "c")
    with pytest.raises(TimeError, match=r"a\.zarr: "):
        xi.open_measurement(path)


@pytest.mark.parametrize("lost", ["frame_status", "frame", "shutter", "mask", "period", "y", "stamp"])
def test_what_a_store_has_lost_and_cannot_be_a_gap_is_an_error(folder, scan, lost):
    """Whole numbers were zero, and texts empty. What is zero is stored, and may be left out by others, here xarray."""
    more = {"shutter": ("time", np.zeros(COUNT, "i2")), "mask": (("y", "x"), np.zeros(SHAPE, bool)), "period": 0}
    path = xi.write_frames(scan.assign_coords(more), folder / "a.zarr")
    plain = xr.open_zarr(path, consolidated=False).load()
    for variable in plain.variables.values():
        variable.encoding.clear()
    plain.to_zarr(folder / "b.zarr", zarr_format=3, consolidated=False)
    assert (path / "shutter" / "c").exists()
    assert not (folder / "b.zarr" / "shutter" / "c").exists()
    for one in (path, folder / "b.zarr"):
        xr.testing.assert_equal(xi.open_measurement(one).shutter, scan.assign_coords(more).shutter)
    (path / lost / "c").rename(folder / "gone")
    with pytest.raises(
        LayoutError, match=rf"a\.zarr: the Zarr store has lost chunks of {lost}, as in a copy that stopped"
    ):
        xi.open_measurement(path)


def test_a_byte_of_the_times_that_the_disc_gives_back_otherwise_is_an_error_and_no_other_time(scan, folder):
    """Compressed with Zstandard, which keeps a check sum where it is asked to (RFC 8878, 3.1.1)."""
    path = xi.write_frames(scan, folder / "a.zarr")
    sound = (path / "time" / "c" / "0").read_bytes()
    assert sound[4] & 4  # the flag of a check sum in the descriptor of the frame
    for place in range(len(sound)):
        (path / "time" / "c" / "0").write_bytes(sound[:place] + bytes([sound[place] ^ 8]) + sound[place + 1 :])
        try:
            assert xi.open_measurement(path).time.identical(scan.time), place
        except (FrameError, LayoutError) as fault:
            assert str(fault).startswith(f"{path}: ")  # noqa: PT017 - some bytes mean nothing


def test_a_store_that_was_written_anew_is_another(scan, folder):
    path = xi.write_frames(scan, folder / "f.zarr")
    before = xi.open_measurement(path)
    xi.write_frames(scan.isel(time=slice(0, 10)), path, overwrite=True)
    with pytest.raises(FrameChanged):
        before.image[0].compute()
    after = xi.open_measurement(path)
    assert after.sizes["time"] == 10
    assert after.image.data.name != before.image.data.name
    assert entries(folder) == ["f.zarr", "s"]


def test_a_chunk_that_was_written_anew_is_another(scan, folder):
    """By another program, which leaves the document of the store as it is."""
    path = xi.write_frames(scan, folder / "f.zarr")
    before = xi.open_measurement(path)
    other = before.image[7].values
    zarr.open_array(path / "image", mode="r+")[3] = 7
    with pytest.raises(FrameChanged, match=r"image/c/0/0/0: the file changed"):
        before.image[3].compute()
    after = xi.open_measurement(path)
    assert after.image.data.name != before.image.data.name
    assert after.attrs["source_token"] != before.attrs["source_token"]
    assert (after.image[3].values == 7).all()
    np.testing.assert_array_equal(before.image[7].values, other)


@pytest.mark.thorough
def test_a_part_of_a_frame_that_is_lost_is_no_zeros(scan, folder):
    """A store that xarray wrote anew in chunks of parts of frames still says that all of them are stored."""
    plain = xr.open_zarr(xi.write_frames(scan, folder / "f.zarr"), consolidated=False).load()
    plain.to_zarr(folder / "g.zarr", zarr_format=3, consolidated=False, encoding={"image": {"chunks": (10, 10, 41)}})
    opened = xi.open_measurement(folder / "g.zarr")
    np.testing.assert_array_equal(opened.image.values, scan.image.values)
    shutil.rmtree(folder / "g.zarr" / "image" / "c" / "1" / "1")
    np.testing.assert_array_equal(opened.image[10:20, 25:].values, scan.image[10:20, 25:].values)
    for one in (opened, xi.open_measurement(folder / "g.zarr")):
        with pytest.raises(FrameError, match=r"c/1/1/0"):
            one.image[12].compute()


@pytest.mark.parametrize("inside", ["zarr.json", "image/zarr.json", "time/zarr.json", "time/c/0", "image/c/1/0/0"])
def test_a_pipe_in_a_store_is_refused_at_once(scan, folder, inside):
    path = xi.write_frames(scan, folder / "f.zarr")
    os.remove(path / inside)
    os.mkfifo(path / inside)
    with pytest.raises(LayoutError, match="pipe or a device" if inside != "zarr.json" else "no frames here"):
        xi.open_measurement(path)
    with pytest.raises(ResultExists, match="is not replaced" if inside == "zarr.json" else "already exists"):
        xi.write_frames(scan, path)


@pytest.mark.parametrize("claim", [{"frames": 10**9}, {"chunk": 10**9}])
def test_what_a_store_claims_is_given_no_memory(scan, folder, claim):
    """A thousand million frames in a store of some kilobytes: each of their coordinates would take eight gigabytes."""
    path = xi.write_frames(scan, folder / "f.zarr")
    for document in path.glob("*/zarr.json"):
        said = json.loads(document.read_text())
        if "frames" in claim and said["shape"][:1] == [COUNT]:
            said["shape"][0] = claim["frames"]
        if "chunk" in claim and said["shape"][1:] == list(SHAPE):
            said["chunk_grid"]["configuration"]["chunk_shape"][0] = claim["chunk"]
        document.write_text(json.dumps(said))
    with pytest.raises(FrameError, match=r"the Zarr store is damaged .*more than memory is given to"):
        xi.open_measurement(path)


def test_a_chunk_that_is_not_known_to_be_on_the_disc_is_written_again(scan, folder, monkeypatch):
    """A machine that lost its power may have the name of a chunk and not its content."""
    replace = os.replace

    def cut(source, target):
        if str(target).endswith("2.npy"):
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch, dask.config.set(scheduler="synchronous"):
        patch.setattr(zarr_frames.os, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            xi.write_frames(scan, folder / "f.zarr")
    (part,) = folder.glob(".f.zarr.*.part")
    chunk = part / "store" / "image" / "c" / "2" / "0" / "0"
    assert chunk.is_file()
    chunk.write_bytes(b"")
    path = xi.write_frames(scan, folder / "f.zarr")
    np.testing.assert_array_equal(xi.open_measurement(path).image.values, scan.image.values)


@pytest.mark.thorough
def test_what_was_written_before_an_interruption_is_kept(folder):
    """A process that is killed after three chunks; the next one writes the other two."""
    script = """
        import os, sys
        import xinsitu as xi
        from xinsitu.io import zarr_frames
        zarr_frames.in_chunks = lambda image: image.chunk(time=5)
        most, done, whole = int(sys.argv[1]), [], zarr_frames._Chunks.__setitem__
        def counted(self, key, block):
            if len(done) == most:
                os._exit(9)
            whole(self, key, block)
            done.append(key[0].start)
        zarr_frames._Chunks.__setitem__ = counted
        import dask
        with dask.config.set(scheduler="synchronous"):
            scan = xi.open_measurement("s/time1", tz="Asia/Tokyo")
            xi.write_frames(xi.correct(scan, xi.Correction(median=3)), "f.zarr")
        print(sorted(done))
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    first = subprocess.run([*run, "3"], cwd=folder, capture_output=True, text=True, check=False)
    assert first.returncode == 9, first.stderr
    assert not (folder / "f.zarr").exists()
    (part,) = folder.glob(".f.zarr.*.part")
    kept = {one.name: (one / "0" / "0").stat().st_mtime_ns for one in chunks(part / "store")}
    assert len(kept) == 3
    second = subprocess.run([*run, "99"], cwd=folder, capture_output=True, text=True, check=True)
    left = sorted({0, 1, 2, 3, 4} - {int(name) for name in kept})
    assert second.stdout.strip() == str([5 * number for number in left])
    assert entries(folder) == ["f.zarr", "s"]
    assert kept.items() <= {n.name: (n / "0" / "0").stat().st_mtime_ns for n in chunks(folder / "f.zarr")}.items()
    scan = xi.open_measurement(folder / "s" / "time1", tz="Asia/Tokyo")
    wanted = xi.correct(scan, xi.Correction(median=3)).image
    np.testing.assert_array_equal(xi.open_measurement(folder / "f.zarr").image.values, wanted.values)


@pytest.mark.filterwarnings("ignore:the image says counts, but somebody has calculated with it")
def test_other_content_never_goes_on_there(scan, folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zarr_frames._Chunks, "__setitem__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            xi.write_frames(scan, folder / "f.zarr")
    assert len(list(folder.glob(".f.zarr.*.part"))) == 1
    xi.write_frames(scan.assign(image=scan.image + 1), folder / "f.zarr")
    assert entries(folder) == ["f.zarr", "s"]
    np.testing.assert_array_equal(xi.open_measurement(folder / "f.zarr").image.values, scan.image.values + 1)


def test_a_full_disc_leaves_nothing(scan, folder, monkeypatch):
    whole = zarr_frames._Chunks.__setitem__

    def full(self, key, block):
        if key[0].start >= 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(self, key, block)

    monkeypatch.setattr(zarr_frames._Chunks, "__setitem__", full)
    with pytest.raises(OSError, match=r"No space left.*f\.zarr"):
        xi.write_frames(scan, folder / "f.zarr")
    assert entries(folder) == ["s"]


def test_no_room_for_the_first_byte_leaves_nothing(scan, folder, monkeypatch):
    def full(self, text):
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(zarr_frames.Path, "write_text", full)
    with pytest.raises(OSError, match=r"File too large: .*f\.zarr"):
        xi.write_frames(scan, folder / "f.zarr")
    assert entries(folder) == ["s"]


def test_a_second_writer_is_refused(scan, folder, monkeypatch):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        monkeypatch.setattr(os, "getpid", lambda: other.pid)
        with monkeypatch.context() as patch:
            patch.setattr(zarr_frames, "_store", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                xi.write_frames(scan, folder / "f.zarr")
        monkeypatch.undo()
        monkeypatch.setattr(zarr_frames, "in_chunks", lambda image: image.chunk(time=5))
        with pytest.raises(ResultExists, match="being written by another process"):
            xi.write_frames(scan, folder / "f.zarr")
    finally:
        other.kill()
        other.wait()
    assert xi.write_frames(scan, folder / "f.zarr").exists()  # it is no more: its part is gone on with
    assert entries(folder) == ["f.zarr", "s"]


def test_nothing_is_replaced_unasked_and_nothing_of_others_ever(scan, folder):
    path = xi.write_frames(scan, folder / "f.zarr")
    with pytest.raises(ResultExists, match="already exists"):
        xi.write_frames(scan, path)
    foreign = folder / "theirs.zarr"
    zarr.create_group(foreign)
    (folder / "folder.zarr").mkdir()
    for other in (foreign, folder / "folder.zarr"):
        with pytest.raises(ResultExists, match="is not replaced"):
            xi.write_frames(scan, other, overwrite=True)
    with pytest.raises(LayoutError, match=r"open it with xr\.open_zarr"):
        xi.open_measurement(foreign)
    with pytest.raises(SchemaError, match="compressed with"):
        xi.write_frames(scan, folder / "g.zarr", compression="rar")
    with pytest.raises(SchemaError, match=r"not called \.zarr"):
        xi.write_results(xr.Dataset(), folder / "g.zarr")


def test_frames_that_are_lost_are_marked(scan, folder):
    os.remove(folder / "s" / "time1" / sorted(os.listdir(folder / "s" / "time1"))[8])
    data = xi.correct(
        xi.open_measurement(folder / "s" / "time1", tz="Asia/Tokyo", on_error="nan"), xi.Correction(median=3)
    )
    name = sorted(os.listdir(folder / "s" / "time1"))[13]
    os.remove(folder / "s" / "time1" / name)
    with pytest.warns(xi.XinsituWarning, match="1 of 22 frames are NaN because they cannot be read"):
        path = xi.write_frames(data, folder / "f.zarr")
    status = xi.open_measurement(path).frame_status.values
    assert np.flatnonzero(status == FrameStatus.UNREADABLE).tolist() == [13]


@pytest.mark.thorough
def test_commands(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    for words in (["s/time1", "--tz", "Asia/Tokyo", "-o", "f.zarr"], ["s/time1", "--tz", "Asia/Tokyo", "-o", "f.nc"]):
        assert main(["parse", *words, "--background", "0:6,0:9"]) == 0
    assert "f.zarr" in capsys.readouterr().out
    assert main(["info", "f.zarr"]) == 0
    assert f"{COUNT} frames" in capsys.readouterr().out
    xi.write_rois([xi.Roi("a", (10, 28), (10, 35))], folder / "r.json")
    for name in ("f.zarr", "f.nc"):
        assert main(["measure", name, "--rois", "r.json", "--median", "0", "-o", f"{name}.r.nc"]) == 0
    one, two = (xi.read_results(f"{name}.r.nc") for name in ("f.zarr", "f.nc"))
    xr.testing.assert_equal(one, two)
    capsys.readouterr()
    assert main(["parse", "f.zarr", "--median", "0", "-o", "f.zarr", "--force"]) == 1
    assert "is never replaced" in capsys.readouterr().err
    assert main(["parse", "s/time1", "--tz", "Asia/Tokyo", "-o", "f.zarr"]) == 1
    assert "already exists" in capsys.readouterr().err


def test_without_zarr_it_says_what_to_install(scan, folder, monkeypatch):
    path = xi.write_frames(scan, folder / "f.zarr")
    monkeypatch.setitem(sys.modules, "zarr", None)
    for act in (lambda: xi.open_measurement(path), lambda: xi.write_frames(scan, folder / "g.zarr")):
        with pytest.raises(LayoutError, match=r"pip install 'xinsitu\[zarr\]'"):
            act()


@pytest.mark.slow
def test_processes_of_a_cluster_write_the_same(scan, folder):
    distributed = pytest.importorskip("distributed")
    data = xi.correct(scan, xi.Correction(median=3))
    local = xi.write_frames(data, folder / "a.zarr")
    where = {"host": "127.0.0.1", "dashboard_address": None}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **where) as cluster,
        cluster.get_client(),
    ):
        xi.write_frames(data, folder / "b.zarr")
    for one, two in zip(chunks(local), chunks(folder / "b.zarr"), strict=True):
        assert (one / "0" / "0").read_bytes() == (two / "0" / "0").read_bytes()


def test_nothing_is_computed_before_it_is_written(scan, folder, computes):
    with computes(0), dask.config.set(scheduler="synchronous"):
        xi.open_measurement(folder / "s" / "time1", tz="UTC")
    path = xi.write_frames(scan, folder / "f.zarr")
    with computes(0):
        xi.measure(xi.open_measurement(path), [xi.Roi("a", (10, 28), (10, 35))])
