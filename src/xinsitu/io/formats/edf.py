"""ESRF data format: text headers ``{ key = value ; }``, each followed by a block of raw pixels.

Read without a library: the pixels are plain. A header that names another file (``EDF_BinaryFileName``) is refused; a
reader that follows it opens any file that the author of the header likes.
"""

from __future__ import annotations

import math
import os
import re

import numpy as np

from xinsitu.schema import FrameStatus

from .header import MAX_PIXELS, FrameFault, FrameHeader
from .pilatus import PilatusText

MAX_HEADER = 65536
MAX_BLOCKS = 65536
_HEAD = 8192
_TYPES = {
    "signedbyte": "i1", "signed8": "i1", "unsignedbyte": "u1", "unsigned8": "u1", "signedshort": "i2", "signed16": "i2",
    "unsignedshort": "u2", "unsigned16": "u2", "signedinteger": "i4", "signed32": "i4", "signedlong": "i4",
    "unsignedinteger": "u4", "unsigned32": "u4", "unsignedlong": "u4", "signed64": "i8", "unsigned64": "u8",
    "float": "f4", "floatvalue": "f4", "float32": "f4", "floatieee32": "f4",
    "double": "f8", "doublevalue": "f8", "floatieee64": "f8", "doubleieee64": "f8",
}  # fmt: skip
_EXPOSURES = ("exposure_time", "count_time", "acq_expo_time", "exposure")


def describe(path: str, fd: int, size: int, mtime_ns: int) -> FrameHeader:
    """Header of an EDF file of one or several frames.

    Raises
    ------
    FrameFault
        The file is truncated, its frames differ, or a header points to another file.
    """
    place = 0
    offsets: list[int] = []
    first: tuple[tuple[int, int], np.dtype[np.generic]] | None = None
    keys: dict[str, str] = {}
    while place < size and len(offsets) < MAX_BLOCKS:
        block, begin = _block(path, fd, place)
        found = _layout(path, block)
        if first is None:
            first, keys = found, block
        elif found != first:
            raise FrameFault(path, f"frame {len(offsets)} is {found}, frame 0 is {first}", FrameStatus.WRONG_SHAPE)
        length = found[0][0] * found[0][1] * found[1].itemsize
        if begin + length > size:
            raise FrameFault(
                path,
                f"truncated: {length} bytes of pixels expected, {max(0, size - begin)} found",
                FrameStatus.TRUNCATED,
            )
        offsets.append(begin)
        place = begin + max(length, _whole(block.get("edf_binarysize") or block.get("size")))
    if first is None:
        raise FrameFault(path, "an EDF file without a frame", FrameStatus.TRUNCATED)
    return _header(keys, size, mtime_ns, first, tuple(offsets))


def _block(path: str, fd: int, place: int) -> tuple[dict[str, str], int]:
    """Keys of the header at a place (in lower case), and where its pixels begin."""
    os.lseek(fd, place, os.SEEK_SET)
    text = os.read(fd, _HEAD)
    end = text.find(b"}")
    if end < 0:
        text += os.read(fd, MAX_HEADER - _HEAD)
        end = text.find(b"}")
    if end < 0 or not text.lstrip().startswith(b"{"):
        raise FrameFault(path, f"no EDF header ends behind byte {place}", FrameStatus.TRUNCATED)
    tail = text[end + 1 : end + 3]
    begin = place + end + 1 + (2 if tail == b"\r\n" else 1 if tail[:1] == b"\n" else 0)
    body = text[:end].decode("latin-1").lstrip().removeprefix("{")
    pairs = (line.partition("=") for line in body.split(";"))
    keys = {name.strip().lower(): value.strip() for name, mark, value in pairs if mark}
    if "edf_binaryfilename" in keys:
        raise FrameFault(path, "its header points to another file (EDF_BinaryFileName); this is refused")
    if keys.get("compression", "none").lower() not in ("none", "no", "nocompression", ""):
        raise FrameFault(path, f"EDF compression {keys['compression']!r} is not read")
    return keys, begin


def _layout(path: str, keys: dict[str, str]) -> tuple[tuple[int, int], np.dtype[np.generic]]:
    columns, rows = _whole(keys.get("dim_1")), _whole(keys.get("dim_2"))
    code = _TYPES.get(keys.get("datatype", "").lower())
    if code is None:
        raise FrameFault(path, f"EDF data type {keys.get('datatype')!r} is not read")
    if not 0 < rows * columns <= MAX_PIXELS or _whole(keys.get("dim_3", "1")) != 1:
        raise FrameFault(path, f"the header declares {keys.get('dim_2')} x {keys.get('dim_1')} pixels")
    order = ">" if keys.get("byteorder", "").lower().startswith("high") else "<"
    return (rows, columns), np.dtype(order + code)


def _header(
    keys: dict[str, str],
    size: int,
    mtime_ns: int,
    layout: tuple[tuple[int, int], np.dtype[np.generic]],
    offsets: tuple[int, ...],
) -> FrameHeader:
    exposure = next((value for name in _EXPOSURES if (value := _number(keys.get(name))) is not None), None)
    moment = _number(keys.get("time_of_day"))
    stamp, source = "", ""
    if moment is not None:
        stamp, source = keys["time_of_day"], "edf:time_of_day"
    elif name := next((name for name in ("date", "time") if keys.get(name)), None):
        stamp, source = keys[name], f"edf:{name}"
    return FrameHeader(
        size=size,
        mtime_ns=mtime_ns,
        shape=layout[0],
        dtype=layout[1],
        offset=offsets[0],
        pages=len(offsets),
        stamp=stamp,
        stamp_source=source,
        utc=None if moment is None else round(moment * 1e6),
        text=PilatusText(exposure_time=exposure),
        model=keys.get("detector", keys.get("camera", "")),
        page_offsets=offsets if len(offsets) > 1 else (),
    )


def _whole(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d{1,12}", text.strip()) else 0


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
