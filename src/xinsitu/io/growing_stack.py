"""An HDF5 file of frames that grows: opened again where it has become another, and what it holds more is new.

It is written for readers beside its writer (SWMR), or flushed by him now and then; a master leads to data files that
grow. While it cannot be opened nothing comes. A frame is taken one look after it is there, as a writer may put pixels
behind the place that leads to them. And as nothing tells later whether a frame was written anew, at the end all frames
are measured once more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import xarray as xr

from xinsitu.errors import LayoutError, XinsituError, collected

from .discover import HDF5_SUFFIXES, FrameName
from .formats.hdf5_stack import Hdf5Stack, Part
from .formats.header import FrameFault, FrameHeader
from .gather import Gathered
from .growing_folder import AT_ONCE, GrowingFolder, Snapshot
from .opening import described, gather_source
from .options import OpenOptions
from .paths import Source, resolve
from .recognition import Chosen, choose_instrument

SHARE = 5
"""Of the time, at most one part in so many goes into opening the file."""


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
        self._places: dict[str, int] = {}
        self._taken: dict[str, None] = {}
        self._next = 0.0
        self._ended = 0

    def __len__(self) -> int:
        """Frames that were taken."""
        return len(self._taken)

    @property
    def pending(self) -> int:
        """Frames that are there and were not taken yet."""
        return len(self._places) - len(self._taken)

    @property
    def chosen(self) -> Chosen:
        """The instrument; known from the first frame on."""
        if self._chosen is None:
            raise LayoutError(f"{self.folder}: there are no frames yet")
        return self._chosen

    def look(self) -> list[str]:
        """Return the names of frames that have come, in order."""
        ready = self._places  # what was there at the last look, too
        if self._state != self._states() and time.monotonic() >= self._next:
            self._open_again()
        return self._take([name for name in ready if name in self._places and name not in self._taken][:AT_ONCE])

    def settle(self) -> list[str]:
        """Open the file once more, and return the names of all that came; what was measured is asked for again."""
        self._open_again()
        self._ended += 1
        return self._take([name for name in self._places if name not in self._taken])

    def _take(self, names: list[str]) -> list[str]:
        self._taken.update(dict.fromkeys(names))
        return names

    def again(self, name: str) -> None:
        """Let a frame that could not be read wait."""
        self._taken.pop(name, None)

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
        except (XinsituError, OSError):
            return
        finally:
            self._next = time.monotonic() + (SHARE - 1) * (time.monotonic() - begun)
        self._alone = None
        self._places = {name: place for place, name in enumerate(_names(gathered))}

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
        if self._gathered is None:
            return Snapshot((), ())
        stack, first = self._gathered.stack, FrameHeader(0, (0, 0), np.dtype("u1"), -1)
        size = stack.frame_shape[0] * stack.frame_shape[1] * stack.stored.itemsize
        header = first._replace(size=size, mtime_ns=self._ended)
        own = list(self._taken) if names is None else [name for name in names if name in self._taken]
        return Snapshot(tuple(FrameName(name, 1, self._places.get(name, 0)) for name in own), (header,) * len(own))

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
            names = [file.name for file in snapshot.files]
            return self._alone.isel(time=[self._places[name] for name in names]), tuple(names)
        gathered = self._gather(self.opening.on_error)
        scan, names = described(self._source(), gathered, self.opening, self.chosen), list(_names(gathered))
        if self._ended:
            return scan, tuple(names)
        known = {file.name for file in snapshot.files}
        kept = [place for place, name in enumerate(names) if name in known]
        return scan.isel(time=kept), tuple(names[place] for place in kept)


def _names(gathered: Gathered) -> tuple[str, ...]:
    """Name each frame by scan and number: they stay what they are when more come."""
    return tuple(f"{scan}:{frame}" for scan, frame in zip(gathered.scan.tolist(), gathered.frame.tolist(), strict=True))
