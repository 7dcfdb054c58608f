"""Shapes that reach over the edge of the image: what is measured is that of the pixels that there are."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.schema import Quality

HIGH, WIDE, PAD = 40, 50, 40
SHAPES = {
    "ring": xi.Sector((-12.3, 20.0), (20, 26.5)),
    "arc": xi.Sector((45, 52.2), (10, 21), (170, 290)),
    "disc": xi.Ellipse((38.4, 25), (7, 12), 20),
    "box": xi.Rotated((3, 47), (9, 17), 35),
    "triangle": xi.Polygon([(-8, 10), (12.5, -6), (20, 20)]),
}


@pytest.fixture(scope="module")
def counts():
    return np.random.default_rng(5).poisson(30, (2, HIGH, WIDE)).astype("int32")


def image_of(counts, *, pad):
    padded = np.pad(counts.astype(float), ((0, 0), (pad, pad), (pad, pad)), constant_values=np.nan)
    return xr.DataArray(padded if pad else counts, dims=("time", "y", "x"), attrs={"units": "counts"})


@pytest.mark.parametrize("edges", ["whole", "exact"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_numbers_are_those_of_the_shape_on_a_larger_image_without_values_beyond_the_edge(counts, shape, edges):
    here = xi.Roi("a", geometry=shape, edges=edges, measure=("intensity", "com", "fwhm", "mean", "std"))
    there = here.reshaped(shape.shifted(PAD, PAD))
    with pytest.warns(xi.XinsituWarning, match="reaches over the edge of the image") as told:
        found = xi.measure(image_of(counts, pad=0), [here]).isel(roi=0)
    with pytest.warns(xi.XinsituWarning):
        truth = xi.measure(image_of(counts, pad=PAD), [there]).isel(roi=0)
    for name in ("intensity", "n_valid", "mean", "std", "maximum"):
        np.testing.assert_allclose(found[name], truth[name], rtol=1e-12, err_msg=name)
    for axis in "yx":
        np.testing.assert_allclose(found[f"com_{axis}"], truth[f"com_{axis}"] - PAD, rtol=1e-12)
    if shape.kind == "rotated":
        np.testing.assert_allclose(found["com_along"], truth["com_along"], rtol=1e-12)
    assert ((found["quality"] & Quality.MASKED_PIXELS) > 0).all()
    part = 1 - float(found["n_valid"][0]) / there.area
    assert f" {part:.0%} of it" in str(told[0].message)


def test_exact_weights_are_the_area_on_the_image(counts):
    disc = xi.Roi("a", geometry=xi.Ellipse((20, -0.5), (8, 8)), edges="exact")
    ones = image_of(np.ones_like(counts), pad=0)
    with pytest.warns(xi.XinsituWarning, match="50% of it"):
        assert float(xi.measure(ones, [disc]).intensity[0, 0]) == pytest.approx(32 * np.pi, rel=1e-9)


def test_all_that_takes_regions_cuts_them(counts):
    image, roi = image_of(counts, pad=0), xi.Roi("a", geometry=SHAPES["box"])
    with pytest.warns(xi.XinsituWarning, match="reaches over"):
        along = xi.profiles(image, roi, along="x")
    with pytest.warns(xi.XinsituWarning, match="reaches over"):
        assert float(along.sum()) == pytest.approx(float(xi.measure(image, [roi]).intensity.sum()))
    with pytest.warns(xi.XinsituWarning, match="reaches over"):
        assert xi.two_time(image, roi).similarity.shape == (2, 2)
    with pytest.warns(xi.XinsituWarning, match="reaches over"):
        assert xi.fit_rois(image, [roi]).sizes["roi"] == 1
    with pytest.warns(xi.XinsituWarning), pytest.raises(xi.RoiError, match="follows a spot"):
        xi.track(image, roi)


def test_what_lies_off_the_image_and_pixels_by_number_are_refused(counts):
    image = image_of(counts, pad=0)
    for roi in (
        xi.Roi("a", geometry=xi.Ellipse((80, 20), (5, 5))),
        xi.Roi("a", geometry=xi.Mask(((39, 40, 51),))),
        xi.Roi("a", y=(30, 41), x=(2, 9)),
    ):
        with pytest.raises(xi.RoiError, match=r"off the detector|edge of the detector|not lie in the image"):
            xi.measure(image, [roi])
    with pytest.raises(xi.RoiError, match="off the detector"):
        xi.Roi("a", geometry=xi.Ellipse((-80, 20), (5, 5)))


def test_a_file_keeps_the_whole_shape(tmp_path, counts):
    rois = xi.RoiSet([xi.Roi("a", geometry=SHAPES["ring"], edges="exact")], (HIGH, WIDE))
    assert rois["a"].off > 0
    xi.write_rois(rois, tmp_path / "r.json")
    again = xi.read_rois(tmp_path / "r.json")
    assert again["a"] == rois["a"]
    assert again["a"].geometry == SHAPES["ring"]


@pytest.mark.parametrize(("centre", "said"), [((20.0, 29.9), "less than 1%"), ((-28.0, 20.0), "99%")])
def test_a_little_that_is_lost_is_not_nothing_and_nearly_all_not_all(centre, said):
    image = xr.DataArray(np.ones((1, 60, 60)), dims=("time", "y", "x"))
    disc = xi.Roi("a", geometry=xi.Ellipse(centre, (30, 30) if centre[0] < 0 else (20, 30)), edges="exact")
    with pytest.warns(xi.XinsituWarning, match=f"image: {said} of it"):
        xi.measure(image, [disc])
