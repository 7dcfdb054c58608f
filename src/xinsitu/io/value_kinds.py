"""Kinds of values in what people write, by the JSON Schema of the document; what a value means is asked elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import resources
from typing import Any

from xinsitu.errors import DocumentError

_KINDS: Mapping[str, tuple[str, type | tuple[type, ...]]] = {
    "string": ("a text", str),
    "boolean": ("true or false", bool),
    "number": ("a number", (int, float)),
    "integer": ("a number without a fraction", int),
    "array": ("a list", list),
    "object": ("a table", Mapping),
    "null": ("nothing", type(None)),
}


def schema_of(form: str) -> dict[str, Any]:
    """Return a JSON Schema that comes with the package."""
    text = resources.files("xinsitu").joinpath(f"schemas/{form}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def check_kinds(value: object, schema: Mapping[str, Any], what: str = "") -> None:
    """Raise where a value, or one in it, is of another kind than its schema says; keys are not looked at.

    Raises
    ------
    DocumentError
        The sentence names the first such value by its keys.

    Examples
    --------
    >>> check_kinds({"output": {"figures": "a.png"}}, schema_of("recipe"))
    Traceback (most recent call last):
    ...
    xinsitu.errors.DocumentError: output.figures is a list, not 'a.png', which is of the wrong kind
    """
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        told, said = " or ".join(_KINDS[kind][0] for kind in kinds), repr(value)
        said = said if len(said) <= 80 else f"{said[:77]}..."
        raise DocumentError(f"{what} is {told}, not {said}, which is of the wrong kind")
    if isinstance(value, Mapping):
        others = schema.get("additionalProperties")
        for key, one in value.items():
            known = schema.get("properties", {}).get(key, others)
            check_kinds(one, known if isinstance(known, Mapping) else {}, f"{what}.{key}" if what else str(key))
    elif isinstance(value, list) and "items" in schema:
        for number, one in enumerate(value):
            check_kinds(one, schema["items"], f"{what}[{number}]")


def _is(value: object, kind: str) -> bool:
    """Whether a value is of a kind; a truth value is no number, and a number is one that float64 holds."""
    if not isinstance(value, _KINDS[kind][1]) or (isinstance(value, bool) and kind != "boolean"):
        return False
    return not isinstance(value, int | float) or abs(value) <= sys.float_info.max
