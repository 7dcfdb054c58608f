"""What the keys of the page do to the ROIs; frames are led through in the browser."""

from __future__ import annotations

from collections.abc import Callable

from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.roi_state import Regions
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
    regions, (*held, last) = model.regions, chord.split("+")
    if "alt" in held:
        rows, columns = ARROWS[last]
        step = FAR if "shift" in held else 1
        regions.nudge(step * rows, step * columns, size="ctrl" in held)
        return
    actions: dict[str, Callable[[], object]] = {
        "ctrl+z": regions.undo, "ctrl+shift+z": regions.redo, "ctrl+y": regions.redo, "k": regions.set_key_frame,
        "b": model.numbers.mark_bad, "escape": model.view.stop_picking,
        "tab": regions.select_next, "shift+tab": lambda: regions.select_next(-1),
        "delete": lambda: regions.remove(regions.selected), "backspace": lambda: regions.remove(regions.selected),
        "ctrl+c": lambda: _copy(regions), "ctrl+v": lambda: _paste(regions),
        "ctrl+a": lambda: regions.param.update(hidden=()),
    }  # fmt: skip
    actions[chord]()


def _copy(regions: Regions) -> None:
    if regions.roi is not None:
        _copied[:] = [regions.roi]


def _paste(regions: Regions) -> None:
    if not _copied:
        raise RoiError("there is no region to paste: Ctrl+C copies the selected one")
    regions.paste(_copied[0])
