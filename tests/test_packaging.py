"""What is said of the project in several files is the same in all of them."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
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


def test_the_conda_recipe_is_one(monkeypatch):
    """The program that builds it reads and renders it; .ci/conda.py builds it."""
    rattler_build = pytest.importorskip("rattler_build")
    monkeypatch.setenv("XINSITU_VERSION", xinsitu.__version__)
    recipe = rattler_build.Stage0Recipe.from_file(ROOT / "conda/recipe.yaml")
    (rendered,) = recipe.render(rattler_build.VariantConfig.from_yaml("c_compiler: [gcc]"))
    package = rendered.recipe.package
    assert (str(package.name), str(package.version)) == ("xinsitu", xinsitu.__version__)
    assert {"numpy >=2.2", "h5py"} <= {str(one) for one in rendered.recipe.requirements.run}


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


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("xinsitu mea", "xinsitu measure "),
        ("xinsitu plot --style sl", "xinsitu plot --style slide "),
        ("xinsitu plot --qu", "xinsitu plot --quantity "),
        ("xinsitu measure --rois ro", "xinsitu measure --rois rois.json "),
        ("xinsitu plot re", "xinsitu plot results.nc "),
    ],
)
def test_bash_completes_what_is_typed(line, completed, capsys, tmp_path):
    """At a terminal: commands, options, their choices, and names of files, which are what is typed most."""
    pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    for name in ("rois.json", "results.nc"):
        (tmp_path / name).touch()
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {**os.environ, "TERM": "dumb", "PS1": "> "})
    try:
        os.write(terminal, b"source ./script; echo rea''dy\n")
        assert "ready" in shown(terminal, "ready\r\n")
        os.write(terminal, f"{line}\t".encode())
        assert completed in shown(terminal, completed)
    finally:
        os.kill(process, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(process, 0)


def shown(terminal: int, wanted: str, seconds: float = 20) -> str:
    """Return what a terminal shows until the words are there, or for some time."""
    text, end = "", time.monotonic() + seconds
    while wanted not in text and time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
    return text


def test_zsh_is_told_where_files_are_wanted(capsys):
    pytest.importorskip("shtab")
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    assert re.search(r'"--rois\[.*\]:\S+:_files"', script)
    assert re.search(r'"--style\[.*\]:style:\(paper slide\)"', script)


def test_without_shtab_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "zsh"]) == 1
    assert "pip install 'xinsitu[completion]'" in capsys.readouterr().err
