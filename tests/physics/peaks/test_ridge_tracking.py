"""Ridges of a kymograph from simulated peaks that drift, cross, come and go; positions as lmfit has them."""

from __future__ import annotations

import lmfit.models
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.physics.peaks.ridge_tracking import Event

X = np.arange(120.0)
FRAMES = 120
T = np.arange(FRAMES)
pytestmark = pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
CENTRES = np.stack([30 + 0.5 * T, 90 - 0.5 * T, np.full(FRAMES, 8.0)])
PARTS, WIDTHS = (1.0, 0.6, 0.7), (4.0, 4.0, 3.0)
LIFE = np.stack([T >= 0, T >= 0, (T > 20) & (T < 90)])


def bell(centre, sigma):
    return np.exp(-((X - np.asarray(centre)[:, None]) ** 2) / 2 / sigma**2) / sigma / np.sqrt(2 * np.pi)


def made(counts, *, seed=3, ground=0.3, which=(0, 1, 2)):
    mean = np.full((FRAMES, X.size), ground)
    for number in which:
        mean = mean + counts * PARTS[number] * LIFE[number][:, None] * bell(CENTRES[number], WIDTHS[number])
    rows = np.random.default_rng(seed).poisson(mean).astype(float)
    time = np.datetime64("2014-05-28T08:00", "ns") + T * np.timedelta64(1, "s")
    return xr.DataArray(rows, dims=("time", "x"), attrs={"units": "counts"}, coords={"time": time, "x": X + 200})


def found_in(profile, **how):
    weights = {"errors": np.sqrt(profile), "per_count": xr.DataArray(1.0)}
    return xi.find_ridges(profile, "x", **{"peaks": 4, **weights, **how})


def when(found, ridge, event):
    return np.flatnonzero(found.event.values[:, ridge] & event).tolist()


@pytest.mark.thorough
@pytest.mark.parametrize("counts", [200, 2000, 20_000])
def test_ridges_cross_and_come_and_go_where_they_do(counts):
    found = found_in(made(counts))
    assert found.sizes["ridge"] == 3
    for ridge in range(3):
        seen = np.isfinite(found.centre.values[:, ridge])
        off = found.centre.values[:, ridge] - 200 - CENTRES[ridge]
        apart = np.abs(CENTRES[0] - CENTRES[1]) > 12
        clear = seen & (apart | (ridge == 2))
        pull = off[clear] / found.centre_errors.values[clear, ridge]
        assert np.abs(pull).max() < 6
        assert 0.7 < pull.std() < 1.3
        assert not (seen & ~LIFE[ridge]).any()
        assert seen[LIFE[ridge] & (apart | (ridge == 2))].mean() > 0.98
    assert when(found, 0, Event.BORN | Event.DIES) == when(found, 1, Event.BORN | Event.DIES) == []
    (born,), (dies,) = when(found, 2, Event.BORN), when(found, 2, Event.DIES)
    assert (born, dies) == (21, 89)
    for ridge in (0, 1):
        (crossing,) = when(found, ridge, Event.CROSSING)
        assert 60 <= crossing <= 72
        merged = when(found, ridge, Event.MERGED)
        assert all(45 < frame < 75 for frame in merged)
    assert when(found, 2, Event.CROSSING) == []


@pytest.mark.thorough
def test_at_20_counts_what_is_seen_lies_on_a_true_path():
    found = found_in(made(20))
    assert found.sizes["ridge"] >= 1
    for ridge in range(found.sizes["ridge"]):
        seen = np.isfinite(found.centre.values[:, ridge])
        off = np.abs(found.centre.values[seen, ridge] - 200 - CENTRES[:, seen]).min(axis=0)
        assert (off < 5 * np.maximum(found.centre_errors.values[seen, ridge], 0.5)).mean() > 0.9


@pytest.mark.thorough
@pytest.mark.parametrize("ground", [0.05, 2.0, 100.0])
def test_noise_has_no_ridges(ground):
    found = found_in(made(0, ground=ground))
    assert found.sizes["ridge"] == 0
    assert float(found.n_peaks.mean()) < 0.1


@pytest.mark.thorough
def test_one_peak_is_one_ridge_and_never_two():
    found = found_in(made(20_000, which=(0,)))
    assert found.sizes["ridge"] == 1
    assert (found.n_peaks == 1).all()
    assert when(found, 0, Event.CROSSING | Event.MERGED | Event.BORN | Event.DIES) == []


@pytest.mark.thorough
@pytest.mark.parametrize("counts", [200, 20_000])
def test_positions_widths_and_areas_are_those_of_lmfit(counts):
    profile = made(counts)
    found = found_in(profile, peaks=3)
    for frame in (5, 33, 110):
        there = np.isfinite(found.centre.values[frame])
        own = found.isel(time=frame, ridge=np.flatnonzero(there)).sortby("centre")
        model = lmfit.models.LinearModel()
        for number in range(own.sizes["ridge"]):
            model = model + lmfit.models.GaussianModel(prefix=f"p{number}_")
        start = model.make_params(slope=0, intercept=0.3)
        for number in range(own.sizes["ridge"]):
            start[f"p{number}_center"].set(value=float(own.centre[number]) + 0.5)
            start[f"p{number}_amplitude"].set(value=0.8 * counts)
            start[f"p{number}_sigma"].set(value=4)
        row, best = profile.values[frame], None
        for _ in range(30):  # weights that follow the curve, as Poisson's likelihood has them
            variance = np.maximum(row, 1) if best is None else np.maximum(best.best_fit, 1e-3)
            best = model.fit(row, start, x=profile.x.values, weights=variance**-0.5, scale_covar=False)
            start = best.params
        for number in range(own.sizes["ridge"]):
            for name, its in (("centre", "center"), ("fwhm", "fwhm"), ("area", "amplitude")):
                theirs = best.params[f"p{number}_{its}"]
                off = abs(float(own[name][number]) - theirs.value)
                assert off < 0.05 * float(own[f"{name}_errors"][number]), (frame, number, name)


@pytest.mark.thorough
def test_without_errors_the_scatter_tells():
    profile = made(20_000) + 0.0
    found = xi.find_ridges(profile, "x", peaks=3)
    assert found.sizes["ridge"] == 3
    assert (found.n_peaks <= 3).all()


@pytest.mark.thorough
def test_what_comes_back_is_named_and_written(tmp_path):
    found = found_in(made(2000), peaks=3)
    assert found.centre.dims == ("time", "ridge")
    assert found.event.attrs["flag_meanings"].split() == ["born", "dies", "crossing", "merged"]
    assert found.event.dtype == np.int32
    xi.write_results(found, tmp_path / "ridges.nc")
    np.testing.assert_array_equal(xi.read_results(tmp_path / "ridges.nc").centre, found.centre)


@pytest.mark.thorough
def test_a_kymograph_of_frames():
    y, x = np.arange(20)[:, None], np.arange(60)
    centres = 20 + 0.3 * np.arange(30), 45 - 0.2 * np.arange(30)
    frames = [
        900 * np.exp(-((y - 10) ** 2) / 12) * (np.exp(-((x - a) ** 2) / 12) + np.exp(-((x - b) ** 2) / 12)) + 1
        for a, b in zip(*centres, strict=True)
    ]
    counts = np.random.default_rng(0).poisson(frames).astype("int32")
    image = xr.DataArray(counts, dims=("time", "y", "x"), attrs={"units": "counts"})
    profile = xi.profiles(image.chunk({"time": 7}), xi.Roi("a", y=(0, 20), x=(0, 60)), along="x")
    found = xi.find_ridges(profile, "x", peaks=2)
    np.testing.assert_allclose(found.centre.isel(ridge=0), centres[0], atol=0.1)
    np.testing.assert_allclose(found.centre.isel(ridge=1), centres[1], atol=0.1)
    four = xi.fit_rois(image, [xi.Roi("a", y=(0, 20), x=(0, 60))], peaks=2).sel(roi="a")
    np.testing.assert_allclose(found.centre.values, four.centre_x.values, atol=0.05)


@pytest.mark.thorough
def test_four_peaks_in_a_roi():
    x = np.arange(100)
    places = (15.0, 38.0, 61.0, 84.0)
    profile = sum(200 * np.exp(-((x - place) ** 2) / 18) for place in places) + 2
    frames = np.random.default_rng(1).poisson(np.tile(profile, (8, 40, 1)))
    image = xr.DataArray(frames.astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    found = xi.fit_rois(image, [xi.Roi("a", y=(0, 40), x=(0, 100))], peaks=4).sel(roi="a")
    np.testing.assert_allclose(found.centre_x, np.tile(places, (8, 1)), atol=0.3)
    assert found.centre_x.sizes["peak"] == 4


@pytest.mark.parametrize(
    "how", [{"peaks": 0}, {"peaks": 5}, {"peaks": True}, {"gap": -1}, {"least": 0}, {"dim": "y"}, {"dim": "time"}]
)
def test_what_makes_no_sense_is_refused(how):
    with pytest.raises(xi.SchemaError):
        xi.find_ridges(made(200), **{"dim": "x", **how})


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [3, 4])
def test_what_is_not_flagged_is_where_it_says_even_beside_what_hides_another(seed):
    """One peak crosses another, and a third one is born from it: what is then fitted to two is at the place of none."""
    mean = np.full((FRAMES, X.size), 0.3)
    life = np.stack([T >= 0, T >= 0, T >= 70])
    centres = np.stack([40 + 0.3 * T, 76 - 0.3 * T, 61 + 1.1 * (T - 70)])  # those of the first two meet in frame 60
    for centre, alive, counts in zip(centres, life, (200, 140, 160), strict=True):
        mean += np.where(alive[:, None], counts * bell(centre, 3.0), 0)
    rows = np.random.default_rng(seed).poisson(mean).astype(float)
    found = found_in(xr.DataArray(rows, dims=("time", "x"), coords={"x": X}))
    away = (
        np.abs(found.centre.values[:, :, None] - np.where(life, centres, np.nan).T[:, None])
        / (found.centre_errors.values[:, :, None])
    )
    seen, trusted = np.isfinite(found.centre.values), found.quality.values == 0
    off = np.nanmin(np.where(np.isfinite(away), away, np.inf), axis=2) > 5
    assert (off & seen).sum() > 5  # there is what has to be flagged
    assert (off & seen & trusted).sum() <= 0.01 * (seen & trusted).sum()
    assert (trusted & seen).sum() > 0.4 * seen.sum()


@pytest.mark.thorough
@pytest.mark.parametrize("counts", [200, 2000, 20_000])
@pytest.mark.parametrize("backwards", [False, True])
def test_what_has_gone_into_another_one_for_good_is_told_as_long_as_it_is_in_it(counts, backwards):
    """Two meet and never part: what is left of them is as large as both. A third one fades beside one, and is gone."""
    meeting = np.stack([np.minimum(30 + 0.3 * T, 48), np.full(FRAMES, 52.0)])
    fading = np.stack([np.full(FRAMES, 85.0), np.full(FRAMES, 99.0)])
    centres = np.concatenate([meeting, fading])
    areas = counts * np.stack([0.7 + 0 * T, 1 + 0 * T, 1 + 0 * T, np.clip(1 - T / 60, 0, None)])
    if backwards:
        centres, areas = centres[:, ::-1], areas[:, ::-1]
    mean = 0.3 + sum(area[:, None] * bell(centre, 3.5) for centre, area in zip(centres, areas, strict=True))
    rows = np.random.default_rng(8).poisson(mean).astype(float)
    found = found_in(xr.DataArray(rows, dims=("time", "x"), coords={"x": X}), peaks=4)
    away = np.abs(found.centre.values[:, :, None] - np.where(areas > 0, centres, np.nan).T[:, None])
    seen, trusted = np.isfinite(found.centre.values), found.quality.values == 0
    off = np.nanmin(away, axis=2, initial=1e3) / np.where(seen, found.centre_errors.values, 1) > 5
    together = (T > 90)[:: -1 if backwards else 1]
    assert (off & seen)[together].any(axis=1).mean() > 0.5  # there is what has to be flagged
    assert (off & seen & trusted).sum() <= 0.003 * (seen & trusted).sum()
    lasting = np.abs(found.centre.values - 85) < 5
    assert (trusted & lasting & seen)[together].any(axis=1).mean() > 0.8  # and what has outlived another one is not


@pytest.mark.thorough
@pytest.mark.parametrize(("counts", "ground"), [(60, 0.05), (200, 0.3)])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_peak_that_grows_within_the_width_of_another_is_told_from_its_beginning(counts, ground, backwards):
    """The two are one to the fit until they have moved apart."""
    centres = np.stack([52 - 0.05 * T, 55.5 + 0.01 * T])
    areas = counts * np.stack([1 + 0 * T, 1.2 - 1.2 * np.exp(-np.clip(T - 13, 0, None) / 20)])
    if backwards:
        centres, areas = centres[:, ::-1], areas[:, ::-1]
    mean = ground + sum(area[:, None] * bell(centre, 2.25) for centre, area in zip(centres, areas, strict=True))
    total = np.zeros(3, dtype=int)
    for seed in range(4):
        rows = np.random.default_rng([seed, counts]).poisson(mean).astype(float)
        found = found_in(xr.DataArray(rows, dims=("time", "x"), coords={"x": X}), peaks=3)
        away = np.abs(found.centre.values[:, :, None] - np.where(areas > 0, centres, np.nan).T[:, None])
        seen = np.isfinite(found.centre.values)
        off = seen & (np.nanmin(away, axis=2, initial=1e3) / np.where(seen, found.centre_errors.values, 1) > 4)
        trusted = seen & (found.quality.values == 0)
        total += off.sum(), trusted.sum(), (off & trusted).sum()
    off, trusted, wrong = total
    assert off > 10  # there is what has to be flagged
    assert trusted > 10
    assert wrong <= 0.02 * trusted
