"""``instrument``: which beamlines are known, by what they are recognised, and which one is the user's own."""

from __future__ import annotations

import argparse
import os

from xinsitu.io.instruments import ENVIRONMENT, Instrument, Rule, instrument_names, load_instrument, user_folder
from xinsitu.io.recognition import configuration_file, configure_instrument, named_instrument

from .console import say, say_block, table


def instrument(words: argparse.Namespace) -> int:
    """List the instruments, or make one the default."""
    if words.name is not None or words.forget:
        path = configure_instrument(words.name)
        what = "frames are recognised by their tables" if words.forget else f"{words.name} is taken for all frames"
        say(f"{what} from now on ({path})")
        if os.environ.get(ENVIRONMENT):
            say(f"but here {ENVIRONMENT}={os.environ[ENVIRONMENT]} wins")
        return 0
    tables = [load_instrument(name) for name in instrument_names()]
    rows = [(one.name, one.time_zone or "not known", _axes(one), one.title) for one in tables]
    say_block(table(rows, ("instrument", "time zone", "axes y, x", "what it is")))
    say()
    say("recognised by")
    for one in tables:
        for rule in one.recognise:
            say(f"  {one.name}: {_rule(rule)}")
    chosen = named_instrument()
    say()
    if chosen is None:
        say("frames are recognised by these tables; those of nobody known are generic")
    else:
        say(f"{chosen.table.name} is taken for all frames ({chosen.by})")
    say(f"tables of your own: {user_folder()}/NAME.toml; your default: {configuration_file()}")
    return 0


def _axes(one: Instrument) -> str:
    return f"{one.y_name or 'y'}, {one.x_name or 'x'}"


def _rule(rule: Rule) -> str:
    lines = (("S/N", rule.serials), ("", rule.header), ("files", rule.files), ("folders", rule.folders))
    return "; ".join(f"{name} {' or '.join(values)}".strip() for name, values in lines if values)
