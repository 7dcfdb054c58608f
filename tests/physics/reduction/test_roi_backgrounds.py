"""Backgrounds from a ROI's own edge that are curved along one axis: against NumPy's fits, and repeated experiments."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu import kernels
from xinsitu.physics.reduction.roi_backgrounds import excess_at_edges
from xinsitu.schema import Quality
from xinsitu.variables import as_frames

SHAPE = (50, 56)
Y, X = (5, 45), (5, 52)
REPEATS = 600


def as_image(frames):
    return xr.DataArray(frames.astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})


def curved(axis, level=1.0, slope=0.02, bend=0.004):
    """Ground of one curvature along an axis, and even across."""
    along = np.arange(SHAPE["yx".index(axis)]) - 20.0
    ground = level + slope * along + bend * along**2
    return np.broadcast_to(ground[:, None] if axis == "y" else ground, SHAPE)


def spot(counts):
    y, x = np.arange(SHAPE[0])[:, None] - 25.3, np.arange(SHAPE[1]) - 27.8
    shape = np.exp(-0.5 * (y / 3.1) ** 2 - 0.5 * (x / 3.8) ** 2)
    return counts * shape / shape.sum()


def measured(truth, kind, repeats=REPEATS, seed=5, **options):
    frames = np.random.default_rng(seed).poisson(truth, (repeats, *SHAPE))
    return xi.measure(as_image(frames), [xi.Roi("s", Y, X, background=(kind,))], **options).isel(roi=0).compute()


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_curved_ground_is_taken_off_as_numpy_fits_it(axis, masked):
    frames = np.random.default_rng(4).poisson(spot(4_000) + curved(axis, 3.0), (3, *SHAPE))
    if masked:
        frames[:, 6, 8:14] = frames[1, 20:30, 5] = -1
    series = xi.measure(as_image(frames), [xi.Roi("s", Y, X, background=(f"poly_{axis}",))]).isel(roi=0)
    for number, frame in enumerate(frames[:, slice(*Y), slice(*X)].astype(float)):
        edge = np.ones(frame.shape, bool)
        edge[2:-2, 2:-2] = False  # 5 % of 40 rows and of 47 columns
        places = np.broadcast_to(
            np.arange(frame.shape[0])[:, None] if axis == "y" else np.arange(frame.shape[1]), frame.shape
        )
        used = edge & (frame >= 0)
        under = np.polynomial.Polynomial.fit(places[used], frame[used], 2)(places)
        whole = frame >= 0
        assert series.background[number] == pytest.approx(under[whole].sum(), rel=1e-9)
        net = np.where(whole, frame - under, 0)
        assert series.intensity[number] == pytest.approx(net.sum(), rel=1e-9)
        centre = net.sum(axis=0) @ np.arange(*X) / net.sum()
        assert series.com_x[number] == pytest.approx(centre, rel=1e-9)


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("counts", [2_000, 40_000])
def test_errors_are_the_scatter(axis, counts):
    series = measured(spot(counts) + curved(axis), f"poly_{axis}")
    inside = spot(counts)[slice(*Y), slice(*X)]
    truth = {
        "intensity": inside.sum(),
        "com_y": inside.sum(axis=1) @ np.arange(*Y) / inside.sum(),
        "com_x": inside.sum(axis=0) @ np.arange(*X) / inside.sum(),
        "background": curved(axis)[slice(*Y), slice(*X)].sum(),
    }
    assert not (series.quality & Quality.LOW_COUNTS > 0).any()
    for name, right in truth.items():
        values, scatter = series[name], float(series[name].std(ddof=1))
        assert abs(float(values.mean()) - right) < 4 * scatter / np.sqrt(REPEATS), name
        stated = float(np.sqrt((series[f"{name}_errors"] ** 2).mean()))
        assert stated == pytest.approx(scatter, rel=0.15), name
    for name in ("fwhm_y", "fwhm_x"):
        good = series.where(series.quality == 0, drop=True)
        stated = float(np.sqrt((good[f"{name}_errors"] ** 2).mean()))
        assert stated == pytest.approx(float(good[name].std(ddof=1)), rel=0.15), name


@pytest.mark.thorough("y")
@pytest.mark.filterwarnings("ignore:ROI .s.. its edges differ:xinsitu.XinsituWarning")
@pytest.mark.parametrize("axis", ["y", "x"])
def test_only_the_surface_that_fits_is_unbiased(axis):
    truth = spot(20_000) + curved(axis, 2.0, 0.0, 0.008)
    off = {}
    for kind in ("edge", "plane", "poly_y", "poly_x"):
        series = measured(truth, kind)
        error = float(series.intensity.mean()) - spot(20_000)[slice(*Y), slice(*X)].sum()
        off[kind] = abs(error) / float(series.intensity.std(ddof=1)) * np.sqrt(REPEATS)
    assert off.pop(f"poly_{axis}") < 4
    assert min(off.values()) > 40


def test_a_slope_across_the_parabola_is_told():
    sloping = spot(7_000) + 1 + 0.05 * np.arange(SHAPE[0])[:, None]
    assert (measured(sloping, "poly_x", 80).quality & Quality.BACKGROUND_DOUBTFUL > 0).all()
    assert not (measured(sloping, "poly_y", 80).quality & Quality.BACKGROUND_DOUBTFUL > 0).any()


def test_a_roi_of_two_columns_has_no_parabola_along_x():
    narrow = xi.Roi("s", Y, (10, 12), background=("poly_x",))
    series = xi.measure(as_image(np.ones((2, *SHAPE))), [narrow]).isel(roi=0)
    assert np.isnan(series.intensity).all()


@pytest.mark.parametrize(("ground", "known"), [(-2.5, False), (0.0, True), (4.0, True)])
def test_an_empty_area_below_zero_has_no_counting_error(ground, known):
    frames = np.full((2, *SHAPE), 9.0)
    frames[:, :3] = ground
    recipe = xi.Correction(background=xi.Background(y=(0, 3), x=(0, 9), mode="subtract"))
    image = as_frames(xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"}))
    series = xi.measure(image, [xi.Roi("s", Y, X)], correction=recipe)
    assert (np.isfinite(series.level_errors) == known).all()


def test_the_roi_file_keeps_it(tmp_path):
    rois = xi.RoiSet([xi.Roi("s", Y, X, background="poly_y")])
    xi.write_rois(rois, tmp_path / "rois.json")
    assert '"poly_y"' in (tmp_path / "rois.json").read_text()
    assert xi.read_rois(tmp_path / "rois.json")["s"].background == ("poly_y",)
    with pytest.raises(xi.RoiError, match="poly_z"):
        xi.RoiSet([xi.Roi("s", Y, X, background="poly_z")])


def test_a_background_under_nothing_is_no_number():
    """A frame in which no pixel of the ROI is valid has neither an intensity nor a background."""
    rng = np.random.default_rng(6)
    frames = rng.poisson(20, (3, 20, 24)).astype("int32")
    frames[1, 2:10, 3:15] = -1
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
    rois = [
        xi.Roi("A", y=(2, 10), x=(3, 15), background=("B",)),
        xi.Roi("B", y=(12, 18), x=(3, 15), role="background"),
    ]
    series = xi.measure(image, rois).sel(roi="A")
    for name in ("intensity", "background"):
        assert np.isnan(series[name]).values.tolist() == [False, True, False]
    under = frames[[0, 2], 12:18, 3:15].sum(axis=(1, 2)) * (8 * 12) / (6 * 12)
    np.testing.assert_allclose(series.background[[0, 2]], under)


def test_rows_and_columns_have_the_same_errors_where_they_are_alike_though_frames_are_divided():
    """A frame that is its own transpose, divided by the same background everywhere."""
    y, x = np.mgrid[:31, :31] - 15.0
    frame = np.rint(900 * np.exp(-(y**2 + x**2) / 30) + 8).astype("int32")
    assert (frame == frame.T).all()
    image = xr.DataArray(np.stack([frame, 2 * frame]), dims=("time", "y", "x"), attrs={"units": "counts"})
    recipe = xi.Correction(background=xi.Background((0, 4), (0, 4)))
    series = xi.measure(image, [xi.Roi("spot", (3, 28), (3, 28))], correction=recipe).isel(roi=0)
    for name in ("com", "fwhm"):
        np.testing.assert_allclose(series[f"{name}_x_errors"], series[f"{name}_y_errors"], rtol=1e-12)
        assert (series[f"{name}_x_errors"] > 0).all()
    plain = xi.measure(image, [xi.Roi("spot", (3, 28), (3, 28))]).isel(roi=0)
    np.testing.assert_allclose(series.com_x_errors, plain.com_x_errors, rtol=1e-12)  # a factor moves no centre


def test_an_edge_of_which_nothing_is_left_is_no_background():
    image = xr.DataArray(np.full((2, 20, 20), 7.0), dims=("time", "y", "x"))
    image.values[1, 4:16, 4:16] = np.nan
    image.values[1, 8:12, 8:12] = 7
    series = xi.measure(image, [xi.Roi("a", (4, 16), (4, 16), background=("edge",))]).isel(roi=0)
    assert series.background.values[0] == 7 * 144
    assert np.isnan(series.background.values[1])
    assert np.isnan(series.intensity.values[1])


def test_edges_above_a_background_from_elsewhere_are_so_by_the_mean_of_both():
    """An outermost row of ten pixels on each side, 3 and 5 counts above a background of 2: by 4."""
    rows = np.array([[50.0, 60, 90, 99, 99, 99, 99, 90, 80, 70]])
    assert kernels.edge_width(10) == 1
    pixels, level = np.full((1, 10), 10.0), np.full((1, 10), 20.0)
    own = SimpleNamespace(y=rows, variance_y=rows, pixels_y=pixels)
    below = SimpleNamespace(y=level, level_variance=np.array([0.5]))
    above, variance = excess_at_edges("y", own, below)
    assert above.tolist() == [4.0]
    assert variance.tolist() == pytest.approx([(50 / 10**2 + 70 / 10**2) / 4 + 0.5], rel=1e-15)
