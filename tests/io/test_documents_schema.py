"""The JSON Schemas of our documents: what we write fits them, what we refuse does not, and keys are the same."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from pathlib import Path

import pytest

import xinsitu as xi
from xinsitu.errors import DocumentError, XinsituError
from xinsitu.io.documents import IN_Q
from xinsitu.recipe import recipe_file
from xinsitu.recipe.joins import ATTENUATION
from xinsitu.recipe.steps import Correcting
from xinsitu.schema import FURTHER
from xinsitu.values import MEASURES, AttenuationChange, Ellipse, Event, KeyFrame, Mask, Polygon, Roi, Rotated, Sector
from xinsitu.values.changes import CAUSES
from xinsitu.values.geometries import SHAPES
from xinsitu.values.logbook import KEY_NAMES, Key
from xinsitu.values.rois import ROLES

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "formats"


def checker(form):
    schema = xi.json_schema(form)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


ROIS = [
    Roi("box", (1, 5), (2, 9), color="red", measure=("com",), background=("edge",)),
    Roi("moves", (1, 5), (2, 9), path=(KeyFrame(Key("time1", frame=3), (2, 6), (2, 9)),), role="background"),
    Roi("a", geometry=Polygon([(1, 1), (9, 2), (5, 8)]), edges="exact"),
    Roi("b", geometry=Ellipse((20, 30.5), (3, 4), 12)),
    Roi("c", geometry=Rotated((20, 30.5), (3, 4), -12)),
    Roi("d", geometry=Sector((20, 30.5), (3, 14), (0, 90))),
    Roi("e", geometry=Mask(((3, 4, 7), (5, 2, 9)))),
]


def test_what_is_written_fits(tmp_path):
    xi.write_rois(xi.RoiSet(ROIS, (100, 120)), tmp_path / "rois.json")
    changes = [
        AttenuationChange(Key("time1", frame=4), Key("time2", frame=0), factor=8.4, factor_errors=0.1, note="Al"),
        AttenuationChange("2014-05-28T08:00:00Z", "2014-05-28T08:00:05Z"),
    ]
    xi.write_attenuation_changes(changes, tmp_path / "attenuation.json")
    events = [Event("open", Key("time1", seconds=3.5)), Event("growth", "2014-05-28T08:00:00Z", Key(position=12))]
    xi.write_events(events, tmp_path / "events.json")
    for form in ("rois", "attenuation", "events"):
        checker(form).validate(json.loads((tmp_path / f"{form}.json").read_text()))
    assert checker("rois").is_valid(
        {"format": "xinsitu-rois", "version": 1, "rois": [{"name": "a", "y": [0, 1], "x": [0, 2]}]}
    )


@pytest.mark.parametrize(("page", "form"), [("rois", "rois"), ("changes", "attenuation"), ("events", "events")])
def test_every_example_of_the_pages_fits(page, form):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    examples = [json.loads(one) for one in re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
    assert len(examples) >= 2
    for example in examples:
        if "format" in example:
            checker(form).validate(example)


def test_recipes_fit(tmp_path):
    text = (DOCS / "recipe.md").read_text(encoding="utf-8")
    examples = [tomllib.loads(one) for one in re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
    assert len(examples) >= 2
    for example in examples:
        checker("recipe").validate(example)
    assert not checker("recipe").is_valid({**examples[0], "roi": "x"})


REFUSED = [
    {"name": "a"}, {"name": "", "y": [0, 1], "x": [0, 1]}, {"name": "a", "y": [0], "x": [0, 1]},
    {"name": "a", "y": [-1, 4], "x": [0, 1]}, {"name": "a", "y": [0.5, 4], "x": [0, 1]},
    {"name": "a", "y": [0, 1], "x": [0, 1], "role": "noise"},
    {"name": "a", "y": [0, 1], "x": [0, 1], "measure": ["sum"]},
    {"name": "a", "y": [0, 1], "x": [0, 1], "edges": "soft"}, {"name": "a", "shape": {"kind": "blob"}},
    {"name": "a", "shape": {"kind": "ellipse", "centre": [3, 4], "axes": [0, 1]}},
    {"name": "a", "shape": {"kind": "ellipse", "centre": [30, 40], "axes": [2, 1], "radius": 3}},
    {"name": "a", "shape": {"kind": "polygon", "points": [[1, 2], [3, 4]]}}, {"name": "a", "shape": {"kind": "mask"}},
    {"name": "a", "shape": {"kind": "sector", "centre": [30, 40], "radius": [-1, 3]}},
    {"name": "a", "y": [0, 1], "x": [0, 1], "path": [{"frame": 3}]},
]  # fmt: skip


@pytest.mark.parametrize("roi", REFUSED, ids=str)
def test_what_the_schema_refuses_we_refuse_too(roi):
    assert not checker("rois").is_valid({"format": "xinsitu-rois", "version": 1, "rois": [roi]})
    with pytest.raises(XinsituError):
        xi.RoiSet.from_dict({"rois": [roi]})


def test_null_is_what_is_not_said_and_whole_numbers_may_have_a_point(tmp_path):
    roi = {
        "name": "a",
        "y": [0, 4.0],
        "x": [0, 4],
        **dict.fromkeys(("role", "edges", "background", "color", "measure")),
    }
    key = {"measurement": None, "scan": None, "frame": 3.0}
    for form, document, read, same in (
        ("rois", {"rois": [roi]}, xi.read_rois, [Roi("a", (0, 4), (0, 4))]),
        ("attenuation", {"changes": [{"before": key, "after": {"position": 7.0}, "cause": None, "note": None}]},
         xi.read_attenuation_changes, [AttenuationChange(Key(frame=3), Key(position=7))]),
        ("events", {"events": [{"name": "in", "key": key}]}, xi.read_events, [Event("in", Key(frame=3))]),
    ):  # fmt: skip
        told = {"format": f"xinsitu-{form}", "version": 1, **document}
        checker(form).validate(told)
        (tmp_path / f"{form}.json").write_text(json.dumps(told))
        assert list(read(tmp_path / f"{form}.json")) == same


def test_schemas_know_the_keys_that_the_code_knows():
    roi = xi.json_schema("rois")["properties"]["rois"]["items"]["properties"]
    assert {one["properties"]["kind"]["const"] for one in roi["shape"]["oneOf"]} == {*SHAPES, IN_Q}
    assert set(roi["measure"]["items"]["anyOf"][0]["enum"]) == {*MEASURES, *FURTHER}
    assert set(roi["role"]["enum"]) == {*ROLES, None}
    assert set(roi) >= {key for one in ROIS for key in one.to_dict()}
    assert set(roi["path"]["items"]["properties"]) == {*KEY_NAMES, "y", "x"}
    numbers = xi.json_schema("geometry")
    assert set(numbers["properties"]) == set(xi.DetectorGeometry.__dataclass_fields__)
    (in_q,) = (one for one in roi["shape"]["oneOf"] if one["properties"]["kind"]["const"] == IN_Q)
    assert in_q["properties"]["geometry"]["anyOf"][1].items() <= numbers.items()
    change = xi.json_schema("attenuation")
    assert set(change["$defs"]["key"]["anyOf"][0]["properties"]) == set(KEY_NAMES)
    assert set(change["properties"]["changes"]["items"]["properties"]["cause"]["enum"]) == {*CAUSES, None}
    recipe = xi.json_schema("recipe")["properties"]
    assert set(recipe) == recipe_file._KEYS
    assert set(recipe["correction"]["properties"]) == set(Correcting.__dataclass_fields__) - {"command"}
    assert set(recipe["attenuation"]["properties"]) == set(ATTENUATION)
    assert set(recipe["output"]["properties"]) == recipe_file._OUTPUTS


def test_a_document_that_is_none_has_no_schema():
    with pytest.raises(DocumentError, match="rois, attenuation, events, recipe, geometry"):
        xi.json_schema("view")


# -- mutilated documents ----------------------------------------------------------------------------------------------

GEOMETRY = {
    "distance": 0.2,
    "wavelength": 1e-10,
    "beam_centre": [30, 40],
    "pixel_size": [1e-4, 1e-4],
    "rotation": [0, 0, 0],
}
WHOLE = {
    "rois": ({"format": "xinsitu-rois", "version": 1, "detector_shape": [195, 487], "rois": [
        {"name": "WZ", "y": [60, 150], "x": [210, 270], "color": "green", "measure": ["com", "brightest:20"],
         "role": "signal", "background": ["BG", "edge"],
         "path": [{"frame": 0, "measurement": "time1", "y": [60, 150], "x": [210, 270]}]},
        {"name": "BG", "y": [0, 9], "x": [0, 9], "role": "background"},
        {"name": "e", "shape": {"kind": "ellipse", "centre": [50, 60], "axes": [5, 6], "angle": 3}, "edges": "exact"},
        {"name": "p", "shape": {"kind": "polygon", "points": [[5, 5], [30, 5], [20, 40]]}},
        {"name": "q", "shape": {"kind": "q", "geometry": GEOMETRY, "q": [0.05, 0.2], "chi": [-50, 50]}},
    ]}, xi.read_rois),
    "attenuation": ({"format": "xinsitu-attenuation", "version": 1, "changes": [
        {"before": "time2:71", "after": "time3:0", "factor": 8.4},
        {"before": {"measurement": "time1", "scan": 1, "frame": 3}, "after": {"position": 9}, "factor": 2.0,
         "factor_errors": 0.1, "cause": "beam", "note": "Al", "evidence": {}},
        {"before": {"measurement": "time1", "seconds": 9}, "after": {"measurement": "time2", "frame": 0}},
    ]}, xi.read_attenuation_changes),
    "events": ({"format": "xinsitu-events", "version": 1, "events": [
        {"name": "In", "key": "time1:24s"},
        {"name": "As", "start": "2014-05-28T17:01:59+09:00", "stop": "2014-05-28T17:03:59+09:00"},
    ]}, xi.read_events),
    "geometry": (GEOMETRY | {"incidence": 0.2}, xi.read_geometry),
}  # fmt: skip
GONE = object()
NONSENSE = [None, True, "", [], {}, -1, 0.5, 10**30, "x" * 300, [1], [[]], {"a": 1}, [1, 2, 3]]


def places(document, path=()):
    yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    for key, value in inner:
        yield from places(value, (*path, key))


def refusal(read, path):
    try:
        read(path)
    except XinsituError as fault:
        return str(fault)
    return None


@pytest.mark.thorough("events")
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@pytest.mark.parametrize("form", WHOLE)
def test_mutilated_documents_are_refused_in_one_sentence(form, tmp_path):
    """Every part of a document in turn is taken away, or nonsense: what the schema refuses no reader takes."""
    whole, read = WHOLE[form]
    check, path = checker(form), tmp_path / "mutilated.json"
    assert check.is_valid(whole)
    refused = 0
    for place in list(places(whole))[1:]:
        for nonsense in (GONE, *NONSENSE):
            document = copy.deepcopy(whole)
            part = document
            for key in place[:-1]:
                part = part[key]
            if nonsense is GONE:
                del part[place[-1]]
            else:
                part[place[-1]] = nonsense
            path.write_text(json.dumps(document))
            said = refusal(read, path)
            refused += said is not None
            assert said is not None or check.is_valid(document), (place, nonsense)
            assert said is None or re.fullmatch(r".*mutilated\.json.{,900}", said), (place, nonsense)
    assert refused > 100
