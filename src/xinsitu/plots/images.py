"""Pictures of the frames themselves: ROIs on a frame, a frame with a time slider, profiles against time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.physics.reduction.own_axes import Along
from xinsitu.physics.reduction.roi_profiles import profiles
from xinsitu.schema import PIXEL, image_of, knows_utc, require
from xinsitu.values import Roi, RoiSet

from .curves import PALETTE
from .interactive import bokeh, braced, load_hvplot
from .timeline import timeline

if TYPE_CHECKING:
    import holoviews as hv

    from xinsitu.physics.corrections.apply import Correction

Show = Literal["values", "previous", "first", "slope"]
DARK = 0.5
"""Lowest colour of a logarithmic scale of counts: a pixel without counts takes it, too."""


def plot_rois(image: xr.Dataset | xr.DataArray, rois: Iterable[Roi], *, frame: int = 0, log: bool = True) -> hv.Overlay:
    """Show one frame with the boxes of the ROIs and their names.

    Parameters
    ----------
    image
        An image, dims ``(y, x)``, or a measurement, of which one frame is read.
    rois
        What to draw, each in its colour.
    frame
        Position of the frame in a measurement.
    log
        Logarithmic colours; pixels without counts take the lowest one.

    Returns
    -------
    holoviews.Overlay

    Examples
    --------
    >>> image = xr.DataArray(np.eye(20), dims=("y", "x"))
    >>> type(plot_rois(image, [Roi("WZ", y=(2, 9), x=(3, 8))])).__name__
    'Overlay'
    """
    bokeh()
    one = image if isinstance(image, xr.DataArray) and "time" not in image.dims else image_of(image).isel(time=frame)
    require(one, dims=("y", "x"))
    return _picture(one, log=log) * _boxes(rois)


def plot_frames(
    data: xr.Dataset | xr.DataArray,
    *,
    rois: Iterable[Roi] = (),
    correction: Correction | None = None,
    log: bool = True,
    clim: tuple[float, float] | None = None,
) -> hv.DynamicMap:
    """Show the frames one at a time, with a slider; each is read, and corrected, when it is shown.

    Parameters
    ----------
    data
        A measurement, lazy or not, dims ``(time, y, x)``.
    rois
        Boxes to draw over every frame.
    correction
        Done to each frame before it is shown.
    log
        Logarithmic colours.
    clim
        Colour limits; None: of each frame.

    Returns
    -------
    holoviews.DynamicMap
        Over ``frame``, the position in the measurement.

    Examples
    --------
    >>> frames = xr.DataArray(np.ones((2, 8, 9), "int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    >>> type(plot_frames(frames)).__name__
    'DynamicMap'
    """
    import holoviews as hv

    bokeh()
    image = image_of(data)
    boxes = RoiSet.of(rois)
    times = np.datetime_as_string(np.asarray(image["time"].values), unit="ms") if "time" in image.coords else None
    zone = " UTC" if isinstance(data, xr.Dataset) and knows_utc(data) else ""
    if data.attrs.get("time_source") == "frame":
        times = None

    def show(frame: int) -> hv.Overlay:
        one = image_of(_corrected(image.isel(time=slice(frame, frame + 1)), correction))
        title = f"frame {frame}" if times is None else f"frame {frame}, {times[frame]}{zone}"
        return (_picture(one.isel(time=0), log=log, clim=clim) * _boxes(boxes)).opts(title=title)

    dimension = hv.Dimension("frame", values=list(range(image.sizes["time"])))
    return hv.DynamicMap(show, kdims=[dimension])


def plot_kymograph(
    data: xr.Dataset | xr.DataArray,
    roi: Roi,
    *,
    along: Along = "x",
    correction: Correction | None = None,
    show: Show = "values",
    x: str = "elapsed",
    log: bool = False,
) -> hv.Image:
    """Show the profile of a ROI against time: the sum over the other axis, one column per frame.

    Parameters
    ----------
    data
        A measurement, dims ``(time, y, x)``; only the ROI is read where no correction reaches further.
    roi
        The box; one that moves is followed, on the detector's own pixels.
    along
        Axis of the profile: ``y`` (rows), ``x`` (columns), or the ROI's own, as in :func:`~xinsitu.profiles`.
    correction
        Done before the sum.
    show
        ``values``, the difference to the ``previous`` or the ``first`` frame, or the ``slope`` per second.
    x
        Time axis, as in :func:`~xinsitu.plots.plot`.
    log
        Logarithmic colours (``values`` only).

    Returns
    -------
    holoviews.QuadMesh
        Time across, pixels upwards.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(2) * np.timedelta64(1, "s")
    >>> frames = xr.DataArray(np.ones((2, 8, 9), "int32"), {"time": time}, dims=("time", "y", "x"))
    >>> type(plot_kymograph(frames, Roi("WZ", y=(2, 7), x=(3, 8)))).__name__
    'QuadMesh'
    """
    load_hvplot()

    bokeh()
    profile = _profile(data, roi, along, correction)
    line = timeline(profile.to_dataset(name="profile").assign_attrs(_attributes(data)), x=x)
    values = changes(np.asarray(profile.values, dtype=float), line.seconds, show)
    signed = show != "values"
    table = xr.DataArray(values.T, {along: profile[along].values, "time": line.values}, (along, "time"), name="profile")
    limit = float(np.nanmax(np.abs(values))) or 1.0
    colour = {"cmap": "RdBu_r", "clim": (-limit, limit)} if signed else {"cmap": "viridis", "logz": log}
    if log and not signed:
        colour["clim"] = (DARK, max(limit, 2 * DARK))
    mesh = table.hvplot.quadmesh(x="time", y=along, width=820, height=320, **colour)
    names = {"time": line.label, along: _axis(profile[along]), "profile": _what(show)}
    return mesh.redim.label(**names).opts(title=braced(roi.name))


def changes(values: np.ndarray, seconds: np.ndarray, show: Show) -> np.ndarray:
    """Differences of successive profiles, dims ``(time, pixel)``; the first frame has none and is NaN.

    Examples
    --------
    >>> changes(np.array([[1.0], [4.0], [6.0]]), np.array([0.0, 2.0, 3.0]), "slope").ravel()
    array([nan, 1.5, 2. ])
    """
    if show not in ("values", "previous", "first", "slope"):
        raise SchemaError(f"show is one of values, previous, first, slope, not {show!r}")
    if show == "values":
        return values
    if show == "first":
        return np.asarray(values - values[:1])
    steps = np.diff(values, axis=0, prepend=np.nan)
    if show == "previous":
        return np.asarray(steps)
    time = np.diff(seconds, prepend=np.nan)
    return np.asarray(steps / np.where(time > 0, time, np.nan)[:, np.newaxis])


def waterfall(
    data: xr.Dataset | xr.DataArray,
    roi: Roi,
    *,
    along: Along = "x",
    correction: Correction | None = None,
    curves: int = 20,
    offset: float | None = None,
) -> hv.Overlay:
    """Show profiles of a ROI at equally spaced frames above each other, early ones below.

    Parameters
    ----------
    data
        A measurement, dims ``(time, y, x)``.
    roi
        The box; one that moves is followed.
    along
        Axis of the profile, as in :func:`~xinsitu.profiles`.
    correction
        Done before the sum.
    curves
        How many profiles to show.
    offset
        Step between two of them; None: a quarter of the largest range.

    Returns
    -------
    holoviews.Overlay

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(2) * np.timedelta64(1, "s")
    >>> frames = xr.DataArray(np.ones((2, 8, 9), "int32"), {"time": time}, dims=("time", "y", "x"))
    >>> len(waterfall(frames, Roi("WZ", y=(2, 7), x=(3, 8))))
    2
    """
    import holoviews as hv
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    from xinsitu.physics.reduction.moving import at_frames

    bokeh()
    image = image_of(data)
    picks = np.unique(np.linspace(0, image.sizes["time"] - 1, min(curves, image.sizes["time"])).round().astype(int))
    profile = _profile(data.isel(time=picks), at_frames(data, roi, picks), along, correction)
    line = timeline(profile.to_dataset(name="profile").assign_attrs(_attributes(data)))
    values = np.asarray(profile.values, dtype=float)
    step = float(np.nanmax(values) - np.nanmin(values)) / 4 if offset is None else offset
    shade, label = colormaps["viridis"], _axis(profile[along])
    parts = [
        hv.Curve(
            (profile[along].values, row + n * step), hv.Dimension(along, label=label), "profile",
        ).opts(color=to_hex(shade(n / max(len(values) - 1, 1))), line_width=1)
        for n, row in enumerate(values)
    ]  # fmt: skip
    title = f"{roi.name}: {line.label} {line.values[0]:.6g} to {line.values[-1]:.6g}"
    return hv.Overlay(parts).opts(hv.opts.Overlay(width=620, height=520, show_legend=False, title=braced(title)))


def _axis(axis: xr.DataArray) -> str:
    """Title of an axis: its name and unit."""
    return f"{axis.attrs.get('long_name', axis.name)} ({axis.attrs.get('units', PIXEL)})"


def _what(show: Show) -> str:
    return {"values": "profile", "previous": "change since the previous frame", "first": "change since the first frame",
            "slope": "slope per second"}[show]  # fmt: skip


def _attributes(data: xr.Dataset | xr.DataArray) -> dict[str, object]:
    return {name: data.attrs[name] for name in ("time_zone", "time_zone_source", "time_source") if name in data.attrs}


def _profile(data: xr.Dataset | xr.DataArray, roi: Roi, along: Along, correction: Correction | None) -> xr.DataArray:
    """Profile of the ROI without its own background, computed; dims ``(time, along)``."""
    return profiles(data, replace(roi, background=()), along=along, correction=correction).compute()


def _corrected(data: xr.Dataset | xr.DataArray, correction: Correction | None) -> xr.Dataset | xr.DataArray:
    from xinsitu.physics.corrections.apply import correct

    return data if correction is None else correct(data, correction)


def _picture(image: xr.DataArray, *, log: bool, clim: tuple[float, float] | None = None) -> hv.Image:
    load_hvplot()

    values = np.asarray(image.values)
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 1.0
    limits = clim or ((DARK, max(top, 2 * DARK)) if log else (float(finite.min()) if finite.size else 0.0, top))
    pixels = {axis: _pixels(image, axis) for axis in ("y", "x")}
    counts = xr.DataArray(values, pixels, ("y", "x"), name="counts")
    picture = counts.hvplot.image(
        x="x", y="y", cmap="viridis", logz=log, clim=limits, flip_yaxis=True, data_aspect=1, width=760,
        height=_height(image, 760),
    )  # fmt: skip
    names = {axis: f"{image[axis].attrs.get('long_name', axis)} (pixel)" for axis in ("y", "x")}
    return picture.redim.label(**names).opts(clipping_colors={"NaN": "#bbbbbb"})


def _height(image: xr.DataArray, width: int) -> int:
    """Height of the figure in which pixels are about square; axes and colour bar take 110 by 80."""
    return int(np.clip((width - 110) * image.sizes["y"] / image.sizes["x"] + 80, 200, 900))


def _pixels(image: xr.DataArray, axis: str) -> np.ndarray:
    return image[axis].values if axis in image.coords else np.arange(image.sizes[axis])


def _boxes(rois: Iterable[Roi]) -> hv.Overlay:
    import holoviews as hv

    parts: list[hv.Element] = []
    for number, roi in enumerate(rois):
        color = roi.color or PALETTE[number % len(PALETTE)]
        low, high = (roi.x[0] - 0.5, roi.y[0] - 0.5), (roi.x[1] - 0.5, roi.y[1] - 0.5)
        if roi.geometry is None:
            parts.append(hv.Rectangles([(*low, *high)]).opts(fill_alpha=0, line_color=color, line_width=2))
        else:
            closed = [np.concatenate([line, line[:1]])[:, ::-1] for line in roi.geometry.outlines()]
            parts.append(hv.Path(closed).opts(color=color, line_width=2))
        name = hv.Text(low[0], low[1], roi.name, halign="left", valign="bottom", fontsize=9)
        parts.append(name.opts(text_color="black", background_fill_color=color))  # red letters are not seen on blue
    return hv.Overlay(parts)
