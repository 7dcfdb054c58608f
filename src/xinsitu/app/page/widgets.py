"""Small parts that all forms use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from .session import Session

WIDTH = 250
PLAIN = ["pre { font: inherit; white-space: normal; margin: 0; }"]
"""Style of text among widgets."""
PANEL = """:host { font-size: 13px; } label { margin: 0; padding: 0; line-height: 15px; }
  .bk-input, .bk-btn { height: 25px; min-height: 25px; padding: 0 6px; line-height: 21px; font-size: 13px; }
  ::file-selector-button { font: inherit; color: inherit; background: transparent; border: 0; padding: 3px 8px;
  margin-right: 6px; border-right: 1px solid currentColor; cursor: pointer; }
  input[type=file].bk-input, select:is([multiple], [size]).bk-input { height: auto; padding: 0; }"""
"""Style of widgets in the panel: a form is as high as a small window."""
UNSEEN = "label { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }"
"""Style of labels that only a screen reader needs."""
COMPACT = (
    """:host { font-size: 13px; } .bk-input, .bk-btn { height: 24px !important; padding: 0 6px !important;
  font-size: 13px; min-height: 24px; line-height: 20px; } .bk-btn-group { height: 24px; }
  .bk-btn.bk-active { background: #0072b2; color: white; }
"""
    + UNSEEN
)
"""Style of widgets that stand in a line of tools: their labels are there for screen readers."""


class Filling:
    """Widgets that follow the model: what they say while they are filled is not a person's word."""

    def __init__(self, session: Session) -> None:
        self._session, self._now = session, False

    def __enter__(self) -> None:
        self._now = True

    def __exit__(self, *_: object) -> None:
        self._now = False

    def on(self, widget: pn.widgets.Widget, action: Callable[[Any], object]) -> None:
        """Do something when a person changes a widget."""

        def act(event: object) -> None:
            if not self._now:
                self._session.do(lambda: action(event.new))  # type: ignore[attr-defined] # a param event

        widget.param.watch(act, ["value"])


def row(*widgets: pn.viewable.Viewable) -> pn.Row:
    """Return widgets side by side, as close together as they stand below each other."""
    for one in widgets:
        one.margin = (3, 3)
    return pn.Row(*widgets, margin=(0, 7))


def button(
    session: Session, label: str, action: Callable[[], object], width: int = 82, tip: str = "", **options: object
) -> pn.widgets.Button:
    """Return a button that does something; what xinsitu refuses is said on the page."""
    one = pn.widgets.Button(label=label, width=width, margin=(3, 3), **options)
    one.on_click(lambda *_: session.do(action))
    return tipped(one, tip)


def tipped(widget: pn.widgets.Widget, tip: str) -> pn.widgets.Widget:
    """Return a widget that says what it does under the cursor and to screen readers: see ``js/tips.js``."""
    if tip:
        widget.tags = [f"tip:{tip}"]
    return widget


def bound(session: Session, widget: pn.widgets.Widget, name: str) -> pn.widgets.Widget:
    """Tie a widget to a parameter of a part of the model, both ways."""
    part = session.model.part_with(name)
    widget.value = getattr(part, name)
    widget.param.watch(lambda event: session.do(lambda: setattr(part, name, event.new)), ["value"])
    part.param.watch(lambda event: widget.param.update(value=event.new), [name])
    return widget


def small(widget: pn.widgets.Widget, tip: str = "") -> pn.widgets.Widget:
    """Return a widget that fits into a line of tools; ``tip`` says what it does, to screen readers, too."""
    widget.param.update(margin=(2, 2), height=24, stylesheets=[COMPACT])
    if tip:
        widget.label = tip
    return tipped(widget, tip)


def rounded(value: float) -> float:
    """Return a number with as many digits as a narrow field shows.

    Examples
    --------
    >>> rounded(20544.4267), rounded(1.03818), rounded(-0.000123456)
    (20544.0, 1.038, -0.0001235)
    """
    return float(f"{value:.0f}") if abs(value) >= 1000 else float(f"{value:.4g}")


def toggle(session: Session, label: str, name: str, tip: str) -> pn.widgets.Widget:
    """Return a button that stays down while a parameter of the model is true."""
    one = pn.widgets.Toggle(label=label, width=12 + 8 * len(label))
    return tipped(small(bound(session, one, name)), tip)
