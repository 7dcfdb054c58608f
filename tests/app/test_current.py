"""The current document of Bokeh after a server has stopped, also where another one makes its page just then."""

from __future__ import annotations

import pytest
from bokeh.document import Document
from bokeh.io import curdoc
from bokeh.io.doc import _PATCHED_CURDOCS, patch_curdoc

from xinsitu.app.current import forget


@pytest.fixture(autouse=True)
def clean():
    before = list(_PATCHED_CURDOCS)
    yield
    _PATCHED_CURDOCS[:] = before


def test_no_document_of_a_server_that_stopped_is_the_current_one():
    plain, stopped = curdoc(), Document()
    patch_curdoc(stopped).__enter__()  # and never left
    forget([stopped])
    assert curdoc() is plain


def test_a_page_that_is_being_made_when_another_server_stops_is_made():
    old, new = Document(), Document()
    ending, making = patch_curdoc(old), patch_curdoc(new)
    ending.__enter__()
    making.__enter__()
    ending.__exit__(None, None, None)  # takes the entry of the other one
    forget([old])
    making.__exit__(None, None, None)
