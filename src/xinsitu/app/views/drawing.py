"""What the page asks of a view: where it stands, its work beside the page, when it is drawn anew, what is in view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import param
from bokeh.models import ColumnDataSource, Range1d, UIElement
from bokeh.plotting import figure

from xinsitu.app.state.model import ExplorerModel

PLAIN = {f"{state}_glyph": None for state in ("hover", "muted", "nonselection", "selection")}
"""Glyphs of a renderer that nobody sees; Bokeh would make and send every one of them."""
EDGES = ":host { clip-path: inset(2px 0 0 2px); }"
"""Style of a figure: its outermost pixels keep half of the colour that they had before, and shine in the dark."""


class Drawing:
    """A view of a part of the model; one entry in the list of a session, all else is its own.

    ``at`` names its place in ``page.html``, and ``root`` stands there; ``figures`` have the page's colours and names.
    A view that needs pixels gives ``work``: it gets what :meth:`request` returns, on another thread, latest wins.
    """

    at: str = ""
    root: UIElement | None = None
    figures: Mapping[str, figure] = {}
    work: Callable[[Any], Any] | None = None
    of_frame: bool = False
    """Whether it shows one frame, and is another one at each."""

    def request(self) -> object | None:
        """Return what ``work`` is to be done on; None: nothing."""
        return None

    def take(self, found: Any) -> None:  # noqa: ANN401 - what its work returned
        """Draw what ``work`` found."""

    def failed(self, fault: Exception) -> None:
        """Take the error of ``work``: it is said on the page, where nothing better is known."""
        raise fault

    def measured(self) -> None:
        """Draw what numbers are drawn over it; they have come, and the hand rests."""


def watch(part: param.Parameterized, action: Callable[[], object], *names: str) -> None:
    """Do something whenever one of these parameters of a part has changed."""
    part.param.watch(lambda *_: action(), list(names))


def put(source: ColumnDataSource, columns: Mapping[str, Any]) -> None:
    """Let a source hold columns, where it does not hold just these: what is set is sent, and painted.

    Examples
    --------
    >>> source, heard = ColumnDataSource(data={"x": np.array([1.0, np.nan]), "text": ["a", "b"]}), []
    >>> source.on_change("data", lambda attr, old, new: heard.append(new))
    >>> put(source, {"x": np.array([1.0, np.nan]), "text": ["a", "b"]})
    >>> put(source, {"x": np.array([1.0, 2.0]), "text": ["a", "b"]})
    >>> len(heard)
    1
    """
    if source.data.keys() != columns.keys() or not all(_same(source.data[name], columns[name]) for name in columns):
        source.data = dict(columns)


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - a column, or what stands in it
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    mine, its = np.asarray(one), np.asarray(other)
    return (
        mine.shape == its.shape
        and mine.dtype == its.dtype
        and bool(((mine == its) | (mine != mine) & (its != its)).all())
    )


def renew(source: ColumnDataSource, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Let a source hold other columns; those that are the same are not sent, of what grows only what is new.

    Then its ``tags`` count on, for scripts that look at it. Once in a message: what is set and goes on in one of them
    would arrive twice.

    Examples
    --------
    >>> source = ColumnDataSource(data={"x": np.array([1.0, 2.0, np.nan])})
    >>> renew(source, {"x": np.array([1.0, 2.0, 3.0, 4.0])})
    >>> source.data["x"].tolist(), source.tags
    ([1.0, 2.0, 3.0, 4.0], [1])
    """
    before, size = (len(next(iter(one.values()))) for one in (source.data, columns))
    changed = {}
    if before and size >= before and source.data.keys() == columns.keys():
        changed = {name: _changed(source.data[name], values[:before]) for name, values in columns.items()}
    if not changed or 2 * sum(len(range(before)[part]) for part in changed.values()) > len(changed) * before:
        new = {name: np.array(values) for name, values in columns.items()}  # patches are written into them
        if changed and size == before:
            source.data.update({name: new[name] for name, part in changed.items() if part.stop})
        else:
            source.data = new
        return
    patches = {name: [(part, columns[name][part])] for name, part in changed.items() if part.stop}
    if patches:
        source.patch(patches)
    if size > before:
        source.stream({name: values[before:] for name, values in columns.items()})
    if patches or size > before:
        source.tags = [sum(source.tags) + 1]


def _changed(old: Any, new: npt.NDArray[Any]) -> slice:  # noqa: ANN401 - a column, whatever it is
    """Where a column has become another one, from the first to the last change."""
    if not isinstance(old, np.ndarray) or old.dtype != new.dtype:
        return slice(0, len(new))
    places = np.flatnonzero((old != new) & ~((old != old) & (new != new)))
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)


class Zoom(Drawing):
    """Ties ranges to a parameter of the view: ``((start, end), ...)`` of what is in view, or None for everything."""

    def __init__(self, model: ExplorerModel, name: str, ranges: tuple[Range1d, ...]) -> None:
        self._part, self._name, self._ranges = model.view, name, ranges
        for one in ranges:
            for end in ("start", "end"):
                one.on_change(end, self._moved)
        watch(self._part, self.show, name)
        self.show()

    def show(self) -> None:
        """Bring the parameter's part into view."""
        part = getattr(self._part, self._name) or [(one.reset_start, one.reset_end) for one in self._ranges]
        for one, (start, end) in zip(self._ranges, part, strict=True):
            one.update(start=start, end=end)

    def _moved(self, attr: str, old: float, new: float) -> None:  # bokeh wants these names
        whole = all((one.start, one.end) == (one.reset_start, one.reset_end) for one in self._ranges)
        part = None if whole else tuple((one.start, one.end) for one in self._ranges)
        self._part.param.update(**{self._name: part})
