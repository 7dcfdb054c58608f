"""The tutorials as notebooks to download: the same cells as on their pages, without results."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(?P<code>.*?)^```\n?", re.MULTILINE | re.DOTALL)
HEAD = re.compile(r"\A---\n.*?^---\n", re.MULTILINE | re.DOTALL)
OPTIONS = re.compile(r"^:[\w-]+:.*\n", re.MULTILINE)
DOWNLOAD = re.compile(r"^\{download\}.*\n", re.MULTILINE)


def cells(text: str) -> list[tuple[str, str]]:
    """Return the cells of a page as pairs of ``markdown`` or ``code`` and text."""
    found: list[tuple[str, str]] = []
    text, end = HEAD.sub("", text), 0
    for match in CELL.finditer(text):
        found += [("markdown", text[end : match.start()]), ("code", OPTIONS.sub("", match["code"]))]
        end = match.end()
    found.append(("markdown", text[end:]))
    tidy = ((kind, (DOWNLOAD.sub("", part) if kind == "markdown" else part).strip()) for kind, part in found)
    return [(kind, part) for kind, part in tidy if part]


def notebook(text: str) -> str:
    """Return a page as a notebook; the same page gives the same bytes."""
    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    made = [make[kind](part, id=f"cell-{number}") for number, (kind, part) in enumerate(cells(text))]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.writes(nbformat.v4.new_notebook(cells=made, metadata=kernel))


def main(pages: Path, folder: Path) -> None:
    """Write a notebook for each page that has code cells."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in sorted(pages.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if CELL.search(text):
            (folder / f"{page.stem}.ipynb").write_text(notebook(text), encoding="utf-8")
