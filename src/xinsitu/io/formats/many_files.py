"""Many files in one call of the compiled kernel: heads of a series, and rows of its pixels.

A file that is not as expected is left to who asked, who goes through it by itself and says what is wrong with it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu import native
from xinsitu.native import function as compiled

Left = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


def read_rows(
    folder: str,
    names: Sequence[str],
    opened: tuple[Numbers, Numbers, Numbers],
    place: tuple[int, int, Numbers],
    out: npt.NDArray[Any],
) -> Left:
    """Read rows of plain pixels of many files into a contiguous array; returns which files are left.

    Parameters
    ----------
    folder, names
        Where they are.
    opened
        Of each file when it was opened: bytes, nanoseconds of its modification, and byte of its first pixel.
    place
        Pixels of a whole row, the first row and all columns that are wanted.
    out
        Rows and columns that are wanted of every file.
    """
    function, left = compiled("read_rows"), np.ones(len(names), dtype=np.uint8)
    if function is None or not len(names):
        return left > 0
    files, held = _files(folder, names, left)
    columns = [np.ascontiguousarray(numbers, dtype=np.int64) for numbers in opened]
    addresses = (column.ctypes.data for column in columns)
    (width, first_row, wanted), size = place, out.itemsize
    firsts = np.flatnonzero(np.diff(wanted, prepend=-2) != 1)
    spans = np.stack([wanted[firsts], np.diff(firsts, append=len(wanted))], axis=1) * size
    row = width * size
    where = (first_row * row, out.shape[1] * row, row, out.shape[2] * size, spans.ctypes.data, len(spans))
    function(ctypes.byref(native.Rows(files, *addresses, *where, out.ctypes.data)))
    del held
    return left > 0


def read_heads(
    folder: str, names: Sequence[str], around: tuple[bytes, bytes], stamp: int, size: int
) -> tuple[Left, list[bytes], Numbers]:
    """Read heads that are one but for a stamp, of whole files of one size.

    Parameters
    ----------
    folder, names
        Where they are.
    around
        What stands in each before and behind its stamp.
    stamp, size
        Bytes of the stamp and of each file.

    Returns
    -------
    left
        Files that are otherwise.
    stamps, mtimes
        Of the others: as they stand there, and nanoseconds.
    """
    function, left = compiled("read_heads"), np.ones(len(names), dtype=np.uint8)
    mtimes = np.zeros(len(names), dtype=np.int64)
    if function is None or not len(names):
        return left > 0, [b""] * len(names), mtimes
    files, held = _files(folder, names, left)
    stamps = ctypes.create_string_buffer(len(names) * stamp)
    before, behind = around
    lengths = (len(before), stamp, len(behind), size)
    function(ctypes.byref(native.Heads(files, before, behind, *lengths, mtimes.ctypes.data, ctypes.addressof(stamps))))
    del held
    text = stamps.raw
    return left > 0, [text[first : first + stamp] for first in range(0, len(text), stamp)], mtimes


def _files(folder: str, names: Sequence[str], left: npt.NDArray[np.uint8]) -> tuple[native.Files, bytes]:
    """Names for the kernel, and what must live as long as they are used."""
    held = os.fsencode("\0".join(names)) + b"\0"
    return native.Files(os.fsencode(folder), held, len(names), left.ctypes.data), held
