"""Frames to numbers: the ROI time series of a measurement, all ROIs in one pass."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError, warn
from xinsitu.physics.blocks import Batch, over_batches
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.frame_numbers import reference_of
from xinsitu.physics.corrections.plan import units_after
from xinsitu.schema import QUANTITIES, SCALED, Quantity, attributes_of, image_of
from xinsitu.values import EDGE, Roi, RoiSet
from xinsitu.variables import Called

from .flags import Told
from .frame_flags import frame_flags
from .frame_statistics import statistics_block, statistics_in_files
from .own_axes import on_own_axes
from .packed_numbers import REPORTED
from .profile_bins import n_bins, profile_variables
from .quantities import algebra_block
from .regions import Measurements
from .roi_plan import Fitted, covered, fitted
from .together import Together

IMAGE_UNITS = tuple(name for name in SCALED if not name.startswith("profile"))
_INTEGERS = {"n_valid": np.int64, "n_saturated": np.int64, "quality": np.int32}


def measure(
    data: xr.Dataset | xr.DataArray,
    rois: RoiSet | Iterable[Roi],
    *,
    correction: Correction | None = None,
    smooth: int | None = None,
    profiles: bool = False,
) -> xr.Dataset:
    """Measure ROIs in every frame, all in one pass; lazy where the frames are lazy.

    Only the ROIs and the pixels around them that the correction needs are read and corrected; the numbers are those of
    the fully corrected frames, bit for bit.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``: raw, or corrected already.
    rois
        Where to measure, on the full detector.
    correction
        What to do to the frames first; None: nothing.
    smooth
        Odd number of bins over which profiles are averaged before their width is taken, for noisy wide ones; what the
        running mean adds to the width of a Gaussian is taken off.
    profiles
        Keep the profiles, too: for kymographs of all ROIs out of the same pass.

    Returns
    -------
    Dataset
        ``(time, roi)``:

        - ``intensity``: sum of the valid pixels, less the declared background (``Roi.background``), which is
          ``background``; 0 where none is declared. Units of the corrected image.
        - ``maximum``, ``maximum_y``, ``maximum_x``: the highest pixel (first one), detector pixels.
        - ``com_y``, ``com_x``: ``sum(i n_i) / sum(n_i)`` of the pixels less the declared background, in detector
          pixels; NaN where the sum is not positive.
        - ``fwhm_y``, ``fwhm_x``: width, in pixels, of the ROI's profile (sum over the other axis) at half its height
          above the base, which is the declared background, else the mean of the outermost 5 % of bins (at least one)
          on each side; first crossing outwards from the maximum on each side, straight lines between bins (also across
          those without a valid pixel); NaN where a side is not crossed.
        - ``<name>_errors``: standard errors from counting; NaN where the image is not in ``counts``.
        - ``median_bias``: by which part a plain median raised the intensity (below 0: lowered it), measured in one
          frame in eight, spikes aside; only with such a median on counts. NaN in the others.
        - where a ROI's ``measure`` asks for them: ``mean`` (intensity over ``n_valid``), ``minimum``, ``std`` (over the
          valid pixels, by their number), ``brightest`` (mean of the ``n_brightest`` highest), ``sigma_y``, ``sigma_x``
          (root of the second central moment of the profile less the declared background, in pixels), ``skewness_y``,
          ``skewness_x``; both NaN where the moment is less than three standard errors above zero. ``minimum``,
          ``std`` and ``brightest`` have no errors.
        - ``n_valid``, with exact edges the area of the valid pixels; ``n_saturated``: raw pixels at or above the
          attribute ``count_cutoff``, -1 where the image is not in counts or no cut-off is known; ``quality``: reasons
          not to trust the values.

        - where a ROI is a rotated box, ``com_across``, ``com_along``, ``fwhm_across``, ``fwhm_along``: the same on its
          own axes, in pixels from its middle; NaN of other ROIs.
        - with ``profiles``: ``profile_y (time, roi, y)``, ``profile_x (time, roi, x)``, sums over the other axis less
          the declared background, with ``*_errors`` of single bins, on all detector pixels that any ROI ever covers;
          NaN outside a ROI.

        Coordinates: those of the measurement that have dims ``(time)`` or none, ``roi_y0, roi_y1, roi_x0, roi_x1``,
        ``roi_shape`` where one is no rectangle, and
        ``scale_errors (time)``: the relative error that all frames share, which no averaging over frames makes smaller;
        here that of the flat field, in the ROI where it is largest, and 0 where none is known. Where frames are divided
        by a counter or a background, ``frame_scale_errors (time)``: the relative error that all ROIs of a frame have
        from it; where a background is subtracted from whole frames, ``level_errors (time)``, per pixel. Both are part
        of ``intensity_errors``. ``remarks`` without dims: what there is to say of the numbers, one
        sentence a line; whoever loads them hears it as warnings.

    Raises
    ------
    RoiError
        A ROI does not lie in the image, or names a background that is not there.
    CorrectionError
        The correction does not fit the frames.
    SchemaError
        There is no image, or no ROI.

    Warns
    -----
    XinsituWarning
        The image says that it holds counts, but somebody has calculated with it: its errors are NaN. When the numbers
        are loaded: frames cannot be read; the background that they are divided by is zero in some, or holds so few
        counts that it adds more than 10 % noise; a plain median takes a part of few counts.

    Examples
    --------
    >>> frame = np.zeros((1, 5, 6), "int32"); frame[0, 2, 3] = 8
    >>> frames = xr.DataArray(frame, dims=("time", "y", "x"), attrs={"units": "counts"})
    >>> series = measure(frames, [Roi("spot", y=(0, 5), x=(1, 6))])
    >>> spot = series.sel(roi="spot").isel(time=0)
    >>> spot.intensity.item(), spot.com_y.item(), spot.com_x.item(), spot.fwhm_x.item()
    (8.0, 2.0, 3.0, 1.0)
    """
    image, named = image_of(data), RoiSet.of(rois)
    if not len(named):
        raise SchemaError("there is no ROI to measure")
    if smooth is not None and (isinstance(smooth, bool) or smooth < 3 or smooth % 2 == 0):
        raise SchemaError(f"smooth must be an odd number of bins from 3 on, not {smooth!r}")
    warn_of_unused(named)
    fit = fitted(data, named, correction, smooth, own_axes=True)
    if profiles:
        fit = replace(fit, plan=replace(fit.plan, bins=covered(fit.rois, fit.boxes)))
    packed, columns = rows_of(fit), fit.plan.columns
    if fit.plan.bins is None:
        return series_of(packed, data, named, fit, correction)
    series = series_of(packed[:, :, : len(columns)], data, named, fit, correction)
    bins = packed[:, : len(named), len(columns) :]
    return series.assign(profile_variables(bins, fit.plan.bins, image, units_after(image, correction)))


def rows_of(fit: Fitted) -> Any:  # noqa: ANN401 - NumPy or dask
    """Return what is measured of each frame by itself, ``(frame, roi, quantity)``, whatever frames are beside it."""
    tail = (len(fit.plan.regions), len(fit.plan.columns) + n_bins(fit.plan.bins))
    batch = Batch(statistics_block, statistics_in_files, algebra_block, fit.plan.layout.size)
    return over_batches(batch, fit.image, fit.per_frame, fit.plan, tail=tail, shared=fit.shared)


def series_of(
    packed: Any,  # noqa: ANN401 - NumPy or dask
    data: xr.Dataset | xr.DataArray,
    rois: RoiSet,
    fit: Fitted,
    correction: Correction | None,
) -> xr.Dataset:
    """Return the time series of frames from the rows of all of them, with what they say together."""
    own, turned = packed, {}
    if packed.shape[1] > len(rois):
        own, turned = packed[:, : len(rois)], on_own_axes(packed[:, len(rois) :], rois, fit.plan.columns)
    together = Together.of(own, _told(fit.plan, rois, Called.of(data)))
    return _unpacked(together, turned, data, image_of(data), rois, fit, correction)


# -- from the packed numbers to a Dataset -----------------------------------------------------------------------------


def _told(plan: Measurements, rois: RoiSet, called: Called | None) -> Told:
    """Say what to look for in all frames together."""
    divides = plan.steps.boxes is not None and plan.steps.mode == "divide"
    before = plan.behind_median and not plan.asks_median
    flat = plan.steps.flat_counts is not None
    return Told(
        plan.columns, divides, plan.counts, plan.asks_median, flat, *_signals(rois), median_before=before, called=called
    )


def warn_of_unused(rois: RoiSet) -> None:
    """Say which background ROIs no signal is freed from: they are measured, and subtracted from nothing."""
    signals = [roi for roi in rois if roi.role == "signal"]
    used = {name for roi in rois for name in roi.background}
    unused = [roi.name for roi in rois if roi.role == "background" and roi.name not in used]
    if signals and unused:
        warn(
            f"no ROI has {', '.join(map(repr, unused))} as its background, so it is subtracted from nothing: name it "
            f'in a ROI, e.g. "background": ["{unused[0]}"] of {signals[0].name}'
        )


def _signals(rois: RoiSet) -> tuple[tuple[str, ...], tuple[bool, ...], tuple[bool, ...]]:
    """Names of the ROIs, which of them are more than a background, and which take it from their own edge."""
    return rois.names, tuple(roi.role == "signal" for roi in rois), tuple(EDGE in roi.background for roi in rois)


def _unpacked(
    together: Together,
    turned: dict[str, xr.Variable],
    data: xr.Dataset | xr.DataArray,
    image: xr.DataArray,
    rois: RoiSet,
    fit: Fitted,
    correction: Correction | None,
) -> xr.Dataset:
    """One variable per quantity, with units, names and coordinates."""
    units = units_after(image, correction)
    coords = _riding_along(data, image) | _geometry(fit.rois, fit.boxes, image.sizes["time"])
    if any(roi.measures("brightest") for roi in rois):
        number = np.array([roi.n_brightest for roi in rois], dtype=np.int64)
        coords["n_brightest"] = _variable("n_brightest", ("roi",), number)
    flat, columns = fit.plan.steps.flat_counts is not None, fit.plan.columns
    shared = together.error_of_frame("flat_variance") if flat else np.zeros(image.sizes["time"])
    coords["scale_errors"] = _variable("scale_errors", ("time",), shared)
    steps = fit.plan.steps
    if steps.scaled or steps.mode == "divide":
        frame_errors = together.error_of_frame("frame_variance")
        coords["frame_scale_errors"] = _variable("frame_scale_errors", ("time",), frame_errors)
    if steps.mode == "subtract":
        level = together.error_of_frame("level_variance")
        coords["level_errors"] = _variable("level_errors", ("time",), level, units=units)
    marks = frame_flags(coords)
    known = None if marks is None or marks.chunks is not None else marks.values  # of what is in memory
    variables: dict[Hashable, xr.Variable] = {}
    for name in filter(columns.place.__contains__, REPORTED):
        parts = name == "n_valid" and any(region.pixels.fractional for region in fit.plan.regions)
        dtype = np.float64 if parts else _INTEGERS.get(name, np.float64)
        values = together.column(name, dtype, known if name == "quality" else None)
        base = name.removesuffix("_errors")
        own_units = units if base in IMAGE_UNITS else None
        variables[name] = _variable(
            name, ("time", "roi"), values, units=own_units, long_name=_long_name(base, image)
        )  # fmt: skip
    if marks is not None and known is None:
        marked = (variables["quality"] | marks).transpose("time", "roi")
        variables["quality"] = _variable("quality", marked.dims, marked.astype(np.int32).data)
    series = xr.Dataset(variables | turned, coords=coords | {"remarks": together.said})
    attributes = dict(data.attrs) if isinstance(data, xr.Dataset) else {}
    attributes["correction"] = (Correction() if correction is None else correction).to_json()
    attributes |= reference_of(data, image, correction)
    attributes["rois"] = json.dumps(rois.to_dict(), sort_keys=True)
    return series.assign_attrs(attributes)


def _variable(name: str, dims: tuple[Hashable, ...], values: Any, **words: str | None) -> xr.Variable:  # noqa: ANN401
    """Values with the attributes of the data model; a DataArray for each would take as long as to measure them."""
    return xr.Variable(dims, values, attributes_of(name, **words))


def _riding_along(data: xr.Dataset | xr.DataArray, image: xr.DataArray) -> dict[Hashable, xr.Variable]:
    """Everything that a measurement says per frame, or once."""
    source = data if isinstance(data, xr.Dataset) else image.coords.to_dataset()
    return {
        name: variable
        for name, variable in source.variables.items()
        if (variable.dims in ((), ("time",)) and name != "roi") or name == "time_bounds"
    }


def _geometry(rois: RoiSet, boxes: Mapping[str, npt.NDArray[np.int64]], n_frames: int) -> dict[Hashable, xr.Variable]:
    """Names and bounds of the ROIs as coordinates; bounds along time, too, where a ROI moves."""
    still = np.array([[*roi.y, *roi.x] for roi in rois], dtype=np.int64)
    bounds = still
    dims: tuple[Hashable, ...] = ("roi",)
    if boxes:
        bounds = np.stack(
            [boxes.get(roi.name, np.tile(own, (n_frames, 1))) for roi, own in zip(rois, still, strict=True)], axis=1
        )
        dims = ("time", "roi")
    geometry: dict[Hashable, xr.Variable] = {"roi": _variable("roi", ("roi",), np.array(rois.names))}
    for column, name in enumerate(("roi_y0", "roi_y1", "roi_x0", "roi_x1")):
        geometry[name] = _variable(name, dims, bounds[..., column])
    if any(roi.geometry is not None for roi in rois):
        shapes = ["" if roi.geometry is None else f"{roi.geometry.text}, {roi.edges} edges" for roi in rois]
        geometry["roi_shape"] = _variable("roi_shape", ("roi",), np.array(shapes))
    return geometry


def _long_name(name: str, image: xr.DataArray) -> str | None:
    """Long name that says the direction as the instrument calls it, e.g. ``centre of mass along hk``."""
    axis = name[-1]
    if not name.endswith(("_y", "_x")) or axis not in image.coords:
        return None
    called = str(image[axis].attrs.get("long_name", ""))
    if not called or called == QUANTITIES[axis].long_name:
        return None
    quantity: Quantity = QUANTITIES[name]
    if name.startswith("maximum"):
        return f"{called} of the highest pixel"
    return quantity.long_name.removesuffix(axis) + called
