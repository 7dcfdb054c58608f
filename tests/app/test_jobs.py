"""The scheduler of the explorer: the newest request wins, nothing piles up, an error frees the way."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinsitu.app.data.tiles import Blocks, Tiles
from xinsitu.app.page.jobs import Latest
from xinsitu.app.state.roi_state import History


class Loop:
    """An event loop of one thread: functions wait until they are drained."""

    def __init__(self):
        self.waiting, self.lock = [], threading.Lock()

    def schedule(self, function):
        with self.lock:
            self.waiting.append(function)

    def drain(self):
        with self.lock:
            now, self.waiting = self.waiting, []
        for function in now:
            function()
        return bool(now)

    def until(self, done, seconds=10):
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, "the job never finished"
            if not self.drain():
                time.sleep(0.001)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as executor:
        yield executor


class TestLatest:
    def make(self, pool, work=lambda x: x, collect=None):
        loop, state = Loop(), {"value": 0, "done": [], "faults": []}
        job = Latest(
            collect=collect or (lambda: state["value"]),
            work=work,
            apply=lambda request, result: state["done"].append((request, result)),
            fault=state["faults"].append,
            schedule=loop.schedule,
            pool=pool,
        )
        return loop, state, job

    def test_many_requests_few_runs_the_last_one_is_the_newest(self, pool):
        loop, state, job = self.make(pool, work=lambda x: (time.sleep(0.005), x)[1])
        for value in range(1, 200):
            state["value"] = value
            job.ask()
            loop.drain()
            time.sleep(0.0005)
        loop.until(lambda: job.idle)
        assert state["done"][-1] == (199, 199)
        assert len(state["done"]) < 100
        assert state["done"] == sorted(state["done"])

    def test_never_two_at_once_even_if_collecting_asks_again(self, pool):
        running, most, calls = [], [], []

        def work(_):
            running.append(1)
            most.append(len(running))
            time.sleep(0.01)
            running.pop()

        def collect():
            calls.append(1)
            if len(calls) < 5:
                job.ask()
            return len(calls)

        loop, state, job = self.make(pool, work=work, collect=collect)
        for _ in range(5):
            job.ask()
            loop.drain()
        loop.until(lambda: job.idle)
        assert max(most) == 1
        assert state["faults"] == []

    def test_an_error_frees_the_way(self, pool):
        def work(x):
            if x == 1:
                raise OSError("gone")
            return x

        loop, state, job = self.make(pool, work=work)
        state["value"] = 1
        job.ask()
        loop.until(lambda: job.idle)
        assert [str(fault) for fault in state["faults"]] == ["gone"]
        state["value"] = 2
        job.ask()
        loop.until(lambda: job.idle)
        assert state["done"] == [(2, 2)]

    def test_nothing_to_do(self, pool):
        loop, state, job = self.make(pool, collect=lambda: None)
        job.ask()
        loop.until(lambda: job.idle)
        assert state["done"] == []

    def test_a_closed_one_applies_nothing(self, pool):
        loop, state, job = self.make(pool, work=lambda x: (time.sleep(0.02), x)[1])
        job.ask()
        loop.drain()
        job.close()
        time.sleep(0.05)
        loop.drain()
        job.ask()
        loop.drain()
        assert state["done"] == []


class TestStacks:
    @given(
        st.lists(st.integers(1, 7), min_size=1, max_size=5),
        st.tuples(*[st.tuples(st.integers(0, 40), st.integers(0, 40)) for _ in range(3)]),
    )
    def test_both_hand_out_what_numpy_does(self, tmp_path_factory, sizes, bounds):
        frames = np.arange(sum(sizes) * 21 * 37, dtype="int32").reshape(-1, 21, 37)
        blocks = Blocks(np.split(frames, np.cumsum(sizes)[:-1]))
        tiles = Tiles(tmp_path_factory.mktemp("t") / "tiles", frames.shape, frames.dtype)
        first = 0
        for size in sizes:
            tiles.write(first, frames[first : first + size])
            first += size
        key = tuple(slice(min(pair), max(pair)) for pair in bounds)
        assert blocks.shape == tiles.shape == frames.shape
        np.testing.assert_array_equal(blocks[key], frames[key])
        np.testing.assert_array_equal(tiles[key], frames[key])
        order = np.random.default_rng(len(sizes)).permutation(len(frames)).repeat(2)
        for pieces in (np.split(frames, np.cumsum(sizes)[:-1]), [tiles]):
            np.testing.assert_array_equal(Blocks(pieces, order)[key], frames[order][key])
            np.testing.assert_array_equal(Blocks(pieces).some(order)[key], frames[order][key])


def test_a_new_value_forgets_what_was_undone():
    history = History(1)
    history.add(2)
    history.undo()
    history.add(3)
    assert [history.redo(), history.undo(), history.redo()] == [3, 1, 3]


@pytest.mark.parametrize(
    "key", [(3,), (-1, slice(None), slice(2, 5)), (slice(0, 9, 3), 4, 7), ([0, 5, 5], slice(1, 3), slice(None))]
)
def test_stacks_take_any_index_that_dask_hands_down(tmp_path, key):
    frames = np.arange(9 * 20 * 30).reshape(9, 20, 30)
    tiles = Tiles(tmp_path / "tiles", frames.shape, frames.dtype)
    tiles.write(0, frames)
    blocks = Blocks([frames[:4], frames[4:]])
    assert blocks.ndim == tiles.ndim == 3
    for stack in (blocks, tiles):
        np.testing.assert_array_equal(stack[key], frames[key])
