"""What the page is sent of a measurement that grows: the numbers of measuring afterwards, bit for bit, and not more."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tifffile
from bokeh.document import Document
from bokeh.document.events import ColumnDataChangedEvent, ColumnsPatchedEvent, ColumnsStreamedEvent

from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.page.session import Session
from xinsitu.app.state.measuring import answer
from xinsitu.app.state.model import ExplorerModel
from xinsitu.io.growing_folder import SETTLED
from xinsitu.recipe import Reading
from xinsitu.values import Roi, RoiSet

ROIS = RoiSet([Roi("A", y=(5, 25), x=(10, 30)), Roi("B", y=(30, 38), x=(33, 49))])
READING = Reading(tz="UTC", order_error="ignore")


class Page:
    """A browser that keeps the columns of all sources as it is told of them, and counts the bytes."""

    def __init__(self, session: Session) -> None:
        self.session, self.bytes = session, 0
        self.columns: dict[str, dict[str, Any]] = {}
        for source in (*session.curves._sources.values(), session.curves.places):
            self.of(source)  # as it came with the page
        session.document.add_root(session.curves.column)
        session.document.on_change(self.hear)

    def hear(self, event: Any) -> None:
        sent = {}
        if isinstance(event, ColumnDataChangedEvent):
            sent = {name: event.model.data[name] for name in event.cols or event.model.data}
            if not event.cols:
                self.of(event.model).clear()
            self.of(event.model).update({name: np.array(one) for name, one in sent.items()})
        elif isinstance(event, ColumnsStreamedEvent):
            sent = dict(event.data)
            for name, one in sent.items():
                self.of(event.model)[name] = np.append(self.of(event.model)[name], one)
        elif isinstance(event, ColumnsPatchedEvent):
            for name, ((part, one),) in event.patches.items():
                self.of(event.model)[name][part] = sent[name] = one
        self.bytes += sum(np.asarray(one).nbytes for one in sent.values())

    def of(self, source: Any) -> dict[str, Any]:
        if source.name not in self.columns:
            self.columns[source.name] = {name: np.array(one) for name, one in source.data.items()}
        return self.columns[source.name]

    def look(self) -> None:
        """Take over what has come, as the page's event loop does."""
        store = self.session.model.store
        time.sleep(1.5 * SETTLED)
        store.refresh()
        store.start()
        store.wait()
        self.session.poll()
        self.measure()

    def measure(self) -> None:
        while (request := self.session._request()) is not None:
            self.session._measured(request, answer(request))
        self.session._measurements()


@pytest.fixture
def write(tmp_path):
    """Write frames: a second's stamp for some of them, as detectors do."""

    def written(numbers, version=0):
        for number in numbers:
            pixels = np.random.default_rng(1000 * version + number).poisson(20 + number % 17, (40, 50)).astype("int32")
            stamp = f"2015:02:03 10:{number // 120:02d}:{number // 2 % 60:02d}"
            tifffile.imwrite(tmp_path / f"run_{number:05d}.tif", pixels, datetime=stamp)

    return written


@pytest.fixture
def page(tmp_path, write):
    """A page of a folder that has 60 frames so far."""
    write([*range(50), *range(53, 63)])
    store = FrameStore(open_source(tmp_path, reading=READING))
    store.start()
    store.wait()
    with ThreadPoolExecutor(1) as pool:
        session = Session(ExplorerModel(store, rois=ROIS), Document(), pool)
        shown = Page(session)
        shown.measure()
        yield shown
        session.close()
    store.release()


def agrees(page: Page, folder) -> None:
    """Hold that browser and server have what a page has that is opened afterwards, of the same ROIs and settings."""
    model = page.session.model
    store = FrameStore(open_source(folder, reading=READING))
    store.start()
    store.wait()
    with ThreadPoolExecutor(1) as pool:
        again = ExplorerModel(store, rois=RoiSet(list(model.regions.rois)), correction=model.view.active_correction)
        again.view.axis = model.view.axis
        session = Session(again, Document(), pool)
        other = Page(session)
        other.measure()
        assert set(session.curves._sources) == set(page.session.curves._sources)
        for name, source in session.curves._sources.items():
            mine = page.session.curves._sources[name]
            for column, values in source.data.items():
                np.testing.assert_array_equal(mine.data[column], values, f"{name} {column}")
                np.testing.assert_array_equal(page.of(mine)[column], values, f"sent: {name} {column}")
        places = page.session.curves.places
        np.testing.assert_array_equal(page.of(places)["x"], session.curves.places.data["x"])
        session.close()
    store.release()


@pytest.mark.thorough
def test_what_grows_is_sent_and_not_what_was_there(page, write, tmp_path):
    write(range(63, 363))
    page.look()
    page.bytes = 0
    for numbers in (range(363, 373), range(373, 374), range(374, 384)):
        write(numbers)
        page.look()
    whole = sum(one.nbytes for source in page.session.curves._sources.values() for one in source.data.values())
    assert page.bytes < whole / 3
    agrees(page, tmp_path)


@pytest.mark.thorough
def test_of_a_region_that_moved_only_numbers_are_sent_that_are_others(page, write, tmp_path):
    """Neither the time axis nor the numbers of valid pixels."""
    heard: list[Any] = []
    page.session.document.on_change(heard.append)
    page.session.model.regions.place("A", (6, 26), (11, 31))
    page.measure()
    (told,) = (one for one in heard if isinstance(one, ColumnDataChangedEvent) and one.model.name == "series:A")
    assert "intensity" in told.cols
    assert not {"x", "n_valid"} & set(told.cols)
    agrees(page, tmp_path)


@pytest.mark.thorough
def test_what_comes_late_or_is_written_anew_stands_where_it_belongs(page, write, tmp_path):
    for new, late, anew in ((range(63, 90), [51], [70]), (range(90, 92), [50, 52], [3]), ((), (), [91, 20])):
        write([*new, *late])
        write(anew, version=1)
        page.look()
        page.look()
        assert len(page.of(page.session.curves._sources["A"])["x"]) == page.session.model.store.n_frames
    agrees(page, tmp_path)


@pytest.mark.thorough
def test_whatever_is_done_while_it_grows_the_numbers_are_those_of_opening_it_afterwards(page, write, tmp_path):
    """A ROI that is moved, taken back and done again; each time axis: between looks, and before numbers are there."""
    model = page.session.model
    behind = 63

    def grow(*numbers):
        nonlocal behind
        write([*range(behind, behind + 7), *numbers])
        behind += 7
        page.look()

    model.regions.place("A", (6, 26), (11, 31))
    grow()
    agrees(page, tmp_path)
    model.regions.commit()
    model.regions.place("A", (2, 20), (5, 33))
    model.regions.commit()
    grow(51)
    model.regions.undo()
    page.measure()
    grow()
    agrees(page, tmp_path)
    for axis in model.view.axes:
        model.view.axis = axis
        grow()
        agrees(page, tmp_path)
    model.regions.redo()
    grow(50)
    page.look()
    agrees(page, tmp_path)


def test_only_who_measures_all_frames_again_waits_as_long_as_that_took(page):
    """What measures new frames only is not to fall behind on a busy machine, where that takes a while."""
    session = page.session
    for known in (True, False):
        session.model.numbers._numbers.clear()
        request = session._request()
        found = answer(request)
        session._begun -= 60
        session._measured(request, found if known else replace(found, known=None))
        assert (session._free_at - time.monotonic() < 1) == known
