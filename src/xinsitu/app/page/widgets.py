"""Small parts that all forms use."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from .session import Session

WIDTH = 270


def row(*widgets: pn.viewable.Viewable) -> pn.Row:
    """Return widgets side by side, as close together as they stand below each other."""
    for one in widgets:
        one.margin = (3, 3)
    return pn.Row(*widgets, margin=(0, 7))


def button(
    session: Session, label: str, action: Callable[[], object], width: int = 82, **options: object
) -> pn.widgets.Button:
    """Return a button that does something; what xinsitu refuses is said on the page."""
    one = pn.widgets.Button(label=label, width=width, margin=(3, 3), **options)
    one.on_click(lambda *_: session.do(action))
    return one


def bound(session: Session, widget: pn.widgets.Widget, name: str) -> pn.widgets.Widget:
    """Tie a widget to a parameter of the model, both ways."""
    model = session.model
    widget.value = getattr(model, name)
    widget.param.watch(lambda event: session.do(lambda: setattr(model, name, event.new)), ["value"])
    model.param.watch(lambda event: widget.param.update(value=event.new), [name])
    return widget
