"""Make rows of the tables of docs/performance.md and docs/reliability.md anew: each has the command behind it.

    python docs/remeasure.py                                  # lists the rows
    python docs/remeasure.py docs/performance.md opening      # runs those with this word in their first cell
    python docs/remeasure.py docs/reliability.md --all        # hours

A row is remade where its table has the columns ``figure``, ``measured`` and ``command``: what stands in backticks in
the last one is run in the root of the project, the last lines that it prints become the figure, and date and machine
are written beside it. A command that fails is written as such, with its last line.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "docs/performance.md", ROOT / "docs/reliability.md")
LAST, LONGEST = 4, 300
"""Lines of what a command prints that are kept, and letters of all of them."""


@dataclass(frozen=True)
class Row:
    """A line of a page that is a row of such a table: its cells by the names of their columns."""

    line: int
    cells: dict[str, str]

    @property
    def name(self) -> str:
        return next(iter(self.cells.values()))

    @property
    def commands(self) -> list[str]:
        return re.findall(r"`([^`]+)`", self.cells["command"])

    def __str__(self) -> str:
        return f"| {' | '.join(self.cells.values())} |"


def rows(text: str) -> Iterator[Row]:
    """Rows of the tables that have a figure, a date and a command."""
    header: list[str] = []
    for number, line in enumerate(text.splitlines()):
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif {"figure", "measured", "command"} <= set(header) and not set(line) <= set("|-: "):
            yield Row(number, dict(zip(header, cells, strict=True)))


def machine() -> str:
    """Date and machine, as they stand in the table."""
    busy = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}, load {busy:.1f}), "
        f"Python {platform.python_version()}"
    )


_PROGRAMS = {"python": [], "pytest": ["-m", "pytest", "-q"], "xinsitu": ["-m", "xinsitu"]}
"""What is run by the Python that runs this."""


def run(command: str) -> str:
    """Run a command and return the end of what it prints, with how it failed."""
    words, environment = shlex.split(command), dict(os.environ)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        environment.update([words.pop(0).split("=", 1)])
    tests = "pytest" in words
    if words[0] in _PROGRAMS:
        words[:1] = [sys.executable, *_PROGRAMS[words[0]]]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    printed = [" ".join(line.split()) for line in (done.stdout.strip() or done.stderr).splitlines() if line.strip()]
    said = "; ".join(printed[-1 if tests else -LAST :]).replace("|", "/")[-LONGEST:]
    return said if not done.returncode else f"FAILED ({done.returncode}): {said}"


def remade(row: Row) -> Row:
    """Run what stands behind a row."""
    figure = "; ".join(run(command) for command in row.commands)
    return replace(row, cells=row.cells | {"figure": figure, "measured": machine()})


def remake(page: Path, chosen: list[Row]) -> bool:
    """Remake rows of a page, one after the other: what is done is written. Return whether all commands ended well."""
    well = True
    for row in chosen:
        print(f"{row.name}: {'; '.join(row.commands)}", flush=True)
        new = remade(row)
        lines = page.read_text(encoding="utf-8").splitlines()
        assert lines[row.line] == str(row), f"{page}:{row.line + 1} was edited meanwhile"
        lines[row.line] = str(new)
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"  {new.cells['figure']}", flush=True)
        well &= "FAILED" not in new.cells["figure"]
    return well


def main(arguments: list[str] | None = None) -> int:
    one = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    one.add_argument("page", nargs="?", type=Path, help="page whose rows are remade")
    one.add_argument("words", nargs="*", help="remake rows with one of these words in their first cell")
    one.add_argument("--all", action="store_true", help="remake all rows of the page")
    words = one.parse_args(arguments)
    if words.page is None or not (words.words or words.all):
        for page in PAGES if words.page is None else [words.page]:
            for row in rows(page.read_text(encoding="utf-8")):
                print(f"{page.name}: {row.name}: {row.cells['measured']}: {'; '.join(row.commands)}")
        return 0
    found = list(rows(words.page.read_text(encoding="utf-8")))
    chosen = [row for row in found if words.all or any(word in row.name for word in words.words)]
    if not chosen:
        one.error(f"no row of {words.page} has one of {' '.join(words.words)} in its first cell")
    return 0 if remake(words.page, chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
