"""A frame that is written anew is never taken for the old one, whoever holds the old chunks."""

from __future__ import annotations

import copy
import os
import pickle

import dask
import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize
from dask.tests.test_tokenize import check_tokenize

from tests.helpers.camserver import camserver_bytes, ramp, stamp_of
from xinsitu.errors import FrameChanged
from xinsitu.io.measurement import open_measurement
from xinsitu.variables import Counted

COUNT = 6
pytestmark = pytest.mark.filterwarnings("ignore:The specified chunks separate")


@pytest.fixture
def folder(tmp_path):
    for number in range(COUNT):
        (tmp_path / f"run_{number:04d}.tif").write_bytes(camserver_bytes(ramp(number), stamp_of(number)))
    return tmp_path


def rewrite(folder, number, value, second=None):
    """Overwrite one frame in place, as camserver does: neither the folder's time nor any size changes."""
    path, before = folder / f"run_{number:04d}.tif", os.stat(folder).st_mtime_ns
    old = path.stat().st_mtime_ns
    with open(path, "r+b") as file:
        file.write(camserver_bytes(ramp(value), stamp_of(number if second is None else second)))
    while path.stat().st_mtime_ns == old:  # the clock of the file system has ticks
        os.utime(path)
    assert os.stat(folder).st_mtime_ns == before


def engine(folder, **keywords):
    return xr.open_dataset(folder, engine="xinsitu", tz="UTC", **{"chunks": {}} | keywords)


def names(dataset):
    return {name: item.data.name for name, item in dataset.variables.items() if dask.is_dask_collection(item.data)}


WAYS = [{}, {"chunks": {"time": 1}}, {"chunks": "auto"}, {"cache": False}, {"inline_array": True}]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_names_of_chunks_follow_the_content(folder, way):
    first = engine(folder, **way)
    assert names(first) == names(engine(folder, **way))
    assert len(names(first)) > 3  # coordinates too
    rewrite(folder, 3, 77, second=3.0)
    second = engine(folder, **way)
    assert names(first)["image"] != names(second)["image"]
    assert names(first)["frame"] == names(second)["frame"]  # what is the same may be shared
    np.testing.assert_array_equal(second.image[3], ramp(77))
    with pytest.raises(FrameChanged, match=r"run_0003\.tif"):
        first.image[3].compute()


def test_a_stamp_that_was_rewritten_is_not_stale_either(folder):
    before = names(engine(folder))
    rewrite(folder, COUNT - 1, COUNT - 1, second=400)
    after = engine(folder)
    assert names(after)["stamp"] != before["stamp"]
    assert str(after.stamp[-1].values) == stamp_of(400)


@pytest.mark.thorough("threads")
@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_schedulers_of_one_machine_give_the_new_value(folder, scheduler):
    with dask.config.set(scheduler=scheduler):
        kept = engine(folder, chunks={"time": 2}).persist()
        rewrite(folder, 1, 50)
        np.testing.assert_array_equal(engine(folder, chunks={"time": 2}).image[1], ramp(50))
        np.testing.assert_array_equal(kept.image[1], ramp(1))  # what was read stays what it was


@pytest.mark.slow
def test_a_cluster_that_holds_old_chunks_gives_the_new_value(folder):
    from dask.distributed import Client, LocalCluster, wait

    quiet = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **quiet) as cluster, Client(cluster):
        kept = []
        for round_, way in enumerate(WAYS):
            held = engine(folder, **way)
            kept += [held.persist(), pickle.loads(pickle.dumps(held)).persist(), copy.deepcopy(held).persist()]
            wait(kept)
            rewrite(folder, 2, 100 + round_, second=2)
            for again in (engine(folder, **way), pickle.loads(pickle.dumps(engine(folder, **way)))):
                np.testing.assert_array_equal(again.image[2], ramp(100 + round_))
                np.testing.assert_array_equal(again.persist().image[2], ramp(100 + round_))
        lazy = engine(folder, chunks=None)
        held = lazy.chunk({"time": 2}).persist()
        wait(held)
        rewrite(folder, 2, 900)
        np.testing.assert_array_equal(engine(folder, chunks=None).chunk({"time": 2}).image[2], ramp(900))
        assert int(held.image[2, 0, 0]) == (100 + len(WAYS) - 1) * 1000


@pytest.mark.thorough
def test_chunks_of_different_selections_have_different_names(folder):
    lazy = engine(folder, chunks=None)
    parts = [lazy, lazy.isel(time=slice(1, 3)), lazy.isel(time=slice(2, 4)), lazy.isel(time=[1, 2])]
    found = {part.chunk({"time": 2}).image.data.name for part in parts}
    found |= {xr.Variable.chunk(lazy.image.variable, {"time": 2}).data.name}
    assert len(found) == len(parts) + 1
    for part in parts:
        np.testing.assert_array_equal(part.chunk({"time": 1}).image, part.image)


def test_tokens_are_steady_and_tell_datasets_apart(folder):
    for dataset in (engine(folder), open_measurement(folder, tz="UTC")):
        check_tokenize(dataset.image.data)
        check_tokenize(dataset)
    lazy = engine(folder, chunks=None)
    token = tokenize(lazy.image.variable.chunk({"time": 2}).data)
    assert token != tokenize(lazy.image.variable[1:].chunk({"time": 2}).data)


def test_chunked_variables_are_xarrays_own(folder):
    dataset = engine(folder)
    kinds = {name: type(item) for name, item in dataset.variables.items()}
    assert kinds.pop("image") is Counted
    assert set(kinds.values()) == {xr.Variable, xr.IndexVariable}
    xr.testing.assert_identical(dataset.compute(), open_measurement(folder, tz="UTC").compute())
    xr.testing.assert_identical(engine(folder, chunks=None).compute(), dataset.compute())
