"""A bounds-checked walk of one TIFF header, some 15 µs; the rest of the file is not touched.

Nothing that the header says is believed before it was checked against the file's size. Plain frames (one block of
uncompressed single samples) are described; for every other sound TIFF :class:`NotPlain` hands over to tifffile.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from xinsitu.schema import FrameStatus

from . import epics
from .header import MAX_PIXELS, FrameFault, FrameHeader, what_it_is
from .pilatus import clean, parse_pilatus

MAX_TAGS = 512
MAX_TEXT = 65536

_DTYPES = {
    (1, 8): "u1", (1, 16): "u2", (1, 32): "u4", (1, 64): "u8",
    (2, 8): "i1", (2, 16): "i2", (2, 32): "i4", (2, 64): "i8",
    (3, 16): "f2", (3, 32): "f4", (3, 64): "f8",
}  # fmt: skip
_ENTRY = {order: struct.Struct(f"{order}HHII") for order in "<>"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}

WIDTH, LENGTH, BITS, COMPRESSION, DESCRIPTION, MODEL = 256, 257, 258, 259, 270, 272
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS, SOFTWARE, DATETIME = 273, 277, 278, 279, 305, 306
PREDICTOR, TILE_WIDTH, SAMPLE_FORMAT, SUB_IFDS, FILL_ORDER, UIC2 = 317, 322, 339, 330, 266, 33629
TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 323, 324, 325
TILES = frozenset((TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS))
LAYOUT = TILES | {WIDTH, LENGTH, BITS, COMPRESSION, STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS, PREDICTOR,
                  SAMPLE_FORMAT, FILL_ORDER}  # fmt: skip
"""Tags that say how pixels lie in the file: one that is there and not understood is never taken for absent."""
SINGLE = frozenset(
    (WIDTH, LENGTH, COMPRESSION, SAMPLES, ROWS_PER_STRIP, PREDICTOR, FILL_ORDER, TILE_WIDTH, TILE_LENGTH)
)
"""Of these, tags that hold one number: of several, a header gives the place and not the numbers."""
_WANTED = LAYOUT | {DESCRIPTION, MODEL, SOFTWARE, DATETIME, SUB_IFDS, UIC2}
_WHOLE_NUMBERS = (1, 3, 4, 16)
"""Types of integers: BYTE, SHORT, LONG, and LONG8 of BigTIFF."""


class NotPlain(Exception):
    """A sound TIFF whose pixels are not one uncompressed block; tifffile reads it."""


class OpenFile(NamedTuple):
    """An open file, bounds known."""

    path: str
    fd: int
    size: int
    head: bytes
    hollow: int = 0

    def take(self, offset: int, count: int) -> bytes:
        """Bytes at an offset; fewer where the file ends."""
        if offset + count <= len(self.head):
            return self.head[offset : offset + count]
        if offset >= self.size:
            return b""
        os.lseek(self.fd, offset, os.SEEK_SET)
        return os.read(self.fd, count)


def walk(file: OpenFile, mtime_ns: int) -> FrameHeader:
    """Read the first image file directory and check it against the file."""
    head = file.head
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    if len(head) < 8 and (order or head.isspace() or not head.strip(b"\0")):
        raise FrameFault(file.path, f"only {file.size} bytes, too short for a TIFF", FrameStatus.TRUNCATED)
    if not order or head[2:4] not in (b"*\0", b"\0*", b"+\0", b"\0+"):
        raise FrameFault(file.path, f"this is {what_it_is(head)}")
    version, first = struct.unpack_from(f"{order}HI", head, 2)
    if version == 43:
        raise NotPlain
    if version != 42:
        raise FrameFault(file.path, "this is no TIFF: byte order and version contradict each other")
    tags, following = _directory(file, order, first)
    check_layout(file.path, {tag: entry[:2] for tag, entry in tags.items() if tag in LAYOUT})
    width, length = _integer(tags, WIDTH, order), _integer(tags, LENGTH, order)
    if not width or not length:
        raise FrameFault(file.path, "the header gives no image size")
    if width * length > MAX_PIXELS:
        raise FrameFault(file.path, f"the header declares {length} x {width} pixels, more than any detector has")
    description, software = _text(file, tags, DESCRIPTION), clean(_text(file, tags, SOFTWARE))
    if software.startswith("TVX"):
        following = 0  # camserver writes one image per file; what stands there is stale bytes
    if following or _is_stack(tags, description) or not _is_plain(tags, order):
        raise NotPlain
    bits, kind = _integer(tags, BITS, order, 1), _integer(tags, SAMPLE_FORMAT, order, 1)
    code = _DTYPES.get((kind, bits))
    if code is None:
        raise NotPlain
    offset = _pixels(file, tags, order, length, width * length * bits // 8)
    text = parse_pilatus(description)
    stamp = clean(_text(file, tags, DATETIME))
    stamp, source = (stamp, "tiff:306") if stamp else (text.stamp or "", "tiff:270" if text.stamp else "")
    header = FrameHeader(
        size=file.size,
        mtime_ns=mtime_ns,
        shape=(length, width),
        dtype=_dtype(order + code),
        offset=offset,
        stamp=stamp,
        stamp_source=source,
        text=text,
        model=sys.intern(clean(_text(file, tags, MODEL))),
        software=sys.intern(software),  # one text for all frames
        hollow=file.hollow,
    )
    return _with_epics(file, tags, order, header) if max(tags) >= epics.FIRST else header


def check_layout(path: str, tags: Mapping[int, tuple[int, int]]) -> None:
    """Refuse a directory in which a tag of the layout is no integer, or not the one it should be, or tiles lack a tag.

    Parameters
    ----------
    path
        The file.
    tags
        Type and count of each tag of :data:`LAYOUT` that is there.

    Raises
    ------
    FrameFault
        Pixels would be taken from the wrong place, or still compressed.
    """
    for tag, (kind, count) in tags.items():
        if kind not in _WHOLE_NUMBERS or not count or (count > 1 and tag in SINGLE):
            raise FrameFault(path, f"its tag {tag} is {count} values of the type {kind}, and no whole number")
    if (tiles := TILES & tags.keys()) and len(tiles) < len(TILES):
        lacks = ", ".join(map(str, sorted(TILES - tiles)))
        raise FrameFault(path, f"its pixels are in tiles, and it lacks the tags {lacks} that say where")


def _is_stack(tags: dict[int, Tag], description: bytes) -> bool:
    """Whether frames of ImageJ, tifffile or MetaMorph may stand behind the one that the directory describes."""
    return (
        UIC2 in tags
        or description.startswith(b"ImageJ=")
        or (description.startswith(b'{"shape"') and b'"truncated": true' in description)
    )


_CACHED_DTYPES: dict[str, np.dtype[np.generic]] = {}


def _dtype(code: str) -> np.dtype[np.generic]:
    return _CACHED_DTYPES.setdefault(code, np.dtype(code))


Tag = tuple[int, int, int, int]
"""Type, count, value or offset as a 4-byte integer, and where in the file the value field stands."""


def _directory(file: OpenFile, order: str, first: int) -> tuple[dict[int, Tag], int]:
    """Tags of the directory at this offset, and the offset of the next directory (0: none)."""
    if first + 6 > file.size:
        raise FrameFault(
            file.path, f"the directory should be at byte {first}, the file ends at {file.size}", FrameStatus.TRUNCATED
        )
    if not first:
        raise FrameFault(file.path, "its directory was not written", FrameStatus.TRUNCATED)
    if first < 8:
        raise FrameFault(file.path, f"the directory cannot be at byte {first}")
    (count,) = struct.unpack(f"{order}H", file.take(first, 2))
    if not 0 < count <= MAX_TAGS:
        raise FrameFault(file.path, f"a directory of {count} tags makes no sense")
    length = count * 12
    block = file.take(first + 2, length + 4)
    if len(block) < length:
        raise FrameFault(file.path, "the file ends inside its directory", FrameStatus.TRUNCATED)
    tags: dict[int, Tag] = {}
    place = first + 10
    for tag, kind, number, value in _ENTRY[order].iter_unpack(block[:length]):
        if tag in _WANTED or tag >= epics.FIRST:
            tags.setdefault(tag, (kind, number, value, place))
        place += 12
    following = struct.unpack(f"{order}I", block[length:])[0] if len(block) == length + 4 else 0
    return tags, following if following != first else 0


def _integer(tags: dict[int, Tag], tag: int, order: str, default: int = 0) -> int:
    """Value of a tag that holds one integer."""
    entry = tags.get(tag)
    if entry is None:
        return default
    kind, _, value, _ = entry
    if kind == 3:
        return value & 0xFFFF if order == "<" else value >> 16
    if kind == 1:
        return value & 0xFF if order == "<" else value >> 24
    return value if kind == 4 else default


def _text(file: OpenFile, tags: dict[int, Tag], tag: int) -> bytes:
    """Bytes of an ASCII tag; empty where it is absent or lies outside the file."""
    entry = tags.get(tag)
    if entry is None or entry[0] not in (1, 2, 7):
        return b""
    _, count, value, place = entry
    return file.take(place if count <= 4 else value, min(count, MAX_TEXT))


def _numbers(file: OpenFile, tags: dict[int, Tag], tag: int, order: str) -> tuple[int, ...]:
    """Values of a tag that holds SHORT or LONG integers."""
    entry = tags.get(tag)
    if entry is None:
        return ()
    kind, count, value, place = entry
    if kind not in (3, 4) or count > MAX_TEXT:
        return ()
    size = _SIZES[kind] * count
    block = file.take(place if size <= 4 else value, size)
    return struct.unpack(f"{order}{count}{'H' if kind == 3 else 'I'}", block) if len(block) == size else ()


def _with_epics(file: OpenFile, tags: dict[int, Tag], order: str, header: FrameHeader) -> FrameHeader:
    """Add what EPICS areaDetector wrote into its private tags."""
    private = {tag: _value(file, entry, order) for tag, entry in tags.items() if tag >= epics.FIRST}
    return epics.complete(header, private)


def _value(file: OpenFile, entry: Tag, order: str) -> epics.Value:
    """Value of an integer, floating-point or text tag."""
    kind, count, value, place = entry
    if kind == 2:
        return clean(file.take(place if count <= 4 else value, min(count, MAX_TEXT)))
    if kind == 12 and count == 1:
        block = file.take(value, 8)
        return float(struct.unpack(f"{order}d", block)[0]) if len(block) == 8 else None
    return value if kind in (4, 9) and count == 1 else None


def _is_plain(tags: dict[int, Tag], order: str) -> bool:
    """Whether the pixels are uncompressed single samples in strips."""
    return (
        _integer(tags, COMPRESSION, order, 1) == 1
        and _integer(tags, SAMPLES, order, 1) == 1
        and _integer(tags, PREDICTOR, order, 1) == 1
        and _integer(tags, FILL_ORDER, order, 1) == 1
        and tags.get(BITS, (3, 1))[1] == tags.get(SAMPLE_FORMAT, (3, 1))[1] == 1
        and TILE_WIDTH not in tags
        and SUB_IFDS not in tags
        and STRIP_OFFSETS in tags
    )


def _pixels(file: OpenFile, tags: dict[int, Tag], order: str, length: int, expected: int) -> int:
    """Offset of the block of pixels, which must lie inside the file."""
    offsets, counts = (_numbers(file, tags, tag, order) for tag in (STRIP_OFFSETS, STRIP_COUNTS))
    rows = _integer(tags, ROWS_PER_STRIP, order, length) or length
    strips = -(-length // rows)
    if len(offsets) != strips or len(counts) not in (0, strips):
        raise FrameFault(file.path, f"{strips} strips expected, {len(offsets)} offsets and {len(counts)} sizes found")
    joined = all(one + size == other for one, size, other in zip(offsets, counts, offsets[1:], strict=False))
    if strips > 1 and (not counts or not joined):
        raise NotPlain
    if counts and sum(counts) < expected:
        raise FrameFault(file.path, f"{expected} bytes of pixels expected, the header declares {sum(counts)}")
    if strips > 1 and sum(counts) != expected:
        raise NotPlain
    if offsets[0] < 8:
        raise FrameFault(file.path, f"pixels cannot begin at byte {offsets[0]}")
    if offsets[0] + expected > file.size:
        found = max(0, file.size - offsets[0])
        raise FrameFault(
            file.path, f"truncated: {expected} bytes of pixels expected, {found} found", FrameStatus.TRUNCATED
        )
    return offsets[0]
