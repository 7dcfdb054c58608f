"""A result done again from the recipe that it holds, and what differs."""

from __future__ import annotations

import json
from pathlib import Path

import xarray as xr

from xinsitu.errors import DocumentError

from . import Recipe, Stored, recipe_from_dict


def recipe_of(result: xr.Dataset, path: Path) -> Recipe:
    """Return the recipe that a result file holds, or :class:`Stored` where it holds none.

    Raises
    ------
    DocumentError
        What it holds is no recipe; the message names the file.
    """
    if "recipe" not in result.attrs:
        return Stored(path)
    try:
        return recipe_from_dict(json.loads(result.attrs["recipe"]), path.resolve().parent)
    except (DocumentError, json.JSONDecodeError) as fault:
        raise DocumentError(f"{path}: {fault}") from None


def differences(result: xr.Dataset, again: xr.Dataset) -> dict[str, str]:
    """Return what differs between two results: variable → in words; empty where all numbers are the same, bit for bit.

    Examples
    --------
    >>> first = xr.Dataset({"com_y": ("time", [1.0, float("nan")])})
    >>> differences(first, first.copy(deep=True)), differences(first, first * 2)
    ({}, {'com_y': '1 of 2 values, by up to 1'})
    """
    found: dict[str, str] = {}
    for name in sorted({*map(str, result.variables), *map(str, again.variables)}):
        if name not in result.variables or name not in again.variables:
            found[name] = f"only in the {'new' if name in again.variables else 'old'} result"
            continue
        old, new = result[name], again[name]
        if old.dims != new.dims or old.shape != new.shape:
            found[name] = f"dims {dict(old.sizes)} became {dict(new.sizes)}"
        elif count := int(_unequal(old, new).sum()):
            found[name] = f"{count} of {old.size} values{_extent(old, new)}"
    return found


def _unequal(old: xr.DataArray, new: xr.DataArray) -> xr.DataArray:
    one, other = old.variable, new.variable
    return xr.DataArray((one != other) & ~(one.isnull() & other.isnull()))


def _extent(old: xr.DataArray, new: xr.DataArray) -> str:
    if old.dtype.kind not in "iuf" or new.dtype.kind not in "iuf":
        return ""
    largest = abs(old.variable.astype("float64") - new.variable.astype("float64")).max()
    return f", by up to {float(largest):g}"
