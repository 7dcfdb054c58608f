"""Ratios and fractions: errors that hold for ROIs with pixels, backgrounds, levels and monitors in common."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.physics.samples.shared_pixels import Places
from xinsitu.schema import Quality

START = np.datetime64("2014-05-28T08:00:00", "ns")
REPETITIONS = 1500
WZ, ZB, TW = ((20, 20, 60.0), (20, 44, 35.0), (20, 68, 25.0))  # row, column, counts of the highest pixel


def counts(ground: float = 3.0, seed: int = 0) -> xr.Dataset:
    """The same three spots in every frame; a monitor that counts 400 and flickers with the beam."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :90]
    expected = ground + sum(
        top * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 20) for row, column, top in (WZ, ZB, TW)
    )
    beam = 1 + 0.2 * np.sin(np.arange(REPETITIONS) / 9)
    image = rng.poisson(expected[None] * beam[:, None, None]).astype("int32")
    time = START + np.arange(REPETITIONS) * np.timedelta64(1, "s")
    monitor = ("time", rng.poisson(400 * beam).astype(float), {"units": "counts"})
    return xr.Dataset(
        {"image": (("time", "y", "x"), image, {"units": "counts"})}, {"time": time, "monitor": monitor}
    ).assign_attrs(time_zone="Asia/Tokyo")


def net(series_rois: list[xi.Roi], *, ground: float = 3.0) -> dict[str, float]:
    """Expected intensities above the ground."""
    y, x = np.mgrid[:40, :90]
    spots = sum(top * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 20) for row, column, top in (WZ, ZB, TW))
    return {roi.name: float(spots[slice(*roi.y), slice(*roi.x)].sum()) for roi in series_rois}


def scatter(values: xr.DataArray, errors: xr.DataArray, truth: float) -> tuple[float, float]:
    """Mean and standard deviation of the pulls."""
    pulls = ((values - truth) / errors).values
    return float(pulls.mean()), float(pulls.std())


SIDE = xi.Roi("side", y=(0, 8), x=(0, 12), role="background")
FAR = xi.Roi("far", y=(30, 40), x=(0, 20), role="background")
CASES = {
    "one small background for all": [
        xi.Roi("WZ", y=(8, 32), x=(10, 31), background=("side",)),
        xi.Roi("ZB", y=(8, 32), x=(33, 55), background=("side",)),
        xi.Roi("TW", y=(8, 32), x=(57, 79), background=("side",)),
        SIDE,
    ],
    "backgrounds that share a region": [
        xi.Roi("WZ", y=(8, 29), x=(10, 31), background=("side", "far")),
        xi.Roi("ZB", y=(8, 29), x=(33, 55), background=("side",)),
        xi.Roi("TW", y=(8, 29), x=(57, 79), background=("far",)),
        SIDE,
        FAR,
    ],
    "one inside another": [
        xi.Roi("WZ", y=(8, 32), x=(10, 80), background=("side",)),
        xi.Roi("ZB", y=(8, 32), x=(33, 55), background=("side",)),
        xi.Roi("TW", y=(8, 32), x=(57, 79), background=("side",)),
        SIDE,
    ],
    "a part in common, which is measured too": [
        xi.Roi("WZ", y=(8, 32), x=(10, 50), background=("side",)),
        xi.Roi("ZB", y=(8, 32), x=(28, 79), background=("side",)),
        xi.Roi("TW", y=(8, 32), x=(57, 79), background=("side",)),
        xi.Roi("both", y=(8, 32), x=(28, 50)),
        SIDE,
    ],
}


@pytest.mark.thorough("backgrounds that share a region")
@pytest.mark.parametrize("case", CASES)
def test_errors_hold_whatever_is_shared(case: str) -> None:
    rois = CASES[case]
    series = xi.measure(counts(), rois).compute()
    true = net(rois)
    for above, below in (("WZ", "ZB"), ("TW", "WZ"), (["WZ", "TW"], "ZB"), ("WZ", ["WZ", "ZB"])):
        one, two = (sum(true[name] for name in np.atleast_1d(names)) for names in (above, below))
        found = xi.ratio(series, above, below)
        mean, spread = scatter(found.ratio, found.ratio_errors, one / two)
        assert abs(mean) < 0.15
        assert 0.92 < spread < 1.08
    parts = xi.fraction(series, ["WZ", "ZB", "TW"])
    np.testing.assert_allclose(parts.fraction.sum("roi"), 1)
    for name in ("WZ", "ZB", "TW"):
        truth = true[name] / sum(true[one] for one in ("WZ", "ZB", "TW"))
        mean, spread = scatter(parts.fraction.sel(roi=name), parts.fraction_errors.sel(roi=name), truth)
        assert abs(mean) < 0.15
        assert 0.92 < spread < 1.08


@pytest.mark.thorough
def test_independent_errors_would_not_hold() -> None:
    """The truth of the test above can tell: without covariances pulls are off by a third."""
    rois = CASES["one inside another"]
    series = xi.measure(counts(), rois).compute()
    apart = series.drop_vars(["roi_y0", "roi_y1", "roi_x0", "roi_x1"]).assign_attrs(rois="{}")
    true, found = net(rois), xi.ratio(apart, "ZB", "WZ")
    _, spread = scatter(found.ratio, found.ratio_errors, true["ZB"] / true["WZ"])
    assert spread < 0.75


def test_the_level_of_whole_frames_counts_in_all() -> None:
    rois = [xi.Roi("WZ", y=(2, 38), x=(10, 31)), xi.Roi("ZB", y=(2, 38), x=(33, 55))]
    flat = xi.Correction(background=xi.Background(y=(0, 6), x=(82, 90), mode="subtract"))
    series = xi.measure(counts(), rois, correction=flat).compute()
    assert series.level_errors.attrs["units"] == "counts"
    true, found = net(rois), xi.ratio(series, "WZ", "ZB")
    mean, spread = scatter(found.ratio, found.ratio_errors, true["WZ"] / true["ZB"])
    assert abs(mean) < 0.15
    assert 0.92 < spread < 1.08


@pytest.mark.thorough
@pytest.mark.parametrize("mixed", [False, True])
def test_backgrounds_of_rois_take_the_level_of_whole_frames_with_them(mixed: bool) -> None:
    """Less a background of their own ROIs do not have the level's error; stated errors were 1.9 times too small."""
    rois = CASES["one small background for all"]
    if mixed:
        rois = [
            xi.Roi("WZ", y=(8, 32), x=(10, 31)),
            rois[1],
            xi.Roi("TW", y=(8, 32), x=(57, 79), background="edge"),
            SIDE,
        ]
    flat = xi.Correction(background=xi.Background(y=(0, 6), x=(82, 90), mode="subtract"))
    series = xi.measure(counts(ground=5.0), rois, correction=flat).compute()
    true = net(rois)
    for above, below in (("WZ", "ZB"), ("WZ", "TW"), ("TW", ["WZ", "ZB"])):
        found = xi.ratio(series, above, below)
        truth = true[above] / sum(true[name] for name in np.atleast_1d(below))
        mean, spread = scatter(found.ratio, found.ratio_errors, truth)
        assert abs(mean) < 0.15
        assert 0.92 < spread < 1.08


@pytest.mark.parametrize("mode", ["divide", "subtract"])
def test_overlap_with_the_background_of_whole_frames_is_told(mode: str) -> None:
    """A ROI divided by itself has no error any more, so that of a ratio cannot be had from it."""
    rois = CASES["one small background for all"]
    region = xi.Background(y=SIDE.y, x=SIDE.x, mode=mode)  # type: ignore[arg-type] # one of both
    series = xi.measure(counts().isel(time=slice(0, 5)), rois, correction=xi.Correction(background=region)).compute()
    with pytest.warns(xi.XinsituWarning, match="side and the background of whole frames share"):
        xi.ratio(series, "WZ", "ZB")


@pytest.mark.thorough("monitor")
@pytest.mark.parametrize("by", ["monitor", "background"])
def test_what_frames_are_divided_by_is_in_no_ratio(by: str) -> None:
    rois = CASES["one small background for all"]
    scan = counts()
    if by == "monitor":
        correction = xi.Correction(normalise="monitor")
    else:
        region = xi.Background(y=(0, 6), x=(82, 90), mode="divide", normalise="mean")
        correction = xi.Correction(background=region)
    series = xi.measure(scan, rois, correction=correction).compute()
    assert float(series.frame_scale_errors.mean()) > 0.04
    plain, found = (xi.ratio(one, "WZ", "ZB") for one in (xi.measure(scan, rois).compute(), series))
    np.testing.assert_allclose(found.ratio, plain.ratio, rtol=1e-5)
    np.testing.assert_allclose(found.ratio_errors, plain.ratio_errors, rtol=0.02)


@pytest.mark.thorough
def test_attenuation_and_exposure_cancel() -> None:
    rois = CASES["one small background for all"]
    series = xi.measure(counts().isel(time=slice(0, 60)), rois).compute()
    series = series.assign_coords(
        frame=("time", np.arange(60)), measurement="time1", exposure_time=("time", np.repeat([1.0, 2.0], 30))
    )
    change = xi.AttenuationChange("time1:29", "time1:32", 7.0, 0.7)
    with pytest.warns(xi.XinsituWarning, match="contradicts"):
        corrected = xi.correct_attenuation(series, [change])
    before, after = xi.fraction(series, ["WZ", "ZB"]), xi.fraction(corrected, ["WZ", "ZB"])
    there = np.r_[0:30, 32:60]
    assert after.fraction.isnull().all("roi").values.nonzero()[0].tolist() == [30, 31]
    for name in ("fraction", "fraction_errors", "fraction_scale_errors"):
        np.testing.assert_array_equal(after[name].values[there], before[name].values[there])
    assert (after.fraction_scale_errors.isel(time=there) == 0).all()


def test_the_flat_field_does_not_cancel() -> None:
    series = xr.Dataset(
        {
            "intensity": (("time", "roi"), [[300.0, 100.0]] * 2),
            "intensity_errors": (("time", "roi"), [[17.0, 10.0]] * 2),
        },
        {"roi": ["A", "B"], "scale_errors": ("time", [0.01, 0.01])},
    )
    part = xi.fraction(series, ["A", "B"])
    np.testing.assert_allclose(part.fraction_scale_errors, 0.75 * 0.25 * 0.01 * np.sqrt(2))
    np.testing.assert_allclose(xi.ratio(series, "A", "B").ratio_scale_errors, 3 * 0.01 * np.sqrt(2))


def test_the_flat_field_is_the_same_behind_a_correction_of_attenuation() -> None:
    values = np.array([[300.0, 100.0]] * 4 + [[30.0, 10.0]] * 4)
    time = START + np.arange(8) * np.timedelta64(1, "s")
    coords = {"time": time, "roi": ["A", "B"], "scale_errors": ("time", np.full(8, 0.01))}
    series = xr.Dataset(
        {"intensity": (("time", "roi"), values), "intensity_errors": (("time", "roi"), values**0.5)}, coords
    )
    change = xi.AttenuationChange(time[3], time[4], factor=10.0, factor_errors=0.2)
    corrected = xi.correct_attenuation(series, [change])
    np.testing.assert_array_equal(
        xi.fraction(corrected, ["A", "B"]).fraction_scale_errors, xi.fraction(series, ["A", "B"]).fraction_scale_errors
    )


def test_weights_are_intensity_per_unit() -> None:
    series = xr.Dataset({"intensity": (("time", "roi"), [[300.0, 100.0]])}, {"roi": ["A", "B"]})
    assert xi.fraction(series, ["A", "B"], weights={"A": 3.0}).fraction.values.tolist() == [[0.5, 0.5]]
    assert xi.ratio(series, "A", "B", weights={"A": 3.0}).ratio.item() == 1
    for weights in ({"A": 0.0}, {"A": -1.0}, {"A": np.nan}):
        with pytest.raises(xi.SchemaError, match="above zero"):
            xi.ratio(series, "A", "B", weights=weights)
    with pytest.raises(xi.RoiError, match="'C'"):
        xi.ratio(series, "A", "B", weights={"C": 1.0})


def test_weak_and_empty_denominators() -> None:
    errors = np.full((4, 2), 10.0)
    series = xr.Dataset(
        {
            "intensity": (("time", "roi"), [[50.0, 100.0], [50.0, 40.0], [50.0, 0.0], [50.0, -5.0]]),
            "intensity_errors": (("time", "roi"), errors),
            "quality": (("time", "roi"), [[0, 1], [0, 0], [0, 0], [0, 0]]),
        },
        {"roi": ["A", "B"]},
    )
    found = xi.ratio(series, "A", "B")
    np.testing.assert_allclose(found.ratio, [0.5, 1.25, np.nan, np.nan])
    low = int(Quality.LOW_COUNTS)
    assert found.quality.values.tolist() == [1, low, low, low]
    assert np.isnan(found.ratio_errors.values[2:]).all()


def test_partial_overlap_is_told() -> None:
    rois = [xi.Roi("WZ", y=(8, 32), x=(10, 40)), xi.Roi("ZB", y=(8, 32), x=(30, 60))]
    series = xi.measure(counts().isel(time=slice(0, 5)), rois).compute()
    with pytest.warns(xi.XinsituWarning, match="WZ and ZB share a part of their pixels"):
        xi.ratio(series, "WZ", "ZB")


def ring(name: str, column: int) -> xi.Roi:
    return xi.Roi(name, geometry=xi.Sector(centre=(20, column), radius=(9.5, 11.8), angle=(0, 360)), role="background")


def disc(name: str, column: float, radius: float = 9.0, **more: object) -> xi.Roi:
    return xi.Roi(name, geometry=xi.Ellipse(centre=(20, column), axes=(radius, radius)), **more)  # type: ignore[arg-type]


SHAPES = {
    "rings around discs": [
        *(disc(name, column, background=(f"of {name}",)) for name, column in (("WZ", 20), ("ZB", 44), ("TW", 68))),
        *(ring(f"of {name}", column) for name, column in (("WZ", 20), ("ZB", 44), ("TW", 68))),
    ],
    "boxes overlap, discs do not": [
        disc("WZ", 20, background=("side",)),
        xi.Roi("ZB", geometry=xi.Polygon(points=((0, 20), (0, 50), (38, 50))), background=("side",)),
        disc("TW", 68, background=("side",)),
        SIDE,
    ],
    "a disc in a box": [
        xi.Roi("WZ", y=(8, 32), x=(10, 80), background=("side",)),
        disc("ZB", 44, background=("side",)),
        disc("TW", 68, background=("side",)),
        SIDE,
    ],
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", SHAPES)
def test_pixels_of_shapes_are_their_own_not_those_of_their_boxes(case: str) -> None:
    """The error of a disc less a ring was 0: the ring's box has all pixels of the disc."""
    rois = SHAPES[case]
    series = xi.measure(counts(), rois).compute()
    y, x = np.mgrid[:40, :90]
    spots = sum(top * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 20) for row, column, top in (WZ, ZB, TW))
    shares = {
        one.name: float((spots[slice(*one.y), slice(*one.x)] * (1 if one.weights is None else one.weights)).sum())
        for one in rois
    }
    areas = {one.name: one.area for one in rois}
    true = {
        one.name: shares[one.name] - sum(shares[name] * areas[one.name] / areas[name] for name in one.background)
        for one in rois
        if one.role == "signal"
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", xi.XinsituWarning)
        for above, below in (("WZ", "ZB"), ("TW", "WZ"), ("ZB", ["WZ", "ZB", "TW"])):
            found = xi.ratio(series, above, below)
            mean, spread = scatter(
                found.ratio, found.ratio_errors, true[above] / sum(true[name] for name in np.atleast_1d(below))
            )
            assert abs(mean) < 0.15
            assert 0.92 < spread < 1.08


def test_a_shape_that_moves_shares_what_it_meets() -> None:
    """Where it is in each frame decides."""
    rois = [disc("A", 20, 6), disc("B", 29, 6), disc("C", 20, 6)]
    series = xi.measure(counts().isel(time=slice(0, 2)), rois).compute()
    moved = {
        name: series[name]
        .expand_dims(time=series.time)
        .copy(data=np.stack([series[name], series[name] + [0, away, 0]]))
        for name, away in (("roi_x0", 8), ("roi_x1", 8), ("roi_y0", 0), ("roi_y1", 0))
    }
    places = Places.read(series.assign_coords(moved), ["A", "B", "C"])
    inside = rois[0].weights
    assert inside is not None
    there = (inside[:, 9:] * inside[:, :-9]).sum()
    assert 0 < there < inside.sum() / 3
    assert places.in_common(0, 1).tolist() == [there, 0]
    assert places.in_common(0, 2).tolist() == [inside.sum()] * 2


def test_overlap_with_a_background_from_the_own_edge_is_told() -> None:
    """Stated errors were 1.7 times too small, and nothing said so."""
    rois = [
        xi.Roi("core", y=(6, 34), x=(6, 33), background=("edge",)),
        xi.Roi("whole", y=(2, 38), x=(2, 37), background=("edge",)),
    ]
    series = xi.measure(counts().isel(time=slice(0, 5)), rois).compute()
    with pytest.warns(xi.XinsituWarning, match="core and whole share .* instead of from their edges"):
        xi.ratio(series, "core", "whole")


def test_names_that_are_not_there() -> None:
    series = xr.Dataset({"intensity": (("time", "roi"), [[3.0, 1.0]])}, {"roi": ["A", "B"]})
    with pytest.raises(xi.RoiError, match="no ROI 'C'"):
        xi.ratio(series, "A", "C")
    with pytest.raises(xi.RoiError, match="two ROIs at least"):
        xi.fraction(series, ["A"])
    with pytest.raises(xi.SchemaError):
        xi.fraction(series.drop_vars("intensity"), ["A", "B"])


@pytest.mark.thorough
def test_a_sample_keeps_what_ratios_need(tmp_path) -> None:
    rois = CASES["one small background for all"]
    scan = counts().isel(time=slice(0, 40)).assign_coords(measurement="time1", frame=("time", np.arange(40)))
    series = xi.measure(scan.chunk({"time": 9}), rois, correction=xi.Correction(normalise="monitor"))
    sample = xi.stitch([series])
    xi.write_results(sample, tmp_path / "s.nc")
    read = xi.read_results(tmp_path / "s.nc")
    assert json.loads(read.attrs["rois"])["rois"]
    first = series.compute().insitu.fraction(["WZ", "ZB", "TW"])
    np.testing.assert_array_equal(read.insitu.fraction(["WZ", "ZB", "TW"]).fraction_errors, first.fraction_errors)
    np.testing.assert_array_equal(read.insitu.ratio("WZ", "ZB").ratio, series.compute().insitu.ratio("WZ", "ZB").ratio)
