"""The ROIs of one view: placed, typed, added, renamed, tied to frames, undone."""

from __future__ import annotations

import json
from dataclasses import replace

import param

from xinsitu.errors import DocumentError, RoiError
from xinsitu.io.documents import ROIS, VERSION
from xinsitu.physics.corrections import Correction
from xinsitu.physics.keys import frame_key, resolve_key
from xinsitu.values import Key, KeyFrame, Roi, RoiSet

from . import editing
from .frames import FrameStore
from .history import History
from .kinds import as_kind
from .state import State


class RoiState(State):
    """A view with ROIs, one of them selected."""

    rois = param.ClassSelector(class_=RoiSet, default=RoiSet())
    selected = param.String("", doc="name of the ROI that profiles and kymograph show")

    def __init__(self, store: FrameStore, *, rois: RoiSet | None = None, correction: Correction | None = None) -> None:
        super().__init__(store, correction=correction)
        chosen = rois if rois is not None and len(rois) else editing.first_rois(self.shape, self._brightest())
        self.rois = editing.inside(chosen, self.shape)
        self._history = History(self.rois)
        self.selected = self.rois.names[0]

    @property
    def roi(self) -> Roi | None:
        """The selected ROI."""
        return self.rois[self.selected] if self.selected in self.rois.names else None

    def place(self, name: str, y: tuple[float, float], x: tuple[float, float]) -> None:
        """Put a ROI where the mouse has it: edges between pixels, in any order. :meth:`commit` makes it undoable."""
        box = {"y": editing.snapped(*y, self.shape[0]), "x": editing.snapped(*x, self.shape[1])}
        moved = self.rois[name].moved(**box)
        if moved != self.rois[name]:
            self.rois = self.rois.replaced(moved)

    def commit(self) -> None:
        """Remember the ROIs as they are, for undo."""
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
        y, x = editing.typed(text, self.shape)
        self._set(self.rois.replaced(self.rois[name].moved(y=y, x=x)))

    def add(self, kind: str = "all") -> None:
        """Add a ROI in the middle of the image and select it."""
        self._set(*editing.added(self.rois, kind, self.shape))

    def remove(self, name: str) -> None:
        """Remove a ROI; the last one stays."""
        if len(self.rois) < 2:
            raise RoiError("the last ROI stays: there would be nothing to measure")
        self._set(editing.removed(self.rois, name))

    def rename(self, old: str, new: str) -> None:
        """Give a ROI another name."""
        self._set(editing.renamed(self.rois, old, new), new.strip() if self.selected == old else None)

    def duplicate(self, name: str) -> None:
        """Add a copy of a ROI and select it."""
        self._set(*editing.duplicated(self.rois, name, self.shape))

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
        self._restore(self._history.undo())

    def redo(self) -> None:
        """Do again what was taken back."""
        self._restore(self._history.redo())

    def _restore(self, rois: RoiSet) -> None:
        self.rois = rois
        if self.selected not in rois.names:
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
        rois = editing.inside(RoiSet.from_dict(document), self.shape)
        if not len(rois):
            raise DocumentError("the ROI file holds no ROI")
        self._set(rois, rois.names[0])

    def rois_text(self) -> str:
        """Return the ROI file of what is shown."""
        shape = (self.shape[0][1], self.shape[1][1])
        document = RoiSet(self.rois, shape, self.rois.extra).to_dict()
        return json.dumps({"format": ROIS, "version": VERSION, **document}, indent=2, ensure_ascii=False) + "\n"

    def set_key_frame(self) -> None:
        """Say that the selected ROI is here at the frame that is shown; between key frames it moves linearly."""
        roi = self.rois[self.selected]
        key = frame_key(self.store.data, self.frame)
        if key is None:
            raise RoiError("these frames have no numbers, so a ROI cannot be tied to one")
        kept = [one for one in roi.path or () if (one.key.measurement, one.key.scan, one.key.frame) != _same(key)]
        path = (*kept, KeyFrame(key, roi.y, roi.x))
        order = sorted(path, key=lambda one: resolve_key(self.store.data, one.key))
        self._set(self.rois.replaced(replace(roi, path=tuple(order))))

    def clear_path(self) -> None:
        """Let the selected ROI stand still again."""
        self._set(self.rois.replaced(replace(self.rois[self.selected], path=None)))


def _same(key: Key) -> tuple[str | None, int | None, int | None]:
    return key.measurement, key.scan, key.frame
