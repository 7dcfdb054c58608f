"""Two and three peaks in one profile, and peaks that are no mirror image of themselves, against lmfit and the truth."""

from __future__ import annotations

import lmfit.models
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.kernels import shapes
from xinsitu.schema import Quality

X = np.arange(90.0)
TIGHT = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}


def bell(x, centre, fwhm):
    return np.exp(-((x - centre) ** 2) / (2 * (fwhm / 2.3548200450309493) ** 2))


def lorentz(x, centre, fwhm):
    return (fwhm / 2) ** 2 / ((x - centre) ** 2 + (fwhm / 2) ** 2)


def skewed(x, height, centre, left, right, part):
    wide = np.where(x < centre, 2 * left, 2 * right)
    return height * (part * lorentz(x, centre, wide) + (1 - part) * bell(x, centre, wide))


def counted(mean, repeats, seed=11):
    rows = np.random.default_rng(seed).poisson(mean, (repeats, len(mean))).astype(float)
    return xr.DataArray(rows, dims=("time", "x"), attrs={"units": "counts"})


def fitted(profile, **options):
    return xi.fit_profiles(profile, "x", errors=np.sqrt(profile), per_count=xr.DataArray(1.0), **options)


def by_lmfit(row, sigma, centres, model, shared):
    """Fit so many peaks on a line with lmfit; centres are only where it starts."""
    whole = lmfit.models.LinearModel()
    for number in range(len(centres)):
        whole = whole + model(prefix=f"p{number}_")
    start = whole.make_params(slope=0, intercept=2)
    for number, centre in enumerate(centres):
        start[f"p{number}_center"].set(value=centre)
        start[f"p{number}_amplitude"].set(value=300, min=0)
        start[f"p{number}_sigma"].set(value=3, min=0.1)
        if shared and number:
            start[f"p{number}_sigma"].set(expr="p0_sigma")
    how = {"x": X, "weights": 1 / sigma, "scale_covar": False, "method": "leastsq"}
    return whole.fit(row, start, fit_kws=TIGHT, max_nfev=100_000, **how).params


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("shape", "peaks"),
    [
        ("gaussian", [(60, 33.2, 7.0), (40, 44.6, 7.0)]),
        ("gaussian", [(30, 21.7, 6.0), (70, 37.1, 6.0), (45, 60.4, 6.0)]),
        ("lorentzian", [(50, 30.3, 6.0), (80, 51.8, 6.0)]),
    ],
)
def test_several_peaks_agree_with_lmfit(shape, peaks, shared):
    form, theirs = {
        "gaussian": (bell, lmfit.models.GaussianModel),
        "lorentzian": (lorentz, lmfit.models.LorentzianModel),
    }[shape]
    truth = sum(height * form(X, centre, fwhm) for height, centre, fwhm in peaks) + 3 + 0.02 * X
    sigma = np.sqrt(truth)
    rows = truth + np.random.default_rng(8).normal(size=(4, 90)) * sigma
    profile = xr.DataArray(rows, dims=("time", "x"), coords={"x": X + 200}, attrs={"units": "counts"})
    errors = xr.DataArray(sigma, dims="x", coords={"x": X + 200}).broadcast_like(profile)
    found = xi.fit_profiles(profile, "x", shape=shape, peaks=len(peaks), shared_width=shared, errors=errors)
    assert found.centre.dims == found.fwhm.dims == found.area_errors.dims == ("time", "peak")
    assert found.peak.values.tolist() == list(range(len(peaks)))
    assert found.level.dims == ("time",)
    assert found.centre.attrs["long_name"] == "centre of the fitted peak"
    for number, row in enumerate(rows):
        ours, other = found.isel(time=number), by_lmfit(row, sigma, [centre for _, centre, _ in peaks], theirs, shared)
        assert int(ours.quality) & ~Quality.ERRORS_DOUBTFUL == 0
        assert int(ours.n_free) == 90 - (2 + 2 * len(peaks) + (1 if shared else len(peaks)))
        for peak in range(len(peaks)):
            own = ours.isel(peak=peak)
            width = float(other[f"p{peak}_fwhm"].value)
            assert abs(float(own.centre) - 200 - other[f"p{peak}_center"].value) < 1e-3 * width
            assert abs(float(own.fwhm) - width) < 1e-3 * width
            assert float(own.height) == pytest.approx(other[f"p{peak}_height"].value, rel=1e-3)
            assert float(own.area) == pytest.approx(other[f"p{peak}_amplitude"].value, rel=1e-3)
            for ours_name, name in (
                ("centre", "center"),
                ("fwhm", "fwhm"),
                ("area", "amplitude"),
                ("height", "height"),
            ):
                stderr = other[f"p{peak}_{name}"].stderr
                assert float(own[f"{ours_name}_errors"]) == pytest.approx(stderr, rel=0.1), (ours_name, peak)


@pytest.mark.thorough("0.4")
@pytest.mark.parametrize("part", [0.0, 0.4])
def test_split_shapes_agree_with_lmfit(part):
    truth = skewed(X, 90, 41.3, 3.2, 6.1, part) + 4
    sigma = np.sqrt(truth)
    row = truth + np.random.default_rng(2).normal(size=90) * sigma

    def line_and_peak(x, height, centre, left, right, part, level, slope):
        return skewed(x, height, centre, left, right, part) + level + slope * (x - 44.5)

    start = {"height": 80, "centre": 42, "left": 4, "right": 5, "part": part, "level": 4, "slope": 0}
    model = lmfit.Model(line_and_peak)
    parameters = model.make_params(**start)
    parameters["part"].set(vary=part > 0)
    how = {"x": X, "weights": 1 / sigma, "scale_covar": False, "fit_kws": TIGHT}
    theirs = model.fit(row, parameters, **how).params
    shape = "split_pseudo_voigt" if part else "split_gaussian"
    profile = xr.DataArray(row, dims="x")
    ours = xi.fit_profiles(profile, "x", shape=shape, errors=xr.DataArray(sigma, dims="x"))
    assert int(ours.quality) == 0
    left, right = theirs["left"].value, theirs["right"].value
    assert float(ours.centre) == pytest.approx(theirs["centre"].value, abs=1e-3)
    assert float(ours.fwhm) == pytest.approx(left + right, rel=1e-3)
    assert float(ours.asymmetry) == pytest.approx((right - left) / (right + left), abs=1e-3)
    assert float(ours.centre_errors) == pytest.approx(theirs["centre"].stderr, rel=0.1)
    assert float(ours.height_errors) == pytest.approx(theirs["height"].stderr, rel=0.1)
    fine = np.linspace(-2000, 2000, 4_000_001)
    area = skewed(fine, theirs["height"].value, 0.0, left, right, theirs["part"].value).sum() * 1e-3
    assert float(ours.area) == pytest.approx(area, rel=3e-3)


@pytest.mark.parametrize("asymmetry", [-0.6, 0.0, 0.35])
def test_slopes_of_a_split_shape_are_its_own(asymmetry):
    u, part, skew = np.linspace(-3, 3, 60)[None], np.array([[0.3]]), np.array([[asymmetry]])
    _, by_u, (by_part, by_skew) = shapes.split("pseudo_voigt", u, part, skew)
    step = 1e-6

    def slope(du, dpart, dskew):
        ahead = shapes.split("pseudo_voigt", u + du, part + dpart, skew + dskew)[0]
        return (ahead - shapes.split("pseudo_voigt", u - du, part - dpart, skew - dskew)[0]) / (2 * step)

    np.testing.assert_allclose(by_u, slope(step, 0, 0), atol=1e-7)
    np.testing.assert_allclose(by_part, slope(0, step, 0), atol=1e-7)
    np.testing.assert_allclose(by_skew, slope(0, 0, step), atol=1e-7)
    value = shapes.split("gaussian", np.array([[0.0, (asymmetry + 1) / 2, (asymmetry - 1) / 2]]), part[:, :0], skew)[0]
    np.testing.assert_allclose(value, [[1, 0.5, 0.5]])


CASES = {
    "two": ([(1.0, 35.3, 7.0), (0.6, 50.8, 5.0)], {"peaks": 2}),
    "two of one width": ([(0.7, 38.3, 7.0), (1.0, 48.1, 7.0)], {"peaks": 2, "shared_width": True}),
    "three": ([(1.0, 22.3, 5.0), (0.7, 40.1, 7.0), (0.8, 61.4, 9.0)], {"peaks": 3}),
}


def pulls(found, truths, names):
    good = (found.quality == 0).values
    for name in names:
        values, errors = found[name].values[good], found[f"{name}_errors"].values[good]
        yield name, (values - np.array(truths[name])) / errors


@pytest.mark.thorough
@pytest.mark.parametrize("counts", [500, 5_000, 50_000])
@pytest.mark.parametrize("case", CASES)
def test_pulls_of_several_peaks(case, counts):
    parts, options = CASES[case]
    form = sum(height * bell(X, centre, fwhm) for height, centre, fwhm in parts)
    scale = counts / form.sum()
    found = fitted(counted(scale * form + 0.5, 1000), **options)
    assert float((found.quality == 0).mean()) > (0.93 if counts == 500 else 0.995)
    columns = list(zip(*parts, strict=True))
    truths = {"height": np.array(columns[0]) * scale, "centre": columns[1], "fwhm": columns[2]}
    for name, pull in pulls(found, truths, truths):
        assert (np.abs(pull.std(axis=0) - 1) < 0.15).all(), (name, pull.std(axis=0))
        assert (np.abs(pull.mean(axis=0)) < 0.25).all(), (name, pull.mean(axis=0))


@pytest.mark.parametrize("counts", [500, 5_000, 50_000])
@pytest.mark.parametrize("part", [0.0, 0.5])
@pytest.mark.thorough("0.5-5000")
def test_pulls_of_split_shapes(part, counts):
    form = skewed(X, 1.0, 42.3, 3.5, 6.5, part)
    shape = "split_pseudo_voigt" if part else "split_gaussian"
    found = fitted(counted(counts / form.sum() * form + 0.5, 1000), shape=shape)
    assert float((found.quality == 0).mean()) > 0.97
    for name, pull in pulls(found, {"centre": 42.3, "fwhm": 10.0, "asymmetry": 0.3}, ["centre", "fwhm", "asymmetry"]):
        assert abs(pull.std() - 1) < 0.15, (name, pull.std())
        assert abs(pull.mean()) < 0.25, (name, pull.mean())


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("apart", "counts", "shared"),
    [
        (5.0, 500, False),
        (5.0, 2_000, False),
        (5.0, 10_000, False),
        (5.0, 500, True),
        (6.0, 500, False),
        (3.0, 5_000, True),
    ],
)
def test_peaks_that_merge_are_flagged(apart, counts, shared):
    form = bell(X, 38.3, 7.0) + 0.6 * bell(X, 38.3 + apart, 7.0)
    found = fitted(counted(counts / form.sum() * form + 0.5, 400), peaks=2, shared_width=shared)
    told = Quality.FIT_FAILED | Quality.ERRORS_DOUBTFUL
    assert float(((found.quality & told) > 0).mean()) > 0.99
    gone = (found.quality & Quality.FIT_FAILED) > 0
    assert np.isnan(found.centre.where(gone, drop=True)).all()


@pytest.mark.thorough
@pytest.mark.parametrize("counts", [500, 50_000])
def test_one_peak_is_never_two(counts):
    form = bell(X, 40.3, 9.0)
    found = fitted(counted(counts / form.sum() * form + 0.5, 300), peaks=2)
    assert not (found.quality == 0).any()


def test_two_peaks_fitted_as_one_are_a_poor_fit_and_as_two_a_good_one():
    mean = 400 * bell(X, 35.3, 7.0) + 250 * bell(X, 47.8, 7.0) + 2
    rows = counted(mean, 50)
    assert ((fitted(rows).quality & Quality.POOR_FIT) > 0).all()
    assert (fitted(rows, peaks=2).quality == 0).all()
    assert ((fitted(counted(skewed(X, 400, 41, 2.5, 6.0, 0) + 2, 50)).quality & Quality.POOR_FIT) > 0).all()


def images(frames=12):
    y, seed = np.arange(40)[:, None], np.random.default_rng(6)
    grows = np.linspace(1, 0, frames)[:, None]
    along = 9000 * grows * bell(X, 34.2, 7.0) + 9000 * (1 - grows) * bell(X, 49.7, 7.0)
    along += 4000 * (bell(X, 34.2, 7.0) + bell(X, 49.7, 7.0))
    mean = along[:, None, :] * bell(y, 19.0, 9.0) / 50 + 0.4
    data = xr.DataArray(seed.poisson(mean).astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    return data.assign_coords(y=np.arange(100, 140), x=np.arange(300, 390))


@pytest.mark.thorough
def test_peaks_of_a_roi_keep_their_numbers_while_their_heights_change_places():
    image = images()
    roi = xi.Roi("s", y=(102, 138), x=(305, 385))
    found = xi.fit_rois(image, [roi], peaks=2, shared_width=True).sel(roi="s")
    assert found.centre_x.dims == ("time", "peak")
    np.testing.assert_allclose(found.centre_x, [[334.2, 349.7]] * 12, atol=0.25)
    assert (found.height_x[0, 0] > found.height_x[0, 1]) & (found.height_x[-1, 0] < found.height_x[-1, 1])
    assert (found.quality_y > 0).all()  # there is one peak along y
    lazy = xi.fit_rois(image.chunk({"time": 5}), [roi], peaks=2, shared_width=True).sel(roi="s")
    assert lazy.centre_x.chunks is not None
    np.testing.assert_allclose(lazy.centre_x, found.centre_x, atol=1e-5)
    bound = xi.Roi("s", y=(102, 138), x=(305, 385), background="edge")
    assert (xi.fit_rois(image, [bound], peaks=2, shared_width=True).level_x_errors > 0).all()


def test_a_frame_before_shows_where_peaks_are():
    mean = 900 * bell(X, 30.0, 7.0) + 500 * bell(X, 38.0, 7.0) + 3
    rows = np.stack([mean, mean])
    rows[1, 75] = 40_000.0  # a hot bin of unknown weight draws every start to itself
    sigma = np.sqrt(rows)
    sigma[1, 75] = np.inf
    profile, errors = (xr.DataArray(part, dims=("time", "x")) for part in (rows, sigma))
    found = xi.fit_profiles(profile, "x", peaks=2, errors=errors)
    np.testing.assert_allclose(found.centre, [[30, 38]] * 2, atol=1e-4)


@pytest.mark.parametrize("peaks", [0, 5, True, 2.5, "2"])
def test_numbers_of_peaks_that_there_are_not_are_refused(peaks):
    with pytest.raises(xi.SchemaError, match="1 to 4 peaks"):
        xi.fit_profiles(xr.DataArray(np.ones(30), dims="x"), "x", peaks=peaks)


def test_too_few_bins_for_several_peaks_are_refused():
    profile = xr.DataArray(np.ones(8), dims="x")
    with pytest.raises(xi.SchemaError, match=r"2 peaks .* 8 parameters"):
        xi.fit_profiles(profile, "x", peaks=2)
    with pytest.raises(xi.SchemaError, match="11 parameters"):
        xi.fit_rois(images(1), [xi.Roi("s", y=(100, 110), x=(300, 380))], peaks=3)


@pytest.mark.parametrize(("apart", "width", "counts"), [(5.0, 5.0, 2500), (11.5, 9.5, 320)])
def test_two_peaks_of_their_own_widths_never_end_as_a_narrow_one_on_a_broad_one(apart, width, counts):
    x, rng = np.arange(76.0), np.random.default_rng(31)
    curve = np.exp(-4 * np.log(2) * ((x - 34.3) / width) ** 2)
    curve += 0.3 * np.exp(-4 * np.log(2) * ((x - 34.3 - apart) / width) ** 2)
    frames = xr.DataArray(rng.poisson(counts * curve + 0.03 * counts, (80, 76)).astype(float), dims=("time", "x"))
    errors = np.sqrt(np.maximum(frames, 1))
    found = xi.fit_profiles(frames, "x", peaks=2, errors=errors, per_count=xr.DataArray(1.0))
    trusted = found.quality == 0
    off = ((found.centre.isel(peak=1) - 34.3 - apart) / found.centre_errors.isel(peak=1)).where(trusted)
    assert float(np.abs(off).max()) < 5
    assert float(found.chi_square.max() / found.n_free.max()) < 1.9
