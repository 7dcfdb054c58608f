"""Whoever ends a command while Python still loads it is answered as later: by a sentence, and not by a traceback.

The package loads this first. It does nothing but where this process is the command ``xinsitu``: handlers of signals are
the program's that imports the package, and no one else's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

STOPPED = "stopped; nothing half-written was left behind"
ENDS = [one for name in ("SIGINT", "SIGTERM", "SIGHUP") if (one := getattr(signal, name, None)) is not None]
"""Ctrl-C, a request to end, the loss of the terminal; not every system has all three."""


def is_command(argv: Sequence[str], started: Sequence[str]) -> bool:
    """Whether this process is the command, by ``sys.argv`` and by the line that Python was started with.

    Processes that a command starts to work for it have its ``sys.argv``, and another line.

    Examples
    --------
    >>> is_command(["/usr/bin/xinsitu", "info"], ["python3", "/usr/bin/xinsitu", "info"])
    True
    >>> is_command(["-m", "info"], ["python3", "-m", "xinsitu", "info"])
    True
    >>> is_command(["/usr/bin/xinsitu", "info"], ["python3", "-c", "from multiprocessing.spawn import spawn_main"])
    False
    """
    if not argv:
        return False
    if argv[0] == "-m":
        return "xinsitu" in started[2:] and started[started.index("xinsitu") - 1] == "-m"
    return os.path.basename(argv[0]) == "xinsitu" and argv[0] in started


def ended(_: int, __: FrameType | None) -> None:
    """End the process: nothing was begun."""
    os.write(2, f"xinsitu: {STOPPED}\n".encode())
    os._exit(130)


def unhandled() -> list[signal.Signals]:
    """Signals that nobody handles yet, nor ignores, as nohup lets its commands do."""
    return [one for one in ENDS if signal.getsignal(one) in (signal.SIG_DFL, signal.default_int_handler, ended)]


def answer() -> None:
    """Answer from now on, where this process is the command."""
    if is_command(getattr(sys, "argv", []), sys.orig_argv):
        for one in unhandled():
            signal.signal(one, ended)
