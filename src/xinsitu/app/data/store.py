"""The frames behind an explorer: read once in the background, kept in memory or as a tiled copy, shared by all tabs."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import FrameError, XinsituError, collected
from xinsitu.physics.corrections.apply import Correction, correct
from xinsitu.schema import image_of
from xinsitu.variables import held_elsewhere

from .marks import Marks
from .memory import give_back
from .single_frames import Alone
from .source import Source
from .tiles import Blocks, Through, Tiles

MEMORY = 2 * 2**30
"""Bytes of frames kept in memory; a larger stack gets a tiled copy on disc."""
BLOCK_BYTES = 48 * 2**20
"""Frames are read in blocks of about this size: small, so that a frame that someone wants to see does not wait."""
GLIMPSE = 5
"""Frames that stand for all of a run at the first look: each is read before the page is there."""

Piece = TypeVar("Piece", npt.NDArray[Any], Tiles)
TASKS = 8
"""Blocks in which a curve is computed: few, as each costs half a millisecond beside its work."""


class FrameStore:
    """All frames of a measurement or sample, quickly at hand.

    Nothing is read before :meth:`start`. Reading goes on in one thread; :attr:`loaded` frames can be measured at any
    moment. A frame that cannot be read is noted in :attr:`faults` and stands as zeros, to be masked by whoever
    measures.

    Parameters
    ----------
    source
        What is explored; where it can be opened again, :meth:`refresh` finds frames that have come since.
    memory
        Bytes of frames to keep in memory at most.
    folder
        Where a tiled copy goes; None: the system's folder for temporary files.
    """

    def __init__(self, source: Source, *, memory: int = MEMORY, folder: Path | None = None) -> None:
        self.source, self.data = source, source.data
        # whether the data came in memory already; xarray has no question that does not load
        self._resident = isinstance(image_of(self.data).variable._data, np.ndarray)
        self.faults: dict[int, str] = {}
        self.note, self.version = "", 0  # how often frames that were there have become others
        self._marks, self._given = np.arange(self.n_frames), self.n_frames
        self._memory, self._folder = memory, folder
        self._blocks: list[npt.NDArray[Any]] = []
        self._tiles: list[Tiles] = []
        self._roomless = False
        self._loaded = 0
        self._key = uuid.uuid4().hex
        self._wanted = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._scratch: Path | None = None
        self._glimpse: tuple[tuple[Correction | None], npt.NDArray[np.float32]] | None = None
        self._last: tuple[xr.Dataset | None, int, xr.Dataset] = (None, 0, self.data)
        self._alone: tuple[tuple[Correction, int], Alone] | None = None
        self._ready: tuple[tuple[str, int], xr.Dataset] | None = None

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def n_frames(self) -> int:
        """Frames of the stack, read or not."""
        return int(self.data.sizes["time"])

    @property
    def loaded(self) -> int:
        """Frames that can be measured quickly."""
        return self.n_frames if self._resident else self._loaded

    @property
    def complete(self) -> bool:
        """Whether everything is at hand."""
        return self.loaded >= self.n_frames

    @property
    def tiled(self) -> bool:
        """Whether the frames are too many for the memory."""
        return not self._resident and image_of(self.data).nbytes > self._memory

    # -- reading ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Read all frames in the background, where they are not at hand already."""
        with self._lock:
            self._wanted = True
            running = self._thread is not None and self._thread.is_alive()
            if self._resident or running or self.complete:
                return
            self._stop.clear()
            self._thread = threading.Thread(target=self._read_all, name="xinsitu-frames", daemon=True)
            self._thread.start()

    def release(self) -> None:
        """Stop reading, and give memory and disc space back; :meth:`start` begins anew."""
        self._wanted = False
        self._forget()
        give_back()

    def _forget(self) -> None:
        """Stop reading, and forget the frames."""
        self._keep(0)
        with self._lock:
            self._roomless = False
            self._forget_scratch()

    def _keep(self, frames: int) -> None:
        """Stop reading, and forget all but the first frames."""
        self._end_reading()
        with self._lock:
            self._cut(frames)

    def _end_reading(self) -> None:
        self._stop.set()
        if (thread := self._thread) is not None and thread is not threading.current_thread():
            thread.join(timeout=30)

    def _cut(self, frames: int) -> None:
        self._blocks, self._tiles = _first(self._blocks, frames), _first(self._tiles, frames)
        self._loaded, self._thread, self._ready = min(self._loaded, frames), None, None
        self._key = uuid.uuid4().hex
        self._last = None, 0, self.data
        self.faults = {position: why for position, why in self.faults.items() if position < frames}

    def _forget_scratch(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until everything is read."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _read_all(self) -> None:
        image = image_of(self.data)
        step = max(1, BLOCK_BYTES // max(1, image[:1].nbytes))
        while not self._ends():
            first = self._loaded
            room = self._room(image, first) if self.tiled else self.n_frames
            if not room:  # ROIs are read from the frames themselves
                self._loaded = self.n_frames
                continue
            frames = self._read(slice(first, min(first + step, room, self.n_frames)))
            with self._lock:
                if self._stop.is_set():
                    return
                if self._tiles:
                    self._tiles[-1].write(first - room + len(self._tiles[-1]), frames)
                else:
                    self._blocks.append(frames)
                self._loaded = first + len(frames)

    def _ends(self) -> bool:
        """Whether this thread has nothing more to read; who has frames for it from now on starts another one."""
        with self._lock:
            if self._loaded < self.n_frames and not self._stop.is_set():
                return False
            if self._thread is threading.current_thread():
                self._thread = None
            return True

    def _room(self, image: xr.DataArray, first: int) -> int:
        """Return up to which frame the tiled copy has room, more if it is full; 0: the disc has none left.

        What was in memory, while the frames were fewer, moves into it.
        """
        capacity = sum(map(len, self._tiles))
        if first < capacity or self._roomless:
            return 0 if self._roomless else capacity
        size = max(self.n_frames - capacity, capacity // 4)  # few pieces, however often it grows
        tiles = self._make_tiles(image, size)
        with self._lock:
            blocks = list(self._blocks)
            if tiles is None:
                self._tiles, self._blocks, self._roomless = [], [], True
                return 0
        at = 0
        for block in blocks:
            tiles.write(at, block)
            at += len(block)
        with self._lock:
            self._blocks = []
            self._tiles = [*self._tiles, tiles]
        return capacity + size

    def _make_tiles(self, image: xr.DataArray, frames: int) -> Tiles | None:
        """Make a piece of the tiled copy; None without enough disc space."""
        room = Path(tempfile.gettempdir()) if self._folder is None else self._folder
        wanted = frames * image[:1].nbytes
        try:
            if shutil.disk_usage(room).free < 1.2 * wanted:
                raise OSError(errno.ENOSPC, "no room")
            if self._scratch is None:
                self._scratch = Path(tempfile.mkdtemp(prefix="xinsitu-", dir=room))
            return Tiles(self._scratch / "tiles", (frames, image.sizes["y"], image.sizes["x"]), image.dtype)
        except OSError:
            self._forget_scratch()
            self.note = f"{room} has no room for a tiled copy of {wanted / 2**30:.1f} GB: curves are slow"
            return None

    def _read(self, time: slice, y: slice = slice(None), x: slice = slice(None)) -> npt.NDArray[Any]:
        image = image_of(self.data)[:, y, x]
        try:
            return np.asarray(image[time].values)
        except (XinsituError, OSError) as error:
            if (middle := (time.start + time.stop) // 2) > time.start:  # of many one may be bad: few pieces are read
                halves = slice(time.start, middle), slice(middle, time.stop)
                return np.concatenate([self._read(half, y, x) for half in halves])
            self.faults[time.start] = str(error)
            return np.zeros((1, image.sizes["y"], image.sizes["x"]), dtype=image.dtype)

    # -- a measurement that grows -------------------------------------------------------------------------------------

    def refresh(self) -> int:
        """Open the data again and return the number of new frames; a frame that is still being written waits.

        They are read if the others are: after :meth:`release` only :meth:`start` reads again.

        Raises
        ------
        XinsituError
            The data can no longer be opened.
        """
        if self.source.reopen is None:
            return 0
        source = self.source.reopen()
        new = source.data
        known, come = self.n_frames, int(new.sizes["time"])
        same = min(_in_common(self.data, new), known if source.kept is None else source.kept)
        if same == known == come:
            self.source = replace(source, data=self.data)  # what was left out, and why, may be new
            return 0
        if same < known:
            self._end_reading()
        marks = self._marked(source, same)
        with self._lock:  # who asks for version and frames meanwhile gets those of one moment
            if same < known:
                self._cut(same)
                self.version += 1
            self.source, self.data, self._marks = source, new, marks
        if self._wanted:  # nobody looks otherwise, and whoever comes starts it
            self.start()
        give_back()
        return come - known

    def _marked(self, source: Source, same: int) -> Marks:
        """Mark frames: as before the first ones, and those behind whose files are as they were."""
        come = int(source.data.sizes["time"])
        marks = np.arange(self._given, self._given + come)
        self._given += come
        marks[:same] = self._marks[:same]
        if self.source.states:
            before = zip(self.source.states[same:], self._marks[same:].tolist(), strict=True)
            known = {state: mark for at, (state, mark) in enumerate(before, same) if at not in self.faults}
            for place, state in enumerate(source.states[same:], same):
                marks[place] = known.get(state, marks[place])
        return marks

    # -- use ----------------------------------------------------------------------------------------------------------

    def measurable(self) -> xr.Dataset:
        """Return the frames that are at hand, as a Dataset that any function of xinsitu takes."""
        return self.at_hand()[0]

    def at_hand(self) -> tuple[xr.Dataset, Marks]:
        """Return :meth:`measurable` frames and their marks: frames of one mark are the same."""
        if self._resident:
            return self.data, self._marks
        with self._lock:
            loaded, blocks, tiles, key = self._loaded, list(self._blocks), list(self._tiles), self._key
            everything = self.data
            if self._ready is not None and self._ready[0] == (key, loaded):
                return self._ready[1], self._marks[:loaded]
            marks = self._marks[:loaded]
        if not loaded:
            return everything.isel(time=slice(0, 0)), marks
        data, original = everything.isel(time=slice(0, loaded)), image_of(everything)
        stack: Blocks | Tiles | Through
        if blocks or tiles:
            stack, frames = Blocks(blocks or tiles), max(50, -(-loaded // TASKS))
        else:
            stack = Through((loaded, original.sizes["y"], original.sizes["x"]), original.dtype, self._read)
            frames = max(1, BLOCK_BYTES // max(1, original[:1].nbytes))
        array = da.from_array(
            stack, chunks=(frames, -1, -1), name=f"frames-{key}-{loaded}", meta=np.empty((0, 0, 0), stack.dtype)
        )
        ready = data.assign(image=held_elsewhere(image_of(data), array[:loaded]))
        with self._lock:
            self._ready = (key, loaded), ready
        return ready, marks

    def image(self, position: int, correction: Correction | None = None) -> xr.DataArray:
        """One frame, dims ``(y, x)``, raw or corrected.

        Raises
        ------
        FrameError
            The frame cannot be read.
        """
        one = self.around(position)
        if correction is None:
            return image_of(one).isel(time=0).compute()
        alone = self.alone(correction)
        corrected = image_of(correct(one, alone.correction)).isel(time=0).compute()
        return corrected if alone.factor == 1 else corrected.copy(data=corrected.values * np.float32(alone.factor))

    def glimpse(self, correction: Correction | None = None) -> npt.NDArray[np.float32]:
        """Return a few frames from all of the run, dims ``(time, y, x)``; without those that cannot be read."""
        if self._glimpse is None or self._glimpse[0] != (correction,):
            found = []
            for position in np.unique(np.linspace(0, self.n_frames - 1, GLIMPSE).round().astype(int)):
                with contextlib.suppress(XinsituError, OSError), collected():
                    found.append(self.image(int(position), correction).values.astype("float32"))
            self._glimpse = (
                (correction,),
                np.array(found, dtype="float32").reshape(len(found), *image_of(self.data).shape[1:]),
            )
        return self._glimpse[1]

    def alone(self, correction: Correction) -> Alone:
        """Return what is done to a single frame so that it is corrected as among all frames that are at hand."""
        key = correction, self.loaded
        if self._alone is None or self._alone[0] != key:
            self._alone = key, Alone.of(correction, self.measurable() if self.loaded else self.data.isel(time=[0]))
        return self._alone[1]

    def around(self, position: int) -> xr.Dataset:
        """Return a Dataset of one frame, from memory where it is there.

        Raises
        ------
        FrameError
            The frame cannot be read.
        """
        if position in self.faults:
            raise FrameError(f"frame {position}", self.faults[position])
        data, (of, at, last) = self.data, self._last
        if of is not data or at != position:  # image, states and cut-outs of a frame ask for the same one
            last = self._frame(data, position)
            self._last = data, position, last
        return last

    def _frame(self, data: xr.Dataset, position: int) -> xr.Dataset:
        one = data.isel(time=slice(position, position + 1))
        with self._lock:
            blocks = self._blocks if position < self._loaded and not self._tiles else []
        first = 0
        for block in blocks:
            if position < first + len(block):
                values = block[position - first : position - first + 1].copy()  # the block may go
                return one.assign(image=held_elsewhere(image_of(one), values))
            first += len(block)
        return one.load() if self._resident else one.compute()


def _in_common(one: xr.Dataset, other: xr.Dataset) -> int:
    """How many frames, from the first on, are the same by name; times of one second are spread anew as more come."""
    names = [name for name in ("measurement", "scan", "frame") if name in one.coords and name in other.coords]
    size, same = min(one.sizes["time"], other.sizes["time"]), []
    for name in names or ["time"]:  # of a single measurement its name is one for all frames
        mine, its = (np.broadcast_to(of[name].values, of.sizes["time"])[:size] for of in (one, other))
        same.append(mine == its)
    return int(np.argmin([*np.all(same, axis=0), False]))


def _first(pieces: list[Piece], frames: int) -> list[Piece]:
    """Return the pieces in which the first frames lie; one in memory is cut behind them."""
    found, start = [], 0
    for piece in pieces:
        if start >= frames:
            break
        found.append(piece[: frames - start] if isinstance(piece, np.ndarray) else piece)
        start += len(piece)
    return found
