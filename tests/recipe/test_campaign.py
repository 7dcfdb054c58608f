"""A beam time in one command: what is bad is a row, what is done is not done again, what was interrupted goes on."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.physics.attenuation.finding import FoundChanges
from xinsitu.recipe import Measure, Stitch, campaign
from xinsitu.recipe.campaign import Row, write_summary
from xinsitu.simulate import Truth

RECIPE = """
format = "xinsitu-recipe"
version = 1
sample = "{sample}"
rois = "{rois}"
[reading]
tz = "Asia/Tokyo"
[output]
result = "{sample}.nc"
table = "{sample}.csv"
"""


@pytest.fixture
def beamtime(experiment: Truth, tmp_path: Path) -> Path:
    """Two samples of two short measurements, each with its recipe."""
    shutil.copyfile(experiment.files["rois"], tmp_path / "rois.json")
    for sample in ("0901", "0902"):
        for name in ("time1", "time2"):
            (tmp_path / sample / name).mkdir(parents=True)
            for path in sorted(experiment.folders[name].glob("*.tif"))[:12]:
                os.link(path, tmp_path / sample / name / path.name)
        (tmp_path / f"{sample}.toml").write_text(RECIPE.format(sample=sample, rois="rois.json"))
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'no recipe'\n")
    return tmp_path


def cut(path: Path) -> bytes:
    whole = path.read_bytes()
    path.unlink()  # it is a link to the frame of others
    path.write_bytes(whole[:9000])
    os.utime(path, (1e9, 1e9))
    return whole


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def produced(monkeypatch) -> list[str]:
    """Which measurements are really measured."""
    seen: list[str] = []
    produce = Measure.produce

    def noted(self: Measure) -> xr.Dataset:
        seen.append(f"{self.measurement.parent.name}/{self.measurement.name}")
        return produce(self)

    monkeypatch.setattr(Measure, "produce", noted)
    return seen


@pytest.mark.thorough
def test_what_is_to_be_known_of_found_changes_is_printed(
    beamtime: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that are none, and changes that may be growth in a pause; stitch says them, run said nothing."""

    def found(sample: xr.Dataset, **_: object) -> FoundChanges:
        ends = sample.time.values[[11, 12]]
        rejected = xi.RejectedChange(
            *sample.time.values[[4, 5]], None, None, 3.0, 0.1, 9.0, "the beam is too unsteady", (4,)
        )
        evidence = {"pause_text": "no frames for 40 s: growth looks the same"}
        return FoundChanges([xi.AttenuationChange(*ends, factor=2.0, evidence=evidence)], [rejected])

    monkeypatch.setattr("xinsitu.recipe.joins.find_attenuation_changes", found)
    recipe = beamtime / "0901.toml"
    recipe.write_text(recipe.read_text().replace("[reading]", "find = true\n[reading]"))
    monkeypatch.chdir(beamtime)
    assert main(["run", str(recipe)]) == 0
    said = capsys.readouterr().out
    assert "the beam is too unsteady; 1 frame flagged" in said
    assert "that may be none: no frames for 40 s: growth looks the same" in said


ALL = ["0901/time1", "0901/time2", "0902/time1", "0902/time2"]


@pytest.mark.thorough
def test_a_folder_of_recipes_is_done_once(beamtime, produced, capsys):
    assert main(["run", str(beamtime)]) == 0
    assert produced == ALL
    rows = table(beamtime)
    assert [f"{row['sample']}/{row['measurement']}" for row in rows] == ALL
    assert {row["state"] for row in rows} == {"measured"}
    assert {row["frames"] for row in rows} == {"12"}
    out = capsys.readouterr().out
    assert all(line.split()[:2] == name.split("/") for line, name in zip(out.splitlines()[-5:-1], ALL, strict=True))
    before = {path.name: path.stat().st_mtime_ns for path in beamtime.glob("*.nc")}
    assert len(before) == 2
    assert not [path for path in beamtime.iterdir() if path.name.startswith(".")]
    produced.clear()
    assert main(["run", str(beamtime)]) == 0
    assert produced == []
    assert {row["state"] for row in table(beamtime)} == {"done before"}
    assert {path.name: path.stat().st_mtime_ns for path in beamtime.glob("*.nc")} == before


@pytest.mark.thorough
def test_a_bad_measurement_is_a_row_and_is_made_up_for(beamtime, produced, capsys):
    bad = sorted((beamtime / "0901" / "time2").iterdir())[4]
    whole = cut(bad)
    assert main(["run", str(beamtime)]) == 1
    assert produced == ALL
    err = capsys.readouterr().err
    assert "1 of 4 measurements failed: 0901 time2" in err
    states = [row["state"] for row in table(beamtime)]
    assert states == ["measured", "failed", "measured", "measured"]
    assert bad.name in table(beamtime)[1]["error"]
    first = xi.read_results(beamtime / "0901.nc")
    assert set(first.measurement.values.tolist()) == {"time1"}
    assert "time2" in first.attrs["measurements_left_out"]
    assert main(["run", str(beamtime / "0901.nc")]) == 0  # it holds the recipe of what it is

    produced.clear()
    bad.write_bytes(whole)
    assert main(["run", str(beamtime)]) == 0
    assert produced == ["0901/time2"]
    assert [row["state"] for row in table(beamtime)] == ["done before", "measured", "done before", "done before"]
    assert set(xi.read_results(beamtime / "0901.nc").measurement.values.tolist()) == {"time1", "time2"}
    assert "measurements_left_out" not in xi.read_results(beamtime / "0901.nc").attrs
    assert not [path for path in beamtime.iterdir() if path.name.startswith(".")]


@pytest.mark.thorough
def test_what_a_sentence_proposes_can_be_put_into_the_recipe(beamtime, capsys):
    """The command that runs it has none of the options that other commands name."""
    cut(sorted((beamtime / "0901" / "time2").iterdir())[4])
    recipe = beamtime / "0901.toml"
    assert main(["run", str(recipe)]) == 1
    err = capsys.readouterr().err
    assert "on_error='skip' or 'nan' (on_error in [reading]) goes on without" in err
    assert "--on-error" not in err
    recipe.write_text(recipe.read_text().replace("[reading]\n", "[reading]\non_error = 'nan'\n"))
    assert main(["run", str(recipe)]) == 0

    recipe = beamtime / "0902.toml"
    recipe.write_text(recipe.read_text().replace('tz = "Asia/Tokyo"', 'instrument = "generic"'))
    assert main(["run", str(recipe)]) == 0
    (warned,) = [line for line in capsys.readouterr().err.splitlines() if "(tz in [reading])" in line]
    assert "(--" not in warned


@pytest.mark.thorough
def test_a_recipe_that_cannot_be_read_is_a_row_and_no_file_of_another_kind_is(beamtime, produced):
    """Its sample would be left out of the table unsaid: a comma is forgotten easily."""
    recipe = beamtime / "0902.toml"
    recipe.write_text(recipe.read_text().replace('rois = "', "rois = "))
    (beamtime / "other.toml").write_text("[project\n")
    assert main(["run", str(beamtime)]) == 1
    assert [(row["sample"], row["state"]) for row in table(beamtime)] == [
        ("0901", "measured"), ("0901", "measured"), ("0902", "failed")
    ]  # fmt: skip
    assert "0902.toml: is not valid TOML" in table(beamtime)[-1]["error"]


@pytest.mark.thorough
def test_each_measurement_of_a_sample_of_which_all_are_bad_is_a_row(beamtime, capsys):
    for name in ("time1", "time2"):
        cut(sorted((beamtime / "0901" / name).iterdir())[2])
    assert main(["run", str(beamtime)]) == 1
    rows = [(row["sample"], row["measurement"], row["state"]) for row in table(beamtime)]
    assert rows[:2] == [("0901", "time1", "failed"), ("0901", "time2", "failed")]
    assert rows[2:] == [("0902", "time1", "measured"), ("0902", "time2", "measured")]
    assert "2 of 4 measurements failed: 0901 time1, 0901 time2" in capsys.readouterr().err
    assert not (beamtime / "0901.nc").exists()


@pytest.mark.thorough
def test_results_of_a_run_say_where_they_are_from_and_can_be_joined(beamtime, capsys):
    for sample in ("0901", "0902"):
        assert main(["run", str(beamtime / f"{sample}.toml")]) == 0
    results = [beamtime / f"{sample}.nc" for sample in ("0901", "0902")]
    listed = [json.loads(xi.read_results(path).attrs["sources"]) for path in results]
    assert [[Path(one).name for one in some] for some in listed] == [["time1", "time2"]] * 2
    joined = beamtime / "both.nc"
    words = ["--append-to", str(results[0]), "-o", str(joined)]
    main(["stitch", str(results[1]), *words])  # whatever it says of the times of copied frames
    assert "fault of xinsitu" not in capsys.readouterr().err


@pytest.mark.thorough
def test_an_interrupted_run_goes_on_with_the_same_numbers(beamtime, produced, monkeypatch):
    produce = Measure.produce

    def interrupted(self: Measure) -> xr.Dataset:
        if self.measurement.name == "time2":
            raise KeyboardInterrupt
        return produce(self)

    with monkeypatch.context() as patch:
        patch.setattr(Measure, "produce", interrupted)
        assert main(["run", str(beamtime / "0901.toml")]) == 130
    assert not (beamtime / "0901.nc").exists()
    produced.clear()
    assert main(["run", str(beamtime / "0901.toml"), str(beamtime / "0902.toml")]) == 0
    assert produced == ALL[1:]
    (Path("summary.csv")).unlink()
    one, other = (xi.read_results(beamtime / f"{name}.nc") for name in ("0901", "0902"))
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].values, other[name].values)


@pytest.mark.thorough
def test_a_measurement_that_was_kept_and_is_damaged_since_is_made_again(beamtime, produced, monkeypatch):
    """Otherwise no run would ever go on, and its sentence would name a hidden file."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "no space left on device")

    recipe, hidden = beamtime / "0901.toml", beamtime / ".0901.parts"
    with monkeypatch.context() as patch:
        patch.setattr(Stitch, "joined_and_found", full)
        assert main(["run", str(recipe)]) == 1
    damaged, _ = sorted(hidden.iterdir())
    with h5py.File(damaged) as file:
        place = file["intensity"].id.get_chunk_info(0).byte_offset
    blob = bytearray(damaged.read_bytes())
    blob[place + 3] ^= 1
    damaged.write_bytes(blob)
    produced.clear()
    assert main(["run", str(recipe)]) == 0
    assert len(produced) == 1
    assert not hidden.exists()


@pytest.mark.thorough
def test_changes_beside_a_measurement_that_failed_say_that_it_did(beamtime, capsys):
    """It was said that there is no such measurement in the sample, as if the changes had been wrong."""
    bad = sorted((beamtime / "0901" / "time2").iterdir())[4]
    cut(bad)
    key = {"before": {"measurement": "time1", "frame": 11}, "after": {"measurement": "time2", "frame": 0}}
    document = {"format": "xinsitu-attenuation", "version": 1, "changes": [{**key, "cause": "attenuator"}]}
    (beamtime / "changes.json").write_text(json.dumps(document))
    recipe = beamtime / "0901.toml"
    recipe.write_text(recipe.read_text().replace('rois = "', 'changes = "changes.json"\nrois = "'))
    assert main(["run", str(recipe)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "there is no measurement 'time2' in the sample; there are time1; not measured was time2: " in last
    assert bad.name in last


@pytest.mark.thorough
def test_what_was_made_otherwise_is_not_replaced_unasked(beamtime, produced, capsys):
    recipe = beamtime / "0901.toml"
    assert main(["run", str(recipe)]) == 0
    recipe.write_text(recipe.read_text().replace("[output]", "[correction]\nmedian = 0\n[output]"))
    assert main(["run", str(recipe)]) == 1
    assert "was made otherwise or from other frames; overwrite it with --force" in capsys.readouterr().err
    produced.clear()
    assert main(["run", str(beamtime)]) == 1  # a row, and the other sample is done
    assert produced == ALL[2:]
    assert main(["run", str(recipe), "--force"]) == 0


@pytest.mark.thorough
def test_frames_that_have_come_or_changed_are_noticed(beamtime, produced):
    recipe = beamtime / "0901.toml"
    assert main(["run", str(recipe)]) == 0
    produced.clear()
    frame = sorted((beamtime / "0901" / "time1").iterdir())[3]
    content = frame.read_bytes()
    frame.unlink()
    frame.write_bytes(content)
    assert main(["run", str(recipe)]) == 0
    assert produced == ALL[:2]


@pytest.mark.thorough
def test_what_cannot_be_run_is_said(beamtime, capsys):
    (beamtime / "broken.toml").write_text('format = "xinsitu-recipe"\nversion = 1\nsample = "nowhere"\nrois = "r.json"')
    assert main(["run", str(beamtime)]) == 1
    rows = table(beamtime)
    assert [(row["sample"], row["state"]) for row in rows][-1] == ("broken", "failed")
    assert [row["state"] for row in rows][:-1] == ["measured"] * 4
    (beamtime / "empty").mkdir()
    assert main(["run", str(beamtime / "empty")]) == 1
    assert "holds no recipe" in capsys.readouterr().err
    twin = beamtime / "twin.toml"
    twin.write_text((beamtime / "0901.toml").read_text())
    assert main(["run", str(beamtime / "0901.toml"), str(twin)]) == 1
    assert "give each its own" in capsys.readouterr().err
    (beamtime / "summary.csv").write_text("somebody's,table\n")
    twin.unlink()
    assert main(["run", str(beamtime)]) == 1
    assert (beamtime / "summary.csv").read_text() == "somebody's,table\n"


@pytest.mark.thorough
def test_results_of_several_samples_are_joined_each_by_itself(beamtime, capsys):
    rois, results = str(beamtime / "rois.json"), beamtime / "results"
    folders = [str(beamtime / name) for name in ("0901", "0902")]
    words = ["measure", *folders, "--rois", rois, "--tz", "Asia/Tokyo", "-o", f"{results}/"]
    assert main(words) == 0
    assert len(list(results.glob("*.nc"))) == 4
    with (results / "summary.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["measured"] * 4
    assert main(words) == 0
    with (results / "summary.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done before"] * 4
    joined = beamtime / "joined"
    assert main(["stitch", str(results), "-o", str(joined)]) == 0
    assert sorted(path.name for path in joined.iterdir()) == ["0901.nc", "0902.nc"]
    for path in joined.iterdir():
        sample = xi.read_results(path)
        assert sample.sizes["time"] == 24
        assert set(np.unique(sample["sample"].values)) == {path.stem}
        inputs = json.loads(sample.attrs["recipe"])["inputs"]
        assert all(path.stem in one["measurement"] for one in inputs)
    assert main(["stitch", str(results), "-o", str(beamtime / "one.nc")]) == 1
    assert "several samples (0901, 0902) need a folder" in capsys.readouterr().err
    assert main(["stitch", str(results), "--change", "time1:3,time1:4", "-o", str(beamtime / "again")]) == 1
    assert "--change is for one sample" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.thorough
def test_what_one_recipe_reads_no_other_replaces(beamtime, produced, capsys):
    shutil.copyfile(beamtime / "rois.json", beamtime / "spots.csv")
    before = (beamtime / "spots.csv").read_bytes()
    first, second = beamtime / "0901.toml", beamtime / "0902.toml"
    first.write_text(first.read_text().replace("0901.csv", "spots.csv"))
    second.write_text(second.read_text().replace("rois.json", "spots.csv"))
    assert main(["run", str(first), str(second), "--force"]) == 1
    assert "spots.csv: is read by this run" in capsys.readouterr().err
    assert (beamtime / "spots.csv").read_bytes() == before
    assert produced == ALL[2:]
    first.write_text(first.read_text().replace("spots.csv", "0902.toml"))
    before = second.read_bytes()
    assert main(["run", str(first), str(second), "--force"]) == 1
    assert second.read_bytes() == before


@pytest.mark.thorough
@pytest.mark.parametrize("where", ["among frames", "a table of a recipe", "somebody's"])
def test_a_summary_is_refused_before_any_work(beamtime, produced, capsys, monkeypatch, where):
    monkeypatch.chdir(beamtime)
    first = beamtime / "0901.toml"
    if where == "among frames":
        monkeypatch.chdir(beamtime / "0901" / "time1")
    elif where == "somebody's":
        Path("summary.csv").write_text("their,table\n")
    else:
        first.write_text(first.read_text().replace("0901.csv", "Summary.csv"))
    assert main(["run", str(first), str(beamtime / "0902.toml")]) == 1
    assert "summary.csv: " in capsys.readouterr().err
    assert produced == []
    assert where == "somebody's" or not Path("summary.csv").exists()


def test_names_in_the_summary_are_no_formulas(tmp_path):
    path = tmp_path / "summary.csv"
    write_summary(
        [Row("=HYPERLINK(1)", "@SUM(1)", "failed", error="-1: no such\nfile"), Row(" +1", "time1", "a")], path
    )
    with path.open() as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [
        ["'=HYPERLINK(1)", "'@SUM(1)", "–", "failed", "", "'-1: no such\nfile"],
        ["' +1", "time1", "–", "a", "", ""],
    ]


@pytest.fixture
def small_disc(tmp_path: Path) -> Iterator[Path]:
    """A disc of some megabytes."""
    place = tmp_path / "disc"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def filled(place: Path, left: int) -> Path:
    """Fill a disc but for some bytes; the file that does."""
    room = os.statvfs(place)
    ballast = place / "ballast"
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - left))
    return ballast


@pytest.mark.thorough
def test_a_full_disc_leaves_no_hidden_folder_and_says_what_is_kept(beamtime, small_disc, produced, capsys):
    """It left one, empty or not, without a word; what it kept stayed for good where the recipe was changed."""
    for name in ("rois.json", "0901.toml"):
        shutil.copyfile(beamtime / name, small_disc / name)
    recipe, hidden = small_disc / "0901.toml", small_disc / ".0901.parts"
    sample = os.path.relpath(beamtime / "0901", small_disc)
    text = recipe.read_text().replace('sample = "0901"', f'sample = "{sample}"')
    recipe.write_text(text)
    ballast = filled(small_disc, 8192)
    assert main(["run", str(recipe)]) == 1
    said = capsys.readouterr().err
    assert "no space left on device" in said
    assert "kept" not in said
    assert not hidden.exists()

    size = 0
    for left in range(50_000, 400_000, 25_000):  # until one of two has room
        ballast.unlink()
        filled(small_disc, left)
        if main(["run", str(recipe)]) == 1 and hidden.exists():
            size = left
            break
    assert size
    said = capsys.readouterr().err
    assert f"0901: 1 measurement that is done is kept in {hidden}; the next run goes on from there" in said
    assert len(os.listdir(hidden)) == 1

    recipe.write_text(text.replace("[output]", "[correction]\nmedian = 0\n[output]"))
    produced.clear()
    assert main(["run", str(recipe)]) == 1
    assert len(os.listdir(hidden)) == 1  # of the first recipe nothing is left, and the room is that of the second
    assert "time1" in produced[0]
    (small_disc / "ballast").unlink()
    assert main(["run", str(recipe)]) == 0
    assert produced.count("0901/time1") == 1
    assert sorted(os.listdir(small_disc)) == ["0901.csv", "0901.nc", "0901.toml", "rois.json"]


@pytest.mark.thorough
def test_what_a_run_left_that_was_killed_at_the_very_end_goes_with_the_next(beamtime, produced, monkeypatch):
    recipe, hidden = beamtime / "0901.toml", beamtime / ".0901.parts"
    with monkeypatch.context() as patch:
        patch.setattr("xinsitu.recipe.campaign.Parts.clear", lambda self: None)
        assert main(["run", str(recipe)]) == 0
    assert len(os.listdir(hidden)) == 2
    produced.clear()
    assert main(["run", str(recipe)]) == 0
    assert produced == []
    assert not hidden.exists()


@pytest.mark.thorough
def test_a_result_of_the_longest_name(beamtime, monkeypatch):
    """The hidden folder beside it had a longer one than there is."""
    recipe, name = beamtime / "0901.toml", "r" * 252
    recipe.write_text(recipe.read_text().replace("0901.nc", f"{name}.nc"))
    assert main(["run", str(recipe)]) == 0
    assert not [path for path in beamtime.iterdir() if path.name.startswith(".")]


@pytest.mark.thorough
@pytest.mark.parametrize("times", [1, 3])
def test_another_run_of_the_sample_clears_the_folder_meanwhile(beamtime, monkeypatch, times):
    """Two of one recipe at once: the folder went between its making and the writing in it."""
    write, cleared = campaign.write_results, []

    def meanwhile(series: xr.Dataset, path: Path, **how: object) -> Path:
        if len(cleared) < times and path.parent.name == ".0901.parts":
            cleared.append(path)
            shutil.rmtree(path.parent)
        return write(series, path, **how)

    monkeypatch.setattr(campaign, "write_results", meanwhile)
    assert main(["run", str(beamtime / "0901.toml")]) == 0
    assert len(cleared) == times
    assert not (beamtime / ".0901.parts").exists()
