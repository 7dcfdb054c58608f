"""What is known of a file before its pixels are read, and the fault of one that cannot be used."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from xinsitu.errors import FrameError
from xinsitu.schema import FrameStatus

from .no_value import NoValue
from .pilatus import NO_TEXT, PilatusText, parse_model

MAX_PIXELS = 2**28
"""More than any detector has; a header that declares more is not believed."""


END, ALL = 1, 2
"""How much of a file is a hole on the disc."""


class FrameFault(FrameError):
    """A file that holds no usable frame, with the status that it gets where frames are kept in spite of it."""

    def __init__(self, path: str | os.PathLike[str], reason: str, status: FrameStatus = FrameStatus.UNREADABLE) -> None:
        super().__init__(path, reason)
        self.status = status

    def __reduce__(self) -> tuple[type[FrameFault], tuple[str, str, FrameStatus]]:  # type: ignore[override] # one more
        return type(self), (self.path, self.reason, self.status)


class FrameHeader(NamedTuple):
    """What a file says before its pixels are read; the last three fields are what frames of one series differ by.

    Parameters
    ----------
    size
        Of the file, at the moment when its header was read.
    shape
        Rows and columns.
    dtype
        As stored, with byte order.
    offset
        Byte of the first pixel; -1 where the pixels are decoded by a library.
    pages
        Number of frames in the file.
    stamp_source
        Where the time text stands: ``tiff:306``.
    utc
        Microseconds since 1970-01-01 UTC where the stamp is a count of seconds and needs no zone.
    text
        What the detector wrote about the exposure.
    model, software
        Tags 272 and 305.
    page_offsets, page_stamps
        Byte of the first pixel of each page, where there are several plain ones; stamp of each of several pages.
    extra
        Further values of this frame by name, as areaDetector attributes.
    no_value
        Which stored numbers are no values.
    remark
        What a person should know of the file, and no fault.
    mtime_ns
        Of the file, with its size.
    stamp
        Time text as found.
    hollow
        Whether the last twentieth of the file (``END``), or all behind its header (``ALL``), is a hole on the disc,
        which reads as zeros.
    """

    size: int
    shape: tuple[int, int]
    dtype: np.dtype[np.generic]
    offset: int
    pages: int = 1
    stamp_source: str = ""
    utc: int | None = None
    text: PilatusText = NO_TEXT
    model: str = ""
    software: str = ""
    extra: tuple[tuple[str, str | float], ...] = ()
    page_offsets: tuple[int, ...] = ()
    page_stamps: tuple[str, ...] = ()
    no_value: NoValue = NoValue()
    remark: str = ""
    mtime_ns: int = 0
    stamp: str = ""
    hollow: int = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of the file and of its text."""
        return tuple(remark for remark in (self.remark, self.text.remark) if remark)

    @property
    def detector(self) -> tuple[str, str | None]:
        """Detector and serial number."""
        return parse_model(self.model)


_MAGIC = (
    (b"version https://git-lfs", "a Git LFS pointer, not image data; run git lfs pull"),
    (b"\xff\xd8\xff", "a JPEG image, not a TIFF"),
    (b"\x89PNG", "a PNG image, not a TIFF"),
    (b"\x89HDF", "an HDF5 file, not a TIFF"),
    (b"\x1f\x8b", "a gzip file, not a TIFF"),
    (b"PK\x03\x04", "a zip file, not a TIFF"),
    (b"\x00\x05\x16\x07", "a macOS resource fork, not a TIFF"),
    (b"<", "HTML or XML text, not a TIFF"),
)


def what_it_is(head: bytes) -> str:
    """Say in words what a file that is no TIFF is.

    Examples
    --------
    >>> what_it_is(b"version https://git-lfs.github.com/spec/v1")
    'a Git LFS pointer, not image data; run git lfs pull'
    """
    for magic, words in _MAGIC:
        if head.lstrip().startswith(magic) if magic == b"<" else head.startswith(magic):
            return words
    if not head.strip(b"\0"):
        return "a block of zeros, not a TIFF"
    try:
        head.decode("ascii")
    except UnicodeDecodeError:
        return f"not a TIFF: it begins with {head[:4]!r}"
    return "text, not a TIFF"
