"""What is known of the frames of a measurement that grows: some numbers each in memory, all else in a file of its own.

A night at a frame a second is 43,200 frames. As objects by name each would take a kB; here it is 80 bytes.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import tempfile
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from threading import Lock
from typing import IO

import numpy as np
import numpy.typing as npt

from .discover import FrameName
from .formats.header import FrameHeader

Positions = npt.NDArray[np.int64]


class Aside:
    """Pieces of bytes in a file without a name, which is gone with the object; in memory where it has no room."""

    _LENGTH = struct.Struct("<q")

    def __init__(self) -> None:
        self._file: IO[bytes] = io.BytesIO()
        with contextlib.suppress(OSError):
            self._file = tempfile.TemporaryFile(prefix="xinsitu-", buffering=0)  # noqa: SIM115 - as long as the object
        weakref.finalize(self, self._file.close)
        self._held: dict[int, bytes] = {}
        self._lock, self._end, self._longest = Lock(), 0, 0

    def put(self, piece: bytes) -> int:
        """Write a piece, and return where it is."""
        data, place = self._LENGTH.pack(len(piece)) + piece, self._end
        try:
            with self._lock:
                self._file.seek(place)
                written = self._file.write(data) == len(data)
        except OSError:
            written = False
        if not written:  # a disc that is full for a while costs memory, and no frame
            self._held[place] = piece
        self._end, self._longest = place + len(data), max(self._longest, len(data))
        return place

    def get(self, place: int) -> bytes:
        """Read a piece."""
        if (piece := self._held.get(place)) is not None:
            return piece
        with self._lock:
            self._file.seek(place)
            data = self._file.read(self._longest)
        (length,) = self._LENGTH.unpack_from(data)
        return data[self._LENGTH.size : self._LENGTH.size + length]


class Numbers:
    """A number for each name, 16 bytes a name: names are known by their hashes, of 64 bits.

    New ones are in a dict until they are many enough to be sorted in.

    Examples
    --------
    >>> numbers = Numbers()
    >>> numbers.put("run_7.tif", 3)
    >>> numbers.get("run_7.tif"), numbers.get("run_8.tif")
    (3, None)
    """

    MANY = 4096

    def __init__(self) -> None:
        self._names, self._numbers = array("q"), array("q")
        self._new: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._names) + len(self._new)

    def get(self, name: str) -> int | None:
        """Return the number of a name; None where it has none."""
        key = hash(name)
        if (number := self._new.get(key)) is not None:
            return number
        place = bisect_left(self._names, key)
        return self._numbers[place] if place < len(self._names) and self._names[place] == key else None

    def put(self, name: str, number: int) -> None:
        """Set the number of a name."""
        key = hash(name)
        place = bisect_left(self._names, key)
        if place < len(self._names) and self._names[place] == key:
            self._numbers[place] = number
            return
        self._new[key] = number
        if len(self._new) >= self.MANY:
            names = np.concatenate([np.array(self._names), np.fromiter(self._new.keys(), "i8", len(self._new))])
            numbers = np.concatenate([np.array(self._numbers), np.fromiter(self._new.values(), "i8", len(self._new))])
            order = np.argsort(names, kind="stable")
            self._names, self._numbers = (array("q", one[order].tobytes()) for one in (names, numbers))
            self._new = {}

    def copy(self) -> Numbers:
        """Return them as they are now, for another thread."""
        other = Numbers()
        other._names, other._numbers, other._new = self._names[:], self._numbers[:], dict(self._new)
        return other


class Turn:
    """Round after round through names, some at a time; what comes meanwhile is in the next round."""

    def __init__(self, names: Callable[[], Iterable[str]], at_once: int) -> None:
        self._names, self._at_once = names, at_once
        self._left: Iterator[str] = iter(())

    def some(self) -> list[str]:
        """Return the names whose turn it is."""
        found = list(islice(self._left, self._at_once))
        if not found:
            self._left = iter(self._names())
            found = list(islice(self._left, self._at_once))
        return found


class FrameTable:
    """Frames that were seen, and the headers of those that are whole."""

    def __init__(self) -> None:
        self._positions, self._aside = Numbers(), Aside()
        self._scans, self._frames, self._sizes, self._changed, self._places = (array("q") for _ in range(5))
        self._kinds: dict[FrameHeader, int] = {}
        self._kind: list[FrameHeader] = []
        self._whole = 0

    def __contains__(self, name: str) -> bool:
        return self._positions.get(name) is not None

    def __len__(self) -> int:
        """Frames that are whole."""
        return self._whole

    def _position(self, name: str) -> int:
        position = self._positions.get(name)
        if position is None:
            raise KeyError(name)
        return position

    def file(self, name: str) -> FrameName:
        """Return a name with its numbers."""
        position = self._position(name)
        return FrameName(name, self._scans[position], self._frames[position])

    def state(self, name: str) -> tuple[int, int] | None:
        """Size and modification time of a whole frame; None for any other."""
        position = self._positions.get(name)
        if position is None or self._places[position] < 0:
            return None
        return self._sizes[position], self._changed[position]

    def add(self, file: FrameName) -> None:
        """Take note of a frame that need not be whole."""
        self._positions.put(file.name, len(self._scans))
        for column, value in zip(self._columns(), (file.scan, file.frame, 0, 0, -1), strict=True):
            column.append(value)

    def _columns(self) -> tuple[array[int], ...]:
        return self._scans, self._frames, self._sizes, self._changed, self._places

    def set(self, name: str, header: FrameHeader) -> None:
        """Keep the header of a frame that is whole."""
        position = self._position(name)
        kind, own = _apart(header)
        number = self._kinds.setdefault(kind, len(self._kind))
        if number == len(self._kind):
            self._kind.append(kind)
        self._whole += self._places[position] < 0
        self._places[position] = self._aside.put(pickle.dumps((self.file(name), number, own)))
        self._sizes[position], self._changed[position] = header.size, header.mtime_ns

    def drop(self, name: str) -> None:
        """Let a frame be none that is whole."""
        position = self._position(name)
        self._whole -= self._places[position] >= 0
        self._places[position] = -1

    def names(self) -> Iterator[str]:
        """Names of the whole frames, in the order in which they came."""
        for position in range(len(self._places)):
            if (place := self._places[position]) >= 0:
                yield self._read(place)[0].name

    def whole(self, names: Iterable[str] | None = None) -> Positions:
        """Positions of the whole frames, or of those of some names, in the order of their numbers."""
        if names is None:
            positions = np.flatnonzero(np.array(self._places) >= 0)
        else:
            found = [position for name in names if (position := self._positions.get(name)) is not None]
            positions = np.array([one for one in found if self._places[one] >= 0], dtype="int64")
        scans, frames = self._numbered(positions)
        return positions[np.lexsort((frames, scans))]

    def behind(self, positions: Positions, number: tuple[int, int]) -> int:
        """Of frames in order, the place of the first one that has this number, or a higher one."""
        (scan, frame), (scans, frames) = number, self._numbered(positions)
        return int(np.count_nonzero((scans < scan) | ((scans == scan) & (frames < frame))))

    def _numbered(self, positions: Positions) -> tuple[Positions, Positions]:
        return np.array(self._scans)[positions], np.array(self._frames)[positions]

    def reader(
        self, positions: Positions, known: dict[int, tuple[FrameName, FrameHeader]] | None = None
    ) -> Callable[[], list[tuple[FrameName, FrameHeader]]]:
        """Return what reads the headers of frames as they are now, in any thread: for many it takes a while.

        What is ``known`` is not read again; afterwards that is what was read, a kB a frame.
        """
        places = np.array(self._places)[positions].tolist()

        def read() -> list[tuple[FrameName, FrameHeader]]:
            before = {} if known is None else known
            found = [before.get(place) or self._read(place) for place in places]
            if known is not None:
                known.clear()
                known.update(zip(places, found, strict=True))
            return found

        return read

    def _read(self, place: int) -> tuple[FrameName, FrameHeader]:
        file, kind, own = pickle.loads(self._aside.get(place))  # noqa: S301 - our own file, which has no name
        return file, _whole(self._kind[kind], own)


Own = tuple[int, int, str, int, int | None, tuple[tuple[str, str | float], ...], str | None]


def _apart(header: FrameHeader) -> tuple[FrameHeader, Own]:
    """Part a header into what it has in common with the frames of its kind, and its own."""
    text, stamp = header.text, header.text.stamp
    own = header.size, header.mtime_ns, header.stamp, header.hollow, header.utc, header.extra, stamp
    text = text if stamp is None else replace(text, stamp=None)
    return header._replace(size=0, mtime_ns=0, stamp="", hollow=0, utc=None, extra=(), text=text), own


def _whole(kind: FrameHeader, own: Own) -> FrameHeader:
    size, mtime_ns, stamp, hollow, utc, extra, told = own
    text = kind.text if told is None else replace(kind.text, stamp=told)
    return kind._replace(size=size, mtime_ns=mtime_ns, stamp=stamp, hollow=hollow, utc=utc, extra=extra, text=text)
