"""What each warning means and what to do about it, by name: a page of the documentation that the package carries."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import NamedTuple

_ENTRY = re.compile(
    r"^### (?P<name>[\w-]+)\n\n\*(?P<words>[^\n]+)\*\n\n(?P<text>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


class Explanation(NamedTuple):
    """A warning: words of it that do not change, and what it means."""

    words: tuple[str, ...]
    text: str


@functools.cache
def explanations() -> dict[str, Explanation]:
    """Every warning by its name, in the order of the page.

    Examples
    --------
    >>> explanations()["utc-already"].words
    ('its times are UTC already',)
    """
    page = resources.files("xinsitu").joinpath("explanations.md").read_text(encoding="utf-8")
    return {
        entry["name"]: Explanation(
            tuple(part.strip() for part in entry["words"].split("…")), _LINK.sub(r"\1", entry["text"]).strip()
        )
        for entry in _ENTRY.finditer(page)
    }


def name_of(warning: str) -> str | None:
    """Return the name of what a warning says, by its words that do not change: of several, that with most of them.

    Examples
    --------
    >>> name_of("time1.nc: its times are UTC already, from a clock in Asia/Tokyo; tz='UTC' is not used")
    'utc-already'
    """
    fitting = [name for name, one in explanations().items() if all(part in warning for part in one.words)]
    return max(fitting, key=lambda name: len("".join(explanations()[name].words)), default=None)
