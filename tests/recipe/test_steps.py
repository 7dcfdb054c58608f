"""Recipes: the same after a round trip, wherever the file moves with its data; wrong ones are named."""

from __future__ import annotations

import inspect
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.io.value_kinds import schema_of
from xinsitu.recipe import (
    Append,
    Calibrating,
    Correcting,
    Measure,
    Parse,
    Reading,
    Recipe,
    Stitch,
    Stored,
    recipe_file,
    recipe_from_dict,
)
from xinsitu.recipe.recipe_file import read_recipe, write_recipe
from xinsitu.recipe.rerun import differences, recipe_of
from xinsitu.simulate import Truth
from xinsitu.values import AttenuationChange, Background, Event, Roi, RoiSet, frame_ranges

ROIS = RoiSet([Roi("WZ", y=(60, 150), x=(210, 270)), Roi("BG", y=(0, 9), x=(0, 9), role="background")])


def steps(base: Path) -> list[Recipe]:
    how = Correcting(3, 5.0, base / "flat", 3, Background(y=(70, 90), x=(150, 170), mode="subtract"))
    reading = Reading(tz="Asia/Tokyo", order_error="ignore")
    parse = Parse(base / "0884" / "time1", reading, how, ((70, 135), (150, 370)))
    bad = frame_ranges("time2:71, 80-85")
    measure = Measure(base / "0884" / "time2", ROIS, reading, how, bad_frames=bad)
    change = AttenuationChange({"measurement": "time2", "frame": 3}, "2014-05-28T17:01:59+09:00", 8.0)
    event = Event("open", "2014-05-28T17:01:59+09:00")
    stitch = Stitch(
        (measure, Stored(base / "a.nc")), (change,), False, (event,), {"roi": "WZ", "window": 5}, True, None, bad
    )
    append = Append(stitch, (measure,), (change,), True, (event,), True, bad)
    return [parse, measure, Stored(base / "b.nc"), stitch, append]


def test_every_kind_survives_json(tmp_path: Path) -> None:
    for step in steps(tmp_path):
        document = json.loads(json.dumps(step.to_dict(tmp_path / "results")))
        again = recipe_from_dict(document, tmp_path / "results")
        assert again.to_dict(tmp_path) == step.to_dict(tmp_path)
        assert getattr(again, "bad_frames", ()) == getattr(step, "bad_frames", ())
        assert str(tmp_path) not in json.dumps(document)


@pytest.mark.parametrize(
    "document",
    [{}, {"command": "cook"}, {"command": "measure", "version": 9}, {"command": "measure"}, {"command": "stored"}],
)
def test_what_is_no_recipe_is_refused(document: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises((xi.DocumentError, xi.RoiError)):
        recipe_from_dict(document, tmp_path)


def test_unknown_words_are_refused(tmp_path: Path) -> None:
    base = {"command": "parse", "version": 1, "measurement": "a"}
    with pytest.raises(xi.DocumentError, match="correction has no mean"):
        recipe_from_dict({**base, "correction": {"mean": 3}}, tmp_path)
    with pytest.raises(xi.DocumentError, match="reading has no zone"):
        recipe_from_dict({**base, "reading": {"zone": "UTC"}}, tmp_path)


@pytest.mark.thorough
def test_a_result_moves_with_its_frames(experiment: Truth, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    shutil.copytree(experiment.folders["time1"], tmp_path / "here" / "time1")
    step = Measure(tmp_path / "here" / "time1", experiment.rois, Reading(tz="Asia/Tokyo"), Correcting(median=3))
    path = tmp_path / "here" / "time1.nc"
    xi.write_results(step.produce(), path, recipe=step.to_dict(path.parent))
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there" / "time1.nc"
    result = xi.read_results(moved)
    again = recipe_of(result, moved).produce()
    assert {name: text for name, text in differences(result, again).items() if name not in ("sample",)} == {}


def test_flat_fields_can_be_filtered_before_they_are_averaged(experiment: Truth) -> None:
    import numpy as np
    import tifffile
    from scipy.ndimage import median_filter

    folder = experiment.folders["flatfield"]
    flat = Correcting(flatfield=folder, flatfield_median=3).correction(Reading(tz="Asia/Tokyo")).flatfield
    assert flat is not None
    raw = np.array([tifffile.imread(path) for path in sorted(folder.glob("*.tif"))], dtype="float64")
    mean = median_filter(raw, size=(1, 3, 3), mode="reflect").mean(axis=0)
    np.testing.assert_allclose(flat.values, mean / mean.mean(), rtol=1e-6)
    plain = Correcting(flatfield=folder).correction(Reading(tz="Asia/Tokyo")).flatfield
    assert plain is not None
    same = ("source", "detector", "detector_serial", "threshold_energy", "n_frames", "units")
    assert [flat.attrs[name] for name in same] == [plain.attrs[name] for name in same]


def test_a_measurement_as_its_own_filtered_flat_field_is_said(experiment: Truth) -> None:
    rois = [xi.Roi("a", y=(80, 90), x=(100, 110))]
    scan = xi.open_measurement(experiment.folders["time1"], tz="Asia/Tokyo")
    for folder, own in (("time1", True), ("flatfield", False)):
        given = Correcting(flatfield=experiment.folders[folder], flatfield_median=3)
        correction = given.correction(Reading(tz="Asia/Tokyo"))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            xi.measure(scan, rois, correction=correction)
        assert any("is made of the measurement's own frames" in str(one.message) for one in said) == own


def document(base: Path) -> dict[str, object]:
    return {"sample": str(base / "0884"), "rois": str(base / "rois.json")}


def test_a_recipe_file_names_a_whole_sample(experiment: Truth, tmp_path: Path) -> None:
    base = experiment.folders["sample"].parent
    write_recipe(
        {**document(base), "include": "time*", "exclude": "time2", "find": True, "bad_frames": ["time1:3-5"]},
        tmp_path / "recipe.toml",
    )
    recipe = read_recipe(tmp_path / "recipe.toml")
    folders = [step.measurement.name for step in recipe.stitch.inputs if isinstance(step, Measure)]
    assert folders == ["time1", "time3"]
    assert recipe.result == tmp_path / "0884.nc"
    assert recipe.stitch.find
    assert recipe.stitch.bad_frames == frame_ranges("time1:3-5")


def test_what_a_recipe_may_say_of_figures_is_what_they_take():
    taken = set(inspect.signature(xi.save_plot).parameters) - {"series", "path", "events", "overwrite"}
    assert taken == recipe_file._PLOT == set(schema_of("recipe")["properties"]["plot"]["properties"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("format = 3", "needs the lines"),
        ("[", "not valid TOML"),
        ('format = "xinsitu-recipe"\nversion = 1', "lacks sample and rois"),
        ('format = "xinsitu-recipe"\nversion = 1\nsample = "a"\nrois = "b"\ncolour = 1', "unknown keys colour"),
        ('format = "xinsitu-recipe"\nversion = 1\nsample = "BASE/0884"\nrois = "BASE/nothing.json"', "nothing.json"),
        (
            'format = "xinsitu-recipe"\nversion = 1\nsample = "BASE/0884"\nrois = "BASE/rois.json"\n[output]\nx = 1',
            "no x",
        ),
        (
            'format = "xinsitu-recipe"\nversion = 1\nsample = "BASE/0884"\nrois = "BASE/rois.json"\n[plot]\ncolour = 1',
            r"\[plot\] has no colour; it has derivative, log, .* t0, x",
        ),
        (
            'format = "xinsitu-recipe"\nversion = 1\nsample = "BASE/0884"\nrois = "BASE/rois.json"\n'
            '[output]\nfigures = ["a.png", "a.xyz"]',
            r"a\.xyz: a figure ends in one of \.html",
        ),
        (
            'format = "xinsitu-recipe"\nversion = 1\nsample = "BASE/0884"\nrois = "BASE/rois.json"\n'
            '[output]\nresult = "a.png"',
            "a.png: netCDF4",
        ),
        (
            'format = "xinsitu-recipe"\nversion = 1\nsample = "BASE/0884"\nrois = "BASE/rois.json"\n[reading]\nx = 1',
            "x",
        ),
        (
            'format = "xinsitu-recipe"\nversion = 1\nsample = 3\nrois = "BASE/rois.json"',
            "sample is a text, not 3, which is of the wrong kind",
        ),
        *(
            (f'format = "xinsitu-recipe"\nversion = 1\nsample = "BASE/0884"\nrois = "BASE/rois.json"\n{line}', says)
            for line, says in {
                "include = 1": "include is a text, not 1",
                'include = ["time*"]': "include is a text",
                'measurements = "time1"': "measurements is a list, not 'time1'",
                "find = 1": "find is true or false, not 1",
                "overlap = 1": "overlap is a text",
                "bad_frames = [inf]": r"bad_frames\[0\] is a text or a number without a fraction or a table, not inf",
                "reading = 1": "reading is a table",
                "[correction]\nthreshold = nan": "correction.threshold is a number, not nan",
                '[output]\nfigures = "a.png"': "output.figures is a list",
            }.items()
        ),
    ],
)
def test_a_bad_recipe_file_is_named(experiment: Truth, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace("BASE", str(experiment.folders["sample"].parent)))
    with pytest.raises((xi.XinsituError, FileNotFoundError), match=says):
        read_recipe(path)


def test_keys_that_do_not_exist_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(xi.DocumentError, match="has no colour"):
        write_recipe({"colour": 1}, tmp_path / "recipe.toml")


def test_a_calibration_is_the_same_after_a_round_trip_wherever_it_lies(tmp_path):
    plain = Calibrating("x", "l", tmp_path / "data" / "l.dat")
    assert plain.transpose is False
    assert plain.to_dict(tmp_path) == {"axis": "x", "name": "l", "file": "data/l.dat"}
    turned = Calibrating("y", "hk", tmp_path / "data" / "hk.dat", lattice_constant=5.65, transpose=True)
    document = turned.to_dict(tmp_path)
    assert document == {
        "axis": "y", "name": "hk", "file": "data/hk.dat", "lattice_constant": 5.65, "transpose": True,
    }  # fmt: skip
    for one in (plain, turned):
        elsewhere = Calibrating.from_dict(json.loads(json.dumps(one.to_dict(tmp_path))), Path("/moved"))
        assert elsewhere == replace(one, file=Path("/moved") / "data" / one.file.name)


@pytest.mark.parametrize(
    ("given", "recognised", "kept"),
    [
        (None, "spring8-bl11xu", "spring8-bl11xu"),
        (None, "of nobody", None),
        ("diamond-i07", "spring8-bl11xu", "diamond-i07"),
        ("diamond-i07", "of nobody", "diamond-i07"),
    ],
)
def test_a_recipe_names_the_instrument_that_was_recognised_where_none_is_given(given, recognised, kept):
    scan = xr.Dataset(attrs={"instrument": recognised})
    assert Reading(instrument=given).named(scan).instrument == kept


def test_a_recipe_of_frames_keeps_the_rows_and_columns_that_it_says(experiment: Truth):
    folder = experiment.folders["test"]
    reading = Reading(tz="Asia/Tokyo")
    whole = Parse(folder, reading, Correcting()).produce()
    part = Parse(folder, reading, Correcting(), ((70, 75), (150, 158))).produce()
    assert whole.image.shape[1:] == (195, 487)
    assert (part.y.values.tolist(), part.x.values.tolist()) == (list(range(70, 75)), list(range(150, 158)))
    assert (part.image.values == whole.image.values[:, 70:75, 150:158]).all()


def test_a_flat_field_that_is_not_filtered_is_that_of_the_folder(experiment: Truth) -> None:
    reading = Reading(tz="Asia/Tokyo")
    flat = Correcting(flatfield=experiment.folders["flatfield"]).correction(reading).flatfield
    xr.testing.assert_identical(flat, reading.open_flatfield(experiment.folders["flatfield"]))


@pytest.mark.parametrize("given", [None, "generic"])
@pytest.mark.parametrize("source", [None, "given", "recognised by its file names", "the file, recognised by nobody"])
def test_calibrations_are_read_as_of_the_instrument_that_was_recognised(given, source):
    attrs = {"instrument": "spring8-bl11xu"} | ({} if source is None else {"instrument_source": source})
    recognised = (source or "").startswith("recognised by ")
    expected = "spring8-bl11xu" if recognised else given
    assert Reading(instrument=given, tz="UTC").beside(xr.Dataset(attrs=attrs)) == Reading(instrument=expected, tz="UTC")
