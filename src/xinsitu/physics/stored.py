"""Frames that lie in files and are read when their pixels are summed, some at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from operator import getitem
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.array.chunk import getitem as chunk_getitem
from dask.array.core import getter, getter_nofancy
from xarray.core.indexing import ImplicitToExplicitIndexingAdapter, LazilyIndexedArray

from xinsitu.kernels.compiled import InFiles

IN_CACHE = 2**22
"""Bytes of pixels that are read and summed together."""
BATCH = 512
"""Frames whose numbers are worked on together: from there on a call costs less than what it does."""
AT_ONCE = 48 * 2**20
"""Bytes of their rows of numbers where frames are at hand: what calls cost then is paid less often."""
GETTERS, CUTTERS = (getter, getter_nofancy), (getitem, chunk_getitem)
"""What dask reads chunks of an array with, and cuts out of them."""

Columns = slice | npt.NDArray[np.int64]


def at_once(columns: int) -> int:
    """Return how many frames at hand are worked on together, of each of which so many numbers are kept.

    Examples
    --------
    >>> at_once(1000), at_once(100_000)
    (6291, 512)
    """
    return max(BATCH, AT_ONCE // (8 * columns))


@dataclass(frozen=True)
class Stored:
    """Frames that lie in files, and are read and nothing else before they are worked on.

    ``array`` is indexed as NumPy's are, under the name ``key`` in graphs of dask; ``frames`` are the positions in it of
    all frames, ``rows`` and ``columns`` (cut or picked) the same part of each; ``sizes`` are those of the chunks.
    """

    array: Any
    key: str
    frames: npt.NDArray[np.int64]
    rows: slice
    columns: Columns
    sizes: tuple[int, ...]

    @classmethod
    def behind(cls, image: xr.DataArray) -> Stored | None:
        """Return what is behind a lazy image; None where more is done to it than to cut a part out of files."""
        if image.data.numblocks[1:] != (1, 1):
            return None
        graph = image.data.__dask_graph__().to_dict()
        found = [_cut_out(graph, chunk[0][0]) for chunk in image.data.__dask_keys__()]
        sources = {source for source, _ in found}
        source = graph.get(sources.pop() if len(sources) == 1 else None)
        array: Any = getattr(source, "value", source)
        if array is None:
            return None
        frames, *parts = ([_of_range(size, [cut[axis] for cut in cuts]) for _, cuts in found]
                          for axis, size in enumerate(array.shape))  # fmt: skip
        if any(one != part[0] or one.step < 1 for part in parts for one in part):
            return None
        rows, columns = (slice(part[0].start, part[0].stop, part[0].step) for part in parts)
        return cls(array, found[0][0], np.concatenate(frames).astype(np.int64), rows, columns, image.data.chunks[0])

    @property
    def file_per_frame(self) -> bool:
        """Whether some frames are read as quickly as many."""
        array = self.array
        while not hasattr(array, "file_per_frame") and hasattr(array, "array"):
            array = array.array
        return bool(getattr(array, "file_per_frame", False))

    @property
    def at_hand(self) -> bool:
        """Whether any number of frames is there as quickly, for whatever chunks."""
        return bool(getattr(self.array, "at_hand", False))

    @property
    def together(self) -> int:
        """Frames that are read at once: as many as stay in the cache; of chunks that files hold, whole ones."""
        chunk, number = max(self.sizes), self.in_cache(len(range(*self.rows.indices(self.array.shape[1]))))
        return number if self.file_per_frame or self.at_hand else max(1, number // chunk) * chunk

    def in_cache(self, rows: int) -> int:
        """Frames of which so many rows stay in the cache, at least one."""
        return max(1, IN_CACHE // max(1, rows * self.width * int(self.array.dtype.itemsize)))

    @property
    def width(self) -> int:
        """Columns of each frame."""
        held = self.columns
        return len(held) if isinstance(held, np.ndarray) else len(range(*held.indices(self.array.shape[2])))

    def of_columns(self, which: npt.NDArray[np.int64]) -> Stored:
        """Return the same frames of some columns only, whether they lie side by side or not."""
        return replace(self, columns=np.arange(self.array.shape[2])[self.columns][which])

    def some(self, frames: slice, rows: slice) -> npt.NDArray[Any]:
        """Read rows of some of the frames."""
        cut = _of_range(self.array.shape[1], [self.rows, rows])
        return self.read(self.array, self.frames[frames], (slice(cut.start, cut.stop, cut.step), self.columns))

    @staticmethod
    def read(array: Any, frames: npt.NDArray[np.int64], part: tuple[slice, Columns]) -> npt.NDArray[Any]:  # noqa: ANN401
        """Read the same part of some frames, those together that lie one behind the other.

        Rows of which most pixels are wanted are read whole, and the others looked past: files hold them like that, and
        nothing is copied.
        """
        rows, columns = part
        width = array.shape[2]
        most = isinstance(columns, slice) and 2 * len(range(*columns.indices(width))) > width
        runs = np.split(frames, np.flatnonzero(np.diff(frames) != 1) + 1)
        key = (rows, slice(None) if most else columns)
        read = [np.asarray(array[(slice(int(run[0]), int(run[-1]) + 1), *key)]) for run in runs]
        together = read[0] if len(read) == 1 else np.concatenate(read)
        return together[:, :, columns] if most else together

    @staticmethod
    def in_files(array: Any, frames: npt.NDArray[np.int64], part: tuple[slice, Columns]) -> InFiles | None:  # noqa: ANN401
        """Say where the same part of some frames lies, if it lies in files as it is; nothing is read."""
        if not isinstance(array, ImplicitToExplicitIndexingAdapter) or (np.diff(frames) != 1).any():
            return None
        lazy: Any = getattr(array[(slice(int(frames[0]), int(frames[-1]) + 1), *part)], "array", None)
        where = getattr(lazy.array, "in_files", None) if isinstance(lazy, LazilyIndexedArray) else None
        return None if where is None else where(lazy.key)


def _cut_out(graph: Mapping[Any, Any], key: Any) -> tuple[Any, list[tuple[slice, slice, slice]]]:  # noqa: ANN401
    """Follow a chunk down to what it is cut out of: its name, and the cuts from there; no name where more is done."""
    cuts: list[tuple[slice, slice, slice]] = []
    while True:
        task: Any = graph.get(key)
        if hasattr(task, "target"):  # another name
            key = task.target
            continue
        read = getattr(task, "func", None) in GETTERS
        if not read and getattr(task, "func", None) not in CUTTERS:
            return None, cuts
        source, cut = task.args[0], getattr(task.args[1], "value", task.args[1])
        if not isinstance(cut, tuple) or len(cut) != 3 or not all(isinstance(part, slice) for part in cut):
            return None, cuts
        cuts.insert(0, cut)
        key = getattr(source, "key", None)
        if read:
            return (None if any(task.args[3:]) else key), cuts  # a lock is not ours to hold


def _of_range(size: int, cuts: list[slice]) -> range:
    """Positions that cuts, one after the other, leave of an axis."""
    return functools.reduce(lambda left, cut: left[cut], cuts, range(size))


def runs(which: npt.NDArray[np.bool_]) -> Iterator[slice]:
    """Where something holds for one after the other.

    Examples
    --------
    >>> list(runs(np.array([True, True, False, True])))
    [slice(0, 2, None), slice(3, 4, None)]
    """
    turns = np.flatnonzero(np.diff(which, prepend=False, append=False)).tolist()
    return (slice(first, behind) for first, behind in zip(turns[::2], turns[1::2], strict=True))
