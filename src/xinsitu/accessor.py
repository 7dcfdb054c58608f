"""``.insitu`` on Dataset, DataArray and DataTree: every method is a public function whose first argument is the data.

The function's signature and help are the method's: ``scan.insitu.measure?`` is ``help(xinsitu.measure)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

import xinsitu as xi

if TYPE_CHECKING:
    import holoviews as hv

    from .app.serve import Explorer

Data = TypeVar("Data", xr.Dataset, xr.DataArray)
P = ParamSpec("P")
R = TypeVar("R")


class _Bound(Generic[P, R]):
    """A function as a method of the data, looked up when it is used: nothing is loaded before."""

    def __init__(self, function: Callable[[], Callable[Concatenate[Any, P], R]]) -> None:
        self._function = function

    def __get__(self, accessor: _Accessor[Any] | DataTreeAccessor | None, owner: type) -> Callable[P, R]:
        function = self._function()
        # of the class it is the function itself, for help
        return cast("Callable[P, R]", function if accessor is None else MethodType(function, accessor._data))


def _explore() -> Callable[..., Explorer]:
    from .app.serve import explore

    return explore


class _Accessor(Generic[Data]):
    """What both kinds of data can do."""

    def __init__(self, data: Data) -> None:
        self._data: Data = data

    def __dir__(self) -> list[str]:
        """Show what fits: frames have nothing to stitch, time series nothing to correct."""
        frames = {"y", "x"} <= set(map(str, self._data.dims))
        unfit = SERIES if frames else FRAMES
        return [name for name in object.__dir__(self) if name not in unfit]

    def correct(self, correction: xi.Correction) -> Data:
        """Correct the frames lazily; see :func:`xinsitu.correct`."""
        return xi.correct(self._data, correction)

    def crop(self, *, y: tuple[int, int] | None = None, x: tuple[int, int] | None = None) -> Data:
        """Cut out detector rows and columns; see :func:`xinsitu.crop`."""
        return xi.crop(self._data, y=y, x=x)

    measure = _Bound(lambda: xi.measure)
    fit_rois = _Bound(lambda: xi.fit_rois)
    fit_spots = _Bound(lambda: xi.fit_spots)
    profiles = _Bound(lambda: xi.profiles)
    two_time = _Bound(lambda: xi.two_time)
    line_cut = _Bound(lambda: xi.line_cut)
    track = _Bound(lambda: xi.track)
    plot_frames = _Bound(lambda: xi.plot_frames)
    plot_rois = _Bound(lambda: xi.plot_rois)
    plot_kymograph = _Bound(lambda: xi.plot_kymograph)
    waterfall = _Bound(lambda: xi.waterfall)
    normalise = _Bound(lambda: xi.normalise)
    explore = _Bound(_explore)

    @property
    def epoch(self) -> npt.NDArray[np.float64]:
        """UNIX epoch seconds of ``time``."""
        return xi.epoch_seconds(self._data["time"])


@xr.register_dataset_accessor("insitu")  # type: ignore[no-untyped-call] # xarray has no types here
class DatasetAccessor(_Accessor[xr.Dataset]):
    """``dataset.insitu``: a measurement, ROI time series or a sample."""

    to_dataframe = _Bound(lambda: xi.to_dataframe)
    correct_attenuation = _Bound(lambda: xi.correct_attenuation)
    find_attenuation_changes = _Bound(lambda: xi.find_attenuation_changes)
    undo_attenuation = _Bound(lambda: xi.undo_attenuation)
    between = _Bound(lambda: xi.between)
    elapsed = _Bound(lambda: xi.elapsed)
    with_events = _Bound(lambda: xi.with_events)
    events_of = _Bound(lambda: xi.events_of)
    append_measurements = _Bound(lambda: xi.append_measurements)
    fraction = _Bound(lambda: xi.fraction)
    ratio = _Bound(lambda: xi.ratio)
    find_onsets = _Bound(lambda: xi.find_onsets)
    flag_bad_frames = _Bound(lambda: xi.flag_bad_frames)
    flag_outliers = _Bound(lambda: xi.flag_outliers)
    mask_flagged = _Bound(lambda: xi.mask_flagged)
    calibrate = _Bound(lambda: xi.calibrate)
    plot = _Bound(lambda: xi.plot)


@xr.register_dataarray_accessor("insitu")  # type: ignore[no-untyped-call] # xarray has no types here
class DataArrayAccessor(_Accessor[xr.DataArray]):
    """``dataarray.insitu``: frames, or one quantity of a time series."""

    fit_growth = _Bound(lambda: xi.fit_growth)
    oscillation_period = _Bound(lambda: xi.oscillation_period)
    slope = _Bound(lambda: xi.slope)
    smooth = _Bound(lambda: xi.smooth)
    derivative = _Bound(lambda: xi.derivative)
    smoothing_spline = _Bound(lambda: xi.smoothing_spline)


@xr.register_datatree_accessor("insitu")  # type: ignore[no-untyped-call] # xarray has no types here
class DataTreeAccessor:
    """``tree.insitu``: the measurements of a sample."""

    def __init__(self, tree: xr.DataTree) -> None:
        self._data = tree

    def measure(self, rois: Iterable[xi.Roi], *, correction: xi.Correction | None = None) -> xr.DataTree:
        """Measure ROIs in every measurement, lazily; see :func:`xinsitu.measure`."""
        return self._data.map_over_datasets(_measure, xi.RoiSet.of(rois), correction)

    @property
    def plot(self) -> Callable[..., hv.Layout]:
        """Plot time series, joined; see :func:`xinsitu.plot`."""
        return self.stitch().insitu.plot  # type: ignore[no-any-return] # the accessor comes at run time

    stitch = _Bound(lambda: xi.stitch)
    explore = _Bound(_explore)


def _measure(node: xr.Dataset, rois: xi.RoiSet, correction: xi.Correction | None) -> xr.Dataset:
    """Measure a node that holds frames; the root of a sample holds none."""
    return xi.measure(node, rois, correction=correction) if "image" in node else node


def _methods(*kinds: type) -> frozenset[str]:
    return frozenset(name for kind in kinds for name in vars(kind) if not name.startswith("_"))


SERIES = _methods(DatasetAccessor, DataArrayAccessor)
FRAMES = _methods(_Accessor) - {"epoch"}
