"""What one job changes goes to the browser as one message: each message has its price, however little it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bokeh.document import Document
from bokeh.document.events import DocumentPatchedEvent


@contextmanager
def one_message(document: Document) -> Iterator[None]:
    """Send what changes meanwhile at the end, in its order; what Python itself has to hear, it hears at once.

    Bokeh (3.9) sends a message for each property that is set, and walks through all models for each message.
    """
    context = document.session_context
    session = None if context is None else context.session
    if session is None or "_document_patched" in vars(session):  # no browser; or within another one
        yield
        return
    events: list[DocumentPatchedEvent] = []
    session._document_patched = events.append
    try:
        yield
    finally:
        del session._document_patched
        for connection in session._subscribed_connections if events else ():
            message = connection.protocol.create("PATCH-DOC", events)
            session._pending_writes.append(connection._socket.send_message(message))


def in_one_message(document: Document, action: Callable[[], object]) -> Callable[[], None]:
    """Return an action that sends one message."""

    def act() -> None:
        with one_message(document):
            action()

    return act


def on_next_tick(document: Document, action: Callable[[], object]) -> None:
    """Do something on the next tick, from any thread; nothing where the tab was closed meanwhile."""
    try:
        document.add_next_tick_callback(in_one_message(document, action))
    except AttributeError:  # Bokeh takes a document apart before anybody hears of it
        if hasattr(document.callbacks, "_change_callbacks"):
            raise
