"""All frames of a measurement put together: one task that knows them all, and variables that take their part of it.

Slices, conversions and roots that are tasks of their own would take longer than a thousand frames are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.highlevelgraph import HighLevelGraph

from xinsitu.schema import attributes_of
from xinsitu.variables import Remarks

from .flags import Told, flagged, in_common, remarks
from .packed_numbers import Columns


@dataclass(frozen=True)
class Together:
    """The numbers of all frames, with the flags that these give each other, by name; lazy where they are.

    ``source`` is the array ``(time, roi, quantity)``, or lazily what :func:`~.flags.in_common` returns; ``said``: what
    there is to say of them.
    """

    source: Any
    shape: tuple[int, int]
    columns: Columns
    said: Remarks

    @classmethod
    def of(cls, packed: Any, told: Told) -> Together:  # noqa: ANN401 - NumPy or dask
        """Put frames together; what there is to say of numbers in memory is said at once, of lazy ones later."""
        attributes, shape = attributes_of("remarks"), packed.shape[:2]
        if isinstance(packed, np.ndarray):
            said = Remarks((), remarks(packed, told=told), attributes).say()
            return cls(flagged(packed, told=told), shape, told.columns, said)
        both = da.blockwise(
            in_common, "z", packed, "trq", new_axes={"z": 2}, told=told, dtype=object, meta=np.empty(0, object)
        )
        text = _part_of(both, "remarks", _said, (), np.dtype(object))
        return cls(both, shape, told.columns, Remarks((), text, attributes))

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - NumPy or dask
        """One quantity, ``(time, roi)``."""
        return self.column(name, np.float64)

    def column(self, name: str, dtype: npt.DTypeLike, flags: npt.NDArray[np.int32] | None = None) -> Any:  # noqa: ANN401
        """One quantity as numbers of a type; ``flags (time)`` are set in all ROIs."""
        place = self.columns.place[name]
        if isinstance(self.source, np.ndarray):
            return _column(self.source, place, dtype, flags)
        called = name if flags is None else f"{name}-{dask.base.tokenize(flags)}"
        return _part_of(self.source, called, _of_numbers, self.shape, np.dtype(dtype), _column, place, dtype, flags)

    def error_of_frame(self, name: str) -> Any:  # noqa: ANN401 - NumPy or dask
        """Return the standard error ``(time)`` that all ROIs of a frame share, from its variance."""
        place = self.columns.place[name]
        if isinstance(self.source, np.ndarray):
            return _error_of_frame(self.source, place)
        shape = self.shape[:1]
        return _part_of(self.source, f"{name}-root", _of_numbers, shape, np.dtype(float), _error_of_frame, place)


def _part_of(
    source: da.Array,
    name: str,
    take: Callable[..., Any],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *args: Any,  # noqa: ANN401 - of the function
) -> da.Array:
    """Return an array in one piece that a function makes of another one in one piece."""
    own = f"{name}-{source.name}"
    layer = {(own, *(0 for _ in shape)): (take, (source.name, 0), *args)}
    graph = HighLevelGraph.from_collections(own, layer, dependencies=[source])
    return da.Array(graph, own, [(size,) for size in shape], meta=np.empty((0,) * len(shape), dtype))


def _said(both: npt.NDArray[np.object_]) -> Any:  # noqa: ANN401 - what remarks gives
    return both[1]


def _of_numbers(both: npt.NDArray[np.object_], take: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    """Take a part of what :func:`~.flags.flagged` gives."""
    return take(both[0], *args)


def _column(
    numbers: npt.NDArray[np.float64], place: int, dtype: npt.DTypeLike, flags: npt.NDArray[np.int32] | None
) -> npt.NDArray[Any]:
    values = numbers[:, :, place].astype(dtype)
    return values if flags is None else values | flags[:, None]


def _error_of_frame(numbers: npt.NDArray[np.float64], place: int) -> npt.NDArray[np.float64]:
    return np.asarray(numbers[:, 0, place] ** 0.5)
