"""The documentation's examples run as they are printed, and its figures can be made."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from xinsitu.cli import main

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.relative_to(DOCS).parts[0].startswith("_"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


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
    listed = re.findall(r"^([\w/]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES} - {"index"}
    assert pages == {name for name in listed if not name.startswith("_")}


def test_every_public_name_is_on_the_reference_page():
    import xinsitu

    settings = load("conf")
    page = settings.api_page()
    missing = [name for name in dir(xinsitu) if name in xinsitu.__all__ and f"xinsitu.{name}\n" not in page]
    assert not missing


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_figures_can_be_made(tmp_path, monkeypatch):
    figures = load("make_figures")
    monkeypatch.setattr(figures, "REPETITIONS", 20)
    figures.main(tmp_path)
    for name in figures.OUTPUTS:
        assert (tmp_path / name).is_file()
    assert (tmp_path / "frame.png").stat().st_size > 20_000


def load(name: str):
    """Import a script of the documentation."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
