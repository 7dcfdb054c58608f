"""Two-time similarity against NumPy, where changes are known; and the command that draws it."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.values import Ellipse, KeyFrame

ROI = xi.Roi("a", y=(3, 18), x=(5, 24))


def made(n=40, *, change=23, dtype="uint16", seed=6, mean=60.0):
    """Frames of a spot that jumps between two of them, and fades all the while."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:21, :27].astype(float)
    frames = [
        rng.poisson(mean * (2 - k / n) * np.exp(-((y - 9 - 4 * (k >= change)) ** 2) / 9 - (x - 13) ** 2 / 20) + 2)
        for k in range(n)
    ]
    time = np.datetime64("2014-05-28T08:00", "ns") + np.arange(n) * np.timedelta64(2, "s")
    return xr.DataArray(
        np.array(frames).astype(dtype), dims=("time", "y", "x"), attrs={"units": "counts"},
        coords={"time": time, "y": np.arange(21), "x": np.arange(27)},
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
def test_correlation_is_that_of_numpy(dtype):
    image = made(dtype=dtype)
    found = xi.two_time(image, ROI)
    pixels = image.values[:, 3:18, 5:24].reshape(40, -1).astype(float)
    np.testing.assert_allclose(found.similarity, np.corrcoef(pixels), atol=3e-6)
    np.testing.assert_array_equal(found.similarity, found.similarity.T)
    assert found.similarity.dims == ("time", "other_time")
    np.testing.assert_array_equal(found.other_time, found.time)


def test_intensities_are_as_in_photon_correlation():
    image = made(mean=3.0)
    found = xi.two_time(image, ROI, kind="intensity")
    pixels = image.values[:, 3:18, 5:24].reshape(40, -1).astype(float)
    expected = pixels @ pixels.T / pixels.shape[1] / np.outer(pixels.mean(1), pixels.mean(1))
    np.testing.assert_allclose(found.similarity, expected, rtol=2e-6)


def test_the_margins_show_when_something_changed():
    found = xi.two_time(made(), ROI)
    assert int(found.step.argmax("time")) == 23
    others = np.delete(found.step.values, 23)
    assert float(found.step[23]) > 10 * np.nanmax(np.abs(others[1:]))
    c = found.similarity.values.astype(float)
    np.testing.assert_allclose(found.mean_similarity, (c.sum(1) - np.diag(c)) / 39, rtol=1e-5)
    np.testing.assert_allclose(found.step[1:], 1 - np.diag(c, -1), atol=1e-6)
    assert np.isnan(found.step[0])
    dimmer = xi.two_time(made() // 2, ROI)  # nothing of the shape changes with the intensity
    assert int(dimmer.step.argmax("time")) == 23


def test_lazy_in_any_chunks_is_the_same(computes):
    image = made()
    correction = xi.Correction(median=3, threshold=5, background=xi.Background(y=(0, 3), x=(0, 5), mode="subtract"))
    whole = xi.two_time(image, ROI, correction=correction)
    with computes(0):
        lazy = xi.two_time(image.chunk({"time": 7}), ROI, correction=correction)
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_identical(lazy.compute(), whole)
    clean = xi.correct(image, correction).values[:, 3:18, 5:24].reshape(40, -1)
    np.testing.assert_allclose(whole.similarity, np.corrcoef(clean), atol=3e-6)


def test_a_part_of_the_detector_and_any_shape():
    image = made()
    part = image.isel(y=slice(2, 20), x=slice(4, 26))
    np.testing.assert_array_equal(xi.two_time(part, ROI).similarity, xi.two_time(image, ROI).similarity)
    ellipse = xi.Roi("e", geometry=Ellipse(centre=(10, 13), axes=(6.3, 8.1)))
    inside = np.asarray(ellipse.weights) > 0
    pixels = image.values[:, slice(*ellipse.y), slice(*ellipse.x)][:, inside]
    np.testing.assert_allclose(xi.two_time(image, ellipse).similarity, np.corrcoef(pixels), atol=3e-6)
    exact = xi.Roi("e", geometry=Ellipse(centre=(10, 13), axes=(6.3, 8.1)), edges="exact")
    weights = np.asarray(exact.weights).ravel()
    flat = image.values[:, slice(*exact.y), slice(*exact.x)].reshape(40, -1)
    covariance = np.cov(flat, aweights=weights, ddof=0)
    size = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(xi.two_time(image, exact).similarity, covariance / np.outer(size, size), atol=3e-6)
    whole = xi.two_time(image)
    np.testing.assert_allclose(whole.similarity, np.corrcoef(image.values.reshape(40, -1)), atol=3e-6)


def test_profiles_are_compared_too():
    image = made()
    profiles = xi.profiles(image, ROI, along="y")
    found = xi.two_time(profiles)
    np.testing.assert_allclose(found.similarity, np.corrcoef(profiles.values), atol=3e-6)
    assert int(found.step.argmax("time")) == 23


def test_pixels_and_frames_that_say_nothing():
    image = made(dtype="float32")
    image.values[:, 8, 11] = np.nan
    image.values[3, 9, 12] = np.nan
    image.values[30] = np.nan
    found = xi.two_time(image, ROI)
    pixels = image.values[:, 3:18, 5:24].reshape(40, -1)
    kept = np.isfinite(np.delete(pixels, 30, axis=0)).all(0)
    expected = np.corrcoef(np.delete(pixels[:, kept], 30, axis=0))
    values = np.delete(np.delete(found.similarity.values, 30, axis=0), 30, axis=1)
    np.testing.assert_allclose(values, expected, atol=3e-6)
    assert np.isnan(found.similarity.values[30]).all()
    assert np.isnan(found.step.values[[30, 31]]).all()
    even = xr.DataArray(np.full((3, 4, 4), 5), dims=("time", "y", "x"))
    assert np.isnan(xi.two_time(even).similarity).all()  # nothing to be alike in


@pytest.mark.parametrize("kind", ["correlation", "intensity"])
def test_frames_without_a_pixel_in_common_are_not_compared(kind):
    """No sum over nothing is a likeness of 0 or 1: of frames that cannot be read, or whose gaps wander."""
    image = made(4, dtype="float32")
    for lost in (np.s_[:], np.s_[1:, ::2]):
        part = image.copy(deep=True)
        part.values[lost] = np.nan
        part.values[0, 1::2] = np.nan
        found = xi.two_time(part, ROI, kind=kind)
        assert np.isnan(found.similarity).all()
        assert np.isnan(found.step).all()


def test_few_frames():
    for number in (1, 2):
        found = xi.two_time(made(number), ROI)
        assert found.similarity.shape == (number, number)
        assert found.step.shape == (number,)


def test_what_makes_no_sense_is_refused():
    image = made(4)
    with pytest.raises(xi.RoiError, match="does not lie in the image"):
        xi.two_time(image, xi.Roi("far", y=(0, 30), x=(0, 9)))
    with pytest.raises(xi.SchemaError, match="kind is one of"):
        xi.two_time(image, ROI, kind="cosine")
    with pytest.raises(xi.SchemaError, match="go with frames"):
        xi.two_time(xi.profiles(image, ROI), ROI)
    with pytest.raises(xi.SchemaError, match="time and one other"):
        xi.two_time(image.isel(time=0))
    with pytest.raises(xi.SchemaError, match="20000"):
        xi.two_time(xr.DataArray(np.zeros((20_001, 2)), dims=("time", "y")))
    moving = xi.Roi("m", y=(3, 9), x=(3, 9), path=(KeyFrame.from_dict({"position": 1, "y": [3, 9], "x": [3, 9]}),))
    with pytest.raises(xi.RoiError, match="moves"):
        xi.two_time(image, moving)


@pytest.mark.thorough
def test_the_picture_and_its_file(tmp_path):
    found = xi.two_time(made(), ROI)
    figure = xi.plot_two_time(found, x="frame", path=tmp_path / "two.png")
    drawn = figure.axes[0].collections[0].get_array()
    np.testing.assert_array_equal(np.asarray(drawn).reshape(40, 40), found.similarity.values)
    with pytest.raises(xi.ResultExists):
        xi.plot_two_time(found, path=tmp_path / "two.png")
    with pytest.raises(xi.SchemaError):
        xi.plot_two_time(found.drop_vars("step"))
    xi.write_results(found, tmp_path / "two.nc")
    again = xi.read_results(tmp_path / "two.nc")
    np.testing.assert_array_equal(again.similarity, found.similarity)
    np.testing.assert_array_equal(again.other_time, found.time)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_the_command(experiment, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["two-time", str(experiment.folders["time1"]), "--rois", str(experiment.files["rois"])]
    words += ["--roi", "WZ", "--instrument", "spring8-bl11xu"]
    assert main(words) == 0
    assert "largest change: " in capsys.readouterr().out
    (picture,) = tmp_path.glob("*_two_time.png")
    assert picture.stat().st_size > 20_000
    assert main(words) == 1
    assert main([*words[:-4], "--roi", "nobody", "-o", "other.png"]) == 1
