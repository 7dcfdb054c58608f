"""How a function of a block of frames becomes one of a whole, possibly lazy, stack.

Chunks are whole frames. A stack that is neither in memory nor chunked is chunked here, never loaded whole; what is in
memory is worked on block by block and stays in memory.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple, ParamSpec, TypeVar

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.system import CPU_COUNT

from xinsitu.defaults import CHUNK_BYTES, frames_per_block
from xinsitu.errors import SchemaError

from .stored import BATCH, Columns, Stored, at_once, runs


@dataclass(frozen=True, eq=False)
class Plan:
    """What a block function is told besides the frames: plain data, known by its content.

    Examples
    --------
    >>> Plan().fingerprint == Plan().fingerprint
    True
    """

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the content, the same in every process."""
        return _digest(self).hex()

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.fingerprint

    def needed_columns(self, width: int) -> npt.NDArray[np.int64]:
        """Columns of frames of so many that are looked at; all, where nobody knows better."""
        return np.arange(width)

    def of_columns(self, which: npt.NDArray[np.int64]) -> Plan:
        """Return the same for frames of some columns only, which hold all that are needed."""
        raise NotImplementedError


def _digest(value: object) -> bytes:
    """Hash of plain data: numbers, texts, arrays, and what is made of them; of its content, whatever holds it."""
    said = hashlib.blake2b(type(value).__name__.encode(), digest_size=16)
    if isinstance(value, np.ndarray):
        said.update(f"{value.dtype.str} {value.shape}".encode())
        said.update(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            said.update(item.name.encode() + _digest(getattr(value, item.name)))
    elif isinstance(value, tuple | list):
        for part in value:
            said.update(_digest(part))
    else:
        said.update(repr(sorted(value) if isinstance(value, frozenset) else value).encode())
    return said.digest()


LEAST = 64
"""Of these, where there are processors that would have nothing to do otherwise."""


class Batch(NamedTuple):
    """What a batch of frames goes through: three block functions.

    Parameters
    ----------
    pixels
        Of a block, as in :func:`over_blocks`; returns ``(n, 1, columns)``, in ``out`` where it is given one.
    in_files
        Does what ``pixels`` does, into ``out``, for :class:`~xinsitu.kernels.compiled.InFiles`; returns which frames
        are left to it.
    algebra
        Of such rows, the rows of ``per_frame`` that belong to them, ``plan`` and ``shared``; returns ``(n, *tail)``.
    columns
        Numbers of a frame between pixels and algebra.
    """

    pixels: Callable[..., npt.NDArray[np.float64]]
    in_files: Callable[..., npt.NDArray[np.bool_]]
    algebra: Callable[..., npt.NDArray[np.float64]]
    columns: int


Values = tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]
Given = ParamSpec("Given")
Made = TypeVar("Made")


def block_function(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Mark a function of a block: it runs on any thread, process or worker, and never warns, nor does NumPy in it.

    What there is to say it returns as numbers, flags or marks beside the others.
    """

    @functools.wraps(function)
    def silent(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return silent


def frames_in_block(image: xr.DataArray) -> int:
    """Return the number of whole frames in a block, or what the reader prefers where that is not far from it."""
    frame_bytes = max(1, image.sizes["y"] * image.sizes["x"] * image.dtype.itemsize)
    preferred = image.encoding.get("preferred_chunks")
    number = preferred.get("time") if isinstance(preferred, Mapping) else None
    if isinstance(number, int) and CHUNK_BYTES < 4 * number * frame_bytes < 8 * CHUNK_BYTES:
        return number
    return frames_per_block(frame_bytes)


def is_lazy(image: xr.DataArray) -> bool:
    """Whether the pixels are still somewhere else."""
    return not isinstance(image.variable._data, np.ndarray)  # xarray has no public question that does not load


def in_blocks(image: xr.DataArray) -> xr.DataArray:
    """Return a lazy stack in chunks of whole frames, and one in memory as it is."""
    if not is_lazy(image):
        return image
    if image.chunks is None:
        return image.chunk({"time": frames_in_block(image), "y": -1, "x": -1})
    # the image's own chunks: the engine's coordinates may be chunked otherwise, and xarray refuses to tell of both
    whole = {dim: -1 for dim in ("y", "x") if len(image.variable.chunksizes[dim]) > 1}
    return image.chunk(whole) if whole else image


def over_blocks(
    function: Callable[..., npt.NDArray[Any]],
    image: xr.DataArray,
    per_frame: npt.NDArray[np.float64],
    plan: Plan,
    *,
    tail: tuple[int, int],
    dtype: npt.DTypeLike,
    shared: Any = None,  # noqa: ANN401 - any plain value, or a dask collection that becomes one
    called: str | None = None,
    in_files: Callable[..., Values] | None = None,
) -> Any:  # noqa: ANN401 - a NumPy or a dask array; xarray takes both
    """Apply ``function(frames, per_frame, plan=plan, shared=shared)`` to every block of an image ``(time, y, x)``.

    Parameters
    ----------
    function
        Of a NumPy block ``(n, y, x)`` and the ``n`` rows that belong to it; returns ``(n, *tail)``.
        It must be importable, so that it pickles and its name is the same in every process.
    image
        As :func:`in_blocks` gives it.
    per_frame
        One row of numbers for every frame.
    plan
        Handed to the workers once, not once per task.
    tail, dtype
        Of the result.
    shared
        A value that all blocks need.
    called
        What the names of the blocks of a lazy result begin with; None: as the function.
    in_files
        Does what ``function`` does to :class:`~xinsitu.kernels.compiled.InFiles`; returns the result, and which frames
        are left.
    """
    if image.chunks is None:
        return _at_once(function, image, per_frame, plan, tail=tail, dtype=dtype, shared=shared)
    data = image.data
    stored = Stored.behind(image) if in_files is not None else None
    if stored is not None and stored.file_per_frame:
        return da.blockwise(
            _of_files,
            "tyx",
            da.from_array(np.column_stack([stored.frames, per_frame]), chunks=(data.chunks[0], -1)),
            "tk",
            array=dask.delayed(stored.array, name=f"stored-{stored.key}", traverse=False),
            part=(stored.rows, stored.columns),
            functions=(function, in_files),
            plan=dask.delayed(
                plan, name=f"plan-{function.__name__.strip('_')}-{plan.fingerprint[:16]}", traverse=False
            ),
            shared=shared,
            new_axes={"y": tail[0], "x": tail[1]},
            dtype=np.dtype(dtype),
            meta=np.empty((0, 0, 0), dtype=dtype),
            token=called,
            concatenate=True,
            align_arrays=False,
        )
    name = f"{function.__name__.strip('_')}-{plan.fingerprint[:16]}"
    return da.blockwise(
        function,
        "tyx",
        data,
        "tyx",
        da.from_array(per_frame, chunks=(data.chunks[0], -1)),
        "tk",
        plan=dask.delayed(plan, name=f"plan-{name}", traverse=False),
        shared=shared,
        adjust_chunks={"y": tail[0], "x": tail[1]},
        dtype=np.dtype(dtype),
        meta=np.empty((0, 0, 0), dtype=dtype),
        token=called,
        concatenate=True,
        align_arrays=False,
    )


def _of_files(
    told: npt.NDArray[np.float64],
    *,
    array: Any,  # noqa: ANN401 - indexed as NumPy's are
    part: tuple[slice, Columns],
    functions: tuple[Callable[..., npt.NDArray[Any]], Callable[..., Values]],
    plan: Plan,
    shared: Any,  # noqa: ANN401
) -> npt.NDArray[Any]:
    """Work on frames while they are read; those that are left are read first."""
    function, in_files = functions
    frames, per_frame = told[:, 0].astype(np.int64), told[:, 1:]
    files = Stored.in_files(array, frames, part)
    if files is None:
        return function(Stored.read(array, frames, part), per_frame, plan=plan, shared=shared)
    result, left = in_files(files, per_frame, plan=plan, shared=shared)
    for run in runs(left):
        result[run] = function(Stored.read(array, frames[run], part), per_frame[run], plan=plan, shared=shared)
    return result


def over_batches(
    batch: Batch,
    image: xr.DataArray,
    per_frame: npt.NDArray[np.float64],
    plan: Plan,
    *,
    tail: tuple[int, int],
    shared: Any = None,  # noqa: ANN401 - any plain value, or a dask collection that becomes one
) -> Any:  # noqa: ANN401 - a NumPy or a dask array; xarray takes both
    """Apply ``algebra(pixels(...))``: the first block by block, the second to the rows of many blocks at once.

    Blocks are as large as pixels allow, 3 frames or 100; what a call of the algebra costs is paid once in some
    :data:`BATCH` frames all the same. ``tail`` is the shape of the result of a frame.
    """
    if image.chunks is None:
        frames = image.values
        result = np.empty((len(frames), *tail))
        for some in _slices(len(frames), at_once(batch.columns)):
            rows = batch.pixels(frames[some], per_frame[some], plan=plan, shared=shared)
            result[some] = batch.algebra(rows, per_frame[some], plan=plan, shared=shared)
        return result
    stored = Stored.behind(image)
    if stored is not None:
        return _over_stored(batch, stored, per_frame, plan, tail=tail, shared=shared)
    rows = over_blocks(batch.pixels, image, per_frame, plan, tail=(1, batch.columns), dtype=np.float64, shared=shared)
    rows = rows.rechunk({0: _batches(rows.chunks[0])})
    lazy = xr.DataArray(rows, dims=("time", "y", "x"))
    return over_blocks(batch.algebra, lazy, per_frame, plan, tail=tail, dtype=np.float64, shared=shared)


def _batches(chunks: tuple[int, ...], least: int = BATCH) -> tuple[int, ...]:
    """Whole chunks together, as many as make a batch.

    Examples
    --------
    >>> _batches((300, 300, 300, 20))
    (600, 320)
    """
    sizes = [0]
    for chunk in chunks:
        if sizes[-1] >= least:
            sizes.append(0)
        sizes[-1] += chunk
    return tuple(sizes)


def _over_stored(
    batch: Batch,
    stored: Stored,
    per_frame: npt.NDArray[np.float64],
    plan: Plan,
    *,
    tail: tuple[int, int],
    shared: Any,  # noqa: ANN401
) -> da.Array:
    """Read, sum and reckon a batch of frames in one task."""
    share = -(-len(per_frame) // CPU_COUNT)
    if stored.at_hand:
        batches: Any = max(LEAST, -(-share // -(-share // at_once(batch.columns))))  # as many for each processor
    else:
        batches = _batches(stored.sizes, max(LEAST, min(BATCH, share)))
    told = da.from_array(np.column_stack([stored.frames, per_frame]), chunks=(batches, -1))
    name, near = f"{batch.algebra.__name__.strip('_')}-{plan.fingerprint[:16]}", plan
    needed = plan.needed_columns(stored.width)
    if stored.file_per_frame and 4 * len(needed) < 3 * stored.width:
        stored, near = stored.of_columns(needed), plan.of_columns(needed)
    return da.blockwise(
        _of_batch,
        "tyx",
        told,
        "tk",
        array=dask.delayed(stored.array, name=f"stored-{stored.key}", traverse=False),
        part=(stored.rows, stored.columns),
        together=stored.together,
        batch=batch,
        plan=dask.delayed(plan, name=f"plan-{name}", traverse=False),
        near=dask.delayed(near, name=f"near-{name}", traverse=False),
        shared=shared,
        new_axes={"y": tail[0], "x": tail[1]},
        dtype=np.float64,
        meta=np.empty((0, 0, 0)),
        concatenate=True,
        align_arrays=False,
    )


def _of_batch(
    told: npt.NDArray[np.float64],
    *,
    array: Any,  # noqa: ANN401 - indexed as NumPy's are
    part: tuple[slice, Columns],
    together: int,
    batch: Batch,
    plan: Plan,
    near: Plan,
    shared: Any,  # noqa: ANN401
) -> npt.NDArray[np.float64]:
    """Pixels pass through the cache some at a time, their rows of numbers are worked on all at once.

    ``near`` is the plan for the columns that are read.
    """
    frames, per_frame = told[:, 0].astype(np.int64), told[:, 1:]
    rows, left = np.empty((len(told), 1, batch.columns)), np.ones(len(told), dtype=bool)
    files = Stored.in_files(array, frames, part)
    if files is not None:
        left = batch.in_files(files, per_frame, plan=near, shared=shared, out=rows)
    for run in runs(left):
        for piece in _slices(run.stop - run.start, together):
            some = slice(run.start + piece.start, run.start + piece.stop)
            raw = Stored.read(array, frames[some], part)
            batch.pixels(raw, per_frame[some], plan=near, shared=shared, out=rows[some])
    return batch.algebra(rows, per_frame, plan=plan, shared=shared)


def in_one_piece(values: Any) -> Any:  # noqa: ANN401 - NumPy or dask
    """Return numbers of all frames together, where they are lazy: each variable made of them is one task, not many."""
    return values.rechunk({0: -1}) if isinstance(values, da.Array) and len(values.chunks[0]) > 1 else values


def _at_once(
    function: Callable[..., npt.NDArray[Any]],
    image: xr.DataArray,
    per_frame: npt.NDArray[np.float64],
    plan: Plan,
    *,
    tail: tuple[int, int],
    dtype: npt.DTypeLike,
    shared: Any,  # noqa: ANN401
) -> npt.NDArray[Any]:
    """Do it now, in blocks, for frames in memory."""
    frames = image.values
    result = np.empty((len(frames), *tail), dtype=dtype)
    for block in _slices(len(frames), frames_in_block(image)):
        result[block] = function(frames[block], per_frame[block], plan=plan, shared=shared)
    return result


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(first, min(first + step, length)) for first in range(0, length, step))


def pixel_index(image: xr.DataArray, dim: str) -> tuple[int, int]:
    """First and behind-the-last detector pixel of an image along ``y`` or ``x``.

    Raises
    ------
    SchemaError
        The coordinate does not count pixels one by one.
    """
    size = image.sizes[dim]
    if dim not in image.coords:
        return 0, size
    labels = np.asarray(image.coords.variables[dim].values)  # an array of its own would take as long as all the rest
    if size == 0 or labels.dtype.kind not in "iuf" or not np.array_equal(labels, labels[0] + np.arange(size)):
        raise SchemaError(f"coordinate {dim!r} of the image must count detector pixels one by one")
    if labels[0] != int(labels[0]):
        raise SchemaError(f"coordinate {dim!r} of the image must hold whole pixels, not {labels[0]}")
    return int(labels[0]), int(labels[0]) + size
