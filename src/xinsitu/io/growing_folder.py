"""A folder of frames that grows: each look takes what is new, and works no more the more there is.

The next numbers, and those that are missing, are asked for by name; of the folder a part is listed, and of the frames
that are known a part is held against what they were, in turn. So a frame comes with the next look, one of an
unexpected name or one that was written anew a few looks later, and nothing stays unseen.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice

import xarray as xr

from xinsitu.errors import LayoutError, warn
from xinsitu.schema import FrameStatus

from .discover import FrameName, group, look
from .faults import WRITING
from .formats.header import FrameFault, FrameHeader
from .formats.reading import Sibling, decode, read_header, sibling
from .formats.zarr_stack import attributes_of
from .frame_table import FrameTable, Turn
from .gather import gather
from .instruments import PATTERNS
from .opening import described
from .options import OpenOptions
from .paths import NEWEST, Source, hdf5_files
from .recognition import Chosen, choose_instrument

AT_ONCE = 400
"""Frames that one look takes at most: the others come with the next ones."""
LISTED, HELD, NEWEST_HELD, ASKED = 1500, 150, 1000, 50
"""Entries of the folder, known frames, newest frames and missing numbers that one look goes through."""
RECENT = 2 * NEWEST_HELD
"""Newest frames, which have a turn of their own, as a frame is written anew soon or hardly ever."""
LATE = 3
"""Numbers in a row that may be missing before the next one is not asked for: these frames are late."""
MISSING = 2000
"""Missing numbers that are asked for by name; older ones are found in the list of the folder."""
PATIENCE = 0.5
"""Seconds without a byte after which frames no longer wait for the one before them."""
SETTLED = 0.05
"""Seconds that a file must have been left alone: clocks of file systems tick a few milliseconds at a time."""


@dataclass(frozen=True)
class Snapshot:
    """The whole frames at one moment, in the order of their numbers; read when they are asked for, in any thread.

    ``place``: how many lie before them, where these are not all.
    """

    read: Callable[[], Iterable[tuple[FrameName, FrameHeader | FrameFault]]] = field(repr=False)
    place: int = 0

    @cached_property
    def _pairs(self) -> list[tuple[FrameName, FrameHeader | FrameFault]]:
        return sorted(self.read(), key=lambda pair: (*pair[0].number, pair[0].name))

    @property
    def files(self) -> tuple[FrameName, ...]:
        """Names and numbers."""
        return tuple(file for file, _ in self._pairs)

    @property
    def headers(self) -> tuple[FrameHeader | FrameFault, ...]:
        """Headers, or what is wrong."""
        return tuple(header for _, header in self._pairs)

    @property
    def states(self) -> dict[str, tuple[int, int]]:
        """Size and modification time of each frame."""
        return {file.name: (one.size, one.mtime_ns) for file, one in self._pairs if isinstance(one, FrameHeader)}


class GrowingFolder:
    """The frames of one measurement whose folder grows, and need not be there yet.

    Parameters
    ----------
    path
        Folder of frames in files of their own.
    opening
        How they are opened.
    now
        The clock; file systems have their own, and are believed.

    Raises
    ------
    LayoutError
        The path is a file or a store, or ``fill_missing`` is asked for: a missing frame may still come.
    """

    def __init__(
        self, path: str | os.PathLike[str], opening: OpenOptions | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        self.folder = os.path.abspath(os.path.expanduser(os.fspath(path)))
        self.opening = opening or OpenOptions(on_error="skip")
        self._start = os.path.join(self.folder, "")
        if os.path.isfile(self.folder) or attributes_of(self.folder) is not None:
            raise LayoutError(f"{self.folder}: this is a file or Zarr store; a folder that frames go to can be watched")
        if self.opening.fill_missing:
            raise LayoutError(f"{self.folder}: a frame that is missing may still come; fill_missing is for opening")
        self.given_up: dict[str, FrameFault] = {}
        self.removed: set[str] = set()
        self._now = now
        self._chosen: Chosen | None = None
        self._name, self._suffix = "", ""
        self._states: dict[str, tuple[int, int]] = {}  # of those that were given up; the table has the others'
        self._table = FrameTable()
        self._new: dict[str, None] = {}
        self._waiting: dict[str, None] = {}
        self._missing: dict[str, None] = {}
        self._last: dict[int, FrameName] = {}
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._listing: Iterator[str] = iter(())
        self._turns = (
            Turn(lambda: list(self._recent), NEWEST_HELD),
            Turn(lambda: chain(self._table.names(), list(self.given_up)), HELD),
        )  # fmt: skip
        self._like: Sibling | None = None
        self._opened: dict[int, tuple[FrameName, FrameHeader]] = {}  # where all are opened now and then

    def __len__(self) -> int:
        """Whole frames."""
        return len(self._table)

    @property
    def pending(self) -> int:
        """Frames that are still being written, or that nobody has looked at."""
        return len(self._new) + len(self._waiting)

    @property
    def chosen(self) -> Chosen:
        """The instrument; known from the first frame on."""
        if self._chosen is None:
            raise LayoutError(f"{self.folder}: there are no frames yet")
        return self._chosen

    # -- looking ------------------------------------------------------------------------------------------------------

    def look(self) -> list[str]:
        """Return the names of frames that have become whole since the last look, in the order of their numbers.

        One that was written anew comes again, when it is whole.
        """
        if self._chosen is None and not self._begin():
            return []
        for name in (*self._next_ones(), *self._late_ones(), *islice(self._listed(), LISTED)):
            self._note(name)
        for turn in self._turns:
            for name in turn.some():
                self._hold(name)
        return self._whole(list(islice(self._waiting, AT_ONCE)) + list(islice(self._new, AT_ONCE)))

    def settle(self) -> list[str]:
        """Look through the whole folder and at every frame, and return the names of those that came or changed."""
        if self._chosen is None and not self._begin():
            return []
        for name in self._names():
            self._note(name)
        for name in [*self.given_up, *self._table.names()]:
            self._hold(name)
        return self._whole([*self._waiting, *self._new])

    def _begin(self) -> bool:
        """Find the series of frames and its instrument, once there is a whole frame."""
        try:
            found = look(self.folder)
        except LayoutError:
            return False
        if not found.series and hdf5_files(found, PATTERNS):
            raise LayoutError(
                f"{self.folder}: of a folder, frames in files of their own can be watched, and these are HDF5 files: "
                f"watch {hdf5_files(found, PATTERNS)[0].name} itself"
            )
        if not any(self._is_whole(file.name) for series in found.series for file in islice(series.files, LISTED)):
            return False  # the next look will see more
        chosen = choose_instrument(self.opening.instrument, self.folder)
        series, asked = look(self.folder, chosen.table.patterns).series, self.opening.series
        if asked not in (None, NEWEST):
            series = tuple(one for one in series if asked in (one.name, one.pattern))
        if not series:
            return False
        if len(series) > 1:
            warn(f"{self.folder}: {len(series)} series of frames; {series[0]} is watched, choose another with series=")
        (own,), _ = group([series[0].files[0].name], chosen.table.patterns)
        self._chosen, self._name, self._suffix = chosen, own.name, own.suffix
        for file in series[0].files:
            self._add(file)
        return True

    def _is_whole(self, name: str) -> bool:
        try:
            one = read_header(self._start + name)
        except FrameFault:
            return False
        if one.pages > 1:
            raise LayoutError(f"{self.folder}: frames in files of their own can be watched, and {name} holds several")
        return True

    def _note(self, name: str) -> None:
        """Take notice of a name, if it is a frame of the series that nobody has seen."""
        if name in self._table or not name.lower().endswith(self._suffix):
            return
        found, _ = group([name], self.chosen.table.patterns)
        # a scan that does not follow another one of the name is another series
        if found and found[0].name == self._name and any(abs(found[0].scans[0] - scan) <= 1 for scan in self._last):
            self._add(found[0].files[0])

    def _add(self, file: FrameName) -> None:
        self._table.add(file)
        self._new[file.name] = None
        self._missing.pop(file.name, None)
        last = self._last.setdefault(file.scan, file)
        if file.frame <= last.frame:
            return
        self._last[file.scan] = file
        between = range(max(last.frame + 1, file.frame - MISSING), file.frame)
        missing = [self._called(last, number) for number in between]
        self._missing.update(dict.fromkeys(missing))
        for name in filter(self._is_there, missing):  # came after it was asked for, and before the one behind it
            self._note(name)
        for old in list(islice(self._missing, max(0, len(self._missing) - MISSING))):
            del self._missing[old]

    def _called(self, like: FrameName, number: int) -> str:
        """Name of another frame of the scan, with as many digits."""
        stem, dot, ending = like.name.rpartition(".")
        matches = (re.fullmatch(pattern, stem) for pattern in self.chosen.table.patterns)
        first, behind = next(match.span("frame") for match in matches if match)
        return f"{stem[:first]}{number:0{behind - first}d}{stem[behind:]}{dot}{ending}"

    def _next_ones(self) -> Iterator[str]:
        """Names of the frames that follow the last one, as far as they are there."""
        if not self._last:
            return
        last, gap = self._last[max(self._last)], 0
        for number in range(last.frame + 1, last.frame + 1 + AT_ONCE):
            name = self._called(last, number)
            gap = 0 if self._is_there(name) else gap + 1
            if gap > LATE:
                return
            if not gap:
                yield name

    def _late_ones(self) -> list[str]:
        """Names that were missing and are there now; in turn, where there are many."""
        asked = list(islice(self._missing, ASKED))
        for name in asked:
            self._missing[name] = self._missing.pop(name)
        return [name for name in asked if self._is_there(name)]

    def _listed(self) -> Iterator[str]:
        """Names in the folder, from where the last look stopped."""
        yield from self._listing
        self._listing = self._names()

    def _names(self) -> Iterator[str]:
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    yield entry.name
        except OSError:  # gone for a while, as on a network disc
            return

    def _is_there(self, name: str) -> bool:
        return os.path.exists(self._start + name)

    def _hold(self, name: str) -> None:
        """Let a frame that was written anew wait to be whole again; one that was removed stays what it was."""
        known, now = self._table.state(name) or self._states.get(name), self._state(name)
        (self.removed.discard if now else self.removed.add)(name)
        if known is not None and now is not None and known != now:
            self.again(name)

    def again(self, name: str) -> None:
        """Let a frame that could not be read, or is written anew, wait to be whole."""
        self._table.drop(name)
        self._states.pop(name, None)
        self.given_up.pop(name, None)
        self._waiting[name] = None

    def _state(self, name: str) -> tuple[int, int] | None:
        """Size and modification time of a file; None where it is not there."""
        try:
            status = os.stat(self._start + name)
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    def _whole(self, names: Sequence[str]) -> list[str]:
        """Read the headers of new and waiting frames, and return the names of those that are whole."""
        whole = []
        for name in names:
            self._new.pop(name, None)
            self._waiting.pop(name, None)
            header = self._header(name)
            if header is None:
                self._waiting[name] = None  # behind all others that wait
            elif isinstance(header, FrameFault):
                self.given_up[name], self._states[name] = header, self._state(name) or (0, 0)
            else:
                self._table.set(name, header)
                self._recent.append(name)
                whole.append(name)
        return sorted(whole, key=lambda name: self._table.file(name).number)

    def _header(self, name: str) -> FrameHeader | FrameFault | None:
        """Header of a whole frame; None while it is being written, the fault of one that nobody writes any more."""
        path = self._start + name
        try:
            header = (self._like and self._like.header_of(path)) or read_header(path)
            changed = header.mtime_ns / 1e9
            if header.offset < 0 and self._since(changed) < WRITING:
                decode(path, 0)  # only decoding tells whether all is there
        except (FrameFault, OSError) as fault:
            state = self._state(name)
            writing = state is None or self._since(state[1] / 1e9) < WRITING
            return None if writing or not isinstance(fault, FrameFault) else fault
        if self._like is None:
            self._like = sibling(path, header)
        return None if self._since(changed) < (WRITING if header.hollow else SETTLED) else header

    def _since(self, changed: float) -> float:
        """Seconds since a moment; the clock of the disc may be ahead."""
        return abs(self._now() - changed)

    # -- opening ------------------------------------------------------------------------------------------------------

    def snapshot(self, names: Sequence[str] | None = None, *, faulty: bool = False) -> Snapshot:
        """Return the whole frames, or those of some names; ``faulty``: and all that are none, with what is wrong."""
        read = self._table.reader(self._table.whole(names))
        if not faulty:
            return Snapshot(read)
        found: dict[str, FrameHeader | FrameFault] = dict(self.given_up)
        pending, gone = {name: _read(self._start + name) for name in self._pending()}, FrameStatus.MISSING
        found |= {name: one for name, one in pending.items() if getattr(one, "status", None) != gone}
        pairs = [(self._table.file(name), one) for name, one in found.items()]
        return Snapshot(lambda: [*read(), *pairs])

    def _pending(self) -> list[str]:
        return [*self._waiting, *self._new]

    def tail(self, names: Iterable[str], before: int) -> Snapshot:
        """Return the whole frames from the first of some names on, and so many before it."""
        whole = self._table.whole()
        place = max(0, self._table.behind(whole, min(self._table.file(name).number for name in names)) - before)
        return Snapshot(self._table.reader(whole[place:]), place)

    def in_order(self, shown: tuple[int, int] = (-1, -1)) -> Snapshot:
        """Return the whole frames before the first one that is still being written: what follows comes with it.

        Up to the number that was ``shown`` nothing is held up, and nothing by a frame that nobody has written to for
        :data:`PATIENCE` seconds: it is late.
        """
        whole = self._table.whole()
        numbered = ((name, self._table.file(name).number) for name in self._pending())
        waiting = [number for name, number in numbered if number > shown and (name in self._new or self._goes_on(name))]
        some = whole[: self._table.behind(whole, min(waiting))] if waiting else whole
        return Snapshot(self._table.reader(some, self._opened))

    def _goes_on(self, name: str) -> bool:
        state = self._state(name)
        return state is not None and self._since(state[1] / 1e9) < PATIENCE

    def open(self, snapshot: Snapshot, *, alone: bool = False) -> tuple[xr.Dataset, tuple[str, ...]]:
        """Open frames as :func:`~xinsitu.open_measurement` does, their image lazy, and say their names.

        ``alone``: a few frames by themselves, without the log, whatever their times are. The last frames have a log
        where it tells by names or times which point is whose.

        Raises
        ------
        XinsituError
            As there.
        """
        tail = snapshot.place > 0
        how = replace(self.opening, order_error="ignore") if alone or tail else self.opening
        how = replace(how, logs=None) if alone else how
        newest = how.series == NEWEST and not (alone or tail)
        gathered = gather(
            self.folder, snapshot.files, on_error=how.on_error, newest=newest, headers=snapshot.headers
        )  # fmt: skip
        source = Source(self.folder, snapshot.files, self.folder)
        return described(source, gathered, how, self.chosen, last=tail, growing=True), gathered.stack.names


def _read(path: str) -> FrameHeader | FrameFault:
    try:
        return read_header(path)
    except FrameFault as fault:
        return fault
