"""What the event loop of a tab does at once: however many frames there are, nothing of it is done frame by frame."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr
from bokeh.document import Document

import xinsitu as xi
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.page.page import page
from xinsitu.app.page.session import Session
from xinsitu.app.state.model import ExplorerModel

pytestmark = pytest.mark.filterwarnings("ignore")  # of Panel and its parts, in threads that pytest does not own
FEW, MANY = 1_000, 100_000
ROIS = xi.RoiSet([xi.Roi("a", (1, 5), (1, 5)), xi.Roi("b", (2, 6), (2, 7))])


class Turns:
    """An event loop by hand; of each turn the calls of functions, and the seconds of the processor."""

    def __init__(self, frames: int, pool: ThreadPoolExecutor) -> None:
        times = np.datetime64("2015-06-01", "ns") + np.arange(frames) * np.timedelta64(1, "s")
        counts = np.random.default_rng(1).poisson(20, (frames, 8, 9)).astype("int32")
        image = xr.DataArray(counts, {"time": times, "y": np.arange(8), "x": np.arange(9)}, ("time", "y", "x"))
        image.attrs.update(units="counts", count_cutoff=1_000_000)
        store = FrameStore(open_source(image.rename("image").to_dataset()))
        self.document, self.worst, self.longest = Document(), 0, 0.0
        self.session = Session(ExplorerModel(store, rois=ROIS), self.document, pool)
        page(self.session).server_doc(self.document)
        self.rest()

    def turn(self, action) -> None:
        calls = 0

        def count(_frame, event, _argument):
            nonlocal calls
            calls += event in ("call", "c_call")

        start = time.thread_time()
        sys.setprofile(count)
        try:
            action()
        finally:
            sys.setprofile(None)
        self.worst, self.longest = max(self.worst, calls), max(self.longest, time.thread_time() - start)

    def rest(self) -> None:
        """Take turn after turn until nothing is asked for or being done."""
        end = time.monotonic() + 60
        self.turn(self.session.poll)
        waiting = True
        while waiting or not all(job.idle for job in self.session.jobs):
            assert time.monotonic() < end, "it never comes to rest"
            waiting = [one for one in self.document.session_callbacks if not hasattr(one, "period")]
            for one in waiting:
                self.document.callbacks.remove_session_callback(one)
                self.turn(one.callback)
            time.sleep(0.001)

    def used(self) -> None:
        """Look at a frame, move a ROI, put it down, change the axis: what a hand does."""
        session, model = self.session, self.session.model
        last = model.view.n_frames - 1
        self.turn(lambda: setattr(session.channel, "ask", (last, 1, 0)))
        self.rest()
        box = next(one for one in session.image.figure.center if one.name == "roi:a")
        self.turn(lambda: box.update(left=1.5, right=5.5))
        self.rest()
        self.turn(lambda: session.dragged("a", "pan:end"))
        self.rest()
        self.turn(lambda: setattr(model.view, "axis", "frame"))
        self.rest()


@pytest.fixture(scope="module")
def turns():
    with ThreadPoolExecutor(2) as pool:
        found = {}
        for frames in (FEW, MANY):
            found[frames] = Turns(frames, pool)
            found[frames].used()
        yield found


@pytest.mark.thorough
def test_no_turn_goes_through_the_frames_one_by_one(turns):
    assert turns[MANY].session.model.numbers.of("a").sizes["time"] == MANY
    assert turns[FEW].worst > 1_000
    assert turns[MANY].worst < turns[FEW].worst + FEW


@pytest.mark.thorough
def test_the_server_answers_within_half_a_second_of_work(turns):
    assert turns[MANY].longest < 0.5
