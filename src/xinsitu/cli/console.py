"""What the commands say: lines on stdout, progress and one-sentence warnings on stderr."""

from __future__ import annotations

import contextlib
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import TextIO

from dask.diagnostics import ProgressBar

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    r"""Return the text without control characters: what stands in a file must not steer a terminal.

    Examples
    --------
    >>> plain("a\x1b[31mb")
    'a[31mb'
    """
    return _CONTROL.sub("", text)


def say(text: str = "") -> None:
    """Print a line."""
    print(plain(text), flush=True)


def complain(text: str) -> None:
    """Print a line on stderr."""
    print(plain(f"xinsitu: {text}"), file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Show warnings as one sentence each, the same one once."""
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
        about = text.split(": ", 1)[-1]
        if about not in seen:
            seen.add(about)
            complain(f"warning: {text}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(dask|distributed|holoviews|bokeh|panel)\b")
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """Say what is being done and how long it took; a progress bar where stderr is a terminal."""
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        if sys.stderr.isatty():
            print(f"{plain(text)} …", file=sys.stderr, flush=True)
            stack.enter_context(ProgressBar(minimum=0.5, out=sys.stderr))
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
    cells = [[str(cell) for cell in row] for row in rows]
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
