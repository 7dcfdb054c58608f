"""Everything that is not drawn: forms for ROIs, scales and axes, and the files that come out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import panel as pn
from bokeh.models import CustomJSTickFormatter

from xinsitu.app.state.kinds import KINDS, kind_of
from xinsitu.app.state.roi_edits import KIND_LABELS

from .besidebar import compared, copied
from .file_form import files
from .sample_form import attenuation, events
from .session import Session
from .widgets import WIDTH, bound, button, row

COMPARED = {
    "the frame": "values",
    "change since previous": "previous",
    "change since first": "first",
    "change per second": "slope",
}


def sections(session: Session) -> list[pn.viewable.Viewable]:
    """Return the parts of the side bar, top to bottom."""
    parts = [
        ("ROI", [*_roi(session), *copied(session)], False),
        ("Files", files(session), False),
        ("Image", _image(session), False),
        ("Curves and kymograph", [*_curves(session), *_kymograph(session), *compared(session)], False),
        ("Attenuation", attenuation(session), not session.model.source.several),
        ("Events", events(session), not session.model.source.several),
    ]
    return [
        pn.Card(*rows, title=title, width=WIDTH + 20, margin=(4, 0), collapsed=closed) for title, rows, closed in parts
    ]


def _roi(session: Session) -> list[pn.viewable.Viewable]:
    model = session.model
    chosen = pn.widgets.Select(label="selected", options=list(model.rois.names), value=model.selected, width=WIDTH)
    name = pn.widgets.TextInput(label="name", width=WIDTH // 2 - 3)
    kind = pn.widgets.Select(label="kind", options=dict(KIND_LABELS), width=WIDTH // 2 - 3)
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
        row(name, kind),
        box,
        backgrounds,
        row(
            new,
            button(session, "duplicate", lambda: model.duplicate(model.selected)),
            button(session, "remove", lambda: model.remove(model.selected)),
        ),
        row(
            button(session, "undo", model.undo),
            button(session, "redo", model.redo),
            button(session, "key frame", model.set_key_frame),
        ),
        row(
            button(session, "follow peak", model.follow_com, width=125),
            button(session, "stand still", model.clear_path, width=125),
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
    rows += [
        bound(session, pn.widgets.Select(label="show", options=COMPARED, width=WIDTH), "compare"),
        bound(session, pn.widgets.Checkbox(label="logarithmic", width=WIDTH), "log_image"),
        *_limits(session),
    ]
    return rows


def _limits(session: Session) -> list[pn.viewable.Viewable]:
    """Return slider, numbers and percentile of the colour limits; the slider runs evenly on the scale that is shown."""
    model = session.model
    low = pn.widgets.FloatInput(label="from", value=model.limits[0], width=91)
    high = pn.widgets.FloatInput(label="to", value=model.limits[1], width=91)
    slider = pn.widgets.RangeSlider(label="colours", start=0, end=1, step=0.01, width=WIDTH - 10)
    percentile = pn.widgets.Select(label="percentile", options=[100.0, 99.9, 99.0, 95.0], value=99.9, width=76)
    filling = [False]

    def logarithmic() -> bool:
        return bool(model.log_image and model.compare == "values")

    def show(*_: object) -> None:
        filling[0] = True
        low.value, high.value = model.limits
        ends = (model.limit_bounds(), model.limits)
        (start, end), value = [tuple(np.log10(np.maximum(pair, 1e-6))) if logarithmic() else pair for pair in ends]
        shown = CustomJSTickFormatter(code=f"return ({'10 ** tick' if logarithmic() else 'tick'}).toPrecision(3)")
        slider.param.update(start=start, end=end, step=(end - start) / 400, value=value, format=shown)
        filling[0] = False

    def put(pair: tuple[float, float]) -> None:
        if not filling[0] and pair[0] < pair[1]:
            session.do(lambda: model.param.update(limits=pair))

    def typed(*_: object) -> None:
        if low.value is not None and high.value is not None:
            put((float(low.value), float(high.value)))

    def slid(event: object) -> None:
        first, last = event.new  # type: ignore[attr-defined] # a param event
        put((10.0**first, 10.0**last) if logarithmic() else (float(first), float(last)))

    def fit() -> None:
        model.fit_limits(percentile.value)

    for one in (low, high):
        one.param.watch(typed, ["value"])
    slider.param.watch(slid, ["value"])
    percentile.param.watch(lambda *_: session.do(fit), ["value"])
    model.param.watch(show, ["limits", "log_image", "compare"])
    show()
    return [slider, row(low, high, percentile), button(session, "fit to frame", fit, width=110)]


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
        row(
            bound(session, pn.widgets.Select(label="along", options=["x", "y"], width=66), "along"),
            bound(session, pn.widgets.Select(label="show", options=labels, width=WIDTH - 72), "show"),
        )
    ]
