"""TIFF files that are not one plain block, through tifffile: compressed, tiled, BigTIFF, several pages.

tifffile believes what a header says; so the directories are checked here first: sizes, tiles, loops, and how far a
compressed block could swell.
"""

from __future__ import annotations

import logging
import math
import os
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tifffile

from xinsitu.schema import FrameStatus

from . import epics
from .header import MAX_PIXELS, FrameFault, FrameHeader
from .pilatus import NO_TEXT, clean, parse_pilatus
from .tiff import BITS, LAYOUT, SAMPLE_FORMAT, check_layout

MAX_PAGES = 65536
MAX_RATIO = 10_000
"""How many times larger than its file a compressed page may become."""
_BLACK_AND_WHITE = frozenset((2, 3, 4, 32771))
"""Compressions of fax machines: undone, other bytes become pixels of any kind."""


def describe(path: str, size: int, mtime_ns: int) -> FrameHeader:
    """Header of a TIFF file that is not plain.

    Raises
    ------
    FrameFault
        Pages differ in shape or dtype, are no single-sample images, or declare more than the file can hold.
    """
    with _opened(path) as tiff:
        pages = _pages(path, tiff)
        first = pages[0]
        dtype = _checked(path, first, size)
        for number, page in enumerate(pages[1:], start=1):
            if (page.shape, page.dtype) != (first.shape, first.dtype):
                raise FrameFault(
                    path,
                    f"page {number} is {page.shape} {page.dtype}, page 0 is {first.shape} {first.dtype}",
                    FrameStatus.WRONG_SHAPE,
                )
            _checked(path, page, size)
        behind = _behind_one_directory(path, tiff, size) if len(pages) == 1 else ()
        header = FrameHeader(
            size=size,
            mtime_ns=mtime_ns,
            shape=(int(first.shape[0]), int(first.shape[1])),
            dtype=dtype.newbyteorder(tiff.byteorder) if behind else dtype,
            offset=behind[0] if behind else -1,
            pages=len(behind) or len(pages),
            page_offsets=behind,
            text=parse_pilatus(_ascii(first, "ImageDescription")),
            remark=_promises(len(behind) or len(pages), _declared(tiff)),
            model=clean(_ascii(first, "Model")),
            software=clean(_ascii(first, "Software")),
        )
        headers = tuple(_with_tags(header, page) for page in pages)
        if len(pages) > 1:
            alone = headers[0].stamp and not any(one.stamp for one in headers[1:])
            remark = "; ".join(one for one in (header.remark, alone and "only its first page has a time stamp") if one)
            return headers[0]._replace(page_headers=headers, remark=remark)
        return headers[0]


def _with_tags(header: FrameHeader, page: tifffile.TiffPage) -> FrameHeader:
    """Header of a file with what the tags of one page say of its moment, and of its exposure where they do."""
    text, stamp = parse_pilatus(_ascii(page, "ImageDescription")), clean(_ascii(page, "DateTime"))
    one = header._replace(
        stamp=stamp or text.stamp or "",
        stamp_source="tiff:306" if stamp else "tiff:270" if text.stamp else "",
        text=header.text if text == NO_TEXT else text,
    )
    private = {tag.code: tag.value for tag in page.tags if tag.code >= epics.FIRST}
    return epics.complete(one, private) if private else one


def decode(path: str, page: int) -> np.ndarray:
    """Pixels of one page.

    Raises
    ------
    FrameFault
        The page cannot be decoded.
    """
    with _opened(path) as tiff:
        pages = _pages(path, tiff)
        if page >= len(pages):
            raise FrameFault(path, f"page {page} is gone, {len(pages)} pages found", FrameStatus.CHANGED_SINCE_OPEN)
        _checked(path, pages[page], os.path.getsize(path))
        return np.asarray(pages[page].asarray(maxworkers=1))


@contextmanager
def _opened(path: str) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file; whatever tifffile raises, in one kind of error that names the file."""
    try:
        with _unlogged(), tifffile.TiffFile(path) as tiff:
            yield tiff
    except FrameFault:
        raise
    except Exception as error:  # it raises seven kinds, struct.error and MemoryError among them
        raise FrameFault(path, f"tifffile cannot read it ({error or type(error).__name__})") from error


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep tifffile from printing what it finds odd while we read: it does not say in which file."""
    before, _reading.here = getattr(_reading, "here", False), True
    try:
        yield
    finally:
        _reading.here = before


_reading = threading.local()
"""Which threads read a frame for us just now: what others do with tifffile is logged as ever."""


def _is_not_ours(_: logging.LogRecord) -> bool:
    return not getattr(_reading, "here", False)


logging.getLogger("tifffile").addFilter(_is_not_ours)


def _pages(path: str, tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """All pages, each directory visited once."""
    pages: list[tifffile.TiffPage] = []
    seen: set[int] = set()
    for page in tiff.pages:
        if page.offset in seen:
            raise FrameFault(path, f"the directory at byte {page.offset} comes twice: its pages form a loop")
        if len(pages) >= MAX_PAGES:
            raise FrameFault(path, f"more than {MAX_PAGES} pages")
        seen.add(page.offset)
        pages.append(page.aspage())
    if not pages:
        raise FrameFault(path, "a TIFF without a page")
    size, following = tiff.filehandle.size, _following(tiff, pages[-1].offset)
    if following is None and len(pages) > 1:
        raise FrameFault(path, f"the file ends inside the directory of page {len(pages) - 1}", FrameStatus.TRUNCATED)
    if following and following not in seen and following + 2 > size:
        raise FrameFault(
            path, f"page {len(pages)} should be at byte {following}, the file ends at {size}", FrameStatus.TRUNCATED
        )
    return pages


def _layout(page: tifffile.TiffPage) -> dict[int, tuple[int, int]]:
    """Type and count of the tags of the layout as they stand in the file: tifffile leaves out what it does not know."""
    form, file = page.parent.tiff, page.parent.filehandle
    file.seek(page.offset)
    (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    block = file.read(tags * form.tagsize)
    entry = struct.Struct(f"{form.byteorder}HH{'Q' if form.tagsize == 20 else 'I'}")
    found = (entry.unpack_from(block, place) for place in range(0, len(block) - form.tagsize + 1, form.tagsize))
    return {tag: (kind, count) for tag, kind, count in found if tag in LAYOUT}


def _following(tiff: tifffile.TiffFile, offset: int) -> int | None:
    """Offset of the directory behind the one at this offset; 0 where it is the last, None where the file ends here."""
    form, file = tiff.tiff, tiff.filehandle
    file.seek(offset)
    (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(offset + form.tagnosize + tags * form.tagsize)
    found = file.read(form.offsetsize)
    return int(struct.unpack(form.offsetformat, found)[0]) if len(found) == form.offsetsize else None


def _behind_one_directory(path: str, tiff: tifffile.TiffFile, size: int) -> tuple[int, ...]:
    """Return where each frame begins of a stack that has one directory only, as ImageJ writes large ones."""
    page = tiff.pages[0]
    count = _declared(tiff)
    if count < 2:
        return ()
    length = int(page.shape[0]) * int(page.shape[1]) * page.dtype.itemsize
    if count > MAX_PAGES or page.compression != 1 or not page.is_contiguous:
        raise FrameFault(path, f"a stack of {count} frames behind one directory is not read; save its frames as pages")
    place = int(page.dataoffsets[0])
    if size - place < 2 * length:
        return ()  # one frame whose description was taken over from a stack
    if place + count * length > size:
        raise FrameFault(
            path, f"truncated: {count} frames of {length} bytes expected, {size - place} found", FrameStatus.TRUNCATED
        )
    return tuple(range(place, place + count * length, length))


def _promises(found: int, declared: int) -> str:
    """Say that a file has less frames than its description names, as where part of a stack was saved with all of it."""
    if found >= declared:
        return ""
    return f"its description promises {declared} frames, and the file holds {found}; these are opened"


def _declared(tiff: tifffile.TiffFile) -> int:
    """How many frames ImageJ, tifffile or MetaMorph say that they wrote behind the first directory."""
    description = tiff.pages[0].description
    if match := re.match(r"ImageJ=.*?^images=(\d{1,9})\s*$", description, re.DOTALL | re.MULTILINE):
        return int(match[1])
    if match := re.match(r'\{"shape": \[([\d, ]+)\].*"truncated": true', description):
        return math.prod(int(part) for part in match[1].split(",")[:-2])
    return math.prod(map(int, tiff.series[0].shape[:-2])) if tiff.is_stk else 1


def _checked(path: str, page: tifffile.TiffPage, size: int) -> np.dtype[np.generic]:
    """Check that a page is an image of numbers that the file can hold; its dtype in native byte order."""
    layout = _layout(page)
    check_layout(path, layout)
    if lost := sorted(layout.keys() - {tag.code for tag in page.tags}):
        raise FrameFault(path, f"its tag {lost[0]} says how pixels lie in the file and cannot be read")
    if len(page.shape) == 3 and (page.samplesperpixel or 1) > 1:
        raise FrameFault(
            path,
            f"{page.samplesperpixel} values per pixel, a colour picture and no detector frame; "
            "save each frame as a grey page (photometric='minisblack')",
        )
    if len(page.shape) != 2 or page.dtype is None or page.dtype.kind not in "iuf":
        raise FrameFault(path, f"a page of shape {page.shape} and dtype {page.dtype} is no detector frame")
    if any(layout.get(tag, (3, 1))[1] > 1 for tag in (BITS, SAMPLE_FORMAT)):
        raise FrameFault(path, "its header gives the kind of several numbers per pixel, and a pixel has one")
    if page.compression in _BLACK_AND_WHITE:
        raise FrameFault(path, f"compression {int(page.compression)} is of black and white, and its pixels are numbers")
    pixels = int(page.shape[0]) * int(page.shape[1])
    tile = max(1, page.tilewidth or 0) * max(1, page.tilelength or 0)
    if not 0 < pixels <= MAX_PIXELS or tile > MAX_PIXELS:
        raise FrameFault(path, f"the header declares {page.shape[0]} x {page.shape[1]} pixels (tiles of {tile})")
    pieces = _pieces(page)
    if min(len(page.dataoffsets), len(page.databytecounts)) < pieces:
        raise FrameFault(
            path,
            f"{pieces} strips or tiles of pixels expected, {len(page.dataoffsets)} offsets and "
            f"{len(page.databytecounts)} sizes found",
        )
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset < 8 or not count:
            raise FrameFault(path, f"{count} bytes of pixels at byte {offset}: a part of them was never written")
        if offset + count > size:
            raise FrameFault(
                path, f"truncated: pixels reach to byte {offset + count}, the file to {size}", FrameStatus.TRUNCATED
            )
    declared, stored = pixels * page.dtype.itemsize, sum(page.databytecounts)
    if stored * MAX_RATIO < declared or (page.compression == 1 and stored < declared):
        raise FrameFault(path, f"{stored} bytes cannot hold the {declared} bytes that the header declares")
    native: np.dtype[np.generic] = page.dtype.newbyteorder("=")
    return native


def _pieces(page: tifffile.TiffPage) -> int:
    """In how many strips or tiles the pixels of a page must lie."""
    rows, columns = map(int, page.shape)
    if page.is_tiled:
        return -(-rows // max(1, int(page.tilelength))) * -(-columns // max(1, int(page.tilewidth)))
    return -(-rows // max(1, min(int(page.rowsperstrip) or rows, rows)))


def _ascii(page: tifffile.TiffPage, name: str) -> bytes:
    tag = page.tags.get(name)
    value = "" if tag is None else tag.value
    return value if isinstance(value, bytes) else str(value).encode("utf-8", errors="replace")
