"""Profiles of every frame against time, as a picture, with their mean beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xinsitu.schema import require

from .paper import plain, save
from .timeline import timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_profiles(
    found: xr.Dataset, along: str, *, x: str = "elapsed", path: str | Path | None = None, overwrite: bool = False
) -> Figure:
    """Draw what :func:`~xinsitu.radial_profiles` gives: time across, the axis upwards, their mean beside it.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(3) * np.timedelta64(1, "s")
    >>> coords = {"time": time, "q": ("q", [1.0, 2.0], {"units": "1/angstrom", "long_name": "momentum transfer"})}
    >>> found = xr.Dataset({"intensity": (("time", "q"), np.ones((3, 2)), {"units": "counts"})}, coords)
    >>> len(draw_profiles(found, "q").axes)
    3
    """
    from matplotlib.figure import Figure

    require(found, dims=("time", along), variables=("intensity",))
    line, axis, values = timeline(found, x=x), found[along], found["intensity"].transpose("time", along)
    known = values.values[np.isfinite(values.values)]
    low, high = np.percentile(known, (1.0, 99.5)) if known.size else (0.0, 1.0)
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    mesh = left.pcolormesh(
        line.values, axis.values, values.values.T, vmin=low, vmax=max(high, low + 1e-9), shading="nearest",
        rasterized=True,
    )  # fmt: skip
    left.set(xlabel=plain(line.label), ylabel=f"{axis.attrs.get('long_name', along)} ({axis.attrs.get('units', '')})")
    bar = figure.colorbar(mesh, ax=right, extend="both")
    bar.set_label(f"intensity per pixel ({values.attrs.get('units', '')})")
    right.plot(values.mean("time"), axis, lw=0.8, color="k")
    right.set(xlabel="mean")
    if path is not None:
        save(figure, Path(path), overwrite=overwrite)
    return figure
