"""Each command that anything of ours shows is one, with options that it has; complete lines are read, and run."""

from __future__ import annotations

import argparse
import pickle
import re
import shlex
import shutil
import subprocess
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import xinsitu as xi
from xinsitu import cli
from xinsitu.app import serve
from xinsitu.cli import main
from xinsitu.cli.arguments import parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "src/xinsitu/explanations.md")
    if not any(part.startswith("_") for part in path.relative_to(ROOT).parts)
)
FENCE = re.compile(r"^```(\{code-cell\} )?([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
END = {"|", ">", "&&", ";", "&"}


@pytest.fixture(scope="module")
def commands() -> dict[str, argparse.ArgumentParser]:
    top = parser("0", cli._COMMANDS)
    (made,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return dict(made.choices)


def words_of(line: str) -> list[str]:
    """Words of one command: up to a pipe, without comment, prompt and the folder of the program."""
    words = shlex.split(re.sub(r"^(\$ |!|\.venv/bin/)", "", line.strip()), comments=True)
    end = next((number for number, word in enumerate(words) if word in END), len(words))
    return words[1:end]


def lines_of(text: str) -> Iterator[str]:
    """Complete commands of the blocks that are meant to be typed."""
    for _, kind, block in FENCE.findall(text):
        if kind in ("shell", "sh", "bash", "console", "python", "ipython"):
            for line in block.replace("\\\n", " ").splitlines():
                if re.match(r"(\$ |!|\.venv/bin/)?xinsitu ", line.strip()):
                    yield line


def spans_of(text: str) -> Iterator[str]:
    """Commands in sentences: the name and the options that matter there."""
    yield from re.findall(r"`xinsitu ([^`]+)`", re.sub(FENCE, "", text))


def read(line: str) -> None:
    """Read a line with the parser of the program, which ends where a word is wrong."""
    try:
        parser("0", cli._COMMANDS).parse_args(cli._signed(words_of(line)))
    except SystemExit as fault:
        raise AssertionError(line) from fault


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_lines_of_a_page_are_commands(page, commands):
    text = page.read_text(encoding="utf-8")
    for line in lines_of(text):
        read(line)
    for span in spans_of(text):
        name, *rest = span.replace("--verbose ", "").replace("--debug ", "").split()
        if name.startswith(("-", "COMMAND")):
            continue
        assert name in commands, span
        options = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert options <= set(commands[name]._option_string_actions), span


def test_examples_of_the_help_are_commands(commands):
    found = 0
    for name, one in commands.items():
        for line in re.findall(r"^ +(xinsitu .*)$", (one.epilog or "").replace("\\\n", " "), re.MULTILINE):
            read(line)
            found += 1
            assert f"xinsitu {name}" in one.epilog
    assert found >= len(commands)


def test_sources_name_commands_that_there_are(commands):
    """Error messages and docstrings say what to type next."""
    found = 0
    for path in Path(xi.__file__).parent.rglob("*.py"):
        for name, rest in re.findall(r"['`]xinsitu ([a-z][\w-]*)([^'`\n]*)['`]", path.read_text(encoding="utf-8")):
            found += 1
            assert name in commands, f"{path}: {name}"
            options = set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest))
            assert options <= set(commands[name]._option_string_actions), f"{path}: {name}{rest}"
    assert found > 10


def test_the_readme_lists_every_command(commands):
    block = (ROOT / "README.md").read_text(encoding="utf-8").split("## Commands\n")[1].split("```")[1]
    assert set(re.findall(r"^xinsitu ([\w-]+)", block, re.MULTILINE)) == set(commands)


def test_wrong_lines_are_noticed():
    """These tests can fail."""
    for line in ("xinsitu mesure 0884 --rois rois.json", "$ xinsitu measure 0884 --no-such-option", "!xinsitu plot"):
        with pytest.raises(AssertionError):
            read(line)
    assert list(lines_of("```sh\nxinsitu info a  # what\n```\n")) == ["xinsitu info a  # what"]
    assert words_of("$ xinsitu watch a --rois r.json | jq .rois") == ["watch", "a", "--rois", "r.json"]


# -- all of them run --------------------------------------------------------------------------------------------------

HERE = {
    "/data/": "", "/tmp/": "", "time2:71": "time2:11", "time2:30-33": "time2:8-9", "--until-idle 60": "--until-idle 1",
    "--workers 8": "--workers 1", "--port 5006": "--port 0",
}  # fmt: skip
"""What a line asks for that is not here, in a sample of 20 frames, and what takes its place."""
WALKED = ("start.md",)
"""Pages that tests/stories/test_ten_minutes.py goes through, line by line."""
PONI = """Detector_config: {"pixel1": 0.000172, "pixel2": 0.000172}
Distance: 0.1
Poni1: 0.034
Poni2: 0.002
Wavelength: 1e-10
"""
RECIPE = 'format = "xinsitu-recipe"\nversion = 1\nsample = "../0884"\nrois = "../rois.json"\n'


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> tuple[Path, Path]:
    """A folder with all that the pages name, and one of the results that they do."""
    folder, kept = tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("kept")
    xi.simulate_sample(folder, frames=20)
    xi.simulate_sample(folder / "beamtime", measurements=1, frames=20)
    for name in ("dark1", "empty1"):
        shutil.copytree(folder / "flatfield1", folder / name)
    for name in ("beamtime/one", ".config", ".zfunc", ".local/share/bash-completion/completions"):
        (folder / name).mkdir(parents=True)
    (folder / "beamtime/one/recipe.toml").write_text(RECIPE)
    (folder / "recipe.toml").write_text(RECIPE.replace("../", ""))
    (folder / "waxs.poni").write_text(PONI)
    (folder / "results.p").write_bytes(pickle.dumps({"WZ": np.arange(3.0)}, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["measure", "0884", "--rois", "rois.json", "-o", "results/"]) == 0
        for path in sorted(Path("results").iterdir()):
            for name in (path.name, path.name.removeprefix("0884_")):
                shutil.copy(path, kept / name)
        for name in ("0884.nc", "0885.nc"):
            words = ["results/", "--changes", "changes.json", "--events", "events.json", "-o", str(kept / name)]
            assert main(["stitch", *words]) == 0
    return folder, kept


@pytest.fixture
def at_the_desk(desk, monkeypatch) -> tuple[Path, Path]:
    """Nobody is there to look at a browser, or to end the explorer."""
    folder, kept = desk
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    monkeypatch.setattr(serve, "stay", lambda explorer, **_: explorer.stop())
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    return folder, kept


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    from distributed import LocalCluster

    kept = {"n_workers": 1, "processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": ":0"}
    with LocalCluster(**kept) as cluster:
        yield cluster.scheduler_address


def typed(block: str, folder: Path) -> list[list[str]]:
    """Commands of a block in the words that a shell makes of them; it finds no other program that the block names."""
    record = folder / "typed"
    record.write_text("")
    shell = 'xinsitu() { printf "%s\\0" "$@" "" >>"$TYPED"; }\n' + block
    where = {"PATH": "/nowhere", "HOME": str(folder), "TYPED": str(record), "SLURM_ARRAY_TASK_ID": "0"}
    subprocess.run(["/bin/bash", "-c", shell], cwd=folder, env=where, capture_output=True, check=False)
    return [words.split("\0") for words in record.read_text().split("\0\0") if words]


def blocks_of(page: Path, *folders: Path) -> Iterator[str]:
    """What a page tells to type: blocks, and sentences with a command that names something that is there."""
    text = page.read_text(encoding="utf-8")
    yield from (block for _, kind, block in FENCE.findall(text) if kind in ("shell", "sh", "bash"))
    for span in spans_of(text):
        if any((folder / word).exists() for folder in folders for word in span.split()[1:]):
            yield f"xinsitu {span}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
def test_every_line_runs(at_the_desk, commands, scheduler, capsys):
    """Lines of the pages and of the help, each once; each block finds the results as they were."""
    folder, kept = at_the_desk
    here = HERE | {"tcp://login1:8786": scheduler, "tcp://scheduler:8786": scheduler}
    blocks = [block for page in PAGES if page.name not in WALKED for block in blocks_of(page, *at_the_desk)]
    blocks += [(one.epilog or "").removeprefix("examples:\n") for one in commands.values()]
    done: set[tuple[str, ...]] = set()
    for block in blocks:
        for asked, there in here.items():
            block = block.replace(asked, there)
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        for name, *words in typed(block, folder):
            options = commands[name]._option_string_actions
            words += ["--force"] * ("--force" in options and "--force" not in words)
            words += ["--until-idle", "1"] * (name == "watch" and "--until-idle" not in words)
            if name != "demo" and (name, *words) not in done:  # README's first line, which .ci/run runs
                assert main([name, *words]) == 0, f"{shlex.join([name, *words])}\n{capsys.readouterr().err}"
            done.add((name, *words))
    assert {name for name, *_ in done} == set(commands)
    assert len(done) > 50


CI = {
    "python3 -m venv": ".venv/bin/pip install", "pip install": ".venv/bin/pip install", "xinsitu demo": "README.md",
    "pytest": ".venv/bin/pytest", "ruff check": ".venv/bin/ruff check", "ruff format": ".venv/bin/ruff format --check",
    "mypy": ".venv/bin/mypy", "sphinx-build": ".venv/bin/sphinx-build -W",
}  # fmt: skip
"""What pages tell to type that .ci/run runs, and where it stands there."""
BY_HAND = {
    "python -m tests.fuzz.fuzz log": "needs atheris; its parsers are fed in tests/io/formats/test_hostile.py",
    "XINSITU_READ_ONLY=1 unshare": "needs a namespace of its own; the tests themselves are those of .ci/run",
    "pre-commit install": "for who uses it; ruff is what it runs",
    "source .venv/bin/activate": "a shell's own word",
    "unzip 0884_recipe.zip": "tests/stories/test_first_screen.py unpacks it in Python and runs it",
    "recipes=(": "a list of the shell's; the line behind it runs here",
}
"""What is left to people, and why."""


def test_what_is_not_run_here_is_run_elsewhere():
    """Each line of a shell that is none of ours is in the list, and each entry of the list on a page."""
    found = set()
    for page in PAGES:
        for _, kind, block in FENCE.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines() if kind in ("shell", "sh", "bash") else ():
                for part in re.split(r" && ", line.partition(" #")[0].strip()):
                    command = part.replace(".venv/bin/", "") if not part.startswith("source") else part
                    if command.startswith("xinsitu demo") or not re.match(r"#|xinsitu |$", command):
                        found |= {command}
    listed = {command: next((one for one in CI | BY_HAND if command.startswith(one)), None) for command in found}
    assert None not in listed.values(), listed
    assert set(listed.values()) == set(CI | BY_HAND)
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert not [words for words in CI.values() if words not in script]


PYTHON = [page for page in (ROOT / "docs/howto").glob("*.md") if "\n```python\n" in page.read_text(encoding="utf-8")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.stem)
def test_python_of_a_page_runs(page, at_the_desk, scheduler):
    """Blocks that go on with what the page, or the one before it, has opened."""
    names: dict[str, object] = {
        "xi": xi, "scan": xi.open_measurement("0884/time1"), "rois": xi.read_rois("rois.json"),
        "correction": xi.Correction(), "joined": xi.read_results("0884.nc"), "geometry": xi.read_geometry("waxs.poni"),
        "roi": xi.read_rois("rois.json")["CTR"], "input": lambda asked: "",
    }  # fmt: skip
    try:
        for _, kind, block in FENCE.findall(page.read_text(encoding="utf-8")):
            if kind == "python":
                exec(compile(block.replace("tcp://scheduler:8786", scheduler), str(page), "exec"), names)
    finally:
        for name, end in (("handle", "stop"), ("client", "close"), ("cluster", "close")):
            if name in names:
                getattr(names[name], end)()
