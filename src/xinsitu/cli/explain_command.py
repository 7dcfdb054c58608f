"""``explain``: what a warning means and what to do about it."""

from __future__ import annotations

import argparse

from xinsitu.errors import XinsituError
from xinsitu.explanations import explanations, name_of

from .console import say, say_block


def explain(words: argparse.Namespace) -> int:
    """Print the entry of a warning, by its name or its text; without one, all names."""
    known = explanations()
    if not words.warning:
        say_block("\n".join(known))
        return 0
    asked = " ".join(words.warning)
    name = asked if asked in known else name_of(asked)
    if name is None:
        raise XinsituError(f"no warning has the name or the words {asked!r}; xinsitu explain lists the names")
    say(f"{name}: {' … '.join(known[name].words)}")
    say()
    say_block(known[name].text)
    return 0
