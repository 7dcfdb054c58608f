"""A running explorer: the server on its thread, the tabs, and what they show, at hand in Python."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from xinsitu.digits import counted
from xinsitu.errors import FrameError, LayoutError, XinsituError, said_of
from xinsitu.io.tables import to_dataframe
from xinsitu.physics.corrections.apply import Correction
from xinsitu.plots.markup import as_html
from xinsitu.values import AttenuationChange, RoiSet

from .current import forget
from .data.memory import keep_small
from .data.source import Source
from .data.store import FrameStore
from .data.unchanged import Look
from .network import LOCAL, free_port, guard, listen_at, origins
from .preview import Preview
from .server_log import told_in_lines
from .state import unsaved
from .state.model import ExplorerModel
from .state.screen import result
from .state.view_file import Remembered, restore, view_text

if TYPE_CHECKING:
    import pandas as pd
    from bokeh.server.contexts import BokehSessionContext

FOLLOW = 0.4
"""Seconds between two looks for new frames, or as long as one took: network discs send no events."""
NOTICE, LOOK = 2.0, 0.05
"""Seconds between two looks for files that have changed, where nobody follows, and how long one takes."""
CHANGED = "{files} of these frames changed or vanished since they were opened: explore them anew, or with --follow"
SWITCH = 0.0005
"""Seconds that a thread keeps Python to itself: who asks the system for a thousand files waits that long for each."""
CLOSED_TAB = 15_000
"""Milliseconds after which a closed tab is forgotten: a reload in between is cheap."""


@dataclass(frozen=True)
class Opened:
    """Frames, and what a tab begins with."""

    source: Source
    store: FrameStore
    rois: RoiSet | None = None
    correction: Correction | None = None
    calibration: Mapping[str, xr.DataArray] = field(default_factory=dict)


class Explorer:
    """A running explorer: what a person sees in the browser, at hand in Python.

    Examples
    --------
    >>> explorer = scan.insitu.explore()     # doctest: +SKIP
    >>> explorer.rois, explorer.series       # doctest: +SKIP
    >>> explorer.stop()                      # doctest: +SKIP
    """

    def __init__(self, *, public: bool = False, early: Preview | None = None) -> None:
        self.public, self.early = public, early
        self.token = secrets.token_urlsafe(24) if early is None else early.token
        self.waiting_for = ""
        self.why = ""
        self._opened: Opened | None = None
        self._models: list[ExplorerModel] = []
        self._sessions: list[Any] = []
        self._documents: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="xinsitu-explorer")
        self._tabs = Remembered()
        self._idle: ExplorerModel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._stop_following = threading.Event()
        self._following = False
        self._safe: set[str] = set()
        self.kept: list[Path] = []
        self.lost: list[str] = []
        self.url = ""

    def begin(self, opened: Opened) -> None:
        """Take the frames that are explored.

        Raises
        ------
        XinsituError
            ROIs or a correction do not fit them.
        """
        self._opened = opened
        try:
            self.check()
        except BaseException:
            self._opened, self._idle = None, None
            raise
        self.waiting_for = ""

    @property
    def _here(self) -> Opened:
        if self._opened is None:
            raise XinsituError(f"{self.waiting_for}: no frame has come yet")
        return self._opened

    @property
    def source(self) -> Source:
        """What is explored."""
        return self._here.source

    @property
    def store(self) -> FrameStore:
        """The frames at hand."""
        return self._here.store

    # -- what it is for -----------------------------------------------------------------------------------------------

    @property
    def model(self) -> ExplorerModel:
        """The tab that was opened last, or one of its own as long as there is none."""
        if self._models:
            return self._models[-1]
        if self._idle is None:
            self._idle = self._new_model()
        return self._idle

    @property
    def rois(self) -> RoiSet:
        """ROIs as they are on the screen."""
        rois: RoiSet = self.model.regions.rois
        return rois

    @property
    def changes(self) -> tuple[AttenuationChange, ...]:
        """Changes of attenuation that were accepted, with the factors of the data."""
        changes: tuple[AttenuationChange, ...] = self.model.attenuation.settled()
        return changes

    @property
    def series(self) -> xr.Dataset:
        """ROI time series as they are on the screen, dims ``(time, roi)``."""
        self.store.start()
        self.store.wait()
        return result(self.model)

    def to_dataframe(self, layout: Literal["long", "wide"] = "long") -> pd.DataFrame:
        """ROI time series as a table; see :func:`xinsitu.to_dataframe`."""
        return to_dataframe(self.series, layout)

    def check(self) -> None:
        """Raise what would go wrong in every tab: ROIs or a correction that do not fit these frames."""
        model = self.model
        with contextlib.suppress(FrameError, OSError):  # a frame that cannot be read is shown as such
            model.store.image(0, model.view.active_correction)

    def stop(self) -> None:
        """Stop serving; frames in memory and tiled copies are given back."""
        self._stop_following.set()
        for session in list(self._sessions):
            session.close()  # whatever its browser still sends finds nothing to do
        loop = self._loop
        if loop is not None and loop.is_running():
            loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10)
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._opened is not None:
            self.store.release()
        self._ended.set()

    def wait(self) -> None:
        """Wait until somebody stops it, Ctrl-C or the end of the process at the latest."""
        if threading.current_thread() is threading.main_thread():
            for one in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
                if signal.getsignal(one) is signal.SIG_DFL:
                    signal.signal(one, signal.default_int_handler)  # whoever ends us: nothing is lost
        try:
            while not self._ended.wait(0.5):
                pass
        except KeyboardInterrupt:
            self.end()

    def end(self) -> None:
        """Stop serving, and write aside what nobody has saved."""
        self._keep()
        self.stop()

    def _keep(self) -> None:
        """Write aside what nobody has saved."""
        for model in {id(one): one for one in (*self._models, self._idle) if one is not None}.values():
            if unsaved.at_risk(model):
                try:
                    path = model.aside or unsaved.new_place(model.source)
                    unsaved.keep(path, view_text(model))
                    self.kept.append(path)
                except (OSError, RuntimeError) as fault:  # no home, no room
                    self.lost.append(said_of(fault))

    def __repr__(self) -> str:
        """At a prompt: what it shows, and where."""
        shown = self.waiting_for if self._opened is None else self.source.name
        return f"<xinsitu explorer of {shown or 'nothing yet'} at {self.url or 'no address yet'}>"

    def _repr_html_(self) -> str:
        """In a notebook: the explorer itself."""
        return f'<iframe src="{as_html(self.url)}" style="width: 100%; height: 1050px; border: 0"></iframe>'

    # -- serving ------------------------------------------------------------------------------------------------------

    def _new_model(self) -> ExplorerModel:
        here = self._here
        model = ExplorerModel(here.store, rois=here.rois, correction=here.correction, calibration=here.calibration)
        self._safe.update(unsaved.parts(model).values())
        model.safe = self._safe
        return model

    def _page(self) -> Any:  # noqa: ANN401 - a Panel template
        """Build the page of one tab."""
        import panel as pn

        from .page.page import page, waiting
        from .page.session import Session

        if self._opened is None:
            return waiting(lambda: self._opened is not None, self.waiting_for, lambda: self.why)
        self.store.start()
        model = self._new_model()
        model.view.follow = self._following
        self._remember(model)
        model.left = unsaved.latest(self.source, [one.aside for one in self._models if one.aside is not None])
        if model.left is not None and not unsaved.at_risk(model):
            model.view.message = "There are ROIs that were not saved last time: Files, take up unsaved"
        self._models.append(model)
        self._documents.add(pn.state.curdoc)
        session = Session(model, pn.state.curdoc, self._pool)
        self._sessions.append(session)
        pn.state.on_session_destroyed(lambda context: self._left(session, context))
        session.channel.beside = not self.public
        return page(session)

    def _remember(self, model: ExplorerModel) -> None:
        """Show what the tab showed before it was loaded again: its address names its view."""
        import panel as pn

        name = pn.state.session_args.get("view", [b""])[0].decode("utf-8", "replace")
        view = self._tabs.view(name)
        if view is not None:
            with contextlib.suppress(XinsituError):  # other frames by now: a fresh view
                restore(model, view)
        address, named = pn.state.location, self._tabs.open(model)
        if address is not None:
            pn.state.onload(lambda: address.update_query(view=named))

    def _left(self, session: Any, _: BokehSessionContext) -> None:  # noqa: ANN401 - a Session
        """Drop the work and the views of a tab that was closed, and the frames with the last one; its model stays."""
        session.close()
        self._sessions.remove(session)
        self._idle = model = session.model
        self._tabs.close(model)
        self._models.remove(model)
        for part in model.parts:
            part.param.watchers = {}
        forget([session.document])
        vars(session).clear()  # a task of Panel's keeps the first document of a process for ever, and with it all views
        if not self._models:
            self.store.release()

    def serve(self, *, port: int) -> None:
        """Start the server on a thread of its own; returns when :attr:`url` can be opened."""
        keep_small()
        started = threading.Event()
        failed: list[BaseException] = []

        def run() -> None:
            try:
                with told_in_lines(), _short_turns():
                    self._serve(port, self.public, started)
            except BaseException as error:  # noqa: BLE001 - raised again where it can be seen
                failed.append(error)
                started.set()

        self._thread = threading.Thread(target=run, name="xinsitu-server", daemon=True)
        self._thread.start()
        started.wait()
        if failed:
            reason = failed[0]
            taken = isinstance(reason, OSError) and reason.errno == errno.EADDRINUSE
            why = "it is taken by another program; give another one, or none for a free one" if taken else str(reason)
            raise XinsituError(f"port {port}: the explorer cannot be served here: {why}") from reason

    def _serve(self, port: int, public: bool, started: threading.Event) -> None:
        import panel as pn
        from tornado.ioloop import IOLoop

        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        early, port = self.early, port or free_port()
        server = pn.io.server.get_server(
            {"/": self._page}, port=0 if early else port, address=None if public else LOCAL, start=False,
            show=False, title="xinsitu", websocket_origin=origins(port, public), loop=IOLoop.current(),
            check_unused_sessions_milliseconds=2000, unused_session_lifetime_milliseconds=CLOSED_TAB,
        )  # fmt: skip
        guard(server._tornado, self.token, port=port, public=public)
        if early is not None:
            listen_at(server._http, early.hand_over())
        host = socket.gethostname() if public else LOCAL
        self.url = f"http://{host}:{port}/?token={self.token}"
        server.start()
        self._loop.call_soon(started.set)
        self._loop.call_soon(_load_page)
        self._loop.run_forever()
        for connection in list(server._tornado._clients):  # their pages say at once that the server has ended
            connection._socket.close()
        server.stop()
        self._loop.run_until_complete(asyncio.sleep(0.1))
        forget(self._documents)

    def follow(self, prepare: Callable[[], Opened]) -> None:
        """Look for new frames now and then, on a thread of its own; for the first ones, where there are none yet."""

        def look() -> None:
            if self._opened is None:
                self.begin(prepare())
            else:
                self.store.refresh()

        def run() -> None:
            took = 0.0
            while not self._stop_following.wait(max(FOLLOW, took)):
                begun = monotonic()
                try:
                    look()
                except Exception as fault:  # noqa: BLE001 - what is still being written is whole at the next look
                    ours = isinstance(fault, XinsituError | OSError)
                    self.why = "" if isinstance(fault, LayoutError) else said_of(fault)
                    if self._opened is not None:
                        self.store.trouble = said_of(fault) if ours else f"{type(fault).__name__}: {fault}"
                took = monotonic() - begun

        self._following = True
        threading.Thread(target=run, name="xinsitu-follow", daemon=True).start()

    def notice(self) -> None:
        """Look now and then whether files have changed while somebody sees their frames, and say so in the page."""
        look = Look(self.source.parts)

        def run() -> None:
            while not self._stop_following.wait(NOTICE):
                if self._models:
                    changed = look(LOOK)
                    self.store.trouble = "" if not changed else CHANGED.format(files=counted(changed, "file"))

        threading.Thread(target=run, name="xinsitu-notice", daemon=True).start()


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    """Let threads hand Python to each other sooner meanwhile, for whoever asks for less often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH))
    try:
        yield
    finally:
        if before > SWITCH:
            sys.setswitchinterval(before)


def _load_page() -> None:
    """Load what pages are made of, while the browser of the first one starts."""
    from .page import page

    page  # noqa: B018 - is loaded
