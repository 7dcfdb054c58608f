"""The header of a frame: size, type, place of the pixels, time stamp, detector."""

from __future__ import annotations

import os

from xinsitu.schema import FrameStatus

from .frame_header import FrameFault, FrameHeader
from .tiff_walk import NotPlain, OpenFile, walk

_HEAD = 4096


def read_header(path: str) -> FrameHeader:
    """Header of one TIFF file.

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
        sparse = getattr(status, "st_blocks", status.st_size) * 512 < status.st_size
        file = OpenFile(path, fd, status.st_size, os.read(fd, _HEAD), sparse)
        try:
            return walk(file, status.st_mtime_ns)
        except NotPlain:
            from .tiff import describe  # tifffile takes 0.2 s to import, and most frames are plain

            return describe(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise FrameFault(path, f"cannot be read ({error.strerror or error})") from None
    finally:
        os.close(fd)
