"""Files in and out: one menu for what is saved, one field for what is loaded, choosers of what lies beside frames."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import panel as pn

from xinsitu.app.data import beside
from xinsitu.app.state import export, unsaved
from xinsitu.app.state.screen import Screen
from xinsitu.app.views.channel import script
from xinsitu.errors import DocumentError, FrameError, LayoutError, ResultExists, said_of
from xinsitu.io.disk import write_whole
from xinsitu.io.guard import refuse_among_frames

from .messages import on_next_tick
from .session import Session
from .widgets import PLAIN, WIDTH, button, row, tipped

LARGEST = 10 * 2**20
"""Bytes of a file that is loaded; ours are far smaller."""

_writer = ThreadPoolExecutor(1, thread_name_prefix="xinsitu-files")  # one for all: HoloViews draws one figure at a time

NONE = "—"
"""Nothing is chosen."""
WHOLE = ("netCDF", "recipe", "code", "view")
"""Files that hold ROIs, changes and events together."""


@dataclass(frozen=True)
class File:
    """An entry of the menu: its words, its file's name behind that of the frames, and what makes it.

    ``numbers``: of all frames, which must have been read.
    """

    words: str
    ending: str
    make: Callable[[Screen], bytes]
    tip: str
    numbers: bool = False

    def name(self, stem: str) -> str:
        """Name of the file."""
        return f"{stem}{self.ending}" if self.ending.startswith((".", "_")) else self.ending


FILES = {
    "ROIs": File("ROIs (.json)", "rois.json", lambda screen: screen.files["rois"].encode(),
                 "for xinsitu measure --rois"),
    "netCDF": File("series as netCDF (.nc)", ".nc", export.netcdf, "numbers, errors, flags and recipe", numbers=True),
    "CSV": File("series as a table (.csv)", ".csv", export.table, "for a spreadsheet", numbers=True),
    "PNG": File("figure (.png)", ".png", lambda screen: export.figure(screen, "png"), "all curves", numbers=True),
    "HTML": File("figure to zoom in (.html)", ".html", lambda screen: export.figure(screen, "html"), "curves as a page",
                 numbers=True),
    "changes": File("changes of attenuation (.json)", "changes.json", lambda screen: screen.files["changes"].encode(),
                    "for xinsitu stitch --changes"),
    "events": File("events (.json)", "events.json", lambda screen: screen.files["events"].encode(),
                   "for xinsitu plot --events"),
    "recipe": File("recipe of the numbers (.zip)", "_recipe.zip", export.recipe_zip, "for xinsitu run"),
    "code": File("the same as Python (.py)", ".py", lambda screen: export.script(screen).encode(), "public functions"),
    "view": File("everything to go on tomorrow (.json)", "_view.json", lambda screen: screen.files["view"].encode(),
                 "ROIs, changes, events and what is in view; loaded here again"),
}  # fmt: skip

PICTURES = {"image": "picture of the image (.png)", "kymograph": "picture of the kymograph (.png)"}
"""What the browser makes of figures, as they are on the screen."""


def wire_files(session: Session) -> None:
    """Let the menu of the page save what is on the screen."""
    model, channel = session.model, session.channel
    channel.js_on_change("file", script("save", channel=channel))

    def save(key: str, beside: bool) -> None:
        if key in PICTURES:  # the browser has made it
            model.view.message = f"{export.name_of(model)}_{key}.png is sent to the browser's downloads"
            return
        store, file = model.store, FILES[key]
        filename = file.name(export.name_of(model))
        if file.numbers and not store.complete:
            read = f"{store.loaded} of {store.n_frames} frames are read so far"
            raise FrameError(filename, f"{read}; ask for it again when all are")
        parts = unsaved.parts(model).items()
        held = [text for name, text in parts if key.lower() == name or key in WHOLE]
        if file.numbers:  # it takes a while
            model.view.message = f"making {filename} …"
        _make(session, filename, file.make, held, beside=beside and channel.beside)

    channel.on_change("save", lambda attr, old, new: session.do(lambda: save(new[0], new[1])))


def files(session: Session) -> list[pn.viewable.Viewable]:
    """Return the form that loads."""
    model = session.model
    load = pn.widgets.FileInput(accept=".json", multiple=False, width=WIDTH, css_classes=["load"])
    tipped(load, "load ROIs, changes, events or a view")

    def loaded(event: object) -> None:
        content: bytes = event.new  # type: ignore[attr-defined] # a param event
        if content:
            session.do(lambda: model.load(_text(content)))

    load.param.watch(loaded, ["value"])
    again = model.left

    def take_up(path: Path) -> None:
        model.load(path.read_text(encoding="utf-8"))
        model.aside = path  # kept up to date from here on, and gone once it is saved

    taken_up = [] if again is None else [
        row(button(session, "take up unsaved", lambda: take_up(again), width=WIDTH,
                   tip="what was on the screen when the explorer ended without being saved"))
    ]  # fmt: skip
    return [
        *taken_up,
        pn.pane.Str("Load ROIs, changes, events or a view:", margin=(8, 10, 0, 10), width=WIDTH, stylesheets=PLAIN),
        load,
    ]


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        raise DocumentError(f"the file is larger than {LARGEST // 2**20} MiB, none that is loaded here")
    return content.decode("utf-8-sig", "replace")


def _make(
    session: Session, filename: str, make: Callable[[Screen], bytes], held: Sequence[str], *, beside: bool
) -> None:
    """Make a file of what is on the screen now, beside everything else that goes on; write it, or send it.

    What it holds of what would be lost is safe once it is written or sent, and not before: the disc may not take it.
    """
    document, channel, safe = session.document, session.channel, session.model.safe
    sources = session.model.source.folders

    def made(screen: Screen) -> bytes | Path:
        content = make(screen)
        if not beside or _among(Path.cwd(), sources):
            return content
        path = _written(Path.cwd(), filename, content)
        safe.update(held)  # also where the tab was closed meanwhile
        return path

    def arrived(done: Future[bytes | Path]) -> None:
        try:
            result = done.result()
        except Exception as fault:  # noqa: BLE001 - whatever went wrong is said, and the app goes on
            session.model.view.param.update(message=said_of(fault, filename), failed=True)
            return
        if isinstance(result, Path):
            session.say(f"saved as {result}")
        else:
            channel.file = (filename, result, channel.file[2] + 1)
            session.say(f"{filename} is sent to the browser's downloads")
            safe.update(held)
        session.rest()

    making = _writer.submit(made, Screen.of(session.model))
    making.add_done_callback(lambda done: on_next_tick(document, lambda: arrived(done)))


def _among(folder: Path, sources: Sequence[Path]) -> bool:
    """Whether files in a folder would lie among frames, where nothing is ever written: they go to the browser."""
    try:
        refuse_among_frames(folder / "result.nc", sources)
    except LayoutError:
        return True
    return False


def _written(folder: Path, filename: str, content: bytes) -> Path:
    """Write a file where results go, under the first name that is free."""
    name = Path(filename)
    for number in range(1, 1000):
        path = folder / (filename if number == 1 else f"{name.stem}_{number}{name.suffix}")
        with contextlib.suppress(ResultExists):
            return write_whole(path, content)
    raise ResultExists(f"{folder}: there are a thousand files called {filename} already")


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
