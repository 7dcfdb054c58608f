"""Columns of a table as rows of text: numbers with the fewest digits that give them back, as Python writes them."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu import native

from .compiled import pointers

Column = npt.NDArray[np.float64] | npt.NDArray[np.int64] | list[str]
LONGEST = 24
"""Letters of the longest number, such as -2.2250738585072014e-308."""
POWERS = range(-292, 325)
"""Of ten, which numbers of double precision ask for."""


def table_rows(columns: Sequence[Column]) -> bytes:
    r"""Return equally long columns row by row, with commas between cells: nothing for NaN, texts as they are.

    Examples
    --------
    >>> table_rows([["a", "b"], np.array([0.1, np.nan]), np.array([-7, 12])])
    b'a,0.1,-7\nb,,12\n'
    """
    compiled = native.function("texts")
    found = None if compiled is None or not columns else _compiled(compiled, columns)
    return _by_python(columns) if found is None else found


def _by_python(columns: Sequence[Column]) -> bytes:
    return "".join(f"{row}\n" for row in map(",".join, zip(*map(_cells, columns), strict=True))).encode()


def _cells(column: Column) -> list[str]:
    if isinstance(column, list):
        return column
    texts = list(map(repr, column.tolist()))
    for place in np.flatnonzero(np.isnan(column)).tolist():
        texts[place] = ""
    return texts


def _compiled(function: Any, columns: Sequence[Column]) -> bytes | None:  # noqa: ANN401 - a ctypes function
    """Ask the compiled kernel; None where it was built for a machine on which it does not know how."""
    texts = [[cell.encode() for cell in column] if isinstance(column, list) else None for column in columns]
    ends = [None if cells is None else np.cumsum(list(map(len, cells)), dtype=np.int64) for cells in texts]
    cells = [
        np.ascontiguousarray(column) if held is None else np.frombuffer(b"".join(held), np.uint8)
        for column, held in zip(columns, texts, strict=True)
    ]
    room = sum(len(column) * (1 + LONGEST) + cell.nbytes for column, cell in zip(columns, cells, strict=True))
    out = np.empty(room, dtype=np.uint8)
    begins, behind = pointers(cells), pointers(ends)
    table = native.Table(
        kinds="".join(cell.dtype.kind for cell in cells).encode(),
        cells=ctypes.addressof(begins),
        ends=ctypes.addressof(behind),
        powers=_powers().ctypes.data,
        rows=len(columns[0]),
        columns=len(columns),
        out=out.ctypes.data,
    )
    return None if function(ctypes.byref(table)) else out[: table.length].tobytes()


@functools.cache
def _powers() -> npt.NDArray[np.uint64]:
    """128 bits of each power of ten, rounded up: the high half and the low one."""
    found = []
    for power in POWERS:
        above, below = 10 ** max(power, 0), 10 ** max(-power, 0)
        shift = 128 - above.bit_length() + (below.bit_length() if power < 0 else 0)
        bits = -(-(above << max(shift, 0)) // (below << max(-shift, 0)))  # divided and rounded up
        found.append((bits >> 64, bits & (2**64 - 1)))
    return np.array(found, dtype=np.uint64)
