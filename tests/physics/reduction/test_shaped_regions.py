"""Regions of any shape: sums, errors, backgrounds and widths against NumPy, skimage and what was simulated."""

from __future__ import annotations

import json
from dataclasses import replace

import dask
import numpy as np
import pytest
import xarray as xr
from skimage.measure import regionprops

import xinsitu as xi
from xinsitu.errors import RoiError
from xinsitu.physics.reduction import roi_plan
from xinsitu.physics.reduction.region_pixels import Pixels
from xinsitu.schema import Quality
from xinsitu.values import Ellipse, Key, KeyFrame, Mask, Polygon, Roi, Rotated, Sector

ANGLE = 27.0
MIDDLE = (38.2, 50.7)
"""Where the spot of the simulation is."""
Y, X = np.mgrid[0:76, 0:104]


def spot(n_frames, top=400.0, ground=6.0, widths=(5.0, 13.0)):
    """Poisson frames of a Gaussian turned by ``ANGLE``: widths across and along."""
    a = np.radians(ANGLE)
    along = (X - MIDDLE[1]) * np.cos(a) + (Y - MIDDLE[0]) * np.sin(a)
    across = (Y - MIDDLE[0]) * np.cos(a) - (X - MIDDLE[1]) * np.sin(a)
    mean = top * np.exp(-4 * np.log(2) * ((across / widths[0]) ** 2 + (along / widths[1]) ** 2)) + ground
    counts = np.random.default_rng(3).poisson(mean, (n_frames, *mean.shape)).astype("int32")
    return xr.DataArray(counts, dims=("time", "y", "x"), attrs={"units": "counts", "count_cutoff": 10**6})


SHAPES = {
    "ellipse": Ellipse((38, 50), (11.3, 20.2), ANGLE),
    "polygon": Polygon([(20.2, 30.4), (25, 72.3), (44.7, 70.1), (60.2, 55.5), (50, 31)]),
    "rotated": Rotated((38, 50), (19, 40), ANGLE),
    "sector": Sector((80, 50), (30, 55.5), (225, 310)),
    "mask": Mask.of((np.hypot(Y - 38, X - 50) < 15) & ((Y + X) % 7 > 0)),
}


def placed(roi):
    """Weights on the whole detector."""
    result = np.zeros(Y.shape)
    result[slice(*roi.y), slice(*roi.x)] = roi.weights
    return result


@pytest.mark.parametrize("edges", ["whole", "exact"])
@pytest.mark.parametrize("kind", SHAPES)
def test_sums_and_centres_are_those_of_the_weighted_pixels(kind, edges):
    image, roi = spot(3), Roi("a", geometry=SHAPES[kind], edges=edges)
    series, weight = xi.measure(image, [roi]).sel(roi="a"), placed(roi)
    weighed = image.values * weight
    np.testing.assert_allclose(series.intensity, weighed.sum(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(series.com_y, (weighed * Y).sum(axis=(1, 2)) / weighed.sum(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(series.com_x, (weighed * X).sum(axis=(1, 2)) / weighed.sum(axis=(1, 2)), rtol=1e-12)
    variance = (image.values * weight**2).sum(axis=(1, 2))
    np.testing.assert_allclose(series.intensity_errors, np.sqrt(variance), rtol=1e-12)
    np.testing.assert_array_equal(series.maximum, (image.values * (weight > 0)).max(axis=(1, 2)))
    np.testing.assert_allclose(series.n_valid, weight.sum(), rtol=1e-12)
    assert not (series.quality & Quality.MASKED_PIXELS).any()
    if edges == "whole":
        assert series.n_valid.dtype == np.int64
        region = regionprops((weight > 0).astype(int), intensity_image=image.values[0])[0]
        assert region.area == series.n_valid[0]
        assert region.area * region.intensity_mean == pytest.approx(series.intensity[0].item())
        assert region.centroid_weighted == pytest.approx((series.com_y[0].item(), series.com_x[0].item()))


def test_a_constant_image_gives_the_area():
    rois = [Roi(kind, geometry=shape, edges="exact") for kind, shape in SHAPES.items()]
    image = xr.DataArray(np.full((1, *Y.shape), 7, "uint16"), dims=("time", "y", "x"), attrs={"units": "counts"})
    found = xi.measure(image, rois).intensity[0].values / 7
    np.testing.assert_allclose(found, [shape.area for shape in SHAPES.values()], atol=1e-9, rtol=0)


RECIPES = {
    "plain": xi.Correction(),
    "median": xi.Correction(median=3),
    "outliers": xi.Correction(median=3, threshold=5),
    "flat": xi.Correction(flatfield=xr.DataArray(1 + 0.1 * np.sin(Y / 9) * np.cos(X / 5), dims=("y", "x"))),
    "divided": xi.Correction(background=xi.Background(y=(2, 12), x=(3, 20))),
    "subtracted": xi.Correction(background=xi.Background(y=(2, 12), x=(3, 20), mode="subtract")),
}


@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_rectangle_in_other_words_is_bit_for_bit_the_rectangle(recipe, monkeypatch):
    """As a polygon, which is taken for one; and where its pixels are weighed one by one all the same."""
    image, box = spot(70), Roi("a", (20, 57), (31, 70), background=("plane",))
    polygon = box.reshaped(Polygon([(19.5, 30.5), (56.5, 30.5), (56.5, 69.5), (19.5, 69.5)]))
    plain = xi.measure(image, [box], correction=RECIPES[recipe])
    told = xi.measure(image, [polygon], correction=RECIPES[recipe])
    weighed = replace(box)
    object.__setattr__(weighed, "_weights", np.ones(box.shape))
    slow = xi.measure(image, [weighed], correction=RECIPES[recipe])
    for name in plain.data_vars:
        np.testing.assert_array_equal(plain[name], told[name], err_msg=name)
        np.testing.assert_array_equal(plain[name], slow[name], err_msg=name)


@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.thorough("outliers")
def test_shapes_beside_a_rectangle_change_none_of_its_bits_and_any_chunks_give_the_same(recipe):
    image = spot(70)
    box = Roi("box", (20, 57), (31, 70), background=("edge",))
    rois = [Roi(kind, geometry=shape, edges="exact", background=("box",)) for kind, shape in SHAPES.items()]
    alone = xi.measure(image, [box], correction=RECIPES[recipe])
    together = xi.measure(image, [rois[0], box, *rois[1:]], correction=RECIPES[recipe])
    for name in alone.data_vars:
        np.testing.assert_array_equal(alone[name].sel(roi="box"), together[name].sel(roi="box"), err_msg=name)
    lazy = xi.measure(image.chunk(time=23), [rois[0], box, *rois[1:]], correction=RECIPES[recipe])
    assert dask.is_dask_collection(lazy)
    for name, values in lazy.compute().data_vars.items():
        np.testing.assert_array_equal(values, together[name], err_msg=name)


@pytest.mark.parametrize("background", [(), ("edge",), ("plane",), ("ground",)])
@pytest.mark.parametrize("edges", ["whole", "exact"])
@pytest.mark.parametrize("kind", ["ellipse", "polygon", "rotated"])
@pytest.mark.thorough("ellipse-whole-background1", "polygon-exact-background2", "rotated-exact-background0")
def test_errors_are_what_repeated_frames_scatter_by(kind, edges, background):
    rois = [Roi("a", geometry=SHAPES[kind], edges=edges, background=background)]
    ground = Roi("ground", geometry=Ellipse((10, 90), (8, 12)), role="background")
    series = xi.measure(spot(400), [*rois, *([ground] if "ground" in background else [])]).sel(roi="a")
    for name in ("intensity", "com_y", "com_x"):
        told, seen = float(series[f"{name}_errors"].mean()), float(series[name].std())
        assert told == pytest.approx(seen, rel=0.13), name
    for name in ("fwhm_y", "fwhm_x"):
        assert float(series[f"{name}_errors"].mean()) == pytest.approx(float(series[name].std()), rel=0.2), name


def test_a_ring_of_the_shape_is_its_edge():
    """Level and plane of the ground come from pixels of the shape, not from the corners of its box."""
    ground = 40 + 0.3 * Y - 0.2 * X
    image = np.where(np.hypot(Y - 38, X - 50) < 24.9, ground, 9000.0)[None]
    roi = Roi("a", geometry=Ellipse((38, 50), (24, 24)), background=("plane",))
    series = xi.measure(xr.DataArray(image, dims=("time", "y", "x")), [roi])
    assert series.intensity.item() == pytest.approx(0, abs=1e-6)
    assert series.background.item() == pytest.approx(ground[placed(roi) > 0].sum())
    level = xi.measure(xr.DataArray(image, dims=("time", "y", "x")), [replace(roi, background=("edge",))])
    assert level.background.item() / placed(roi).sum() == pytest.approx(40 + 0.3 * 38 - 0.2 * 50, rel=1e-3)


def test_a_rotated_box_measures_along_and_across():
    series = xi.measure(
        spot(400), [Roi("box", (18, 58), (30, 72)), Roi("a", geometry=SHAPES["rotated"], background=("edge",))]
    )
    turned, a = series.sel(roi="a"), np.radians(ANGLE)
    dy, dx = MIDDLE[0] - 38, MIDDLE[1] - 50
    assert float(turned.com_along.mean()) == pytest.approx(dx * np.cos(a) + dy * np.sin(a), abs=0.01)
    assert float(turned.com_across.mean()) == pytest.approx(dy * np.cos(a) - dx * np.sin(a), abs=0.01)
    assert float(turned.fwhm_along.mean()) == pytest.approx(13, rel=0.02)
    assert 4.95 < float(turned.fwhm_across.mean()) < np.sqrt(5**2 + 8 * np.log(2) / 6) + 0.02
    projected = (turned.com_x - 50) * np.cos(a) + (turned.com_y - 38) * np.sin(a)
    np.testing.assert_allclose(turned.com_along, projected, atol=2e-3)
    for name in ("com_along", "com_across", "fwhm_along", "fwhm_across"):
        told, seen = float(turned[f"{name}_errors"].mean()), float(turned[name].std())
        assert 0.9 < told / seen < 1.3, name
        assert np.isnan(series[name].sel(roi="box")).all()
        assert turned[name].attrs["units"] == "pixel"
    assert "com_along" not in xi.measure(spot(1), [Roi("box", (18, 58), (30, 72))])


def test_a_box_turned_by_nothing_or_a_right_angle_has_the_axes_of_the_detector():
    image = spot(20)
    box = Roi("box", (20, 57), (31, 70), background=("plane",))
    for angle, (across, along) in {0: ("y", "x"), 90: ("x", "y")}.items():
        size = box.shape if angle == 0 else box.shape[::-1]
        roi = Roi("a", geometry=Rotated((38, 50), size, angle), background=("plane",))
        series = xi.measure(image, [box, roi])
        plain, turned = series.sel(roi="box"), series.sel(roi="a")
        middle = {"y": 38, "x": 50}
        sign = -1 if angle == 90 else 1
        np.testing.assert_allclose(turned.com_across * sign + middle[across], plain[f"com_{across}"], rtol=1e-9)
        np.testing.assert_allclose(turned.com_along + middle[along], plain[f"com_{along}"], rtol=1e-9)
        np.testing.assert_allclose(turned.fwhm_along, plain[f"fwhm_{along}"], rtol=1e-9)
        np.testing.assert_allclose(turned.fwhm_across, plain[f"fwhm_{across}"], rtol=1e-9)


def test_a_parabola_along_the_detector_does_not_lie_under_a_rotated_box():
    with pytest.raises(RoiError, match="rotated"):
        xi.measure(spot(1), [Roi("a", geometry=SHAPES["rotated"], background=("poly_y",))])


@pytest.mark.parametrize("kind", ["ellipse", "rotated", "polygon"])
def test_a_shape_moves_on_a_path(kind):
    image = spot(4)
    still = Roi("a", geometry=SHAPES[kind], edges="exact", background=("edge",))
    shifted = image.copy(data=np.stack([np.roll(frame, 3 * n, axis=1) for n, frame in enumerate(image.values)]))
    y, x = still.y, still.x
    path = tuple(KeyFrame(Key(frame=n), y, (x[0] + 3 * n, x[1] + 3 * n)) for n in (0, 3))
    rests, moves = xi.measure(image, [still]), xi.measure(shifted, [replace(still, path=path)])
    np.testing.assert_array_equal(rests.intensity, moves.intensity)
    np.testing.assert_allclose(moves.com_x[:, 0] - 3 * np.arange(4), rests.com_x[:, 0], rtol=1e-12)
    np.testing.assert_array_equal(rests.fwhm_y, moves.fwhm_y)
    if kind == "rotated":
        np.testing.assert_array_equal(rests.com_along, moves.com_along)
        np.testing.assert_array_equal(rests.fwhm_across, moves.fwhm_across)


def test_a_shape_follows_its_spot():
    image = spot(1)
    shifted = xr.concat([image.copy(data=np.roll(image.values, 2 * n, axis=2)) for n in range(5)], "time")
    found = xi.track(shifted, Roi("a", geometry=Ellipse((38, 51), (14, 16)), background=("edge",)))
    assert [step.x[0] - found.roi.path[0].x[0] for step in found.roi.path] == [0, 2, 4, 6, 8]
    assert xi.measure(shifted, [found.roi]).intensity.std().item() == 0


def test_pixels_outside_the_shape_say_nothing():
    image = spot(2)
    roi = Roi("a", geometry=Ellipse((38, 50), (10, 12)), background=("edge",))
    outside = placed(roi) == 0
    loud = image.copy(data=np.where(outside, 2 * 10**6, image.values))
    for name, values in xi.measure(image, [roi], profiles=True).data_vars.items():
        np.testing.assert_array_equal(values, xi.measure(loud, [roi], profiles=True)[name], err_msg=name)
    np.testing.assert_array_equal(xi.profiles(image, roi, along="x"), xi.profiles(loud, roi, along="x"))
    fits = [xi.fit_spots(frames, [roi]).centre_x.values for frames in (image, loud)]
    np.testing.assert_array_equal(*fits)
    saturated = image.copy(data=np.where(np.hypot(Y - 38, X - 50) < 2, 2 * 10**6, image.values))
    assert (xi.measure(saturated, [roi]).n_saturated == np.count_nonzero(np.hypot(Y - 38, X - 50) < 2)).all()


def test_masked_pixels_in_the_shape_are_told_and_those_beside_it_are_not():
    image, roi = spot(2), Roi("a", geometry=Ellipse((38, 50), (10, 12)), edges="exact")
    for place, flagged in (((38, 50), True), ((roi.y[0], roi.x[0]), False)):
        mask = np.zeros(Y.shape, dtype=bool)
        mask[place] = True
        series = xi.measure(image, [roi], correction=xi.Correction(mask=xr.DataArray(mask, dims=("y", "x"))))
        assert bool((series.quality & Quality.MASKED_PIXELS).any()) == flagged
        assert series.n_valid.values == pytest.approx(roi.area - flagged)


def test_a_width_without_a_declared_background_stands_on_the_ground_of_the_shape():
    """On level ground the profile of an ellipse is high in its middle: that is its form, and no peak."""
    frame = np.full((1, *Y.shape), 50.0)
    frame[0] += 400 * np.exp(-4 * np.log(2) * (((Y - 38) / 5) ** 2 + ((X - 50) / 6) ** 2))
    series = xi.measure(xr.DataArray(frame, dims=("time", "y", "x")), [Roi("a", geometry=Ellipse((38, 50), (22, 26)))])
    assert series.fwhm_y.item() == pytest.approx(5, rel=0.02)
    assert series.fwhm_x.item() == pytest.approx(6, rel=0.02)


def test_the_plan_of_a_shape_is_known_by_its_pixels():
    image = spot(1)
    prints = [
        roi_plan.fitted(image, xi.RoiSet([Roi("a", geometry=Ellipse((38, 50), (10, 12), angle), edges="exact")]), None)
        .plan.fingerprint
        for angle in (0, 0, 180.0, 1)
    ]  # fmt: skip
    assert prints[0] == prints[1]
    assert prints[0] != prints[3]
    assert Pixels((3, 4)).rim.sum() == 10


@pytest.mark.thorough
def test_results_tell_the_shape_and_a_sample_warns_where_it_differs(tmp_path):
    """Two shapes in one box have other numbers; their values do not join without a word."""

    def series(shape, name, first):
        time = np.datetime64("2014-05-28T08:00:00", "ns") + (first + np.arange(3)) * np.timedelta64(1, "s")
        scan = spot(3).assign_coords(time=time, measurement=name)
        return xi.measure(scan, [Roi("a", geometry=shape), Roi("b", (3, 9), (4, 12))])

    disc, diamond = Ellipse((38, 50), (10, 10)), Polygon([(28.5, 50), (38, 59.5), (47.5, 50), (38, 40.5)])
    one, same, other = series(disc, "one", 0), series(disc, "two", 10), series(diamond, "two", 10)
    assert (one.roi_y0.values == other.roi_y0.values).all()
    assert one.roi_shape.values.tolist() == ["ellipse centre [38, 50], axes [10, 10], angle 0, whole edges", ""]
    xi.write_results(one, tmp_path / "one.nc")
    again = xi.read_results(tmp_path / "one.nc")
    assert again.roi_shape.values.tolist() == one.roi_shape.values.tolist()
    assert xi.RoiSet.from_dict(json.loads(again.attrs["rois"]))["a"].geometry == disc
    assert xi.stitch([one, same]).roi_shape.dims == ("roi",)
    with pytest.warns(xi.XinsituWarning, match=r"different boxes.*a: .*ellipse.*in one.*polygon.*in two"):
        joined = xi.stitch([one, other])
    assert joined.roi_shape.dims == ("time", "roi")
    plain = xi.measure(spot(1), [Roi("b", (3, 9), (4, 12))])
    assert "roi_shape" not in plain.coords
