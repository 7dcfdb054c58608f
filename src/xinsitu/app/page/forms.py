"""Everything that is not drawn: the tools above the figures, and the forms of the panel's tabs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import panel as pn

from xinsitu.app.state.further_state import ASKED
from xinsitu.app.state.kinds import KINDS, kind_of
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.roi_edits import KIND_LABELS
from xinsitu.app.state.shape_edits import DRAWN, RECTANGLE, text_of
from xinsitu.app.views.drawing import watch
from xinsitu.values import Mask

from .correction_form import corrections
from .file_form import compared, copied, files
from .sample_form import attenuation, events
from .session import Session
from .widgets import WIDTH, Filling, bound, button, rounded, row, small, tipped, toggle

SHIFT = {"shift": True, "absolute": False}
"""How a centre of mass is drawn, in words."""


def _roi(session: Session) -> list[pn.viewable.Viewable]:
    """Return the form of the region that is selected, and the buttons of all."""
    return [*_fields(session), *_roi_buttons(session)]


def _fields(session: Session) -> list[pn.viewable.Viewable]:
    """Return what the selected region is, each part of it to be changed."""
    model, filling = session.model, Filling(session)
    chosen = pn.widgets.Select(
        label="selected", options=list(model.regions.rois.names), value=model.regions.selected, width=WIDTH
    )
    name = pn.widgets.TextInput(label="name", width=WIDTH // 2 - 3)
    kind = pn.widgets.Select(label="kind", options=dict(KIND_LABELS), width=WIDTH // 2 - 3)
    box = pn.widgets.TextInput(label="rows y0:y1, columns x0:x1", width=WIDTH)
    shape = pn.widgets.Select(label="shape", options=[*DRAWN, Mask.kind], width=WIDTH // 2 - 3)
    edges = pn.widgets.Select(
        label="pixels on its line", options={"whole": "whole", "in part": "exact"}, width=WIDTH // 2 - 3
    )
    outline = pn.widgets.TextInput(label="shape as in files", width=WIDTH)
    backgrounds = pn.widgets.MultiSelect(label="background from", width=WIDTH, size=2)

    def fill(*_: object) -> None:
        roi = model.regions.roi
        if roi is None:
            return
        with filling:
            chosen.param.update(options=list(model.regions.rois.names), value=roi.name)
            name.value, kind.value = roi.name, kind_of(roi)
            (y0, y1), (x0, x1) = model.regions.box(roi.name)
            box.value = f"{y0}:{y1}, {x0}:{x1}"
            shape.value = RECTANGLE if roi.geometry is None else roi.geometry.kind
            edges.value, outline.value = roi.edges, text_of(roi)
            others = [other.name for other in model.regions.rois if other.name != roi.name and not other.background]
            backgrounds.param.update(options=others, value=[one for one in roi.background if one in others])

    filling.on(chosen, lambda value: setattr(model.regions, "selected", value))
    filling.on(name, lambda value: model.regions.rename(model.regions.selected, value))
    filling.on(kind, lambda value: model.regions.set_kind(model.regions.selected, value))
    filling.on(box, lambda value: model.regions.type_box(model.regions.selected, value))
    filling.on(shape, lambda value: model.regions.set_shape(model.regions.selected, value))
    filling.on(edges, lambda value: model.regions.set_edges(model.regions.selected, value))
    filling.on(outline, lambda value: model.regions.type_shape(model.regions.selected, value))
    filling.on(backgrounds, lambda value: model.regions.set_background(model.regions.selected, tuple(value)))
    model.regions.param.watch(fill, ["selected"])
    model.view.param.watch(
        lambda _: fill() if model.regions.roi is not None and model.regions.roi.path else None, ["frame"]
    )
    session.at_rest.append(fill)
    fill()
    return [chosen, row(name, kind), box, row(shape, edges), outline, backgrounds]


def _roi_buttons(session: Session) -> list[pn.viewable.Viewable]:
    """Return what is done to regions: added, copied, removed, undone, moved from frame to frame."""
    model = session.model
    new = pn.widgets.MenuButton(label="add", items=[(KINDS[one].label, one) for one in KINDS], width=85, margin=(3, 3))
    new.on_click(lambda event: session.do(lambda: model.regions.add(event.new)))
    return [
        row(
            new,
            button(
                session,
                "duplicate",
                lambda: model.regions.duplicate(model.regions.selected),
                tip="copy it (Ctrl+C, Ctrl+V)",
            ),
            button(
                session,
                "remove",
                lambda: model.regions.remove(model.regions.selected),
                tip="remove the region (Delete)",
            ),
        ),
        row(
            button(session, "undo", model.regions.undo, tip="take the last change of regions back (Ctrl+Z)"),
            button(session, "redo", model.regions.redo, tip="do it again (Ctrl+Shift+Z)"),
            button(session, "key frame", model.regions.set_key_frame, tip="the region is here at this frame (K)"),
        ),
        row(
            button(
                session,
                "follow peak",
                model.numbers.follow_com,
                width=125,
                tip="let the region follow its centre of mass",
            ),
            button(session, "stand still", model.regions.clear_path, width=125, tip="let the region stand still again"),
        ),
    ]


def measurement(session: Session) -> pn.viewable.Viewable:
    """Return the chooser of the measurement, where there are several: it says which one the frame is of."""
    view, filling = session.model.view, Filling(session)
    chooser = small(pn.widgets.Select(options=[], width=110, name=""), "go to a measurement")

    def fill(*_: object) -> None:
        first = view.measurements()
        here = [name for name, position in first.items() if position <= view.frame][-1]
        with filling:
            if chooser.options != list(first):
                chooser.options = list(first)
            chooser.param.update(value=here, visible=len(first) > 1)

    filling.on(chooser, lambda name: view.param.update(frame=view.measurements()[str(name)]))
    view.param.watch(fill, ["frame", "n_frames"])
    fill()
    return chooser


def scaled(session: Session) -> pn.viewable.Viewable:
    """Return the switch between measured and corrected intensities."""
    options = {"measured": False, "corrected": True}
    tip = "intensities as measured, or with the changes of attenuation corrected"
    return tipped(small(bound(session, pn.widgets.RadioButtonGroup(options=options, width=140), "scaled")), tip)


def image_tools(session: Session) -> dict[str, pn.viewable.Viewable]:
    """Return what belongs to the image: its scale, and its colour limits."""
    model = session.model
    low = small(pn.widgets.FloatInput(value=model.view.limits[0], width=66), "lowest colour")
    high = small(pn.widgets.FloatInput(value=model.view.limits[1], width=66), "highest colour")
    filling = [False]

    def show(*_: object) -> None:
        filling[0] = True
        low.value, high.value = map(rounded, model.view.limits)
        filling[0] = False

    def typed(*_: object) -> None:
        if not filling[0] and low.value is not None and high.value is not None:
            pair = sorted((float(low.value), float(high.value)))
            session.do(lambda: model.view.param.update(limits=tuple(pair), each_frame=False))

    for one in (low, high):
        one.stylesheets = [
            *one.stylesheets,
            ".bk-spin-btn { display: none !important; }",
        ]  # over the number; a step says nothing
        one.param.watch(typed, ["value"])
    model.view.param.watch(show, ["limits"])
    show()
    each = {"limits: lock": False, "each frame": True}
    tools = [
        toggle(session, "log", "log_image", "logarithmic colours"),
        small(bound(session, pn.widgets.Select(options=each, width=100), "each_frame"), "colour limits"),
    ]
    if model.source.reopen is not None:
        tools.append(toggle(session, "newest", "follow", "show the newest frame as it comes"))
    return {"image_tools": pn.Row(*tools, margin=0, height=28), "image_limits": pn.Row(low, high, margin=0, height=28)}


def plot_tools(session: Session) -> dict[str, pn.viewable.Viewable]:
    """Return the switches that stand at a plot, by the quantity that it shows."""
    model = session.model
    directions = {model.view.direction(axis): axis for axis in ("x", "y")}
    along = small(bound(session, pn.widgets.RadioButtonGroup(options=directions, width=64), "along"), "along")
    own = toggle(session, "own", "own_axes", "kymograph on the ROI's own axes: across and along, or radius and azimuth")
    watch(model.regions, lambda: own.param.update(visible=bool(model.cutouts.own_name())), "rois", "selected")
    own.visible = bool(model.cutouts.own_name())
    shift = small(bound(session, pn.widgets.RadioButtonGroup(options=SHIFT, width=112), "shift"), "centre of mass")
    also = {"also: —": "", **{_called(model, name): name for name in ASKED}}
    axis = small(bound(session, pn.widgets.Select(options=list(model.view.axes), width=84), "axis"), "time axis")
    further = small(bound(session, pn.widgets.Select(options=also, width=120), "further"), "a quantity more")
    groups = {
        "com": [
            tipped(shift, "centre of mass: shift from its first frames, or absolute, in detector pixels"),
            toggle(session, "smooth", "smooth", "smooth all curves on the true time axis, never across a gap"),
            toggle(session, "d/dt", "derivative", "slopes per second instead of values"),
        ],
        "intensity": [
            tipped(further, "draw a quantity more; it is measured when it is chosen"),
            toggle(session, "log", "log_intensity", "logarithmic intensity"),
            toggle(session, "÷ window", "normalised", "divide by the mean of the window that Shift and a drag chose"),
        ],
        "kymograph": [
            axis,
            tipped(along, "kymograph along this direction"),
            own,
            toggle(session, "log", "log_kymograph", "logarithmic colours of the kymograph"),
        ],
    }
    return {name: pn.Row(*widgets, margin=0) for name, widgets in groups.items()}


def _called(model: ExplorerModel, name: str) -> str:
    """Return a quantity and the direction in which it is, as the page names this."""
    quantity, _, axis = name.partition("_")
    direction = model.view.direction(axis) if axis in ("x", "y") else axis
    return f"{quantity.upper() if quantity in ('com', 'fwhm') else quantity} {direction}".strip()


def _attenuation(session: Session) -> list[pn.viewable.Viewable]:
    return [*attenuation(session), session.evidence.root]


TABS: Mapping[str, Callable[[Session], list[pn.viewable.Viewable]]] = {
    "ROIs": lambda session: [*_roi(session), *copied(session)],
    "Corrections": corrections,
    "Attenuation": _attenuation,
    "Events": events,
    "Compare": compared,
    "Files": files,
}
"""The tabs of the panel and what makes each."""
