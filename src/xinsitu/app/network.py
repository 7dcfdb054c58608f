"""Addresses of the server, and who may talk to it: known hosts, known origins, holders of the token."""

from __future__ import annotations

import hmac
import socket
from typing import Any
from urllib.parse import urlsplit

LOCAL = "127.0.0.1"
NAMES = (LOCAL, "localhost")
OPEN = ("/static/", "/favicon.ico", "/components/")
"""Paths that hold the program and no data: pages load them without the token."""

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


def refusal(host: str, path: str, given: str, token: str) -> str:
    """Say why a request is not answered; empty where it is.

    With a token, only those who know it get anything but the program itself. Without one, the server must have been
    asked for by a name of this machine: the page of a stranger whose name was bent to 127.0.0.1 asks for its own.

    Examples
    --------
    >>> refusal("localhost:5006", "/", "", ""), refusal("evil.example:5006", "/", "", "")
    ('', 'This explorer answers only to 127.0.0.1 and localhost.')
    >>> refusal("pc7:5006", "/ws", "guess", "secret")
    'This explorer is open only to those who have its full address, with the token in it.'
    """
    if token:
        known = path.startswith(OPEN) or hmac.compare_digest(given.encode(), token.encode())
        return "" if known else "This explorer is open only to those who have its full address, with the token in it."
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    return "" if name in NAMES else f"This explorer answers only to {' and '.join(NAMES)}."


def guard(application: Any, token: str) -> None:  # noqa: ANN401 - a Tornado application
    """Let a Tornado application refuse what :func:`refusal` refuses, and say :data:`HEADERS` with every answer.

    Its web sockets send at once: otherwise the kernel keeps the second part of a message back until the browser has
    acknowledged the first one, which it does 40 ms later (RFC 896 and 1122).
    """
    from tornado.web import RequestHandler
    from tornado.websocket import WebSocketHandler

    class Refused(RequestHandler):  # type: ignore[misc] # tornado is not typed for us
        def initialize(self, reason: str) -> None:
            self.reason = reason

        def prepare(self) -> None:
            self.set_status(403)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(self.reason + "\n")

    plain = application.get_handler_delegate
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
            hardened[handler] = type(handler.__name__, (handler,), own)
        return hardened[handler]

    def delegate(request: Any, target_class: Any, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - as Tornado has it
        given = request.arguments.get("token", [b""])[-1].decode("utf-8", "replace")
        if reason := refusal(request.host, request.path, given, token):
            return plain(request, harden(Refused), {"reason": reason})
        return plain(request, harden(target_class), *rest, **options)

    application.get_handler_delegate = delegate
