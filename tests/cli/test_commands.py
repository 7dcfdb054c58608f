"""The commands as a person uses them: what they say, what they write, and one sentence for what they refuse."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import median_filter

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.simulate import Truth

ZONE = ["--instrument", "spring8-bl11xu"]


def digest(folder: Path) -> dict[str, str]:
    """Hashes and modification times of everything in a folder."""
    return {
        str(path): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Run a command that must be refused and return its one sentence."""
    assert main([str(word) for word in words]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning:" not in line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("xinsitu: error: ")
    assert "Traceback" not in lines[0]
    return lines[0]


# -- parse ------------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_parse_equals_the_steps_done_by_hand(
    experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import tifffile

    output, scan = tmp_path / "a.nc", experiment.folders["time1"]
    box = ["--background", "70:90,150:170", "--background-mode", "divide"]
    assert main(["parse", str(scan), str(experiment.folders["flatfield"]), *ZONE, *box, "-o", str(output)]) == 0
    said = capsys.readouterr().out
    for text in (
        "60 frames of 195 x 487",
        "3x3 median of every pixel",
        "flatfield1",
        "y 70:90, x 150:170",
        str(output),
        " s\n",
    ):
        assert text in said

    raw = np.array([tifffile.imread(path) for path in sorted(scan.glob("*.tif"))], dtype="float64")
    flats = np.array([tifffile.imread(path) for path in sorted(experiment.folders["flatfield"].glob("*.tif"))])
    flat = flats.mean(axis=0)
    flat /= flat.mean()
    good = flat > 0
    by_hand = median_filter(raw, size=(1, 3, 3), mode="reflect") / np.where(good, flat, np.nan)
    by_hand /= np.nanmean(by_hand[:, 70:90, 150:170], axis=(1, 2))[:, None, None]
    with h5py.File(output) as file:
        np.testing.assert_allclose(file["image"][:], by_hand, rtol=1e-6, equal_nan=True)
        stamps = [tifffile.TiffFile(path).pages[0].tags[306].value for path in sorted(scan.glob("*.tif"))]
        local = pd.to_datetime(stamps, format="%Y:%m:%d %H:%M:%S").tz_localize("Asia/Tokyo")
        written = file["time"][:]
        assert np.floor(written).tolist() == [time.timestamp() for time in local]
        assert (np.diff(written) > 0).all()  # stamps of whole seconds repeat; each frame has a time of its own
        assert file["time"].dtype == "float64"


@pytest.mark.thorough
def test_parse_refuses_to_overwrite(experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["parse", str(experiment.folders["time1"]), *ZONE, "-o", str(tmp_path / "a.nc")]
    assert main(words) == 0
    before = (tmp_path / "a.nc").read_bytes()
    capsys.readouterr()
    assert "a.nc: already exists" in refused(capsys, *words)
    assert (tmp_path / "a.nc").read_bytes() == before
    assert main([*words, "--force", "--crop", "70:135,150:370"]) == 0
    with xr.open_dataset(tmp_path / "a.nc") as again:
        assert again["image"].shape == (60, 65, 220)
        assert again["y"].values[[0, -1]].tolist() == [70, 134]


@pytest.mark.thorough
def test_parse_takes_the_region_of_the_instrument_and_says_so(
    experiment: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["parse", str(experiment.folders["time1"])]) == 0
    said = capsys.readouterr()
    assert "divided by the background at y 70:90, x 150:170 (of the instrument)" in said.out
    assert "instrument: spring8-bl11xu (recognised by" in said.out
    assert "zone" not in said.err
    result = xi.read_results(tmp_path / "0884_time1_frames.nc")
    assert result["image"].attrs["units"] == "1"


# -- measure, stitch, plot, run ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(experiment: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``measure`` writes of every measurement."""
    folder = tmp_path_factory.mktemp("results")
    words = [
        "--rois",
        str(experiment.files["rois"]),
        "--flatfield",
        str(experiment.folders["flatfield"]),
        "--median",
        "0",
    ]
    assert main(["measure", *map(str, experiment.measurements), *words, *ZONE, "-o", f"{folder}/"]) == 0
    return folder


@pytest.mark.thorough
def test_measure_writes_one_result_each_and_skips_what_is_done(
    experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "0884"
    for name in ("time1", "time2"):
        shutil.copytree(experiment.folders[name], sample / name)
    (sample / "time3").mkdir()
    folders = [str(sample / name) for name in ("time1", "time2", "time3")]
    words = ["measure", *folders, "--rois", str(experiment.files["rois"]), *ZONE, "-o", str(tmp_path / "out")]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "1 of 3 measurements failed" in said.err
    assert "time3" in said.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0884_time1.nc", "0884_time2.nc"]
    before = (tmp_path / "out" / "0884_time1.nc").stat().st_mtime_ns
    assert main(words) == 1
    assert capsys.readouterr().out.count("(done before)") == 2
    assert (tmp_path / "out" / "0884_time1.nc").stat().st_mtime_ns == before
    first = next((sample / "time1").glob("*.tif"))
    os.utime(first, ns=(1, 1))
    assert main(words) == 1
    assert "was made otherwise or from other frames" in capsys.readouterr().err


@pytest.mark.thorough
def test_stitched_intensities_are_those_of_the_truth(
    experiment: Truth, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "0884.nc"
    changes, events = str(experiment.files["changes"]), str(experiment.files["events"])
    assert main(["stitch", str(results), "--changes", changes, "--events", events, "-o", str(output)]) == 0
    assert str(output) in capsys.readouterr().out
    sample, truth = xi.read_results(output), experiment.expected
    good = (truth["segment"].values >= 0) & (sample["segment"].values >= 0)
    assert (sample["segment"].values >= 0).tolist() == (truth["segment"].values >= 0).tolist()
    for roi in ("CTR", "WZ", "ZB", "TW"):
        one, other = sample.sel(roi=roi).isel(time=good), truth.sel(roi=roi).isel(time=good)
        scale = float(truth["transmission"][0])
        np.testing.assert_allclose(one["intensity"], other["intensity"] * scale, rtol=0.01)
        np.testing.assert_allclose(one["com_y"], other["com_y"], atol=0.05)
        np.testing.assert_allclose(one["com_x"], other["com_x"], atol=0.05)
        np.testing.assert_allclose(one["fwhm_y"], other["fwhm_y"], rtol=0.03)
        np.testing.assert_allclose(one["fwhm_x"], other["fwhm_x"], rtol=0.03)
    assert len(json.loads(sample.attrs["events"])) == len(experiment.events)


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "html"])
def test_plot_writes_every_kind_of_figure(
    experiment: Truth, results: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / f"a.{suffix}"
    words = ["--t0", "2014-05-28T17:02:29+09:00", "--smooth", "savgol:5,2", "--log", "--roi", "WZ,ZB"]
    assert main(["plot", str(results / "0884_time1.nc"), "-o", str(output), *words]) == 0
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "html": b"<!DOCTYPE html>"}[suffix]
    assert output.read_bytes().lstrip().startswith(start)
    capsys.readouterr()
    assert "already exists" in refused(capsys, "plot", results / "0884_time1.nc", "-o", output)


@pytest.mark.thorough
def test_run_does_a_sample_from_its_recipe_and_a_result_again(
    experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = experiment.folders["sample"].parent
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""
        format = "xinsitu-recipe"
        version = 1
        sample = "{os.path.relpath(base / "0884", tmp_path)}"
        rois = "{base / "rois.json"}"
        flatfield = "{base / "flatfield1"}"
        changes = "{base / "changes.json"}"
        [reading]
        tz = "Asia/Tokyo"
        [correction]
        median = 3
        [output]
        result = "sample.nc"
        table = "sample.csv"
        figures = ["sample.svg"]
        """
    )
    assert main(["run", str(recipe)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.toml", "sample.nc", "sample.csv", "sample.svg"}
    assert set(np.unique(xi.read_results(tmp_path / "sample.nc")["measurement"])) == {"time1", "time2", "time3"}
    assert main(["run", str(tmp_path / "sample.nc")]) == 0
    assert "the numbers are the same, bit for bit" in capsys.readouterr().out

    tampered = xi.read_results(tmp_path / "sample.nc")
    tampered["intensity"][3, 0] *= 1.5
    xi.write_results(tampered, tmp_path / "tampered.nc", recipe=json.loads(tampered.attrs["recipe"]))
    assert main(["run", str(tmp_path / "tampered.nc")]) == 1
    said = capsys.readouterr()
    assert "intensity" in said.out
    assert "1 variable differs" in said.err


@pytest.mark.thorough
def test_parse_can_be_done_again(experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a.nc"
    words = ["--crop", "60:140,200:280", "--background", "70:90,150:170", "--background-mode", "subtract"]
    assert main(["parse", str(experiment.folders["time2"]), *ZONE, *words, "-o", str(output)]) == 0
    assert main(["run", str(output)]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out


@pytest.mark.thorough
def test_changes_are_found_proposed_reported_and_used_again(
    experiment: Truth, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, proposal, report = tmp_path / "found.nc", tmp_path / "c.json", tmp_path / "r.png"
    words = ["--find", "--proposal", str(proposal), "--report", str(report), "-o", str(found)]
    assert main(["stitch", str(results), *words, "--figure", str(tmp_path / "joined.svg")]) == 0
    assert "centre of mass" in (tmp_path / "joined.svg").read_text()
    assert report.read_bytes().startswith(b"\x89PNG")
    changes = xi.read_attenuation_changes(proposal)
    assert len(changes) == len(experiment.changes)
    for change, true in zip(changes, experiment.changes, strict=True):
        assert true.factor is not None
        assert change.factor == pytest.approx(true.factor, rel=0.01)
        assert change.before_key is not None
    assert main(["stitch", str(results), "--changes", str(proposal), "-o", str(tmp_path / "again.nc")]) == 0
    one, two = xi.read_results(found), xi.read_results(tmp_path / "again.nc")
    np.testing.assert_array_equal(one["intensity"].values, two["intensity"].values)
    assert main(["run", str(found)]) == 0
    assert "bit for bit" in capsys.readouterr().out


@pytest.mark.thorough
def test_stitch_can_measure_everything_again_with_one_set_of_rois(
    experiment: Truth, results: Path, tmp_path: Path
) -> None:
    rois = tmp_path / "rois.json"
    xi.write_rois([xi.Roi("WZ", y=(70, 140), x=(215, 265))], rois)
    assert main(["stitch", str(results), "--same-rois", str(rois), "-o", str(tmp_path / "a.nc")]) == 0
    sample = xi.read_results(tmp_path / "a.nc")
    assert sample["roi"].values.tolist() == ["WZ"]
    assert sample["roi_y0"].values.tolist() == [70]


@pytest.mark.thorough
def test_a_measurement_is_appended_to_a_sample(experiment: Truth, results: Path, tmp_path: Path) -> None:
    first = [str(results / f"0884_time{number}.nc") for number in (1, 2)]
    events = ["--events", str(experiment.files["events"])]
    whole, part, longer = (str(tmp_path / name) for name in ("whole.nc", "part.nc", "longer.nc"))
    assert main(["stitch", str(results), "--find", *events, "-o", whole]) == 0
    assert main(["stitch", *first, "--find", "-o", part]) == 0
    third = str(results / "0884_time3.nc")
    assert main(["stitch", third, "--append-to", part, "--find", *events, "-o", longer]) == 0
    one, two = xi.read_results(whole), xi.read_results(longer)
    for name in ("intensity", "segment", "attenuation_factor", "com_x"):
        np.testing.assert_allclose(two[name].values, one[name].values, rtol=0.01, err_msg=name)
    assert xi.events_of(two) == xi.events_of(one)
    assert main(["run", longer]) == 0


@pytest.mark.thorough
def test_compare_overlays_samples_and_tells_their_slopes(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(results / f"0884_time{number}.nc") for number in (1, 3)]
    table, figure = tmp_path / "t.csv", tmp_path / "f.svg"
    words = ["--interval", "0:10", "--roi", "WZ,ZB", "--table", str(table), "-o", str(figure)]
    assert main(["compare", *paths, *words]) == 0
    assert "slopes from 0 s to 10 s" in capsys.readouterr().out
    slopes = pd.read_csv(table)
    assert set(slopes["sample"]) == {"0884_time1", "0884_time3"}
    assert set(slopes["roi"]) == {"WZ", "ZB"}
    assert "0884_time3 ZB" in figure.read_text()
    assert main(["compare", *paths, "-o", str(tmp_path / "f.html")]) == 0
    assert "already exists" in refused(capsys, "compare", *paths, "-o", figure)


@pytest.mark.thorough
def test_reflectivity_scans_are_joined_through_their_overlap(shared_data: Path, tmp_path: Path) -> None:
    rois, output = tmp_path / "rois.json", tmp_path / "i07.nc"
    xi.write_rois([xi.Roi("specular", y=(56, 77), x=(236, 254))], rois)
    folders = [str(shared_data / "i07" / "refl" / name) for name in ("380404", "380405", "380406")]
    words = ["--rois", str(rois), "--median", "0", "--instrument", "diamond-i07"]
    assert main(["measure", *folders, *words, "-o", f"{tmp_path}/series/"]) == 0
    assert main(["stitch", str(tmp_path / "series"), "--overlap", "qdcd", "-o", str(output)]) == 0
    ratios = [1 / change.factor for change in xi.attenuation_changes(xi.read_results(output)) if change.factor]
    assert 58.5 < ratios[0] < 59.6
    assert 34.7 < ratios[1] < 35.2
    assert main(["run", str(output)]) == 0


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_every_refusal_is_one_sentence_that_names_the_file(
    experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, rois = experiment.folders["time1"], experiment.files["rois"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("no frames here")
    (tmp_path / "bad.json").write_text('{"format": "xinsitu-rois", "version": 1, "rois": [{"name": "a", "y": [5, 1]}]}')
    out = ("-o", tmp_path / "x.nc")
    assert "nowhere" in refused(capsys, "parse", tmp_path / "nowhere", *out)
    assert "empty" in refused(capsys, "parse", tmp_path / "empty", *out)
    assert "other" in refused(capsys, "measure", tmp_path / "other", "--rois", rois, *out)
    assert "bad.json" in refused(capsys, "measure", scan, *ZONE, "--rois", tmp_path / "bad.json", *out)
    assert "nothing.json" in refused(capsys, "measure", scan, *ZONE, "--rois", tmp_path / "nothing.json", *out)
    assert "notes.txt" in refused(capsys, "stitch", tmp_path / "other" / "notes.txt", *out)
    assert "empty" in refused(capsys, "stitch", tmp_path / "empty", *out)
    assert "notes.txt" in refused(capsys, "run", tmp_path / "other" / "notes.txt")
    assert "Mars/Base" in refused(capsys, "parse", scan, "--tz", "Mars/Base", *out)
    assert "no such folder" in refused(capsys, "parse", scan, *ZONE, "-o", tmp_path / "not" / "there" / "x.nc")
    assert not (tmp_path / "x.nc").exists()


@pytest.mark.thorough
def test_unknown_rois_and_other_flat_fields_are_refused(
    experiment: Truth, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import tifffile

    flat = tmp_path / "flat"
    flat.mkdir()
    tifffile.imwrite(flat / "flat_00000.tif", np.ones((100, 100), "int32"))
    said = refused(capsys, "parse", experiment.folders["time1"], flat, *ZONE, "-o", tmp_path / "x.nc")
    assert f"{tmp_path.name}/flat has 100 x 100 pixels and the frames have 195 x 487" in said
    assert "XX" in refused(capsys, "plot", results / "0884_time1.nc", "--roi", "XX", "-o", tmp_path / "x.png")
    changes = str(experiment.files["changes"])
    stitch = ("stitch", results, "--changes", changes, "--reference", "XX", "-o", tmp_path / "x.nc")
    assert "XX" in refused(capsys, *stitch)


@pytest.mark.thorough
def test_a_sentence_that_names_no_file_gets_one(
    experiment: Truth, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, scan = results / "0884_time1.nc", experiment.folders["time1"]
    figure = ("-o", tmp_path / "x.png")
    assert str(result) in refused(capsys, "plot", result, "--smooth", "foo", *figure)
    assert str(result) in refused(capsys, "plot", result, "--normalise", "50000:60000", *figure)
    assert str(scan) in refused(capsys, "parse", scan, *ZONE, "--crop", "0:500,0:5", "-o", tmp_path / "x.nc")
    with pytest.raises(SystemExit) as caught:
        main(["parse", str(scan), "--median", "4"])
    assert caught.value.code == 2


def test_a_truncated_frame_is_named(experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = tmp_path / "time1"
    shutil.copytree(experiment.folders["time1"], scan)
    victim = sorted(scan.glob("*.tif"))[7]
    victim.write_bytes(victim.read_bytes()[:200_000])
    said = refused(capsys, "parse", scan, *ZONE, "-o", tmp_path / "x.nc")
    assert victim.name in said
    assert not (tmp_path / "x.nc").exists()


@pytest.mark.thorough
def test_nothing_is_written_beside_the_frames(
    experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = experiment.folders["time1"]
    assert "never written to" in refused(capsys, "parse", scan, *ZONE, "-o", scan / "x.nc")
    before = digest(experiment.folders["sample"])
    main(["info", str(experiment.folders["sample"]), *ZONE])
    main(["measure", str(scan), "--rois", str(experiment.files["rois"]), *ZONE, "-o", str(tmp_path / "a.nc")])
    assert digest(experiment.folders["sample"]) == before


@pytest.mark.thorough
def test_wrong_words_give_exit_code_two_and_help_has_examples() -> None:
    environment = {**os.environ, "COLUMNS": "100"}
    run = lambda *words: subprocess.run(  # noqa: E731
        [sys.executable, "-m", "xinsitu", *words], capture_output=True, text=True, env=environment, check=False
    )
    assert run("parse").returncode == 2
    assert run("parse", "a", "--background", "1:2").returncode == 2
    for command in ("demo", "info", "parse", "explore", "measure", "stitch", "plot", "compare", "run", "convert"):
        done = run(command, "--help")
        assert done.returncode == 0
        assert f"examples:\n  xinsitu {command}" in done.stdout
    assert xi.__version__ in run("--version").stdout


@pytest.mark.thorough
def test_a_pipe_that_closes_is_no_fault(experiment: Truth) -> None:
    line = f"{sys.executable} -m xinsitu info {experiment.folders['sample']} | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.thorough
def test_changes_and_bad_frames_can_be_given_in_words(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (xi.read_results(results / f"0884_{name}.nc") for name in ("time1", "time2"))
    last = int(first.frame[-1])
    size = first.sizes["time"]
    made = []
    for number, change in enumerate(
        (f"time1:{last},time2:{int(second.scan[0])}:{int(second.frame[0])}", f"{size - 1},{size}")
    ):
        output = tmp_path / f"{number}.nc"
        paths = [str(results / f"0884_{name}.nc") for name in ("time1", "time2")]
        words = ["stitch", *paths, "--change", change, "--bad-frames", f"time1:3,time1:5-7,{size + 1}", "-o"]
        assert main([*words, str(output)]) == 0
        made.append(xi.read_results(output))
        assert "last frame before" in capsys.readouterr().out
    assert not xr.testing.assert_identical(*(one.drop_attrs() for one in made))
    assert len(xi.attenuation_changes(made[0])) == 1
    bad = (made[0].quality & 131072).any("roi").values
    assert np.flatnonzero(bad).tolist() == [3, 5, 6, 7, size + 1]
    assert main(["run", str(tmp_path / "1.nc")]) == 0
    assert "bit for bit" in capsys.readouterr().out
    said = refused(capsys, "run", tmp_path / "1.nc", "--bad-frames", "3")
    assert "give bad frames to stitch" in said
    for words in (["--change", "time1:3"], ["--change", "time1:3,now"], ["--bad-frames", "time1:x"]):
        with pytest.raises(SystemExit) as stopped:
            main(["stitch", str(results), *words])
        assert stopped.value.code == 2


@pytest.mark.thorough
def test_bad_frames_of_measurements_are_flagged_in_their_own_results(
    experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [str(experiment.folders[name]) for name in ("time1", "time2")]
    words = ["measure", *scans, "--rois", str(experiment.files["rois"]), *ZONE, "--median", "0", "-o"]
    assert main([*words, f"{tmp_path}/", "--bad-frames", "time1:4-5, 7"]) == 0
    flags = {name: (xi.read_results(tmp_path / f"0884_{name}.nc").quality & 131072).any("roi").values for name in
             ("time1", "time2")}  # fmt: skip
    assert {name: np.flatnonzero(bad).tolist() for name, bad in flags.items()} == {"time1": [4, 5, 7], "time2": [7]}
    assert "'tim1' is none of the measurements" in refused(
        capsys, *words, tmp_path / "other/", "--bad-frames", "tim1:4"
    )


@pytest.mark.thorough
def test_fractions_are_drawn_and_compared(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results / "0884_time1.nc"
    for name, more in (("plain.svg", []), ("parts.svg", ["--fraction", "WZ,ZB,TW"])):
        assert main(["plot", str(path), *more, "-o", str(tmp_path / name)]) == 0
    panels = [(tmp_path / name).read_text().count("<clipPath") for name in ("plain.svg", "parts.svg")]
    assert panels[1] == panels[0] + 1
    assert main(["compare", str(path), "--fraction", "WZ,ZB,TW", "--table", str(tmp_path / "t.csv")]) == 0
    table = pd.read_csv(tmp_path / "t.csv").query("quantity == 'fraction'").set_index("roi")
    series = xi.read_results(path)
    parts = xi.fraction(series, ["WZ", "ZB", "TW"])
    assert list(table.index) == ["WZ", "ZB", "TW"]
    line = np.polyfit(xi.epoch_seconds(series.time) - xi.epoch_seconds(series.time[0]), parts.fraction.sel(roi="WZ"), 1)
    assert table.slope["WZ"] == pytest.approx(line[0], abs=2 * table.slope_errors["WZ"])
    assert "'XY'" in refused(capsys, "plot", path, "--fraction", "WZ,XY", "-o", tmp_path / "g.svg")
