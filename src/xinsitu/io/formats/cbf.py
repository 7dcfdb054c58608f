"""CBF files of PILATUS and Eiger detectors: the mini-CBF header, and pixels compressed as byte offsets.

The header is read here; fabio, an optional extra, undoes the compression.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu.schema import FrameStatus

from .header import MAX_PIXELS, FrameFault, FrameHeader
from .pilatus import parse_pilatus

MAGIC = b"###CBF"
MAX_HEADER = 65536
_START = b"\x0c\x1a\x04\xd5"
_TYPES = {
    "signed 8-bit integer": "i1", "unsigned 8-bit integer": "u1", "signed 16-bit integer": "i2",
    "unsigned 16-bit integer": "u2", "signed 32-bit integer": "i4", "unsigned 32-bit integer": "u4",
}  # fmt: skip
_FIELD = re.compile(
    rb'^[ \t]*(X-Binary-[\w-]+|conversions|Content-Transfer-Encoding|Content-MD5)\s*[:=]\s*"?([^"\r\n;]*)', re.MULTILINE
)
_DETECTOR = re.compile(rb"^# Detector:?\s*([^\r\n]*)", re.MULTILINE)


def describe(path: str, fd: int, size: int, mtime_ns: int) -> FrameHeader:
    """Header of a CBF file.

    Raises
    ------
    FrameFault
        The file is truncated, or holds something else than one frame of byte offsets.
    """
    head, fields, begin, length = _parts(path, fd)
    columns, rows = (_whole(fields.get(f"X-Binary-Size-{which}-Dimension")) for which in ("Fastest", "Second"))
    code = _TYPES.get(fields.get("X-Binary-Element-Type", ""))
    if code is None:
        raise FrameFault(path, f"CBF element type {fields.get('X-Binary-Element-Type')!r} is not read")
    if not 0 < rows * columns <= MAX_PIXELS:
        raise FrameFault(path, f"the header declares {rows} x {columns} pixels")
    if begin + length > size:
        raise FrameFault(
            path, f"truncated: {length} bytes of pixels expected, {size - begin} found", FrameStatus.TRUNCATED
        )
    if length < rows * columns:
        raise FrameFault(path, f"{length} bytes cannot hold {rows} x {columns} pixels")
    text = parse_pilatus(head[head.find(b"_array_data.header_contents") :][:MAX_HEADER])
    model = _DETECTOR.search(head)
    return FrameHeader(
        size=size,
        mtime_ns=mtime_ns,
        shape=(rows, columns),
        dtype=np.dtype(f"={code}"),
        offset=-1,
        stamp=text.stamp or "",
        stamp_source="cbf" if text.stamp else "",
        text=text,
        model=model[1].decode("ascii", "replace").strip() if model else "",
    )


def decode(path: str) -> npt.NDArray[Any]:
    """Pixels of a CBF file.

    Raises
    ------
    FrameFault
        fabio is not installed, or the pixels cannot be decompressed, or their checksum is not that of the header.
    """
    try:
        from fabio.compression import decByteOffset
    except ImportError:
        raise FrameFault(path, "CBF needs fabio: pip install 'xinsitu[formats]'") from None
    with open(path, "rb", buffering=0) as file:
        header = describe(path, file.fileno(), os.fstat(file.fileno()).st_size, 0)
        _, fields, begin, length = _parts(path, file.fileno())
        file.seek(begin)
        block = file.read(length)
    if not _is_sound(block, fields.get("Content-MD5", "")):
        raise FrameFault(path, "its pixels are not those that were written: their checksum (Content-MD5) is another")
    count = header.shape[0] * header.shape[1]
    try:
        pixels = np.asarray(decByteOffset(block, size=count, dtype="int64"))
    except (ValueError, IndexError, TypeError, OverflowError, MemoryError) as error:
        raise FrameFault(path, f"the pixels cannot be decompressed ({error})") from None
    if pixels.size != count:
        raise FrameFault(path, f"{count} pixels expected, {pixels.size} found")
    narrow = pixels.astype(header.dtype)  # differences of 32 bits wrap, and so do the values that add them up
    if header.dtype != np.uint32 and not np.array_equal(narrow, pixels):
        raise FrameFault(path, f"pixels do not fit the declared {header.dtype}")
    return narrow.reshape(header.shape)


def _is_sound(block: bytes, checksum: str) -> bool:
    """Whether compressed pixels have the checksum that stands in the header, 16 bytes in base64; any, if none does."""
    if not re.fullmatch(r"[A-Za-z0-9+/]{22}==", checksum):
        return True
    found = hashlib.md5(block, usedforsecurity=False).digest()
    return found == base64.b64decode(checksum)


def _parts(path: str, fd: int) -> tuple[bytes, dict[str, str], int, int]:
    """Text in front of the pixels, its binary fields, and where the pixels begin and how long they are."""
    os.lseek(fd, 0, os.SEEK_SET)
    head = os.read(fd, MAX_HEADER)
    start = head.find(_START)
    if start < 0:
        raise FrameFault(path, f"no pixels begin in the first {MAX_HEADER} bytes", FrameStatus.TRUNCATED)
    found = _FIELD.findall(head[:start])
    fields = {name.decode(): value.decode("ascii", "replace").strip() for name, value in found}
    if fields.get("conversions", "x-CBF_BYTE_OFFSET") != "x-CBF_BYTE_OFFSET":
        raise FrameFault(path, f"CBF compression {fields['conversions']} is not read")
    return head[:start], fields, start + len(_START), _whole(fields.get("X-Binary-Size"))


def _whole(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d{1,12}", text) else 0
