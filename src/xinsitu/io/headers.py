"""The header of a frame: size, type, place of the pixels, time stamp, detector."""

from __future__ import annotations

import errno
import os

from xinsitu.schema import FrameStatus

from . import cbf, edf
from .frame_header import FrameFault, FrameHeader
from .tiff_walk import NotPlain, OpenFile, walk

_HEAD = 4096


def read_header(path: str) -> FrameHeader:
    """Header of one TIFF, CBF or EDF file.

    Raises
    ------
    FrameFault
        The file is empty, truncated, no TIFF, or contradicts itself; the message says what was found.
    """
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise FrameFault(path, "the file is not there any more", FrameStatus.MISSING) from None
    except OSError as error:
        raise FrameFault(path, f"cannot be opened ({error.strerror})") from None
    try:
        status = os.fstat(fd)
        if status.st_size == 0:
            raise FrameFault(path, "the file is empty (0 bytes)", FrameStatus.TRUNCATED)
        head = os.read(fd, _HEAD)
        if head.startswith(cbf.MAGIC):
            return cbf.describe(path, fd, status.st_size, status.st_mtime_ns)
        if head[:64].lstrip().startswith(b"{") and path.lower().endswith(".edf"):
            return edf.describe(path, fd, status.st_size, status.st_mtime_ns)
        file = OpenFile(path, fd, status.st_size, head, _is_hollow(fd, status))
        try:
            return walk(file, status.st_mtime_ns)
        except NotPlain:
            from .tiff import describe  # tifffile takes 0.2 s to import, and most frames are plain

            return describe(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise FrameFault(path, f"cannot be read ({error.strerror or error})") from None
    finally:
        os.close(fd)


def _is_hollow(fd: int, status: os.stat_result) -> bool:
    """Whether the second half of a file is a hole.

    Shorter holes mean nothing: sound frames with dark rows have them wherever a copy left blocks of zeros out.
    """
    if getattr(status, "st_blocks", status.st_size) * 512 >= status.st_size or not hasattr(os, "SEEK_DATA"):
        return False
    try:
        os.lseek(fd, status.st_size // 2, os.SEEK_DATA)
    except OSError as error:
        return error.errno == errno.ENXIO  # no data from here to the end
    finally:
        os.lseek(fd, 0, os.SEEK_SET)
    return False
