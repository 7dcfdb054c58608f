"""The ROIs of one view: placed, typed, added, renamed, tied to frames, undone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import param

from xinsitu.app.data import beside
from xinsitu.errors import DocumentError, RoiError, XinsituError
from xinsitu.io.documents import ROIS, VERSION, document_text
from xinsitu.physics.moments import frame_key, resolve_key
from xinsitu.physics.reduction.moving import Boxes, boxes_in_time
from xinsitu.values import Box, Key, KeyFrame, Mask, Roi, RoiSet, Shape

from . import roi_edits, shape_edits
from .first_rois import first_rois
from .kinds import as_kind
from .measuring import measurements
from .view import View

Doubles = npt.NDArray[np.float64]
Value = TypeVar("Value")


class History(Generic[Value]):
    """The values that something had: undo and redo.

    Examples
    --------
    >>> history = History("a")
    >>> history.add("b"); history.add("c")
    >>> history.undo(), history.undo(), history.undo(), history.redo()
    ('b', 'a', 'a', 'b')
    """

    def __init__(self, value: Value, limit: int = 200) -> None:
        self._past, self._future, self._limit = [value], list[Value](), limit

    @property
    def now(self) -> Value:
        """The value that was remembered last."""
        return self._past[-1]

    def add(self, value: Value) -> None:
        """Remember a new value; what was undone is forgotten."""
        if value != self._past[-1]:
            self._past = [*self._past, value][-self._limit :]
            self._future.clear()

    def undo(self) -> Value:
        """Return the value before; the first one again where there is none."""
        if len(self._past) > 1:
            self._future.append(self._past.pop())
        return self._past[-1]

    def redo(self) -> Value:
        """Return the value that was undone last; the current one where there is none."""
        if self._future:
            self._past.append(self._future.pop())
        return self._past[-1]


class Regions(param.Parameterized):  # type: ignore[misc] # param has no types
    """The ROIs of a view, one of them selected."""

    rois = param.ClassSelector(class_=RoiSet, default=RoiSet())
    selected = param.String("", doc="name of the ROI that profiles and kymograph show")
    hidden = param.Parameter(default=(), doc="names of the ROIs whose curves are not shown")

    def __init__(self, view: View, rois: RoiSet | None = None) -> None:
        super().__init__()
        self.view, self.store, self.shape = view, view.store, view.shape
        self._boxes: dict[str, tuple[object, Boxes]] = {}
        chosen = rois if rois is not None and len(rois) else first_rois(self.store.glimpse(), self.shape)
        self.rois = roi_edits.inside(chosen, self.shape)
        self._history = History(self.rois)
        self._placed: tuple[str, Box] | None = None
        self._brush: tuple[tuple[float, float], bool] | None = None
        self.selected = self.rois.names[0]

    @property
    def roi(self) -> Roi | None:
        """The selected ROI."""
        return self.rois[self.selected] if self.selected in self.rois.names else None

    def place(self, name: str, y: tuple[float, float], x: tuple[float, float]) -> None:
        """Put a ROI where the mouse has it: edges between pixels, in any order. :meth:`commit` makes it undoable.

        A ROI that moves is put there at the frame that is shown.
        """
        roi = self.rois[name]
        limits = self.shape if roi.geometry is None or roi.path else (roi_edits.ANYWHERE, roi_edits.ANYWHERE)
        box = roi_edits.snapped(*y, limits[0]), roi_edits.snapped(*x, limits[1])
        if box == self.box(name) or (name, box) == self._placed:
            return
        if roi.geometry is None or roi.path:
            roi = roi.moved(y=box[0], x=box[1])
            self.rois = self.rois.replaced(self._keyed(roi) if roi.path else roi)
            return
        before, self._placed = self._history.now, (name, box)
        with suppress(RoiError):  # it stays as it was
            roi = shape_edits.placed(before[name] if name in before.names else roi, box)  # as often as it is dragged
            self.rois = self.rois.replaced(roi.on(self.shape))

    def box(self, name: str) -> Box:
        """Rows and columns of a ROI at the frame that is shown."""
        roi = self.rois[name]
        if not roi.path:
            return roi.y, roi.x
        y0, y1, x0, x1 = (int(edge) for edge in self.boxes(name)[self.view.frame])
        return (y0, y1), (x0, x1)

    def boxes(self, name: str) -> Boxes:
        """Bounds ``y0, y1, x0, x1`` of a ROI in every frame, ``(time, 4)``; it moves within a measurement only."""
        roi = self.rois[name]
        key = roi, self.view.n_frames
        if self._boxes.get(name, (None,))[0] != key:
            runs = measurements(self.store.data[["image"]])
            self._boxes[name] = key, np.concatenate([boxes_in_time(run, roi) for run in runs])
        return self._boxes[name][1]

    def commit(self) -> None:
        """Remember the ROIs as they are, for undo."""
        self._placed = None
        self._history.add(self.rois)

    def _set(self, rois: RoiSet, selected: str | None = None) -> None:
        self.rois = rois
        if selected is not None:
            self.selected = selected
        elif self.selected not in rois.names:
            self.selected = rois.names[0] if len(rois) else ""
        self.commit()

    def type_box(self, name: str, text: str) -> None:
        """Put a ROI where somebody typed it, ``y0:y1, x0:x1``."""
        y, x = roi_edits.typed(text, self.shape)
        roi = shape_edits.placed(self.rois[name], (y, x))
        self._set(self.rois.replaced(self._keyed(roi) if roi.path else roi.on(self.shape)))

    def draw(self, y: tuple[float, float], x: tuple[float, float], kind: str = shape_edits.RECTANGLE) -> None:
        """Add a ROI of a shape in the box that the mouse drew, edges between pixels in any order, and select it."""
        box = roi_edits.snapped(*y, self.shape[0]), roi_edits.snapped(*x, self.shape[1])
        rois, name = roi_edits.drawn(self.rois, *box)
        self._set(rois.replaced(shape_edits.reshaped(rois[name], kind)), name)

    def draw_polygon(self, corners: Sequence[float]) -> None:
        """Add a polygon whose corners ``y, x, y, x, …`` were clicked, and select it."""
        shape = shape_edits.by_hand(shape_edits.polygon(corners))
        roi = Roi("ROI", geometry=shape).on(self.shape)
        rois, name = roi_edits.drawn(self.rois, roi.y, roi.x)
        self._set(rois.replaced(rois[name].reshaped(shape).on(self.shape)), name)

    def set_shape(self, name: str, kind: str) -> None:
        """Give a ROI another shape, in the box that it has."""
        self._set(self.rois.replaced(shape_edits.reshaped(self.rois[name], kind)))

    def type_shape(self, name: str, text: str) -> None:
        """Give a ROI the shape that somebody typed, as files have it; nothing: a rectangle."""
        self._set(self.rois.replaced(shape_edits.typed_shape(self.rois[name], text).on(self.shape)))

    def set_edges(self, name: str, edges: str) -> None:
        """Count whole pixels, or parts of them where the shape's line crosses."""
        self._set(self.rois.replaced(self.rois[name].reshaped(self.rois[name].geometry, edges=edges)))

    def handles(self) -> tuple[tuple[float, float], ...]:
        """Points ``(y, x)`` by which the mouse changes the shape of the selected ROI; none of one that moves."""
        return () if self.roi is None or self.roi.path else shape_edits.handles(self.roi.geometry)

    def move_handle(self, number: int, y: float, x: float) -> None:
        """Change the selected ROI by one of its handles; where that gives no shape on the image it stays as it was."""
        roi = self.roi
        if roi is not None and roi.geometry is not None and number < len(self.handles()):
            with suppress(RoiError):
                self._reshape(roi, shape_edits.with_handle(roi.geometry, number, (y, x)))

    def change_corner(self, number: int, y: float, x: float) -> None:
        """Take a corner of the selected polygon away, or, where there is none (-1), add one."""
        roi = self.rois[self.selected]
        corner = shape_edits.without_corner(roi.geometry, number) if number >= 0 else None
        self._reshape(roi, corner or shape_edits.with_corner(roi.geometry, (y, x)))
        self.commit()

    def paint(self, y: float, x: float, *, begins: bool = False) -> None:
        """Add pixels to the selected mask from where the brush was to where it is; begun on one of them: take away."""
        roi, point = self.rois[self.selected], (y, x)
        if begins or self._brush is None:
            inside = isinstance(roi.geometry, Mask) and bool(roi.geometry.holds((round(y), round(x)), (1, 1)).any())
            self._brush = point, not inside
        (before, counted), self._brush = self._brush, (point, self._brush[1])
        with suppress(RoiError):  # off the image, or the last pixel: it stays as it was
            changed = shape_edits.painted(roi, before, point, counted=counted)
            self.rois = self.rois.replaced(changed.on(self.shape))

    def _reshape(self, roi: Roi, shape: Shape) -> None:
        """Give a ROI the shape that the hand made, if that lies on the image."""
        self.rois = self.rois.replaced(roi.reshaped(shape_edits.by_hand(shape)).on(self.shape))

    def nudge(self, rows: int, columns: int, *, size: bool = False) -> None:
        """Move the selected ROI by whole pixels, or its lower right corner, as far as the image goes."""
        if self.roi is not None:
            moved = roi_edits.nudged(self.box(self.selected), rows, columns, self.shape, size=size)
            (y0, y1), (x0, x1) = moved
            self.place(self.selected, (y0 - 0.5, y1 - 0.5), (x0 - 0.5, x1 - 0.5))
            self.commit()

    def paste(self, roi: Roi) -> None:
        """Add a copy of a ROI, of this or of another measurement, and select it."""
        self._set(*roi_edits.pasted(self.rois, roi, self.shape))

    def select_next(self, step: int = 1) -> None:
        """Select the ROI behind the selected one, or before it."""
        names = self.rois.names
        at = names.index(self.selected) if self.selected in names else -step
        self.selected = names[(at + step) % len(names)]

    def show_curves(self, name: str, *, alone: bool = False) -> None:
        """Hide the curves of a ROI or show them again; ``alone``: only them, or all again."""
        if alone:
            others = tuple(other for other in self.rois.names if other != name)
            self.hidden = () if set(self.hidden) == set(others) else others
        else:
            kept = tuple(other for other in self.hidden if other != name)
            self.hidden = kept if name in self.hidden else (*kept, name)

    def add(self, kind: str = "all") -> None:
        """Add a ROI in the middle of the image and select it."""
        self._set(*roi_edits.added(self.rois, kind, self.shape))

    def remove(self, name: str) -> None:
        """Remove a ROI; the last one stays."""
        if len(self.rois) < 2:
            raise RoiError("the last ROI stays: there would be nothing to measure")
        self._set(roi_edits.removed(self.rois, name))

    def rename(self, old: str, new: str) -> None:
        """Give a ROI another name."""
        self._set(roi_edits.renamed(self.rois, old, new), new.strip() if self.selected == old else None)

    def duplicate(self, name: str) -> None:
        """Add a copy of a ROI and select it."""
        self._set(*roi_edits.duplicated(self.rois, name, self.shape))

    def set_kind(self, name: str, kind: str) -> None:
        """Say what a ROI is for."""
        self._set(self.rois.replaced(as_kind(self.rois[name], kind, self.rois)))

    def set_background(self, name: str, backgrounds: tuple[str, ...]) -> None:
        """Say which ROIs give this one's background."""
        if name in backgrounds:
            raise RoiError(f"ROI {name!r} cannot be its own background")
        self._set(RoiSet([*self.rois.replaced(replace(self.rois[name], background=tuple(backgrounds)))]))

    def undo(self) -> None:
        """Take back the last change of the ROIs."""
        self._restore(self._history.undo(), "there is nothing to take back")

    def redo(self) -> None:
        """Do again what was taken back."""
        self._restore(self._history.redo(), "there is nothing to do again")

    def _restore(self, rois: RoiSet, none: str) -> None:
        """Take other ROIs, and select the one that is back or that changed; say where there are none."""
        if rois == self.rois:
            self.view.message = none
        before, self.rois = self.rois, rois
        back = [name for name in rois.names if name not in before.names]
        changed = back or [name for name in rois.names if rois[name] != before[name]]
        if len(changed) == 1:
            self.selected = changed[0]
        elif self.selected not in rois.names:
            self.selected = rois.names[0]

    def load_rois(self, text: str) -> None:
        """Take the ROIs of a ROI file.

        Raises
        ------
        DocumentError, RoiError
            It is no ROI file, or a ROI does not lie on this detector.
        """
        try:
            document = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            raise DocumentError("the ROI file is not valid JSON") from None
        if not isinstance(document, dict) or document.get("format") != ROIS or document.get("version") != VERSION:
            raise DocumentError(f'the ROI file needs the lines "format": "{ROIS}" and "version": {VERSION}')
        rois = roi_edits.inside(RoiSet.from_dict(document), self.shape)
        if not len(rois):
            raise DocumentError("the ROI file holds no ROI")
        self._set(rois, rois.names[0])

    def copy_rois(self, path: Path) -> None:
        """Take the ROIs of a ROI file or of a saved result: those of another measurement."""
        self.load_rois(beside.rois_text(path))

    def rois_text(self) -> str:
        """Return the ROI file of what is shown."""
        shape = (self.shape[0][1], self.shape[1][1])
        return document_text(RoiSet(self.rois, shape, self.rois.extra).to_dict(), ROIS)

    def set_key_frame(self) -> None:
        """Say that the selected ROI is here at the frame that is shown; between key frames it moves linearly."""
        (y, x), roi = self.box(self.selected), self.rois[self.selected]
        self._set(self.rois.replaced(self._keyed(roi.moved(y=y, x=x))))

    def key_frames(self) -> list[tuple[int, Box]]:
        """Positions of the selected ROI's key frames, with its box there; those of other measurements are left out."""
        found = []
        for one in (self.roi.path or ()) if self.roi else ():
            try:
                found.append((resolve_key(self.store.data, one.key), (one.y, one.x)))
            except XinsituError:
                continue  # of another measurement
        return found

    def _keyed(self, roi: Roi) -> Roi:
        """Return the ROI with a key frame at the frame that is shown, where its box is."""
        key = frame_key(self.store.data, self.view.frame)
        if key is None:
            raise RoiError("these frames have no numbers, so a ROI cannot be tied to one")
        kept = [one for one in roi.path or () if _same(one.key) != _same(key)]
        path = (*kept, KeyFrame(key, roi.y, roi.x))
        return replace(roi, path=tuple(sorted(path, key=lambda one: resolve_key(self.store.data, one.key))))

    def follow_peak(self, centres: tuple[Doubles, Doubles], steps: int = 12) -> None:
        """Let the selected ROI follow a centre of mass ``(y, x)`` of every frame, by key frames in each measurement."""
        roi, path, first = self.rois[self.selected], [], 0
        height, width = roi.shape
        for run in measurements(self.store.data[["image"]]):
            size = run.sizes["time"]
            for at in np.unique(np.linspace(first, first + size - 1, min(steps, size)).round().astype(int)):
                key, y, x = frame_key(self.store.data, int(at)), centres[0][at], centres[1][at]
                if key is not None and np.isfinite(y) and np.isfinite(x):
                    box = [
                        roi_edits.centred(centre, extent, limits)
                        for centre, extent, limits in zip((y, x), (height, width), self.shape, strict=True)
                    ]
                    path.append(KeyFrame(key, *box))
            first += size
        if not path:
            raise RoiError(f"ROI {roi.name!r} has no centre of mass to follow")
        self._set(self.rois.replaced(replace(roi, path=tuple(path))))

    def clear_path(self) -> None:
        """Let the selected ROI stand still again."""
        self._set(self.rois.replaced(replace(self.rois[self.selected], path=None)))


def _same(key: Key) -> tuple[str | None, int | None, int | None]:
    return key.measurement, key.scan, key.frame
