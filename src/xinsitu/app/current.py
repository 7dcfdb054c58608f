"""What Bokeh takes for the current document: of no tab that is gone."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def forget(documents: Collection[Any]) -> None:
    """Let none of these documents of a server that has stopped be the current one, for whoever draws with Bokeh next.

    Bokeh keeps one list of current documents for all threads; a callback that fails, or that the end of the server
    interrupts, leaves its own there for ever.
    """
    from bokeh.io import doc

    for one in list(doc._PATCHED_CURDOCS):
        document = one()
        if document is None or getattr(document, "_doc", document) in documents:
            doc._PATCHED_CURDOCS.remove(one)
