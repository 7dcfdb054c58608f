"""Frames that lie in files, as an array that xarray indexes and reads when its values are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xarray.backends import BackendArray
from xarray.core.indexing import (
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    VectorizedIndexer,
    explicit_indexing_adapter,
)

from xinsitu.kernels.compiled import InFiles

from .formats.stack import LazyStack, Pixels, Selection


@dataclass(frozen=True, eq=False)
class LazyFrames(BackendArray):
    """The pixels of a stack ``(frame, y, x)`` by xarray's ways of indexing; its token names it in graphs of dask."""

    stack: LazyStack

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return self.stack.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the pixels that are read."""
        return self.stack.dtype

    @property
    def file_per_frame(self) -> bool:
        """Whether some frames are read as quickly as many."""
        return self.stack.file_per_frame

    def __dask_tokenize__(self) -> tuple[str, str]:
        return self.stack.__dask_tokenize__()

    def __getitem__(self, key: ExplicitIndexer) -> Pixels:
        result: Pixels = explicit_indexing_adapter(
            normalised(key, self.shape), self.shape, IndexingSupport.OUTER, self.stack.read
        )
        return result

    def in_files(self, key: ExplicitIndexer) -> InFiles | None:
        """Say where the pixels lie that a key selects along each axis by itself, if they lie in files as they are."""
        if isinstance(key, VectorizedIndexer):
            return None
        return self.stack.in_files(normalised(key, self.shape).tuple)


def lazily(stack: LazyStack) -> LazilyIndexedArray:
    """Return what a variable of xarray holds, of which only parts that are asked for are read."""
    return LazilyIndexedArray(LazyFrames(stack))


def normalised(key: ExplicitIndexer, shape: tuple[int, ...]) -> ExplicitIndexer:
    """Rewrite what xarray fails on: slices that select nothing with a negative step, and arrays without a dimension."""

    def rewritten(part: int | Selection, size: int) -> int | Selection:
        if isinstance(part, slice) and not len(range(*part.indices(size))):
            return slice(0, 0)
        if isinstance(part, np.ndarray) and not part.ndim:
            return int(part)
        return part

    return type(key)(tuple(rewritten(part, size) for part, size in zip(key.tuple, shape, strict=True)))
