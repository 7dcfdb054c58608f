"""What the keys of the page do to the ROIs; frames are led through in the browser."""

from __future__ import annotations

from collections.abc import Callable

from xinsitu.app.state.model import ExplorerModel
from xinsitu.errors import RoiError
from xinsitu.values import Roi

ARROWS = {"arrowup": (-1, 0), "arrowdown": (1, 0), "arrowleft": (0, -1), "arrowright": (0, 1)}
"""Rows and columns of a nudge."""
FAR = 10
"""Pixels of a nudge with the shift key."""
_copied: list[Roi] = []
"""What was copied last, in any tab: it can be pasted into another measurement."""


def pressed(model: ExplorerModel, chord: str) -> None:
    """Do what a key does, such as ``ctrl+z`` or ``alt+shift+arrowup``.

    Raises
    ------
    RoiError
        It cannot be done: nothing to paste, the last ROI to be removed.
    """
    *held, last = chord.split("+")
    if "alt" in held:
        rows, columns = ARROWS[last]
        step = FAR if "shift" in held else 1
        model.nudge(step * rows, step * columns, size="ctrl" in held)
        return
    actions: dict[str, Callable[[], object]] = {
        "ctrl+z": model.undo, "ctrl+shift+z": model.redo, "ctrl+y": model.redo, "k": model.set_key_frame,
        "b": model.mark_bad,
        "escape": model.stop_picking, "tab": model.select_next, "shift+tab": lambda: model.select_next(-1),
        "delete": lambda: model.remove(model.selected), "backspace": lambda: model.remove(model.selected),
        "ctrl+c": lambda: _copy(model), "ctrl+v": lambda: _paste(model),
        "ctrl+a": lambda: model.param.update(hidden=()),
    }  # fmt: skip
    actions[chord]()


def _copy(model: ExplorerModel) -> None:
    if model.roi is not None:
        _copied[:] = [model.roi]


def _paste(model: ExplorerModel) -> None:
    if not _copied:
        raise RoiError("there is no region to paste: Ctrl+C copies the selected one")
    model.paste(_copied[0])
