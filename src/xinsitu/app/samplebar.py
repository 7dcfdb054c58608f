"""Changes of attenuation and events: found, accepted, clicked, named."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from xinsitu.errors import DocumentError
from xinsitu.values import AttenuationChange, Event

from .session import Session
from .widgets import WIDTH, bound, button


def attenuation(session: Session) -> list[pn.viewable.Viewable]:
    """Return the form for changes of attenuation."""
    model = session.model
    listed = pn.widgets.Select(label="changes", options={}, size=4, width=WIDTH)
    hint = pn.pane.Str("", width=WIDTH, margin=(0, 10))

    def fill(*_: object) -> None:
        settled = model.settled()
        accepted = settled if len(settled) == len(model.changes) else model.changes
        labels = [_change(change, "✓") for change in accepted] + [_change(change, "?") for change in model.proposals]
        options = {f"{number + 1} {label}": number for number, label in enumerate(labels)}
        if options != listed.options:
            listed.options = options

    def number() -> int:
        if listed.value is None:
            raise DocumentError("choose a change from the list first")
        return int(listed.value)

    def accept() -> None:
        if not model.proposals:
            raise DocumentError("there is no proposal to accept; find some first")
        model.accept_change(max(0, number() - len(model.changes)))

    model.param.watch(fill, ["changes", "proposals", "numbers"])
    model.param.watch(lambda event: setattr(hint, "object", event.new), ["picking"])
    fill()
    return [
        listed,
        pn.Row(
            button(session, "find", model.find_changes),
            button(session, "accept", accept),
            button(session, "delete", lambda: model.delete_change(number())),
        ),
        pn.Row(
            button(session, "add by clicks", model.pick_change, width=125),
            button(session, "move by clicks", lambda: model.pick_change(number()), width=125),
        ),
        hint,
        bound(session, pn.widgets.Checkbox(label="show corrected intensities", width=WIDTH), "scaled"),
    ]


def _change(change: AttenuationChange, mark: str) -> str:
    key = change.before_key
    where = str(change.before)[11:19] if key is None else f"{key.measurement or ''} {key.frame}".strip()
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
        pn.Row(
            button(session, "mark frame", lambda: model.add_event(name.value), width=95),
            button(session, "until here", chosen(model.end_event)),
            button(session, "delete", chosen(model.delete_event), width=75),
        ),
        listed,
    ]


def _event(event: Event) -> str:
    return event.name if event.stop is None else f"{event.name} (interval)"
