"""ESRF data format: text headers ``{ key = value ; }``, each followed by a block of raw pixels.

Read without a library: the pixels are plain. A header that names another file (``EDF_BinaryFileName``) is refused; a
reader that follows it opens any file that the author of the header likes. Keys of SAXS stations are those of
"Keywords for SAXS data in EDF files" (ESRF ID02), in SI units where a value names none.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from xinsitu.io.units import quantity
from xinsitu.schema import FrameStatus

from .header import MAX_PIXELS, FrameFault, FrameHeader
from .no_value import NoValue
from .pilatus import PilatusText, parse_pilatus

MAX_HEADER = 2**24
MAX_BLOCKS = 65536
_HEAD = 8192
_TYPES = {
    "signedbyte": "i1", "signed8": "i1", "unsignedbyte": "u1", "unsigned8": "u1", "signedshort": "i2", "signed16": "i2",
    "unsignedshort": "u2", "unsigned16": "u2", "signedinteger": "i4", "signed32": "i4", "signedlong": "i4",
    "unsignedinteger": "u4", "unsigned32": "u4", "unsignedlong": "u4", "signed64": "i8", "unsigned64": "u8",
    "float": "f4", "floatvalue": "f4", "float32": "f4", "floatieee32": "f4",
    "double": "f8", "doublevalue": "f8", "floatieee64": "f8", "doubleieee64": "f8",
}  # fmt: skip
_ORDERS = {"lowbytefirst": "<", "highbytefirst": ">"}
_END = re.compile(rb"[;{]\s*\}|\n[ \t]*\}")
"""Where a header ends: a brace behind a finished key or at the begin of a line; one inside a value ends nothing."""
_EXPOSURES = ("exposure_time", "exposuretime", "count_time", "acq_expo_time", "exposure")
_LONGEST_WAVE, _LARGEST_PIXEL = 1e-7, 1e-2
"""In m, as bare numbers are by the format: who writes ångströms or millimetres is far above."""
_DDUMMY = 0.1
"""How far from ``Dummy`` a number may be and still mean it, where ``DDummy`` does not say."""

Layout = tuple[tuple[int, int], np.dtype[np.generic]]


def describe(path: str, fd: int, size: int, mtime_ns: int) -> FrameHeader:
    """Header of an EDF file of one or several frames.

    Raises
    ------
    FrameFault
        The file is truncated, its frames differ, or a header points to another file.
    """
    place = 0
    offsets: list[int] = []
    first: Layout | None = None
    frames: list[dict[str, str]] = []
    general: dict[str, str] = {}
    while place < size and len(offsets) < MAX_BLOCKS:
        block, begin = _block(path, fd, place)
        if _is_general(block):
            general |= block
            place = begin + _whole(block.get("edf_binarysize"))
            continue
        found = _layout(path, block)
        frames.append(general | block)
        if first is None:
            first = found
        elif found != first:
            raise FrameFault(path, f"frame {len(offsets)} is {found}, frame 0 is {first}", FrameStatus.WRONG_SHAPE)
        length = found[0][0] * found[0][1] * found[1].itemsize
        count = _promised(block, length, size - begin) if not offsets else 1
        if begin + count * length > size:
            raise FrameFault(
                path,
                f"truncated: {count * length} bytes of pixels expected, {max(0, size - begin)} found",
                FrameStatus.TRUNCATED,
            )
        offsets += range(begin, begin + count * length, length)
        place = begin + max(count * length, _whole(block.get("edf_binarysize") or block.get("size")))
        if count > 1:
            break
    if first is None:
        raise FrameFault(path, "an EDF file without a frame", FrameStatus.TRUNCATED)
    return _header(frames, size, mtime_ns, first, tuple(offsets))


def _block(path: str, fd: int, place: int) -> tuple[dict[str, str], int]:
    """Keys of the header at a place (in lower case), and where its pixels begin."""
    os.lseek(fd, place, os.SEEK_SET)
    text = os.read(fd, _HEAD)
    end = _end(text)
    while end < 0 and len(text) < MAX_HEADER and (more := os.read(fd, 7 * len(text))):
        text += more
        end = _end(text)
    if end < 0:
        end = text.find(b"}")  # a last key without its semicolon
    if end < 0 or not text.lstrip().startswith(b"{"):
        raise FrameFault(path, f"no EDF header ends behind byte {place}", FrameStatus.TRUNCATED)
    tail = text[end + 1 : end + 3]
    begin = place + end + 1 + (2 if tail == b"\r\n" else 1 if tail[:1] == b"\n" else 0)
    body = text[:end].decode("latin-1").lstrip().removeprefix("{")
    pairs = (line.partition("=") for line in body.split(";"))
    keys = {name.strip().lower(): value.strip() for name, mark, value in pairs if mark}
    promised = place + _whole(keys.get("edf_headersize"))
    if text[begin - place : promised - place].strip(b" \r\n"):
        raise FrameFault(path, f"its header ends at byte {begin}, and says that it ends at byte {promised}")
    begin = max(begin, promised)
    if "edf_binaryfilename" in keys:
        raise FrameFault(path, "its header points to another file (EDF_BinaryFileName); this is refused")
    if keys.get("compression", "none").lower() not in ("none", "no", "nocompression", ""):
        raise FrameFault(path, f"EDF compression {keys['compression']!r} is not read")
    return keys, begin


def _end(text: bytes) -> int:
    match = _END.search(text)
    return -1 if match is None else match.end() - 1


def _is_general(keys: dict[str, str]) -> bool:
    """Whether a block holds no pixels, only what is true of the blocks behind it (EDF 2)."""
    named = keys.get("edf_datablockid", "").lower().endswith(".general")
    return named or (keys.get("edf_binarysize") == "0" and "datatype" not in keys and "dim_1" not in keys)


def _promised(keys: dict[str, str], length: int, room: int) -> int:
    """Frames behind one header: as many as it says (GE detectors), where the rest of the file is too long for one."""
    count = _whole(keys.get("num_images"))
    several = 1 < count <= MAX_BLOCKS and room >= 2 * length and _whole(keys.get("size")) <= length
    return count if several else 1


def _layout(path: str, keys: dict[str, str]) -> Layout:
    columns, rows = _whole(keys.get("dim_1")), _whole(keys.get("dim_2"))
    code = _TYPES.get(keys.get("datatype", "").lower())
    if code is None:
        raise FrameFault(path, f"EDF data type {keys.get('datatype')!r} is not read")
    if not 0 < rows * columns <= MAX_PIXELS or _whole(keys.get("dim_3", "1")) != 1:
        raise FrameFault(path, f"the header declares {keys.get('dim_2')} x {keys.get('dim_1')} pixels")
    order = _ORDERS.get(keys.get("byteorder", "LowByteFirst").lower())
    if order is None:
        raise FrameFault(path, f"EDF byte order {keys['byteorder']!r} is neither LowByteFirst nor HighByteFirst")
    return (rows, columns), np.dtype(order + code)


def _header(
    frames: Sequence[dict[str, str]],
    size: int,
    mtime_ns: int,
    layout: Layout,
    offsets: tuple[int, ...],
) -> FrameHeader:
    """Header of a file with the keys of each of its frames, or of all frames at once."""
    keys, several = frames[0], len(offsets) > 1
    plain = FrameHeader(
        size=size,
        mtime_ns=mtime_ns,
        shape=layout[0],
        dtype=layout[1],
        offset=offsets[0],
        pages=len(offsets),
        model=keys.get("detector", keys.get("camera", "")),
        page_offsets=offsets if several else (),
    )
    unusable: list[str] = []
    headers = [_with_keys(plain, own, keys, unusable) for own in frames]
    remarks = []
    if len(headers) < len(offsets):  # nothing that is of one moment is of every frame
        if headers[0].extra:
            remarks.append(f"its counters and motors are of all {len(offsets)} frames at once and are not used")
            headers[0] = headers[0]._replace(extra=())
        headers += [headers[0]._replace(stamp="", utc=None)] * (len(offsets) - 1)
    if several and headers[0].stamp and not any(one.stamp for one in headers[1:]):
        remarks.append("only its first frame has a time stamp")
    if first := {text.partition(" ")[0]: text for text in reversed(unusable)}:
        said = ", ".join(reversed(first.values()))
        remarks.append(f"the header's {said} cannot be understood and are not used")
    return headers[0]._replace(page_headers=tuple(headers) if several else (), remark="; ".join(remarks))


def _with_keys(plain: FrameHeader, keys: dict[str, str], first: dict[str, str], unusable: list[str]) -> FrameHeader:
    """Header with the keys of one frame; what it does not say of the detector is as with the first one."""
    moment = _number(keys.get("time_of_day"))
    stamp, source = "", ""
    if moment is not None:
        stamp, source = keys["time_of_day"], "edf:time_of_day"
    elif name := next((name for name in ("date", "time") if keys.get(name)), None):
        stamp, source = keys[name], f"edf:{name}"
    return plain._replace(
        stamp=stamp,
        stamp_source=source,
        utc=None if moment is None else round(moment * 1e6),
        text=_text(first | keys, unusable),
        extra=(*_listed(keys, "motor", unusable), *_listed(keys, "counter", unusable)),
        no_value=_no_value(first | keys),
    )


def _text(keys: dict[str, str], unusable: list[str]) -> PilatusText:
    """Return what the keys, or camserver's lines in the title, say of the detector; note the keys that say nothing."""

    def found(names: Iterable[str], unit: str, most: float = math.inf) -> float | None:
        for name in (name for name in names if keys.get(name)):
            value = quantity(keys[name], unit, default=unit)
            if value is not None and 0 < value < most:
                return value
            unusable.append(f"{name} = {keys[name]!r}")
        return None

    wavelength = found(("wavelength",), "m", _LONGEST_WAVE)
    if keys.get("dummy") and _number(keys["dummy"]) is None:
        unusable.append(f"dummy = {keys['dummy']!r}")
    own = PilatusText(
        exposure_time=found(_EXPOSURES, "s"),
        pixel_size_x=found(("psize_1",), "m", _LARGEST_PIXEL),
        pixel_size_y=found(("psize_2",), "m", _LARGEST_PIXEL),
        wavelength=None if wavelength is None else round(wavelength * 1e10, 12),
    )
    title = keys.get("title", "")
    camserver = parse_pilatus(title.encode("latin-1")) if title.startswith("#") else PilatusText()
    said = {name: value for name, value in vars(own).items() if value not in (None, "")}
    return replace(camserver, **said)


def _listed(keys: dict[str, str], kind: str, unusable: list[str]) -> tuple[tuple[str, float], ...]:
    """Return the names in ``counter_mne`` or ``motor_mne`` with their numbers, as SPEC writes them into headers."""
    names, words = (keys.get(f"{kind}_{part}", "").split() for part in ("mne", "pos"))
    numbers = [value for word in words if (value := _number(word)) is not None]
    if len(names) != len(numbers):
        unusable.append(f"{kind}_mne of {len(names)} names and {kind}_pos of {len(numbers)} numbers")
        return ()
    return tuple(
        (f"motor {name}" if kind == "motor" else name, value) for name, value in zip(names, numbers, strict=True)
    )


def _no_value(keys: dict[str, str]) -> NoValue:
    """Return what ``Dummy`` and ``DDummy`` say; a ``Dummy`` of 0 says nothing."""
    dummy, reach = _number(keys.get("dummy")), _number(keys.get("ddummy"))
    if not dummy:
        return NoValue()
    return NoValue((dummy,), tolerance=_DDUMMY if reach is None or reach < 0 else reach)


def _whole(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d{1,12}", text.strip()) else 0


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
