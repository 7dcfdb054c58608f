"""TOML that people write: recipes, tables of instruments, the configuration; what would never end is refused."""

from __future__ import annotations

import re
import tomllib
from typing import Any

LARGEST = 2**20
"""Letters; a longer text is no file of ours."""
BYTES = 4 * LARGEST
"""Bytes that so many letters have at most."""
DEEPEST = 100
"""Parts of a dotted key; the time that it takes grows with their square."""
_NO_KEY = re.compile(r"[^\w.\"' \t-]|\.\.+")


def toml_of(text: str) -> dict[str, Any]:
    """Return what a TOML text says.

    Raises
    ------
    ValueError
        It is no TOML, or nested too deeply, or of numbers too long to be meant; in words.

    Examples
    --------
    >>> toml_of('sample = "0884"')
    {'sample': '0884'}
    """
    if len(text) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} letters")
    if max(piece.count(".") for piece in _NO_KEY.split(text)) > DEEPEST:
        raise ValueError(f"a key has more than {DEEPEST} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
