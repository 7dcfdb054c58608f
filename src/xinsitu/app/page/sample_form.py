"""Changes of attenuation and events: found, accepted, clicked, named."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from xinsitu.errors import DocumentError
from xinsitu.physics.attenuation.scaling import find_attenuation_changes
from xinsitu.values import Event

from .session import Session
from .widgets import PLAIN, WIDTH, button, row


def attenuation(session: Session) -> list[pn.viewable.Viewable]:
    """Return the buttons below the list of changes of attenuation."""
    part = session.model.attenuation

    def number() -> int:
        if not 0 <= part.looked_at < len(part.listed):
            raise DocumentError("choose a change from the list first")
        return int(part.looked_at)

    def accept() -> None:
        looked, first = part.looked_at, len(part.changes)
        part.accept_listed(looked if looked >= 0 else first)

    def find() -> None:
        measured = part.numbers.measured()
        session.later(lambda: find_attenuation_changes(measured), part.propose)  # of a long run it takes a while

    return [
        row(
            button(session, "find", find, tip="propose changes that the intensities show"),
            button(session, "accept", accept, tip="accept the change that is chosen (Enter)"),
            button(session, "reject", lambda: part.delete_change(number()), tip="take it from the list (Delete)"),
        ),
        row(
            button(session, "next", part.look_next, tip="look at the next change (arrow down)"),
            button(session, "accept all", part.accept_all, width=125, tip="accept all that are proposed"),
        ),
        row(
            button(session, "add by clicks", part.pick_change, width=125, tip="click both ends on a curve"),
            button(session, "move by clicks", lambda: part.pick_change(number()), width=125,
                   tip="click the new ends of the change that is chosen"),
        ),
    ]  # fmt: skip


def events(session: Session) -> list[pn.viewable.Viewable]:
    """Return the form for events."""
    model = session.model
    name = pn.widgets.TextInput(label="name", placeholder="In shutter open", width=WIDTH)
    listed = pn.widgets.Select(label="events", options={}, size=4, width=WIDTH)

    def fill(*_: object) -> None:
        listed.options = {f"{number + 1} {_event(event)}": number for number, event in enumerate(model.logbook.events)}

    def chosen(action: Callable[[int], object]) -> Callable[[], None]:
        def act() -> None:
            if listed.value is None:
                raise DocumentError("choose an event from the list first")
            action(int(listed.value))

        return act

    model.logbook.param.watch(fill, ["events"])
    fill()
    return [
        name,
        row(
            button(
                session,
                "at this frame",
                lambda: model.logbook.add_event(name.value),
                width=125,
                tip="the event is at the frame that is shown",
            ),
            button(
                session,
                "by a click",
                lambda: model.logbook.pick_event(name.value),
                width=125,
                tip="click a curve where the event is",
            ),
        ),
        listed,
        row(
            button(
                session, "until here", chosen(model.logbook.end_event), width=125, tip="let the event last until here"
            ),
            button(
                session, "delete", chosen(model.logbook.delete_event), width=125, tip="forget the event that is chosen"
            ),
        ),
        *_bad_frames(session),
    ]


def _bad_frames(session: Session) -> list[pn.viewable.Viewable]:
    """Return the button that marks the frame that is shown, and what is marked."""
    model = session.model
    said = pn.pane.Str("", margin=(0, 10), width=WIDTH, stylesheets=PLAIN)

    def fill(*_: object) -> None:
        places = model.numbers.bad_places()
        numbers = model.store.data.get("frame")
        named = ", ".join(
            str(at if numbers is None or numbers.dims == () else numbers.values[at]) for at in places[:12]
        )
        said.object = f"not trusted: {named}{' …' if len(places) > 12 else ''}" if places else "all frames are trusted"

    model.numbers.param.watch(fill, ["bad_frames"])
    fill()
    tip = "this frame takes no part in factors, slopes and figures; again: it does (B)"
    return [row(button(session, "bad frame", model.numbers.mark_bad, width=125, tip=tip)), said]


def _event(event: Event) -> str:
    return event.name if event.stop is None else f"{event.name} (interval)"
