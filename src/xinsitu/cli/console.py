"""What the commands say: lines on stdout, progress and one-sentence warnings on stderr."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import re
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from xinsitu.errors import XinsituError, XinsituWarning, in_a_line, print_out, said_of, without_long_words


def sentence(fault: Exception, about: object = None) -> str:
    """Return what is said of an error: ours as it is, one of the disc with its file, another with what it is about."""
    if isinstance(fault, XinsituError):
        return str(fault)
    if isinstance(fault, MemoryError) or (isinstance(fault, ImportError) and _NO_ROOM.search(str(fault))):
        said = f"there is not enough memory ({_first_line(fault)})" if str(fault) else "there is not enough memory"
        return said if about is None else f"{about}: {said}"
    if isinstance(fault, ValueError) and "embedded null" in str(fault):
        said = "a path in it holds the letter NUL, which no path does"
        return said if about is None else f"{about}: {said}"
    if not isinstance(fault, OSError) and (settings := _settings_of(fault)):
        return f"{settings} ({type(fault).__name__}: {_first_line(fault)})"
    if not isinstance(fault, OSError):
        said = f"{type(fault).__name__}: {fault} (this is a fault of xinsitu; --debug before the command shows where)"
        return said if about is None else f"{about}: {said}"
    if isinstance(fault, FileNotFoundError) and fault.filename is None and not _has_working_folder():
        return "the working folder (./) was removed; change to one that is there"
    said = fault.strerror or str(fault)
    if fault.filename is not None:
        return said_of(fault)
    return said if about is None or os.sep in said else f"{about}: {said[:1].lower()}{said[1:]}"


_NO_ROOM = re.compile("failed to map segment|cannot allocate|out of memory", re.IGNORECASE)
"""What the loader of the system says of a library that there is no memory for."""
_LIBRARIES = {
    "dask": ("DASK_",), "distributed": ("DASK_",), "numba": ("NUMBA_",), "matplotlib": ("MPLBACKEND",),
    "numexpr": ("NUMEXPR_", "OMP_"),
}  # fmt: skip
"""Libraries that fail where their settings are none, and how variables that set them begin."""
_CONFIGURED, _NAMED = ("dask", "distributed"), ("matplotlib", "numexpr")
"""Those of them that files set as well, and those whose errors name what is wrong: many set them to what is right."""


def _first_line(fault: Exception) -> str:
    return next(iter(str(fault).splitlines()), "").rstrip(": ")


def _settings_of(fault: Exception) -> str | None:
    """Say that a library is set to what it cannot do, where it failed before it came to anything of ours."""
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(fault.__traceback__)]
    known = [name for one in modules if (name := one.partition(".")[0]) in (*_LIBRARIES, "xinsitu")]
    library = known[-1] if known else "xinsitu"
    if library == "xinsitu":
        return None
    mine = [(name, value) for name, value in sorted(os.environ.items()) if name.startswith(_LIBRARIES[library])]
    found = [f"{name}={value}" for name, value in mine if library not in _NAMED or f"'{value}'" in str(fault)]
    found += [] if library not in _CONFIGURED else sorted(glob.glob(os.path.expanduser("~/.config/dask/*.y*ml")))
    return f"{library} cannot work as it is set by {', '.join(found)}" if found else None


def _has_working_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


_OPTION = re.compile(r"\b(\w+)=((?:(?!\(--)[^;])*)\(--[\w-]+")


def in_recipe(text: str) -> str:
    """Name the keys of a recipe in the place of options, which the command that runs it does not have.

    Examples
    --------
    >>> in_recipe("a.tif: is cut off; on_error='skip' or 'nan' (--on-error) goes on without")
    "a.tif: is cut off; on_error='skip' or 'nan' (on_error in [reading]) goes on without"
    """
    return _OPTION.sub(r"\1=\2(\1 in [reading]", text)


def say(line: str = "") -> None:
    """Print a line."""
    print_out(in_a_line(line))


def say_block(text: str) -> None:
    """Print lines of which each was made one by :func:`~xinsitu.errors.in_a_line`."""
    print_out("\n".join(map(in_a_line, text.split("\n"))))


def terminal_width() -> int:
    """Columns of the terminal; one that has next to none, as some say of theirs, is written past its end."""
    return max(20, shutil.get_terminal_size().columns)


def redraw(lines: Sequence[str], before: int) -> int:
    """Print lines in the place of the last ones, cut to the width of the terminal, and return how many there are."""
    width = terminal_width()
    up = f"\x1b[{before}F\x1b[J" if before else ""
    print_out(up + "\n".join(in_a_line(line)[: width - 1] for line in lines))
    return len(lines)


def complain(text: str) -> None:
    """Print a line on stderr."""
    print(without_long_words(in_a_line(f"xinsitu: {text}")), file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_in_a_line(told: Callable[[str], str] = str) -> Iterator[None]:
    """Show warnings as one sentence each, the same one once; ``told`` puts it as the command does."""
    seen: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = " ".join(str(message).split())
        # the same is said of every measurement of a sample: once is enough, with the name of the first
        head, _, rest = text.partition(": ")
        about = rest if " " not in head or os.path.lexists(head) else text
        if about not in seen:
            seen.add(about)
            complain(f"warning: {told(text)}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(dask|distributed|holoviews|bokeh|panel)\b")
        warnings.filterwarnings("always", category=XinsituWarning)
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def logged(*, wanted: bool) -> Iterator[None]:
    """Show on stderr what the package logs: what is neither a warning nor a result."""
    if not wanted:
        yield
        return
    log, handler = logging.getLogger("xinsitu"), _OnStderr()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        complain(record.getMessage())


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """Say what is being done and how long it took; a progress bar where stderr is a terminal."""
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        if sys.stderr.isatty():
            from dask.diagnostics import ProgressBar  # what is said without a bar needs no dask

            from xinsitu.recipe.cluster import client_in_use, progress

            print(f"{in_a_line(text)} …", file=sys.stderr, flush=True)
            client = client_in_use()
            bar = ProgressBar(minimum=0.5, out=sys.stderr) if client is None else progress(client, sys.stderr)
            stack.enter_context(bar)
        yield
    say(f"{text}: {time.perf_counter() - started:.1f} s")


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Return a table in columns, numbers to the right.

    Examples
    --------
    >>> print(table([("time1", 720), ("time2", 41)], ("measurement", "frames")))
    measurement  frames
    time1           720
    time2            41
    """
    cells = [[in_a_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [all(isinstance(row[i], int | float) or _number(str(row[i])) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        )
        for line in (list(header), *cells)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?( ?%)?|–|nan", text))
