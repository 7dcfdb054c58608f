"""What a pickle would build, written down instead of built: no class is looked up and nothing is called.

A pickle is a program for a stack machine. :func:`written_down` follows it over plain values; where the program calls
something, a :class:`Made` says what with which arguments, and only names of a short list are taken at all.
"""

from __future__ import annotations

import codecs
import io
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_KINDS = {
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "array",
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy._core.multiarray", "_reconstruct"): "array",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("_codecs", "encode"): "bytes",
    ("__builtin__", "bytes"): "bytes",
    ("collections", "OrderedDict"): "dict",
    ("__builtin__", "slice"): "slice",
    ("builtins", "slice"): "slice",
    ("__builtin__", "object"): "object",
    ("copy_reg", "_reconstructor"): "object",
}
_PANDAS = {
    "DataFrame": "frame",
    "Series": "series",
    "BlockManager": "blocks",
    "SingleBlockManager": "blocks",
    **dict.fromkeys(("Index", "Int64Index", "Float64Index", "DatetimeIndex"), "index"),
    **dict.fromkeys(("_new_Index", "_new_DatetimeIndex"), "index"),
    "RangeIndex": "range",
    "DatetimeArray": "times",
}
_MOST_STEPS = 5_000_000
_CODES = {code.code.encode("latin-1"): code for code in pickletools.opcodes}
_ESCAPED = re.compile(r"""(?:[^\\]++|\\(?:[\\'"abfnrtv]|x[0-9a-fA-F]{2}|[0-3]?[0-7]{1,2}))*""", re.DOTALL)
_KEYS = str | bytes | int | float


class Refused(Exception):
    """What stands in a pickle and is not followed."""


@dataclass(frozen=True)
class Name:
    """Something that the program looks up, by its kind."""

    kind: str
    text: str


@dataclass(eq=False)
class Made:
    """Something that the program would make: its kind, the arguments, and the state and items given to it later."""

    kind: str
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


def written_down(data: bytes) -> Any:  # noqa: ANN401 - whatever a pickle holds
    """Follow the program to its end.

    Raises
    ------
    Refused
        It does something else than to build numbers, texts, lists, dictionaries, arrays and tables, or is damaged.
    """
    machine = _Machine(io.BytesIO(data))
    try:
        return machine.run()
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, EOFError):
        raise Refused("is no whole pickle") from None


class _Machine:
    """The stack, the marks in it and what was put aside."""

    def __init__(self, file: io.BytesIO) -> None:
        self.file = file
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.aside: dict[int, Any] = {}

    def run(self) -> Any:  # noqa: ANN401
        for _ in range(_MOST_STEPS):
            code = _CODES[self.file.read(1)]
            if code.name == "STOP":
                return self.stack.pop()
            reader = _LINES.get(code.name) or (code.arg and code.arg.reader)
            self.step(code.name, reader(self.file) if reader else None)
        raise Refused(f"takes more than {_MOST_STEPS} steps")

    def step(self, name: str, argument: Any) -> None:  # noqa: ANN401
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _MADE:
            self.stack.append(_MADE[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"does what is not followed ({name.lower()})")

    def push(self, value: Any) -> None:  # noqa: ANN401
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def mark(self, _: object) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def put(self, number: int | None) -> None:
        self.aside[len(self.aside) if number is None else number] = self.stack[-1]

    def get(self, number: int) -> None:
        self.stack.append(self.aside[number])

    def pop(self, _: object) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.stack = self.marked.pop()

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise Refused("appends to what is no list")
        target.extend(items)

    def update(self, flat: list[Any]) -> None:
        target = self.stack[-1]
        _fill(target.items if isinstance(target, Made) and target.kind == "dict" else target, flat)

    def look_up(self, module: str, name: str) -> None:
        kind = _PANDAS.get(name) if module.partition(".")[0] == "pandas" else _KINDS.get((module, name))
        text = f"{module}.{name}"[:80]
        if kind is None:
            raise Refused(f"asks for {text}, which is neither looked up nor called")
        self.stack.append(Name(kind, text))

    def call(self, arguments: object) -> None:
        function = self.stack.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise Refused("calls what is no name")
        if arguments and isinstance(arguments[0], Name) and function.kind in ("object", "index"):
            function, arguments = arguments[0], arguments[1:]
        self.stack.append(Made(function.kind, arguments))

    def build(self, state: object) -> None:
        target = self.stack[-1]
        if not isinstance(target, Made):
            raise Refused("gives a state to what has none")
        target.state = state


def _line(file: io.BytesIO) -> str:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line[:-1].decode("latin-1")


def _string(file: io.BytesIO) -> str:
    """Read bytes of Python 2 as ``repr`` wrote them."""
    line = _line(file)
    if len(line) < 2 or line[0] not in "'\"" or line[-1] != line[0] or not _ESCAPED.fullmatch(line[1:-1]):
        raise ValueError
    return codecs.escape_decode(line[1:-1].encode("latin-1"))[0].decode("latin-1")


_LINES: dict[str, Callable[[io.BytesIO], Any]] = {
    "STRING": _string,
    "GLOBAL": lambda file: (_line(file), _line(file)),
    "INST": lambda file: (_line(file), _line(file)),
    "PERSID": _line,
}
"""What :mod:`pickletools` takes for ASCII."""


def _fill(target: object, flat: list[Any]) -> None:
    keys, values = flat[::2], flat[1::2]
    if not isinstance(target, dict) or len(keys) != len(values) or not all(isinstance(key, _KEYS) for key in keys):
        raise Refused("has a dictionary whose keys are neither texts nor numbers")
    target.update(zip(keys, values, strict=True))


def _dict(machine: _Machine, _: object) -> None:
    made: dict[Any, Any] = {}
    _fill(made, machine.since_mark())
    machine.stack.append(made)


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: object) -> None:
        items = tuple(machine.stack[-count:])
        if len(items) < count:
            raise IndexError
        machine.stack[-count:] = [items]

    return step


def _pair(machine: _Machine) -> list[Any]:
    value, key = machine.stack.pop(), machine.stack.pop()
    return [key, value]


def _stack_global(machine: _Machine, _: object) -> None:
    module, name = _pair(machine)
    if not isinstance(module, str) or not isinstance(name, str):
        raise Refused("looks up what is no name")
    machine.look_up(module, name)


_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "NONE",
}  # fmt: skip
_MADE: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": lambda machine, _: void(machine.since_mark()),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "DICT": _dict,
    **{f"TUPLE{count}": _tuple(count) for count in (1, 2, 3)},
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update(_pair(machine)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "GLOBAL": lambda machine, names: machine.look_up(*names),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda machine, _: machine.call(machine.stack.pop()),
    "NEWOBJ": lambda machine, _: machine.call(machine.stack.pop()),
    "BUILD": lambda machine, _: machine.build(machine.stack.pop()),
}


def void(_: object) -> None:
    """Throw away what was taken from the stack."""
