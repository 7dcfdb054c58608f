"""``completion``: commands and options for the shell to complete."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import xinsitu
from xinsitu.errors import XinsituError


def completion(words: argparse.Namespace) -> int:
    """Print the script of a shell."""
    from . import _COMMANDS
    from .arguments import parser
    from .console import say, say_block

    try:
        import shtab
    except ModuleNotFoundError:
        raise XinsituError("completions are made by shtab: pip install 'xinsitu[completion]'") from None
    top = parser(xinsitu.__version__, _COMMANDS)
    if words.shell == "zsh":
        for action in _of_files(top):
            action.complete = {"zsh": "_files"}  # type: ignore[attr-defined] # shtab looks for it
    say_block(shtab.complete(top, words.shell).expandtabs())
    if words.shell == "bash":  # where no word fits a name of a file does, which shtab's own line leaves out
        say("complete -o bashdefault -o default -F _shtab_xinsitu xinsitu")
    return 0


def _of_files(top: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All words of all commands that may be the name of a file."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _of_files(one)
        elif action.choices is None and action.nargs != 0:
            yield action
