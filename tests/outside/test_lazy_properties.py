"""What dask and xarray themselves ask of anything lazy, on variables that xarray's own strategies draw.

``assert_eq`` compares values, shape, kind, chunks and meta, and looks into the graph; ``check_tokenize`` wants one name
for equal arrays and another for others; nothing is computed before it is asked for.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import xarray.testing.strategies as xrst
from dask.array.utils import assert_eq
from dask.tests.test_tokenize import check_tokenize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import xinsitu as xi
from tests.conftest import computations

pytestmark = pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
ROIS = [xi.Roi("a", y=(1, 7), x=(2, 9)), xi.Roi("b", y=(0, 4), x=(5, 9))]
BOX = xi.Background(y=(0, 3), x=(0, 3), mode="subtract")
CORRECTIONS = [
    xi.Correction(),
    xi.Correction(median=3),
    xi.Correction(median=3, threshold=5),
    xi.Correction(background=BOX),
    xi.Correction(median=3, background=xi.Background(y=(0, 3), x=(0, 3))),
]
KINDS = st.sampled_from(["uint8", "uint16", "int32", "float32", "float64"]).map(np.dtype)
EXAMPLES = max(4, settings().max_examples // 6)
few = functools.partial(
    settings,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def pixels(*, shape, dtype):
    """Counts, and NaN where the kind has it."""
    numbers = st.integers(0, 200) if dtype.kind in "iu" else st.sampled_from([0.0, 1.5, 200.0, np.nan])
    return npst.arrays(dtype=dtype, shape=shape, elements=numbers)


@st.composite
def frames(draw):
    """A variable that xarray's strategy drew, as frames, and the same in chunks of any size along time and in space."""
    sizes = {"time": draw(st.integers(1, 6)), "y": draw(st.integers(8, 12)), "x": draw(st.integers(9, 13))}
    attrs = st.just({"units": "counts"})
    variable = draw(xrst.variables(array_strategy_fn=pixels, dims=st.just(sizes), dtype=KINDS, attrs=attrs))
    time = np.datetime64("2014-05-28T08:00:00", "ns") + np.arange(sizes["time"]) * np.timedelta64(1, "s")
    coords = {"time": time, "y": np.arange(sizes["y"]), "x": np.arange(sizes["x"])}
    whole = xr.DataArray(variable, coords, name="image")
    chunks = {dim: draw(st.integers(1, size)) for dim, size in sizes.items()}
    return whole, whole.chunk(chunks)


def same(lazy: xr.DataArray, eager: xr.DataArray) -> None:
    """One is still lazy, and equal to the other in all that dask and xarray compare."""
    assert lazy.chunks is not None
    assert_eq(lazy.data, eager.data, equal_nan=True)
    check_tokenize(lazy.data)
    xr.testing.assert_identical(lazy.compute(), eager)
    assert lazy.compute().dtype == eager.dtype  # assert_identical does not look


ON_FRAMES = {
    "crop": lambda image, _: xi.crop(image, y=(1, 7)),
    "median": lambda image, _: xi.median(image),
    "median above a threshold": lambda image, _: xi.median(image, threshold=4.0),
    "median of a crop": lambda image, _: xi.crop(xi.median(image), x=(2, 9)),
    "correct": xi.correct,
    "profiles": lambda image, correction: xi.profiles(image, ROIS[0], along="x", correction=correction),
    "line_cut": lambda image, _: xi.line_cut(image, (1, 2), (6, 8)),
    "background": lambda image, _: xi.background(image, BOX),
}


@pytest.mark.parametrize("name", ON_FRAMES)
@few()
@given(frames(), st.sampled_from(CORRECTIONS))
def test_what_is_done_to_lazy_frames_is_lazy_and_equal(name, both, correction):
    whole, lazy = both
    with computations(0):
        found = ON_FRAMES[name](lazy, correction)
    same(found, ON_FRAMES[name](whole, correction))


@pytest.mark.thorough
@few()
@given(frames(), st.sampled_from(CORRECTIONS))
def test_measured_series(both, correction):
    whole, lazy = both
    with computations(0):
        measured = xi.measure(lazy, ROIS, correction=correction)
    expected = xi.measure(whole, ROIS, correction=correction)
    assert set(measured.variables) == set(expected.variables)
    assert measured.intensity.chunks is not None
    for name in measured.data_vars:
        if measured[name].chunks is not None:
            assert_eq(measured[name].data, expected[name].data, equal_nan=True)
    check_tokenize(measured.intensity.data)
    xr.testing.assert_identical(measured.compute(), expected)


def later(series: xr.Dataset) -> xr.Dataset:
    """Return the same as a measurement of a minute later."""
    return series.assign_coords(time=series.time + np.timedelta64(60, "s"))


ON_SERIES = {
    "smooth": lambda series: xi.smooth(series.intensity, 3),
    "derivative": lambda series: xi.derivative(series.intensity, window=3),
    "normalise": lambda series: xi.normalise(series.intensity, tuple(series.time.values[[0, 2]])),
    "ratio": lambda series: xi.ratio(series, "a", "b"),
    "between": lambda series: xi.between(series.intensity, *series.time.values[[0, -1]]),
    "stitch": lambda series: xi.stitch([series]).intensity,
    "append_measurements": lambda series: xi.append_measurements(series, later(series)).intensity,
}


@pytest.mark.thorough("between")
@pytest.mark.parametrize("name", ON_SERIES)
@few()
@given(both=frames().filter(lambda both: both[0].sizes["time"] >= 3))
def test_what_is_done_to_a_lazy_series_gives_what_it_gives_of_numbers(name, both):
    whole, lazy = both
    found = ON_SERIES[name](xi.measure(lazy, ROIS))
    expected = ON_SERIES[name](xi.measure(whole, ROIS))
    assert type(found) is type(expected)
    xr.testing.assert_identical(found.compute(), expected)


@few()
@given(data=st.data())
def test_any_variable_comes_back_from_a_result(data):
    """Numbers of any kind and shape, as xarray draws them, beside a time series, in threads and whole."""
    kinds = st.one_of(npst.integer_dtypes(endianness="="), npst.floating_dtypes(endianness="=", sizes=(32, 64)))
    some = xrst.dimension_sizes(min_dims=1, max_dims=3, min_side=1)
    variable = data.draw(xrst.variables(dims=some, dtype=kinds, attrs=st.just({})))
    variable = xr.Variable([f"d{number}" for number in range(variable.ndim)], variable.values)
    time = np.datetime64("2014-05-28T08:00:00", "ns") + np.arange(3) * np.timedelta64(1, "s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.nc"
        xi.write_results(xr.Dataset({"drawn": variable, "held": ("time", np.arange(3.0))}, {"time": time}), path)
        found = xi.read_results(path)
        assert found.drawn.dtype == variable.dtype
        np.testing.assert_array_equal(found.drawn.values, variable.values)
        np.testing.assert_array_equal(found.time.values, time)
