"""Telling the compiled kernel what to do with frames and ROIs."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xinsitu.native import Job as Job
from xinsitu.native import Rows
from xinsitu.native import library as library

from .pixels import Bools, Doubles, Floats, Frames
from .sums import LANES, edge_width, profiles

TYPES = {np.dtype(name): number for number, name in enumerate(("int32", "uint32", "uint16", "float32", "float64"))}
Box = tuple[tuple[int, int], tuple[int, int]]
FILTERS = ("plain", "median", "outliers")
MODES = (None, "divide", "subtract")
PLACES = (
    *("top", "values_y", "values_x", "pixels_y", "pixels_x", "weighted_y", "weighted_x", "squares_y", "squares_x"),
    *("excess_y", "excess_x", "edge", "moments_y", "moments_x"),
)


@dataclass(frozen=True)
class InFiles:
    """Frames that lie in plain files, of which the kernel reads the rows that are wanted one frame at a time.

    ``shape``: frames, and rows and columns that are wanted; ``held`` is what ``told`` points to.
    """

    told: Rows
    held: tuple[Any, ...]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Kernel:
    """What does not change from block to block: a job without frames, and the arrays that it points to."""

    job: Job
    held: tuple[Any, ...]

    def fill(
        self,
        out: Doubles,
        raw: Frames | InFiles,
        boxes: Sequence[Box],
        number: Doubles,
        scale: Doubles | None,
        shared: float | None,
    ) -> Bools:
        """Fill the statistics of frames; returns which of them are left to NumPy, or cannot be read.

        ``boxes`` are the ROIs and then the regions of the frames' background; ``number`` and ``scale`` are those of
        each frame, ``shared`` is what backgrounds are divided by before frames are divided by them.
        """
        return self._run(raw, boxes, number, scale, shared, out=out.ctypes.data, columns=out.strides[0] // out.itemsize)

    def correct(
        self, out: Floats, raw: Frames | InFiles, boxes: Sequence[Box], scale: Doubles | None, shared: float | None
    ) -> tuple[Bools, Doubles]:
        """Correct whole frames into float32; returns which of them are left to NumPy, and the background of each.

        ``boxes`` are the regions of the background.
        """
        background = np.full(len(raw), np.nan)
        places = {"corrected": out.ctypes.data, "background": background.ctypes.data}
        return self._run(raw, boxes, np.zeros(len(raw)), scale, shared, **places), background

    def _run(
        self,
        raw: Frames | InFiles,
        boxes: Sequence[Box],
        number: Doubles,
        scale: Doubles | None,
        shared: float | None,
        **places: int,
    ) -> Bools:
        job = Job.from_buffer_copy(self.job)
        left, numbers = np.zeros(len(raw), dtype=np.uint8), np.ascontiguousarray(number, dtype=np.int64)
        if isinstance(raw, InFiles):
            job.files, job.row_stride = ctypes.addressof(raw.told), raw.shape[2]
        else:
            strided = raw.strides[2] != raw.itemsize or any(stride % raw.itemsize for stride in raw.strides)
            if strided or not raw.flags.aligned:
                raw = np.array(raw, order="C")
            job.raw = raw.ctypes.data
            job.frame_stride, job.row_stride = (stride // raw.itemsize for stride in raw.strides[:2])
        bounds = np.array([[*y, *x] for y, x in boxes], dtype=np.int32)
        factors = None if scale is None else np.ascontiguousarray(scale)
        job.frames, job.type = len(raw), TYPES[raw.dtype]
        job.boxes = bounds.ctypes.data
        job.number, job.scale, job.left = numbers.ctypes.data, _address(factors), left.ctypes.data
        job.shared = 1.0 if shared is None else shared
        for name, place in places.items():
            setattr(job, name, place)
        function = library()
        if function is None or function(ctypes.byref(job)):
            left[:] = 1
        return np.asarray(left > 0)


class Shaped(NamedTuple):
    """A ROI for the kernel.

    Columns of its statistics, whether what a median added is counted from its edge, its size, and powers of the place
    along y and x, ``(power, bin)``.
    """

    places: dict[str, slice]
    edge: bool
    size: tuple[int, int]
    powers: tuple[Doubles, Doubles] | None


def kernel_of(
    *,
    flat: Doubles | None,
    gain: Doubles | None,
    mask: npt.NDArray[np.bool_] | None,
    dead: npt.NDArray[np.bool_] | None,
    levels: int,
    pairs: Sequence[tuple[int, int, int]],
    rois: Sequence[Shaped],
    **numbers: float,
) -> Kernel:
    """Put together what is the same for all blocks; ``numbers`` are further fields of :class:`Job`."""
    triples = np.array([*pairs, (0, 0, 0)], dtype=np.int32)
    flags = [None if part is None else np.ascontiguousarray(part, dtype=np.uint8) for part in (mask, dead)]
    behind = np.zeros(LANES)  # the last lanes of the last row are looked at, and not used
    floats = [None if part is None else np.concatenate([np.ravel(part), behind]) for part in (flat, gain)]
    places = np.array([_places(roi) for roi in rois], dtype=np.int64)
    whole = [part for roi in rois for part in _whole_moments(roi)]
    powers = [part for roi in rois for part in (roi.powers or (None, None))]
    moments = pointers(whole), pointers(powers)
    job = Job(
        **dict(zip(("flat", "gain"), map(_address, floats), strict=True)),
        **dict(zip(("mask", "dead"), map(_address, flags), strict=True)),
        pairs=triples.ctypes.data,
        places=places.ctypes.data,
        moments=ctypes.addressof(moments[0]),
        powers=ctypes.addressof(moments[1]),
        rois=len(rois),
        levels=levels,
        overlaps=len(pairs),
        **numbers,
    )
    return Kernel(job, (triples, flags, floats, places, whole, powers, moments))


def _places(roi: Shaped) -> list[int]:
    """Columns of a ROI's statistics in the kernel's order, -1 for those that are not kept."""
    columns = [roi.places[name].start if name in roi.places else -1 for name in PLACES]
    powers = len(roi.powers[0]) if roi.powers else 1
    rooms = [
        (place.stop - place.start) // powers if (place := roi.places.get(f"moments_{axis}")) else 0 for axis in "yx"
    ]
    return [*columns, *rooms, int(roi.edge), *map(edge_width, roi.size)]


def _whole_moments(roi: Shaped) -> tuple[Doubles | None, Doubles | None]:
    """Moments along y and x of a ROI of which every pixel is good."""
    if roi.powers is None:
        return None, None
    n_rows, n_columns = roi.size
    along_y = [profiles(np.broadcast_to(x, (1, n_rows, n_columns)).copy())[0][0] for x in roi.powers[1]]
    along_x = [profiles(np.broadcast_to(y[:, None], (1, n_rows, n_columns)).copy())[1][0] for y in roi.powers[0]]
    return np.stack(along_y), np.stack(along_x)


def _address(array: npt.NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


def pointers(arrays: Sequence[npt.NDArray[Any] | None]) -> Any:  # noqa: ANN401 - a ctypes array
    """Addresses of arrays, one behind the other, which hold none of them in memory."""
    return (ctypes.c_void_p * max(len(arrays), 1))(*map(_address, arrays))
