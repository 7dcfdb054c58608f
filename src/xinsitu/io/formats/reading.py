"""Header and pixels of a frame of any format: the table of formats, and once more what a network disc did not give."""

from __future__ import annotations

import errno
import logging
import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from xinsitu.io.formats import cbf, edf
from xinsitu.schema import FrameStatus

from .descriptors import is_ordinary
from .header import ALL, END, FrameFault, FrameHeader
from .many_files import read_heads
from .pilatus import clean
from .tiff import NotPlain, OpenFile, walk

log = logging.getLogger(__name__)

HEAD = 4096
READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Without blocking: a pipe that bears the name of a frame would wait for ever."""

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


@dataclass(frozen=True)
class Format:
    """A format of files that hold frames.

    Parameters
    ----------
    name
        What people call it.
    endings
        Of its files, in lower case.
    is_it
        Whether a file of this path that begins with these bytes is one.
    describe
        Reads the header of an open file: its path, descriptor, state and first bytes.
    decode
        Gives the pixels of one page, in the file's byte order; only of files whose pixels are no plain block.
    """

    name: str
    endings: tuple[str, ...]
    is_it: Callable[[str, bytes], bool]
    describe: Callable[[str, int, os.stat_result, bytes], FrameHeader]
    decode: Callable[[str, int], npt.NDArray[Any]]


def _tiff(path: str, fd: int, status: os.stat_result, head: bytes) -> FrameHeader:
    try:
        return walk(OpenFile(path, fd, status.st_size, head, hole(fd, status)), status.st_mtime_ns)
    except NotPlain:
        from .tiff_other import describe  # tifffile takes 0.2 s to import, and most frames are plain

        return describe(path, status.st_size, status.st_mtime_ns)


def _decode_tiff(path: str, page: int) -> npt.NDArray[Any]:
    from .tiff_other import decode

    return decode(path, page)


def _is_edf(path: str, head: bytes) -> bool:
    return path.lower().endswith(".edf") and head[:64].lstrip().startswith(b"{")


FORMATS = (
    Format(
        name="CBF",
        endings=(".cbf",),
        is_it=lambda path, head: head.startswith(cbf.MAGIC),
        describe=lambda path, fd, status, head: cbf.describe(path, fd, status.st_size, status.st_mtime_ns),
        decode=lambda path, page: cbf.decode(path),
    ),
    Format(
        name="EDF",
        endings=(".edf",),
        is_it=_is_edf,
        describe=lambda path, fd, status, head: edf.describe(path, fd, status.st_size, status.st_mtime_ns),
        decode=_decode_tiff,  # never: its pixels are plain
    ),
    Format(name="TIFF", endings=(".tif", ".tiff", ".mccd"), is_it=lambda path, head: True, describe=_tiff,
           decode=_decode_tiff),
)  # fmt: skip
"""Each is asked in turn; what is none of the others is taken for a TIFF, which says in words what it is instead."""
SUFFIXES = tuple(ending for one in FORMATS for ending in one.endings)
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".nc", ".nc4", ".cxi")


def format_of(path: str, head: bytes) -> Format:
    """Return the format of a file by its first bytes.

    Examples
    --------
    >>> format_of("a.tif", b"###CBF: VERSION").name, format_of("a.edf", b"{ HeaderID").name
    ('CBF', 'EDF')
    """
    return next(one for one in FORMATS if one.is_it(path, head))


# -- headers ----------------------------------------------------------------------------------------------------------


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
        if not is_ordinary(fd, status):
            raise FrameFault(path, "is a pipe, a device or a folder, no ordinary file")
        head = os.read(fd, HEAD)
        if status.st_size == 0:
            raise FrameFault(path, "the file is empty (0 bytes)", FrameStatus.TRUNCATED)
        return format_of(path, head).describe(path, fd, status, head)
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


# -- pixels -----------------------------------------------------------------------------------------------------------


def read_frame(path: str, header: FrameHeader, page: int = 0) -> npt.NDArray[Any]:
    """Pixels of one page of a file whose header was read, ``(y, x)``, in native byte order.

    Raises
    ------
    FrameFault
        They cannot be read or decoded, or are not what the header says.
    """
    if header.offset >= 0:
        return _plain(path, header, header.page_offsets[page] if header.page_offsets else header.offset)
    pixels = decode(path, page)
    native = header.dtype.newbyteorder("=")
    if pixels.shape != header.shape or pixels.dtype.newbyteorder("=") != native:
        raise FrameFault(path, f"{header.shape} {native} expected, {pixels.shape} {pixels.dtype} found")
    return pixels


def _plain(path: str, header: FrameHeader, offset: int) -> npt.NDArray[Any]:
    count = header.shape[0] * header.shape[1]
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            block = file.read(count * header.dtype.itemsize)
    except OSError as error:
        raise FrameFault(path, f"cannot be read ({error.strerror or error})") from None
    if len(block) < count * header.dtype.itemsize:
        raise FrameFault(path, "truncated since its header was read", FrameStatus.TRUNCATED)
    pixels = np.frombuffer(block, header.dtype).reshape(header.shape)
    return pixels.astype(header.dtype.newbyteorder("="), copy=False)


def decode(path: str, page: int) -> npt.NDArray[Any]:
    """Pixels of one page of a file, ``(y, x)``.

    Raises
    ------
    FrameFault
        The page cannot be decoded.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
    return format_of(path, head).decode(path, page)


# -- discs that answer the next time ----------------------------------------------------------------------------------

_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.EAGAIN})
_PAUSES = (0.05, 0.2, 0.8)


def may_pass(error: OSError) -> bool:
    """Whether the disc may well answer the next time."""
    return error.errno in _PASSING


def retried(read: Callable[Parameters, Result], *arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
    """Call, and call again up to three times where the disc reports an error that may pass.

    Examples
    --------
    >>> retried(max, 3, 7)
    7
    """
    for pause in _PAUSES:
        try:
            return read(*arguments, **keywords)
        except OSError as error:
            if not may_pass(error):
                raise
            log.info("%s; read again after %g s", error, pause)
            time.sleep(pause)
    return read(*arguments, **keywords)


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

    def headers_of(self, folder: str, names: Sequence[str]) -> list[FrameHeader | None]:
        """Headers of many such files, read in one call; None for each that must be looked at by itself."""
        around = (self.before, self.behind)
        left, stamps, mtimes = read_heads(folder, names, around, _STAMP.stop - _STAMP.start, self.header.size)
        common = self.header[:-3]
        return [
            None if missed or not (stamp := clean(text)) else FrameHeader(*common, mtime, stamp, 0)
            for missed, text, mtime in zip(left.tolist(), stamps, mtimes.tolist(), strict=True)
        ]

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
