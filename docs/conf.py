"""Sphinx settings; figures, tables, commands and the list of public names are made anew by every build."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import xinsitu

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
GENERATED = DOCS / "_generated"
sys.path.insert(0, str(DOCS))

project = "xinsitu"
author = "The xinsitu developers"
project_copyright = "The xinsitu developers"
version = release = xinsitu.__version__
extensions = [
    "myst_nb",
    "mathtext",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "_generated/*.table.md", "_generated/notebooks"]
suppress_warnings = ["config.cache", "myst-nb.lexer"]  # the kernel names the language, where it is run

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = os.environ.get("XINSITU_NOTEBOOKS", "force")  # off: pages without their pictures, quickly
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
nb_merge_streams = True

html_math_renderer = "mathtext"
html_theme = "pydata_sphinx_theme"
html_title = "xinsitu"
html_static_path = ["_static"]
html_css_files = ["xinsitu.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "xinsitu"},
    "navbar_persistent": ["search-button-field"],
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 7,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "back_to_top_button": False,
    "pygments_light_style": "a11y-light",
    "pygments_dark_style": "a11y-dark",
}
html_sidebars = {"index": [], "start": [], "gallery": []}  # pages with none below them

napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = False  # signatures that are made by programs have no source to read defaults from
autosummary_generate = True
autosummary_ignore_module_all = False
# names that differ in their case alone would be one file on some discs
autosummary_filename_map = {
    f"xinsitu.{name}": f"xinsitu.{name}-class" for name in ("Background", "Correction", "Track")
}

# other projects' pages are linked where the network can be asked for what they hold, and never missed elsewhere
_ONLINE = any(os.environ.get(name) for name in ("READTHEDOCS", "XINSITU_DOCS_ONLINE"))
intersphinx_mapping = {
    name: (f"https://{address}/", None)
    for name, address in {
        "python": "docs.python.org/3",
        "numpy": "numpy.org/doc/stable",
        "xarray": "docs.xarray.dev/en/stable",
        "pandas": "pandas.pydata.org/docs",
    }.items()
    if _ONLINE
}

GROUPS = {
    "io": "Reading and writing",
    "corrections": "Correcting frames",
    "reduction": "Measuring regions",
    "live": "While frames come",
    "peaks": "Peaks and fits",
    "attenuation": "Attenuation",
    "samples": "Samples",
    "values": "What people write down",
    "plots": "Pictures",
    "simulate": "Simulation",
    "errors": "Errors and warnings",
}
_ROOM = {"physics.moments": "samples", "schema": "io"}
"""Homes of public names that are no group of their own."""


def public_names() -> dict[str, list[str]]:
    """Public names by the topic that they belong to."""
    stub = (Path(xinsitu.__file__).parent / "__init__.pyi").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for module, name in re.findall(r"^from \.([\w.]+) import (\w+) as \2$", stub, re.MULTILINE):
        room = _ROOM.get(module, module.removeprefix("physics.").partition(".")[0])
        found.setdefault(room, []).append(name)
    return found


def api_page() -> str:
    """Return the page that lists every public name by topics, each with a page of its own, in reStructuredText."""
    lines = [*_title("Public names", "="), "Everything here is ``xinsitu.NAME``; each is loaded on first use.", ""]
    found = public_names()
    for part in (*GROUPS, *sorted(set(found) - set(GROUPS))):
        lines += _title(GROUPS.get(part, part), "-")
        lines += [".. autosummary::", "   :toctree: api", "   :nosignatures:", ""]
        lines += [f"   xinsitu.{name}" for name in sorted(found.get(part, []))] + [""]
    return "\n".join(lines)


def _title(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def write(path: Path, text: str) -> None:
    """Write only what changed, so that a second build has nothing to do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def own_footnotes(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Give the references of each docstring names of their own, as those of a class and its methods share a page.

    A name that begins with an initial is no list of letters, which reStructuredText takes it for.
    """
    label = re.sub(r"\W+", "-", name)
    lines[:] = [re.sub(r"^(\s*\.\. \[\d+\] )(?=[A-Z]\. )", r"\1\\", line) for line in lines]
    lines[:] = [re.sub(r"\[(\d+)\](?=_\b|_$|_\W)", rf"[#{label}-\1]", line) for line in lines]
    lines[:] = [re.sub(r"^(\s*\.\. )\[(\d+)\]", rf"\1[#{label}-\2]", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Make what is made by programs."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # for !xinsitu
    # notebooks run as IPython is shipped, whoever builds, on sockets of this machine alone, which is nothing to warn of
    write(GENERATED / "ipython/profile_default/ipython_kernel_config.py", "c.IPKernelApp.log_level = 40\n")
    os.environ["IPYTHONDIR"] = str(GENERATED / "ipython")
    app.connect("autodoc-process-docstring", own_footnotes)
    import commands_page
    import make_figures
    import notebooks

    write(GENERATED / "api.rst", api_page())
    write(GENERATED / "commands.md", commands_page.page())
    for pages in (DOCS, DOCS / "tutorials"):
        notebooks.main(pages, GENERATED / "notebooks")
    if not all((GENERATED / name).is_file() for name in make_figures.OUTPUTS):
        make_figures.main(GENERATED)
