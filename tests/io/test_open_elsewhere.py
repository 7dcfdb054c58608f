"""What we write opens with a plot, sound units and readable names in other programs, and reads back as it was."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.io.conventions import file_units, from_file, to_file
from xinsitu.io.nxdata import safe_names

TOKYO = {"instrument": "spring8-bl11xu"}
pytestmark = pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")


@pytest.fixture(scope="module")
def series(experiment):
    scan = xi.open_measurement(experiment.folders["time1"], **TOKYO)
    return xi.measure(scan, experiment.rois.also("sigma")).compute()


@pytest.fixture(scope="module")
def result(series, tmp_path_factory) -> Path:
    return xi.write_results(series, tmp_path_factory.mktemp("elsewhere") / "time1.nc")


@pytest.fixture(scope="module")
def frames(experiment, tmp_path_factory) -> Path:
    scan = xi.open_measurement(experiment.folders["time1"], **TOKYO)
    clean = xi.crop(xi.correct(scan, xi.Correction(median=3)), y=(60, 100), x=(200, 270))
    return xi.write_frames(clean, tmp_path_factory.mktemp("elsewhere") / "time1_frames.nc")


def default_plot(file):
    """Follow the rules of NXdata with h5py alone."""
    assert file.attrs["NX_class"] == "NXroot"
    entry = file[file.attrs["default"]]
    assert entry.attrs["NX_class"] == "NXentry"
    group = entry[entry.attrs["default"]]
    assert group.attrs["NX_class"] == "NXdata"
    signal = group[group.attrs["signal"]]
    axes = [
        np.arange(size) if name == "." else group[name]
        for name, size in zip(group.attrs["axes"], signal.shape, strict=True)
    ]
    assert tuple(len(axis) for axis in axes) == signal.shape
    return group, signal, axes


@pytest.mark.thorough
def test_a_result_has_a_default_plot_of_its_curves(result, series):
    with h5py.File(result) as file:
        group, signal, (elapsed,) = default_plot(file)
        assert group.name == "/entry/intensity"
        names = [group.attrs["signal"], *group.attrs["auxiliary_signals"]]
        assert names == list(series.roi.values)
        for name in names:
            np.testing.assert_array_equal(group[name][:], series.intensity.sel(roi=name))
            np.testing.assert_array_equal(group[f"{name}_errors"][:], series.intensity_errors.sel(roi=name))
        seconds = (series.time.values - series.time.values[0]) / np.timedelta64(1, "s")
        np.testing.assert_allclose(elapsed[:], seconds, atol=1e-9)
        assert elapsed.attrs["units"] == "s"
        assert signal.attrs["units"] == "counts"
        assert set(file["entry"]) == {"intensity", "com_y", "com_x", "fwhm_y", "fwhm_x"}


@pytest.mark.thorough("None")
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_frames_have_a_default_plot_of_themselves(experiment, tmp_path, compression):
    scan = xi.open_measurement(experiment.folders["time1"], **TOKYO).isel(time=slice(0, 9))
    path = xi.write_frames(scan, tmp_path / "f.nc", compression=compression)
    with h5py.File(path) as file:
        _, signal, axes = default_plot(file)
        assert signal == file["image"]  # the same dataset, no copy
        np.testing.assert_array_equal(signal[3], scan.image[3])
        assert [axis.name.rpartition("/")[2] for axis in axes] == ["elapsed", "y", "x"]
    again = xi.open_measurement(path)
    np.testing.assert_array_equal(again.image, scan.image)
    assert again.y.attrs == scan.y.attrs
    assert "NX_class" not in again.attrs
    assert xi.read_results(path).x.attrs["units"] == "pixel"


@pytest.mark.thorough
def test_results_read_back_as_they_were(result, series):
    again = xi.read_results(result)
    assert set(again.variables) == set(series.variables)
    for name in series.variables:
        if series[name].dtype.kind == "f":
            np.testing.assert_array_equal(again[name], series[name], str(name))
        else:
            assert (again[name] == series[name]).all(), name
        kept = {key: value for key, value in again[name].attrs.items() if key != "ancillary_variables"}
        assert {key: str(value) for key, value in kept.items()} == {
            key: str(value) for key, value in series[name].attrs.items()
        }, name
    assert not {"NX_class", "default"} & set(again.attrs)
    twice = xi.write_results(again, result.parent / "twice.nc", overwrite=True)
    xr.testing.assert_identical(xi.read_results(twice).drop_attrs(deep=False), again.drop_attrs(deep=False))


@pytest.mark.thorough
def test_files_of_before_open_as_they_did(result, series, tmp_path):
    """Without the entry, the characters, and with our own units: what was written until now."""
    old = tmp_path / "old.nc"
    shutil.copy(result, old)
    with h5py.File(old, "r+") as file:
        del file["entry"], file["roi_chars"], file.attrs["NX_class"], file.attrs["default"]
        for item in file.values():
            if "xinsitu_units" in item.attrs:
                item.attrs["units"] = item.attrs["xinsitu_units"]
                del item.attrs["xinsitu_units"]
    xr.testing.assert_identical(xi.read_results(old), xi.read_results(result))


@pytest.mark.thorough
def test_no_unit_in_a_file_is_unknown_to_udunits(result, frames):
    known = re.compile(r"1|counts|s|1/s|counts/s|seconds since 1970-01-01|A|V|ct|um|K|degrees?|C|mm|keV|%|")
    for path in (result, frames):
        with h5py.File(path) as file:
            found = {}
            file.visititems(lambda name, item: found.setdefault(name, str(item.attrs.get("units", ""))))  # noqa: B023
        assert not {name: units for name, units in found.items() if "pixel" in units}
        assert not {name: units for name, units in found.items() if not known.fullmatch(units)}


def test_flags_are_int32_of_one_type(result):
    with h5py.File(result) as file:
        quality = file["quality"]
        assert quality.dtype == np.int32
        assert quality.attrs["flag_masks"].dtype == np.int32
        assert len(quality.attrs["flag_masks"]) == len(quality.attrs["flag_meanings"].split())
        status = file["frame_status"]
        assert (status.dtype, status.attrs["flag_values"].dtype) == (np.int32, np.int32)  # scipp has no bytes
    again = xi.read_results(result).frame_status
    assert (again.dtype, again.attrs["flag_values"].dtype) == (np.int8, np.int8)


def test_names_stand_as_characters_of_one_length(result, series):
    with h5py.File(result) as file:
        letters = file["roi_chars"][:]
    assert letters.dtype == "S1"
    assert [b"".join(row).decode().rstrip("\0") for row in letters] == list(series.roi.values)


def test_long_names_say_standard_error_once(series, experiment):
    time = series.time.values
    sample = xi.correct_attenuation(xi.stitch([series]), [xi.AttenuationChange(time[20], time[21], 2.0)])
    for one in (series, sample, xi.undo_attenuation(sample), xi.fraction(sample, ["WZ", "ZB"])):
        for name, variable in one.variables.items():
            text = str(variable.attrs.get("long_name", ""))
            assert text.count("standard error") <= 1, (name, text)
            if str(name).endswith("_errors"):
                assert "standard error" in text, name


def test_frames_are_found_by_their_time(series):
    time = series.time
    assert time.to_index().is_unique
    assert time.to_index().is_monotonic_increasing
    near = series.sel(time=time.values[7] + np.timedelta64(1, "ms"), method="nearest")
    assert near.time == time[7]
    halfway = series.intensity.interp(time=time.values[:2].astype("int64").mean().astype("datetime64[ns]"))
    np.testing.assert_allclose(halfway, series.intensity[:2].mean("time"))
    xr.testing.assert_equal(series.intensity.reindex(time=time[::2]), series.intensity[::2])


def test_units_and_names_there_and_back():
    told = {"pixel": "1", "pixel/s": "1/s", "counts/s": "counts/s", "1/angstrom": "1/angstrom", "pixels": "1"}
    assert {units: file_units(units) for units in told} == told
    names = xr.Dataset(
        {"a": (("time", "roi"), np.ones((2, 3)), {"units": "pixel/s"})},
        {"roi": ["", "GaAs (111)", "名前"], "measurement": ("time", ["time1", "time10"])},
    )
    made = to_file(names)
    assert made.roi_chars.values.tobytes().decode().replace("\0", "") == "GaAs (111)名前"
    assert made.measurement_chars.shape == (2, 6)
    xr.testing.assert_identical(from_file(made), names)
    assert safe_names(["a b", "a-b", "a_b_errors", "1"]) == ["a_b", "a_b_", "a_b_errors_", "_1"]


@pytest.mark.thorough
def test_awkward_results_are_written_all_the_same(tmp_path):
    """Names that NeXus does not allow, no time, no ROI, a variable of our own name, very many ROIs."""
    rng = np.random.default_rng(1)
    time = np.datetime64("2014-05-28", "ns") + np.arange(3) * np.timedelta64(1, "s")
    cases = {
        "names": xr.Dataset({"intensity": (("time", "roi"), rng.random((3, 2)))}, {"time": time, "roi": ["名", "/"]}),
        "frames": xr.Dataset({"intensity": (("time", "roi"), rng.random((3, 1)))}, {"roi": ["a"]}),
        "bare": xr.Dataset({"intensity": ("time", rng.random(3))}, {"time": time}),
        "called": xr.Dataset({"intensity": ("n", [1.0, 2.0]), "frames": 1, "time": 2.0, "image": ("n", [1, 2])}),
        "entry": xr.Dataset({"intensity": (("time", "roi"), rng.random((3, 1))), "entry": 1.0}, {"roi": ["a"]}),
        "many": xr.Dataset({"intensity": (("time", "roi"), rng.random((3, 300)))}, {"roi": list(map(str, range(300)))}),
        "empty": xr.Dataset({"intensity": (("time", "roi"), np.empty((0, 1)))}, {"time": time[:0], "roi": ["a"]}),
        "turned": xr.Dataset({"intensity": (("roi", "time"), rng.random((2, 3)))}, {"time": time, "roi": ["a", "b"]}),
    }  # fmt: skip
    for name, one in cases.items():
        path = xi.write_results(one, tmp_path / f"{name}.nc")
        if name == "called":  # as from a pickle: no time axis, words of ours
            with h5py.File(path) as file:
                assert default_plot(file)[0].name == "/entry/intensity"
            continue
        again = xi.read_results(path)
        np.testing.assert_array_equal(again.intensity, one.intensity, name)
        assert set(again.variables) == set(one.variables), name
        with h5py.File(path) as file:
            group, signal, _ = default_plot(file)
            assert (group.name == "/entry_/intensity") == (name == "entry")
            assert signal.size == one.intensity.size / (1 if name in ("bare", "many") else one.sizes.get("roi", 1))
    nothing = xi.write_results(xr.Dataset({"label": ("time", ["a", "b"])}), tmp_path / "nothing.nc")
    with h5py.File(nothing) as file:
        assert "default" not in file.attrs


def test_profiles_open_as_a_picture_of_time_and_q(tmp_path):
    time = np.datetime64("2014-05-28", "ns") + np.arange(4) * np.timedelta64(1, "s")
    values = np.random.default_rng(2).random((4, 6))
    coords = {"time": time, "q": ("q", np.linspace(1, 2, 6), {"units": "1/angstrom"})}
    profiles = xr.Dataset({"intensity": (("time", "q"), values), "intensity_errors": (("time", "q"), values)}, coords)
    with h5py.File(xi.write_results(profiles, tmp_path / "profiles.nc")) as file:
        group, signal, (elapsed, q) = default_plot(file)
        np.testing.assert_array_equal(signal, values)
        np.testing.assert_array_equal(group["intensity_errors"], values)
        assert (elapsed[:].tolist(), q[-1], q.attrs["units"]) == ([0, 1, 2, 3], 2, "1/angstrom")


@pytest.mark.thorough
@pytest.mark.parametrize("follow", [False, True])
def test_fits_open_with_the_places_of_their_peaks(experiment, tmp_path, follow):
    scan = xi.open_measurement(experiment.folders["time1"], **TOKYO).isel(time=slice(0, 8))
    found = xi.fit_rois(
        scan, [one for one in experiment.rois if one.name in ("WZ", "ZB", "BG")], peaks=2, follow=follow
    )
    with h5py.File(xi.write_results(found, tmp_path / "fits.nc")) as file:
        group, signal, (elapsed,) = default_plot(file)
        dim = "ridge" if follow else "peak"
        assert (group.name, signal.name) == ("/entry/centre_y", f"/entry/centre_y/WZ_{dim}_0")
        assert (elapsed[0], len(group.attrs["auxiliary_signals"])) == (0, 2 * found.sizes[dim] - 1)
        for roi in ("WZ", "ZB"):
            for number in range(found.sizes[dim]):
                one = found.sel(roi=roi).isel({dim: number})
                for end in ("", "_errors"):
                    stored = group[f"{roi}_{dim}_{number}{end}"][:]
                    np.testing.assert_array_equal(stored, one[f"centre_y{end}"].values)


def test_likeness_opens_as_a_map_with_two_axes_of_time(experiment, tmp_path):
    scan = xi.open_measurement(experiment.folders["time1"], **TOKYO).isel(time=slice(0, 8))
    found = xi.two_time(scan, experiment.rois["WZ"]).compute()
    with h5py.File(xi.write_results(found, tmp_path / "map.nc")) as file:
        _, signal, axes = default_plot(file)
        np.testing.assert_array_equal(signal, found.similarity)
        seconds = (found.time.values - found.time.values[0]) / np.timedelta64(1, "s")
        for axis in axes:
            np.testing.assert_allclose(axis, seconds)
            assert axis.attrs["units"] == "s"


@pytest.fixture(scope="module")
def trees(series, experiment, tmp_path_factory):
    """Results of two measurements, one deeper than the other; and frames."""
    folder = tmp_path_factory.mktemp("trees")
    part = xi.open_sample(experiment.folders["sample"], include="time1", **TOKYO)
    frames = part.map_over_datasets(
        lambda one: one.isel(time=slice(0, 3), y=slice(0, 40)) if "time" in one.dims else one
    )
    tree = xr.DataTree.from_dict({"/time1": series, "/deeper/time2": series.isel(time=slice(0, 9))})
    return {"results": xi.write_results(tree, folder / "tree.nc"), "frames": xi.write_results(frames, folder / "f.nc")}


def plot_of_tree(file):
    """Follow ``default`` from the root to a plot, through any number of entries."""
    group, kinds = file, []
    while (kind := group.attrs["NX_class"]) != "NXdata":
        kinds.append(kind)
        group = group[group.attrs["default"]]
    return group, kinds


@pytest.mark.thorough
def test_trees_have_a_default_plot_for_each_measurement(trees, series):
    with h5py.File(trees["results"]) as file:
        group, kinds = plot_of_tree(file)
        assert (group.name, kinds) == ("/time1/plot_intensity", ["NXroot", "NXentry"])
        np.testing.assert_array_equal(group[group.attrs["signal"]], series.intensity[:, 0])
        deep, kinds = plot_of_tree(file["deeper"])
        assert (deep.name, kinds) == ("/deeper/time2/plot_intensity", ["NXentry", "NXsubentry"])
        assert len(deep["elapsed"]) == 9
    with h5py.File(trees["frames"]) as file:
        group, _ = plot_of_tree(file)
        assert group[group.attrs["signal"]] == file["time1/image"]
        assert group["elapsed"].shape == (3,)


@pytest.mark.thorough
def test_trees_with_plots_are_read_and_stitched_as_before(series, tmp_path):
    later = series.assign_coords(time=series.time + np.timedelta64(1, "h"), measurement="time2")
    path = xi.write_results(xr.DataTree.from_dict({"time1": series, "time2": later}), tmp_path / "tree.nc")
    with xr.open_datatree(path) as tree:
        joined = xi.stitch(tree.load())
    assert joined.sizes["time"] == 2 * series.sizes["time"]


# -- other programs ---------------------------------------------------------------------------------------------------


def test_netcdf4_reads_them(result, frames, series):
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(result) as file:
        np.testing.assert_array_equal(file["intensity"][:].filled(np.nan), series.intensity)
        assert file["com_y"].units == "1"
        letters = np.ma.filled(file["roi_chars"][:], b"")
        assert [b"".join(row).decode().rstrip("\0") for row in letters] == list(series.roi.values)
    with netcdf.Dataset(frames) as file:
        assert file["image"].shape == (60, 40, 70)


@pytest.mark.thorough
def test_xarray_reads_them_as_trees(result, frames):
    for engine in ("h5netcdf", "netcdf4"):
        if engine == "netcdf4":
            pytest.importorskip("netCDF4")
        for path in (result, frames):
            with xr.open_datatree(path, engine=engine) as tree:
                assert "/entry" in tree.groups


def test_silx_finds_the_plot(result, frames, series):
    silx = pytest.importorskip("silx.io")
    nxdata = pytest.importorskip("silx.io.nxdata")
    with silx.open(str(result)) as file:
        plot = nxdata.get_default(file)
        assert plot.is_valid
        assert plot.is_curve
        np.testing.assert_array_equal(plot.signal[:], series.intensity.isel(roi=0))
        np.testing.assert_array_equal(plot.errors[:], series.intensity_errors.isel(roi=0))
        assert len(plot.auxiliary_signals) == series.sizes["roi"] - 1
    with silx.open(str(frames)) as file:
        plot = nxdata.get_default(file)
        assert plot.is_valid
        assert plot.signal.shape == (60, 40, 70)


def test_nexusformat_finds_the_plot(result, frames, series):
    nexus = pytest.importorskip("nexusformat.nexus")
    plot = nexus.nxload(str(result)).plottable_data
    assert plot.nxsignal.nxname == series.roi.values[0]
    assert [axis.nxname for axis in plot.nxaxes] == ["elapsed"]
    assert plot.nxerrors is not None
    plot = nexus.nxload(str(frames)).plottable_data
    assert [axis.nxname for axis in plot.nxaxes] == ["elapsed", "y", "x"]


@pytest.mark.thorough
def test_other_programs_find_the_plots_of_trees(trees, series):
    nxdata, silx = pytest.importorskip("silx.io.nxdata"), pytest.importorskip("silx.io")
    for name, shape in (("results", series.time.shape), ("frames", (3, 40, 487))):
        with silx.open(str(trees[name])) as file:
            plot = nxdata.get_default(file)
            assert plot.is_valid
            assert plot.signal.shape == shape
    nexus = pytest.importorskip("nexusformat.nexus")
    for name in trees:
        assert nexus.nxload(str(trees[name])).plottable_data.nxsignal is not None


def test_scipp_reads_values_variances_and_units(result, series):
    scippnexus = pytest.importorskip("scippnexus")
    with scippnexus.File(result) as file:
        found = file["entry/com_y"][()]
    name = str(series.roi.values[0])
    np.testing.assert_array_equal(found[name].values, series.com_y.sel(roi=name))
    np.testing.assert_allclose(found[name].variances, series.com_y_errors.sel(roi=name) ** 2)
    assert str(found[name].unit) in ("1", "dimensionless")


@pytest.mark.parametrize("program", ["octave-cli", "Rscript"])
def test_octave_and_r_read_numbers_and_names(program, result, series):
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    words = {
        "octave-cli": ["--eval", f"pkg load netcdf; n = ncread('{result}', 'roi_chars'); i = ncread('{result}', "
                       "'intensity'); printf('%s %.3f', n(:)', i(1, 2));"],
        "Rscript": ["-e", f"library(ncdf4); f <- nc_open('{result}'); cat(paste(ncvar_get(f, 'roi_chars'), "
                    "collapse=''), sprintf('%.3f', ncvar_get(f, 'intensity')[1, 2]))"],
    }[program]  # fmt: skip
    said = subprocess.run([program, *words], capture_output=True, text=True, timeout=120, check=False)
    if said.returncode:
        pytest.skip(f"{program} has no netCDF package: {said.stderr.strip()[-100:]}")
    letters, number = said.stdout.replace("\0", "").rsplit(" ", 1)
    assert letters.replace(" ", "") == "".join(series.roi.values)
    assert float(number) == pytest.approx(float(series.intensity[1, 0]), abs=1e-3)
