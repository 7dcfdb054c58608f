"""When did anything change: how alike every frame is to every other one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu import kernels
from xinsitu.errors import RoiError, SchemaError
from xinsitu.kernels import Doubles
from xinsitu.physics.blocks import Plan, block_function, over_blocks
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.framewise import Steps, correct_block
from xinsitu.physics.corrections.plan import prepared
from xinsitu.schema import OTHER_TIME, image_of
from xinsitu.values import Box, Roi, RoiSet

from .roi_plan import on_image

Kind = Literal["correlation", "intensity"]
KINDS = ("correlation", "intensity")
MOST = 20_000
"""Frames of which every one is compared with every other: the result of more would not fit into a computer."""


def two_time(
    data: xr.Dataset | xr.DataArray,
    roi: Roi | None = None,
    *,
    correction: Correction | None = None,
    kind: Kind = "correlation",
) -> xr.Dataset:
    """Compare every frame with every other one, in a ROI, lazily where the frames are lazy.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``; or profiles, dims ``time`` and one other, as
        :func:`~xinsitu.profiles` gives them.
    roi
        Where, of any shape; None: all pixels.
    correction
        What to do to the frames first.
    kind
        ``correlation``: Pearson's correlation of the pixels, which knows no intensity: 1 where one frame is a multiple
        of the other, and less. ``intensity``: the two-time correlation of X-ray photon correlation spectroscopy,
        ``C(t1, t2) = <I(t1) I(t2)> / (<I(t1)> <I(t2)>)``, means over pixels: see Madsen et al., New J. Phys. 12 (2010)
        055001, doi:10.1088/1367-2630/12/5/055001.

    Returns
    -------
    Dataset
        ``similarity (time, other_time)``, float32, symmetric; ``mean_similarity (time)``, its mean over all other
        frames; ``step (time)``, by how much a frame is less like the one before than it is to itself: 1 less their
        similarity, for ``intensity`` the mean of their own less theirs; NaN for the first one. A pixel that says
        nothing in any frame is left out of all; frames that could not be read are NaN.

    Raises
    ------
    RoiError
        The ROI does not lie in the image, or moves: what moves is never like itself; compare its profiles.
    SchemaError
        Neither frames nor profiles, more than 20,000 of them, or no such kind.

    Examples
    --------
    >>> frames = np.zeros((3, 2, 2)); frames[:2, 0], frames[2, 1] = 1.0, 1.0
    >>> found = two_time(xr.DataArray(frames, dims=("time", "y", "x")))
    >>> found.similarity.values.round(6).tolist(), found.step.values.round(6).tolist()
    ([[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]], [nan, 0.0, 2.0])
    """
    if kind not in KINDS:
        raise SchemaError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
    if isinstance(data, xr.DataArray) and set(data.dims) != {"time", "y", "x"} and len(data.dims) == 2:
        if roi is not None or correction is not None:
            raise SchemaError("profiles have no pixels: a ROI and a correction go with frames")
        coords, rows, weights = data.coords, _rows_of_profiles(data), None
    else:
        image = image_of(data)
        coords = image.coords
        rows, weights = _rows_of_frames(data, image, roi, correction)
    if not rows.shape[0]:
        raise SchemaError("there is no frame to compare")
    if rows.shape[0] > MOST:
        raise SchemaError(f"{rows.shape[0]} frames are more than {MOST}: rebin them, or take some with isel(time=...)")
    plan = SimilarityPlan(weights, kind)
    values = _compared(rows, plan)
    return _named(values, coords, kind, data)


@dataclass(frozen=True, eq=False)
class PixelPlan(Plan):
    """A box of corrected frames whose pixels are wanted in a row."""

    steps: Steps
    box: Box


@dataclass(frozen=True, eq=False)
class SimilarityPlan(Plan):
    """How rows of pixels are compared; ``weights`` of the pixels, None: all alike."""

    weights: Doubles | None
    kind: Kind


@block_function
def pixels_block(
    raw: kernels.Frames, per_frame: Doubles, *, plan: PixelPlan, shared: float | None = None
) -> npt.NDArray[np.float32]:
    """Corrected pixels of a box, ``(frame, 1, pixel)``."""
    y, x = plan.box
    values = correct_block(raw, per_frame, plan=plan.steps, shared=shared)[:, slice(*y), slice(*x)]
    return values.reshape(len(values), 1, (y[1] - y[0]) * (x[1] - x[0])).astype(np.float32)


@block_function
def similarity_block(rows: npt.NDArray[Any], *, plan: SimilarityPlan) -> npt.NDArray[Any]:
    """Compare all rows with each other, ``(frame, frame)``."""
    return kernels.alike(rows.reshape(len(rows), -1), plan.weights, about_mean=plan.kind == "correlation")


def _rows_of_profiles(data: xr.DataArray) -> Any:  # noqa: ANN401 - NumPy or dask
    if "time" not in data.dims:
        raise SchemaError(f"profiles have the dims time and one other, not ({', '.join(map(str, data.dims))})")
    return data.transpose("time", ...).data


def _rows_of_frames(
    data: xr.Dataset | xr.DataArray, image: xr.DataArray, roi: Roi | None, correction: Correction | None
) -> tuple[Any, Doubles | None]:
    """Return the pixels of each frame in a row, and how much they count."""
    rows, columns = ((int(image[dim][0]), int(image[dim][-1]) + 1) if dim in image.coords else (0, image.sizes[dim])
                     for dim in ("y", "x"))  # fmt: skip
    box = rows, columns
    if roi is not None:
        if roi.path is not None:
            raise RoiError(f"ROI {roi.name!r} moves, and what moves is never like itself: compare its profiles")
        (roi,) = on_image(image, RoiSet([replace(roi, background=())]), {})
        box = roi.y, roi.x
    ready = prepared(data, correction, (box,), dtype=np.float32)
    first = int(ready.image["y"][0]), int(ready.image["x"][0])
    inside = (box[0][0] - first[0], box[0][1] - first[0]), (box[1][0] - first[1], box[1][1] - first[1])
    number = (box[0][1] - box[0][0]) * (box[1][1] - box[1][0])
    values = over_blocks(
        pixels_block, ready.image, ready.per_frame, PixelPlan(ready.steps, inside), tail=(1, number),
        dtype=np.float32, shared=ready.shared,
    )  # fmt: skip
    weights = None if roi is None or roi.weights is None else np.asarray(roi.weights, dtype=np.float64).ravel()
    return values, weights


def _compared(rows: Any, plan: SimilarityPlan) -> Any:  # noqa: ANN401 - NumPy or dask
    """Compare all frames; the pixels of all of them are in one place for that, and the product is one call."""
    if not isinstance(rows, da.Array):
        return similarity_block(np.asarray(rows), plan=plan)
    whole = rows.rechunk(dict.fromkeys(range(rows.ndim), -1))
    number, letters = rows.shape[0], "tkp"[: rows.ndim]
    return da.blockwise(
        similarity_block, "tu", whole, letters, new_axes={"u": number}, concatenate=True, plan=plan,
        dtype=np.float32, meta=np.empty((0, 0), np.float32),
    )  # fmt: skip


def _named(values: Any, coords: Any, kind: Kind, data: xr.Dataset | xr.DataArray) -> xr.Dataset:  # noqa: ANN401
    """Put names on the numbers, and the frame's time on both axes."""
    kept = {name: one for name, one in coords.items() if one.dims in ((), ("time",))}
    similarity = xr.DataArray(values, dims=("time", OTHER_TIME), coords=kept)
    if "time" in kept:
        similarity = similarity.assign_coords({OTHER_TIME: (OTHER_TIME, kept["time"].values, kept["time"].attrs)})
    number = similarity.sizes["time"]
    same = xr.DataArray(np.eye(number, dtype=bool), dims=("time", OTHER_TIME))
    plain = similarity.data
    library: Any = da if isinstance(plain, da.Array) else np
    own = library.diagonal(plain) if kind == "intensity" else np.ones(number)
    step = (own[1:] + own[:-1]) / 2 - library.diagonal(plain, -1)
    found = xr.Dataset(
        {
            "similarity": similarity,
            "mean_similarity": similarity.where(~same).mean(OTHER_TIME, dtype="float64"),
            "step": ("time", library.concatenate([np.full(min(1, number), np.nan), step.astype("float64")])),
        }
    )
    words = {
        "similarity": "similarity of two frames",
        "mean_similarity": "mean similarity to all other frames",
        "step": "change since the frame before",
    }
    for name, text in words.items():
        found[name].attrs = {"units": "1", "long_name": text}
    found.attrs = {**(data.attrs if isinstance(data, xr.Dataset) else {}), "kind": kind}
    return found
