"""Addresses of the server, and who may talk to it: known names, known origins, known paths, holders of the token."""

from __future__ import annotations

import hmac
import re
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

LOCAL = "127.0.0.1"
NAMES = (LOCAL, "localhost")
PAGE, SOCKET = "/", "/ws"
PROGRAM = re.compile(r"/static(/(?!\.)[\w.@^~+-]+)+", re.ASCII)
"""Paths that hold the program and no data: pages load them without the token. With :data:`PAGE` and :data:`SOCKET`
they are all that there is: Panel's others import modules, embed and describe, which no page of ours needs."""
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[\w.-]+)(:(?P<port>[0-9]{1,5}))?", re.ASCII | re.IGNORECASE)

HEADERS = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self' http://127.0.0.1:* http://localhost:* vscode-webview:",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Said with every answer: nothing is loaded from, sent to or told to another machine. Bokeh writes its scripts into the
page and compiles them there, so these two cannot be forbidden; a notebook on this machine may frame the page."""


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return int(probe.getsockname()[1])


def origins(port: int, public: bool) -> list[str]:
    """Return the addresses whose pages may talk to the server."""
    names = [*NAMES]
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


def refusal(
    host: str, path: str, given: str, token: str, *, method: str = "GET", public: bool = False
) -> tuple[int, str] | None:
    """Return status and reason why a request is not answered; None where it is.

    Unless others were let in, the server must have been asked for by a name of this machine: the page of a stranger
    whose name was bent to 127.0.0.1 asks for its own. Only those who know the token get anything but the program
    itself: neither other users of this machine nor other pages in the browser do.

    Examples
    --------
    >>> refusal("localhost:5006", "/", "secret", "secret"), refusal("evil.example:5006", "/", "secret", "secret")
    (None, (403, 'This explorer answers only to 127.0.0.1 and localhost.'))
    >>> refusal("localhost:5006", "/ws", "guess", "secret")
    (403, 'This explorer is open only to those who have its full address, with the token in it.')
    >>> refusal("localhost:5006", "/components/os/x/css/y", "secret", "secret")
    (404, 'This explorer has nothing here.')
    """
    asked = _HOST.fullmatch(host)
    if asked is None or int(asked["port"] or 80) > 65535 or (not public and asked["name"].lower() not in NAMES):
        return 403, f"This explorer answers only to {'its own names' if public else ' and '.join(NAMES)}."
    if method not in ("GET", "HEAD"):
        return 405, "This explorer only shows; nothing can be sent to it in this way."
    if PROGRAM.fullmatch(unquote(path)):
        return None
    if not hmac.compare_digest(given.encode(), token.encode()):
        return 403, "This explorer is open only to those who have its full address, with the token in it."
    return None if path in (PAGE, SOCKET) else (404, "This explorer has nothing here.")


def own_origin(origin: str, host: str, known: list[str]) -> bool:
    """Whether a page may open a web socket: it came from this server, by whatever port a tunnel gave it.

    Examples
    --------
    >>> own_origin("http://localhost:9999", "localhost:9999", ["127.0.0.1:5006"])
    True
    >>> own_origin("http://evil.example", "localhost:9999", ["127.0.0.1:5006"]), own_origin("null", "", [])
    (False, False)
    """
    try:
        asking = urlsplit(origin.lower())
    except ValueError:
        return False
    return asking.scheme in ("http", "https") and asking.netloc in (host.lower(), *(one.lower() for one in known))


def listen_at(server: Any, sockets: Sequence[socket.socket]) -> None:  # noqa: ANN401 - a Tornado server
    """Let a Tornado server listen at these sockets in the place of its own: no connection is refused meanwhile."""
    for number in list(server._sockets):
        server._handlers.pop(number)()
        server._sockets.pop(number).close()
    for one in sockets:
        one.setblocking(False)
    server.add_sockets(sockets)


def guard(application: Any, token: str, *, port: int, public: bool) -> None:  # noqa: ANN401 - a Tornado application
    """Let a Tornado application refuse what :func:`refusal` refuses, and say :data:`HEADERS` with every answer.

    Its web sockets open to :func:`own_origin` only. They send at once: otherwise the kernel keeps the second part of a
    message back until the browser has acknowledged the first one, which it does 40 ms later (RFC 896 and 1122).
    """
    from tornado.httputil import HTTPInputError
    from tornado.web import RequestHandler
    from tornado.websocket import WebSocketHandler

    class Refused(RequestHandler):  # type: ignore[misc] # tornado is not typed for us
        def initialize(self, status: int, reason: str) -> None:
            self.status, self.reason = status, reason

        def prepare(self) -> None:
            self.set_status(self.status)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(self.reason + "\n")

    plain = application.get_handler_delegate
    known = origins(port, public)
    hardened: dict[Any, Any] = {}

    def harden(handler: Any) -> Any:  # noqa: ANN401 - a class of handlers
        def headers(self: Any) -> None:  # noqa: ANN401 - a handler
            handler.set_default_headers(self)
            for name, value in HEADERS.items():
                self.set_header(name, value)

        def opened(self: Any, *path: str) -> Any:  # noqa: ANN401 - a handler
            self.set_nodelay(True)
            return handler.open(self, *path)

        if handler not in hardened:
            own: dict[str, Any] = {"set_default_headers": headers}
            if issubclass(handler, WebSocketHandler):
                own["open"] = opened
                own["check_origin"] = lambda _, origin: True  # looked at already, below
            hardened[handler] = type(handler.__name__, (handler,), own)
        return hardened[handler]

    def delegate(request: Any, target_class: Any, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - as Tornado has it
        request.headers.pop("Cookie", None)  # those of other servers here, not ours: Bokeh fails at one called bytes
        given = request.arguments.get("token", [b""])[-1].decode("utf-8", "replace")
        refused = refusal(request.host, request.path, given, token, method=request.method, public=public)
        origin = request.headers.get("Origin", request.headers.get("Sec-Websocket-Origin"))
        if refused is None and request.path == SOCKET and origin is not None:
            own = own_origin(origin, request.host, known)
            refused = None if own else (403, "This explorer talks only to pages that it sent itself.")
        if refused is not None:
            return plain(request, harden(Refused), {"status": refused[0], "reason": refused[1]})
        return plain(request, harden(target_class), *rest, **options)

    begin = application.start_request

    def started(*connection: Any) -> Any:  # noqa: ANN401 - what takes a request apart
        taking = begin(*connection)
        take = taking.headers_received

        def received(*head: Any) -> Any:  # noqa: ANN401 - its line and headers
            try:
                return take(*head)
            except ValueError as fault:  # a port of 5,000 digits: 400, where Tornado would print a traceback
                raise HTTPInputError(str(fault)) from None

        taking.headers_received = received
        return taking

    application.get_handler_delegate, application.start_request = delegate, started
