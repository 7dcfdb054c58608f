"""Counts are a fact that arithmetic loses, and remarks are heard where numbers are loaded."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import warnings

import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.schema import Quality
from xinsitu.variables import Counted, as_frames

ROI = [xi.Roi("a", (2, 14), (3, 17))]


def frames(number: int = 40) -> xr.DataArray:
    counts = np.random.default_rng(4).poisson(30, (number, 16, 20)).astype("float32")
    time = np.datetime64("2015-02-03", "ns") + np.arange(number) * np.timedelta64(1, "s")
    coords = {"time": time, "y": np.arange(16), "x": np.arange(20)}
    return as_frames(xr.DataArray(counts, coords, ("time", "y", "x"), name="image", attrs={"units": "counts"}))


def in_place(image: xr.DataArray) -> xr.DataArray:
    image *= 3
    return image


def written(image: xr.DataArray) -> xr.DataArray:
    image[3] = 0
    return image


TOUCHED = {
    "product": lambda image: image * 0.3,
    "sum with nothing": lambda image: image + 0,
    "rolling": lambda image: image.rolling(time=5, min_periods=1).mean(),
    "resample": lambda image: image.resample(time="5s").mean(),
    "coarsen": lambda image: image.coarsen(time=4).mean(),
    "logarithm": np.log1p,
    "new data": lambda image: image.copy(data=image.values / 2),
    "in place": in_place,
    "written into": written,
    "lazy": lambda image: (image.chunk({"time": 7}) / 2).astype("float32"),
    "masked": lambda image: image.where(image < 35),
    "in a Dataset": lambda image: image.to_dataset().map(lambda one: one * 2).image,
}
UNTOUCHED = {
    "as it is": lambda image: image,
    "chunks": lambda image: image.chunk({"time": 7}),
    "part": lambda image: image.isel(time=slice(3, 30), y=slice(0, 15)),
    "selected": lambda image: image.sel(time=image.time[[2, 5, 9]]),
    "turned": lambda image: image.transpose("x", "time", "y"),
    "copied": lambda image: image.copy(deep=True),
    "pickled": lambda image: pickle.loads(pickle.dumps(image)),
    "persisted": lambda image: image.chunk({"time": 7}).persist(),
    "corrected": lambda image: xi.correct(image, xi.Correction(median=3, threshold=5)),
    "cropped": lambda image: xi.crop(image, y=(1, 15)),
}


@pytest.mark.parametrize("name", TOUCHED)
def test_what_somebody_calculated_with_has_no_error_of_counting(name):
    image = TOUCHED[name](frames())
    assert image.attrs.get("units", "counts") == "counts"
    with pytest.warns(xi.XinsituWarning, match="somebody has calculated with it") as said:
        series = xi.measure(image.assign_attrs(units="counts"), ROI).compute()
    assert len(said) == 1
    assert np.isfinite(series.intensity).all()
    assert np.isnan(series.intensity_errors).all()


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_is_only_selected_or_corrected_keeps_its_error(name):
    image = UNTOUCHED[name](frames())
    series = xi.measure(image, ROI).compute()
    assert isinstance(image.variable, Counted)
    np.testing.assert_allclose(series.intensity_errors**2, series.intensity, rtol=0.3)  # a median shares noise


NUMBERS = {
    "product": lambda image: image * 2,
    "shifted bits": lambda image: image << 1,
    "clipped": lambda image: image.clip(0, 34),
    "difference": lambda image: image.diff("time"),
    "in place": in_place,
    "written into": written,
    "new values": lambda image: image.copy(data=image.values // 2),
    "lazy": lambda image: image.chunk({"time": 2}) * 2,
    "in a Dataset": lambda image: (image.to_dataset().map(lambda one: one * 2)).image,
}


def beside(frames):
    """A folder for what is written, as none goes among frames."""
    (folder := frames.with_name(f"{frames.name}_results")).mkdir()
    return folder


@pytest.fixture(params=[None, {}])
def whole_numbers(request, tmp_path):
    """Frames of int32 that our reader gave, in memory."""
    rng = np.random.default_rng(6)
    for number in range(6):
        path, stamp = tmp_path / f"a_{number}.tif", f"2015:02:03 10:00:{number:02d}"
        tifffile.imwrite(path, rng.poisson(30, (16, 20)).astype("int32"), datetime=stamp)
    return xi.open_measurement(tmp_path, tz="UTC", instrument="generic", chunks=request.param).load()


@pytest.mark.parametrize("name", NUMBERS)
def test_whole_numbers_that_were_calculated_with_are_no_counts(whole_numbers, name):
    with pytest.warns(xi.XinsituWarning, match="somebody has calculated with it") as said:
        series = xi.measure(NUMBERS[name](whole_numbers.image), ROI).compute()
    assert len(said) == 1
    assert np.isnan(series.intensity_errors).all()


@pytest.mark.parametrize("name", NUMBERS)
def test_nor_are_they_without_their_coordinates(whole_numbers, name):
    image = NUMBERS[name](whole_numbers.image.drop_vars(set(whole_numbers.coords) - {"time", "y", "x"}))
    with pytest.warns(xi.XinsituWarning, match="somebody has calculated with it"):
        assert np.isnan(xi.measure(image, ROI).compute().intensity_errors).all()


@pytest.mark.thorough("None-way2")
@pytest.mark.parametrize("way", [{"path": "f.nc"}, {"path": "f.nc", "compression": "deflate"}, {"path": "f.zarr"}])
def test_a_file_does_not_make_counts_of_what_is_none(whole_numbers, tmp_path, way):
    how = {**way, "path": beside(tmp_path) / way["path"]}
    with pytest.warns(xi.XinsituWarning, match="no longer counts"):
        xi.write_frames(whole_numbers.assign(image=whole_numbers.image * 2), **how)
    again = xi.open_measurement(how["path"])
    assert again.image.attrs["units"] == "1"
    series = xi.measure(again, ROI).compute()
    assert np.isnan(series.intensity_errors).all()
    np.testing.assert_array_equal(series.intensity, 2 * xi.measure(whole_numbers, ROI).intensity)
    xi.write_frames(whole_numbers, **how, overwrite=True)
    assert xi.open_measurement(how["path"]).image.attrs["units"] == "counts"


def test_whole_numbers_that_were_read_are_counts(whole_numbers, tmp_path):
    wanted = xi.measure(whole_numbers, ROI).intensity_errors.values
    whole_numbers.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    image = whole_numbers.image
    by_hand = xr.DataArray(image.values, dims=image.dims, attrs={"units": "counts"})
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as by_xarray:
        ways = [
            image.copy(),
            image.transpose("y", "x", "time"),
            pickle.loads(pickle.dumps(image)),
            by_hand,
            by_xarray.image,
            by_xarray.image.load(),
            xr.concat([image[:2], image[2:]], "time"),
        ]
        for way in ways:
            np.testing.assert_array_equal(xi.measure(way, ROI).intensity_errors.values, wanted)


def test_corrected_parts_that_were_joined_in_memory_are_warned_of(whole_numbers):
    clean = xi.correct(whole_numbers, xi.Correction(median=3, threshold=5))
    joined = xr.concat([clean.isel(time=slice(0, 3)), clean.isel(time=slice(3, 6))], "time")
    with pytest.warns(xi.XinsituWarning, match="somebody has calculated with it"):
        series = xi.measure(joined, ROI)
    assert np.isnan(series.intensity_errors).all()


def test_sums_below_zero_have_no_error_and_numpy_says_nothing():
    image = frames(6)
    image = as_frames((image - 31).assign_attrs(units="counts"))
    series = xi.measure(image, ROI, profiles=True)
    below = series.intensity.values < 0
    assert below.any()
    assert np.isnan(series.intensity_errors.values[below]).all()


@pytest.fixture(params=[None, "zlib"])
def scan(request, tmp_path):
    rng = np.random.default_rng(1)
    for number in range(30):
        pixels = rng.poisson(5, (30, 40)).astype("int32")
        if number in (7, 19):
            pixels[:6, :9] = 0
        name = tmp_path / f"run_{number:04d}.tif"
        tifffile.imwrite(name, pixels, compression=request.param, datetime=f"2015:02:03 10:11:{number:02d}")
    return xi.open_measurement(tmp_path, tz="UTC", on_error="nan", chunks={"time": 8})


SAID = {
    "loaded": lambda scan, _: scan.compute(),
    "a part": lambda scan, _: scan.image.isel(time=slice(9, 25), y=slice(3, 20)).load(),
    "without coordinates": lambda scan, _: scan.image.reset_coords(drop=True).compute(),
    "corrected": lambda scan, _: xi.correct(scan, xi.Correction(median=3)).compute(),
    "measured": lambda scan, _: xi.measure(scan, [xi.Roi("a", (10, 28), (10, 35))]).compute(),
    "an image measured": lambda scan, _: xi.measure(scan.image, [xi.Roi("a", (10, 28), (10, 35))]).compute(),
    "written": lambda scan, folder: xi.write_frames(scan, beside(folder) / "frames.nc"),
    "opened again": lambda scan, folder: again(scan, folder).compute(),
}


def again(scan, folder):
    os.remove(xi.write_frames(scan.isel(time=slice(0, 5)), beside(folder) / "frames.nc"))
    return scan


@pytest.mark.parametrize("how", SAID)
def test_frames_that_are_nan_are_said_with_their_folder(scan, how, tmp_path):
    folder = scan.encoding["source"]
    os.remove(f"{folder}/run_0011.tif")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", xi.XinsituWarning)
        SAID[how](scan, tmp_path)
    (said,) = (str(one.message) for one in caught)
    assert re.match(r"1 of \d+ frames are NaN because they cannot be read \(", said)
    assert f"in {folder})" in said
    if how in ("measured", "an image measured", "written"):
        assert f"(first: {os.path.basename(folder)} frame 11, in" in said


RECIPE = xi.Correction(background=xi.Background((0, 6), (0, 9)))


@pytest.mark.parametrize("scheduler", ["eager", "synchronous", "threads", "cluster"])
def test_each_remark_is_heard_where_numbers_are_loaded(scan, scheduler):
    os.remove(f"{scan.encoding['source']}/run_0011.tif")
    roi = [xi.Roi("a", (10, 28), (10, 35))]
    cluster = contextlib.nullcontext()
    if scheduler == "cluster":
        distributed = pytest.importorskip("distributed")
        cluster = distributed.Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    with cluster, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", xi.XinsituWarning)
        if scheduler == "eager":
            series = xi.measure(scan.assign(image=scan.image.compute()), roi, correction=RECIPE)
        else:
            how = {} if scheduler == "cluster" else {"scheduler": scheduler}
            series = xi.measure(scan, roi, correction=RECIPE).compute(**how)
    ours = [one for one in caught if issubclass(one.category, xi.XinsituWarning)]
    texts = {str(one.message) for one in ours}
    assert any("1 of 30 frames are NaN because they cannot be read" in text for text in texts)
    zero = "the background is zero in 2 of 30 frames; their values are NaN"
    assert f"{zero} (xinsitu explain background-zero)" in texts
    assert all(one.filename == __file__ for one in ours)
    flags = series.quality.values[:, 0]
    assert np.flatnonzero(flags & Quality.FRAME_FAULT).tolist() == [11]
    assert np.flatnonzero(flags & Quality.ZERO_BACKGROUND).tolist() == [7, 19]
    assert np.isnan(series.intensity.values[[7, 11, 19]]).all()


def lossy(tmp_path, name: str, gone: tuple[int, ...]) -> xr.Dataset:
    """Lazy numbers of a measurement some of whose files vanish."""
    folder = tmp_path / name
    folder.mkdir()
    hour = {"time1": 10, "time2": 11, "time3": 12}[name]
    for number in range(9):
        pixels = np.random.default_rng(number).poisson(5, (30, 40)).astype("int32")
        stamp = f"2015:02:03 {hour}:11:{number:02d}"
        tifffile.imwrite(folder / f"run_{number + 40:04d}.tif", pixels, datetime=stamp)
    scan = xi.open_measurement(folder, tz="UTC", on_error="nan", chunks={"time": 4})
    for number in gone:
        os.remove(folder / f"run_{number + 40:04d}.tif")
    return xi.measure(scan, ROI)


def test_a_sample_keeps_what_was_said_of_its_measurements(tmp_path, computes):
    parts = [lossy(tmp_path, name, gone) for name, gone in (("time1", (3, 5)), ("time2", ()), ("time3", (0,)))]
    with computes(0):
        sample = xi.stitch(parts)
    with pytest.warns(xi.XinsituWarning) as said:
        loaded = sample.compute()
    said_1 = "time1: 2 of 9 frames are NaN because they cannot be read (first: time1 frame 43, in "
    said_3 = "time3: 1 of 9 frames are NaN because they cannot be read (first: time3 frame 40, in "
    lines = [str(one.message).removesuffix(" (xinsitu explain unreadable-frames)") for one in said]
    assert [line.startswith(text) for line, text in zip(lines, (said_1, said_3), strict=True)] == [True, True]
    assert loaded.remarks.values.item().splitlines() == lines
    again = xi.stitch([loaded.isel(time=slice(0, 9)), loaded.isel(time=slice(9, None))])  # heard already
    assert again.remarks.values.item().splitlines() == lines


@pytest.mark.thorough
def test_a_file_says_again_what_was_said_and_only_that(tmp_path):
    with pytest.warns(xi.XinsituWarning) as first:
        path = xi.write_results(lossy(tmp_path, "time2", (8,)), tmp_path / "a.nc")
    with pytest.warns(xi.XinsituWarning) as second:
        series = xi.read_results(path)
    assert [str(one.message) for one in second] == [f"{path}: {one.message}" for one in first]
    assert all(one.filename == __file__ for one in second)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xi.stitch([series])
        series.mean("time").compute()
    whole = xi.write_results(lossy(tmp_path, "time1", ()), tmp_path / "b.nc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xi.read_results(whole)


@pytest.mark.thorough
def test_commands_on_a_result_say_what_is_not_to_be_trusted_once(tmp_path, capsys):
    with pytest.warns(xi.XinsituWarning):
        series = lossy(tmp_path, "time1", (2, 6)).compute()
    series["quality"][4, 0] |= int(Quality.SATURATED)
    path = str(xi.write_results(series, tmp_path / "a.nc"))
    for words in (["info", path], ["plot", path, "-o", str(tmp_path / "a.png")]):
        assert main(words) == 0
        out, err = capsys.readouterr()
        assert (out + err).count("2 of 9 frames are NaN because they cannot be read") == 1
        assert (out + err).count("saturated: a in 1 of 9 frames") == 1
        assert "frame_fault: " not in out + err


def test_the_first_frame_that_is_nan_is_named_when_frames_are_written(tmp_path):
    for number in range(6):
        pixels = np.full((12, 15), number, "int32")
        tifffile.imwrite(tmp_path / f"s_{number + 7}.tif", pixels, datetime=f"2015:02:03 10:11:{number:02d}")
    scan = xi.open_measurement(tmp_path, tz="UTC", on_error="nan")
    os.remove(tmp_path / "s_10.tif")
    with pytest.warns(xi.XinsituWarning, match=r"1 of 6 frames are NaN .*\(first: .*frame 10, in "):
        xi.write_frames(scan, tmp_path.parent / f"{tmp_path.name}.nc")


# -- put together from parts ------------------------------------------------------------------------------------------


@pytest.fixture
def parts(tmp_path):
    """Three measurements as floating point, of which one follows on the other."""
    scans = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        for number in range(8):
            pixels = np.random.default_rng(ord(name) + number).poisson(40, (16, 20)).astype("int32")
            stamp = f"2015:02:03 {ord(name) - 80}:11:{number:02d}"
            tifffile.imwrite(tmp_path / name / f"{name}_{number:04d}.tif", pixels, datetime=stamp)
        scans.append(xi.open_measurement(tmp_path / name, tz="UTC", on_error="nan", chunks={"time": 3}))
    return scans


def bare(scan):
    return scan.image.reset_coords(drop=True)


MASK = xr.DataArray(np.arange(16 * 20).reshape(16, 20) == 300, dims=("y", "x"))


def corrected(scan, **steps):
    image = bare(scan) if isinstance(scan, xr.Dataset) else scan
    return xi.correct(image, xi.Correction(**steps))


TOGETHER = {
    "concat": lambda a, b, c: xr.concat([a, b, c], "time", coords="minimal", compat="override", join="exact").image,
    "arrays": lambda a, b, c: xr.concat([bare(a), bare(b)], "time"),
    "parts": lambda a, b, c: xr.concat([bare(a.isel(time=slice(1, 7, 2))), bare(c.isel(time=[5, 2]))], "time"),
    "cropped": lambda a, b, c: xr.concat([bare(one.isel(y=slice(0, 15), x=slice(0, 18))) for one in (a, c)], "time"),
    "by coordinates": lambda a, b, c: (
        xr.combine_by_coords([bare(one).to_dataset(name="image") for one in (b, a)]).image
    ),
    "of a whole": lambda a, b, c: xr.concat([bare(a.isel(time=slice(0, 3))), bare(a.isel(time=slice(3, 8)))], "time"),
    "again": lambda a, b, c: xr.concat([xr.concat([bare(a), bare(b)], "time"), bare(c)], "time").isel(
        time=slice(2, 20)
    ),
    "sorted": lambda a, b, c: xr.concat([bare(b), bare(a)], "time").sortby("time").chunk({"time": 5}),
    "corrected before": lambda a, b, c: xr.concat([corrected(a, mask=MASK), corrected(b, mask=MASK.copy())], "time"),
    "corrected and selected": lambda a, b, c: xr.concat(
        [corrected(one, mask=MASK).isel(time=slice(2, None), y=slice(0, 14)) for one in (c, a, b)], "time"
    ),
    "corrected datasets": lambda a, b, c: (
        xr.concat(
            [one.insitu.correct(xi.Correction(mask=MASK)) for one in (a, b)],
            "time",
            coords="minimal",
            compat="override",
            join="exact",
        ).image
    ),
}
APART = {
    "the first": lambda a, b, c: xr.concat([bare(a) * 0.5, bare(b)], "time"),
    "the last": lambda a, b, c: xr.concat([bare(a), np.sqrt(bare(b))], "time"),
    "one frame": lambda a, b, c: xr.concat([bare(a), bare(b).isel(time=[0]) + 1, bare(c)], "time"),
    "after": lambda a, b, c: xr.concat([bare(a), bare(b)], "time") * 3,
    "rolling": lambda a, b, c: xr.concat([bare(a), bare(b)], "time").rolling(time=3, min_periods=1).mean(),
    "masked": lambda a, b, c: xr.concat([bare(a), bare(b).where(bare(b) < 45)], "time"),
    "filled": lambda a, b, c: xr.concat([bare(a), bare(b).fillna(0)], "time"),
    "written into": lambda a, b, c: written(xr.concat([bare(a), bare(b)], "time")),
    "in place": lambda a, b, c: in_place(xr.concat([bare(a), bare(b)], "time")),
    "in memory": lambda a, b, c: xr.concat([bare(a).load(), bare(b).load()], "time"),  # NumPy arrays say nothing
    "corrected otherwise": lambda a, b, c: xr.concat([corrected(a, mask=MASK), corrected(b, mask=MASK[::-1])], "time"),
    "only one corrected": lambda a, b, c: xr.concat([bare(a), corrected(b, mask=MASK)], "time"),
    "corrected in memory": lambda a, b, c: xr.concat([corrected(one, mask=MASK).load() for one in (a, b)], "time"),
    "corrected after": lambda a, b, c: xr.concat([corrected(bare(one) * 2, mask=MASK) for one in (a, b)], "time"),
    "corrected and scaled": lambda a, b, c: xr.concat([corrected(a, mask=MASK) / 2, corrected(b, mask=MASK)], "time"),
}


@pytest.mark.parametrize("how", TOGETHER)
def test_parts_that_count_count_together(parts, how):
    image = TOGETHER[how](*parts)
    assert image.dtype.kind == "f"
    series = xi.measure(image.assign_attrs(units="counts"), ROI).compute()  # without a warning
    np.testing.assert_allclose(series.intensity_errors**2, series.intensity)


@pytest.mark.parametrize("how", APART)
def test_parts_of_which_one_was_touched_do_not(parts, how):
    image = APART[how](*parts).assign_attrs(units="counts")
    with pytest.warns(xi.XinsituWarning, match="somebody has calculated with it") as said:
        series = xi.measure(image, ROI).compute()
    assert len(said) == 1
    assert np.isnan(series.intensity_errors).all()
    assert np.isfinite(series.intensity).all()


def test_series_of_parts_keep_their_errors_when_they_are_stitched(parts):
    sample = xi.stitch([xi.measure(one, ROI, correction=xi.Correction(median=3, threshold=5)) for one in parts[:2]])
    assert np.isfinite(sample.intensity_errors).all()
