"""Files in and out: ROIs, changes and events; results, figures, recipe and code."""

from __future__ import annotations

import io
from collections.abc import Callable

import panel as pn

from xinsitu.errors import XinsituError

from . import export
from .model import ExplorerModel
from .remembered import view_text
from .session import Session
from .widgets import WIDTH

LARGEST = 10 * 2**20
"""Bytes of a file that is loaded; ours are far smaller."""


def files(session: Session) -> list[pn.viewable.Viewable]:
    """Return the form."""
    model, stem = session.model, export.name_of(session.model)
    load = pn.widgets.FileInput(accept=".json", multiple=False, width=WIDTH, css_classes=["load"])

    def loaded(event: object) -> None:
        content: bytes = event.new  # type: ignore[attr-defined] # a param event
        if content:
            session.do(lambda: model.load(_text(content)))

    load.param.watch(loaded, ["value"])
    outputs: list[tuple[str, str, Callable[[ExplorerModel], bytes]]] = [
        ("netCDF", f"{stem}.nc", export.netcdf),
        ("CSV", f"{stem}.csv", export.table),
        ("ROIs", "rois.json", lambda one: one.rois_text().encode()),
        ("recipe", f"{stem}_recipe.zip", export.recipe_zip),
        ("code", f"{stem}.py", lambda one: export.script(one).encode()),
        ("view", f"{stem}_view.json", lambda one: view_text(one).encode()),
        ("changes", "changes.json", lambda one: one.changes_text().encode()),
        ("events", "events.json", lambda one: one.events_text().encode()),
        ("PNG", f"{stem}.png", lambda one: export.figure(one, "png")),
        ("HTML", f"{stem}.html", lambda one: export.figure(one, "html")),
    ]
    downloads = [_download(session, *output) for output in outputs]
    return [
        pn.pane.Str("Load ROIs, changes, events, a view (JSON):", margin=(5, 10, 0, 10)),
        load,
        pn.FlexBox(*downloads, sizing_mode="fixed", width=WIDTH),
    ]


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        return ""
    return content.decode("utf-8", "replace")


def _download(
    session: Session, label: str, filename: str, make: Callable[[ExplorerModel], bytes]
) -> pn.widgets.FileDownload:
    def content() -> io.BytesIO:
        try:
            return io.BytesIO(make(session.model))
        except XinsituError as fault:
            session.say(str(fault))
            return io.BytesIO(b"")

    return pn.widgets.FileDownload(
        callback=content, filename=filename, label=label, width=82, margin=(3, 3), embed=False,
        css_classes=[f"download-{label.lower()}"],
    )  # fmt: skip
