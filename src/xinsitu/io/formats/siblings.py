"""Frames of a camserver series differ by their stamps alone: their heads are compared, not walked again."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from .header import FrameHeader
from .pilatus import clean
from .reading import HEAD, READ, hole, may_pass, unreadable

_STAMP = slice(30, 62)
_STAMP_TAG = struct.pack("<HHII", 306, 2, 32, 30)
"""The directory entry of camserver's stamp: 32 characters at byte 30."""


class Sibling(NamedTuple):
    """A frame of the series that was walked, and the bytes of its head around the stamp."""

    before: bytes
    behind: bytes
    header: FrameHeader

    def header_of(self, path: str) -> FrameHeader | None:
        """Header of a file of the same size and with the same bytes around its stamp; None where it must be walked.

        Raises
        ------
        FrameFault
            The file cannot be read.
        """
        try:
            return self._header_of(path)
        except OSError as error:
            if may_pass(error):
                return None
            raise unreadable(path, error) from None

    def _header_of(self, path: str) -> FrameHeader | None:
        fd = os.open(path, READ)
        try:
            status = os.fstat(fd)
            head = os.read(fd, HEAD)
            same = head.startswith(self.before) and head.endswith(self.behind) and len(head) == HEAD
            if not same or status.st_size != self.header.size or not (stamp := clean(head[_STAMP])):
                return None
            return FrameHeader(*self.header[:-3], status.st_mtime_ns, stamp, hole(fd, status))
        finally:
            os.close(fd)


def sibling(path: str, header: FrameHeader) -> Sibling | None:
    """Return what other frames may be compared with; None where not all is in camserver's places."""
    if header.offset != HEAD or header.stamp_source != "tiff:306" or not header.software.startswith("TVX"):
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:  # gone since; said when it is read
        return None
    in_place = _STAMP_TAG in head and clean(head[_STAMP]) == header.stamp
    return Sibling(head[: _STAMP.start], head[_STAMP.stop :], header) if in_place else None
