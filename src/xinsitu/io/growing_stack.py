"""An HDF5 file of frames that grows: opened again where it has become another, and what it holds more is new.

It is written for readers beside its writer (SWMR), or flushed by him now and then; a master leads to data files that
grow. While it cannot be opened nothing comes. A frame is taken one look after it is there, as a writer may put pixels
behind the place that leads to them. And as nothing tells later whether a frame was written anew, at the end all frames
are measured once more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from itertools import repeat

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import LayoutError, XinsituError, collected, warn

from .discover import HDF5_SUFFIXES, FrameName
from .formats.hdf5_stack import Hdf5Stack, Part
from .formats.header import FrameFault, FrameHeader
from .gather import Gathered
from .growing_folder import AT_ONCE, GrowingFolder, Snapshot
from .opening import described, gather_source
from .options import OpenOptions
from .paths import Source, resolve
from .recognition import Chosen, choose_instrument

Places = npt.NDArray[np.int64]
SHARE = 5
"""Of the time, at most one part in so many goes into opening the file."""
NEW, THERE, TAKEN = 0, 1, 2
"""A frame that is in the file, that was in it one look earlier, too, and that was given out."""
SILENT = 10.0
"""Seconds that a file may be there without frames before it is said why: writers have begun by then."""


def growing_frames(path: str | os.PathLike[str], opening: OpenOptions | None = None) -> GrowingFolder | GrowingStack:
    """Return what grows there: a folder of frames in files of their own, or an HDF5 file.

    Raises
    ------
    LayoutError
        It is another file.
    """
    if os.fspath(path).lower().endswith(HDF5_SUFFIXES) and not os.path.isdir(path):
        return GrowingStack(path, opening)
    return GrowingFolder(path, opening)


class _Beside(Hdf5Stack):
    """Frames of a file that may grow while they are read: those that are there stay."""

    def _is_unchanged(self, part: Part) -> bool:
        return True


class GrowingStack:
    """The frames of one measurement in an HDF5 file that grows, and need not be there yet.

    Parameters
    ----------
    path
        The file; of an Eiger the master.
    opening
        How it is opened.
    """

    def __init__(self, path: str | os.PathLike[str], opening: OpenOptions | None = None) -> None:
        self.folder = os.path.abspath(os.path.expanduser(os.fspath(path)))
        self.opening = opening or OpenOptions(on_error="skip")
        self.given_up: dict[str, FrameFault] = {}
        self._chosen: Chosen | None = None
        self._gathered: Gathered | None = None
        self._alone: xr.Dataset | None = None
        self._state: tuple[tuple[int, int], ...] = ()
        self._scan = self._frame = np.empty(0, dtype="int64")
        self._stage = np.empty(0, dtype="int8")  # of each frame
        self._next = 0.0
        self._ended = 0
        self._told_at = float("inf")

    def __len__(self) -> int:
        """Frames that were taken."""
        return int((self._stage == TAKEN).sum())

    @property
    def pending(self) -> int:
        """Frames that are there and were not taken yet."""
        return len(self._stage) - len(self)

    @property
    def chosen(self) -> Chosen:
        """The instrument; known from the first frame on."""
        if self._chosen is None:
            raise LayoutError(f"{self.folder}: there are no frames yet")
        return self._chosen

    def look(self) -> list[str]:
        """Return the names of frames that have come, in order."""
        self._stage[self._stage == NEW] = THERE
        if self._state != self._states() and time.monotonic() >= self._next:
            self._open_again()
        return self._take(np.flatnonzero(self._stage == THERE)[:AT_ONCE])

    def settle(self) -> list[str]:
        """Open the file once more, and return the names of all that came; what was measured is asked for again."""
        self._open_again()
        self._ended += 1
        return self._take(np.flatnonzero(self._stage != TAKEN))

    def _take(self, places: Places) -> list[str]:
        self._stage[places] = TAKEN
        return _names(self._scan[places], self._frame[places])

    def again(self, name: str) -> None:
        """Let a frame that could not be read wait."""
        self._stage[self._places([name])] = THERE

    def _places(self, names: Sequence[str]) -> Places:
        """Places of the frames of some names that are in the file, in order."""
        near = np.flatnonzero(np.isin(self._frame, [int(name.partition(":")[2]) for name in names]))
        wanted, found = set(names), _names(self._scan[near], self._frame[near])
        return near[[name in wanted for name in found]] if len(near) else near

    def _states(self) -> tuple[tuple[int, int], ...]:
        """Size and modification time of the file, of those that it leads to, and of its folder, for those to come."""
        stack = self._gathered.stack if self._gathered else None
        parts = stack.parts if isinstance(stack, Hdf5Stack) else ()
        paths = {self.folder: None, os.path.dirname(self.folder): None} | {
            path: None for part in parts for path, *_ in part.files
        }
        try:
            return tuple((one.st_size, one.st_mtime_ns) for one in map(os.stat, paths))
        except OSError:
            return ()

    def _open_again(self) -> None:
        """Open the file, if it can be; what its writer is about may be half done."""
        begun = time.monotonic()
        try:
            state = self._states()
            with collected():  # a frame that is not written yet is none that is left out
                if self._chosen is None:
                    self._chosen = choose_instrument(self.opening.instrument, self.folder)
                self._gathered = gathered = self._gather("skip")
            self._state = state if state == self._states() else ()
        except (XinsituError, OSError) as fault:
            self._tell(fault)
            return
        finally:
            self._next = time.monotonic() + (SHARE - 1) * (time.monotonic() - begun)
        self._alone = None
        self._carry(gathered.scan, gathered.frame)

    def _carry(self, scan: Places, frame: Places) -> None:
        """Take over which frames are in the file; those that were stay what they were."""
        stage, before = np.full(len(scan), NEW, dtype="int8"), len(self._stage)
        if np.array_equal(scan[:before], self._scan) and np.array_equal(frame[:before], self._frame):
            stage[:before] = self._stage
        else:
            known = dict(zip(_names(self._scan, self._frame), self._stage.tolist(), strict=True))
            stage[:] = [known.get(name, NEW) for name in _names(scan, frame)]
        self._scan, self._frame, self._stage = scan, frame, stage

    def _tell(self, fault: Exception) -> None:
        """Say once why a file that is there gives no frames."""
        if os.path.exists(self.folder):
            self._told_at = min(self._told_at, time.monotonic() + SILENT)
            if 0 < self._told_at <= time.monotonic():
                self._told_at = 0.0
                warn(f"{fault}; it is waited for, and opened again when it changes")

    def _source(self) -> Source:
        return resolve(self.folder, self.chosen.table.patterns)

    def _gather(self, on_error: str) -> Gathered:
        found = gather_source(self._source(), on_error=on_error, scan=self.opening.scan)
        stack = found.stack
        if not isinstance(stack, Hdf5Stack):
            raise LayoutError(f"{self.folder}: holds no frames that can be watched")
        return replace(found, stack=_Beside(**{one.name: getattr(stack, one.name) for one in fields(stack)}))

    def snapshot(self, names: Sequence[str] | None = None, *, faulty: bool = False) -> Snapshot:
        """Return the frames that were taken, or those of some names."""
        del faulty  # a frame that was never written is no file of which somebody could say what is wrong
        return self._of(np.flatnonzero(self._stage == TAKEN) if names is None else self._places(names))

    def tail(self, names: Iterable[str], before: int) -> Snapshot:
        """Return the frames from the first of some names on, and so many before it; all, where numbers step back."""
        taken, changed = np.flatnonzero(self._stage == TAKEN), self._places(list(names))
        steps = np.diff(self._scan), np.diff(self._frame)
        if not len(changed) or not np.all((steps[0] > 0) | ((steps[0] == 0) & (steps[1] > 0))):
            return self._of(taken)
        place = max(0, int(np.searchsorted(taken, changed[0])) - before)
        return self._of(taken[place:], place)

    def _of(self, places: Places, place: int = 0) -> Snapshot:
        if self._gathered is None:
            return Snapshot(tuple)
        stack, first = self._gathered.stack, FrameHeader(0, (0, 0), np.dtype("u1"), -1)
        size = stack.frame_shape[0] * stack.frame_shape[1] * stack.stored.itemsize
        header = first._replace(size=size, mtime_ns=self._ended)
        scan, frame, order = self._scan[places], self._frame[places], places.tolist()
        return Snapshot(lambda: zip(map(FrameName, _names(scan, frame), repeat(1), order), repeat(header)), place)

    def open(self, snapshot: Snapshot, *, alone: bool = False) -> tuple[xr.Dataset, tuple[str, ...]]:
        """Open frames as :func:`~xinsitu.open_measurement` does, their image lazy, and say their names.

        ``alone``: a few frames by themselves, without the log, whatever their times are.

        Raises
        ------
        XinsituError
            As there.
        """
        if alone and self._gathered is not None:
            if self._alone is None:
                how = replace(self.opening, logs=None, order_error="ignore")
                self._alone = described(self._source(), self._gathered, how, self.chosen)
                self._gathered = replace(self._gathered, headers=())  # the most of what is known of the frames
            places = self._places([file.name for file in snapshot.files])
            return self._alone.isel(time=places), tuple(_names(self._scan[places], self._frame[places]))
        gathered = self._gather(self.opening.on_error)
        how = replace(self.opening, order_error="ignore") if snapshot.place else self.opening
        scan, names = described(self._source(), gathered, how, self.chosen), _names(gathered.scan, gathered.frame)
        if self._ended:
            return scan, tuple(names)
        known = {file.name for file in snapshot.files}
        kept = [place for place, name in enumerate(names) if name in known]
        return scan.isel(time=kept), tuple(names[place] for place in kept)


def _names(scans: Places, frames: Places) -> list[str]:
    """Name each frame by scan and number: they stay what they are when more come."""
    return [f"{scan}:{frame}" for scan, frame in zip(scans.tolist(), frames.tolist(), strict=True)]
