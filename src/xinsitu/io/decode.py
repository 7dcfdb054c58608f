"""Pixels of a frame that is no plain block, through the library that knows its format."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from . import cbf


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
    from . import tiff  # tifffile takes 0.2 s to import, and most frames are plain

    return tiff.decode(path, page)
