"""Addresses of the server: a free port, and the origins whose pages may talk to it."""

from __future__ import annotations

import socket

LOCAL = "127.0.0.1"


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
