"""A folder that lives: frames come, go, are written anew and renamed; opened again, it gives what is there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.camserver import camserver_bytes, ramp, stamp_of
from xinsitu.errors import FrameChanged, LayoutError
from xinsitu.io.measurement import open_measurement

NUMBERS = st.integers(0, 30)


class Folder(RuleBasedStateMachine):
    """``truth`` is what each number holds."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.truth: dict[int, int] = {}
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
        if to not in self.truth:
            self.path(number).rename(self.path(to))
            self.truth[to] = self.truth.pop(number)

    @precondition(lambda self: self.truth)
    @rule()
    def hold(self):
        self.held = [*self.held[-2:], (self.open(), dict(self.truth))]

    def open(self):
        return open_measurement(self.folder, tz="UTC", time="frame")

    @invariant()
    def what_is_there_is_given(self):
        if not hasattr(self, "folder"):
            return
        if not self.truth:
            with pytest.raises(LayoutError):
                self.open()
            return
        scan = self.open()
        numbers = sorted(self.truth)
        assert scan.frame.values.tolist() == numbers
        np.testing.assert_array_equal(scan.image, np.stack([ramp(self.truth[number]) for number in numbers]))

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
TestFolder = Folder.TestCase
