"""What the server's libraries log, as one line each, the same one once: a page may send anything, and goes on."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import traceback
from collections.abc import Iterator

import xinsitu
from xinsitu.errors import in_a_line

log = logging.getLogger(__name__)

LOGGERS = (
    "bokeh.server.protocol_handler", "bokeh.server.views.ws", "bokeh.server.contexts", "bokeh.protocol",
    "tornado.application", "tornado.general", "asyncio",
)  # fmt: skip
"""They tell what a request, a message or a callback of a page ended in."""
LONGEST, MOST = 240, 20
"""Letters of a line, as what was sent may be of any length, and lines of a server."""


class InALine(logging.Filter):
    """Tell what is logged on the thread that makes it in a line of ours; what others log stays as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._thread, self._told = threading.get_ident(), set[str]()

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through what is not ours."""
        if record.thread != self._thread or record.levelno < logging.WARNING:
            return True
        if (line := line_of(record)) not in self._told and len(self._told) < MOST:
            self._told.add(line)
            log.warning("%s", line)
        return False


def line_of(record: logging.LogRecord) -> str:
    r"""Return what a record says in a line; of a fault its kind, its text, and where in our code it is.

    Examples
    --------
    >>> line_of(logging.makeLogRecord({"msg": "Bad header\n%s", "args": ("x",)}))
    'the explorer: Bad header\\nx'
    """
    fault = record.exc_info[1] if record.exc_info else None
    if fault is None:
        return in_a_line(f"the explorer: {record.getMessage()}")[:LONGEST]
    home = os.path.join(xinsitu.__path__[0], "")
    ours = [one for one in traceback.extract_tb(fault.__traceback__) if one.filename.startswith(home)]
    where = f" ({ours[-1].filename.removeprefix(home)}, line {ours[-1].lineno})" if ours else ""
    said = f"the explorer: a page sent what it cannot take: {type(fault).__name__}: {fault}"
    return in_a_line(said)[:LONGEST] + where


@contextlib.contextmanager
def told_in_lines() -> Iterator[None]:
    """Let what the libraries log on this thread, which serves pages, be told in lines."""
    loggers, told = [logging.getLogger(name) for name in LOGGERS], InALine()
    for logger in loggers:
        logger.addFilter(told)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(told)
