"""What is done to a series or a sample is done by ``.insitu``, too."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.accessor import DataArrayAccessor, DatasetAccessor

OF_SEVERAL = {"compare", "stitch", "onset_events", "reciprocal_axis", "calibrate_profile"}
"""Functions of several samples, of a table of onsets, of a calibration and of a profile without a time."""


def of_samples():
    for name in xi.__all__:
        function = getattr(xi, name)
        if inspect.isfunction(function) and inspect.unwrap(function).__module__.startswith("xinsitu.physics.samples"):
            yield name, str(next(iter(inspect.signature(function).parameters.values())).annotation)


@pytest.mark.parametrize(("name", "first"), list(of_samples()))
def test_the_accessor_has_it(name, first):
    if name in OF_SEVERAL:
        return
    taken = [kind for kind in (DatasetAccessor, DataArrayAccessor) if hasattr(kind, name)]
    assert taken, f"{name}({first}) is not in .insitu"


def test_it_gives_what_the_function_gives():
    time = np.datetime64("2019-02-03", "ns") + np.arange(40) * np.timedelta64(2, "s")
    values = 50 + 3.0 * np.arange(40)[:, None] * [1, 2]
    series = xr.Dataset({"intensity": (("time", "roi"), values)}, {"time": time, "roi": ["a", "b"]})
    xr.testing.assert_identical(series.insitu.normalise((time[0], time[9])), xi.normalise(series, (time[0], time[9])))
    xr.testing.assert_identical(
        series.intensity.insitu.normalise((time[0], time[9])), xi.normalise(series.intensity, (time[0], time[9]))
    )
    assert series.insitu.events_of() == ()
