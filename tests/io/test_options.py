"""One list of the keywords of opening: signature, help, recipe, engine and options are made of it."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import write_frames
from xinsitu.cli import _COMMANDS
from xinsitu.cli.arguments import parser
from xinsitu.cli.shared import reading
from xinsitu.errors import DocumentError, LayoutError, TimeError
from xinsitu.io.options import KEYWORDS, OpenKeywords, OpenOptions, add_options, chosen_of
from xinsitu.recipe import Reading

SOURCE = Path(xi.__file__).parent


def test_every_place_has_the_same_keywords():
    assert tuple(OpenKeywords.__annotations__) == KEYWORDS
    assert tuple(inspect.signature(xi.open_measurement).parameters)[2:] == KEYWORDS
    assert {item.name for item in fields(Reading)} == set(KEYWORDS)
    assert set(KEYWORDS) <= set(xr.backends.list_engines()["xinsitu"].open_dataset_parameters)
    for name, usual in ((item.name, item.default) for item in fields(OpenOptions)):
        assert inspect.signature(xi.open_measurement).parameters[name].default == usual
    types = {name: one.__forward_arg__ for name, one in OpenKeywords.__annotations__.items()}
    assert types == OpenOptions.__annotations__


def test_help_tells_of_each_keyword_once():
    text = inspect.getdoc(xi.open_measurement)
    for name in KEYWORDS:
        assert len(re.findall(rf"^{name}\n    \S", text, re.MULTILINE)) == 1, name
    assert "**options" not in text
    assert max(map(len, text.splitlines())) <= 116


@pytest.mark.parametrize("command", ["parse", "measure", "explore"])
def test_commands_give_what_python_takes(command):
    given = {"measure": ["m", "--rois", "r.json"], "parse": ["m"], "explore": ["m"]}[command]
    words = parser("0", _COMMANDS).parse_args([command, *given])
    assert reading(words).to_dict() == {}
    options = [
        "--tz",
        "Asia/Tokyo",
        "--instrument",
        "generic",
        "--on-error",
        "nan",
        "--time",
        "period",
        "--series",
        "s",
    ]
    options += ["--ignore-time-order", "--scan", "2.1", "--fill-missing", "--period", "0.5", "--stamp-marks", "end"]
    words = parser("0", _COMMANDS).parse_args([command, *given, *options, "--log", "none"])
    assert reading(words).to_dict() == {
        "tz": "Asia/Tokyo", "instrument": "generic", "on_error": "nan", "time": "period", "order_error": "ignore",
        "series": "s", "scan": "2.1", "fill_missing": True, "period": 0.5, "stamp_marks": "end", "logs": None,
    }  # fmt: skip


@pytest.mark.thorough
def test_a_keyword_is_told_in_one_file():
    """The other one is where it is used; a recipe's field or an option of its own would be a third."""
    for name in KEYWORDS:
        classes = {
            path.name
            for path in SOURCE.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ClassDef)
            and {"tz", "on_error", name}
            <= {str(getattr(one.target, "id", "")) for one in node.body if isinstance(one, ast.AnnAssign)}
        }
        assert classes == {"options.py"}, name
    texts = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "cli").glob("*.py"))
    for item in fields(OpenOptions):
        assert f'add_argument("{item.metadata["option"]}", metavar' not in texts
        assert f'add_argument("{item.metadata["option"]}", choices' not in texts


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"scan": True}, LayoutError), ({"scan": ""}, LayoutError), ({"period": float("inf")}, TimeError),
     ({"period": True}, TimeError), ({"logs": 3}, DocumentError), ({"instrument": 2.5}, DocumentError),
     ({"time": b"auto"}, TimeError), ({"fill_missing": 1}, LayoutError), ({"on_error": None}, LayoutError)],
)  # fmt: skip
def test_what_a_keyword_cannot_be_is_refused_wherever_it_is_given(wrong, error):
    (name,) = wrong
    for make in (OpenOptions, Reading):
        with pytest.raises(error, match=f"^{name} is .*, not "):
            make(**wrong)


def test_what_is_not_the_default_is_what_a_recipe_keeps(tmp_path):
    times = np.arange(3.0)
    assert OpenOptions().to_dict() == OpenOptions(tz=None, logs="".join(["au", "to"])).to_dict() == {}
    assert OpenOptions(time=times).to_dict()["time"] is times
    assert OpenOptions(logs=None, scan=2).to_dict() == {"logs": None, "scan": 2}
    write_frames(tmp_path / "m", 3)
    assert Reading(tz="Asia/Tokyo", order_error="ignore").open(tmp_path / "m").attrs["time_zone"] == "Asia/Tokyo"


def test_a_keyword_that_does_not_exist_is_pythons_own_error(tmp_path):
    with pytest.raises(TypeError, match="colour"):
        xi.open_measurement(tmp_path, colour=1)


def test_options_of_some_keywords():
    one = argparse.ArgumentParser()
    add_options(one, "tz", "scan")
    assert chosen_of(one.parse_args(["--scan", "3.1"])) == {"tz": None, "scan": "3.1"}
