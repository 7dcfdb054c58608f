"""Cuts along straight lines across the frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xinsitu import kernels
from xinsitu.errors import RoiError
from xinsitu.kernels import Doubles
from xinsitu.physics.blocks import Plan, block_function, over_blocks, pixel_index
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.framewise import Steps, correct_block
from xinsitu.physics.corrections.plan import prepared, units_after
from xinsitu.schema import PIXEL, check_data, image_of


def line_cut(
    data: xr.Dataset | xr.DataArray,
    start: tuple[float, float],
    stop: tuple[float, float],
    *,
    width: int = 1,
    correction: Correction | None = None,
) -> xr.DataArray:
    """Values along a straight line across the frames, averaged over ``width`` pixels beside it; lazy where frames are.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    start, stop
        ``(y, x)`` of the ends, in detector pixels; between pixels values are interpolated linearly.
    width
        Number of parallel lines, one pixel apart, whose mean is taken.
    correction
        What to do to the frames first.

    Returns
    -------
    DataArray
        ``(time, distance)``, one value per pixel of length; ``y`` and ``x`` along ``distance`` say where.

    Raises
    ------
    RoiError
        The line, with its width, leaves the image.

    Examples
    --------
    >>> frames = xr.DataArray(np.arange(9).reshape(1, 3, 3), dims=("time", "y", "x"))
    >>> line_cut(frames, (0, 0), (2, 2)).values.round(2).tolist()
    [[0.0, 2.67, 5.33, 8.0]]
    """
    check_data(data)
    image = image_of(data)
    (y0, x0), (y1, x1) = start, stop
    length = float(np.hypot(y1 - y0, x1 - x0))
    if length == 0 or width < 1:
        raise RoiError(f"a line cut needs two different ends and a width of at least 1, not {start}, {stop}, {width}")
    distance = np.linspace(0, length, int(np.ceil(length)) + 1)
    aside = np.arange(width) - 0.5 * (width - 1)
    along, across = np.array([y1 - y0, x1 - x0]) / length, np.array([x0 - x1, y1 - y0]) / length
    y = y0 + along[0] * distance + across[0] * aside[:, None]
    x = x0 + along[1] * distance + across[1] * aside[:, None]
    box = tuple((int(np.floor(c.min() + 1e-9)), int(np.ceil(c.max() - 1e-9)) + 1) for c in (y, x))
    for dim, (first, behind) in zip(("y", "x"), box, strict=True):
        low, high = pixel_index(image, dim)
        if not low <= first < behind <= high:
            raise RoiError(f"the line from {start} to {stop} leaves the image, {dim} = [{low}, {high})")
    ready = prepared(data, correction, ((box[0], box[1]),))
    top, left = pixel_index(ready.image, "y")[0], pixel_index(ready.image, "x")[0]
    plan = CutPlan(ready.steps, y - top, x - left)
    values = over_blocks(
        cut_block, ready.image, ready.per_frame, plan, tail=(1, len(distance)), dtype=np.float64, shared=ready.shared
    )
    coords: dict[Any, Any] = {name: image[name] for name in image.coords if image[name].dims in ((), ("time",))}
    coords["distance"] = xr.DataArray(distance, dims="distance", attrs={"units": PIXEL})
    coords["y"], coords["x"] = (("distance", c.mean(axis=0), {"units": PIXEL}) for c in (y, x))
    attrs = {"units": units_after(image, correction), "long_name": "line cut"}
    # without a name of ours xarray takes that of the Dask array
    return xr.DataArray(values[:, 0], dims=("time", "distance"), coords=coords, attrs=attrs, name="line_cut")


@dataclass(frozen=True, eq=False)
class CutPlan(Plan):
    """Places between pixels, ``(line, point)``, counted from a block's first one."""

    steps: Steps
    y: Doubles
    x: Doubles


@block_function
def cut_block(raw: kernels.Frames, per_frame: Doubles, *, plan: CutPlan, shared: float | None = None) -> Doubles:
    """Mean over the lines of values interpolated between pixels, ``(frame, 1, point)``."""
    values = correct_block(raw, per_frame, plan=plan.steps, shared=shared).astype(np.float64)
    rows, columns = np.floor(plan.y).astype(int), np.floor(plan.x).astype(int)
    below, right = np.minimum(rows + 1, raw.shape[1] - 1), np.minimum(columns + 1, raw.shape[2] - 1)
    v, u = plan.y - rows, plan.x - columns
    cut = values[:, rows, columns] * ((1 - v) * (1 - u))
    for weight, one, other in ((v * (1 - u), below, columns), ((1 - v) * u, rows, right), (v * u, below, right)):
        cut += np.where(weight > 0, values[:, one, other] * weight, 0.0)
    return np.asarray(cut.mean(axis=1)[:, None, :])
