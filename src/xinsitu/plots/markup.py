"""Text from files on its way into HTML and SVG: it is shown as it stands, and nothing in it does anything."""

from __future__ import annotations

import re

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, marks that turn the direction of writing, and what XML has no place for."""
_MARKUP = re.compile(r"[&<>\"'`@${}]")
"""What begins something in HTML, in Bokeh's tooltips (``@column``, ``$name``) or in HoloViews' titles (``{}``)."""


def visible(text: str) -> str:
    r"""Return a text without the characters that nobody sees, but that change how the rest is shown.

    Examples
    --------
    >>> visible("0884\u202efit\x1b[31m\n")
    '0884fit[31m'
    """
    return _UNSEEN.sub("", text)


def as_html(text: str) -> str:
    """Return a text as HTML that shows it: the one way in which text of files, folders and people gets into a page.

    Examples
    --------
    >>> as_html("<b>WZ</b> & @x {0}")
    '&#60;b&#62;WZ&#60;/b&#62; &#38; &#64;x &#123;0&#125;'
    """
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", visible(text))
