"""At the door: what a public function cannot take is refused in one sentence that names the argument.

The annotations of a function say what it takes; they are all that is asked here. A function's own sentences say more
and come first, but for words (texts, paths, True or False), which are looked at before anything is done.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import os
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import NotThere, SchemaError, XinsituError, in_a_line

Called = TypeVar("Called", bound=Callable[..., Any])
Names = Callable[[str], object]
Fault = tuple[str, bool]
"""The sentence about an argument, and whether a word is wanted: a text, a path, True or False."""

_PLAIN: Mapping[type, tuple[str, Callable[[object], bool]]] = {
    str: ("a text", lambda value: isinstance(value, str)),
    bool: (
        "True or False",
        lambda value: _kind(value) in ("bool", "bool_") or (isinstance(value, int) and value in (0, 1)),
    ),
    int: ("a whole number", lambda value: _is_number(value, "__index__")),
    float: ("a number", lambda value: _is_number(value, "__float__")),
    os.PathLike: ("a path", lambda value: isinstance(value, os.PathLike)),
    types.NoneType: ("None", lambda value: value is None),
}
_WORDS = (str, bool, os.PathLike, types.NoneType, Literal)
_CALLED = {"DataArray": "a DataArray", "Dataset": "a Dataset", "DataTree": "a DataTree", "Callable": "a function"}


def guarded(thing: Called, names: Names) -> Called:
    """Return a public function that refuses what it cannot take in one sentence; a class gets such an ``__init__``.

    Parameters
    ----------
    thing
        A function or class; anything else, and exceptions, come back as they are.
    names
        Where names are looked up that an annotation has for type checkers only.

    Examples
    --------
    >>> def half(number: float) -> float:
    ...     return number / 2
    >>> guarded(half, {}.get)("one")
    Traceback (most recent call last):
    ...
    xinsitu.errors.SchemaError: half: number is a number, not 'one'
    """
    if inspect.isclass(thing) and not issubclass(thing, BaseException) and "__init__" in vars(thing):
        setattr(thing, "__init__", _guarded(thing.__init__, thing.__name__, names, words_first=False))  # noqa: B010 - mypy asks for it
    elif inspect.isfunction(thing):
        call = _guarded(thing, thing.__name__, names)
        call.__module__ = __package__  # where pickle finds it
        return call
    return thing


def _guarded(function: Called, name: str, names: Names, *, words_first: bool = True) -> Called:
    hints = functools.cache(lambda: _hints(function, names))
    signature = functools.cache(lambda: inspect.signature(function))

    @functools.wraps(function)
    def call(*args: Any, **words: Any) -> Any:  # noqa: ANN401 - whatever it is
        faults = _faults(name, signature(), hints(), args, words)
        if words_first and (plain := next((text for text, is_word in faults if is_word), None)):
            raise SchemaError(plain)
        try:
            return function(*args, **words)
        except XinsituError as error:
            if "\n" in str(error):  # what was given shows itself in several lines
                error.args = tuple(" ".join(one.split()) if isinstance(one, str) else one for one in error.args)
            raise
        except FileNotFoundError as error:
            said = str(error) if error.filename is None else f"{error.filename}: there is no such file"
            raise NotThere(in_a_line(said)) from error
        except Exception as error:
            if isinstance(error, Warning) or not faults:
                raise
            raise SchemaError(faults[0][0]) from error

    return call  # type: ignore[return-value] # wraps keeps the signature


def _hints(function: Callable[..., Any], names: Names) -> dict[str, Any]:
    """Return what each parameter may be; names that only type checkers import are looked up, or may be anything."""
    texts = {name: text for name, text in function.__annotations__.items() if name != "return"}
    words = {word for text in texts.values() if isinstance(text, str) for word in compile(text, "", "eval").co_names}
    known = vars(builtins) | function.__globals__
    absent = {word: names(word) or Any for word in words if word not in known}
    return get_type_hints(types.SimpleNamespace(__annotations__=texts), known | absent)


def _faults(
    name: str, signature: inspect.Signature, hints: Mapping[str, Any], args: tuple[Any, ...], words: Mapping[str, Any]
) -> list[Fault]:
    """Return what is wrong with the arguments; a missing or an unknown one is told in Python's words."""
    try:
        given = signature.bind(*args, **words).arguments
    except TypeError as error:
        raise TypeError(f"{name}() {error}") from None
    faults = []
    for parameter, value in given.items():
        hint, default = hints.get(parameter, Any), signature.parameters[parameter].default
        if signature.parameters[parameter].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        if value is not default and not fits(value, hint):
            is_word = all((get_origin(kind) or kind) in _WORDS for kind in _alternatives(hint))
            faults.append((in_a_line(f"{name}: {parameter} is {in_words(hint)}, not {found(value)}"), is_word))
    return faults


def _alternatives(hint: object) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _kind(value: object) -> str:
    return type(value).__name__


def _is_number(value: object, method: str) -> bool:
    """Whether a value is a number; NumPy gives every array these methods."""
    return hasattr(value, method) and not getattr(value, "ndim", 0) and not hasattr(value, "dims")


def fits(value: object, hint: Any) -> bool:  # noqa: ANN401 - annotations have no type
    """Whether a value may stand where this is wanted; of several things, those that can be looked at are.

    Examples
    --------
    >>> fits([3, 9], tuple[int, int]), fits([3, 9, 4], tuple[int, int]), fits("a", list[str] | None)
    (True, False, False)
    """
    origin, within = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in within)
    if origin is Literal:
        return any(type(value) is type(one) for one in within)  # which of them, a function says itself
    if origin in _PLAIN:
        return _PLAIN[origin][1](value)
    if not isinstance(origin, type) or origin in (Any, object) or getattr(origin, "_is_protocol", False):
        return True
    if within and issubclass(origin, Mapping):
        return (
            isinstance(value, Mapping)
            and not hasattr(value, "dims")
            and all(fits(one, within[1]) for one in value.values())
        )
    if not issubclass(origin, Iterable) or not within:
        return isinstance(value, origin)
    return _fits_several(value, origin, within)


def _fits_several(value: object, origin: type, within: tuple[Any, ...]) -> bool:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) != 1:
        return False
    if hasattr(value, "ndim"):
        value = list(getattr(value, "values", value))
    if not isinstance(value, list | tuple):
        return True  # it may be gone through only once
    if origin is tuple and Ellipsis not in within:
        return len(value) == len(within) and all(map(fits, value, within))
    return all(fits(one, within[0]) for one in value)


def in_words(hint: Any) -> str:  # noqa: ANN401
    """Return what is wanted, in words.

    Examples
    --------
    >>> in_words(str | os.PathLike[str] | None), in_words(tuple[int, int]), in_words(Literal["y", "x"])
    ('a text, a path or None', 'a pair (a whole number, a whole number)', "'y' or 'x'")
    """
    origin, within = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return _listed([in_words(one) for one in within])
    if origin is Literal:
        return _listed([repr(one) for one in within])
    if origin in _PLAIN:
        return _PLAIN[origin][0]
    if within and isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a dict of names, each with {in_words(within[1])}"
    if origin is tuple and within and Ellipsis not in within:
        return f"{'a pair' if len(within) == 2 else 'a tuple'} ({', '.join(map(in_words, within))})"
    if isinstance(origin, type) and within and issubclass(origin, Iterable):
        return f"a list, each of it {in_words(within[0])}"
    if hint is Any or origin is object:
        return "anything"
    name = getattr(origin, "__name__", str(origin))
    return _CALLED.get(name) or (f"an {name}" if name[0] in "AEIOU" else f"a {name}")


def _listed(words: list[str]) -> str:
    words = list(dict.fromkeys(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def found(value: object) -> str:
    """Return what was given, in words.

    Examples
    --------
    >>> found({"a": 1}), found([1]), found(7)
    ('a dict', 'a list', '7')
    """
    if value is None or isinstance(value, str | int | float | bytes):
        text = repr(value)
        return text if len(text) < 60 else f"{text[:56]}...'"
    if isinstance(value, os.PathLike):
        return f"the path {os.fspath(value)!r}"
    if hasattr(value, "dims"):
        dims = ", ".join(map(str, value.dims))
        return f"{_CALLED.get(_kind(value), _kind(value))} with dims ({dims})"
    kind = _kind(value)
    return f"an {kind}" if kind[0] in "aeiouAEIOU" else f"a {kind}"
