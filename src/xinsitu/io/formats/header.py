"""What is known of a file before its pixels are read, and the fault of one that cannot be used."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from xinsitu.errors import FrameError, XinsituError
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


@contextlib.contextmanager
def faults_of(path: str | os.PathLike[str], what: str = "the HDF5 file is damaged") -> Iterator[None]:
    """Make whatever a library throws at a damaged file a fault of that file.

    Raises
    ------
    FrameFault
        Anything but an error of ours was raised inside.
    """
    try:
        yield
    except XinsituError:
        raise
    except Exception as error:  # noqa: BLE001 - no library has a list of what it throws
        raise FrameFault(path, disc_fault(error) or f"{what} ({' '.join(str(error).split())})") from None


_OF_THE_DISC = {errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT, errno.ENXIO, errno.EACCES, errno.EPERM}
_IN_HDF5 = re.compile(r"read failed: .*\berrno = (\d+)\b", re.DOTALL)
"""HDF5 tells the number among its own times and places; what h5py raises is of the call, and need be no OSError."""


def disc_fault(error: Exception) -> str:
    """Return what the disc said; nothing where the file itself is at fault."""
    found = _IN_HDF5.search(str(error))
    code = int(found[1]) if found else error.errno if isinstance(error, OSError) else None
    return f"cannot be read ({os.strerror(code)})" if code in _OF_THE_DISC else ""


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
    page_offsets, page_headers
        Byte of the first pixel of each page, where there are several plain ones; header of each page, where pages
        differ in more than that.
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
    page_headers: tuple[FrameHeader, ...] = ()
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
