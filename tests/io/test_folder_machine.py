"""A folder that lives: frames come, go, are cut, written anew and renamed, logs beside; opened, it gives what is there.

``HYPOTHESIS_PROFILE=nightly`` for four hundred folders.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of
from xinsitu.errors import FrameChanged, FrameError, LayoutError, XinsituWarning
from xinsitu.io.measurement import open_measurement

NUMBERS = st.integers(0, 30)


def camserver_size():
    return len(camserver_bytes(ramp(0))) - 1


class Folder(RuleBasedStateMachine):
    """``truth`` is what each number holds."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.truth: dict[int, int] = {}
        self.cut: set[int] = set()
        self.log: dict[int, float] = {}
        self.held: list[tuple[xr.Dataset, dict[int, int]]] = []
        self.version = 0

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def path(self, number):
        return self.folder / f"run_{number:04d}.tif"

    @rule(number=NUMBERS)
    def write(self, number):
        """A new frame, or an old one anew; each write is told apart by the size of what follows the pixels."""
        self.version += 1
        content = camserver_bytes(ramp(self.version), stamp_of(number)) + bytes(self.version)
        self.path(number).write_bytes(content)
        self.truth[number] = self.version
        self.cut.discard(number)

    @precondition(lambda self: self.truth)
    @rule(data=st.data(), keep=st.integers(0, camserver_size()))
    def truncate(self, data, keep):
        """A bad copy: what was there is there in part; old enough that nobody waits for the rest."""
        number = data.draw(st.sampled_from(sorted(self.truth)))
        with open(self.path(number), "r+b") as file:
            file.truncate(keep)
        aged(self.path(number))
        self.cut.add(number)
        del self.truth[number]

    @precondition(lambda self: self.truth)
    @rule(data=st.data(), value=st.integers(1, 10**6))
    def write_log(self, data, value):
        """A counter of some of the frames, by their names."""
        chosen = data.draw(st.sets(st.sampled_from(sorted(self.truth)), min_size=1))
        self.log = {number: float(value + number) for number in chosen}
        lines = [f"{self.path(number).name}\t{count}" for number, count in sorted(self.log.items())]
        text = "&SRS\n SRSRUN=7,SRSDAT=2014528\n&END\nfile\tmonitor\n"
        (self.folder / "run.log").write_text(text + "\n".join(lines) + "\n")

    @precondition(lambda self: self.log)
    @rule()
    def remove_log(self):
        (self.folder / "run.log").unlink()
        self.log = {}

    @precondition(lambda self: self.truth)
    @rule(data=st.data())
    def remove(self, data):
        number = data.draw(st.sampled_from(sorted(self.truth)))
        self.path(number).unlink()
        del self.truth[number]

    @precondition(lambda self: self.truth)
    @rule(data=st.data(), to=st.integers(31, 60))
    def rename(self, data, to):
        number = data.draw(st.sampled_from(sorted(self.truth)))
        if to not in self.truth and to not in self.cut:
            self.path(number).rename(self.path(to))
            self.truth[to] = self.truth.pop(number)

    @precondition(lambda self: self.truth)
    @rule()
    def hold(self):
        self.held = [*self.held[-2:], (self.open(on_error="skip"), dict(self.truth))]

    def check_invariants(self, settings, output, runtimes):
        with dask.config.set(scheduler="sync"):  # threads for thirteen rows of a few frames cost more than the frames
            super().check_invariants(settings, output, runtimes)

    def open(self, **policy):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", XinsituWarning)
            return open_measurement(self.folder, tz="UTC", time="frame", **policy)

    @invariant()
    def what_is_there_is_given(self):
        if not hasattr(self, "folder"):
            return
        if not self.truth:
            with pytest.raises(FrameError if self.cut else LayoutError):
                self.open()
            return
        if self.cut:
            with pytest.raises(FrameError, match=rf"run_({'|'.join(f'{number:04d}' for number in self.cut)})\.tif: "):
                self.open()
            kept = self.open(on_error="nan")
            assert kept.frame.values.tolist() == sorted(self.truth.keys() | self.cut)
            bad = np.isin(kept.frame, list(self.cut))
            np.testing.assert_array_equal(kept.frame_status != 0, bad)
            assert np.isnan(kept.image[bad]).all()
        scan = self.open(on_error="skip" if self.cut else "raise")
        numbers = sorted(self.truth)
        assert scan.frame.values.tolist() == numbers
        np.testing.assert_array_equal(scan.image, np.stack([ramp(self.truth[number]) for number in numbers]))
        counted = [self.log.get(number, np.nan) for number in numbers]
        if np.isfinite(counted).any():
            np.testing.assert_array_equal(scan.monitor, counted)
        else:
            assert "monitor" not in scan.coords

    @invariant()
    def what_was_opened_gives_the_old_pixels_or_an_error(self):
        for scan, truth in getattr(self, "held", ()):
            for position, number in enumerate(sorted(truth)):
                if self.truth.get(number) == truth[number]:
                    np.testing.assert_array_equal(scan.image[position], ramp(truth[number]))
                else:
                    with pytest.raises(FrameChanged):
                        scan.image[position].compute()


Folder.TestCase.settings = settings(
    deadline=None, max_examples=max(5, settings().max_examples // 5), stateful_step_count=15
)
TestFolder = pytest.mark.thorough(Folder.TestCase)
