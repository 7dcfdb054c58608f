"""Watching a measurement: looks at its folder, numbers at once, and a file that is whole at every moment.

The file is written aside and renamed, in steps, and not with HDF5's SWMR: so any reader of netCDF opens it at any
moment, on network discs too, and what it has opened stays as it was; SWMR needs readers that ask for it, knows no
texts of varying length, and leaves a file that cannot be opened where its writer is killed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import xarray as xr

from xinsitu.errors import LayoutError, XinsituError, warn
from xinsitu.io.disk import refuse_existing, refuse_other_format
from xinsitu.io.growing_stack import growing_frames
from xinsitu.io.guard import check_outputs
from xinsitu.io.instruments import Instrument
from xinsitu.io.options import OpenOptions
from xinsitu.io.results import write_results
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
        frames by themselves: what takes all frames to see (outliers, times of equal stamps, counters of a log) is in
        the file and in what is returned.
    output
        File to keep up to date: written aside and renamed, so that it can be opened at every moment.
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
    >>> def show(new):
    ...     print(new.frame.values[-1], new.intensity.sel(roi="WZ").values[-1])
    >>> series = watch("0884/time3", rois, on_frames=show, until_idle=60)     # doctest: +SKIP
    """
    opening = OpenOptions(
        tz=tz, instrument=instrument, on_error="skip" if on_error == "raise" else on_error, time=time, series=series,
        order_error=order_error, period=period, stamp_marks=stamp_marks, logs=logs,
    )  # fmt: skip
    growing = GrowingSeries(growing_frames(path, opening), rois, lambda scan: correction, smooth)
    publish = None if output is None else results_to(output, overwrite=overwrite, source=path)
    return follow(growing, on_frames=on_frames, publish=publish, until_idle=until_idle, stop=stop)


Publish = Callable[[xr.Dataset], None]


def results_to(
    output: str | os.PathLike[str],
    *,
    overwrite: bool,
    source: str | os.PathLike[str],
    recipe: Callable[[], Mapping[str, Any]] | None = None,
) -> Publish:
    """Return what writes a series to a file, which from the first time on may be replaced.

    Raises
    ------
    ResultExists, LayoutError, SchemaError
        The file is there, would lie among frames, or has the name of another format.
    """
    refuse_other_format(output)
    path = refuse_existing(output, overwrite=overwrite)
    check_outputs([path], frames=[Path(source)], overwrite=overwrite)
    written = False

    def write(series: xr.Dataset) -> None:
        nonlocal written
        write_results(series, path, overwrite=overwrite or written, recipe=None if recipe is None else recipe())
        written = True

    return write


def follow(
    growing: GrowingSeries,
    *,
    on_frames: Callable[[xr.Dataset], None] | None = None,
    publish: Publish | None = None,
    on_look: Callable[[GrowingSeries], None] | None = None,
    until_idle: float | None = None,
    stop: Event | None = None,
) -> xr.Dataset:
    """Look until it ends, and return the series of all frames; ``publish`` gets it now and then, on another thread."""
    stop = stop or Event()
    steps = _Steps(growing, publish)

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
    if publish is not None:
        publish(series)
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
    """Puts all frames together and publishes them, one step at a time, on a thread of its own."""

    growing: GrowingSeries
    publish: Publish | None
    due: bool = False
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "xinsitu-watch"))
    _job: Future[Together] | None = None
    _begun: float = 0.0
    _next: float = 0.0

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
        if self.publish is not None and self.due and now >= self._next:
            self.due, self._begun = False, now
            self._job = self._pool.submit(self._work, self.growing.snapshot())

    def _work(self, frames: Any) -> Together:  # noqa: ANN401 - what snapshot gives
        together = self.growing.together(*frames)
        if self.publish is not None:
            self.publish(together.series)
        return together

    def _finish(self) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        try:
            self.growing.keep(job.result())
        except (XinsituError, OSError) as fault:  # a frame that is written anew, a disc that is full: once more, later
            self.growing.hear([f"{fault}; it is tried again"])
            self.due = True
