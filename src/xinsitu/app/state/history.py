"""Undo and redo of frozen values."""

from __future__ import annotations

from typing import Generic, TypeVar

Value = TypeVar("Value")


class History(Generic[Value]):
    """The values that something had.

    Examples
    --------
    >>> history = History("a")
    >>> history.add("b"); history.add("c")
    >>> history.undo(), history.undo(), history.undo(), history.redo()
    ('b', 'a', 'a', 'b')
    """

    def __init__(self, value: Value, limit: int = 200) -> None:
        self._past, self._future, self._limit = [value], list[Value](), limit

    @property
    def now(self) -> Value:
        """The value that was remembered last."""
        return self._past[-1]

    def add(self, value: Value) -> None:
        """Remember a new value; what was undone is forgotten."""
        if value != self._past[-1]:
            self._past = [*self._past, value][-self._limit :]
            self._future.clear()

    def undo(self) -> Value:
        """Return the value before; the first one again where there is none."""
        if len(self._past) > 1:
            self._future.append(self._past.pop())
        return self._past[-1]

    def redo(self) -> Value:
        """Return the value that was undone last; the current one where there is none."""
        if self._future:
            self._past.append(self._future.pop())
        return self._past[-1]
