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
from xinsitu.kernels.compiled import InFiles
from xinsitu.native import function as compiled

Left = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


def in_files(
    folder: str,
    names: Sequence[str],
    opened: tuple[Numbers, Numbers, Numbers],
    place: tuple[int, slice, Numbers],
    dtype: np.dtype[Any],
) -> InFiles:
    """Tell the kernel where plain pixels of many files lie.

    Parameters
    ----------
    folder, names
        Where they are.
    opened
        Of each file when it was opened: bytes, nanoseconds of its modification, and byte of its first pixel.
    place
        Pixels of a whole row, the rows and all columns that are wanted.
    dtype
        As they are stored.
    """
    files, held = _files(folder, names)
    columns = [np.ascontiguousarray(numbers, dtype=np.int64) for numbers in opened]
    addresses = (column.ctypes.data for column in columns)
    width, rows, wanted = place
    firsts = np.flatnonzero(np.diff(wanted, prepend=-2) != 1)
    spans = np.stack([wanted[firsts], np.diff(firsts, append=len(wanted))], axis=1) * dtype.itemsize
    row, n_rows = width * dtype.itemsize, rows.stop - rows.start
    where = (rows.start * row, n_rows * row, row, len(wanted) * dtype.itemsize, spans.ctypes.data, len(spans))
    told = native.Rows(files, *addresses, *where)
    return InFiles(told, (held, columns, spans), (len(names), n_rows, len(wanted)), dtype)


def read_rows(files: InFiles, out: npt.NDArray[Any]) -> Left:
    """Read what is wanted of files into a contiguous array of their shape and dtype; returns which files are left."""
    function, left = compiled("read_rows"), np.ones(len(files), dtype=np.uint8)
    if function is None or not len(files):
        return left > 0
    files.told.files.left, files.told.out = left.ctypes.data, out.ctypes.data
    function(ctypes.byref(files.told))
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
    files, held = _files(folder, names)
    files.left = left.ctypes.data
    stamps = ctypes.create_string_buffer(len(names) * stamp)
    before, behind = around
    lengths = (len(before), stamp, len(behind), size)
    function(ctypes.byref(native.Heads(files, before, behind, *lengths, mtimes.ctypes.data, ctypes.addressof(stamps))))
    del held
    text = stamps.raw
    return left > 0, [text[first : first + stamp] for first in range(0, len(text), stamp)], mtimes


def _files(folder: str, names: Sequence[str]) -> tuple[native.Files, bytes]:
    """Names for the kernel, and what must live as long as they are used."""
    held = os.fsencode("\0".join(names)) + b"\0"
    return native.Files(os.fsencode(folder), held, len(names)), held
