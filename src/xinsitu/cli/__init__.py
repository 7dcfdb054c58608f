"""``xinsitu``: the commands.

Exit code 0: done; 1: refused or failed, with one sentence on stderr that names the file; 2: wrong words.
"""

from __future__ import annotations

import _thread
import argparse
import atexit
import contextlib
import importlib
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import xinsitu
from xinsitu.beginning import ENDS, STOPPED, unhandled
from xinsitu.errors import STANDARD_OUTPUT
from xinsitu.native import switched_off

from .arguments import Command, parser


def _later(module: str, name: str) -> Command:
    """Return a command whose module is loaded when it is run: help needs none of them."""

    def command(words: argparse.Namespace) -> int:
        code: int = getattr(importlib.import_module(f"xinsitu.cli.{module}"), name)(words)
        return code

    return command


_COMMANDS: dict[str, Command] = {
    "demo": lambda words: importlib.import_module("xinsitu.cli.demo").demo(words, main),
    "info": _later("info_command", "info"),
    "parse": _later("frame_commands", "parse"),
    "explore": _later("explore_command", "explore"),
    "measure": _later("series_commands", "measure"),
    "watch": _later("watch_command", "watch"),
    "two-time": _later("two_time_command", "two_time"),
    "fit": _later("fit_command", "fit"),
    "radial": _later("radial_command", "radial"),
    "stitch": _later("sample_commands", "stitch"),
    "plot": _later("sample_commands", "plot"),
    "compare": _later("sample_commands", "compare"),
    "report": _later("report_command", "report"),
    "run": _later("run_command", "run"),
    "instrument": _later("instrument_command", "instrument"),
    "explain": _later("explain_command", "explain"),
    "convert": _later("convert_command", "convert"),
    "completion": _later("completion_command", "completion"),
}


def _signed(arguments: Sequence[str]) -> list[str]:
    """Tie a value that begins with a minus sign, as ``-05:00``, to its option: argparse takes it for another one."""
    tied: list[str] = []
    for word in arguments:
        if re.match(r"-\d", word) and tied and re.fullmatch("--[a-z0-9-]+", tied[-1]):
            tied[-1] += f"={word}"
        else:
            tied.append(word)
    return tied


STOPPED_CODE = 130
_heard: list[int] = []
"""Signals that were to end this process."""
AGAIN = 0.02
"""Seconds after which a signal that was not heard comes again."""


def program() -> int:
    """Run the command of this process: :func:`main`, and whoever ends it before or after is answered as during it."""
    done: list[int] = []

    def ended(number: int, _: object) -> None:
        if done:
            os._exit(done[0])  # all is written and said, and the interpreter tidies up
        _heard.append(number)
        raise KeyboardInterrupt(number)

    def unheard(what: sys.UnraisableHookArgs) -> None:
        """Let it be raised again where Python raises nothing, as at the end of a weak reference."""
        if isinstance(what.exc_value, KeyboardInterrupt):
            threading.Timer(AGAIN, _thread.interrupt_main, what.exc_value.args).start()
        else:
            sys.__unraisablehook__(what)

    def set_all(handler: Any) -> None:  # noqa: ANN401 - as signal takes it
        for one in mine:
            signal.signal(one, handler)

    mine = unhandled()
    set_all(ended)
    sys.unraisablehook = unheard

    def last() -> None:
        set_all(signal.SIG_IGN)  # what comes behind it takes modules apart, without handlers of ours
        if done == [STOPPED_CODE]:  # Python remembers a Ctrl-C in code that was made at run time, and would die of it
            sys.stdout.flush()
            os._exit(STOPPED_CODE)

    atexit.register(last)
    try:
        done.append(main())
    except KeyboardInterrupt:  # main had not begun, or had ended
        sys.stderr.write(f"xinsitu: {STOPPED}\n")
        done.append(STOPPED_CODE)
    return done[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _open_streams()
    from .console import complain, in_recipe, logged, sentence, warnings_in_a_line

    words = argparse.Namespace(debug=False, command="")
    told: Callable[[str], str] = str
    given = _signed(sys.argv[1:] if arguments is None else arguments)
    try:
        words = parser(xinsitu.__version__, _COMMANDS).parse_args(given)
        told = in_recipe if words.command == "run" else str
        switched_off()  # or set to what means nothing
        with warnings_in_a_line(told), logged(wanted=words.verbose), _ended_is_interrupted():
            code: int = words.run(words)
        return code
    except KeyboardInterrupt:
        complain(STOPPED)
        return STOPPED_CODE
    except BrokenPipeError:
        # somebody closed the pipe that we print to, as `| head` does; python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as fault:  # noqa: BLE001 - the command line never shows a traceback unasked
        if words.debug:
            traceback.print_exc()
        if _heard and isinstance(
            fault, ImportError | SyntaxError | SystemError
        ):  # what was being loaded makes it its own
            complain(STOPPED)
            return STOPPED_CODE
        complain(f"error: {told(_named(sentence(fault), words))}")
        return 1


def _open_streams() -> None:
    """Let what somebody closed (``2>&-``) lead nowhere: the next file would take its number, and what is said.

    Where names are strictly in an encoding that does not have their letters, these are told as escapes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _ended_is_interrupted() -> Iterator[None]:
    """Let a request to end, or the loss of the terminal, be what Ctrl-C is, unless the caller set it otherwise."""
    ends = ENDS if threading.current_thread() is threading.main_thread() else ()
    mine = [one for one in ends if one != signal.SIGINT and signal.getsignal(one) is signal.SIG_DFL]
    for one in mine:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in mine:
            signal.signal(one, signal.SIG_DFL)


def _named(text: str, words: argparse.Namespace) -> str:
    """Put what the command works on in front of a sentence that names no file."""
    values = (value if isinstance(value, list) else [value] for name, value in vars(words).items() if name != "command")
    given = {str(path) for value in values for path in value if isinstance(path, str | os.PathLike)}
    if text.startswith(STANDARD_OUTPUT) or any(
        os.sep in part or part in given for part in text.replace(":", " ").split()
    ):
        return text
    subjects = (getattr(words, name, None) for name in ("measurement", "result", "recipe", "path"))
    alone = (one[0] if isinstance(one, list) and len(one) == 1 else one for one in subjects)
    subject = next((path for path in alone if path is not None and not isinstance(path, list)), None)
    return text if subject is None else f"{subject}: {text}"
