"""The pixels of a Zarr store as a lazy array ``(frame, y, x)``; frozen data, like the stack of files."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xinsitu.errors import FrameError, LayoutError
from xinsitu.kernels import UNREAD, lost

from .descriptors import is_ordinary
from .header import faults_of
from .stack import LazyStack, Pixels, Positions, check_unchanged, inside, removed

ROOT = "zarr.json"
IMAGE = "image"
COMPLETE = "every_chunk_is_stored"
"""Attribute, names of arrays, of a store in which a chunk that is not there was lost; others leave out what is zero."""


def zarr() -> Any:  # noqa: ANN401 - a module
    """Return the package zarr, which is loaded where a store is written or read.

    Raises
    ------
    LayoutError
        It is not installed.
    """
    try:
        import zarr
    except ModuleNotFoundError:
        raise LayoutError("Zarr stores need the package zarr: pip install 'xinsitu[zarr]'") from None
    return zarr


def attributes_of(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Attributes of a Zarr store (format 3); None where the path is none."""
    root = Path(path, ROOT)
    try:
        document = json.loads(root.read_bytes()) if root.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    attributes = document.get("attributes", {}) if isinstance(document, dict) else None
    return attributes if isinstance(attributes, dict) else None


def files_of(path: str) -> dict[str, tuple[int, int]]:
    """Bytes and nanoseconds of every file in a store, by its path there.

    Raises
    ------
    LayoutError
        One is a pipe or a device, on which a reader would wait for ever, or a link to nothing.
    """
    found = {}
    for folder, _, names in os.walk(path):
        for file in (os.path.join(folder, name) for name in names):
            try:
                status = os.stat(file)
            except OSError as error:
                raise LayoutError(f"{file}: cannot be read ({error.strerror})") from None
            if not is_ordinary(file, status):
                raise LayoutError(f"{file}: is a pipe or a device, no ordinary file, and lies in a Zarr store")
            found[os.path.relpath(file, path)] = status.st_size, status.st_mtime_ns
    return found


def chunk_file(path: str | os.PathLike[str], frames: int, row: int = 0, column: int = 0) -> Path:
    """File of a chunk, by its place along each axis: Zarr's default names."""
    return Path(path, IMAGE, "c", str(frames), str(row), str(column))


@dataclass(frozen=True, eq=False)
class ZarrStack(LazyStack):
    """Lazy array over the frames of one Zarr store.

    Parameters
    ----------
    path, files
        The store, and bytes and nanoseconds of what decides its pixels when it was opened, by the path in it.
    frames
        How many there are.
    complete
        Whether a chunk that is not there was lost; otherwise it is one of fill values.
    across
        Rows and columns of a chunk; whole frames as xinsitu writes them.
    frame_shape, stored, step, promote
        As in :class:`LazyStack`; a chunk holds ``step`` frames.
    """

    path: str
    files: Mapping[str, tuple[int, int]]
    frames: int
    frame_shape: tuple[int, int]
    stored: np.dtype[np.generic]
    across: tuple[int, int]
    step: int = 1
    promote: bool = False
    complete: bool = True

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Name of the store, once for each frame."""
        return (os.path.basename(self.path),) * self.frames

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return (self.frames, *self.frame_shape)

    @functools.cached_property
    def token(self) -> str:
        """Hex digest of everything that decides the pixels, size and modification time of each chunk included."""
        parts = (self.path, sorted(self.files.items()), self.shape, self.stored.str, self.step, self.promote)
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def _fill(self, result: Pixels, frames: Positions, rows: Positions, columns: Positions) -> None:
        """Read chunk by chunk; one that is lost is an error, or NaN and marked."""
        chunks = frames // self.step
        for run in np.split(np.arange(len(frames)), np.flatnonzero(np.diff(chunks)) + 1):
            try:
                result[run[0] : run[-1] + 1] = self._read(frames[run], rows, columns)
            except FrameError:
                if not self.promote:
                    raise
                result[run[0] : run[-1] + 1] = lost(result.dtype, UNREAD)

    def _read(self, frames: Positions, rows: Positions, columns: Positions) -> Pixels:
        """Read frames of one chunk, or of those that lie side by side."""
        wanted = (frames, rows, columns)
        box = tuple(slice(int(one.min()), int(one.max()) + 1) for one in wanted)
        sizes = (self.step, *self.across)
        places = (range(one.start // size, (one.stop - 1) // size + 1) for one, size in zip(box, sizes, strict=True))
        files = [chunk_file(self.path, *place) for place in itertools.product(*places)]
        for file in (Path(self.path, ROOT), *files):
            self._check(file)
        with faults_of(files[0], "its frames cannot be read"):
            block = zarr().open_array(os.path.join(self.path, IMAGE), mode="r")[box]
        return np.asarray(block)[inside(*(one - part.start for one, part in zip(wanted, box, strict=True)))]

    def _check(self, file: Path) -> None:
        """Hold a file against what it was at opening; in a store that is complete each has to be there."""
        known = self.files.get(os.path.relpath(file, self.path))
        try:
            status = os.stat(file)
        except OSError:
            if known is not None:
                raise removed(str(file)) from None
            if self.complete:
                raise FrameError(file, "a chunk of frames is not there any more") from None
            return
        check_unchanged(str(file), status, *(known or (-1, -1)))
