"""The header of a frame: size, type, place of the pixels, time stamp, detector."""

from __future__ import annotations

import errno
import os
import struct
from typing import NamedTuple

from xinsitu.schema import FrameStatus

from . import cbf, edf
from .frame_header import FrameFault, FrameHeader
from .retry import retried
from .stamps import clean
from .tiff_walk import NotPlain, OpenFile, walk

_HEAD = 4096
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Without blocking: a pipe that bears the name of a frame would wait for ever."""
_KNOWS_HOLES = hasattr(os, "SEEK_DATA")
_STAMP = slice(30, 62)
_STAMP_TAG = struct.pack("<HHII", 306, 2, 32, 30)
"""The directory entry of camserver's stamp: 32 characters at byte 30."""


class Sibling(NamedTuple):
    """A camserver frame of the series that was walked; most others differ from it by their stamp alone."""

    before: bytes
    behind: bytes
    """The bytes of its head around the stamp."""
    header: FrameHeader

    def header_of(self, head: bytes, status: os.stat_result, hollow: bool) -> FrameHeader | None:
        """Header of a file with the same size and the same bytes around its stamp; None where they differ."""
        same = head.startswith(self.before) and head.endswith(self.behind) and len(head) == _HEAD
        if not same or status.st_size != self.header.size:
            return None
        stamp = clean(head[_STAMP])
        return FrameHeader(*self.header[:-3], status.st_mtime_ns, stamp, hollow) if stamp else None


def sibling(path: str, header: FrameHeader) -> Sibling | None:
    """Return what :func:`read_header` may compare other frames with; None where not all is in camserver's places."""
    if header.offset != _HEAD or header.stamp_source != "tiff:306" or not header.software.startswith("TVX"):
        return None
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    in_place = _STAMP_TAG in head and clean(head[_STAMP]) == header.stamp
    return Sibling(head[: _STAMP.start], head[_STAMP.stop :], header) if in_place else None


def read_header(path: str, like: Sibling | None = None) -> FrameHeader:
    """Header of one TIFF, CBF or EDF file.

    Parameters
    ----------
    path
        The file.
    like
        A frame of the same series: what differs from it by its stamp alone is not walked again.

    Raises
    ------
    FrameFault
        The file is empty, truncated, no TIFF, or contradicts itself; the message says what was found.
    """
    try:
        return retried(_read_header, path, like)
    except FileNotFoundError:
        raise FrameFault(path, "the file is not there any more", FrameStatus.MISSING) from None
    except OSError as error:
        raise FrameFault(path, f"cannot be read ({error.strerror or error})") from None


def _read_header(path: str, like: Sibling | None) -> FrameHeader:
    fd = os.open(path, _READ)
    try:
        status = os.fstat(fd)
        head = os.read(fd, _HEAD)
        hollow = status.st_blocks * 512 < status.st_size and _ends_in_a_hole(fd, status.st_size)
        if like is not None and (known := like.header_of(head, status, hollow)) is not None:
            return known
        if status.st_size == 0:
            raise FrameFault(path, "the file is empty (0 bytes)", FrameStatus.TRUNCATED)
        if head.startswith(cbf.MAGIC):
            return cbf.describe(path, fd, status.st_size, status.st_mtime_ns)
        if head[:64].lstrip().startswith(b"{") and path.lower().endswith(".edf"):
            return edf.describe(path, fd, status.st_size, status.st_mtime_ns)
        file = OpenFile(path, fd, status.st_size, head, hollow)
        try:
            return walk(file, status.st_mtime_ns)
        except NotPlain:
            from .tiff import describe  # tifffile takes 0.2 s to import, and most frames are plain

            return describe(path, status.st_size, status.st_mtime_ns)
    finally:
        os.close(fd)


def _ends_in_a_hole(fd: int, size: int) -> bool:
    """Whether the last twentieth of a file was never written, or is a block of zeros that a copy left out."""
    try:
        os.lseek(fd, size - size // 20, os.SEEK_DATA)
    except OSError as error:
        return error.errno == errno.ENXIO  # no data from here to the end
    finally:
        os.lseek(fd, 0, os.SEEK_SET)
    return False
