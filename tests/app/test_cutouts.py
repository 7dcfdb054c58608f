"""What the page shows of a ROI is what `correct` and `measure` give: one way of correcting, one of summing."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.app.data.cutouts import Kymograph, KymographRequest, Section, SectionRequest, corrected_box
from xinsitu.app.data.single_frames import Alone

FRAMES = 7
MONITOR = np.array([3.0, 1, 2, 5, 1, 4, 2]) * 1e4


@pytest.fixture(scope="module")
def scan() -> xr.Dataset:
    """Seven frames of a beam that changes from one to the next, on an uneven ground."""
    y, x = np.mgrid[:36, :44]
    shape = 60 * np.exp(-((y - 20) ** 2) / 30 - (x - 25) ** 2 / 50) + 9 + 0.2 * y
    counts = np.random.default_rng(6).poisson(shape * MONITOR[:, None, None] / 1e4)
    coords = {
        "time": np.datetime64("2016-04-05", "ns") + np.arange(FRAMES) * np.timedelta64(2, "s"),
        "y": np.arange(36),
        "x": np.arange(44),
        "monitor": ("time", MONITOR),
    }
    return xr.Dataset({"image": (("time", "y", "x"), counts.astype("int32"), {"units": "counts"})}, coords)


RECIPES = {
    f"{mode}, {normalise}, {counter}, median {median}": xi.Correction(
        median=median,
        background=xi.Background((0, 6), (0, 12), mode=mode, normalise=normalise),
        normalise=counter,
    )
    for mode, normalise, counter, median in product(
        ["divide", "subtract"], [None, "mean"], [None, "monitor"], [None, 3]
    )
    if not (mode == "subtract" and normalise)
}
ROIS = xi.RoiSet(
    [
        xi.Roi("spot", (11, 30), (14, 37), background=("ground",)),
        xi.Roi("ground", (4, 9), (30, 40), role="background"),
    ]
)


def section(scan: xr.Dataset, frame: int, recipe: xi.Correction) -> Section:
    """Return what the page shows of one frame, by itself."""
    alone = Alone.of(recipe, scan)
    one = scan.isel(time=slice(frame, frame + 1))
    return Section.of(SectionRequest(one, ROIS["spot"], alone.correction, ROIS, alone.factor))


@pytest.mark.parametrize("name", RECIPES)
def test_the_pixels_shown_are_those_of_correct(scan: xr.Dataset, name: str) -> None:
    """The page divided by the background itself, and forgot the monitor: ratios of 0.67 and 1.33."""
    roi, recipe = ROIS["spot"], RECIPES[name]
    right = xi.correct(scan, recipe).image.isel(y=slice(*roi.y), x=slice(*roi.x)).compute()
    shown = corrected_box(scan, roi, recipe).compute()
    np.testing.assert_allclose(shown, right, rtol=3e-7)
    assert shown.attrs.get("units") == right.attrs.get("units")
    np.testing.assert_allclose(section(scan, 3, recipe).image, right[3], rtol=3e-7)


@pytest.mark.parametrize("name", RECIPES)
def test_the_profiles_shown_sum_to_what_is_measured(scan: xr.Dataset, name: str) -> None:
    """The kymograph left out the background of the ROI."""
    recipe = RECIPES[name]
    truth = xi.measure(scan, ROIS, correction=recipe).sel(roi="spot").intensity.compute()
    places = np.arange(FRAMES) * 2.0
    for along in ("y", "x"):
        request = KymographRequest(
            scan, ROIS["spot"], recipe, along, "values", places, np.array([], dtype=int), rois=ROIS
        )
        shown = Kymograph.of(request).values
        np.testing.assert_allclose(shown.sum(axis=0), truth, rtol=2e-5, atol=1e-5 * float(abs(truth).max()))
    found = section(scan, 3, recipe)
    for profile in (found.y, found.x):
        assert profile.sum() == pytest.approx(float(truth[3]), rel=3e-7)


def test_the_profiles_of_a_frame_are_planned_once(scan, monkeypatch):
    from xinsitu.physics.reduction import roi_profiles

    planned, plain = [], roi_profiles.fitted
    monkeypatch.setattr(roi_profiles, "fitted", lambda *words, **how: planned.append(words) or plain(*words, **how))
    section = Section.of(SectionRequest(scan, xi.Roi("spot", y=(12, 28), x=(15, 35)), xi.Correction(median=3)))
    assert len(planned) == 1
    assert (section.y.size, section.x.size) == (16, 20)
