"""Changes of attenuation and events: found, accepted, clicked, named."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from xinsitu.errors import DocumentError
from xinsitu.values import AttenuationChange, Event

from .session import Session
from .widgets import WIDTH, bound, button, row


def attenuation(session: Session) -> list[pn.viewable.Viewable]:
    """Return the form for changes of attenuation."""
    model = session.model
    listed = pn.widgets.Select(label="changes", options={}, size=4, width=WIDTH)
    filling = [False]

    def fill(*_: object) -> None:
        marks = ["✓"] * len(model.changes) + ["?"] * len(model.proposals)
        labels = [_change(change, mark) for change, mark in zip(model.listed, marks, strict=True)]
        options = {f"{number + 1} {label}": number for number, label in enumerate(labels)}
        value = model.looked_at if 0 <= model.looked_at < len(options) else None
        filling[0] = True
        if options != listed.options:
            listed.param.update(options=options, value=value)
        elif listed.value != value:
            listed.value = value
        filling[0] = False

    def look(event: object) -> None:
        chosen = event.new  # type: ignore[attr-defined] # a param event
        if not filling[0] and chosen is not None:
            session.do(lambda: model.param.update(looked_at=chosen))

    def number() -> int:
        if not 0 <= model.looked_at < len(model.listed):
            raise DocumentError("choose a change from the list first")
        return int(model.looked_at)

    def accept() -> None:
        if not model.proposals:
            raise DocumentError("there is no proposal to accept; find some first")
        if 0 <= model.looked_at < len(model.changes):
            raise DocumentError("this change is accepted already; choose a proposal, marked with ?")
        model.accept_change(max(0, model.looked_at - len(model.changes)))

    listed.param.watch(look, ["value"])
    model.param.watch(fill, ["changes", "proposals", "numbers", "looked_at"])
    fill()
    before_after = pn.widgets.RadioButtonGroup(options={"as measured": False, "corrected": True}, width=WIDTH)
    return [
        listed,
        row(
            button(session, "find", model.find_changes),
            button(session, "accept", accept),
            button(session, "delete", lambda: model.delete_change(number())),
        ),
        row(
            button(session, "add by clicks", model.pick_change, width=125),
            button(session, "move by clicks", lambda: model.pick_change(number()), width=125),
        ),
        bound(session, before_after, "scaled"),
    ]


def _change(change: AttenuationChange, mark: str) -> str:
    key = change.before_key
    where = (
        str(change.before)[11:19]
        if key is None or key.frame is None
        else f"{key.measurement or ''} {key.frame}".strip()
    )
    factor = "" if change.factor is None else f" × {change.factor:.4g}"
    error = "" if change.factor_errors is None else f" ± {change.factor_errors:.2g}"
    return f"{mark} {where}{factor}{error} {change.cause}"


def events(session: Session) -> list[pn.viewable.Viewable]:
    """Return the form for events."""
    model = session.model
    name = pn.widgets.TextInput(label="name", placeholder="In shutter open", width=WIDTH)
    listed = pn.widgets.Select(label="events", options={}, size=4, width=WIDTH)

    def fill(*_: object) -> None:
        listed.options = {f"{number + 1} {_event(event)}": number for number, event in enumerate(model.events)}

    def chosen(action: Callable[[int], object]) -> Callable[[], None]:
        def act() -> None:
            if listed.value is None:
                raise DocumentError("choose an event from the list first")
            action(int(listed.value))

        return act

    model.param.watch(fill, ["events"])
    fill()
    return [
        name,
        row(
            button(session, "at this frame", lambda: model.add_event(name.value), width=125),
            button(session, "by a click", lambda: model.pick_event(name.value), width=125),
        ),
        listed,
        row(
            button(session, "until here", chosen(model.end_event), width=125),
            button(session, "delete", chosen(model.delete_event), width=125),
        ),
    ]


def _event(event: Event) -> str:
    return event.name if event.stop is None else f"{event.name} (interval)"
