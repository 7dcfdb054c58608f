"""One message for what one job changes: in its order, heard by Python at once, and also where the job fails."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Div, Row
from bokeh.protocol import Protocol

from xinsitu.app.page.messages import _message, in_one_message, on_next_tick, one_message


class Line:
    """A browser's end of the line, which keeps what was sent."""

    def __init__(self):
        self.protocol, self.sent, self._socket = Protocol(), [], self

    def send_message(self, message):
        self.sent.append([(one["kind"], one.get("attr")) for one in message.content["events"]])
        self.last = message


@pytest.fixture
def tab():
    document, line = Document(), Line()
    div, source = Div(), ColumnDataSource({"x": [1]})
    document.add_root(div)
    document.add_root(source)

    class Session:
        def __init__(self):
            self._subscribed_connections, self._pending_writes = (line,), []

        def _document_patched(self, event):
            line.sent.append([event.kind])

    session = Session()
    document.on_change_dispatch_to(session)
    document._session_context = lambda: SimpleNamespace(session=session)
    return SimpleNamespace(document=document, line=line, div=div, source=source)


def test_what_a_job_changes_is_one_message_in_its_order(tab):
    def job():
        tab.div.text = "one"
        tab.source.data = {"x": [2]}
        tab.div.tags = ["done"]

    in_one_message(tab.document, job)()
    assert tab.line.sent == [[("ModelChanged", "text"), ("ColumnDataChanged", "data"), ("ModelChanged", "tags")]]


def test_a_message_is_the_one_of_bokeh(tab):
    """What the browser knows is named, what it does not know is described, once."""
    row, models = Row(), tab.document.models
    tab.document.add_root(row)
    models.flush_synced()
    for text in ("new", "other"):
        events = []
        tab.document.session_context.session._document_patched = events.append
        row.children = [tab.div, *row.children[1:], Div(text=text)]
        new = set(models._new_models)
        expected = tab.line.protocol.create("PATCH-DOC", events).content
        models._new_models = new
        assert new
        assert _message(tab.document, events).content == expected
        assert not models._new_models


def test_python_hears_at_once(tab):
    heard = []
    tab.div.on_change("text", lambda attr, old, new: heard.append(new))
    with one_message(tab.document):
        tab.div.text = "now"
        assert heard == ["now"]
        assert tab.line.sent == []


def test_a_job_that_fails_has_said_what_it_changed(tab):
    def job():
        tab.div.text = "so far"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_one_message(tab.document, job)()
    assert tab.line.sent == [[("ModelChanged", "text")]]


def test_within_another_one_it_is_one_message(tab):
    with one_message(tab.document):
        tab.div.text = "outer"
        in_one_message(tab.document, lambda: setattr(tab.div, "tags", ["inner"]))()
    assert len(tab.line.sent) == 1
    tab.div.text = "afterwards"
    assert tab.line.sent[1:] == [["ModelChanged"]]


def test_nothing_changed_sends_nothing(tab):
    in_one_message(tab.document, lambda: None)()
    assert tab.line.sent == []


def test_without_a_browser_it_only_acts():
    done = []
    in_one_message(Document(), lambda: done.append(1))()
    assert done == [1]


def test_nothing_is_put_on_the_next_tick_of_a_tab_that_was_closed(tab):
    on_next_tick(tab.document, lambda: None)
    assert len(tab.document.session_callbacks) == 1
    tab.document.destroy(tab.document.session_context.session)
    on_next_tick(tab.document, lambda: None)  # as from a thread that was at work when the tab was closed
    tab.document.callbacks._change_callbacks = None
    with pytest.raises(AttributeError):  # any other fault is none of a closed tab
        on_next_tick(tab.document, lambda: None)
