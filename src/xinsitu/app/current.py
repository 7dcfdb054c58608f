"""What Bokeh takes for the current document: never that of a tab that is gone."""

from __future__ import annotations

import weakref
from collections.abc import Collection
from typing import Any


def forget(documents: Collection[Any]) -> None:
    """Let none of these documents of tabs that are gone be the current one, for whoever draws with Bokeh next.

    Bokeh keeps one list of current documents for all threads; a callback that fails, or that the end of the server
    interrupts, leaves its own there for ever. So does one that ends while another thread begins, whose entry it takes:
    the list keeps its length, or the page that is just being made would find it empty. And a page that is made while
    another tab is at work leaves the document of that tab behind as the one for plain drawing, and so all of its views.
    """
    from bokeh.document import Document
    from bokeh.io import doc
    from bokeh.io.state import curstate

    if curstate().document in documents:
        curstate().document = Document()
    every = doc._PATCHED_CURDOCS
    for at, one in enumerate(list(every)):
        document = one()
        gone = document is None or getattr(document, "_doc", document) in documents
        if gone and at < len(every) and every[at] is one:
            every[at] = weakref.ref(curstate().document)
