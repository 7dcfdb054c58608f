"""Of frames in files no more is read and looked at than is needed: the numbers are the same."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from xinsitu.io.formats.stack import FrameStack
from xinsitu.kernels import compiled
from xinsitu.values import Key, KeyFrame

SHAPE = (30, 200)
ROIS = [
    xi.Roi("left", (5, 20), (0, 14), background=("plane",)),
    xi.Roi("middle", (8, 25), (60, 75), background=("edge",), measure=("intensity", "com", "fwhm", "minimum", "std")),
    xi.Roi("beside", (10, 22), (76, 90), background=("far",)),
    xi.Roi("right", geometry=xi.Ellipse((15, 192), (13, 6))),
    xi.Roi("far", (1, 9), (140, 150), role="background"),
]
rng = np.random.default_rng(2)
FLAT, DARK = (xr.DataArray(rng.normal(mean, 0.05, SHAPE), dims=("y", "x")) for mean in (1, 0.3))
MASK = xr.DataArray(rng.random(SHAPE) < 0.03, dims=("y", "x"))
FAR = xi.Background(y=(20, 29), x=(100, 120), mode="subtract")
RECIPES = {
    "nothing": None,
    "median": xi.Correction(median=3, flatfield=FLAT, mask=MASK, background=FAR),
    "outliers": xi.Correction(median=5, threshold=4, flatfield=FLAT, dark=DARK),
}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    room = tmp_path_factory.mktemp("frames")
    spots = 300 * np.exp(-((np.arange(200) % 66 - 7) ** 2) / 20) * np.exp(-((np.arange(30)[:, None] - 13) ** 2) / 20)
    frames = np.random.default_rng(1).poisson(4 + spots, (12, *SHAPE)).astype("int32")
    frames[:, 14, 66] = -1
    for number, frame in enumerate(frames):
        tifffile.imwrite(room / f"run_{number:05d}.tif", frame, datetime="2014:05:28 10:00:00", metadata=None)
    return xi.open_measurement(room, instrument="generic", tz="UTC", order_error="ignore")


@pytest.fixture
def columns(monkeypatch):
    """How many columns are read at a time."""
    read, own = [], FrameStack._fill

    def noted(stack, result, frames, rows, columns):
        read.append(len(columns))
        own(stack, result, frames, rows, columns)

    monkeypatch.setattr(FrameStack, "_fill", noted)
    return read


@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@pytest.mark.thorough("median-compiled")
@pytest.mark.parametrize("kernel", ["compiled", "numpy"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_columns_that_nothing_needs_are_left_out(scan, recipe, kernel, columns, monkeypatch):
    if kernel == "numpy":
        monkeypatch.setattr(compiled, "library", lambda: None)
    read = xi.measure(scan, ROIS, correction=RECIPES[recipe], profiles=True).compute(scheduler="synchronous")
    assert max(columns) < 120
    held = xi.measure(scan.compute(), ROIS, correction=RECIPES[recipe], profiles=True)
    xr.testing.assert_identical(read.drop_vars("remarks"), held.drop_vars("remarks"))


def test_all_columns_are_read_where_a_roi_moves(scan, columns):
    path = (KeyFrame(Key(frame=0), (5, 20), (0, 14)), KeyFrame(Key(frame=11), (5, 20), (180, 194)))
    rois = [xi.Roi("moves", (5, 20), (0, 14), path=path), xi.Roi("right", (2, 28), (185, 200))]
    read = xi.measure(scan, rois).compute(scheduler="synchronous")
    assert set(columns) == {200}
    xr.testing.assert_identical(read.drop_vars("remarks"), xi.measure(scan.compute(), rois).drop_vars("remarks"))
