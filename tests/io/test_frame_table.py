"""What is known of many frames: the same as in dicts of objects, in a tenth of the memory."""

from __future__ import annotations

import errno
import random
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.camserver import camserver_bytes, ramp, stamp_of
from xinsitu.io.discover import FrameName
from xinsitu.io.formats.reading import read_header
from xinsitu.io.frame_table import Aside, FrameTable, Numbers


def test_pieces_come_back_also_where_the_disc_is_full_or_there_is_none(monkeypatch):
    pieces, aside = [bytes([number]) * (number + 1) for number in range(9)], Aside()

    class Full:
        """A disc that is full for a while, and takes half of a piece first."""

        def __init__(self, file):
            self.file, self.calls = file, 0

        def write(self, data):
            self.calls += 1
            if self.calls == 3:
                return self.file.write(data[:4])
            if self.calls in (4, 5):
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

        def __getattr__(self, name):
            return getattr(self.file, name)

    aside._file = Full(aside._file)
    places = [aside.put(piece) for piece in pieces]
    assert [aside.get(place) for place in reversed(places)] == pieces[::-1]
    assert len(aside._held) == 3
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    other = Aside()
    assert other.get(other.put(b"piece")) == b"piece"


def test_numbers_are_those_of_a_dict(monkeypatch):
    monkeypatch.setattr(Numbers, "MANY", 7)
    numbers, known, luck = Numbers(), {}, random.Random(3)
    for value in range(500):
        name = f"run_{luck.randrange(150)}.tif"
        numbers.put(name, value)
        known[name] = value
    then, names = numbers.copy(), [f"run_{number}.tif" for number in range(160)]
    numbers.put("run_1.tif", -5)
    numbers.put("another.tif", 1)
    assert len(then) == len(known)
    assert [then.get(name) for name in names] == [known.get(name) for name in names]
    assert (numbers.get("run_1.tif"), numbers.get("another.tif"), then.get("another.tif")) == (-5, 1, None)


@pytest.fixture
def header(tmp_path):
    path = tmp_path / "a_1.tif"
    path.write_bytes(camserver_bytes(ramp(1), stamp_of(1)))
    return read_header(str(path))


def test_headers_come_back_as_they_were_in_the_order_of_their_numbers(header, monkeypatch):
    monkeypatch.setattr(Numbers, "MANY", 4)
    told = replace(header.text, stamp="2014-05-28T17:00:01.5", exposure_time=0.5)
    headers = {
        "a_2_3.tif": header._replace(utc=1_400_000_000_000_001, extra=(("ring", 0.1 + 0.2), ("shutter", "open"))),
        "a_1_10.tif": header._replace(mtime_ns=2**62 + 1, hollow=2, offset=-1, shape=(3, 4)),
        "a_1_9.tif": header._replace(text=told, dtype=np.dtype(">u2"), remark="odd"),
        "a_2_0.tif": header,
    }
    table = FrameTable()
    for name in ("a_3_0.tif", *headers):
        table.add(FrameName(name, int(name[2]), int(name[4:-4])))
    for name, one in headers.items():
        table.set(name, one)
    assert len(table) == 4
    assert ("a_3_0.tif" in table, "a_4_0.tif" in table, table.state("a_3_0.tif")) == (True, False, None)
    found = table.reader(table.whole())()
    assert [file.name for file, _ in found] == ["a_1_9.tif", "a_1_10.tif", "a_2_0.tif", "a_2_3.tif"]
    assert all(one == headers[file.name] and type(one) is type(header) for file, one in found)
    assert table.state("a_1_10.tif") == (header.size, 2**62 + 1)
    assert table.behind(table.whole(), (2, 0)) == 2


def test_what_was_taken_at_one_moment_stays_when_frames_are_written_anew(header):
    table = FrameTable()
    for number in range(5):
        table.add(FrameName(f"a_{number}.tif", 1, number))
        table.set(f"a_{number}.tif", header._replace(stamp=str(number)))
    read = table.reader(table.whole())
    table.drop("a_3.tif")
    assert (len(table), table.state("a_3.tif")) == (4, None)
    table.set("a_1.tif", header._replace(stamp="anew"))
    assert [one.stamp for _, one in read()] == ["0", "1", "2", "3", "4"]
    assert [one.stamp for _, one in table.reader(table.whole(["a_4.tif", "a_1.tif", "a_3.tif", "b.tif"]))()] == [
        "anew",
        "4",
    ]
    assert list(table.names()) == ["a_0.tif", "a_1.tif", "a_2.tif", "a_4.tif"]
