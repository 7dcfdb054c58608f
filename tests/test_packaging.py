"""What is said of the project in several files is the same in all of them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import xinsitu
from xinsitu.cli import main

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = {"opencv-python-headless": "py-opencv", "matplotlib": "matplotlib-base", "tzdata": "python-tzdata"}
"""Names of packages that conda-forge calls otherwise."""


def test_the_version_stands_in_one_place():
    assert metadata.version("xinsitu") == xinsitu.__version__
    assert "version" not in PROJECT
    written = re.compile(rf"\b{re.escape(xinsitu.__version__)}(?![.\d])")
    for name in ("pyproject.toml", "CITATION.cff", "conda/recipe.yaml", ".github/workflows/publish.yml"):
        assert not written.search((ROOT / name).read_text()), name


def test_conda_asks_for_what_pip_asks_for():
    wanted = set()
    for one in PROJECT["dependencies"]:
        name, version = re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)", one).groups()
        wanted.add((CONDA.get(name, name), version))
    recipe = (ROOT / "conda/recipe.yaml").read_text().split("  run:\n")[1].split("\ntests:")[0]
    held = set(re.findall(r"^    - ([\w.-]+) >=([\d.]+)$", recipe, re.MULTILINE))
    assert held - {("python", "3.11")} == wanted
    assert ">=3.11" in PROJECT["requires-python"]


def test_the_licence_is_said_alike():
    assert PROJECT["license"] == "BSD-3-Clause"
    for name in ("CITATION.cff", "conda/recipe.yaml"):
        assert "license: BSD-3-Clause" in (ROOT / name).read_text()


def test_a_shell_completes_every_command(capsys):
    pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    for word in ("measure", "report", "--flatfield", "--quantity"):
        assert word in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_without_shtab_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "zsh"]) == 1
    assert "pip install 'xinsitu[completion]'" in capsys.readouterr().err
