"""Samples beside each other, each on its own elapsed time, with a table of slopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from xinsitu.errors import SchemaError, StitchError
from xinsitu.kernels import lines
from xinsitu.physics.attenuation.counts import signal_rois
from xinsitu.physics.attenuation.factors import Floats, usual_error
from xinsitu.physics.attenuation.scaling import attenuation_changes, attenuation_record
from xinsitu.schema import POSITIONS, QUANTITIES, errors_name, require
from xinsitu.values import Event

from .bad_frames import mask_flagged
from .events import EventLike, elapsed
from .onsets import find_onsets

COMPARED = ("intensity", "fraction", *POSITIONS)


@dataclass(frozen=True)
class Comparison:
    """Samples on their own elapsed times.

    Parameters
    ----------
    series
        Each sample under its name, with the coordinate ``elapsed (time)`` in seconds.
    slopes
        ``slope`` and ``slope_errors``, dims ``(sample, roi, quantity)``, units of the quantity per second, and
        ``frames``, the number of frames in the fit; of the intensity also ``onset`` and ``onset_errors``, the elapsed
        seconds at which it begins to change (:func:`~xinsitu.find_onsets`).
    start, stop
        Elapsed seconds between which the slopes were fitted.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(5) * np.timedelta64(1, "s")
    >>> line = xr.Dataset({"com_x": (("time", "roi"), 2.0 * np.arange(5)[:, None])}, {"time": time, "roi": ["WZ"]})
    >>> compared = compare({"0884": line})
    >>> round(float(compared.slopes.slope.sel(sample="0884", roi="WZ", quantity="com_x")), 6)
    2.0
    """

    series: Mapping[str, xr.Dataset]
    slopes: xr.Dataset
    start: float
    stop: float

    def table(self) -> pd.DataFrame:
        """Slopes with errors and units, one line for each sample, ROI and quantity that was measured."""
        table = self.slopes.to_dataframe().reset_index()
        units = dict(zip(self.slopes["quantity"].values, self.slopes["units"].values, strict=True))
        table["units"] = [f"{units[name]} / s" for name in table["quantity"]]
        known = table["slope"].notna()
        columns = ["sample", "roi", "quantity", "slope", "slope_errors", "units", "frames", "onset", "onset_errors"]
        return table.loc[known, columns].reset_index(drop=True)

    def __str__(self) -> str:
        head = f"slopes from {self.start:g} s to {self.stop:g} s of elapsed time"
        return f"{head}\n{self.table().to_string(index=False, float_format=lambda value: f'{value:.4g}')}"


def compare(
    samples: Iterable[xr.Dataset] | Mapping[str, xr.Dataset],
    *,
    t0: EventLike | None = None,
    events: Iterable[Event] = (),
    interval: tuple[float, float] | None = None,
    roi: str | Sequence[str] | None = None,
) -> Comparison:
    """Put samples on their own elapsed times and fit slopes.

    Slopes are weighted least squares over the frames in the interval, outliers and bad frames left out; without errors
    all frames weigh the same and the scatter about the line gives the error; intensities weigh by the errors of nearby
    frames together, as a frame's own follows its luck. The error that a whole segment shares
    through its attenuation factor is carried as one number per change, so it does not average out [1]_.

    Parameters
    ----------
    samples
        Time series or samples, dims ``(time, roi)``; a mapping names them, otherwise their coordinate ``sample`` does.
    t0
        What is t = 0 in each: the name of an event that each has, or that stands in ``events``; None: its first frame.
    events
        Looked through before the samples' own.
    interval
        Elapsed seconds ``(start, stop)`` for the slopes; None: from t = 0 to the end of the shortest sample.
    roi
        Names of ROIs; None: all signals.

    Raises
    ------
    StitchError
        No sample is given, two have one name, or one has no such event.
    SchemaError
        No frame lies in the interval.

    References
    ----------
    .. [1] Heybrock, Wynen and Vaytet, J. Neutron Res. 25, 65 (2023), doi 10.3233/JNR-220049.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(4) * np.timedelta64(1, "s")
    >>> one = xr.Dataset({"com_y": (("time", "roi"), [[5.0], [7.0], [9.0], [11.0]])}, {"time": time, "roi": ["WZ"]})
    >>> compared = compare({"0884": one, "0799": one.isel(time=[0, 1, 2])})
    >>> compared.slopes.slope.sel(roi="WZ", quantity="com_y").values, compared.stop
    (array([2., 2.]), 2.0)
    """
    named = _named(samples)
    events = tuple(events)
    placed = {
        name: sample.assign_coords(elapsed=elapsed(sample, t0, events=events).variable)
        for name, sample in named.items()
    }
    last = min(float(sample["elapsed"].max()) for sample in placed.values())
    start, stop = interval if interval is not None else (0.0, last)
    fits = [_slopes(name, sample, start, stop, signal_rois(sample, roi)) for name, sample in placed.items()]
    slopes = xr.concat(
        fits, dim=pd.Index(list(placed), name="sample"), join="outer", coords="minimal", compat="override"
    )
    units = [_units(placed.values(), str(name)) for name in slopes["quantity"].values]
    return Comparison(placed, slopes.assign_coords(units=("quantity", units)), float(start), float(stop))


def _named(samples: Iterable[xr.Dataset] | Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    if isinstance(samples, Mapping):
        pairs = [(str(name), sample) for name, sample in samples.items()]
    else:
        pairs = [(_name(sample, number), sample) for number, sample in enumerate(samples, start=1)]
    if not pairs:
        raise StitchError("there is nothing to compare: give at least one sample")
    named = dict(pairs)
    if len(named) < len(pairs):
        raise StitchError("two samples have the same name; give a mapping from names to samples")
    for name, sample in pairs:
        require(sample, dims=("time", "roi"))
        if not sample.sizes["time"]:
            raise SchemaError(f"{name}: there are no frames to compare")
        if {"peak", "ridge"} & set(sample.dims):
            raise SchemaError(f"{name}: holds several peaks of each ROI; compared are series, or fits of one peak")
    return named


def _name(sample: xr.Dataset, number: int) -> str:
    if "sample" in sample.coords and sample["sample"].ndim == 0:
        return str(sample["sample"].item())
    return f"sample {number}"


def _units(samples: Iterable[xr.Dataset], quantity: str) -> str:
    for sample in samples:
        if quantity in sample and "units" in sample[quantity].attrs:
            return str(sample[quantity].attrs["units"])
    return str(QUANTITIES[quantity].units)


def _slopes(name: str, sample: xr.Dataset, start: float, stop: float, rois: Sequence[str]) -> xr.Dataset:
    seconds = sample["elapsed"].values
    here = (seconds >= start) & (seconds <= stop)
    if not here.any():
        raise SchemaError(f"{name}: there is no frame between {start:g} s and {stop:g} s of elapsed time")
    quantities = [quantity for quantity in COMPARED if quantity in sample]
    part = sample.sel(roi=list(rois)).isel(time=here)
    wanted = [v for q in quantities for v in (q, errors_name(q)) if v in part]
    part = mask_flagged(part[[*wanted, *({"quality"} & set(part.data_vars))]]).compute()
    modes = scale_modes(sample)[:, here]
    shape = (len(rois), len(quantities))
    slope, error, frames = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype="int64")
    for j, quantity in enumerate(quantities):
        values = part[quantity].transpose("time", "roi").values
        known = part[errors_name(quantity)].transpose("time", "roi").values if errors_name(quantity) in part else None
        shared = modes if quantity == "intensity" else modes[:0]
        for i in range(len(rois)):
            errors = None if known is None else known[:, i]
            if errors is not None and quantity == "intensity" and (errors > 0).any():
                errors = np.where(
                    np.isfinite(errors), usual_error(errors), np.nan
                )  # a frame's own would weigh its luck
            slope[i, j], error[i, j], frames[i, j] = _slope(seconds[here], values[:, i], errors, shared)
    dims = ("roi", "quantity")
    data = {"slope": (dims, slope), "slope_errors": (dims, error), "frames": (dims, frames)}
    onset, doubt = np.full(shape, np.nan), np.full(shape, np.nan)
    if "intensity" in quantities:
        found, column = find_onsets(sample, roi=list(rois)), quantities.index("intensity")
        onset[:, column], doubt[:, column] = found["delay"] + seconds[0], found["delay_errors"]
    data |= {"onset": (dims, onset), "onset_errors": (dims, doubt)}
    return xr.Dataset(data, {"roi": list(rois), "quantity": quantities})


def _slope(x: Floats, values: Floats, errors: Floats | None, modes: Floats) -> tuple[float, float, int]:
    """Slope, its error, and the number of frames; NaN with fewer than three."""
    weight, known = lines.weights(values, errors)
    line = lines.straight(x, values, weight)
    if line.number < 3:
        return np.nan, np.nan, int(line.number)
    shared = (modes * line.pull) @ np.nan_to_num(values)
    variance = line.slope_variance * lines.inflation(line, known) + np.sum(shared**2)
    return float(line.slope), float(np.sqrt(variance)), int(line.number)


def scale_modes(sample: xr.Dataset) -> Floats:
    """Relative errors that intensities share: one row for each change, dims ``(change, time)``.

    The covariance of relative errors is ``modes.T @ modes``: a change moves all frames on the far side of it from the
    reference segment together.
    """
    changes = attenuation_changes(sample)
    if not changes:
        return np.zeros((0, sample.sizes["time"]))
    segment, stays = np.asarray(sample["segment"].values), int(attenuation_record(sample)["reference_segment"])
    rows = []
    for number, change in enumerate(changes):
        moved = segment > number if stays <= number else (segment <= number) & (segment >= 0)
        rows.append(np.where(moved, (change.factor_errors or 0.0) / (change.factor or 1.0), 0.0))
    return np.array(rows)
