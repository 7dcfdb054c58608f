"""The ROI time series of a measurement that grows: each frame is measured once, and all are put together now and then.

What belongs to a frame by itself is measured when it is whole. Flags and remarks that take all frames, times, counters
of logs are found anew each time the series is put together, from the same functions as in
:func:`~xinsitu.physics.reduction.series.measure`: so the numbers are those of measuring afterwards, bit for bit. A
frame is measured again where its file, or what it is measured with, has become another.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import CorrectionError, FrameError, RoiError, SchemaError, collected
from xinsitu.io.frame_table import Aside, Numbers
from xinsitu.io.growing_folder import GrowingFolder, Snapshot
from xinsitu.io.growing_stack import GrowingStack
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.framewise import NUMBER
from xinsitu.physics.reduction.roi_plan import Fitted, fitted
from xinsitu.physics.reduction.series import rows_of, series_of
from xinsitu.schema import image_of
from xinsitu.values import Roi, RoiSet
from xinsitu.variables import held_elsewhere

Rows = npt.NDArray[np.float64]
BYTES = 32 * 2**20
"""Files that are read at once, so that memory is bounded whatever has come since the last look."""
BEFORE, REACH = 600, 200
"""Frames before the first new one that are looked at with it, and of these those whose flags it may change: what is
said of a frame hangs on some hundred around it."""


class Row(NamedTuple):
    """What was measured of a frame, the state of its file, and with what it was measured."""

    numbers: bytes
    state: tuple[int, int]
    told: bytes


class _Rows:
    """Rows by the names of frames, in a file: in memory they would be the most of what a night of frames takes."""

    _FIRST = struct.Struct("<qq16s")

    def __init__(self, places: Numbers | None = None, aside: Aside | None = None) -> None:
        self.places = Numbers() if places is None else places
        self.aside = Aside() if aside is None else aside

    def __len__(self) -> int:
        return len(self.places)

    def __setitem__(self, name: str, row: Row) -> None:
        self.places.put(name, self.aside.put(self._FIRST.pack(*row.state, row.told) + row.numbers))

    def get(self, name: str) -> Row | None:
        place = self.places.get(name)
        if place is None:
            return None
        data = self.aside.get(place)
        size, changed, told = self._FIRST.unpack_from(data)
        return Row(data[self._FIRST.size :], (size, changed), told)

    def now(self) -> _Rows:
        """Return them as they are now, for another thread."""
        return _Rows(self.places.copy(), self.aside)


@dataclass(frozen=True)
class Together:
    """A series, the rows of frames that were measured again for it, and what there is to say of it."""

    series: xr.Dataset
    rows: Mapping[str, Row]
    said: Sequence[str]


@dataclass
class GrowingSeries:
    """Frames of a folder, measured as they come.

    Parameters
    ----------
    frames
        The folder, or HDF5 file.
    rois
        Where to measure; they rest.
    correction_of
        Gives the correction, once there is a frame: calibrations may have to fit it.
    smooth
        As in :func:`~xinsitu.measure`.

    Raises
    ------
    RoiError
        A ROI moves.
    """

    frames: GrowingFolder | GrowingStack
    rois: RoiSet | Iterable[Roi]
    correction_of: Callable[[xr.Dataset], Correction | None] = lambda scan: None
    smooth: int | None = None
    said: list[str] = field(default_factory=list)
    """What there is to say, each sentence once; whoever shows it takes it away."""

    def __post_init__(self) -> None:
        self.rois = self._rois = RoiSet.of(self.rois)
        if not len(self._rois):
            raise SchemaError("there is no ROI to measure")
        if moving := [roi.name for roi in self._rois if roi.path is not None]:
            raise RoiError(
                f"ROI {moving[0]!r} moves between key frames, which a growing measurement may not have yet: watch it "
                "with a box that rests, and measure it afterwards"
            )
        self._rows = _Rows()
        self._correction: Correction | None = None
        self._known = False
        self._kind: tuple[tuple[int, ...], np.dtype[np.generic]] | None = None
        self._heard: set[str] = set()
        self._changed: set[str] = set()

    def look(self) -> list[xr.Dataset]:
        """Measure what has become whole since the last look, and return the series of it, in one piece or several.

        Times and flags are those of these frames by themselves; :meth:`together` has them with all others.
        """
        return self._measured(self.frames.look())

    def settle(self) -> list[xr.Dataset]:
        """Look through all of the folder, and measure what has come or changed."""
        return self._measured(self.frames.settle())

    def __len__(self) -> int:
        """Frames that were measured."""
        return len(self._rows)

    def _measured(self, names: Sequence[str]) -> list[xr.Dataset]:
        pieces = []
        while names:
            size = max((size for size, _ in self.frames.snapshot(names[:1]).states.values()), default=1)
            at_once = max(1, BYTES // max(1, size))
            pieces += self._at_once(names[:at_once])
            names = names[at_once:]
        return pieces

    def _at_once(self, names: Sequence[str]) -> list[xr.Dataset]:
        snapshot = self.frames.snapshot(names)
        with collected() as texts:
            scan, own = self._read(*self.frames.open(snapshot, alone=True))
            kind = scan["image"].shape[1:], scan["image"].dtype
            if not own or kind != (self._kind or kind):  # unlike the others: all together decide which are right
                return []
            correction, self._kind = self._correction_for(scan), kind
            fit = fitted(scan, self._rois, correction, self.smooth, own_axes=True)
            fit.per_frame[:, NUMBER] += len(self.frames) - len(own)  # its place, if no frame is late
            numbers = _computed(fit)
        self.hear(texts)
        states, told = snapshot.states, fit.told.tolist()
        for name, row, what in zip(own, numbers, told, strict=True):
            self._rows[name] = Row(row.tobytes(), states[name], what)
        self._changed.update(own)
        with collected():  # a few frames say little of a median or a background
            return [series_of(numbers, scan, self._rois, fit, correction)]

    def _read(self, scan: xr.Dataset, names: Sequence[str]) -> tuple[xr.Dataset, Sequence[str]]:
        """Return frames in memory, without those that were written anew or renamed since they were whole."""
        image = image_of(scan)
        while len(names):
            try:
                return scan.assign(image=held_elsewhere(image, image.values)), names
            except FrameError as fault:
                gone = {os.path.basename(fault.path)} & set(names) or _unreadable(image, names)
                left = [index for index, name in enumerate(names) if name not in gone]
                if len(left) == len(names):
                    raise
                for name in gone:
                    self.frames.again(name)
                scan, names = scan.isel(time=left), [names[index] for index in left]
                image = image_of(scan)
        return scan, []

    def _correction_for(self, scan: xr.Dataset) -> Correction | None:
        if not self._known:
            correction = self.correction_of(scan)
            _refuse_what_takes_all(correction)
            self._correction, self._known = correction, True
        return self._correction

    def hear(self, texts: Iterable[str]) -> None:
        """Keep what there is to say, each sentence once."""
        for text in texts:
            about = re.sub(r"[0-9][0-9.e+-]*", "#", text.split(": ", 1)[-1])  # the same, of more frames
            if about not in self._heard:
                self._heard.add(about)
                self.said.append(text)

    # -- all frames ---------------------------------------------------------------------------------------------------

    def snapshot(self, *, tail: bool = False, faulty: bool = False) -> tuple[Snapshot, _Rows]:
        """Return what :meth:`together` needs, which another thread may do.

        ``tail``: of the frames from the first one on that came or changed since the last time, and those before it
        that have to do with them.
        """
        tail = tail and bool(self._changed)
        snapshot = self.frames.tail(self._changed, BEFORE) if tail else self.frames.snapshot(faulty=faulty)
        self._changed = set()
        return snapshot, self._rows.now()

    def together(self, snapshot: Snapshot, rows: _Rows) -> Together:
        """Return the series of frames: of all of them as :func:`~xinsitu.measure` gives it.

        Of the last ones without what takes all to see, as medians over all frames.

        Raises
        ------
        XinsituError
            As in opening and measuring.
        """
        states = snapshot.states
        with collected() as texts:
            scan, names = self.frames.open(snapshot)
            correction = self._correction_for(scan)
            fit = fitted(scan, self._rois, correction, self.smooth, own_axes=True)
            fit.per_frame[:, NUMBER] += snapshot.place
            told = fit.told.tolist()
            found = {}
            for name, what in zip(names, told, strict=True):
                row = rows.get(name)
                if row and row.state == states.get(name) and row.told == what:
                    found[name] = row.numbers
            again: dict[str, Row] = {}
            for run in _runs([index for index, name in enumerate(names) if name not in found]):
                numbers = _computed(fit.of_frames(run))
                lacking = zip(names[run], numbers, told[run], strict=True)
                again |= {name: Row(row.tobytes(), states.get(name, (0, 0)), what) for name, row, what in lacking}
            found |= {name: row.numbers for name, row in again.items()}
            shape = len(names), len(fit.plan.regions), -1
            packed = np.frombuffer(b"".join([found[name] for name in names])).reshape(shape)
            series = series_of(packed, scan, self._rois, fit, correction)
        if snapshot.place:
            series = series.isel(time=slice(BEFORE - REACH, None))
        return Together(series, again, texts)

    def keep(self, together: Together) -> None:
        """Take over what was measured again, and what there is to say."""
        for name, row in together.rows.items():
            known = self._rows.get(name)
            if known is None or known.state == row.state:
                self._rows[name] = row
        self.hear(together.said)

    def series(self, *, faulty: bool = True) -> xr.Dataset:
        """Put all frames together now."""
        together = self.together(*self.snapshot(faulty=faulty))
        self.keep(together)
        return together.series


def _refuse_what_takes_all(correction: Correction | None) -> None:
    """Raise for corrections by a mean over all frames, or by counters that come after their frame."""
    if correction is None:
        return
    if correction.normalise is not None:
        raise CorrectionError(
            f"frames can be normalised by {correction.normalise!r} when the log is whole: watch without, measure later"
        )
    if correction.background is not None and correction.background.normalise is not None:
        raise CorrectionError(
            "a background that is divided by its own time mean is known when all frames are there: watch without"
        )


def _runs(places: Sequence[int]) -> Iterator[slice]:
    """Give places as runs of neighbours: what is asked of every eighth frame counts them."""
    cuts = [0, *(index for index, (one, two) in enumerate(pairwise(places), 1) if two != one + 1), len(places)]
    for first, behind in pairwise(cuts):
        if behind > first:
            yield slice(places[first], places[behind - 1] + 1)


def _unreadable(image: xr.DataArray, names: Sequence[str]) -> set[str]:
    """Names of the frames, of those in one file, that cannot be read."""
    found = set()
    for index, name in enumerate(names):
        try:
            np.asarray(image[index])
        except FrameError:
            found.add(name)
    return found


def _computed(fit: Fitted) -> Rows:
    rows = rows_of(fit)
    return np.asarray(rows if isinstance(rows, np.ndarray) else rows.compute())
