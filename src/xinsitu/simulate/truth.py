"""What a simulated experiment should give when it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.ndimage import median_filter

from xinsitu.errors import SchemaError
from xinsitu.schema import describe
from xinsitu.values import AttenuationChange, Event, Roi, RoiSet

from .experiment import Experiment
from .scene import Array, measure_profiles, noise_free


@dataclass(frozen=True, eq=False)
class Truth:
    """Truth of a simulated experiment.

    Parameters
    ----------
    experiment, seed
        What it was made from.
    rois
        As in ``rois.json``.
    changes
        Attenuator changes with their true factors; ``changes.json`` leaves the factors open.
    events
        As in ``events.json``.
    folders
        ``sample``, ``flatfield``, ``test``, and each measurement by its name.
    files
        ``rois``, ``changes`` and ``events``.
    expected
        Dims ``(time, roi)``: ``intensity``, ``background``, ``com_y``, ``com_x``, ``fwhm_y``, ``fwhm_x`` of every frame
        without noise, attenuator and detector. ``intensity`` is net of the background where the ROI declares one: the
        plain sum is ``intensity + background``. ``time`` is the true time that the stamps truncate to whole seconds;
        ``measurement``, ``scan``, ``frame``, ``stamp``, ``beam`` (0 in a dump), ``transmission`` and ``segment`` (-1 in
        a transition) are coordinates.
    flatfield
        Dims ``(y, x)``: true relative sensitivity, mean 1, 0 where a pixel is dead.
    """

    experiment: Experiment
    seed: int
    rois: RoiSet
    changes: tuple[AttenuationChange, ...]
    events: tuple[Event, ...]
    folders: Mapping[str, Path]
    files: Mapping[str, Path]
    expected: xr.Dataset
    flatfield: xr.DataArray
    timeline: xr.Dataset = field(repr=False)

    @property
    def measurements(self) -> tuple[Path, ...]:
        """Folders of the measurements in time order."""
        return tuple(self.folders[run.name] for run in self.experiment.runs)

    def frames(self, measurement: str, *, detector: bool = False) -> xr.DataArray:
        """Return the noise-free frames of one measurement, dims ``(time, y, x)``, float64 counts.

        Parameters
        ----------
        measurement
            Its name.
        detector
            As the detector sees them: attenuated, times the sensitivity of each pixel, with the hot pixels' counts left
            out. Otherwise neither.

        Raises
        ------
        SchemaError
            There is no such measurement.
        """
        timeline = self.timeline.isel(time=self.timeline["measurement"].to_numpy() == measurement)
        if not timeline.sizes["time"]:
            names = ", ".join(run.name for run in self.experiment.runs)
            raise SchemaError(f"there is no measurement {measurement!r}; the experiment has {names}")
        rows, columns = self.experiment.detector.shape
        along_y, along_x = noise_free(self.experiment, timeline["progress"].to_numpy(), (0, rows), (0, columns))
        frames = xr.DataArray(
            along_y @ along_x + self.experiment.diffuse,
            dims=("time", "y", "x"),
            coords={**timeline.coords, "y": np.arange(rows), "x": np.arange(columns)},
            name="image",
        )
        if detector:
            frames = frames * (timeline["transmission"] * timeline["beam"]) * self.flatfield
        return describe(frames, "image")

    def through_median(self, size: int = 3, *, filtered_flatfield: bool = False) -> xr.Dataset:
        """Return the expected series of noise-free frames that went through a plain median.

        A median takes from a narrow peak (7 % of the sum at sigma 2 px, 1 % at 4 px, for size 3), so numbers measured
        with it are compared with these and not with :attr:`expected`.

        Parameters
        ----------
        size
            Of the median, pixels.
        filtered_flatfield
            Whether the flat field that the filtered frames are divided by went through the same median.

        Returns
        -------
        xr.Dataset
            Dims ``(time, roi)``, the variables and coordinates of :attr:`expected`.
        """
        flat = self.flatfield.to_numpy()
        divisor = median_filter(flat, size, mode="reflect") if filtered_flatfield else flat
        crops = {roi.name: self._filtered(roi, size, flat, divisor) for roi in self.rois}
        columns = []
        for roi in self.rois:
            empty = [crops[name].mean(axis=(1, 2)) for name in roi.background if name in crops]
            level = np.mean(empty, axis=0) if empty else np.zeros(self.expected.sizes["time"])
            net = crops[roi.name] - level[:, None, None]
            columns.append(measure_profiles(net.sum(axis=2), net.sum(axis=1), roi) | {"background": level * roi.area})
        variables = {
            name: (("time", "roi"), np.stack([column[name] for column in columns], axis=1)) for name in columns[0]
        }
        return described(xr.Dataset(variables, coords=self.expected.coords))

    def _filtered(self, roi: Roi, size: int, flat: Array, divisor: Array) -> Array:
        """Median of sensitivity times noise-free frames in one ROI, divided by the flat field."""
        (y0, y1), (x0, x1) = (
            (max(bounds[0] - size, 0), min(bounds[1] + size, limit))
            for bounds, limit in zip((roi.y, roi.x), flat.shape, strict=True)
        )
        along_y, along_x = noise_free(self.experiment, self.timeline["progress"].to_numpy(), (y0, y1), (x0, x1))
        inside = np.s_[:, roi.y[0] - y0 : roi.y[1] - y0, roi.x[0] - x0 : roi.x[1] - x0]
        frames = (along_y @ along_x + self.experiment.diffuse) * flat[y0:y1, x0:x1]
        filtered = median_filter(frames, (1, size, size), mode="reflect")
        return np.asarray(filtered[inside] / divisor[slice(*roi.y), slice(*roi.x)])


def described(series: xr.Dataset) -> xr.Dataset:
    """Return the series with the data model's units and names."""
    return series.assign({name: describe(series[name], str(name)) for name in series.data_vars})
