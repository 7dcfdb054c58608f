"""The whole job through the library: lazy, the same under every scheduler, out of core."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.simulate import Truth, simulate_frames, simulate_sample

Computes = Callable[..., AbstractContextManager[object]]
INSTRUMENT = "spring8-bl11xu"
NUMBERS = ("intensity", "background", "maximum", "com_y", "com_x", "fwhm_y", "fwhm_x", "n_valid", "quality")


def correction(experiment: Truth) -> xi.Correction:
    return xi.Correction(
        median=3,
        flatfield=xi.open_flatfield(experiment.folders["flatfield"], instrument=INSTRUMENT),
        background=xi.Background(y=(70, 90), x=(150, 170), mode="subtract"),
    )


@pytest.mark.thorough
def test_the_twenty_lines(experiment: Truth, tmp_path: Path) -> None:
    flat = xi.open_flatfield(experiment.folders["flatfield"], instrument=INSTRUMENT)
    corr = xi.Correction(median=3, flatfield=flat)
    rois = xi.read_rois(experiment.files["rois"])
    series = []
    for folder in experiment.measurements:
        scan = xr.open_dataset(folder, engine="xinsitu", chunks={}, instrument=INSTRUMENT)
        series.append(scan.insitu.measure(rois, correction=corr).compute())
    sample = xi.stitch(series)
    changes = xi.read_attenuation_changes(experiment.files["changes"])
    sample = xi.correct_attenuation(sample, changes)
    path = xi.write_results(sample, tmp_path / "0884.nc")
    table = xi.read_results(path).insitu.to_dataframe("wide")
    assert {"WZ_intensity", "CTR_com_l", "TW_fwhm_hk", "unix_time"} <= set(table.columns)
    expected = experiment.through_median(3)
    good = experiment.expected["segment"].values >= 0
    ratio = sample["intensity"].sel(roi="WZ").values[good] / expected["intensity"].sel(roi="WZ").values[good]
    np.testing.assert_allclose(ratio, ratio[0], rtol=0.01)


@pytest.mark.thorough
def test_the_lines_of_the_readme_run_and_print_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    simulate_sample(tmp_path / "xinsitu-demo", frames=100, counts=1e7)
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(readme.split("```python\n")[1].split("```")[0], names)
    assert capfd.readouterr() == ("", "")
    assert len(names["changes"]) == 3  # type: ignore[arg-type]
    assert (tmp_path / "sample.nc").exists()
    assert (tmp_path / "sample.png").exists()


@pytest.mark.thorough
def test_the_engine_s_chunked_coordinates_do_not_matter(tmp_path: Path) -> None:
    truth = simulate_frames(tmp_path, 150, distinct=20)
    folder, options = truth.folders["time1"], {"instrument": INSTRUMENT, "order_error": "ignore"}
    flat = xi.open_flatfield(truth.folders["flatfield"], instrument=INSTRUMENT)
    corr = xi.Correction(median=3, flatfield=flat, background=xi.Background(y=(70, 90), x=(150, 170)))
    by_engine = xr.open_dataset(folder, engine="xinsitu", chunks={}, **options)
    assert len(by_engine["image"].chunks[0]) > 1
    one = by_engine.insitu.measure(truth.rois, correction=corr).compute()
    two = xi.open_measurement(folder, **options).insitu.measure(truth.rois, correction=corr).compute()
    xr.testing.assert_equal(one, two)
    path = xi.write_frames(xi.correct(by_engine, corr).isel(time=slice(0, 100)), tmp_path / "a.nc")
    assert xi.read_results(path).sizes["time"] == 100
    lazy = xi.stitch([by_engine.insitu.measure(truth.rois)])
    assert xi.write_results(lazy, tmp_path / "b.nc").exists()
    assert len(lazy.insitu.to_dataframe()) == 150 * len(truth.rois)
    assert xi.save_plot(lazy, tmp_path / "a.svg").exists()


def test_opening_correcting_and_measuring_compute_nothing(experiment: Truth, computes: Computes) -> None:
    corr = correction(experiment)
    with computes(0):
        scan = xi.open_measurement(experiment.folders["time1"], instrument=INSTRUMENT)
        clean = scan.insitu.correct(corr)
        series = scan.insitu.measure(experiment.rois, correction=corr)
        tree = xi.open_sample(experiment.folders["sample"], instrument=INSTRUMENT).insitu.measure(experiment.rois)
    assert clean["image"].chunks is not None
    assert set(tree.children) == {"time1", "time2", "time3"}
    with computes(1):
        series.compute()


def test_cropping_first_gives_the_same_bits(experiment: Truth) -> None:
    corr = correction(experiment)
    scan = xi.open_measurement(experiment.folders["time2"], instrument=INSTRUMENT)
    cropped = xi.measure(scan, experiment.rois, correction=corr).compute()
    whole = xi.measure(xi.correct(scan, corr).compute(), experiment.rois).compute()
    for name in NUMBERS[:-1]:
        np.testing.assert_array_equal(cropped[name].values, whole[name].values, err_msg=name)


@pytest.mark.thorough
def test_the_same_numbers_under_every_scheduler(experiment: Truth, tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    corr = correction(experiment)
    scan = xi.open_measurement(experiment.folders["time1"], instrument=INSTRUMENT, chunks={"time": 13})
    lazy = xi.measure(scan, experiment.rois, correction=corr)
    assert pickle.loads(pickle.dumps(lazy)).identical(lazy)
    with dask.config.set(scheduler="synchronous"):
        reference = lazy.compute()
        xi.write_frames(xi.correct(scan, corr), tmp_path / "synchronous.nc")
    with dask.config.set(scheduler="threads"):
        threads = lazy.compute()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1") as cluster,
        Client(cluster),
    ):
        processes = lazy.compute()
        xi.write_frames(xi.correct(scan, corr), tmp_path / "processes.nc")
    for other in (threads, processes):
        for name in reference.variables:
            np.testing.assert_array_equal(other[name].values, reference[name].values, err_msg=str(name))
    one, two = (xi.read_results(tmp_path / f"{name}.nc") for name in ("synchronous", "processes"))
    xr.testing.assert_equal(one.load(), two.load())


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:no ROI has 'empty' as its background")
def test_real_frames_go_the_whole_way(shared_data: Path, tmp_path: Path) -> None:
    folders = [shared_data / "i07" / "refl" / name for name in ("380404", "380405", "380406")]
    rois = [xi.Roi("specular", y=(0, 195), x=(200, 300)), xi.Roi("empty", y=(0, 50), x=(0, 50), role="background")]
    with (
        pytest.warns(xi.XinsituWarning, match="move within the measurement"),
        pytest.warns(xi.XinsituWarning, match="'empty' as its background, so it is subtracted from nothing"),
    ):
        series = [
            xi.measure(xi.open_measurement(folder, tz="Europe/London", instrument="diamond-i07"), rois).compute()
            for folder in folders
        ]
    sample = xi.stitch(series)
    assert (sample.sizes["time"], sample.sizes["roi"]) == (90, 2)
    first = xi.open_measurement(folders[0], tz="Europe/London", instrument="diamond-i07")
    assert first["time"].values[0] == np.datetime64("2020-02-27T15:55:21")
    exact = first["image"].isel(x=slice(200, 300)).sum(("y", "x"), dtype="int64").values
    np.testing.assert_array_equal(sample["intensity"].sel(roi="specular").values[:61], exact)
    assert xi.read_results(xi.write_results(sample, tmp_path / "i07.nc")).sizes["time"] == 90


@pytest.mark.slow
def test_a_measurement_larger_than_memory_is_parsed_in_two_gigabytes(tmp_path: Path) -> None:
    """20,000 frames (7.6 GB of raw pixels) through the command, with the address space of all threads in sight."""
    truth = simulate_frames(tmp_path, 20_000, distinct=50)
    words = [str(truth.folders["time1"]), str(truth.folders["flatfield"]), "--ignore-time-order", "--tz", "Asia/Tokyo"]
    crop = ["--crop", "60:150,210:270"]  # the corrected frames whole would need 7.6 GB of disc
    code = (
        "import resource, sys; from xinsitu.cli import main; code = main(sys.argv[1:]);"
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024); sys.exit(code)"
    )
    output = ["-o", str(tmp_path / "a.nc")]
    done = subprocess.run(
        [sys.executable, "-c", code, "parse", *words, *crop, *output], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split("PEAK")[1])
    assert peak < 2048, f"{peak} MiB"
    assert xi.read_results(tmp_path / "a.nc")["image"].shape == (20_000, 90, 60)
