"""Sphinx settings; figures, tables and the list of public names are made anew by every build."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import xinsitu

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

project = "xinsitu"
author = "The xinsitu developers"
project_copyright = "The xinsitu developers"
version = release = xinsitu.__version__
extensions = ["myst_parser", "mathtext", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_generated/*.table.md", ".gitignore"]
html_math_renderer = "mathtext"
html_theme = "alabaster"
html_theme_options = {
    "description": "Area-detector frames from in situ X-ray experiments, turned into physics",
    "page_width": "1240px",
    "body_max_width": "none",
    "fixed_sidebar": True,
}
html_show_sourcelink = False
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
suppress_warnings = ["config.cache"]

GROUPS = {
    "io": "Reading and writing",
    "physics": "Physics",
    "values": "Values",
    "plots": "Pictures",
    "simulate": "Simulation",
    "errors": "Errors",
}


def public_names() -> dict[str, list[str]]:
    """Public names by the part of the package that they live in."""
    stub = (Path(xinsitu.__file__).parent / "__init__.pyi").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for module, name in re.findall(r"^from \.([\w.]+) import (\w+) as \2$", stub, re.MULTILINE):
        found.setdefault(module.partition(".")[0], []).append(name)
    return found


def api_page() -> str:
    """Return the page that documents every public name, in reStructuredText as the docstrings are."""
    lines = [*_title("Public names", "="), "Everything here is ``xinsitu.NAME``; each is loaded on first use.", ""]
    found = public_names()
    for part in (*GROUPS, *sorted(set(found) - set(GROUPS))):
        lines += _title(GROUPS.get(part, part), "-")
        for name in sorted(found.get(part, [])):
            kind = "autofunction" if not name[0].isupper() else "autoexception" if part == "errors" else "autoclass"
            lines += [f".. {kind}:: xinsitu.{name}", *(["   :members:"] if kind == "autoclass" else []), ""]
    return "\n".join(lines)


def _title(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def _write(path: Path, text: str) -> None:
    """Write only what changed, so that a second build has nothing to do."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def own_footnotes(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Give the references of each docstring names of their own, as all docstrings stand on one page."""
    label = re.sub(r"\W+", "-", name)
    lines[:] = [re.sub(r"\[(\d+)\](?=_\b|_$|_\W)", rf"[#{label}-\1]", line) for line in lines]
    lines[:] = [re.sub(r"^(\s*\.\. )\[(\d+)\]", rf"\1[#{label}-\2]", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Make what is made by programs."""
    app.connect("autodoc-process-docstring", own_footnotes)
    import make_figures

    generated = DOCS / "_generated"
    generated.mkdir(exist_ok=True)
    _write(generated / "api.rst", api_page())
    if not all((generated / name).is_file() for name in make_figures.OUTPUTS):
        make_figures.main(generated)
