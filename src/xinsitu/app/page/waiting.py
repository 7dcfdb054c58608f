"""The page of a folder that has no frames yet."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn
from bokeh.models import CustomJS, Div

LOOK = 300
"""Milliseconds between two looks whether something has come."""
STYLES = {"font": '15px system-ui, "DejaVu Sans", sans-serif', "padding": "40px", "color": "#33393f"}


def waiting(come: Callable[[], bool], name: str, why: Callable[[], str]) -> pn.viewable.Viewable:
    """Return a page that says what is waited for, and loads itself again once it has come."""
    said = f"waiting for the first frame of {name} …"
    text = Div(name="waiting", text=said, render_as_text=True, styles=STYLES, sizing_mode="stretch_width")
    text.js_on_change("tags", CustomJS(code="location.reload()"))

    def look() -> None:
        if come():
            text.tags = ["come"]
        elif why() and not text.text.endswith(why()):
            text.text = f"{said} {why()}"

    pn.state.curdoc.add_periodic_callback(look, LOOK)
    return pn.Column(text, sizing_mode="stretch_width")
