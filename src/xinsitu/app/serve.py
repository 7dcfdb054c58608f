"""Serving the explorer on this machine: a free port, the address on stdout, a token for others."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import socket
import sys
import threading
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from xinsitu.errors import FrameError, XinsituError
from xinsitu.io.documents import read_rois
from xinsitu.io.tables import to_dataframe
from xinsitu.physics.corrections import Correction
from xinsitu.recipe import Correcting, Reading
from xinsitu.values import Background, RoiSet

from .export import result
from .frames import MEMORY, FrameStore
from .model import ExplorerModel
from .sources import PathLike, Source, open_source

if TYPE_CHECKING:
    import pandas as pd
    from bokeh.server.contexts import BokehSessionContext

LOCAL = "127.0.0.1"
FOLLOW = 2.0
"""Seconds between two looks for new frames: network discs send no events."""
CLOSED_TAB = 15_000
"""Milliseconds after which a closed tab is forgotten: a reload in between is cheap."""


class Explorer:
    """A running explorer: what a person sees in the browser, at hand in Python.

    Examples
    --------
    >>> explorer = scan.insitu.explore()     # doctest: +SKIP
    >>> explorer.rois, explorer.series       # doctest: +SKIP
    >>> explorer.stop()                      # doctest: +SKIP
    """

    def __init__(
        self,
        source: Source,
        store: FrameStore,
        *,
        rois: RoiSet | None,
        correction: Correction | None,
        token: str = "",
    ) -> None:
        self.source, self.store, self.token = source, store, token
        self._rois, self._correction = rois, correction
        self._models: list[ExplorerModel] = []
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="xinsitu-explorer")
        self._idle: ExplorerModel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._stop_following = threading.Event()
        self._following = False
        self.url = ""

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
        rois: RoiSet = self.model.rois
        return rois

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
            model.store.image(0, model.active_correction)

    def stop(self) -> None:
        """Stop serving; frames in memory and tiled copies are given back."""
        self._stop_following.set()
        loop = self._loop
        if loop is not None and loop.is_running():
            loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.store.release()
        self._ended.set()

    def wait(self) -> None:
        """Wait until somebody stops it, Ctrl-C at the latest."""
        try:
            while not self._ended.wait(0.5):
                pass
        except KeyboardInterrupt:
            self.stop()

    def _repr_html_(self) -> str:
        """In a notebook: the explorer itself."""
        return f'<iframe src="{self.url}" style="width: 100%; height: 1050px; border: 0"></iframe>'

    # -- serving ------------------------------------------------------------------------------------------------------

    def _new_model(self) -> ExplorerModel:
        return ExplorerModel(self.store, rois=self._rois, correction=self._correction)

    def _page(self) -> Any:  # noqa: ANN401 - a Panel template
        """Build the page of one tab."""
        import panel as pn

        from .session import Session
        from .shell import page, refused

        given = pn.state.session_args.get("token", [b""])[0].decode("utf-8", "replace")
        if self.token and not hmac.compare_digest(given.encode(), self.token.encode()):
            return refused()
        self.store.start()
        model = self._new_model()
        model.follow = self._following
        self._models.append(model)
        session = Session(model, pn.state.curdoc, self._pool)
        pn.state.on_session_destroyed(lambda context: self._left(session, context))
        return page(session)

    def _left(self, session: Any, _: BokehSessionContext) -> None:  # noqa: ANN401 - a Session
        """Drop the work of a tab that was closed, and the frames with the last one."""
        session.close()
        self._idle = session.model
        self._models.remove(session.model)
        if not self._models:
            self.store.release()

    def serve(self, *, port: int, public: bool) -> None:
        """Start the server on a thread of its own; returns when :attr:`url` can be opened."""
        started = threading.Event()
        failed: list[BaseException] = []

        def run() -> None:
            try:
                self._serve(port, public, started)
            except BaseException as error:  # noqa: BLE001 - raised again where it can be seen
                failed.append(error)
                started.set()

        self._thread = threading.Thread(target=run, name="xinsitu-server", daemon=True)
        self._thread.start()
        started.wait()
        if failed:
            reason = failed[0]
            raise XinsituError(f"port {port}: the explorer cannot be served here ({reason})") from reason

    def _serve(self, port: int, public: bool, started: threading.Event) -> None:
        import panel as pn
        from tornado.ioloop import IOLoop

        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        port = port or free_port()
        server = pn.io.server.get_server(
            {"/": self._page}, port=port, address=None if public else LOCAL, websocket_origin=origins(port, public),
            title="xinsitu", show=False, start=False, loop=IOLoop.current(), check_unused_sessions_milliseconds=2000,
            unused_session_lifetime_milliseconds=CLOSED_TAB,
        )  # fmt: skip
        host = socket.gethostname() if public else LOCAL
        self.url = f"http://{host}:{port}/" + (f"?token={self.token}" if self.token else "")
        server.start()
        self._loop.call_soon(started.set)
        self._loop.run_forever()
        server.stop()
        self._loop.run_until_complete(asyncio.sleep(0.1))

    def follow(self) -> None:
        """Look for new frames now and then, on a thread of its own."""

        def run() -> None:
            while not self._stop_following.wait(FOLLOW):
                try:
                    self.store.refresh()
                except (XinsituError, OSError):
                    continue  # a frame or a folder that is still being written: the next look will find it whole

        self._following = True
        threading.Thread(target=run, name="xinsitu-follow", daemon=True).start()


def explore(
    source: PathLike | xr.Dataset | xr.DataArray | xr.DataTree,
    *,
    flatfield: PathLike | xr.DataArray | None = None,
    rois: PathLike | RoiSet | None = None,
    correction: Correction | None = None,
    background: Background | None = None,
    correcting: Correcting | None = None,
    reading: Reading | None = None,
    port: int = 0,
    browser: bool = True,
    public: bool = False,
    follow: bool = False,
    block: bool = False,
    memory: int = MEMORY,
) -> Explorer:
    """Explore frames in the browser: the detector over time, ROIs under the mouse, curves that follow.

    Parameters
    ----------
    source
        Folder of a measurement or of a sample, or a measurement that was opened.
    flatfield
        Folder of flat-field frames, or ``(y, x)``.
    rois
        ROI file or ROIs to begin with; None: as in the old tool, around the brightest spot.
    correction
        What is done to the frames, complete; or else
    background, correcting
        its parts: a background region, or the recipe of the command line.
    reading
        How folders are opened.
    port
        Of the server; 0: a free one.
    browser
        Open the page in the browser.
    public
        Let other machines in that know the random token in the address.
    follow
        Look for new frames every two seconds.
    block
        Print the address and return only when it is stopped: the command line.
    memory
        Bytes of frames that are kept in memory; more than that becomes a tiled copy on disc.

    Returns
    -------
    Explorer
        With ``rois``, ``series``, ``to_dataframe()``, ``url`` and ``stop()``.

    Raises
    ------
    XinsituError
        Frames, ROIs or flat field cannot be opened, or the port is taken.
    """
    reading = reading or Reading()
    correcting = _correcting(correcting, flatfield, background)
    opened = open_source(source, reading=reading, correcting=correcting)
    chosen = rois if rois is None or isinstance(rois, RoiSet) else read_rois(rois)
    doing = correction if correction is not None else _correction(correcting, flatfield, reading)
    store = FrameStore(opened, memory=memory)
    token = secrets.token_urlsafe(24) if public else ""
    explorer = Explorer(opened, store, rois=chosen, correction=doing, token=token)
    explorer.check()
    explorer.serve(port=port, public=public)
    if follow:
        explorer.follow()
    if block:
        print(explorer.url, flush=True)  # noqa: T201 - the first line is the address
    if browser and "ipykernel" not in sys.modules:  # a notebook shows the handle itself
        webbrowser.open(explorer.url)
    if block:
        explorer.wait()
    return explorer


def _correcting(
    correcting: Correcting | None, flatfield: PathLike | xr.DataArray | None, background: Background | None
) -> Correcting:
    """Return the recipe of the correction as far as it has one."""
    folder = None if flatfield is None or isinstance(flatfield, xr.DataArray) else Path(flatfield)
    if correcting is None:
        return Correcting(flatfield=folder, background=background)
    from dataclasses import replace

    return replace(correcting, flatfield=folder or correcting.flatfield, background=background or correcting.background)


def _correction(
    correcting: Correcting, flatfield: PathLike | xr.DataArray | None, reading: Reading
) -> Correction | None:
    """Return what is done to the frames; None where that is nothing."""
    from dataclasses import replace

    if isinstance(flatfield, xr.DataArray):
        found = replace(replace(correcting, flatfield=None).correction(reading), flatfield=flatfield)
    else:
        found = correcting.correction(reading)
    return found if found.applied else None


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return int(probe.getsockname()[1])


def origins(port: int, public: bool) -> list[str]:
    """Return the addresses whose pages may talk to the server."""
    names = [LOCAL, "localhost"]
    if public:
        names += [socket.gethostname(), socket.getfqdn(), own_address()]
    return [f"{name}:{port}" for name in dict.fromkeys(names)]


def own_address() -> str:
    """Return the address of this machine on its network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return LOCAL
