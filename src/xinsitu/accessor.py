"""``.insitu`` on Dataset, DataArray and DataTree: every method is one line that calls a public function.

The functions, not the methods, are the documentation: ``help(xinsitu.measure)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

import xinsitu as xi

if TYPE_CHECKING:
    import holoviews as hv

    from .app.serve import Explorer

Data = TypeVar("Data", xr.Dataset, xr.DataArray)


class _Accessor(Generic[Data]):
    """What frames and time series have in common."""

    def __init__(self, data: Data) -> None:
        self._data: Data = data

    def correct(self, correction: xi.Correction) -> Data:
        """Correct the frames lazily; see :func:`xinsitu.correct`."""
        return xi.correct(self._data, correction)

    def crop(self, *, y: tuple[int, int] | None = None, x: tuple[int, int] | None = None) -> Data:
        """Cut out detector rows and columns; see :func:`xinsitu.crop`."""
        return xi.crop(self._data, y=y, x=x)

    def measure(
        self,
        rois: Iterable[xi.Roi],
        *,
        correction: xi.Correction | None = None,
        **options: Any,  # noqa: ANN401 - forwarded as they are
    ) -> xr.Dataset:
        """Measure ROIs in one pass, lazily; see :func:`xinsitu.measure`."""
        return xi.measure(self._data, rois, correction=correction, **options)

    def fit_rois(self, rois: Iterable[xi.Roi], **options: Any) -> xr.Dataset:  # noqa: ANN401 - forwarded as they are
        """Fit the profiles of ROIs in one pass, lazily; see :func:`xinsitu.fit_rois`."""
        return xi.fit_rois(self._data, rois, **options)

    def fit_spots(self, rois: Iterable[xi.Roi], **options: Any) -> xr.Dataset:  # noqa: ANN401 - forwarded as they are
        """Fit the spots of ROIs in one pass, lazily; see :func:`xinsitu.fit_spots`."""
        return xi.fit_spots(self._data, rois, **options)

    def profiles(self, roi: xi.Roi, **options: Any) -> xr.DataArray:  # noqa: ANN401 - forwarded as they are
        """Profile of a ROI in every frame, lazily; see :func:`xinsitu.profiles`."""
        return xi.profiles(self._data, roi, **options)

    def track(self, roi: xi.Roi, **options: Any) -> xi.Track:  # noqa: ANN401 - forwarded as they are
        """Let a ROI follow its spot; see :func:`xinsitu.track`."""
        return xi.track(self._data, roi, **options)

    def plot_frames(self, **options: Any) -> hv.DynamicMap:  # noqa: ANN401 - forwarded as they are
        """Show one frame at a time; see :func:`xinsitu.plot_frames`."""
        return xi.plot_frames(self._data, **options)

    def plot_rois(self, rois: Iterable[xi.Roi], **options: Any) -> hv.Overlay:  # noqa: ANN401 - forwarded as they are
        """Show ROIs on a frame; see :func:`xinsitu.plot_rois`."""
        return xi.plot_rois(self._data, rois, **options)

    def plot_kymograph(self, roi: xi.Roi, **options: Any) -> hv.Element:  # noqa: ANN401 - forwarded as they are
        """Show a ROI's profile against time; see :func:`xinsitu.plot_kymograph`."""
        return xi.plot_kymograph(self._data, roi, **options)

    def explore(self, **options: Any) -> Explorer:  # noqa: ANN401 - forwarded as they are
        """Open the explorer in the browser; see :func:`xinsitu.app.serve.explore`."""
        from .app.serve import explore

        return explore(self._data, **options)

    @property
    def epoch(self) -> npt.NDArray[np.float64]:
        """UNIX epoch seconds of ``time``."""
        return xi.epoch_seconds(self._data["time"])


@xr.register_dataset_accessor("insitu")  # type: ignore[no-untyped-call] # xarray has no types here
class DatasetAccessor(_Accessor[xr.Dataset]):
    """``dataset.insitu``: a measurement, ROI time series or a sample."""

    def to_dataframe(self, layout: Literal["long", "wide"] = "long") -> pd.DataFrame:
        """Return ROI time series as a table; see :func:`xinsitu.to_dataframe`."""
        return xi.to_dataframe(self._data, layout)

    def correct_attenuation(self, changes: Iterable[xi.AttenuationChange], **options: Any) -> xr.Dataset:  # noqa: ANN401
        """Scale intensities across changes; see :func:`xinsitu.correct_attenuation`."""
        return xi.correct_attenuation(self._data, changes, **options)

    def find_attenuation_changes(self, **options: Any) -> list[xi.AttenuationChange]:  # noqa: ANN401
        """Propose changes of attenuation; see :func:`xinsitu.find_attenuation_changes`."""
        return xi.find_attenuation_changes(self._data, **options)

    def between(self, start: str | xi.Event, stop: str | xi.Event | None = None) -> xr.Dataset:
        """Select the frames from one event to another; see :func:`xinsitu.between`."""
        return xi.between(self._data, start, stop)

    def fraction(self, rois: Sequence[str], *, weights: Mapping[str, float] | None = None) -> xr.Dataset:
        """Part of each ROI in the sum of some; see :func:`xinsitu.fraction`."""
        return xi.fraction(self._data, rois, weights=weights)

    def ratio(
        self,
        numerator: str | Sequence[str],
        denominator: str | Sequence[str],
        *,
        weights: Mapping[str, float] | None = None,
    ) -> xr.Dataset:
        """Ratio of intensities; see :func:`xinsitu.ratio`."""
        return xi.ratio(self._data, numerator, denominator, weights=weights)

    def plot(self, **options: Any) -> hv.Layout:  # noqa: ANN401 - forwarded as they are
        """Plot time series; see :func:`xinsitu.plot`."""
        return xi.plot(self._data, **options)


@xr.register_dataarray_accessor("insitu")  # type: ignore[no-untyped-call] # xarray has no types here
class DataArrayAccessor(_Accessor[xr.DataArray]):
    """``dataarray.insitu``: frames."""


@xr.register_datatree_accessor("insitu")  # type: ignore[no-untyped-call] # xarray has no types here
class DataTreeAccessor:
    """``tree.insitu``: the measurements of a sample."""

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def measure(self, rois: Iterable[xi.Roi], *, correction: xi.Correction | None = None) -> xr.DataTree:
        """Measure ROIs in every measurement, lazily; see :func:`xinsitu.measure`."""
        return self._tree.map_over_datasets(_measure, xi.RoiSet.of(rois), correction)

    def stitch(self) -> xr.Dataset:
        """Join time series on one time axis; see :func:`xinsitu.stitch`."""
        return xi.stitch(self._tree)

    def plot(self, **options: Any) -> hv.Layout:  # noqa: ANN401 - forwarded as they are
        """Plot time series, joined; see :func:`xinsitu.plot`."""
        return xi.plot(self.stitch(), **options)

    def explore(self, **options: Any) -> Explorer:  # noqa: ANN401 - forwarded as they are
        """Open the explorer in the browser, measurements behind each other; see :func:`xinsitu.app.serve.explore`."""
        from .app.serve import explore

        return explore(self._tree, **options)


def _measure(node: xr.Dataset, rois: xi.RoiSet, correction: xi.Correction | None) -> xr.Dataset:
    """Measure a node that holds frames; the root of a sample holds none."""
    return xi.measure(node, rois, correction=correction) if "image" in node else node
