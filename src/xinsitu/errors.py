"""What can go wrong, as a small family of exceptions.

Every message is one sentence that names the file, ROI or variable and says what to do;
the command line prints it as it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar

from .explanations import name_of

PASSED_OVER = frozenset({"xinsitu", "xarray", "dask", "distributed", "contextlib", "functools"})
"""Packages whose lines are not a user's: a warning names the first line above them."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What steers a terminal: control characters, line separators, marks that turn the direction of writing."""


class XinsituError(Exception):
    """Anything that xinsitu refuses to do; catch this to catch them all.

    Examples
    --------
    >>> import xinsitu as xi
    >>> try:
    ...     xi.Roi("WZ", y=(9, 9), x=(0, 5))
    ... except XinsituError as error:
    ...     print(type(error).__name__)
    RoiError
    """


class LayoutError(XinsituError, ValueError):
    """A folder that does not hold what was asked for: no frames, several series, no measurement.

    Examples
    --------
    >>> import xinsitu as xi
    >>> xi.open_measurement("no/such/folder")
    Traceback (most recent call last):
    ...
    xinsitu.errors.LayoutError: ...no/such/folder: there is no such folder
    """


class FrameError(XinsituError, ValueError):
    """A frame that cannot be used.

    Parameters
    ----------
    path
        The file.
    reason
        What was expected and what was found, without the file's name.

    Examples
    --------
    >>> FrameError("time1/0001.tif", "truncated").path
    'time1/0001.tif'
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = os.fspath(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[FrameError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


class FrameChanged(FrameError):
    """A frame whose size or modification time is no longer what it was when the measurement was opened.

    Examples
    --------
    >>> issubclass(FrameChanged, FrameError)
    True
    """


class TimeError(XinsituError, ValueError):
    """Time stamps that contradict each other, the frame numbers or the period that was asked for.

    Examples
    --------
    >>> import xinsitu as xi
    >>> xi.open_measurement("0884/time1", time="sundial")
    Traceback (most recent call last):
    ...
    xinsitu.errors.TimeError: time is one of auto, stamp, period, frame, mtime, or an array of times, not 'sundial'
    """


class SchemaError(XinsituError, ValueError):
    """A Dataset or DataArray without the dimensions, variables or units that a function needs.

    Examples
    --------
    >>> import xarray as xr, xinsitu as xi
    >>> xi.stitch([xr.Dataset()])
    Traceback (most recent call last):
    ...
    xinsitu.errors.SchemaError: ...
    """


class DocumentError(XinsituError, ValueError):
    """A JSON or TOML file (ROIs, attenuation changes, events, recipe) that does not say what it should.

    Examples
    --------
    >>> import xinsitu as xi
    >>> xi.Event("", "2014-05-28T17:01:59+09:00")
    Traceback (most recent call last):
    ...
    xinsitu.errors.DocumentError: an event needs a name, not ''
    """


class RoiError(XinsituError, ValueError):
    """A ROI that does not fit: unknown name, empty box, outside the detector.

    Examples
    --------
    >>> import xinsitu as xi
    >>> xi.RoiSet([xi.Roi("WZ", y=(0, 5), x=(0, 5))])["ZB"]
    Traceback (most recent call last):
    ...
    xinsitu.errors.RoiError: there is no ROI 'ZB'; there are WZ
    """


class CorrectionError(XinsituError, ValueError):
    """A correction that does not fit the frames: other shape, other pixels, applied twice.

    Examples
    --------
    >>> import xinsitu as xi
    >>> xi.Correction(median=4)
    Traceback (most recent call last):
    ...
    xinsitu.errors.CorrectionError: the size of a median must be an odd number from 3 on, not 4
    """


class StitchError(XinsituError, ValueError):
    """Measurements that cannot be joined on one time axis, or a change that cannot be placed on it.

    Examples
    --------
    >>> import xinsitu as xi
    >>> xi.stitch([])
    Traceback (most recent call last):
    ...
    xinsitu.errors.StitchError: ...
    """


class ResultExists(XinsituError, FileExistsError):
    """The output is already there and nobody asked to overwrite it.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import xinsitu as xi
    >>> there = pathlib.Path(tempfile.mkdtemp(), "rois.json")
    >>> xi.write_rois([], there)
    >>> xi.write_rois([], there)
    Traceback (most recent call last):
    ...
    xinsitu.errors.ResultExists: ...rois.json...
    """


class NotThere(XinsituError, FileNotFoundError):
    """A file or folder that is to be read, or to be written in, and is not there.

    Examples
    --------
    >>> import xinsitu as xi
    >>> xi.read_events("no/such/file.json")
    Traceback (most recent call last):
    ...
    xinsitu.errors.NotThere: no/such/file.json: there is no such file
    """


class XinsituWarning(UserWarning):
    """Something that a person should know about the numbers; nothing was refused.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", XinsituWarning)
    ...     warn("the background is zero in 3 of 720 frames")
    >>> caught[0].category.__name__
    'XinsituWarning'
    """


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Collect what this thread would warn of inside the block, and warn of nothing.

    Python's own ``warnings.catch_warnings`` changes the filters of all threads, and puts them back in any order.

    Examples
    --------
    >>> with collected() as texts:
    ...     warn("the background is zero")
    >>> texts
    ['the background is zero']
    """
    texts: list[str] = []
    token = _collector.set(texts)
    try:
        yield texts
    finally:
        _collector.reset(token)


@contextlib.contextmanager
def without(pattern: str) -> Iterator[None]:
    """Leave out what matches a pattern of all that this thread would warn of inside the block."""
    with collected() as texts:
        yield
    for text in texts:
        if not re.search(pattern, text):
            warn(text)


_collector: ContextVar[list[str] | None] = ContextVar("xinsitu_warnings", default=None)


def warn(text: str) -> None:
    """Warn of something at the line of the person who called us, however deep it is noticed.

    Lines of this package and of those that call it for a user (xarray opens our engine) are passed over. The text ends
    with the name of its entry in the documentation, which ``xinsitu explain NAME`` shows.
    """
    if (collector := _collector.get()) is not None:
        collector.append(text)
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in PASSED_OVER:
        level, frame = level + 1, frame.f_back
    name = name_of(text)
    warnings.warn(text if name is None else f"{text} (xinsitu explain {name})", XinsituWarning, stacklevel=level)


def plain(text: str) -> str:
    r"""Return the text without control characters: what stands in a file must not steer a terminal.

    Examples
    --------
    >>> plain("a\x1b[31mb")
    'a[31mb'
    """
    return _CONTROL.sub("", text)


def in_a_line(text: object) -> str:
    r"""Return the text on one line: a name that holds a line break begins no line of its own.

    Examples
    --------
    >>> in_a_line("time1\nwrote /etc/passwd")
    'time1\\nwrote /etc/passwd'
    """
    return plain(str(text).replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t"))


def said_of(fault: BaseException, about: object = None) -> str:
    """Return what is said of an error in a sentence: one of the disc with its file and the reason.

    Examples
    --------
    >>> said_of(OSError(28, "No space left on device", "a/b.nc")), said_of(ValueError("is none"), "b.nc")
    ('a/b.nc: no space left on device', 'b.nc: is none')
    """
    said: object = fault
    if isinstance(fault, OSError) and fault.strerror:
        name, said = fault.filename, fault.strerror[:1].lower() + fault.strerror[1:]
        about = about if name is None else os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else name
    return str(said) if about is None else f"{about}: {said}"


LONGEST_NAME = 4400
"""Letters of a word that is told as it is; no path is longer than 4096 bytes."""
_TOO_LONG = re.compile(rf"\S{{{LONGEST_NAME},}}")


def brief(text: str, longest: int = 60) -> str:
    """Return the text, its middle left out where it is long: nobody reads a name of a thousand letters.

    Examples
    --------
    >>> brief("generic"), brief("k" * 100_000, 9)
    ('generic', 'kkkk…kkkk')
    """
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def without_long_words(text: str) -> str:
    """Return the text, words that are too long for any path cut: one of a hundred thousand letters fills a screen.

    Examples
    --------
    >>> len(without_long_words(f"{'k' * 100_000}: there is no such folder"))
    83
    """
    return _TOO_LONG.sub(lambda word: brief(word[0]), text)


STANDARD_OUTPUT = "standard output"


def print_out(text: str, end: str = "\n") -> None:
    """Print text that was made lines by :func:`in_a_line`, and have it out.

    Raises
    ------
    OSError
        What takes it is full or gone; the sentence says that it is the standard output and no file.
    """
    try:
        print(text, end=end, flush=True)  # noqa: T201 - the one place
    except BrokenPipeError:
        raise
    except OSError as fault:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # python would try again at exit
        raise OSError(fault.errno, fault.strerror, STANDARD_OUTPUT) from None


def in_utf8(text: str) -> str:
    r"""Return the text with escapes, as JSON has them, for what is not UTF-8: bytes of names in another encoding.

    Examples
    --------
    >>> in_utf8(b"K\xfchlen".decode("utf-8", "surrogateescape"))
    'K\\udcfchlen'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
