"""Units as files write them, for HDF5, text headers and logs: the words and prefixes of UDUNITS, in one table.

A unit is looked for as it stands; then in any case, if all readings agree: ``KeV`` is keV, while ``MS`` may be ms or Ms
and is nothing. What is unknown has no factor, never the factor 1.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from xinsitu.schema import microseconds_from_time

Value = TypeVar("Value", float, npt.NDArray[np.float64])

MOST_SECONDS = 9e9
_SCALES = {"seconds": 1e6, "milliseconds": 1e3, "microseconds": 1.0, "nanoseconds": 1e-3}
"""Microseconds in the units of a netCDF time."""
_UNITS: dict[str, tuple[str, float]] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), ("s", 1.0)),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), ("s", 60.0)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), ("s", 3600.0)),
    **dict.fromkeys(("d", "day", "days"), ("s", 86400.0)),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), ("m", 1.0)),
    **dict.fromkeys(("micron", "microns"), ("m", 1e-6)),
    **dict.fromkeys(("angstrom", "angstroms", "ångström", "ångströms", "Å", "A", "Ang"), ("m", 1e-10)),
    **dict.fromkeys(("in", "inch", "inches"), ("m", 0.0254)),
    **dict.fromkeys(("eV", "electronvolt", "electronvolts", "electron_volt", "electron_volts"), ("eV", 1.0)),
    **dict.fromkeys(("J", "joule", "joules"), ("eV", 1 / 1.602176634e-19)),
}
"""Dimension, by its unit in the data model, and factor."""
_WHOLE = frozenset(("min", "mins", "h", "hr", "hrs", "d", "in", "Å", "A", "micron", "microns", "inch", "inches"))
"""Units that take no prefix."""
_SYMBOLS = {
    "Y": 1e24, "Z": 1e21, "E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "h": 1e2, "da": 1e1,
    "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18, "z": 1e-21, "y": 1e-24,
}  # fmt: skip
_NAMES = {
    "yotta": 1e24, "zetta": 1e21, "exa": 1e18, "peta": 1e15, "tera": 1e12, "giga": 1e9, "mega": 1e6, "kilo": 1e3,
    "hecto": 1e2, "deca": 1e1, "deka": 1e1, "deci": 1e-1, "centi": 1e-2, "milli": 1e-3, "micro": 1e-6, "nano": 1e-9,
    "pico": 1e-12, "femto": 1e-15, "atto": 1e-18, "zepto": 1e-21, "yocto": 1e-24,
}  # fmt: skip
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_POWER = re.compile(r"10\s*(?:\^|\*\*)\s*([+-]?\d{1,3})")
_QUANTITY = re.compile(rf"\s*{_NUMBER.pattern}[\s_*]*(.*)", re.DOTALL)
_LABEL = re.compile(r"(?P<name>.*?)\s*(?:\[(?P<square>[^\]]*)\]|\((?P<round>[^)]*)\)|/\s*(?P<slash>[^\W\d]+))\s*")


@functools.cache
def _table() -> dict[str, tuple[str, float]]:
    """All units with all prefixes, as they are written."""
    found = dict(_UNITS)
    for unit, (dimension, factor) in _UNITS.items():
        for prefix, scale in () if unit in _WHOLE else (*_SYMBOLS.items(), *_NAMES.items()):
            found.setdefault(prefix + unit, (dimension, factor * scale))
    return found


@functools.cache
def _any_case() -> dict[str, set[tuple[str, float]]]:
    """Return the same by lower-case spelling, which may mean several."""
    found: dict[str, set[tuple[str, float]]] = {}
    for text, meaning in _table().items():
        found.setdefault(text.lower(), set()).add(meaning)
    return found


@functools.lru_cache(maxsize=256)
def factor(unit: str, to: str) -> float | None:
    """Return what a value in this unit is multiplied by to be in ``s``, ``m`` or ``eV``; None for an unknown unit.

    Examples
    --------
    >>> factor("millisecond", "s"), factor("µm", "m"), factor("KeV", "eV"), factor("10^-3 s", "s")
    (0.001, 1e-06, 1000.0, 0.001)
    >>> factor("MS", "s"), factor("m", "s"), factor("", "s"), factor("10^999 s", "s")
    (None, None, None, None)
    """
    scale, text = 1.0, unit.strip().strip("[]()").strip()
    if power := _POWER.match(text):
        scale, text = float(f"1e{int(power[1])}"), text[power.end() :]
    elif number := _NUMBER.match(text):
        scale, text = float(number[1]), text[number.end() :]
    text = text.strip(" \t*.·_").replace("µ", "u").replace("μ", "u").replace("\u212b", "Å")
    meanings = set(_meanings(text))
    if len(meanings) > 1 or not meanings:
        return None
    dimension, value = meanings.pop()
    return scale * value if dimension == to and 0 < scale * value < math.inf else None


def _meanings(text: str) -> Iterator[tuple[str, float]]:
    for spelling in (text, re.sub(r"[\s_-]", "", text)):  # "milli seconds", "electron_volt"
        if spelling in _table():
            yield _table()[spelling]
            return
        if meanings := _any_case().get(spelling.lower()):
            yield from meanings
            return


def unusable(name: str, value: float, unit: str, to: str) -> str:
    """Say that a value is not used because its unit is missing or unknown.

    Examples
    --------
    >>> unusable("count_time", 100.0, "jiffy", "s")
    "count_time = 100 has the unit 'jiffy', which is not known as one of s; it is not used"
    >>> unusable("x_pixel_size", 0.172, "", "m")
    'x_pixel_size = 0.172 has no unit; it is not used'
    """
    said = f"the unit {unit!r}, which is not known as one of {to}" if unit.strip() else "no unit"
    return f"{name} = {value:g} has {said}; it is not used"


def scaled(values: Value, scale: float) -> Value:
    """Return values in the unit of the data model: divided where the factor is one over a whole number, which is exact.

    Examples
    --------
    >>> scaled(55.0, factor("um", "m")), 55.0 * 1e-6
    (5.5e-05, 5.4999999999999995e-05)
    """
    parts = round(1 / scale) if 1e-300 < scale < 1 else 0
    with np.errstate(over="ignore"):  # what becomes infinite is no value, and its reader says so
        return values / parts if parts and abs(parts * scale - 1) < 1e-12 else values * scale


def quantity(text: str, to: str, *, default: str = "") -> float | None:
    """Return the number that a text begins with in ``s``, ``m`` or ``eV``; None without one or with an unknown unit.

    Parameters
    ----------
    text
        As in a header: ``0.5 s``, ``7.5e-05_m``, ``172 um``.
    default
        Unit that the format prescribes where the text gives none.

    Examples
    --------
    >>> quantity("100 ms", "s"), quantity("1.5", "s", default="s"), quantity("100 parsec", "m", default="m")
    (0.1, 1.5, None)
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    unit = match[2].strip()
    scale = factor(unit or default, to)
    value = math.nan if scale is None else scaled(float(match[1]), scale)
    return value if math.isfinite(value) else None


def split_label(label: str) -> tuple[str, str]:
    """Name and unit of a column of a table.

    Examples
    --------
    >>> split_label("Time [ms]"), split_label("epoch / min"), split_label("Epoch"), split_label("time (s)")
    (('Time', 'ms'), ('epoch', 'min'), ('Epoch', ''), ('time', 's'))
    """
    match = _LABEL.fullmatch(label)
    if match is None:
        return label.strip(), ""
    return match["name"].strip(), (match["square"] or match["round"] or match["slash"] or "").strip()


def moments_since(values: npt.NDArray[Any], units: str, calendar: str = "") -> npt.NDArray[np.int64] | None:
    """UTC microseconds of a time as the CF conventions store it; None where it is none.

    Examples
    --------
    >>> moments_since(np.array([0.5, 2.0]), "seconds since 1970-01-01"), moments_since(np.array([1]), "pixels since 3")
    (array([ 500000, 2000000]), None)
    """
    if units.endswith(" since 1970-01-01") and (scale := _SCALES.get(units.split(" ")[0])):
        if values.dtype.kind not in "iuf" or not are_seconds(values * (scale / 1e6)):
            return None
        whole = values if values.dtype.kind in "iu" and scale == 1.0 else np.rint(values * scale)
        return whole.astype("int64")
    import xarray as xr  # the slowest to load, and hardly ever needed to look at a file

    attributes = {"units": units, "calendar": calendar or "standard"}
    try:
        moments = xr.decode_cf(xr.Dataset({"time": ("time", values, attributes)}))["time"].values
        known = moments.dtype.kind == "M" and not np.isnat(moments).any()
        return microseconds_from_time(moments) if known else None
    except (ValueError, OverflowError, TypeError):
        return None


def are_seconds(values: npt.NDArray[Any]) -> bool:
    """Whether all are numbers of seconds that a clock could show."""
    return bool((np.abs(values.astype("float64")) < MOST_SECONDS).all())
