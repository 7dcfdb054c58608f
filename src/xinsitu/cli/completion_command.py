"""``completion``: commands and options for the shell to complete."""

from __future__ import annotations

import argparse

import xinsitu
from xinsitu.errors import XinsituError


def completion(words: argparse.Namespace) -> int:
    """Print the script of a shell."""
    from . import _COMMANDS
    from .arguments import parser
    from .console import say_block

    try:
        import shtab
    except ModuleNotFoundError:
        raise XinsituError("completions are made by shtab: pip install 'xinsitu[completion]'") from None
    say_block(shtab.complete(parser(xinsitu.__version__, _COMMANDS), words.shell).expandtabs())
    return 0
