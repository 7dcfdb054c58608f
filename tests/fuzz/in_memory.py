"""Parsers that are fed bytes from memory, twenty times as fast as through files; what must hold of each answer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tests.helpers.hostile import EDF_AND_CBF, ROIS, camserver_text, tiff_seeds

from xinsitu.clock import parse_stamp
from xinsitu.errors import XinsituError
from xinsitu.io.discover import group
from xinsitu.io.formats import cbf, edf
from xinsitu.io.formats.header import MAX_PIXELS, FrameFault, FrameHeader
from xinsitu.io.formats.pilatus import parse_pilatus
from xinsitu.io.formats.tiff import NotPlain, OpenFile, walk
from xinsitu.values.roi_sets import RoiSet

FILE = os.memfd_create("frame")


@dataclass(frozen=True)
class Parser:
    """Sound inputs to begin from, and what reads one and checks the answer."""

    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes], None]


def inside(header: FrameHeader, size: int) -> None:
    """Refuse a header whose frame is not within its file."""
    rows, columns = header.shape
    if not 0 < rows * columns <= MAX_PIXELS:
        raise AssertionError(f"a frame of {header.shape}")
    for offset in header.page_offsets or ((header.offset,) if header.offset >= 0 else ()):
        if not 0 <= offset <= size - rows * columns * header.dtype.itemsize:
            raise AssertionError("pixels outside the file")


def filled(data: bytes) -> int:
    os.ftruncate(FILE, 0)
    os.pwrite(FILE, data, 0)
    return len(data)


def tiff(data: bytes) -> None:
    """Walk one TIFF directory."""
    try:
        header = walk(OpenFile("frame.tif", FILE, filled(data), data[:4096]), 0)
    except (FrameFault, NotPlain):
        return
    inside(header, len(data))


def frame_of(describe: Callable[..., FrameHeader]) -> Callable[[bytes], None]:
    """Describe the header of a CBF or EDF file."""

    def read(data: bytes) -> None:
        size = filled(data)
        try:
            header = describe("frame", FILE, size, 0)
        except FrameFault:
            return
        inside(header, size)

    return read


def text(data: bytes) -> None:
    """Read what camserver writes into a header."""
    for name, value in parse_pilatus(data).attributes().items():
        if not isinstance(value, str | int | float) or (isinstance(value, float) and not np.isfinite(value)):
            raise AssertionError(f"{name}: {value!r}")


def stamp(data: bytes) -> None:
    found = parse_stamp(data.decode("latin-1"))
    if found is not None and not abs(found.microseconds) < 2**62:
        raise AssertionError(str(found))


def names(data: bytes) -> None:
    """Group a listing of a folder: each name once, in a series by number or among the rest."""
    listing = sorted({name for name in data.decode("utf-8", "surrogateescape").split("\n") if name and "/" not in name})
    series, rest = group(listing)
    if sorted([*rest, *(file.name for one in series for file in one.files)]) != listing:
        raise AssertionError("names are lost, or come twice")
    for one in series:
        numbers = [(file.scan, file.frame) for file in one.files]
        if numbers != sorted(numbers):
            raise AssertionError(f"{one} is not in the order of its numbers")


def rois(data: bytes) -> None:
    """Take the ROIs of a document, whatever is in it."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        found = RoiSet.from_dict(document) if isinstance(document, dict) else ()
    except XinsituError:
        return
    if len({one.name for one in found}) != len(list(found)):
        raise AssertionError("two ROIs of one name")


LISTINGS = [
    "a_1_9.tif\na_1_10.tif\na_2_0.tif\nmean.tif\na.log",
    "0884_time_1_00000.tif\n0884_time_1_00001.tif\n._x.tif",
]
PARSERS = {
    "walk": Parser(tiff_seeds, tiff),
    "text": Parser(camserver_text, text),
    "cbf": Parser(lambda: EDF_AND_CBF["cbf"](), frame_of(cbf.describe)),
    "edf": Parser(lambda: EDF_AND_CBF["edf"](), frame_of(edf.describe)),
    "names": Parser(lambda: [one.encode() for one in LISTINGS], names),
    "stamps": Parser(
        lambda: [b"2014:05:28 17:01:59", b"2022-11-01T16:43:30.015-07:00", b"Thu Feb 27 15:55:18 2020"], stamp
    ),
    "rois-json": Parser(lambda: [ROIS], rois),
}
