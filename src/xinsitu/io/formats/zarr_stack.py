"""The pixels of a Zarr store as a lazy array ``(frame, y, x)``; frozen data, like the stack of files."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xinsitu.errors import FrameError, LayoutError
from xinsitu.kernels import UNREAD, lost

from .stack import LazyStack, Pixels, Positions, check_unchanged, removed

ROOT = "zarr.json"
IMAGE = "image"
COMPLETE = "every_chunk_is_stored"
"""Attribute of a store in which a chunk that is not there was lost; other writers leave out chunks of zeros."""


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
    try:
        document = json.loads(Path(path, ROOT).read_bytes())
    except (OSError, ValueError):
        return None
    attributes = document.get("attributes", {}) if isinstance(document, dict) else None
    return attributes if isinstance(attributes, dict) else None


def chunk_file(path: str | os.PathLike[str], number: int) -> Path:
    """File of a chunk of frames, which are whole ones: Zarr's default names."""
    return Path(path, IMAGE, "c", str(number), "0", "0")


@dataclass(frozen=True, eq=False)
class ZarrStack(LazyStack):
    """Lazy array over the frames of one Zarr store.

    Parameters
    ----------
    path, root_bytes, mtime_ns
        The store, and what its root document was at opening: stores appear whole, so it changes with them.
    frames
        How many there are.
    complete
        Whether a chunk that is not there was lost; otherwise it is one of fill values.
    frame_shape, stored, step, promote
        As in :class:`LazyStack`; a chunk holds ``step`` whole frames.
    """

    path: str
    root_bytes: int
    mtime_ns: int
    frames: int
    frame_shape: tuple[int, int]
    stored: np.dtype[np.generic]
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
        """Hex digest of everything that decides the pixels."""
        parts = (self.path, self.root_bytes, self.mtime_ns, self.shape, self.stored.str, self.step, self.promote)
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def _fill(self, result: Pixels, frames: Positions, rows: Positions, columns: Positions) -> None:
        """Read chunk by chunk; one that is lost is an error, or NaN and marked."""
        chunks = frames // self.step
        for run in np.split(np.arange(len(frames)), np.flatnonzero(np.diff(chunks)) + 1):
            try:
                result[run[0] : run[-1] + 1] = self._read(int(chunks[run[0]]), frames[run], rows, columns)
            except FrameError:
                if not self.promote:
                    raise
                result[run[0] : run[-1] + 1] = lost(result.dtype, UNREAD)

    def _read(self, chunk: int, frames: Positions, rows: Positions, columns: Positions) -> Pixels:
        try:
            status = os.stat(os.path.join(self.path, ROOT))
        except OSError:
            raise removed(self.path) from None
        check_unchanged(self.path, status, self.root_bytes, self.mtime_ns)
        file = chunk_file(self.path, chunk)
        if self.complete and not file.is_file():
            raise FrameError(file, "a chunk of frames is not there any more")
        first = (int(frames.min()), int(rows.min()), int(columns.min()))
        box = tuple(slice(a, int(b.max()) + 1) for a, b in zip(first, (frames, rows, columns), strict=True))
        try:
            block = zarr().open_array(os.path.join(self.path, IMAGE), mode="r")[box]
        except Exception as error:  # noqa: BLE001 - whatever a codec throws at a damaged chunk is a fault of that file
            raise FrameError(file, f"its frames cannot be read ({error})") from None
        return np.asarray(block)[np.ix_(frames - first[0], rows - first[1], columns - first[2])]
