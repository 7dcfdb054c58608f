"""Errors that frames share, pixels that count twice: against the scatter of many simulated repetitions."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.variables import as_frames

from .test_uncertainties import BOX, SHAPE, assert_errors_hold, repeated, spot

COUNTED = 400.0
"""Counts of all flat-field frames together in a pixel that is 1."""


def flats(number, seed=2):
    """Flat fields of one detector, each counted anew."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.6, 1.4, SHAPE)
    for _ in range(number):
        counted = rng.poisson(COUNTED * true / true.mean())
        attrs = {"total_counts": float(counted.mean())}
        yield true / true.mean(), xr.DataArray(counted / counted.mean(), dims=("y", "x"), attrs=attrs)


BACKGROUNDS = {
    "none": (BOX, None),
    "rois": (xi.Roi("spot", BOX.y, BOX.x, background=("below",)), None),
    "divide": (BOX, xi.Background((0, 4), (0, 40))),
    "mean": (BOX, xi.Background((0, 4), (0, 40), normalise="mean")),
    "subtract": (BOX, xi.Background((0, 4), (0, 12), mode="subtract")),
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_the_flat_fields_own_error_is_the_scatter_over_many_flat_fields(kind):
    roi, region = BACKGROUNDS[kind]
    below = xi.Roi("below", y=(40, 44), x=(0, 48), role="background")
    rois = [roi, below] if roi.background == ("below",) else [roi]
    found, stated = [], []
    for true, flat in flats(200):
        frames = xr.DataArray((spot(2e5, 40.0) * true)[None], dims=("time", "y", "x"), attrs={"units": "counts"})
        frames = as_frames(frames)  # the counts that are expected, without their noise
        series = xi.measure(frames, rois, correction=xi.Correction(flatfield=flat, background=region))
        found.append(float(series.intensity.sel(roi="spot")[0]))
        stated.append(float(series.scale_errors[0]))
    scatter = np.std(found, ddof=1) / np.mean(found)
    assert np.mean(stated) / scatter == pytest.approx(1, abs=0.15)


def test_a_shared_error_is_one_number_for_all_frames_however_they_are_chunked():
    _, flat = next(flats(1))
    image = repeated(spot(20_000, 1.0), repeats=50) * xr.DataArray(np.linspace(1, 3, 50).round(), dims="time")
    image = image.astype("int32").assign_attrs(units="counts")
    recipe = xi.Correction(median=3, threshold=5, flatfield=flat)
    series = xi.measure(image, [BOX], correction=recipe)
    lazy = xi.measure(image.chunk({"time": 7}), [BOX], correction=recipe)
    assert lazy.scale_errors.chunks is not None
    assert series.scale_errors.dims == ("time",)
    assert 0 < float(series.scale_errors[0]) < 0.01
    assert np.ptp(series.scale_errors.values) == 0
    np.testing.assert_array_equal(lazy.scale_errors, series.scale_errors)
    assert (xi.measure(image, [BOX]).scale_errors == 0).all()
    assert (xi.measure(image, [BOX], correction=xi.Correction(flatfield=flat.drop_attrs())).scale_errors == 0).all()


def test_a_flat_field_from_a_folder_says_what_it_counted(experiment):
    flat = xi.open_flatfield(experiment.folders["flatfield"], tz="Asia/Tokyo")
    assert flat.attrs["total_counts"] == pytest.approx(flat.attrs["mean_counts"] * flat.attrs["n_frames"])
    scan = xi.open_measurement(experiment.measurements[0], tz="Asia/Tokyo")
    series = xi.measure(scan, experiment.rois, correction=xi.Correction(flatfield=flat)).compute()
    assert 0 < float(series.scale_errors[0]) < 1 / np.sqrt(flat.attrs["total_counts"])


def sample_with(flat_error, n=6):
    time = np.datetime64("2014-05-28", "ns") + np.arange(n) * np.timedelta64(1, "s")
    values = np.repeat([1000.0, 100.0], n // 2)[:, None]
    return xr.Dataset(
        {
            "intensity": (("time", "roi"), values, {"units": "counts"}),
            "intensity_errors": (("time", "roi"), np.sqrt(values), {"units": "counts"}),
        },
        {"time": time, "roi": ["WZ"], "scale_errors": ("time", np.full(n, flat_error), {"units": "1"})},
    )


def test_a_change_of_attenuation_adds_to_what_is_shared_already_and_undoing_takes_it_off():
    sample = sample_with(0.03)
    times = sample.time.values
    change = xi.AttenuationChange(times[2], times[3], factor=10.0, factor_errors=0.4)
    corrected = xi.correct_attenuation(sample, [change])
    np.testing.assert_allclose(corrected.scale_errors, [0.03] * 3 + [0.05] * 3)
    np.testing.assert_allclose(corrected.attenuation_factor_errors, [0.0] * 3 + [0.4] * 3)
    xr.testing.assert_identical(xi.undo_attenuation(corrected), sample)
    assert "scale_errors" in xi.to_dataframe(corrected)
    plain = sample.drop_vars("scale_errors")
    np.testing.assert_allclose(xi.correct_attenuation(plain, [change]).scale_errors, [0.0] * 3 + [0.04] * 3)
    xr.testing.assert_identical(xi.undo_attenuation(xi.correct_attenuation(plain, [change])), plain)


def test_joining_keeps_the_shared_errors_and_reads_no_frames(computes):
    _, flat = next(flats(1))
    parts = []
    for number in range(3):
        image = repeated(spot(20_000), repeats=6, seed=number).chunk({"time": 2})
        time = np.datetime64("2014-05-28", "ns") + (np.arange(6) + 10 * number) * np.timedelta64(1, "s")
        image = image.assign_coords(time=time, measurement=f"time{number}")
        recipe = xi.Correction(flatfield=flat) if number else None
        parts.append(xi.measure(image, [BOX], correction=recipe))
    with computes(0):
        sample = xi.stitch(parts[:2])
    expected = np.concatenate([part.scale_errors.values for part in parts[:2]])
    np.testing.assert_array_equal(sample.scale_errors, expected)
    longer = xi.append_measurements(sample.compute(), [parts[2].compute()])
    np.testing.assert_array_equal(longer.scale_errors[12:], parts[2].scale_errors)
    older = parts[2].drop_vars("scale_errors").compute()
    assert np.isnan(xi.stitch([parts[0].compute(), older]).scale_errors[6:]).all()


# -- pixels that count twice ------------------------------------------------------------------------------------------

REGIONS = {
    "beside": ((0, 5), (0, 40)),
    "in the ROI": ((2, 12), (10, 40)),
}


@pytest.mark.parametrize("where", REGIONS)
@pytest.mark.parametrize("mode", ["divide", "mean", "subtract"])
@pytest.mark.parametrize("median", [None, 3])
@pytest.mark.thorough("None-mean-beside", "3-divide-in the ROI")
def test_errors_hold_where_backgrounds_overlap(where, mode, median):
    kind = {"mode": "divide", "normalise": "mean"} if mode == "mean" else {"mode": mode}
    rois = [
        xi.Roi("spot", BOX.y, BOX.x, background=("a", "b")),
        xi.Roi("a", y=(0, 8), x=(0, 48), role="background"),
        xi.Roi("b", y=(6, 14), x=(0, 20), role="background"),
    ]
    recipe = xi.Correction(median=median, background=xi.Background(*REGIONS[where], **kind))
    series = xi.measure(repeated(spot(3000, 6.0)), rois, correction=recipe)
    for roi, name in (("spot", "intensity"), ("spot", "background"), ("a", "intensity")):
        own = series.sel(roi=roi)
        assert_errors_hold(own[name], own[f"{name}_errors"])


def test_a_region_over_itself_is_known_exactly():
    recipe = xi.Correction(background=xi.Background((0, 8), (0, 48)))
    series = xi.measure(repeated(spot(200, 6.0), repeats=20), [xi.Roi("a", (0, 8), (0, 48))], correction=recipe)
    np.testing.assert_allclose(series.intensity, 8 * 48, rtol=1e-6)
    assert (series.intensity_errors < 1e-3).all()
