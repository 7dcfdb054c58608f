"""The documentation's examples run as they are printed; its figures are made, and looked for, where it is built."""

from __future__ import annotations

import argparse
import dataclasses
import doctest
import importlib.util
import inspect
import itertools
import json
import os
import re
import shlex
import sys
import tomllib
from pathlib import Path

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import xinsitu as xi
from xinsitu import cli
from xinsitu.cli import main
from xinsitu.cli.arguments import parser
from xinsitu.io import instruments, recognition
from xinsitu.io.instruments import load_instrument
from xinsitu.recipe import Correcting, Reading, recipe_file
from xinsitu.recipe.recipe_file import read_recipe

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.relative_to(DOCS).parts[0].startswith("_"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.thorough("formats/events.md")
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_examples_of_a_page(page, tmp_path, monkeypatch, capsys):
    """Blocks of a page run one after another, in an empty folder: ``pycon`` as doctests, ``console`` as commands."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for number, (kind, text) in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
        if kind == "pycon":
            example = doctest.DocTestParser().get_doctest(text, names, f"{page.name}:{number}", str(page), 0)
            failed: list[str] = []
            runner.run(example, out=failed.append, clear_globs=False)
            names.update(example.globs)
            assert not runner.failures, "".join(failed)
        if kind == "console":
            for line in text.splitlines():
                if line.startswith("$ xinsitu "):
                    assert main(shlex.split(line)[2:]) == 0, f"{line}\n{capsys.readouterr().err}"


def test_every_page_is_in_the_contents():
    """Each page stands in a table of contents, by which it is reached from the first one."""
    listed: set[str] = set()
    for page in PAGES:
        for contents in re.findall(
            r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            names = re.findall(r"^(?:.*<)?([\w./]+?)>?$", contents, re.MULTILINE)
            listed |= {os.path.normpath(page.relative_to(DOCS).parent / name) for name in names}
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES} - {"index"}
    assert pages == {name for name in listed if not name.startswith("_")}


def test_every_public_name_has_a_page():
    import xinsitu

    page = load("conf").api_page()
    missing = [name for name in dir(xinsitu) if name in xinsitu.__all__ and f" xinsitu.{name}\n" not in page]
    assert not missing


def command_lines():
    """Return the parsers of all commands by their names."""
    top = parser("0", cli._COMMANDS)
    (made,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return dict(made.choices)


@pytest.mark.thorough
def test_the_page_of_commands_has_every_command_and_option():
    page = load("commands_page").page()
    for name, one in command_lines().items():
        section = page.split(f"## `xinsitu {name}`\n")[1].split("\n## ")[0]
        assert not [o for action in one._actions for o in action.option_strings if o not in section and "-h" not in o]


# -- tutorials --------------------------------------------------------------------------------------------------------

TUTORIALS = [page for page in PAGES if "{code-cell}" in page.read_text(encoding="utf-8")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_cells_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    """Cells run one after another in an empty folder, as the notebook does; ``!`` lines are commands."""
    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    names: dict[str, object] = {}
    for kind, text in load("notebooks").cells(page.read_text(encoding="utf-8")):
        if kind == "code" and text.startswith("!xinsitu "):
            assert main(shlex.split(text)[1:]) == 0, f"{text}\n{capsys.readouterr().err}"
        elif kind == "code":
            exec(compile(text, str(page), "exec"), names)
    pyplot.close("all")


def test_a_tutorial_is_a_notebook_of_the_same_cells():
    notebooks = load("notebooks")
    code = "```{code-cell} python\n:tags: [a]\n1 + 1\n```"
    text = f"---\nfile_format: mystnb\n---\n\n# Title\n\n{{download}}`x <y>`\n\n{code}\n\nend\n"
    assert notebooks.cells(text) == [("markdown", "# Title"), ("code", "1 + 1"), ("markdown", "end")]
    made = nbformat.reads(notebooks.notebook(text), as_version=4)
    nbformat.validate(made)
    assert [cell.source for cell in made.cells] == ["# Title", "1 + 1", "end"]


# -- file formats -----------------------------------------------------------------------------------------------------


def examples(name: str, kind: str) -> list[str]:
    page = (DOCS / name).read_text(encoding="utf-8")
    return [text for found, text in FENCE.findall(page) if found == kind]


def keys_of(name: str) -> set[str]:
    """Keys that a page describes: those in the first column of its tables."""
    text = re.split("## (?:A KEY|Shapes)", (DOCS / name).read_text(encoding="utf-8"))[0]
    rows = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    return {key.strip("[]") for row in rows for key in re.findall(r"`([^`]+)`", row)}


def keys_in(document: object) -> set[str]:
    if isinstance(document, list):
        return set().union(*map(keys_in, document)) if document else set()
    if not isinstance(document, dict):
        return set()
    return set(document).union(*(keys_in(value) for key, value in document.items() if key not in NESTED))


NESTED = ("evidence", "key", "shape")
KEY_WORDS = {"measurement", "scan", "frame", "seconds", "position", "utc", "time"}


@pytest.mark.parametrize(
    ("name", "read", "values"),
    [
        ("rois", xi.read_rois, (xi.Roi, xi.RoiSet)),
        ("changes", xi.read_attenuation_changes, (xi.AttenuationChange,)),
        ("events", xi.read_events, (xi.Event,)),
    ],
)
def test_documents_are_as_their_page_says(name, read, values, tmp_path):
    """Minimal and full files are read without a warning; the full ones have the keys of the table and no other."""
    found: set[str] = set()
    for number, text in enumerate(examples(f"formats/{name}.md", "json")):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        assert len(read(path)) > 0
        found |= keys_in(json.loads(text))
    assert found - KEY_WORDS == keys_of(f"formats/{name}.md")
    unwritten = {"extra", "before_key", "after_key", "frame"}  # the last is that of the set, once for all ROIs
    own = {field.name for value in values for field in dataclasses.fields(value)} - unwritten
    own = {"shape" if name == "geometry" else name for name in own}
    assert own <= keys_of(f"formats/{name}.md")


@pytest.mark.parametrize("schema", sorted(path.stem for path in Path(xi.__file__).parent.glob("schemas/*.json")))
def test_each_schema_is_named_by_the_page_of_its_file(schema):
    named = [page for page in (DOCS / "formats").glob("*.md") if f'xi.json_schema("{schema}")' in page.read_text()]
    assert len(named) == 1
    assert f"`xinsitu/schemas/{schema}.json`" in named[0].read_text()


PONI = """Detector_config: {"pixel1": 0.000172, "pixel2": 0.000172}
Distance: 0.1
Poni1: 0.034
Poni2: 0.002
Wavelength: 1e-10
"""


def test_shapes_are_as_their_page_says(tmp_path):
    rows = re.findall(r"^\| `(\{.*?\})` \|", (DOCS / "formats/rois.md").read_text().split("## Shapes")[1], re.MULTILINE)
    np.save(tmp_path / "ring.npy", np.eye(9, dtype=bool))
    (tmp_path / "waxs.poni").write_text(PONI)
    kinds = set()
    for row in rows:
        document = {"format": "xinsitu-rois", "version": 1, "rois": [{"name": "a", "shape": json.loads(row)}]}
        document["detector_shape"] = [400, 400]
        (tmp_path / "rois.json").write_text(json.dumps(document).replace("ring.edf", "ring.npy"))
        kinds.add(xi.read_rois(tmp_path / "rois.json")["a"].geometry.kind)
    assert kinds == {"polygon", "ellipse", "rotated", "sector", "mask"}


def test_a_key_may_be_written_as_the_page_says():
    for row in re.findall(r"^\| `(\{.*?\})` \| `(.*?)` \|", (DOCS / "formats/changes.md").read_text(), re.MULTILINE):
        as_object, as_word = xi.Key.from_dict(json.loads(row[0])), xi.Key.from_dict(row[1])
        assert as_object == as_word, row


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_recipes_are_as_their_page_says(tmp_path, monkeypatch):
    xi.simulate_sample(tmp_path, frames=40)
    pages = examples("formats/recipe.md", "toml")
    assert len(pages) == 2
    for text in pages:
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        recipe = read_recipe(path)
        assert len(recipe.stitch.inputs) == 3
    document = tomllib.loads(pages[1])
    assert set(document) <= keys_of("formats/recipe.md")
    assert not recipe_file._KEYS - keys_of("formats/recipe.md") - {"find"}
    known = (DOCS / "formats/recipe.md").read_text()
    for kind in (Reading, Correcting):
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in known
    assert main(["run", str(path), "--force"]) == 0


def test_tables_of_beamlines_are_as_their_page_says(tmp_path):
    tables = examples("reference/beamlines.md", "toml")
    assert len(tables) == 2
    for number, text in enumerate(tables):
        path = tmp_path / f"beamline{number}.toml"
        path.write_text(text)
        assert load_instrument(str(path)).time_zone == "Europe/Paris"
    assert set(tomllib.loads(tables[1])) == set(instruments._SECTIONS)
    page = (DOCS / "reference/beamlines.md").read_text()
    for shipped in (Path(xi.__file__).parent / "instruments").glob("*.toml"):
        one = load_instrument(shipped.stem)
        row = re.search(rf"^\| `{shipped.stem}` .*$", page, re.MULTILINE)[0]
        assert (one.time_zone or "none") in row
        assert f"`{one.y_name or 'y'}`, `{one.x_name or 'x'}`" in row


@pytest.mark.parametrize("name", ["howto/instruments.md", "howto/logs.md"])
def test_sections_of_tables_are_read(name, tmp_path):
    (text,) = examples(name, "toml")
    path = tmp_path / "beamline.toml"
    path.write_text('title = "My beamline"\ntime_zone = "Europe/Paris"\n' + text)
    assert load_instrument(str(path)).time_zone == "Europe/Paris"


def test_the_configuration_is_as_its_page_says(tmp_path, monkeypatch):
    (text,) = examples("formats/configuration.md", "toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("XINSITU_INSTRUMENT", raising=False)
    (tmp_path / "xinsitu").mkdir()
    (tmp_path / "xinsitu" / "config.toml").write_text(text)
    assert recognition.named_instrument().table.name == "spring8-bl11xu"


def rows_of_other_programs():
    """Rows of the tables that compare: feature, best elsewhere, here, shown by."""
    page = (DOCS / "reference/peers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \| (.*?) ?\|$", page, re.MULTILINE)
    return [row for row in rows if row[0] != "feature" and not row[0].startswith("-")]


def test_the_tables_of_other_programs_have_all_rows():
    features = [feature for feature, *_ in rows_of_other_programs()]
    assert len(set(features)) == len(features) == 59 + 16  # those of the survey, and what lies beyond it


@pytest.mark.parametrize(("feature", "here", "shown"), [(row[0], *row[2:]) for row in rows_of_other_programs()])
def test_what_a_row_beside_other_programs_names_is_there(feature, here, shown):
    """Functions with the keywords that stand there, commands with their options, what is a part of them, pages."""
    assert here.startswith(("yes", "partly", "no")), feature
    assert bool(shown) == (not here.startswith("no"))
    words, pages = re.findall(r"`([^`]+)`", shown), re.findall(r"\]\((\S+\.md)\)", shown)
    assert words or not shown
    for page in pages:
        assert (DOCS / "reference" / page).is_file()
    functions = [word for word in words if word.startswith("xi.")]
    for word in functions:
        name, keywords = re.fullmatch(r"xi\.(\w+)(?:\((.*)\))?", word).groups()
        assert name in xi.__all__
        for keyword in re.findall(r"(\w+)=", keywords or ""):
            assert keyword in inspect.signature(getattr(xi, name)).parameters
    for word in words:
        if word.startswith("xinsitu "):
            command, *options = word.split()[1:]
            told = vars(command_lines()[command])["_option_string_actions"]
            assert set(options) <= set(told)
        elif word.startswith("scan.insitu."):
            assert callable(getattr(xr.Dataset().insitu, word.removeprefix("scan.insitu.")))
        elif word not in functions:  # a part of the functions behind it
            owners = [getattr(xi, function.removeprefix("xi.")) for function in functions]
            parts = [f"{inspect.signature(owner)}{owner.__doc__}" for owner in owners]
            assert any(re.search(rf"\b{word}\b", part) for part in parts), word


def test_links_between_pages_lead_somewhere():
    """Links to pages, and to their headings."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]*\.md)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


def load(name: str):
    """Import a script of the documentation."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# -- tables of what was measured --------------------------------------------------------------------------------------

TABLE = """# Page

| what | bar | figure | measured | command |
|---|---|---|---|---|
| three lines | none | old | – | `python -c "print('a', 1); print('b', chr(124), 'c'); print()"` |
| fails | none | old | – | `WORD=five python -c "import os, sys; print(os.environ['WORD']); sys.exit(3)"` (a note) |
| threefold | none | old | – | `python -c "print(4)"` |

Made by `python -c "print(0); print('| a | b |'); print('|---|---|'); print('| 1 | 2 |'); print('| 3 | 4 |')"` (once):

| a | b |
|---|---|
| 0 | 0 |

| other | command |
|---|---|
| x | `rm -rf /` |
"""


def test_rows_are_remade_by_their_commands(tmp_path, capsys):
    module, page = load("remeasure"), tmp_path / "page.md"
    page.write_text(TABLE)
    assert module.main([str(page), "three", "fails", "print(0)"]) == 1
    done = {row.name: row.cells for row in module.rows(page.read_text())}
    assert list(done) == ["three lines", "fails", "threefold"]
    assert done["three lines"]["figure"] == "a 1; b / c"
    assert done["fails"]["figure"] == "FAILED (3): five"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d, \d+ cores, .*, \d+ s", done["fails"]["measured"])
    assert (done["threefold"]["figure"], done["threefold"]["measured"]) == ("old", "–")  # no word of it was named
    assert page.read_text().splitlines()[-3:] == TABLE.splitlines()[-3:]
    (whole,) = module.tables(page.read_text())
    assert whole.lines[1:] == ["", "| a | b |", "|---|---|", "| 1 | 2 |", "| 3 | 4 |"]
    assert re.search(r"\(\d{4}-\d\d-\d\d, .* s\):$", whole.lines[0])
    capsys.readouterr()
    assert module.main([str(page)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    with pytest.raises(SystemExit):
        module.main([str(page), "nothing of this name"])


def test_each_table_has_commands_that_there_are():
    module = load("remeasure")
    texts = {page.name: page.read_text(encoding="utf-8") for page in module.PAGES}
    commands = {name: [(row.name, row.commands) for row in module.rows(text)] for name, text in texts.items()}
    assert {name: len(found) > 8 for name, found in commands.items()} == {
        "performance.md": True, "reliability.md": True, "README.md": False
    }  # fmt: skip
    whole = {name: [table.name for table in module.tables(text)] for name, text in texts.items()}
    assert whole["README.md"] == whole["performance.md"] == ["python benchmarks/compare.py --frames 2000 --table"]
    for name, found in [*itertools.chain(*commands.values()), ("Made by", whole["README.md"])]:
        assert found, name
        for word in " ".join(found).split():
            if re.fullmatch(r"(tests|benchmarks|docs|\.ci)/[\w./]+", word):
                assert (DOCS.parent / word).exists(), word


# -- formulas ---------------------------------------------------------------------------------------------------------

MATH = re.compile(
    r"^```\{math\}\n(.*?)^```|\$\$(.+?)\$\$|(?<![\\$\w])\$([^$\n]+?)\$(?![\w$])", re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_formulas_of_a_page_can_be_drawn(page):
    """Matplotlib draws them, which knows a part of LaTeX; a build would stop at the first one that it does not know."""
    from matplotlib.mathtext import MathTextParser

    text = re.sub(
        r"^```(?!\{math\}).*?^```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    parser = MathTextParser("path")
    for found in MATH.finditer(text):
        formula = next(group for group in found.groups() if group)
        for part in formula.split(r"\\"):
            if part.strip():
                parser.parse(f"${' '.join(part.split())}$")
