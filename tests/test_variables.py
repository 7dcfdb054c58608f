"""Counts are a fact that arithmetic loses, and remarks are heard where numbers are loaded."""

from __future__ import annotations

import contextlib
import os
import pickle
import warnings

import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from xinsitu.schema import Quality
from xinsitu.variables import Counted, as_frames

ROI = [xi.Roi("a", (2, 14), (3, 17))]


def frames(number: int = 40) -> xr.DataArray:
    counts = np.random.default_rng(4).poisson(30, (number, 16, 20)).astype("float32")
    time = np.datetime64("2015-02-03", "ns") + np.arange(number) * np.timedelta64(1, "s")
    coords = {"time": time, "y": np.arange(16), "x": np.arange(20)}
    return as_frames(xr.DataArray(counts, coords, ("time", "y", "x"), name="image", attrs={"units": "counts"}))


def in_place(image: xr.DataArray) -> xr.DataArray:
    image *= 3
    return image


def written(image: xr.DataArray) -> xr.DataArray:
    image[3] = 0
    return image


TOUCHED = {
    "product": lambda image: image * 0.3,
    "sum with nothing": lambda image: image + 0,
    "rolling": lambda image: image.rolling(time=5, min_periods=1).mean(),
    "resample": lambda image: image.resample(time="5s").mean(),
    "coarsen": lambda image: image.coarsen(time=4).mean(),
    "logarithm": np.log1p,
    "new data": lambda image: image.copy(data=image.values / 2),
    "in place": in_place,
    "written into": written,
    "lazy": lambda image: (image.chunk({"time": 7}) / 2).astype("float32"),
    "masked": lambda image: image.where(image < 35),
    "in a Dataset": lambda image: image.to_dataset().map(lambda one: one * 2).image,
}
UNTOUCHED = {
    "as it is": lambda image: image,
    "chunks": lambda image: image.chunk({"time": 7}),
    "part": lambda image: image.isel(time=slice(3, 30), y=slice(0, 15)),
    "selected": lambda image: image.sel(time=image.time[[2, 5, 9]]),
    "turned": lambda image: image.transpose("x", "time", "y"),
    "copied": lambda image: image.copy(deep=True),
    "pickled": lambda image: pickle.loads(pickle.dumps(image)),
    "persisted": lambda image: image.chunk({"time": 7}).persist(),
    "corrected": lambda image: xi.correct(image, xi.Correction(median=3, threshold=5)),
    "cropped": lambda image: xi.crop(image, y=(1, 15)),
}


@pytest.mark.parametrize("name", TOUCHED)
def test_what_somebody_calculated_with_has_no_error_of_counting(name):
    image = TOUCHED[name](frames())
    assert image.attrs.get("units", "counts") == "counts"
    with pytest.warns(xi.XinsituWarning, match="somebody has calculated with it") as said:
        series = xi.measure(image.assign_attrs(units="counts"), ROI).compute()
    assert len(said) == 1
    assert np.isfinite(series.intensity).all()
    assert np.isnan(series.intensity_errors).all()


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_is_only_selected_or_corrected_keeps_its_error(name):
    image = UNTOUCHED[name](frames())
    series = xi.measure(image, ROI).compute()
    assert isinstance(image.variable, Counted)
    np.testing.assert_allclose(series.intensity_errors**2, series.intensity, rtol=0.3)  # a median shares noise


def test_sums_below_zero_have_no_error_and_numpy_says_nothing():
    image = frames(6)
    image = as_frames((image - 31).assign_attrs(units="counts"))
    series = xi.measure(image, ROI, profiles=True)
    below = series.intensity.values < 0
    assert below.any()
    assert np.isnan(series.intensity_errors.values[below]).all()


@pytest.fixture(params=[None, "zlib"])
def scan(request, tmp_path):
    rng = np.random.default_rng(1)
    for number in range(30):
        pixels = rng.poisson(5, (30, 40)).astype("int32")
        if number in (7, 19):
            pixels[:6, :9] = 0
        name = tmp_path / f"run_{number:04d}.tif"
        tifffile.imwrite(name, pixels, compression=request.param, datetime=f"2015:02:03 10:11:{number:02d}")
    return xi.open_measurement(tmp_path, tz="UTC", on_error="nan", chunks={"time": 8})


RECIPE = xi.Correction(background=xi.Background((0, 6), (0, 9)))


@pytest.mark.parametrize("scheduler", ["eager", "synchronous", "threads", "cluster"])
def test_each_remark_is_heard_where_numbers_are_loaded(scan, scheduler):
    os.remove(f"{scan.encoding['source']}/run_0011.tif")
    roi = [xi.Roi("a", (10, 28), (10, 35))]
    cluster = contextlib.nullcontext()
    if scheduler == "cluster":
        distributed = pytest.importorskip("distributed")
        cluster = distributed.Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
    with cluster, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", xi.XinsituWarning)
        if scheduler == "eager":
            series = xi.measure(scan.assign(image=scan.image.compute()), roi, correction=RECIPE)
        else:
            how = {} if scheduler == "cluster" else {"scheduler": scheduler}
            series = xi.measure(scan, roi, correction=RECIPE).compute(**how)
    ours = [one for one in caught if issubclass(one.category, xi.XinsituWarning)]
    texts = {str(one.message) for one in ours}
    assert any("1 of 30 frames are NaN because they cannot be read" in text for text in texts)
    assert "the background is zero in 2 of 30 frames; their values are NaN" in texts
    assert all(one.filename == __file__ for one in ours)
    flags = series.quality.values[:, 0]
    assert np.flatnonzero(flags & Quality.FRAME_FAULT).tolist() == [11]
    assert np.flatnonzero(flags & Quality.ZERO_BACKGROUND).tolist() == [7, 19]
    assert np.isnan(series.intensity.values[[7, 11, 19]]).all()
