"""What one job changes goes to the browser as one message: each message has its price, however little it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bokeh.core.serialization import Ref, Serializer
from bokeh.document import Document
from bokeh.document.events import DocumentPatchedEvent
from bokeh.model import Model
from bokeh.protocol.messages.patch_doc import patch_doc


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
            message = _message(document, events)
            session._pending_writes.append(connection._socket.send_message(message))


def _message(document: Document, events: Sequence[DocumentPatchedEvent]) -> patch_doc:
    """Make what ``patch_doc.create`` makes, which names every model of the document first: 2 ms of each message."""
    serializer = _Known(document)
    content = {"events": serializer.encode(list(events))}
    document.models.flush_synced(lambda model: not serializer.has_ref(model))
    message = patch_doc(patch_doc.create_header(), {}, content)
    message.add_buffers(*serializer.buffers)
    return message


class _Known(Serializer):  # type: ignore[misc] # Bokeh has no types
    """Names what the browser knows of a document once it is met."""

    def __init__(self, document: Document) -> None:
        super().__init__()
        self._models = document.models

    def has_ref(self, obj: Any) -> bool:  # noqa: ANN401 - as Bokeh's
        return self.get_ref(obj) is not None

    def get_ref(self, obj: Any) -> Ref | None:  # noqa: ANN401 - as Bokeh's
        if (found := super().get_ref(obj)) is not None or not isinstance(obj, Model):
            return found
        known = self._models.get_by_id(obj.id) is obj and obj not in self._models._new_models
        return obj.ref if known else None


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
