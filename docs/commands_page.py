"""The page of the commands, made from the parser that the commands use."""

from __future__ import annotations

import argparse
import re

import xinsitu
from xinsitu import cli
from xinsitu.cli.arguments import parser

HEAD = """# Commands

Exit code 0: done; 1: refused or failed, with one sentence on stderr that names the file; 2: wrong words. Nothing is
overwritten without `--force`, and nothing is ever written beside the frames. `xinsitu --verbose COMMAND` tells what is
done on the way (Python's `logging`, under the name `xinsitu`), `xinsitu --debug COMMAND` the traceback of an error.
"""


def page() -> str:
    """Return the page in Markdown: of each command what it does, its arguments by topics, its examples."""
    top = parser(xinsitu.__version__, cli._COMMANDS)
    made = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return "\n".join([HEAD, *(_command(name, one) for name, one in made.choices.items())])


def _command(name: str, one: argparse.ArgumentParser) -> str:
    examples = (one.epilog or "").removeprefix("examples:\n")
    lines = [f"## `xinsitu {name}`", "", one.description or "", "", "```shell", _dedented(examples), "```", ""]
    for group in one._action_groups:
        rows = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if not rows:
            continue
        title = {"options": "more", "positional arguments": "what to read"}.get(group.title or "", group.title)
        lines += [f"| {str(title).capitalize()} | |", "|---|---|"]
        lines += [f"| `{_cell(_written(action))}` | {_cell(_help(one, action))} |" for action in rows]
        lines += [""]
    return "\n".join(lines)


def _written(action: argparse.Action) -> str:
    shown = action.metavar or (f"{{{', '.join(map(str, action.choices))}}}" if action.choices else None)
    value = "" if action.nargs == 0 else f" {shown or action.dest.upper()}"
    return f"{', '.join(action.option_strings)}{value}" if action.option_strings else str(shown or action.dest)


def _help(one: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = one._get_formatter()._expand_help(action) if action.help else ""
    return re.sub(r"(?<!\S)(--[a-z][\w-]*)", r"`\1`", text.replace("*", r"\*").replace("<", r"\<"))


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _dedented(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
