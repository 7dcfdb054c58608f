"""Pickles of the old scripts, turned into a Dataset without being unpickled.

A pickle is a program, and loading one runs it. This reads NumPy arrays, pandas tables as Python 2 wrote them, numbers,
texts, lists and dictionaries from what :mod:`~xinsitu.io.exchange.pickle_program` wrote down, and nothing else.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.digits import counted
from xinsitu.errors import DocumentError, in_a_line, warn
from xinsitu.io.disk import ordinary

from .pickle_program import Made, Refused, written_down

_MOST_BYTES, _MOST_VALUES, _DEEPEST = 2**30, 10_000, 20
_DTYPE = re.compile(r"[biufSU]\d{1,6}|O8?|[Mm]8")
_UNITS = ("D", "h", "m", "s", "ms", "us", "ns")
Array = npt.NDArray[Any]


def read_old_pickle(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a pickle of the old scripts; nothing in it is run, and no class is looked up.

    Parameters
    ----------
    path
        Of a pickle of any protocol.

    Returns
    -------
    xr.Dataset
        One variable for each array, column, list or value, named by the keys that lead to it with dots between them
        (``roi.WZ.pos``; ``value`` where there are none). Columns of one table share its dimension. Names, numbers and
        kinds are those of the file; units were never in it.

    Raises
    ------
    DocumentError
        It is no whole pickle, holds something else, or asks for a function or class; the message names it.

    Warns
    -----
    XinsituWarning
        Values that are ``None`` or an empty dictionary are left out; the warning counts them.
    """
    name = os.fspath(path)
    if os.path.getsize(ordinary(path)) > _MOST_BYTES:
        raise DocumentError(f"{name}: is larger than 1 GiB and is not read")
    try:
        found = dict(_numbered(_leaves(written_down(Path(path).read_bytes()), (), 0)))
    except Refused as fault:
        raise DocumentError(f"{name}: {in_a_line(fault)}") from None
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError):
        raise DocumentError(f"{name}: holds an array or a table that is damaged") from None
    if nothing := sum(values is None for values in found.values()):
        warn(f"{name}: left out, as None or empty: {counted(nothing, 'value')}")
    return xr.Dataset({key: values for key, values in found.items() if values is not None})


def _numbered(leaves: Iterator[tuple[str, xr.Variable | None]]) -> Iterator[tuple[str, xr.Variable | None]]:
    """Pass leaves on as long as they are not too many or too large and no two have one name."""
    taken: set[str] = set()
    size = 0
    for name, values in leaves:
        size += 0 if values is None else values.nbytes
        if size > _MOST_BYTES:
            raise Refused("holds more than 1 GiB")
        if name in taken:
            raise Refused(f"has two values called {name!r}")
        taken.add(name)
        if len(taken) > _MOST_VALUES:
            raise Refused(f"holds more than {_MOST_VALUES} values")
        yield name, values


def _leaves(thing: object, keys: tuple[str, ...], depth: int) -> Iterator[tuple[str, xr.Variable | None]]:
    """Variables, with their names; None for a value that is None, or an empty dictionary."""
    if depth > _DEEPEST:
        raise Refused(f"is nested more than {_DEEPEST} deep")
    name = ".".join(keys) or "value"
    if isinstance(thing, Made) and thing.kind in ("frame", "series"):
        yield from _table(thing, keys)
    elif isinstance(thing, Mapping) or (isinstance(thing, Made) and thing.kind == "dict"):
        if not (items := _items(thing)):
            yield name, None
        for key, value in items:
            yield from _leaves(value, (*keys, _word(key)), depth + 1)
    elif thing is None:
        yield name, None
    elif (values := _values(thing)) is not None:
        yield name, xr.Variable([f"{name}_{axis}" for axis in range(values.ndim)], _settled(values))
    elif isinstance(thing, list | tuple):
        for number, value in enumerate(thing):
            yield from _leaves(value, (*keys, str(number)), depth + 1)
    else:
        raise Refused(f"holds something that is no number, text, array or table at {name!r}")


def _word(key: object) -> str:
    text = key.decode("latin-1") if isinstance(key, bytes) else str(key)
    return in_a_line(text).replace("/", "_")[:200] or "_"


def _items(thing: Mapping[Any, Any] | Made) -> list[tuple[object, object]]:
    if not isinstance(thing, Made):
        return list(thing.items())
    given = thing.arguments[0] if thing.arguments else ()
    if not isinstance(given, list | tuple) or any(not isinstance(one, list | tuple) or len(one) != 2 for one in given):
        raise Refused("has an ordered dictionary that is none")
    return [*((key, value) for key, value in given), *thing.items.items()]


def _values(thing: object) -> Array | None:
    """Return an array, or a list of equal things as one; None where it is neither."""
    if isinstance(thing, Made):
        if thing.kind == "bytes":
            return _values(_raw(thing))
        return _array(thing) if thing.kind in ("array", "scalar", "index", "range") else None
    if isinstance(thing, bytes):
        return np.array(thing.decode("latin-1")) if b"\0" not in thing else np.frombuffer(thing, "uint8")
    if isinstance(thing, str) and "\0" in thing and max(thing) < "\u0100":
        return np.frombuffer(thing.encode("latin-1"), "uint8")  # bytes of Python 2
    if isinstance(thing, list | tuple):
        return _regular(list(thing))
    if isinstance(thing, bool | float | str):
        return np.array(thing)
    return np.array(thing) if isinstance(thing, int) and -(2**63) <= thing < 2**64 else None


def _regular(items: list[Any]) -> Array | None:
    """Return a list of numbers, of texts, or of equally long lists of numbers as one array."""
    rows = items if items and all(isinstance(one, list | tuple) for one in items) else [items]
    if sum(map(len, rows)) > _MOST_BYTES // 64:
        raise Refused("has a list of too many values")
    flat: list[Any] = [one for row in rows for one in row] if len({len(row) for row in rows}) == 1 else [None]
    if not flat:
        return np.empty(0)
    if any("\0" in one for one in flat if isinstance(one, str)):
        return None
    if all(isinstance(one, str) for one in flat):
        values = _texts(flat)
    elif all(isinstance(one, bool) for one in flat) or all(
        isinstance(one, float) or (type(one) is int and -(2**63) <= one < 2**63) for one in flat
    ):
        values = np.array(flat)
    else:
        return None
    return values.reshape(len(rows), -1) if rows is items else values


def _settled(values: Array) -> Array:
    """Return an array of objects as one of texts or of numbers, where nothing is an empty text or NaN."""
    if values.dtype.kind != "O":
        return values
    items = [_text(one) if isinstance(one, bytes) else one for one in values.ravel().tolist()]
    nothing = "" if any(isinstance(one, str) for one in items) else math.nan
    settled = _regular([nothing if one is None or one != one else one for one in items])
    if settled is None or settled.ndim != 1:
        raise Refused("has an array of objects that are neither all texts nor all numbers")
    return settled.reshape(values.shape)


def _texts(items: list[str]) -> Array:
    if 4 * len(items) * max(map(len, items), default=0) > _MOST_BYTES:
        raise Refused("has texts that would take more than 1 GiB")
    return np.array(items, dtype=str)


def _array(made: Made) -> Array:
    """Return the array, the number or the labels that were to be made."""
    if made.kind == "scalar":
        kind, raw = made.arguments
        return _from_bytes(raw, (), _dtype(kind), fortran=False)
    if made.kind in ("index", "range"):
        return _labels(made)
    state = made.state
    if isinstance(state, tuple) and state and isinstance(state[0], tuple):  # an index of pandas before 0.14
        state = state[0]
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise Refused("has an array without contents")
    shape, kind, fortran, raw = state[-4:]
    if not isinstance(shape, tuple) or not all(isinstance(one, int) and 0 <= one < 2**40 for one in shape):
        raise Refused("has an array whose shape is none")
    return _from_bytes(raw, shape, _dtype(kind), fortran=bool(fortran))


def _labels(made: Made) -> Array:
    """Return the labels of a table's rows or columns."""
    state = next((one for one in (*made.arguments, made.state) if isinstance(one, dict)), {})
    if made.kind == "range" or {"start", "stop", "step"} <= set(state):
        numbers = [state.get(key) for key in ("start", "stop", "step")]
        if not all(isinstance(one, int) and abs(one) < 2**31 for one in numbers) or not numbers[2]:
            raise Refused("has a table whose rows are not numbered")
        rows = range(*numbers)  # type: ignore[arg-type] # they are whole numbers
        if len(rows) > _MOST_BYTES // 8:
            raise Refused("has a table of more rows than its file could hold")
        return np.arange(rows.start, rows.stop, rows.step)
    if state.get("tz") is not None:
        raise Refused("has times with a zone, which are not read")
    data = state.get("data") if state or made.state is None else replace(made, kind="array")
    if isinstance(data, Made) and data.kind == "times" and isinstance(data.state, dict):
        data = data.state.get("_data")
    found = _array(data) if isinstance(data, Made) and data.kind == "array" else None
    if found is None or found.ndim != 1:
        raise Refused("has a table without labels")
    return found


def _dtype(kind: object) -> np.dtype[Any]:
    if not isinstance(kind, Made) or kind.kind != "dtype" or not kind.arguments:
        raise Refused("has an array of no known kind")
    text, state = _text(kind.arguments[0]), kind.state
    if not _DTYPE.fullmatch(text):
        raise Refused(f"has an array of the kind {text[:20]!r}, which is not read")
    order = _text(state[1]) if isinstance(state, tuple) and len(state) > 1 else "="
    if order not in ("<", ">", "=", "|"):
        raise Refused("has an array of no known byte order")
    if text[0] not in "Mm":
        return np.dtype(text[0] if text[0] == "O" else (order if text[0] not in "SU" or order != "|" else "") + text)
    unit = _text(state[8][1][0]) if isinstance(state, tuple) and len(state) == 9 else ""
    if unit not in _UNITS or state[8][1][1:3] != (1, 1):
        raise Refused("has times in no known unit")
    return np.dtype(f"{order}{text}[{unit}]")


def _text(value: object) -> str:
    if isinstance(value, Made) and value.kind == "bytes":
        value = _raw(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _raw(value: object) -> bytes:
    if isinstance(value, Made) and value.kind == "bytes":
        value = value.arguments[0] if value.arguments else b""
    if not isinstance(value, bytes | str):
        raise Refused("has an array without contents")
    try:
        return value if isinstance(value, bytes) else value.encode("latin-1")
    except UnicodeEncodeError:
        raise Refused("has an array without contents") from None


def _from_bytes(raw: object, shape: tuple[int, ...], dtype: np.dtype[Any], *, fortran: bool) -> Array:
    """Return an array of exactly the bytes that are there, or of the objects."""
    if dtype.kind == "O":
        if not isinstance(raw, list) or len(raw) != math.prod(shape) or len(shape) > 32:
            raise Refused("has an array without contents")
        objects = np.empty(len(raw), dtype=object)
        objects[:] = raw
        return objects.reshape(shape, order="F" if fortran else "C")
    data = _raw(raw)
    if len(shape) > 32 or math.prod(shape) * dtype.itemsize != len(data):
        raise Refused(f"has an array of {shape} {dtype} in {len(data)} bytes")
    values = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    if dtype.kind == "S":
        return _texts([one.decode("latin-1") for one in values.ravel()]).reshape(shape)
    if dtype.kind in "Mm":
        return values.astype(f"{dtype.kind}8[ns]")
    return values.astype(dtype.newbyteorder("="))


def _table(made: Made, keys: tuple[str, ...]) -> Iterator[tuple[str, xr.Variable | None]]:
    """Columns of a table, or the one of a series, along its rows."""
    state = made.state
    blocks = state.get("_data") if isinstance(state, dict) else state
    parts = blocks.state if isinstance(blocks, Made) and blocks.kind == "blocks" else None
    if not isinstance(parts, tuple) or len(parts) < 3 or not all(isinstance(one, list | tuple) for one in parts[:3]):
        raise Refused("has a table as a newer pandas writes it; write it as CSV there")
    axes, arrays, names = parts[:3]
    rows = _values(axes[-1]) if axes else None
    if rows is None or len(arrays) != len(names):
        raise Refused("has a table without rows")
    name = ".".join(keys)
    dim = f"{name}.rows" if name else "rows"
    yield dim, xr.Variable([dim], _settled(rows))
    for array, labels in zip(arrays, names, strict=True):
        values, columns = _values(array), _values(labels)
        if made.kind == "series":
            values, columns = None if values is None else values.reshape(1, -1), np.array(["values"])
        if values is None or columns is None or values.shape != (len(columns), len(rows)):
            raise Refused("has a table whose columns and rows do not fit")
        for column, row in zip(columns, values, strict=True):
            yield ".".join((*keys, _word(column))), xr.Variable([dim], _settled(row))
