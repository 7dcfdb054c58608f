"""Everything that is not drawn: forms for ROIs, scales and axes, and the files that come out."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from .editing import KIND_LABELS
from .filebar import files
from .kinds import KINDS, kind_of
from .samplebar import attenuation, events
from .session import Session
from .widgets import WIDTH, bound, button


def sections(session: Session) -> list[pn.viewable.Viewable]:
    """Return the parts of the side bar, top to bottom."""
    parts = [
        ("ROI", _roi(session), False),
        ("Files", files(session), False),
        ("Image", _image(session), False),
        ("Curves and kymograph", [*_curves(session), *_kymograph(session)], False),
        ("Attenuation", attenuation(session), not session.model.source.several),
        ("Events", events(session), True),
    ]
    return [
        pn.Card(*rows, title=title, width=WIDTH + 20, margin=(4, 0), collapsed=closed) for title, rows, closed in parts
    ]


def _roi(session: Session) -> list[pn.viewable.Viewable]:
    model = session.model
    chosen = pn.widgets.Select(label="selected", options=list(model.rois.names), value=model.selected, width=WIDTH)
    name = pn.widgets.TextInput(label="name", width=WIDTH // 2 - 14)
    kind = pn.widgets.Select(label="kind", options=dict(KIND_LABELS), width=WIDTH // 2 - 14)
    box = pn.widgets.TextInput(label="rows y0:y1, columns x0:x1", width=WIDTH)
    backgrounds = pn.widgets.MultiSelect(label="background from", width=WIDTH, size=2)
    filling = [False]

    def fill(*_: object) -> None:
        roi = model.roi
        if roi is None:
            return
        filling[0] = True
        chosen.param.update(options=list(model.rois.names), value=roi.name)
        name.value, kind.value = roi.name, kind_of(roi)
        (y0, y1), (x0, x1) = model.box(roi.name)
        box.value = f"{y0}:{y1}, {x0}:{x1}"
        others = [other.name for other in model.rois if other.name != roi.name and not other.background]
        backgrounds.param.update(options=others, value=[one for one in roi.background if one in others])
        filling[0] = False

    def on(widget: pn.widgets.Widget, action: Callable[[str], object]) -> None:
        def act(event: object) -> None:
            if not filling[0]:
                session.do(lambda: action(event.new))  # type: ignore[attr-defined] # a param event

        widget.param.watch(act, ["value"])

    on(chosen, lambda value: setattr(model, "selected", value))
    on(name, lambda value: model.rename(model.selected, value))
    on(kind, lambda value: model.set_kind(model.selected, value))
    on(box, lambda value: model.type_box(model.selected, value))
    on(backgrounds, lambda value: model.set_background(model.selected, tuple(value)))
    model.param.watch(fill, ["selected"])
    session.at_rest.append(fill)
    fill()
    new = pn.widgets.MenuButton(label="add", items=[(KINDS[one].label, one) for one in KINDS], width=85, margin=(3, 3))
    new.on_click(lambda event: session.do(lambda: model.add(event.new)))
    return [
        chosen,
        pn.Row(name, kind),
        box,
        backgrounds,
        pn.Row(
            new,
            button(session, "duplicate", lambda: model.duplicate(model.selected)),
            button(session, "remove", lambda: model.remove(model.selected)),
        ),
        pn.Row(
            button(session, "undo", model.undo),
            button(session, "redo", model.redo),
            button(session, "key frame", model.set_key_frame),
        ),
        pn.Row(
            button(session, "follow peak", model.follow_com),
            button(session, "stand still", model.clear_path),
        ),
    ]


def _image(session: Session) -> list[pn.viewable.Viewable]:
    model = session.model
    rows: list[pn.viewable.Viewable] = []
    if model.source.several:
        names = model.measurements()
        measurement = pn.widgets.Select(label="go to measurement", options=list(names), width=WIDTH)
        measurement.param.watch(lambda event: session.do(lambda: model.param.update(frame=names[event.new])), ["value"])
        rows.append(measurement)
    if model.source.reopen is not None:
        rows.append(bound(session, pn.widgets.Checkbox(label="show the newest frame", width=WIDTH), "follow"))
    if model.correction is not None:
        rows.append(bound(session, pn.widgets.Checkbox(label="corrected", width=WIDTH), "corrected"))
    low = pn.widgets.FloatInput(label="from", value=model.limits[0], width=90)
    high = pn.widgets.FloatInput(label="to", value=model.limits[1], width=90)

    filling = [False]

    def set_limits(*_: object) -> None:
        if not filling[0] and low.value is not None and high.value is not None and low.value < high.value:
            session.do(lambda: model.param.update(limits=(low.value, high.value)))

    def show_limits(*_: object) -> None:
        filling[0] = True
        low.value, high.value = model.limits
        filling[0] = False

    for one in (low, high):
        one.param.watch(set_limits, ["value"])
    model.param.watch(show_limits, ["limits"])
    percentile = pn.widgets.Select(label="fit", options=[100.0, 99.9, 99.0, 95.0], value=99.9, width=75)
    rows += [
        bound(session, pn.widgets.Checkbox(label="logarithmic", width=WIDTH), "log_image"),
        pn.Row(low, high, percentile),
        button(session, "fit to frame", lambda: model.fit_limits(percentile.value), width=110),
    ]
    return rows


def _curves(session: Session) -> list[pn.viewable.Viewable]:
    model = session.model
    return [
        bound(session, pn.widgets.Select(label="time axis", options=list(model.axes), width=WIDTH), "axis"),
        bound(session, pn.widgets.Checkbox(label="logarithmic intensity", width=WIDTH), "log_intensity"),
        bound(session, pn.widgets.Checkbox(label="centre of mass as shift", width=WIDTH), "shift"),
    ]


def _kymograph(session: Session) -> list[pn.viewable.Viewable]:
    labels = {
        "profiles": "values",
        "change since previous": "previous",
        "change since first": "first",
        "slope": "slope",
    }
    return [
        pn.Row(
            bound(session, pn.widgets.Select(label="along", options=["x", "y"], width=70), "along"),
            bound(session, pn.widgets.Select(label="show", options=labels, width=WIDTH - 90), "show"),
        )
    ]
