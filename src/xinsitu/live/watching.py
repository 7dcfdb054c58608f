"""Watching a measurement: looks at its folder, numbers at once, and a file that is whole at every moment."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

import xarray as xr

from xinsitu.errors import LayoutError, XinsituError, warn
from xinsitu.io.growing_results import GrowingResults
from xinsitu.io.growing_stack import growing_frames
from xinsitu.io.instruments import Instrument
from xinsitu.io.options import OpenOptions
from xinsitu.physics.corrections.correction import Correction
from xinsitu.values import Roi, RoiSet

from .growing_series import GrowingSeries, Together

PAUSE = 0.1
"""Seconds from one look to the next."""
SHARE = 5
"""Of the time, one part in so many goes into writing; at least a second lies between two files."""


def watch(
    path: str | os.PathLike[str],
    rois: RoiSet | Iterable[Roi],
    *,
    correction: Correction | None = None,
    on_frames: Callable[[xr.Dataset], None] | None = None,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    until_idle: float | None = None,
    stop: Event | None = None,
    smooth: int | None = None,
    tz: str | None = None,
    instrument: str | os.PathLike[str] | Instrument | None = None,
    on_error: str = "skip",
    time: str = "auto",
    order_error: str = "raise",
    series: str | None = None,
    period: float | None = None,
    stamp_marks: str | None = None,
    logs: str | os.PathLike[str] | None = "auto",
) -> xr.Dataset:
    """Measure a measurement while it is taken: every frame within a second of being whole.

    The folder need not be there yet. Frames that are still being written are waited for; late ones, and those that are
    written anew, are measured when they are whole. Returns when ``stop`` is set, when nothing has come for
    ``until_idle`` seconds, or when it is interrupted (Ctrl-C); then all of the folder is looked through once more.

    Parameters
    ----------
    path
        Folder that frames are written to, each a file of its own; or an HDF5 file that grows (of an Eiger the master),
        of which all frames are measured once more at the end.
    rois
        Where to measure; boxes that rest.
    correction
        What to do to the frames first; no means over all frames (``normalise``), which are known at the end.
    on_frames
        Called with the ROI time series of the new frames, ``(time, roi)``. Their times and flags are those of these
        frames by themselves: what takes others to see (outliers, times of equal stamps) is in the file, and what takes
        all (counters of a log, medians over all frames) in its last version and in what is returned.
    output
        File to keep up to date: new rows are put behind the others in a copy, which is renamed, so that it can be
        opened at every moment. At the end it is what :func:`~xinsitu.write_results` writes of what is returned.
    overwrite
        Replace a file of this name that is there.
    until_idle
        Seconds, counted from the first frame on.
    stop
        Set by another thread to end it.
    smooth
        As in :func:`~xinsitu.measure`.
    tz, instrument, on_error, time, order_error, series, period, stamp_marks, logs
        As in :func:`~xinsitu.open_measurement`; frames that stay bad are left out (``skip``) or NaN (``nan``).

    Returns
    -------
    Dataset
        What :func:`~xinsitu.measure` gives of the frames that are there now, bit for bit.

    Raises
    ------
    LayoutError
        The path is a file, and no HDF5 file; or no frame has come.
    RoiError, CorrectionError
        A ROI moves, or the correction takes all frames; or they do not fit the frames.
    ResultExists
        The file is there and ``overwrite`` is false.

    Examples
    --------
    >>> import xinsitu as xi
    >>> def show(new):
    ...     print(new.sizes["time"], "frames more")
    >>> series = watch("0884/time1", xi.read_rois("rois.json"), on_frames=show, until_idle=1)
    20 frames more
    >>> series.sizes["time"]
    20
    """
    opening = OpenOptions(
        tz=tz, instrument=instrument, on_error="skip" if on_error == "raise" else on_error, time=time, series=series,
        order_error=order_error, period=period, stamp_marks=stamp_marks, logs=logs,
    )  # fmt: skip
    growing = GrowingSeries(growing_frames(path, opening), rois, lambda scan: correction, smooth)
    results = None if output is None else GrowingResults(output, overwrite=overwrite, source=path)
    return follow(growing, on_frames=on_frames, output=results, until_idle=until_idle, stop=stop)


class Output(Protocol):
    """Where the numbers go, in steps, from another thread: a file, a figure."""

    def write(self, series: xr.Dataset, *, last: bool) -> None:
        """Take all frames; ``last``: no more will come."""

    def append(self, rows: xr.Dataset) -> bool:
        """Put the last frames in place of those from the first of them on; False: all are wanted instead."""


def follow(
    growing: GrowingSeries,
    *,
    on_frames: Callable[[xr.Dataset], None] | None = None,
    output: Output | None = None,
    on_look: Callable[[GrowingSeries], None] | None = None,
    until_idle: float | None = None,
    stop: Event | None = None,
) -> xr.Dataset:
    """Look until it ends, and return the series of all frames; ``output`` gets what has come now and then."""
    stop = stop or Event()
    steps = _Steps(growing, output)

    def take(found: Iterable[xr.Dataset]) -> bool:
        new = False
        for one in found:
            new = True
            if on_frames is not None:
                on_frames(one)
        steps.due = steps.due or new
        return new

    with contextlib.suppress(KeyboardInterrupt), steps:
        last = None
        while not stop.is_set():
            begun = time.monotonic()
            if take(growing.look()):
                last = time.monotonic()
            steps.step()
            _tell(growing, on_look)
            if until_idle is not None and last is not None and time.monotonic() - last >= until_idle:
                break
            stop.wait(max(0.01, PAUSE - (time.monotonic() - begun)))
    if not len(growing.frames) and not growing.frames.settle():
        raise LayoutError(f"{growing.frames.folder}: no frame has come")
    for _ in range(3):  # a frame of this very moment settles meanwhile
        take(growing.settle())
        if not growing.frames.pending:
            break
        time.sleep(PAUSE)
    series = growing.series()
    if output is not None:
        output.write(series, last=True)
    _tell(growing, on_look)
    return series


def _tell(growing: GrowingSeries, on_look: Callable[[GrowingSeries], None] | None) -> None:
    for text in growing.said:
        warn(text)
    growing.said.clear()
    if on_look is not None:
        on_look(growing)


@dataclass
class _Steps:
    """Puts frames together and hands them out, one step at a time, on a thread of its own.

    The first time all of them, then the last ones. Where these do not fit behind the others (a log came, somebody took
    the file away) all of them once more; and from then on, if they do not even fit behind what was just written.
    """

    growing: GrowingSeries
    output: Output | None
    due: bool = False
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "xinsitu-watch"))
    _job: Future[Together | None] | None = None
    _begun: float = 0.0
    _next: float = 0.0
    _tail: bool = False
    _just_written: bool = False
    _appends: bool = True

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)
        self._finish()

    def step(self) -> None:
        """Take what is done, and begin the next step where frames have come and it is time."""
        now = time.monotonic()
        if self._job is not None:
            if not self._job.done():
                return
            self._next = now + max(1.0, SHARE * (now - self._begun))
            self._finish()
        if self.output is not None and self.due and now >= self._next:
            self.due, self._begun = False, now
            self._job = self._pool.submit(self._work, self.output, self.growing.snapshot(tail=self._tail))

    def _work(self, output: Output, frames: Any) -> Together | None:  # noqa: ANN401 - what snapshot gives
        together = self.growing.together(*frames)
        if not self._tail:
            output.write(together.series, last=False)
        elif not output.append(together.series):
            return None
        return together

    def _finish(self) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        try:
            together = job.result()
        except (XinsituError, OSError) as fault:  # a frame that is written anew, a disc that is full: once more, later
            self.growing.hear([f"{fault}; it is tried again"])
            self.due, self._tail = True, False
            return
        if together is None:
            self.due, self._tail, self._appends = True, False, self._appends and not self._just_written
            return
        self.growing.keep(together)
        self._just_written, self._tail = not self._tail, self._appends
