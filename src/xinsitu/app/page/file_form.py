"""Files in and out: ROIs, changes and events; results, figures, recipe and code."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import panel as pn

from xinsitu.app.state import export, unsaved
from xinsitu.app.state.screen import Screen
from xinsitu.app.views.channel import script
from xinsitu.errors import FrameError

from .session import Session
from .widgets import WIDTH, button

LARGEST = 10 * 2**20
"""Bytes of a file that is loaded; ours are far smaller."""

_writer = ThreadPoolExecutor(1, thread_name_prefix="xinsitu-files")  # one for all: HoloViews draws one figure at a time

WHOLE = ("netcdf", "recipe", "code", "view")
"""Files that hold ROIs, changes and events together."""

Make = Callable[[Screen], bytes]


def files(session: Session) -> list[pn.viewable.Viewable]:
    """Return the form."""
    model, stem = session.model, export.name_of(session.model)
    session.channel.js_on_change("file", script("save", channel=session.channel))
    load = pn.widgets.FileInput(accept=".json", multiple=False, width=WIDTH, css_classes=["load"])

    def loaded(event: object) -> None:
        content: bytes = event.new  # type: ignore[attr-defined] # a param event
        if content:
            session.do(lambda: model.load(_text(content)))

    load.param.watch(loaded, ["value"])
    of_numbers: dict[str, tuple[str, Make]] = {
        "netCDF": (f"{stem}.nc", export.netcdf),
        "CSV": (f"{stem}.csv", export.table),
        "PNG": (f"{stem}.png", lambda screen: export.figure(screen, "png")),
        "HTML": (f"{stem}.html", lambda screen: export.figure(screen, "html")),
    }
    of_settings: dict[str, tuple[str, Make]] = {
        "recipe": (f"{stem}_recipe.zip", export.recipe_zip),
        "code": (f"{stem}.py", lambda screen: export.script(screen).encode()),
        "ROIs": ("rois.json", lambda screen: screen.files["rois"].encode()),
        "changes": ("changes.json", lambda screen: screen.files["changes"].encode()),
        "events": ("events.json", lambda screen: screen.files["events"].encode()),
        "view": (f"{stem}_view.json", lambda screen: screen.files["view"].encode()),
    }
    rows = [*((label, *row, True) for label, row in of_numbers.items())]
    rows += [*((label, *row, False) for label, row in of_settings.items())]
    buttons = [_button(session, *row) for row in rows]
    again = unsaved.latest(model.source)
    taken_up = [] if again is None else [
        button(session, "take up unsaved", lambda: model.load(again.read_text(encoding="utf-8")), width=WIDTH)
    ]  # fmt: skip
    return [
        *taken_up,
        pn.FlexBox(*buttons, sizing_mode="fixed", width=WIDTH),
        pn.pane.Str("Load ROIs, changes, events, view:", margin=(5, 10, 0, 10)),
        load,
    ]


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        return ""
    return content.decode("utf-8", "replace")


def _button(session: Session, label: str, filename: str, make: Make, numbers: bool) -> pn.widgets.Button:
    def save() -> None:
        model = session.model
        store = model.store
        if numbers and not store.complete:
            read = f"{store.loaded} of {store.n_frames} frames are read so far"
            raise FrameError(filename, f"{read}; ask for it again when all are")
        model.safe.update(text for name, text in unsaved.parts(model).items() if label.lower() in (name, *WHOLE))
        _send(session, filename, make)

    return button(session, label, save, css_classes=[f"download-{label.lower()}"])


def _send(session: Session, filename: str, make: Make) -> None:
    """Make a file of what is on the screen now, beside everything else that goes on, and send it."""
    document, channel = session.document, session.channel

    def arrived(done: Future[bytes]) -> None:
        try:
            channel.file = (filename, done.result(), channel.file[2] + 1)
        except Exception as fault:  # noqa: BLE001 - whatever went wrong is said, and the app goes on
            session.say(f"{filename}: {fault}")

    def send(done: Future[bytes]) -> None:
        if document.session_context is not None:  # otherwise the tab was closed meanwhile
            document.add_next_tick_callback(lambda: arrived(done))

    _writer.submit(make, Screen.of(session.model)).add_done_callback(send)
