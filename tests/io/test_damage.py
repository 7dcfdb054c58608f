"""Folders in which anything may happen to any file: what is read is what was written, or it is said."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.helpers.camserver import camserver_bytes, ramp, stamp_of
from xinsitu.clock import parse_stamp
from xinsitu.errors import XinsituError
from xinsitu.io.discover import group
from xinsitu.io.formats.pilatus import parse_pilatus
from xinsitu.io.formats.reading import read_header
from xinsitu.io.measurement import open_measurement
from xinsitu.io.survey import survey
from xinsitu.schema import FrameStatus

pytestmark = pytest.mark.thorough

GOOD = camserver_bytes(ramp(3, (5, 7)), stamp_of(3))


TIFFFILE_RAISES = (ValueError, LookupError, TypeError, struct.error, MemoryError, ArithmeticError, AttributeError)


def header_or_error(path):
    try:
        return read_header(path), ""
    except XinsituError as error:
        return None, str(error)


@given(
    st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=8)), max_size=4),
    st.integers(0, len(GOOD) + 20),
)
@settings(max_examples=300)
def test_any_header_gives_a_frame_within_the_file_or_one_kind_of_error(patches, length):
    data = bytearray(GOOD)
    for place, value in patches:
        data[place : place + len(value)] = value
    data = bytes(data[:length]).ljust(length, b"\0") if length > len(GOOD) else bytes(data[:length])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a_1.tif")
        Path(path).write_bytes(data)
        header, said = header_or_error(path)
        if header is None:
            assert said.startswith(path)
            return
        count = header.shape[0] * header.shape[1] * header.dtype.itemsize
        if header.offset >= 0:
            assert header.offset + count <= len(data)
            pixels = np.frombuffer(data, header.dtype, header.shape[0] * header.shape[1], header.offset)
            try:
                reference = tifffile.imread(path)
            except TIFFFILE_RAISES:  # it refuses some headers that are good enough for us
                return
            if reference.shape == header.shape and reference.dtype == header.dtype:
                np.testing.assert_array_equal(pixels.reshape(header.shape), reference)


PIECES = [
    b"Dim_1 = 4 ;\n", b"Dim_2 = 3 ;\n", b"DataType = Float ;\n", b"Size = 48 ;\n", b"}\n", b"{\n", b"= ; =",
    b"X-Binary-Size: 12\r\n", b"X-Binary-Size-Fastest-Dimension: 4\r\n", b"X-Binary-Size-Second-Dimension: 3\r\n",
    b'X-Binary-Element-Type: "signed 32-bit integer"\r\n', b"\x0c\x1a\x04\xd5",
]  # fmt: skip


@given(
    st.sampled_from(["a_1.edf", "a_1.cbf", "a_1.tif"]),
    st.sampled_from([b"", b"{\n", b"###CBF: VERSION 1.5\r\n", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]),
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from(PIECES),
        ),
        max_size=14,
    ),
)
@settings(max_examples=300)
def test_headers_of_any_format_give_one_kind_of_error(name, start, pieces):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        Path(path).write_bytes(start + b"".join(pieces))
        header, said = header_or_error(path)
        assert header is not None or said.startswith(path)
        if header is not None and header.offset >= 0:
            assert header.offset + header.shape[0] * header.shape[1] * header.dtype.itemsize <= header.size


@given(st.text(max_size=60), st.binary(max_size=300))
def test_no_text_hurts_a_parser(text, raw):
    stamp = parse_stamp(text)
    assert stamp is None or isinstance(stamp.microseconds, int)
    parse_pilatus(raw).attributes()
    group([text.replace("/", "_") + ".tif"])


class FolderMachine(RuleBasedStateMachine):
    """Frames are added, cut, overwritten, removed, renamed and joined by strangers; the folder is opened each time."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.good: dict[int, np.ndarray] = {}
        self.bad: set[int] = set()
        self.strays = 0
        for number in range(3):
            self.add(number, number)

    def teardown(self):
        shutil.rmtree(self.folder)

    def path(self, number):
        return self.folder / f"m_{number:03d}.tif"

    @rule(number=st.integers(0, 12), seed=st.integers(0, 50))
    def add(self, number, seed):
        pixels = ramp(seed, (5, 7))
        self.path(number).write_bytes(camserver_bytes(pixels, stamp_of(number)))
        self.good[number] = pixels
        self.bad.discard(number)

    @rule(number=st.integers(0, 12), keep=st.integers(0, 4100))
    def cut(self, number, keep):
        if self.path(number).exists():
            with open(self.path(number), "r+b") as file:
                file.truncate(keep)
            self.good.pop(number, None)
            self.bad.add(number)

    @rule(number=st.integers(0, 12))
    def remove(self, number):
        self.path(number).unlink(missing_ok=True)
        self.good.pop(number, None)
        self.bad.discard(number)

    @rule(number=st.integers(0, 12))
    def transpose(self, number):
        if len(self.good) > 2 or number not in self.good:  # the majority stays right
            self.path(number).write_bytes(camserver_bytes(ramp(1, (7, 5)), stamp_of(number)))
            self.good.pop(number, None)
            self.bad.add(number)

    @rule(one=st.integers(0, 12), other=st.integers(0, 12))
    def rename(self, one, other):
        if one in self.good and not self.path(other).exists():
            self.path(one).rename(self.path(other))
            self.good[other] = self.good.pop(one)

    @rule(name=st.sampled_from(["mean.tif", ".hidden.tif", "notes.txt", "m.log.bak", "Thumbs.db"]))
    def stray(self, name):
        (self.folder / name).write_bytes(b"something")

    @precondition(lambda self: len(self.good) > len(self.bad))
    @invariant()
    def what_is_read_is_what_was_written(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = open_measurement(self.folder, tz="UTC", on_error="nan", order_error="ignore", logs=None)
        assert found.frame.values.tolist() == sorted(set(self.good) | self.bad)
        of_times = (FrameStatus.STALE_TIME, FrameStatus.NO_STAMP, FrameStatus.DOUBTFUL_TIME)  # a renamed frame's stamp
        bad = ~np.isin(found.frame_status.values, [FrameStatus.OK, *of_times])
        image = found.image.values
        for position, number in enumerate(found.frame.values):
            assert bad[position] == (int(number) in self.bad)
            if int(number) in self.good:
                np.testing.assert_array_equal(image[position], self.good[int(number)])
            else:
                assert np.isnan(image[position]).all()

    @precondition(lambda self: self.good or self.bad)
    @invariant()
    def every_file_is_accounted_for(self):
        fates = survey(self.folder, tz="UTC").fates
        assert set(fates) == set(os.listdir(self.folder))
        if len(self.good) > len(self.bad):
            assert sum(fate == "ok" for fate in fates.values()) == len(self.good)


TestFolder = FolderMachine.TestCase
TestFolder.settings = settings(
    deadline=None, max_examples=max(10, settings().max_examples // 3), stateful_step_count=15
)
