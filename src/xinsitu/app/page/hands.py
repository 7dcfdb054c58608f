"""From the hand to the model: what the browser does by itself, and what it tells the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bokeh.models import CustomJS
from bokeh.plotting import figure

from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.roi_state import Regions
from xinsitu.app.views.channel import script
from xinsitu.app.views.drawing import EDGES
from xinsitu.app.views.image import STATE_COLOURS
from xinsitu.errors import RoiError
from xinsitu.values import Roi

from .messages import in_one_message

if TYPE_CHECKING:
    from .session import Session

ARROWS = {"arrowup": (-1, 0), "arrowdown": (1, 0), "arrowleft": (0, -1), "arrowright": (0, 1)}
"""Rows and columns of a nudge."""
FAR = 10
"""Pixels of a nudge with the shift key."""
_copied: list[Roi] = []
"""What was copied last, in any tab: it can be pasted into another measurement."""


def wire(session: Session) -> None:
    """Give the page its scripts, and let the model follow what they tell."""
    _scripts(session)
    _cursors(session)
    _theme(session)
    model, channel, do = session.model, session.channel, session.do
    answer = in_one_message(session.document, lambda: channel.update(pong=channel.ping))
    channel.on_change("ping", lambda attr, old, new: answer())
    channel.on_change("ask", lambda attr, old, new: session.frames.ask())
    channel.on_change("drag", lambda attr, old, new: session.dragged(new[0].removeprefix("roi:"), new[1]))
    channel.on_change("drawn", lambda attr, old, new: do(lambda: _drawn(session, new[:2], new[2:4], new[4])))
    channel.on_change("outline", lambda attr, old, new: do(lambda: model.regions.draw_polygon(new[0])))
    channel.on_change("handle", lambda attr, old, new: session.reshaped(*new[:4]))
    channel.on_change("rename", lambda attr, old, new: do(lambda: model.regions.rename(new[0], new[1])))
    channel.on_change("chip", lambda attr, old, new: do(lambda: _chip(session, new[0], new[1])))
    channel.on_change("click", lambda attr, old, new: do(lambda: model.view.pick(new[1])))
    channel.on_change("chosen", lambda attr, old, new: do(lambda: model.curves.choose_window(new[0], new[1])))
    channel.on_change("walk", lambda attr, old, new: do(lambda: _walk(session, new[0], new[1])))
    channel.on_change("reply", lambda attr, old, new: do(lambda: model.attenuation.answer(new[0])))
    channel.on_change("key", lambda attr, old, new: do(lambda: pressed(model, new[0])))
    session.player.goto.on_change("value", lambda attr, old, new: _go_to(session, new))


def _scripts(session: Session) -> None:
    """Layout of the image, gestures, keys, chips and cut-outs."""
    channel, image, player = session.channel, session.image, session.player
    figure = image.figure
    place = {"channel": channel, "figure": figure, "source": image.source}
    fit = script("fit", figure=figure, aspect=image.aspect)
    hands = script("gestures", **place, shape=session.model.view.shape, maps=image.maps)
    keys = script("keys", channel=channel, slider=player.slider, toggle=player.toggle)
    regions = script(
        "regions", **place, states=image.states, mappers=list(zip(image.layers, image.mappers, strict=True))
    )
    for change in ("inner_width", "inner_height"):
        figure.js_on_change(change, fit)
    figure.js_on_change("inner_width", script("wheel", figure=figure, names=["x_range", "y_range"]))
    for one in (script("repaint"), hands, keys, regions, script("tips")):
        figure.js_on_change("inner_width", one)
    legend = script("legend", states=image.states, colours=STATE_COLOURS)
    for one, change in ((image.states, "tags"), (figure, "inner_width")):
        one.js_on_change(change, legend)
    for change in ("regions", "selected", "boxes", "done"):
        channel.js_on_change(change, regions)
    labels = script("labels", channel=channel, figure=figure)
    for change in ("boxes", "selected"):
        channel.js_on_change(change, labels)
    for one, change in ((figure, "inner_width"), (figure, "inner_height"), (figure.x_range, "start"),
                        (figure.y_range, "start")):  # fmt: skip
        one.js_on_change(change, labels)
    channel.js_on_change("numbers", script("numbers", channel=channel))
    figure.js_on_change("inner_width", script("numbers", channel=channel))
    track = script("track", channel=channel, slider=player.slider)
    for one, change in ((channel, "track"), (player.slider, "end"), (figure, "inner_width")):
        one.js_on_change(change, track)
    changes = script("changes", channel=channel)
    for change in ("changes", "looked", "question"):
        channel.js_on_change(change, changes)
    figure.js_on_change("inner_width", changes)
    channel.js_on_change("factors", regions)
    for mapper in image.mappers:
        for change in ("low", "high"):
            mapper.js_on_change(change, regions)


def _theme(session: Session) -> None:
    """Let figures have the colours of the page, and their switches stand where they are."""
    theme = script("theme")  # without models among its arguments: Bokeh walks from each to all others, for every root
    for one in session.figures:
        one.stylesheets = [EDGES]
        for change in ("inner_width", "inner_height"):
            one.js_on_change(change, theme)
    session.curves.column.js_on_change("children", theme)


def _cursors(session: Session) -> None:
    """Let the cursors of all figures along time follow the frame, and lead to one."""
    channel, slider, curves = session.channel, session.player.slider, session.curves
    cursors = [*curves.cursors, session.kymograph.cursor]
    arrived = script("arrived", channel=channel, slider=slider, places=curves.places, cursors=cursors)
    channel.js_on_change("done", arrived)
    for change in ("data", "tags"):
        curves.places.js_on_change(change, arrived)
    figures = [*curves.figures.values(), session.kymograph.figure]
    for one, cursor in zip(figures, cursors, strict=True):
        cursor.js_on_change("location", in_reach(session, one))


def in_reach(session: Session, one: figure) -> CustomJS:
    """Let a click on a figure along time lead to a frame, Shift and a drag choose a window; return what leads there."""
    channel, places = session.channel, session.curves.places
    seek = script("seek", channel=channel, slider=session.player.slider, places=places, name=one.name or "")
    for code in (script("window", channel=channel), script("wheel", figure=one, names=["x_range"])):
        one.js_on_change("inner_width", code)
    one.js_on_event("tap", seek)
    return seek


def _chip(session: Session, name: str, how: str) -> None:
    """Select a ROI, or hide its curves."""
    model = session.model
    if name in model.regions.rois.names and how == "select":
        model.regions.selected = name
    elif name in model.regions.rois.names:
        model.regions.show_curves(name, alone=how == "alone")


def _walk(session: Session, what: str, number: int) -> None:
    """Look at a change of the list, accept it, or reject it."""
    model = session.model
    if what == "look":
        model.attenuation.looked_at = number
    else:
        {"accept": model.attenuation.accept_listed, "reject": model.attenuation.delete_change}[what](number)


def _drawn(session: Session, y: tuple[float, float], x: tuple[float, float], tool: str) -> None:
    """Take over what was drawn: a region to measure, or one of the background."""
    if tool == "background":
        session.model.view.draw_background(y, x)
    else:
        session.model.regions.draw(y, x, tool.partition(":")[2] or "rectangle")


def _go_to(session: Session, text: str) -> None:
    """Show the frame that was typed; what could not be found stays in its field."""

    def go() -> None:
        session.model.view.goto_text(text)
        session.player.goto.value = ""

    if text:
        session.do(go)


def pressed(model: ExplorerModel, chord: str) -> None:
    """Do what a key does, such as ``ctrl+z`` or ``alt+shift+arrowup``.

    Raises
    ------
    RoiError
        It cannot be done: nothing to paste, the last ROI to be removed.
    """
    regions, (*held, last) = model.regions, chord.split("+")
    if "alt" in held:
        rows, columns = ARROWS[last]
        step = FAR if "shift" in held else 1
        regions.nudge(step * rows, step * columns, size="ctrl" in held)
        return
    actions: dict[str, Callable[[], object]] = {
        "ctrl+z": regions.undo, "ctrl+shift+z": regions.redo, "ctrl+y": regions.redo, "k": regions.set_key_frame,
        "b": model.numbers.mark_bad, "escape": model.view.stop_picking,
        "tab": regions.select_next, "shift+tab": lambda: regions.select_next(-1),
        "delete": lambda: regions.remove(regions.selected), "backspace": lambda: regions.remove(regions.selected),
        "ctrl+c": lambda: _copy(regions), "ctrl+v": lambda: _paste(regions),
        "ctrl+a": lambda: regions.param.update(hidden=()),
    }  # fmt: skip
    actions[chord]()


def _copy(regions: Regions) -> None:
    if regions.roi is not None:
        _copied[:] = [regions.roi]
        regions.view.message = f"{regions.roi.name} is copied; Ctrl+V adds the copy, here or in another measurement"


def _paste(regions: Regions) -> None:
    if not _copied:
        raise RoiError("there is no region to paste: Ctrl+C copies the selected one")
    regions.paste(_copied[0])
