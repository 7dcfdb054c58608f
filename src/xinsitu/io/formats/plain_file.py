"""A file for HDF5 to write to which never fails it.

Where a disc is full or a limit of file size is reached, the HDF5 library fails while it closes the file and ends the
whole process by a signal. So it writes through plain file calls of ours: what the disc refuses is kept in memory until
the library has let go of the file, and is an ordinary error then.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from .descriptors import read_at, write_at


class PlainFile:
    """A new file with the methods that ``h5py.File(file, ...)`` asks for; leaving its block raises what went wrong.

    Examples
    --------
    >>> import h5py, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with PlainFile(path) as plain, h5py.File(plain, "w") as file:
    ...     file["x"] = 3
    >>> with h5py.File(path) as file:
    ...     int(file["x"][()])
    3
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        self._position = self._end = 0
        self._kept: list[tuple[int, bytes]] = []
        self._fault: OSError | None = None

    def __enter__(self) -> PlainFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if self._fault is not None:  # also where the library stumbled over what it could not write
            raise self._fault from None

    def check(self) -> None:
        """Raise what the disc refused so far, before more work is done.

        Raises
        ------
        OSError
            The disc is full, or a limit of file size is reached.
        """
        if self._fault is not None:
            raise self._fault

    def write(self, content: Any) -> int:  # noqa: ANN401 - any buffer
        """Write at the position; what the disc refuses, and everything after it, stays in memory."""
        view = memoryview(content).cast("B")
        if self._fault is None:
            try:
                done = 0
                while done < len(view):
                    done += write_at(self._descriptor, view[done:], self._position + done)
            except OSError as fault:
                self._fault = fault
        if self._fault is not None:
            self._kept.append((self._position, bytes(view)))
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Read what was written, wherever it is."""
        view = memoryview(buffer).cast("B")
        first, count = self._position, max(0, min(len(view), self._end - self._position))
        view[:count] = bytes(count)
        done = 0
        while done < count and (got := read_at(self._descriptor, view[done:count], first + done)):
            done += got
        for position, content in self._kept:
            start, stop = max(first, position), min(first + count, position + len(content))
            if start < stop:
                view[start - first : stop - first] = content[start - position : stop - position]
        self._position += count
        return count

    def read(self, size: int) -> bytes:
        """Read so many bytes."""
        content = bytearray(size)
        return bytes(content[: self.readinto(content)])

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        self._end = self._position if size is None else size
        if self._fault is None:
            try:
                os.ftruncate(self._descriptor, self._end)
            except OSError as fault:
                self._fault = fault
        return self._end

    def flush(self) -> None:
        """Do nothing: nothing waits."""
