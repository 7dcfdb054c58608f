"""The form of the corrections: each step switched by itself, its effect at once; and how frames are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import panel as pn
from bokeh.models import CustomJSTickFormatter

from xinsitu.app.data import beside
from xinsitu.app.state.corrections import CALIBRATIONS, MODES, Calibration, Corrections, counters
from xinsitu.app.state.view import COLOURS
from xinsitu.defaults import MEDIAN, OUTLIERS

from .session import Session
from .widgets import UNSEEN, WIDTH, Filling, bound, button, rounded, row

COMPARED = {
    "the frame": "values",
    "change since previous": "previous",
    "change since first": "first",
    "change per second": "slope",
}
KYMOGRAPH = {"profiles": "values", "change since previous": "previous", "change since first": "first", "slope": "slope"}
MEDIANS = {"no median": (None, None), "outliers only": (MEDIAN, OUTLIERS)} | {
    f"median {size} x {size}": (size, None) for size in (3, 5, 7)
}
"""Medians and their thresholds by name; any other one that was given is listed beside them."""
NONE = "—"
BESIDE = "— beside the frames"


def corrections(session: Session) -> list[pn.viewable.Viewable]:
    """Return what is done to the frames, and what is shown of them."""
    return [
        bound(session, pn.widgets.Checkbox(label="corrected", width=WIDTH), "corrected"),
        *_steps(session),
        row(
            bound(session, pn.widgets.Select(label="image shows", options=COMPARED, width=WIDTH // 2 - 3), "compare"),
            bound(session, pn.widgets.Select(label="kymograph shows", options=KYMOGRAPH, width=WIDTH // 2 - 3), "show"),
        ),
        *_limits(session),
    ]


def _steps(session: Session) -> list[pn.viewable.Viewable]:
    model, filling = session.model, Filling(session)
    medians = pn.widgets.Select(label="median", options=list(MEDIANS), width=WIDTH // 2 - 3)
    monitors = pn.widgets.Select(label="normalise by", options=[NONE], width=WIDTH // 2 - 3)
    places = pn.widgets.TextInput(label="background: rows y0:y1, columns x0:x1", placeholder="none", width=WIDTH)
    modes = pn.widgets.Select(label="background mode", options=list(MODES), width=WIDTH // 2 - 3)

    def change(**steps: object) -> None:
        model.view.correct(model.view.corrections.changed(**steps))

    def filter_by(name: object) -> None:
        size, threshold = _medians(model.view.corrections)[str(name)]
        change(median=size, threshold=threshold)

    def use_mode(name: object) -> None:
        region = model.view.corrections.correction.background
        if region is not None:
            model.view.correct(model.view.corrections.with_background(region.boxes, str(name)))

    def fill(*_: object) -> None:
        now = model.view.corrections
        one = now.correction
        with filling:
            medians.options = list(_medians(now))
            medians.value = next(
                name for name, way in _medians(now).items() if way == (one.median, one.threshold)
            )  # fmt: skip
            named = one.normalise if isinstance(one.normalise, str) or one.normalise is None else one.normalise[0]
            monitors.options = list(dict.fromkeys([NONE, *counters(model.store.data), *([named] if named else [])]))
            monitors.value = named or NONE
            boxes = () if one.background is None else one.background.boxes
            places.value = "; ".join(f"{y0}:{y1}, {x0}:{x1}" for (y0, y1), (x0, x1) in boxes)
            modes.value = now.mode

    filling.on(medians, filter_by)
    filling.on(monitors, lambda name: change(normalise=None if name == NONE else name))
    filling.on(places, lambda text: model.view.type_background(str(text)))
    filling.on(modes, use_mode)
    model.view.param.watch(fill, ["corrections"])
    fill()
    draw = button(
        session,
        "draw background",
        lambda: _let_draw(session),
        width=WIDTH // 2 - 3,
        align="end",
        tip="drag over an empty area of the image",
    )
    return [
        row(medians, monitors),
        *(part for name in CALIBRATIONS for part in _calibration(session, name)),
        places,
        row(modes, draw),
    ]


def _medians(now: Corrections) -> dict[str, tuple[int | None, float | None]]:
    """Return the medians that can be chosen, and the one that is."""
    size, threshold = now.correction.median, now.correction.threshold
    if (size, threshold) in MEDIANS.values():
        return dict(MEDIANS)
    return {**MEDIANS, f"{size} x {size}, beyond {threshold:g} σ": (size, threshold)}


def _let_draw(session: Session) -> None:
    session.channel.tool = ("background", session.channel.tool[1] + 1)
    session.model.view.message = (
        "drag over an empty area of the image: its mean becomes the background (Esc: not at all)"
    )


def _calibration(session: Session, name: Calibration) -> list[pn.viewable.Viewable]:
    """Return the switch of a calibration, what lies beside the frames, and a field for another one."""
    model, filling = session.model, Filling(session)
    label, what = CALIBRATIONS[name]
    switch = pn.widgets.Checkbox(label=label, width=118, align="center")
    unseen = [UNSEEN]  # the switch beside it says what it is
    chooser = pn.widgets.TextInput(
        label=f"{label}: {what}", placeholder=f"another {what}", width=WIDTH - 124, stylesheets=unseen
    )
    found = beside.calibrations(model.source, name)
    listed = pn.widgets.Select(
        label=f"{label}: beside the frames", options=[BESIDE, *found], width=WIDTH, stylesheets=unseen
    )
    listed.visible = bool(found)

    def fill(*_: object) -> None:
        now = model.view.corrections
        path = now.files.get(name)
        with filling:
            switch.value = now.has(name)
            chooser.value = "" if path is None else path.name
            listed.value = next((key for key, one in found.items() if path is not None and _same(one, path)), BESIDE)

    def choose(key: object) -> None:
        if str(key) in found:
            calibrate(session, name, str(found[str(key)]))

    def type_path(text: object) -> None:
        path = model.view.corrections.files.get(name)
        if path is None or str(text) != path.name:
            calibrate(session, name, str(text))

    filling.on(switch, lambda on: model.view.correct(model.view.corrections.switched(name, bool(on))))
    filling.on(chooser, type_path)
    filling.on(listed, choose)
    model.view.param.watch(fill, ["corrections"])
    fill()
    return [row(switch, chooser), listed]


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def calibrate(session: Session, name: Calibration, text: str) -> None:
    """Read a calibration beside everything else that goes on, and take it."""
    now, source = session.model.view.corrections, session.model.source
    if text.strip():
        session.later(lambda: now.calibrated(name, Path(text.strip()).expanduser(), source), session.model.view.correct)


def _limits(session: Session) -> list[pn.viewable.Viewable]:
    """Return slider, numbers and percentile of the colour limits; the slider runs evenly on the scale that is shown."""
    model = session.model
    low = pn.widgets.FloatInput(label="from", value=model.view.limits[0], width=85)
    high = pn.widgets.FloatInput(label="to", value=model.view.limits[1], width=85)
    slider = pn.widgets.RangeSlider(label="colours", start=0, end=1, step=0.01, width=WIDTH - 10)
    percentile = pn.widgets.Select(label="percentile", options=[100.0, 99.9, 99.0, 95.0], value=99.9, width=70)
    filling = [False]

    def logarithmic() -> bool:
        return bool(model.view.log_image and model.view.compare == "values")

    def show(*_: object) -> None:
        filling[0] = True
        low.value, high.value = map(rounded, model.view.limits)
        ends = (model.view.limit_bounds(), model.view.limits)
        (start, end), value = [tuple(np.log10(np.maximum(pair, 1e-6))) if logarithmic() else pair for pair in ends]
        shown = CustomJSTickFormatter(code=f"return ({'10 ** tick' if logarithmic() else 'tick'}).toPrecision(3)")
        slider.param.update(start=start, end=end, step=(end - start) / 400, value=value, format=shown)
        filling[0] = False

    def put(pair: tuple[float, float]) -> None:
        if not filling[0] and pair[0] != pair[1]:
            session.do(lambda: model.view.param.update(limits=tuple(sorted(pair)), each_frame=False))

    def typed(*_: object) -> None:
        if low.value is not None and high.value is not None:
            put((float(low.value), float(high.value)))

    def slid(event: object) -> None:
        first, last = event.new  # type: ignore[attr-defined] # a param event
        put((10.0**first, 10.0**last) if logarithmic() else (float(first), float(last)))

    def fit() -> None:
        model.view.fit_limits(percentile.value)

    for one in (low, high):
        one.param.watch(typed, ["value"])
    slider.param.watch(slid, ["value"])
    percentile.param.watch(lambda *_: session.do(fit), ["value"])
    model.view.param.watch(show, ["limits", "log_image", "compare"])
    show()
    return [
        slider,
        row(low, high, percentile),
        row(
            bound(session, pn.widgets.Select(label="colour map", options=list(COLOURS), width=85), "colours"),
            button(session, "fit to frame", fit, width=85, align="end", tip="colours for this frame"),
            button(session, "fit to run", model.view.fit_run, width=70, align="end", tip="colours for all frames"),
        ),
    ]
