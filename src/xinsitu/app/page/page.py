"""The page: a frame of HTML that fills the window, and the figures and forms that stand in it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import panel as pn
from bokeh.document import Document
from bokeh.models import CustomJS, Div, Row, SaveTool, UIElement

from xinsitu.app.preview import icon
from xinsitu.app.state.export import name_of
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.shape_edits import DRAWN
from xinsitu.app.views.channel import code, script
from xinsitu.app.views.drawing import watch

from .file_form import FILES, PICTURES, wire_files
from .forms import TABS, image_tools, measurement, plot_tools, scaled
from .session import Session
from .tips import with_tips

GESTURES = (
    ("click", "selects a region"),
    ("drag inside", "moves it, selected or not"),
    ("drag an edge or corner", "resizes it"),
    ("double click", "its name is typed in place"),
    ("R, then drag", "draws a new region of the chosen shape; Esc: not at all"),
    ("R, polygon: clicks", "its corners; a double click or Enter is the last one"),
    ("drag a small square", "changes the shape of the selected region"),
    ("Alt-click a polygon", "adds a corner; on a corner: takes it away"),
    ("Alt-drag, mask", "adds pixels to the selected mask; begun on one of them: takes away"),
    ("wheel", "zooms at the cursor; F shows everything"),
    ("space or middle button and drag", "pans"),
    ("← →, Shift: ten", "frames; Home, End: first and last; space plays"),
    ("Alt and arrows, Shift: ten", "moves the selected region by a pixel; with Ctrl its size"),
    ("Delete, Ctrl+Z, Ctrl+Shift+Z", "removes the selected region; takes back; does again"),
    ("Ctrl+C, Ctrl+V, Tab", "copies a region, pastes it, selects the next one"),
    ("B", "does not trust this frame, or trusts it again"),
    ("curves: click, drag, double click", "goes to that frame; zooms time; shows all"),
    ("curves: Shift and drag", "chooses a window: its mean and slope are said"),
    ("curves: click beside the axis", "makes the plot large; another click gives its room back"),
    ("chip: click, Alt-click", "hides the curves of a region; shows them alone"),
)
LOOK = 300
"""Milliseconds between two looks whether something has come."""
SMALL = {"font-size": "13px", "font-variant-numeric": "tabular-nums", "white-space": "nowrap"}
WAITING = {"font": '15px system-ui, "DejaVu Sans", sans-serif', "padding": "40px", "color": "#33393f"}
NOTICE = {
    "font-size": "13px", "padding": "8px 14px", "border-radius": "6px", "background": "#33393f", "color": "white",
    "box-shadow": "none", "margin-top": "4px", "cursor": "pointer", "white-space": "normal",
}  # fmt: skip


def bar(part: float, alarm: bool) -> str:
    """Background of a line of text that fills as a job goes on.

    Examples
    --------
    >>> bar(0.25, alarm=False)
    'linear-gradient(to right, #1f4e79 25%, #5d7488 25%)'
    """
    done, left = ("#b00020", "#b04d5c") if alarm else ("#1f4e79", "#5d7488")
    return f"linear-gradient(to right, {done} {part:.0%}, {left} {part:.0%})"


class Page(pn.Template):  # type: ignore[misc] # panel is not typed for us
    """A template whose parts join the document at once: Bokeh would walk through all of them for each one.

    Figures, and whatever else is Bokeh's own, join it without Panel, which would walk from each to all others.
    """

    def __init__(self, template: str) -> None:
        super().__init__(template, location=True)
        self._roots: list[Row] = []

    def __repr__(self) -> str:
        """Say no more than its kind: Panel asks with each part that is added, and would go through all of them."""
        return type(self).__name__

    def add(self, name: str, part: UIElement | pn.viewable.Viewable) -> None:
        """Put a part where the template embeds the root of that name."""
        if isinstance(part, UIElement):
            stretched = getattr(part, "sizing_mode", None) in ("stretch_width", "stretch_both")
            sizing = part.sizing_mode if stretched else None
            self._roots.append(Row(children=[part], name=name, margin=0, align="start", sizing_mode=sizing))
        else:
            self.add_panel(name, part)

    def server_doc(self, doc: Document | None = None, *words: Any, **options: Any) -> Document:  # noqa: ANN401 - Panel's
        """Put the page into a document."""
        if doc is None:
            return super().server_doc(doc, *words, **options)
        doc.validate = lambda: None  # of a page that never changes: Bokeh would walk through all models for each root
        with doc.models.freeze():
            for root in self._roots:
                doc.add_root(root)
            return super().server_doc(doc, *words, **options)


def page(session: Session) -> pn.Template:
    """Build the page of one tab."""
    model = session.model
    text = Div(name="frame_text", text=model.view.frame_line(), render_as_text=True, styles=SMALL)
    session.channel.js_on_change("text", script("label", channel=session.channel, label=text))

    watch(model.view, session.tell, "n_frames")
    session.tell()
    stem = name_of(model)
    for one in session.figures:
        for tool in one.toolbar.tools:
            if isinstance(tool, SaveTool):
                tool.filename = f"{stem}_{one.name}"  # otherwise the browser asks for a name
    template = Page(_text("page.html"))
    variables = {
        "page_css": _text("page.css"), "page_js": code("page"), "tabs": list(TABS), "gestures": GESTURES,
        "shapes": DRAWN, "app_favicon": icon(), "apple_icon": icon(),  # for Panel's own a browser has no token
        "source_name": model.source.name, "files": FILES, "pictures": PICTURES,
        "beside": session.channel.beside, "maps": bool(session.image.maps),
    }  # fmt: skip
    for name, value in variables.items():
        template.add_variable(name, value)
    parts = {
        "measurement": measurement(session), "frame_text": text, "state": _state(session), "scaled": scaled(session),
        **image_tools(session), "notice": _notice(session),
        "picking": _picking(model),
    }  # fmt: skip
    parts |= {view.at: view.root for view in session.views if view.at}
    parts |= {f"plot_{name}": tools for name, tools in plot_tools(session).items()}
    for name, part in parts.items():
        template.add(f"at_{name}", part)
    for number, make in enumerate(TABS.values()):
        template.add_panel(
            f"at_tab{number}", pn.Column(*with_tips(make(session)), sizing_mode="stretch_width", margin=0)
        )
    template.add("at_channel", session.channel_holder)
    wire_files(session)
    session.start()
    return template


def _text(file: str) -> str:
    return resources.files("xinsitu.app").joinpath("page", file).read_text(encoding="utf-8")


def _notice(session: Session) -> Div:
    """Return what is said over the lower left corner: nothing else moves for it."""
    view = session.model.view
    notice = Div(name="message", text=view.message, render_as_text=True, visible=bool(view.message), styles=NOTICE)
    told = script("notice", notice=notice)
    for one, change in ((notice, "visible"), (notice, "text"), (session.image.figure, "inner_width")):
        one.js_on_change(change, told)  # the last one for what came with the page

    def say(*_: object) -> None:
        color = "#b00020" if view.failed else "#33393f"
        notice.update(tags=["error"] if view.failed else [], styles={**NOTICE, "background": color})
        notice.update(text=view.message, visible=bool(view.message))

    view.param.watch(say, ["message"], onlychanged=False)
    return notice


def _picking(model: ExplorerModel) -> Div:
    styles = {**NOTICE, "background": "#0072b2"}
    picking = Div(
        name="picking", text=model.view.picking, render_as_text=True, visible=bool(model.view.picking), styles=styles
    )
    ends = " (Esc: not at all)"
    model.view.param.watch(lambda event: picking.update(text=event.new + ends, visible=bool(event.new)), ["picking"])
    return picking


def _state(session: Session) -> Div:
    """Return the line that says how far the reading is, and sounds the alarm."""
    styles = {**SMALL, "color": "white", "padding": "2px 8px", "border-radius": "4px"}
    state = Div(name="state", text="", render_as_text=True, visible=False, styles=styles)
    model = session.model

    def progress() -> None:
        store = model.store
        alarm = " · ".join(part for part in (model.numbers.alarm(), store.trouble) if part)
        reading = "" if store.complete else f"reading {store.loaded:,} of {store.n_frames:,} frames"
        said = " · ".join(part for part in (alarm, store.note, reading) if part)
        state.update(text=said, visible=bool(said))
        state.styles = {**styles, "background": bar(store.loaded / max(1, store.n_frames), bool(alarm))}

    session.at_progress.append(progress)
    session.at_rest.append(progress)
    return state


def waiting(come: Callable[[], bool], name: str, why: Callable[[], str]) -> pn.viewable.Viewable:
    """Return the page of a folder without frames: it says what is waited for, and loads itself again once that came."""
    said = f"waiting for the first frame of {name} …"
    text = Div(name="waiting", text=said, render_as_text=True, styles=WAITING, sizing_mode="stretch_width")
    text.js_on_change("tags", CustomJS(code="location.reload()"))

    def look() -> None:
        if come():
            text.tags = ["come"]
        elif why() and not text.text.endswith(why()):
            text.text = f"{said} {why()}"

    pn.state.curdoc.add_periodic_callback(look, LOOK)
    return pn.Column(text, sizing_mode="stretch_width")
