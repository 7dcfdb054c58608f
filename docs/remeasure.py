"""Make the tables of docs/performance.md, docs/reliability.md and README.md anew: each has the command behind it.

    python docs/remeasure.py                                  # lists what there is to make
    python docs/remeasure.py docs/performance.md opening      # runs those with this word in their first cell
    python docs/remeasure.py README.md compare                # a table with this word in its command
    python docs/remeasure.py docs/reliability.md --all        # hours

A row is remade where its table has the columns ``figure``, ``measured`` and ``command``: what stands in backticks in
the last one is run in the root of the project, the last lines that it prints become the figure, and date, machine and
how long it took are written beside it. A command that fails is written as such, with its last line. A table below a
line such as ``Made by `command` (date and machine):`` is remade as a whole: it is the table that the command prints.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "docs/performance.md", ROOT / "docs/reliability.md", ROOT / "README.md")
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

    @property
    def lines(self) -> list[str]:
        return [f"| {' | '.join(self.cells.values())} |"]

    def remade(self) -> Row:
        """Run what stands behind it."""
        begun, done = time.monotonic(), [run(command) for command in self.commands]
        measured = f"{machine()}, {time.monotonic() - begun:.0f} s"
        return replace(self, cells=self.cells | {"figure": "; ".join(map(figure, done)), "measured": measured})

    def __str__(self) -> str:
        return f"{self.name}: {self.cells['measured']}: {'; '.join(self.commands)}"


MADE = re.compile(r"Made by `([^`]+)` \(([^)]*)\):")
"""What stands over a table that is made as a whole."""


@dataclass(frozen=True)
class Table:
    """What a command prints as a table, with the line over it."""

    line: int
    name: str
    lines: list[str]

    def remade(self) -> Table:
        """Run the command; one that fails leaves what it says in place of the table."""
        begun, done = time.monotonic(), run(self.name)
        rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
        made = f"Made by `{self.name}` ({machine()}, {time.monotonic() - begun:.0f} s):"
        return replace(self, lines=[made, "", *(rows or [f"| {figure(done)} |"])])

    def __str__(self) -> str:
        return f"{self.name}: {MADE.match(self.lines[0])[2]}"  # type: ignore[index]


def tables(text: str) -> Iterator[Table]:
    """Tables that are made as a whole."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if made := MADE.match(line):
            end = next((n for n in range(number + 2, len(lines)) if not lines[n].startswith("|")), len(lines))
            yield Table(number, made[1], lines[number:end])


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
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, load {busy:.1f}, "
        f"Python {platform.python_version()}"
    )


_PROGRAMS = {"python": [], "pytest": ["-m", "pytest", "-q"], "xinsitu": ["-m", "xinsitu"]}
"""What is run by the Python that runs this."""


def run(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the root of the project."""
    words, environment = shlex.split(command), dict(os.environ)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        environment.update([words.pop(0).split("=", 1)])
    if words[0] in _PROGRAMS:
        words[:1] = [sys.executable, *_PROGRAMS[words[0]]]
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def figure(done: subprocess.CompletedProcess[str]) -> str:
    """Return the end of what a command printed, with how it failed."""
    printed = [" ".join(line.split()) for line in (done.stdout.strip() or done.stderr).splitlines() if line.strip()]
    said = "; ".join(printed[-1 if "pytest" in done.args else -LAST :]).replace("|", "/")[-LONGEST:]
    return said if not done.returncode else f"FAILED ({done.returncode}): {said}"


def remake(page: Path, chosen: Sequence[Row | Table]) -> bool:
    """Remake parts of a page, from its end: what is done is written. Return whether all commands ended well."""
    well = True
    for part in sorted(chosen, key=lambda part: part.line, reverse=True):
        print(part, flush=True)
        new, lines = part.remade(), page.read_text(encoding="utf-8").splitlines()
        place = slice(part.line, part.line + len(part.lines))
        assert lines[place] == part.lines, f"{page}:{part.line + 1} was edited meanwhile"
        lines[place] = new.lines
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("  " + "\n  ".join(new.lines), flush=True)
        well &= "FAILED" not in "".join(new.lines)
    return well


def main(arguments: list[str] | None = None) -> int:
    one = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    one.add_argument("page", nargs="?", type=Path, help="page whose tables are remade")
    one.add_argument("words", nargs="*", help="remake what has one of these words in its first cell or command")
    one.add_argument("--all", action="store_true", help="remake all of the page")
    words = one.parse_args(arguments)
    found: dict[Path, list[Row | Table]] = {}
    for page in PAGES if words.page is None else [words.page]:
        text = page.read_text(encoding="utf-8")
        found[page] = [*rows(text), *tables(text)]
    if words.page is None or not (words.words or words.all):
        for page, parts in found.items():
            for part in parts:
                print(f"{page.name}: {part}")
        return 0
    named = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)") for word in words.words]  # R1 is not R10
    chosen = [part for part in found[words.page] if words.all or any(word.search(part.name) for word in named)]
    if not chosen:
        one.error(f"nothing in {words.page} has one of {' '.join(words.words)} in its first cell or command")
    return 0 if remake(words.page, chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
