"""At the door: wrong words, files and order are answered in one sentence; no file has a false name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.errors import CorrectionError, DocumentError, SchemaError, XinsituError, XinsituWarning
from xinsitu.recipe.recipe_file import read_recipe, write_recipe
from xinsitu.simulate import Truth

ROIS = [xi.Roi("a", y=(3, 9), x=(4, 12))]
FRAMES = np.random.default_rng(4).poisson(30, (6, 14, 19)).astype("int32")


def frames() -> xr.DataArray:
    return xr.DataArray(FRAMES, dims=("time", "y", "x"), attrs={"units": "counts"})


def sentence(capsys: pytest.CaptureFixture[str], *words: object, code: int = 1) -> str:
    """Run a command that is refused; return the one sentence of it."""
    found: object
    try:
        found = main([str(word) for word in words])
    except SystemExit as stop:
        found = stop.code
    assert found == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning:" not in line]
    assert "Traceback" not in line
    return line


# -- from Python ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [lambda data: xi.measure(data, ROIS), lambda data: xi.correct(data, xi.Correction())])
@pytest.mark.parametrize("wrong", [FRAMES, "0884/time1", Path("0884"), {"image": FRAMES}, None, ROIS])
def test_frames_that_are_none(call: Callable[[Any], object], wrong: object) -> None:
    with pytest.raises(XinsituError, match="frames are wanted") as caught:
        call(wrong)
    assert "\n" not in str(caught.value)


WHOLE = {
    "ratio": lambda data: xi.ratio(data, "A", "B"),
    "write_results": lambda data: xi.write_results(data, "never.nc"),
    "correct_attenuation": lambda data: xi.correct_attenuation(data, []),
    "undo_attenuation": lambda data: xi.undo_attenuation(data),
    "find_onsets": lambda data: xi.find_onsets(data),
    "mask_flagged": lambda data: xi.mask_flagged(data),
    "flag_outliers": lambda data: xi.flag_outliers(data),
    "plot": lambda data: xi.plot(data),
}
ONE = {
    "slope": lambda data: xi.slope(data),
    "smooth": lambda data: xi.smooth(data, 5),
    "derivative": lambda data: xi.derivative(data, 5),
    "smoothing_spline": lambda data: xi.smoothing_spline(data),
    "oscillation_period": lambda data: xi.oscillation_period(data),
    "median": lambda data: xi.median(data),
    "fit_profiles": lambda data: xi.fit_profiles(data, "x"),
    "find_peaks": lambda data: xi.find_peaks(data, "x"),
}
EITHER = {
    "crop": lambda data: xi.crop(data, y=(0, 5)),
    "normalise": lambda data: xi.normalise(data, (None, None)),
    "line_cut": lambda data: xi.line_cut(data, (0, 0), (3, 3)),
}


@pytest.mark.parametrize("name", [*WHOLE, *ONE, *EITHER])
def test_what_is_no_data_of_xarray(name: str) -> None:
    call = {**WHOLE, **ONE, **EITHER}[name]
    for wrong in (None, "a.nc", Path("a.nc"), np.ones((4, 5)), [1.0, 2.0], {"a": 1}, xi.Roi("A", (0, 5), (0, 5))):
        with pytest.raises(SchemaError, match="wanted"):
            call(wrong)
    assert not Path("never.nc").exists()


@pytest.mark.parametrize("name", ["find_attenuation_changes", "normalise", "attenuation_changes"])
@pytest.mark.parametrize("wrong", ["a.nc", Path("a.nc"), [1.0], None])
def test_what_was_measured_is_asked_for_where_it_is_wanted(name: str, wrong: object) -> None:
    words = ((None, None),) if name == "normalise" else ()
    with pytest.raises(SchemaError, match=r"a Dataset.* is wanted") as caught:
        getattr(xi, name)(wrong, *words)
    assert "frames" not in str(caught.value)
    assert isinstance(wrong, list | None) or "read_results first" in str(caught.value)


def test_frames_are_not_stitched() -> None:
    time = np.datetime64("2020-02-03", "ns") + np.arange(6) * np.timedelta64(1, "s")
    measurement = frames().to_dataset(name="image").assign_coords(time=time)
    for wrong in (measurement, [measurement], {"time1": measurement}, ["a.nc"], {"time1": 3}):
        with pytest.raises(XinsituError, match="no Dataset of ROIs, as measure gives it"):
            xi.stitch(wrong)
    xi.stitch(xi.measure(measurement, ROIS))


@pytest.mark.parametrize("name", [*WHOLE, *ONE])
def test_the_whole_for_one_quantity_and_one_for_the_whole(name: str) -> None:
    series = xi.measure(frames(), [xi.Roi("A", (0, 5), (0, 5))])
    wrong, says = (series.intensity, "not its one variable 'intensity'") if name in WHOLE else (series, "e.g. series")
    with pytest.raises(SchemaError, match=says):
        {**WHOLE, **ONE}[name](wrong)


@pytest.mark.parametrize("rois", ["rois.json", Path("rois.json"), {"a": 1}, 7, [("a", (3, 9), (4, 12))], None, FRAMES])
def test_rois_that_are_none(rois: Any) -> None:
    with pytest.raises(XinsituError) as caught:
        xi.measure(frames(), rois)
    assert re.search(r"ROI|Roi", str(caught.value))
    assert "\n" not in str(caught.value)


def test_arguments_the_wrong_way_round() -> None:
    with pytest.raises(XinsituError, match="frames are wanted"):
        xi.measure(ROIS, frames())  # type: ignore[arg-type]
    with pytest.raises(XinsituError, match="correction is a Correction"):
        xi.correct(xi.Correction(median=3), frames())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (xr.DataArray(np.ones((14, 19)), dims=("y", "x")), r"Correction\(flatfield=...\)"),
        (xr.DataArray(np.zeros((14, 19), bool), dims=("y", "x")), r"Correction\(mask=...\)"),
        (np.ones((14, 19)), r"Correction\(flatfield=...\)"),
        (xi.Background(y=(0, 3), x=(0, 3)), r"Correction\(background=...\)"),
        ({"median": 3}, r"Correction\(\*\*...\)"),
        (3, "Correction"),
        ("flatfield1", "Correction"),
    ],
)
def test_a_correction_that_is_none(wrong: Any, advice: str) -> None:
    for call in (lambda: xi.measure(frames(), ROIS, correction=wrong), lambda: xi.correct(frames(), wrong)):
        with pytest.raises(CorrectionError, match=advice):
            call()


# -- names of files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.csv", "x.CSV", "x.n5", "x.png", "x.txt", "x.tif"])
def test_netcdf_is_never_written_under_another_format_s_name(tmp_path: Path, name: str) -> None:
    series = xi.measure(frames(), ROIS)
    for write, data in ((xi.write_results, series), (xi.write_frames, frames().to_dataset(name="image"))):
        with pytest.raises(SchemaError, match="netCDF4") as caught:
            write(data, tmp_path / name)
        assert name in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_outputs_of_commands(experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan, rois = experiment.folders["time1"], experiment.files["rois"]
    assert "F.n5" in sentence(capsys, "parse", scan, "-o", tmp_path / "F.n5")
    assert "a.csv" in sentence(capsys, "measure", scan, "--rois", rois, "-o", tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_default_names_of_parse_and_measure_differ(
    experiment: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scan, rois = str(experiment.folders["time1"]), str(experiment.files["rois"])
    assert main(["parse", scan, "--median", "3"]) == 0
    assert main(["measure", scan, "--rois", rois]) == 0
    sample = experiment.folders["sample"].name
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{sample}_time1.nc", f"{sample}_time1_frames.nc"]
    capsys.readouterr()
    assert "spots" not in sentence(capsys, "plot", f"{sample}_time1_frames.nc")


# -- flat field and measurement ---------------------------------------------------------------------------------------


def test_a_flat_field_by_its_name(experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan, flat = experiment.folders["time1"], experiment.folders["flatfield"]
    said = sentence(capsys, "parse", flat, scan, "-o", tmp_path / "x.nc")
    assert "the measurement comes first" in said
    assert not list(tmp_path.iterdir())


def _folder(path: Path, images: np.ndarray) -> Path:
    path.mkdir(parents=True)
    for number, image in enumerate(images):
        tifffile.imwrite(path / f"img_{number:04d}.tif", image.astype("int32"))
    return path


def test_a_flat_field_by_its_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    y, x = np.mgrid[:60, :80]
    spot = 3000 * np.exp(-((y - 22) ** 2 + (x - 51) ** 2) / 18)
    uneven = 800 * (1 + 0.15 * np.sin(x / 9) + 0.1 * (y > 30))
    flat = _folder(tmp_path / "one", rng.poisson(uneven, (5, 60, 80)))
    scan = _folder(tmp_path / "two", rng.poisson(2 + spot, (5, 60, 80)))
    with pytest.warns(XinsituWarning, match="two.*spot") as heard:
        xi.open_flatfield(scan)
    assert len(heard) == 1
    xi.open_flatfield(flat)  # warnings are errors here


def test_frames_are_no_flat_field_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = _folder(tmp_path / "0907" / "time1", np.random.default_rng(1).poisson(30, (3, 20, 24)))
    xi.write_rois([xi.Roi("A", y=(2, 12), x=(3, 20))], tmp_path / "r.json")
    for words in (
        ("parse", frames, f"{frames}/."),
        ("measure", frames, "--rois", tmp_path / "r.json", "--flatfield", frames),
    ):
        assert "its own flat field" in sentence(capsys, *words, "--tz", "UTC")


@pytest.mark.thorough
def test_a_flat_field_in_the_folder_of_its_sample_is_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither of ``measure SAMPLE`` nor of a recipe."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("time1", "time2", "white")):
        _folder(tmp_path / "0907" / name, np.random.default_rng(number).poisson(300, (3, 20, 24)))
    xi.write_rois([xi.Roi("A", y=(2, 12), x=(3, 20))], "r.json")
    words = ["0907", "--rois", "r.json", "--flatfield", "0907/white", "--tz", "UTC", "-o", "results/"]
    assert main(["measure", *words]) == 0
    assert sorted(path.name for path in Path("results").glob("*.nc")) == ["0907_time1.nc", "0907_time2.nc"]
    document = {"sample": "0907", "rois": "r.json", "flatfield": "0907/white", "reading": {"tz": "UTC"}}
    write_recipe(document, "r.toml")
    assert [one.measurement.name for one in read_recipe("r.toml").stitch.inputs] == ["time1", "time2"]
    capsys.readouterr()


@pytest.mark.thorough
def test_frames_without_a_valid_pixel_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(1).poisson(30, (7, 20, 24)).astype("int32")
    images[[1, 4]] = -1
    images[5, :10] = -2  # not all of it
    folder = _folder(tmp_path / "0908" / "time1", images)
    xi.write_rois([xi.Roi("A", y=(2, 12), x=(3, 20))], "r.json")
    assert main(["measure", str(folder), "--rois", "r.json", "--tz", "UTC"]) == 0
    counted = "7 frames, 2 of them NaN (2 without a valid pixel)"
    assert counted in capsys.readouterr().out
    for how in (["--median", "3"], ["--median", "0"], ["--crop", "0:8,3:20"], ["--compression", "deflate"]):
        assert main(["parse", str(folder), "--tz", "UTC", "--force", "-o", "f.nc", *how]) == 0
        said = capsys.readouterr().out
        assert ("7 frames, 3 of them NaN (3 without" if "--crop" in how else counted) in said, how
    document = {"sample": "0908", "rois": "r.json", "reading": {"tz": "UTC"}, "correction": {"median": 3}}
    write_recipe(document, "r.toml")
    assert main(["run", "r.toml"]) == 0
    assert counted in capsys.readouterr().out


# -- words ------------------------------------------------------------------------------------------------------------


def test_several_results_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence(capsys, "plot", "a.nc", "b.nc", code=2)
    assert "'xinsitu compare a.nc b.nc'" in said


@pytest.mark.thorough("words2")
@pytest.mark.parametrize(
    "words", [["parse"], ["nothing"], ["measure", "a"], ["plot", "a", "--x", "q"], ["info", "a", "--zz"], []]
)
def test_wrong_words_are_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = sentence(capsys, *words, code=2)
    assert len(said) < 300
    assert "--help" in said


COMMANDS = ("demo", "info", "parse", "explore", "measure", "stitch", "plot", "compare", "run")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_grouped_with_what_is_rare_last(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    titles = re.findall(r"^([a-z][a-z ]+):$", text, re.MULTILINE)
    order = ["what to read", "options", "how to correct", "where to write", "rarely needed", "examples"]
    assert titles == [title for title in order if title in titles]
    assert "(default: [])" not in text
    assert "==SUPPRESS==" not in text
    if command in ("parse", "measure"):
        assert titles == order
        usage = text.split("\n\n")[0]
        assert len(usage.splitlines()) <= 3, usage


def test_help_of_all_is_a_screen() -> None:
    done = subprocess.run([sys.executable, "-m", "xinsitu", "--help"], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) < 45


# -- samples, ROIs, reports -------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_a_sample_is_measured_by_its_measurements(
    experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample, rois = experiment.folders["sample"], experiment.files["rois"]
    assert main(["measure", str(sample), "--rois", str(rois), "-o", f"{tmp_path}/"]) == 0
    said = capsys.readouterr().out
    names = {path.name for path in sample.iterdir() if path.is_dir() and not path.name.startswith("test")}
    assert {path.stem for path in tmp_path.glob("*.nc")} == {f"{sample.name}_{name}" for name in names}
    assert said.count("correction:") == 1
    assert said.count("instrument:") == 1


def test_a_background_that_nobody_uses_is_said_once() -> None:
    rois = [*ROIS, xi.Roi("low", y=(9, 13), x=(0, 4), role="background")]
    with pytest.warns(XinsituWarning, match="no ROI has 'low'") as heard:
        xi.measure(frames(), rois)
    assert len(heard) == 1
    xi.measure(frames(), [xi.Roi("a", y=(3, 9), x=(4, 12), background=["low"]), rois[1]])
    xi.measure(frames(), rois[1:])  # nothing but a background: it is what was asked for


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_a_report_without_a_change_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    time = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(1, "s")
    image = frames().assign_coords(time=time, frame=("time", np.arange(6)), sample="s", measurement="t1")
    xi.write_results(xi.measure(image, ROIS), tmp_path / "t1.nc")
    words = ["stitch", tmp_path / "t1.nc", "-o", tmp_path / "s.nc", "--find", "--report", tmp_path / "r.png"]
    assert main(list(map(str, words))) == 0
    said = capsys.readouterr().out
    assert "no change of attenuation" in said
    assert (tmp_path / "r.png").exists() != ("nothing to report" in said)


# -- frames that went through a median --------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_measure_tells_of_written_frames_what_it_does(
    experiment: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, rois, out = experiment.folders["time1"], experiment.files["rois"], tmp_path / "f.nc"
    assert main(["parse", str(scan), "--instrument", "generic", "--tz", "Asia/Tokyo", "-o", str(out)]) == 0
    capsys.readouterr()
    assert main(["measure", str(out), "--rois", str(rois), "-o", str(tmp_path / "s.nc")]) == 0
    said = capsys.readouterr()
    assert "correction: none" in said.out
    assert "median of" not in said.out
    assert said.err.count("been through a median already") == 1
    flags = xi.read_results(tmp_path / "s.nc").quality
    assert bool(((flags & 32768) > 0).all())


@pytest.mark.parametrize("mean", [0.4, 60.0])
def test_few_counts_behind_a_median_are_said_then_as_now(mean: float) -> None:
    counts = np.random.default_rng(3).poisson(mean, (9, 40, 50)).astype("int32")
    raw = xr.DataArray(counts, dims=("time", "y", "x"), attrs={"units": "counts"})
    roi = [xi.Roi("a", y=(5, 35), x=(5, 45))]
    filtered = xi.correct(raw, xi.Correction(median=3))
    if mean > 2:
        series = xi.measure(filtered, roi)
    else:
        with pytest.warns(XinsituWarning, match="few counts per pixel") as heard:
            series = xi.measure(filtered, roi)
        (said,) = [str(one.message) for one in heard]
        true = 1 - float(filtered.sum() / counts.sum())
        assert int(re.search(r"up to (\d+) %", said)[1]) / 100 == pytest.approx(true, abs=0.08)  # type: ignore[index]
    assert ((series.quality & 32768) > 0).all()
    kept = xi.measure(xi.correct(raw, xi.Correction(median=3, threshold=5)), roi)
    assert not ((kept.quality & 32768) > 0).any()


def test_a_document_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"format": "xinsitu-attenuation", "version": 1, "changes": []}))
    with pytest.raises(DocumentError, match=r"r\.json"):
        xi.read_rois(tmp_path / "r.json")


# -- the environment --------------------------------------------------------------------------------------------------

LONG = "k" * 100_000


@pytest.fixture
def named(tmp_path: Path) -> Path:
    for number in range(3):
        tifffile.imwrite(tmp_path / f"run_{number:05d}.tif", FRAMES[number])
    return tmp_path


@pytest.mark.parametrize("value", ["foo", "Numpy", "0", "a\nb", " ", LONG], ids=lambda value: repr(value[:5]))
def test_a_switch_that_means_nothing_is_refused(
    value: str, named: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was taken for none, without a word."""
    monkeypatch.setenv("XINSITU_KERNEL", value)
    line = sentence(capsys, "info", named)
    assert "XINSITU_KERNEL is 'numpy', or not set, not " in line
    assert len(line.partition("XINSITU")[2]) < 100
    said = subprocess.run([sys.executable, "-m", "xinsitu", "--version"], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "XINSITU_KERNEL is 'numpy'" in said.stderr
    code = "import xinsitu as xi; xi.open_measurement(__import__('sys').argv[1], time='frame').image.load()"
    said = subprocess.run([sys.executable, "-c", code, str(named)], capture_output=True, text=True, check=False)
    assert said.stderr.splitlines()[-1].startswith("xinsitu.errors.XinsituError: XINSITU_KERNEL is 'numpy', or not set")


@pytest.mark.parametrize("value", ["", "numpy"])
def test_a_switch_that_means_something_is_taken(
    value: str, monkeypatch: pytest.MonkeyPatch, named: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XINSITU_KERNEL", value)
    assert main(["info", str(named)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", [LONG, f"{LONG}.toml", "ü" * 200, "-k", "../../etc/passwd"], ids=lambda one: one[:9])
def test_an_instrument_of_the_environment_that_is_none(
    value: str, named: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line of a hundred thousand letters began with the folder of the package."""
    monkeypatch.setenv("XINSITU_INSTRUMENT", value)
    line = sentence(capsys, "info", named)
    assert "XINSITU_INSTRUMENT" in line
    assert len(line) < 500
    assert str(Path(xi.__file__).parent) not in line


@pytest.mark.parametrize("name", ["DASK_SCHEDULER_ADDRESS"])
@pytest.mark.parametrize("value", [LONG, "foo"], ids=["long", "short"])
def test_a_scheduler_of_the_environment_that_is_none(
    name: str, value: str, named: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence did not say where the address stands."""
    xi.write_rois(ROIS, named.parent / "rois.json", overwrite=True)
    monkeypatch.setenv(name, value)
    words = ["measure", named, "--rois", named.parent / "rois.json", "-o", named.parent / "s.nc", "--time", "frame"]
    line = sentence(capsys, *words)
    assert f"{name}: {value[:9]}" in line
    assert "no dask scheduler answers there" in line
    assert len(line) < 300


def test_a_scheduler_of_the_environment_that_is_empty_is_not_set(
    named: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was an address without letters, where nobody answered."""
    aside = tmp_path_factory.mktemp("aside")
    xi.write_rois(ROIS, aside / "rois.json")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "")
    words = ["measure", named, "--rois", aside / "rois.json", "-o", aside / "s.nc", "--time", "frame"]
    assert main([str(word) for word in words]) == 0


@pytest.mark.parametrize("words", [["info", LONG], ["measure", "--" + LONG], [LONG], ["info", f"a\n{LONG}"]])
def test_no_message_is_longer_than_a_path(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = 1 if words[0] == "info" else 2
    assert len(sentence(capsys, *words, code=code)) < 1000


@pytest.mark.parametrize(("name", "of"), [("OMP_NUM_THREADS", "numexpr"), ("MPLBACKEND", "matplotlib")])
def test_a_library_that_is_set_to_what_it_cannot_do(name: str, of: str, named: Path) -> None:
    """It was told as a fault of xinsitu."""
    pytest.importorskip(of)
    series = xi.measure(xi.open_measurement(named, time="frame"), ROIS).compute()
    xi.write_results(series, named.parent / f"{of}.nc", overwrite=True)
    words = ["plot", named.parent / f"{of}.nc", "-o", named.parent / f"{of}.png"]
    env = {**os.environ, name: "nonsense"}
    said = subprocess.run(
        [sys.executable, "-m", "xinsitu", *words], env=env, capture_output=True, text=True, check=False
    )
    assert said.returncode == 1
    assert f"{of} cannot work as it is set by {name}=nonsense" in said.stderr
    assert "fault of xinsitu" not in said.stderr
