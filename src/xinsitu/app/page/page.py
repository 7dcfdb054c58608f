"""The page around the views: a side bar with everything that is not drawn, in a template that needs no network."""

from __future__ import annotations

import panel as pn
from bokeh.models import Div, SaveTool

from xinsitu.app.state.export import name_of
from xinsitu.app.views.channel import script
from xinsitu.app.views.curves_view import shown_as
from xinsitu.plots.markup import as_html

from .session import Session
from .sidebar import sections

CSS = """
#sidebar { overflow-x: hidden; }
@media (max-width: 900px) {
  #content { display: block; overflow-y: auto !important; }
  #sidebar { width: 100% !important; min-width: 100%; height: auto !important; max-height: 38vh; }
  #sidebar .nav { display: block !important; column-width: 290px; column-gap: 0; }
  #sidebar .card { break-inside: avoid; }
  #main { width: 100%; height: auto !important; max-height: none !important; overflow: visible !important; }
}
"""
VIEWS = """
:host(.xi-views) { display: grid !important; gap: 4px 14px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); }
:host(.xi-views) > * { min-width: 0; }
"""


def bar(part: float, alarm: bool) -> str:
    """Background of a line of text that fills as a job goes on.

    Examples
    --------
    >>> bar(0.25, alarm=False)
    'linear-gradient(to right, #1f4e79 25%, #8093a6 25%)'
    """
    done, left = ("#b00020", "#c96b7a") if alarm else ("#1f4e79", "#8093a6")
    return f"linear-gradient(to right, {done} {part:.0%}, {left} {part:.0%})"


def page(session: Session) -> pn.template.BootstrapTemplate:
    """Build the page of one tab."""
    model = session.model
    text = Div(name="frame_text", text=model.frame_text(), render_as_text=True, sizing_mode="stretch_width")
    text.styles = {"font-size": "12px", "color": "#444", "font-variant-numeric": "tabular-nums"}
    session.channel.js_on_change("text", script("label", channel=session.channel, label=text))
    model.param.watch(lambda *_: session.channel.update(text=model.frame_text()), ["frame"])
    message = Div(name="message", text=model.message, render_as_text=True, visible=bool(model.message))
    message.styles = {"font-size": "13px", "color": "#7a4b00", "background": "#fff3d6", "padding": "4px 8px"}
    model.param.watch(lambda event: message.update(text=event.new, visible=bool(event.new)), ["message"])
    picking = Div(name="picking", text=model.picking, render_as_text=True, visible=bool(model.picking))
    picking.styles = {"font-size": "13px", "color": "#0b3d63", "background": "#d9ebf9", "padding": "4px 8px"}
    ends = " (Esc: not at all)"
    model.param.watch(lambda event: picking.update(text=event.new + ends, visible=bool(event.new)), ["picking"])
    state = Div(name="state", text="", render_as_text=True, visible=False)
    state.styles = {"font-size": "13px", "color": "white", "background": "#1f4e79", "padding": "2px 8px"}

    def progress() -> None:
        store, alarm = model.store, model.alarm()
        reading = "" if store.complete else f"reading frames: {store.loaded} of {store.n_frames}"
        text = " · ".join(part for part in (alarm, store.note, reading) if part)
        state.update(text=text, visible=bool(text))
        state.styles = {**state.styles, "background": bar(store.loaded / max(1, store.n_frames), bool(alarm))}

    session.at_progress.append(progress)
    session.at_rest.append(progress)
    stem = name_of(model)
    curves = ((shown_as(name), figure) for name, figure in session.curves.figures.items())
    for name, figure in (("image", session.image.figure), *curves, ("kymograph", session.kymograph.figure)):
        for tool in figure.toolbar.tools:
            if isinstance(tool, SaveTool):
                tool.filename = f"{stem}_{name}"  # otherwise the browser asks for a name
    left = pn.Column(
        session.image.figure, session.player.row, text, session.section.row, session.kymograph.figure,
        sizing_mode="stretch_width",
    )  # fmt: skip
    right = pn.Column(session.curves.column, session.evidence.row, sizing_mode="stretch_width")
    views = pn.Column(left, right, css_classes=["xi-views"], stylesheets=[VIEWS], sizing_mode="stretch_width")
    template = pn.template.BootstrapTemplate(
        title=as_html(f"xinsitu · {model.source.name}"),  # the template would take it as HTML
        busy_indicator=None,
        sidebar_width=310,
        header_background="#1f4e79",
    )
    template.config.raw_css.append(CSS)
    template.sidebar.extend(sections(session))
    template.main.append(pn.Column(state, message, picking, views, sizing_mode="stretch_width"))
    session.start()
    return template
