"""Choosers of what lies beside the frames: ROIs to copy, results to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import panel as pn

from xinsitu.app.data import beside

from .session import Session
from .widgets import WIDTH, row

NONE = "—"
"""Nothing is chosen."""


def copied(session: Session) -> list[pn.viewable.Viewable]:
    """Return the chooser of ROIs of other measurements."""
    model = session.model

    def copy(path: Path | None) -> None:
        if path is not None:
            model.regions.copy_rois(path)

    return [_with_button(*_chooser(session, "copy ROIs from", lambda: beside.roi_files(model.source), copy))]


def compared(session: Session) -> list[pn.viewable.Viewable]:
    """Return the chooser of saved results."""
    model = session.model

    def compare(path: Path | None) -> None:
        if path is None:
            model.curves.open_result(None)
        elif path != beside.results(model.source).get(
            model.curves.compared
        ):  # otherwise a view that was loaded chose it
            model.curves.open_result(path)

    chooser, look = _chooser(session, "compare with result", lambda: beside.results(model.source), compare)

    def show(*_: object) -> None:
        if model.curves.compared not in chooser.options:
            look()
        chooser.value = model.curves.compared if model.curves.compared in chooser.options else NONE

    model.curves.param.watch(show, ["compared"])
    show()
    return [_with_button(chooser, look)]


def _chooser(
    session: Session, label: str, files: Callable[[], Mapping[str, Path]], choose: Callable[[Path | None], None]
) -> tuple[pn.widgets.Select, Callable[[], None]]:
    """Return a chooser and what makes it look again for files; only what it has listed can be chosen."""
    found: dict[str, Path] = {}
    chooser = pn.widgets.Select(label=label, width=WIDTH - 48)

    def look() -> None:
        found.clear()
        found.update(files())
        kept = chooser.value if chooser.value in found else NONE
        chooser.param.update(options=[NONE, *found], value=kept)

    def chosen(event: object) -> None:
        path = found.get(event.new)  # type: ignore[attr-defined] # a param event
        session.do(lambda: choose(path))

    look()
    chooser.param.watch(chosen, ["value"])
    return chooser, look


def _with_button(chooser: pn.widgets.Select, look: Callable[[], None]) -> pn.Row:
    """Return a chooser with the button that makes it look again."""
    again = pn.widgets.Button(label="⟳", width=38, align="end")
    again.on_click(lambda _: look())
    return row(chooser, again)
