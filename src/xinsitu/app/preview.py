"""The first frame on the screen before anything large is loaded: the page itself takes seconds more."""

from __future__ import annotations

import base64
import contextlib
import html
import os
import re
import secrets
import socket
import struct
import threading
import webbrowser
import zlib
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import numpy.typing as npt

from xinsitu.defaults import NOT_MEASURED
from xinsitu.errors import XinsituError, print_out
from xinsitu.io.formats.reading import HDF5_SUFFIXES, SUFFIXES, read_frame, read_header

from .network import HEADERS, LOCAL, PAGE, refusal

LARGEST = 600_000
"""Pixels of the picture."""
HELD = 1.0
"""Seconds that whoever asks whether the explorer is there waits for the answer, at most: each question costs both."""
TURN = 0.05
"""Seconds after which who listens looks whether another one does."""
PATIENCE = 5.0
"""Seconds that a browser has to say what it wants."""
VIRIDIS = (
    (0.27773, 0.10509, -0.33086, -4.63423, 6.22827, 4.77638, -5.43546),
    (0.00541, 1.40461, 0.21485, -5.79910, 14.17993, -13.74515, 4.64585),
    (0.33410, 1.38459, 0.09510, -19.33244, 56.69055, -65.35303, 26.31244),
)
"""Red, green, blue of the colour map as polynomials of its place (M. Zucker, 2019, public domain), roughly."""


class Preview:
    """Serves the first frame of a folder, in the frame of the page, until the explorer takes its port over.

    Parameters
    ----------
    name, frame
        File of the frame, and its pixels ``(y, x)``.
    port
        Of the server; 0: a free one.
    public
        Let other machines in, too.

    Raises
    ------
    OSError
        The port is taken.
    """

    def __init__(self, name: str, frame: npt.NDArray[np.generic], port: int = 0, *, public: bool = False) -> None:
        self.token, self.public = secrets.token_urlsafe(24), public
        self._page = page(name, frame)
        self._over = threading.Event()
        self._sockets = [socket.create_server(("" if public else LOCAL, port))]
        self.port = int(self._sockets[0].getsockname()[1])
        if public:
            with contextlib.suppress(OSError):  # a machine without these addresses
                self._sockets.append(socket.create_server(("", self.port), family=socket.AF_INET6))
        host = socket.gethostname() if public else LOCAL
        self.url = f"http://{host}:{self.port}/?token={self.token}"
        self._listening = [
            threading.Thread(target=self._listen, args=(one,), name="xinsitu-preview", daemon=True)
            for one in self._sockets
        ]
        for thread in self._listening:
            thread.start()

    @classmethod
    def of(cls, path: Path, port: int = 0, *, public: bool = False) -> Preview | None:
        """Serve the first frame of a measurement or sample; None where none is found, or the port is taken."""
        with contextlib.suppress(XinsituError, OSError, ValueError, OverflowError, IndexError):
            found = first_frame(path)
            return None if found is None else cls(*found, port, public=public)
        return None

    def tell(self, *, browser: bool) -> None:
        """Print the address, and open it in the browser."""
        tell(self.url, browser=browser)

    def hand_over(self) -> list[socket.socket]:
        """Give away what listens at the port: who connects from now on waits there for its new owner."""
        self._over.set()
        for thread in self._listening:
            thread.join()
        given, self._sockets = self._sockets, []
        return given

    def close(self) -> None:
        """Give the port back."""
        for one in self.hand_over():
            one.close()

    def _listen(self, listening: socket.socket) -> None:
        listening.settimeout(TURN)
        while not self._over.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            except OSError:  # no file is left to open
                self._over.wait(TURN)
                continue
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            connection.settimeout(PATIENCE)
            asked = b""
            while b"\r\n\r\n" not in asked and len(asked) < 65536:
                part = connection.recv(8192)
                if not part:
                    return
                asked += part
            status, kind, body = self.answer(asked.decode("latin-1"))
            if status == 404:
                self._over.wait(HELD)
            head = {**HEADERS, "Content-Type": kind, "Content-Length": len(body), "Cache-Control": "no-store",
                    "Connection": "close"}  # fmt: skip
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            body = b"" if asked.startswith(b"HEAD") else body
            connection.sendall(f"HTTP/1.1 {status} \r\n{lines}\r\n".encode() + body)

    def answer(self, asked: str) -> tuple[int, str, bytes]:
        """Return status, kind and content of what a request asks for; the rules are those of the explorer."""
        first, *lines = asked.split("\r\n")
        method, target, _ = first.split(" ", 2)
        host = next((line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("host:")), "")
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        refused = refusal(host, path, query.get("token", [""])[-1], self.token, method=method, public=self.public)
        if refused is None and path != PAGE:
            refused = 404, "This explorer is still being loaded."
        if refused is not None:
            return refused[0], "text/plain; charset=utf-8", f"{refused[1]}\n".encode()
        return 200, "text/html; charset=utf-8", self._page


def tell(url: str, *, browser: bool) -> None:
    """Print the address of a page, and open it in the browser."""
    print_out(url)  # the first line is the address
    if browser:
        webbrowser.open(url)


def first_frame(path: Path) -> tuple[str, npt.NDArray[np.generic]] | None:
    """Return the first frame of a file or folder, or of the first one in it that has any, by the numbers in names."""
    if path.is_file():
        return path.name, _pixels(os.fspath(path))
    folders = [entry.name for entry in os.scandir(path) if entry.is_dir() and not NOT_MEASURED.match(entry.name)]
    for folder in (path, *(path / name for name in sorted(folders, key=_natural)[:20])):
        names = [entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(SUFFIXES)]
        names = names or _stacks(folder)
        if names:
            name = min(names, key=_natural)
            return name, _pixels(os.fspath(folder / name))
    return None


def _stacks(folder: Path) -> list[str]:
    """Return the HDF5 files that are the measurement of a folder without other frames."""
    if not any(entry.name.lower().endswith(HDF5_SUFFIXES) for entry in os.scandir(folder)):
        return []
    from xinsitu.io.discover import look  # as late as possible: it loads much
    from xinsitu.io.instruments import PATTERNS
    from xinsitu.io.paths import hdf5_files

    return [file.name for file in hdf5_files(look(folder), PATTERNS)]


def _pixels(file: str) -> npt.NDArray[np.generic]:
    """Return the first frame of a file."""
    if not file.lower().endswith(HDF5_SUFFIXES):
        return read_frame(file, read_header(file))
    from xinsitu.io.hdf5 import read_file  # as late, too

    first: npt.NDArray[np.generic] = read_file(file).stack.read((slice(1), slice(None), slice(None)))[0]
    return first


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def picture(frame: npt.NDArray[np.generic]) -> bytes:
    """Return a frame as PNG, logarithmic from half a count to its highest pixel."""
    step = max(1, int(np.ceil(np.sqrt(frame.size / LARGEST))))
    values = frame[::step, ::step].astype("float64")
    level = np.log(np.maximum(np.nan_to_num(values, nan=0.0), 0.5) / 0.5)
    index = (level / max(float(level.max()), 1e-9) * 255).astype("uint8")
    place = np.linspace(0, 1, 256)
    colours = np.stack([np.polynomial.polynomial.polyval(place, one) for one in VIRIDIS], axis=1)
    palette = np.clip(255 * colours + 0.5, 0, 255).astype("uint8").tobytes()
    rows = np.pad(index, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter: none

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", index.shape[1], index.shape[0], 8, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"PLTE", palette) + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )  # fmt: skip


def icon() -> str:
    """Return the picture of the tab, as an address that holds it: a browser that has to ask has no token."""
    drawn = resources.files("xinsitu.app").joinpath("page", "icon.svg").read_bytes()
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn).decode()}"


def page(name: str, frame: npt.NDArray[np.generic]) -> bytes:
    """Return the page's frame, grey where plots come, with a picture in the place of the image."""
    folder = resources.files("xinsitu.app").joinpath("page")
    text = folder.joinpath("preview.html").read_text(encoding="utf-8")
    shown = base64.b64encode(picture(frame)).decode()
    parts = {
        "css": folder.joinpath("page.css").read_text(encoding="utf-8"),
        "name": html.escape(name),
        "picture": shown,
        "icon": icon(),
    }
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: parts[found[1]], text).encode()
