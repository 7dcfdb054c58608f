"""The header of a frame: size, type, place of the pixels, time stamp, detector."""

from __future__ import annotations

import errno
import os

from xinsitu.schema import FrameStatus

from . import cbf, edf
from .header import ALL, END, FrameFault, FrameHeader
from .retry import retried
from .tiff import NotPlain, OpenFile, walk

HEAD = 4096
READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Without blocking: a pipe that bears the name of a frame would wait for ever."""


def read_header(path: str) -> FrameHeader:
    """Header of one TIFF, CBF or EDF file.

    Raises
    ------
    FrameFault
        The file is empty, truncated, no TIFF, or contradicts itself; the message says what was found.
    """
    try:
        return retried(_read_header, path)
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: str, error: OSError) -> FrameFault:
    """Return the fault of a file that the disc does not give."""
    if isinstance(error, FileNotFoundError):
        return FrameFault(path, "the file is not there any more", FrameStatus.MISSING)
    return FrameFault(path, f"cannot be read ({error.strerror or error})")


def _read_header(path: str) -> FrameHeader:
    fd = os.open(path, READ)
    try:
        status = os.fstat(fd)
        head = os.read(fd, HEAD)
        if status.st_size == 0:
            raise FrameFault(path, "the file is empty (0 bytes)", FrameStatus.TRUNCATED)
        if head.startswith(cbf.MAGIC):
            return cbf.describe(path, fd, status.st_size, status.st_mtime_ns)
        if head[:64].lstrip().startswith(b"{") and path.lower().endswith(".edf"):
            return edf.describe(path, fd, status.st_size, status.st_mtime_ns)
        file = OpenFile(path, fd, status.st_size, head, hole(fd, status))
        try:
            return walk(file, status.st_mtime_ns)
        except NotPlain:
            from .tiff_other import describe  # tifffile takes 0.2 s to import, and most frames are plain

            return describe(path, status.st_size, status.st_mtime_ns)
    finally:
        os.close(fd)


def hole(fd: int, status: os.stat_result) -> int:
    """How much of a file was never written, or is a block of zeros that a copy left out.

    Returns
    -------
    int
        ``END``: the last twentieth; ``ALL``: everything behind the header, as in a file that was reserved; else 0.
    """
    if status.st_blocks * 512 >= status.st_size:
        return 0
    tail = status.st_size - status.st_size // 20
    if tail > HEAD and _no_data(fd, HEAD, tail):
        return ALL
    return END if _no_data(fd, tail, status.st_size) else 0


def _no_data(fd: int, start: int, stop: int) -> bool:
    """Whether the disc holds nothing between two places of a file."""
    try:
        return os.lseek(fd, start, os.SEEK_DATA) >= stop
    except OSError as error:
        return error.errno == errno.ENXIO  # no data from here to the end
    finally:
        os.lseek(fd, 0, os.SEEK_SET)
