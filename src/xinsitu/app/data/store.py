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
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import FrameError, XinsituError, collected
from xinsitu.physics.corrections.apply import Correction, correct
from xinsitu.physics.stored import runs
from xinsitu.schema import image_of
from xinsitu.variables import held_elsewhere

from .held import Held
from .marks import Marks, in_common, leading, places_of
from .memory import give_back
from .single_frames import Alone
from .source import Source
from .tiles import Blocks, Ordered, Through, Tiles
from .unchanged import refuse_other_shape, same_files

MEMORY = 2 * 2**30
"""Bytes of frames kept in memory; a larger stack gets a tiled copy on disc."""
BLOCK_BYTES = 48 * 2**20
"""Frames are read in blocks of about this size: small, so that a frame that someone wants to see does not wait."""
GLIMPSE = 5
"""Frames that stand for all of a run at the first look: each is read before the page is there."""

Faults = dict[int, str]
"""Why frames cannot be read, by their positions."""
Of = tuple[xr.Dataset, Faults]
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
        self.faults: Faults = {}
        self.note, self.version = "", 0  # how often frames that were there have become others
        self.trouble = ""  # what is wrong on the disc, as long as it is so
        self._marks, self._given = np.arange(self.n_frames), self.n_frames
        self._memory, self._folder = memory, folder
        self._held = Held()
        self._places = np.full(self.n_frames, -1)  # among them, -1 of frames that are not there
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
    def _step(self) -> int:
        """Frames that are read at once."""
        return max(1, BLOCK_BYTES // max(1, image_of(self.data)[:1].nbytes))

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
        self._end_reading()
        with self._lock:
            self._held, self.faults, self._roomless = Held(), {}, False
            self._found()
            self._forget_scratch()

    def _end_reading(self) -> None:
        self._stop.set()
        if (thread := self._thread) is not None and thread is not threading.current_thread():
            thread.join(timeout=30)
        self._thread = None

    def _found(self) -> None:
        """Find where the frames are among those that were read, as these or those have become others."""
        self._places = places_of(self._marks, self._held.marks)
        if not self._roomless:
            self._loaded = leading(self._places >= 0)
        self._loaded = min(self._loaded, self.n_frames)
        self._key, self._ready, self._last = uuid.uuid4().hex, None, (None, 0, self.data)

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
        step = self._step
        while not self._ends():
            room = self._room(int(np.count_nonzero(self._places < 0))) if self.tiled else step
            if not room:  # ROIs are read from the frames themselves
                self._loaded = self.n_frames
                continue
            with self._lock:
                first, version, of = self._loaded, self.version, (self.data, self.faults)
                lacking = self._places[first : first + min(step, room)] < 0
            frames = slice(first, first + leading(lacking))
            pixels = self._read(frames, of=of)
            with self._lock:
                if self._stop.is_set():
                    return
                if version == self.version:  # otherwise others stand there by now
                    self._take(pixels, frames)

    def _take(self, pixels: npt.NDArray[Any], frames: slice) -> None:
        """Hold frames that were read; those behind them may be there already."""
        first = len(self._held.marks)
        self._held.append(pixels, self._marks[frames])
        self._places[frames] = np.arange(first, first + len(pixels))
        self._loaded += leading(self._places[self._loaded :] >= 0)

    def _ends(self) -> bool:
        """Whether this thread has nothing more to read; who has frames for it from now on starts another one."""
        with self._lock:
            if self._loaded < self.n_frames and not self._stop.is_set():
                return False
            if self._thread is threading.current_thread():
                self._thread = None
            return True

    def _room(self, lacking: int) -> int:
        """Return how many frames the tiled copy has room for, more if it is full; 0: the disc has none left.

        What was in memory, while the frames were fewer, moves into it.
        """
        if self._roomless or (self._held.tiled and self._held.room):
            return 0 if self._roomless else self._held.room
        capacity = len(self._held.marks) if self._held.tiled else 0
        size = max(lacking + len(self._held.marks) - capacity, capacity // 4)  # few pieces, however often it grows
        tiles = self._make_tiles(image_of(self.data), size)
        if tiles is None:
            with self._lock:
                self._held, self._roomless, self._places = Held(), True, np.full(self.n_frames, -1)
            return 0
        self._held.enlarge(tiles)
        return self._held.room

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

    def _read(
        self, time: slice, y: slice = slice(None), x: slice = slice(None), *, of: Of | None = None
    ) -> npt.NDArray[Any]:
        data, faults = of or (self.data, self.faults)
        image = image_of(data)[:, y, x]
        try:
            return np.asarray(image[time].values)
        except (XinsituError, OSError) as error:
            if (middle := (time.start + time.stop) // 2) > time.start:  # of many one may be bad: few pieces are read
                halves = slice(time.start, middle), slice(middle, time.stop)
                return np.concatenate([self._read(half, y, x, of=of) for half in halves])
            faults[time.start] = str(error)
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
        new, self.trouble = source.data, source.trouble
        known, come = self.n_frames, int(new.sizes["time"])
        refuse_other_shape(source.name, self.data, new)
        kept = same_files(self.source.parts, source.parts) if source.kept is None else source.kept
        same = min(in_common(self.data, new), kept)
        if same == known == come:
            self.source = replace(source, data=self.data)  # what was left out, and why, may be new
            return 0
        if same < known:
            self._end_reading()
        marks, faults = self._marked(source, same), {at: why for at, why in self.faults.items() if at < same}
        if same < known and self._wanted:
            self._read_late(marks, (new, faults))
        with self._lock:  # who asks for version and frames meanwhile gets those of one moment
            if same < known:
                self._held.thin(marks)
                self.faults, self.version = faults, self.version + 1
            self.source, self.data, self._marks = source, new, marks
            self._found()
        if self._wanted:  # nobody looks otherwise, and whoever comes starts it
            self.start()
        give_back()
        return come - known

    def _marked(self, source: Source, same: int) -> Marks:
        """Mark frames: as before the first ones, and those behind whose files are as they were."""
        come = int(source.data.sizes["time"])
        marks = np.arange(self._given, self._given + come)
        marks[:same] = self._marks[:same]
        if self.source.states:
            before = zip(self.source.states[same:], self._marks[same:].tolist(), strict=True)
            known = {state: mark for at, (state, mark) in enumerate(before, same) if at not in self.faults}
            for place, state in enumerate(source.states[same:], same):
                marks[place] = known.get(state, marks[place])
        self._given += come
        return marks

    def _read_late(self, marks: Marks, of: Of) -> None:
        """Read the few frames that came late before these are shown, so that those behind them stay at hand."""
        there = places_of(marks, self._held.marks) >= 0
        lacking = ~there[: int(np.max(np.flatnonzero(there), initial=0))]
        few = int(np.count_nonzero(lacking))
        if 0 < few <= min(self._step, self._room(few) if self.tiled else few):
            late = [self._read(run, of=of) for run in runs(lacking)]
            self._held.append(np.concatenate(late), marks[: len(lacking)][lacking])

    # -- use ----------------------------------------------------------------------------------------------------------

    def measurable(self) -> xr.Dataset:
        """Return the frames that are at hand, as a Dataset that any function of xinsitu takes."""
        return self.at_hand()[0]

    def at_hand(self) -> tuple[xr.Dataset, Marks]:
        """Return :meth:`measurable` frames and their marks: frames of one mark are the same."""
        if self._resident:
            return self.data, self._marks
        with self._lock:
            loaded, pieces, places, key = self._loaded, list(self._held.pieces), self._places.copy(), self._key
            everything = self.data
            if self._ready is not None and self._ready[0] == (key, loaded):
                return self._ready[1], self._marks[:loaded]
            marks = self._marks[:loaded]
        if not loaded:
            return everything.isel(time=slice(0, 0)), marks
        data, original = everything.isel(time=slice(0, loaded)), image_of(everything)
        stack: Ordered
        if pieces:
            stack, frames = Blocks(pieces, places[:loaded]), max(50, -(-loaded // TASKS))
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
            there = data is self.data and self._places[position] >= 0 and not self._held.tiled
            blocks = Blocks(self._held.pieces, self._places[[position]]) if there else None
        if blocks is not None:
            return one.assign(image=held_elsewhere(image_of(one), blocks[:, :, :].copy()))  # the block may go
        return one.load() if self._resident else one.compute()
