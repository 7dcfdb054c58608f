"""Pixels of one frame: a plain block straight from the file, all else through the library that knows its format."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu.schema import FrameStatus

from . import cbf
from .header import FrameFault, FrameHeader


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
        head = file.read(len(cbf.MAGIC))
    if head == cbf.MAGIC:
        return cbf.decode(path)
    from . import tiff_other  # tifffile takes 0.2 s to import, and most frames are plain

    return tiff_other.decode(path, page)
