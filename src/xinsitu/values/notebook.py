"""Values as notebooks show them: small tables, in which text from files is text and nothing else."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from xinsitu.errors import plain

_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]{3,30}")


def cell(value: object) -> str:
    """Return a value as HTML that shows it; None and nothing are shown as nothing.

    Examples
    --------
    >>> cell("<b>WZ</b>"), cell(None)
    ('&lt;b&gt;WZ&lt;/b&gt;', '')
    """
    return "" if value is None else html.escape(plain(str(value)).replace("\n", " "))


def swatch(colour: str | None) -> str:
    """Return a small square of a colour; nothing for what is none.

    Examples
    --------
    >>> swatch("red;position:fixed"), "background:#ff8800" in swatch("#ff8800")
    ('', True)
    """
    if colour is None or not _COLOUR.fullmatch(colour):
        return ""
    box = "display:inline-block;width:0.8em;height:0.8em;margin-right:0.4em;border:1px solid #888"
    return f'<span style="{box};background:{colour};print-color-adjust:exact"></span>'


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table under a title; the cells are HTML already, from :func:`cell` and :func:`swatch`."""
    style = "style='text-align:left;padding:0.2em 0.6em'"  # not every page leaves space between cells
    head = "".join(f"<th {style}>{cell(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td {style}>{one}</td>' for one in row)}</tr>" for row in rows)
    return (
        f"<div><strong>{cell(title)}</strong><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
