"""Each command that anything of ours shows is one, with options that it has; complete lines are read as they stand."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import xinsitu as xi
from xinsitu import cli
from xinsitu.cli.arguments import parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "src/xinsitu/explanations.md")
    if not any(part.startswith("_") for part in path.relative_to(ROOT).parts)
)
FENCE = re.compile(r"^```(\{code-cell\} )?(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
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
