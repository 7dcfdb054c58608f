"""The current document of Bokeh after tabs have gone, also where another one makes its page just then."""

from __future__ import annotations

import pytest
from bokeh.document import Document
from bokeh.io import curdoc
from bokeh.io.doc import _PATCHED_CURDOCS, patch_curdoc, set_curdoc
from bokeh.io.state import curstate

from xinsitu.app.current import forget


@pytest.fixture(autouse=True)
def clean():
    before, plain = list(_PATCHED_CURDOCS), curstate().document
    _PATCHED_CURDOCS.clear()
    yield
    _PATCHED_CURDOCS[:] = before
    set_curdoc(plain)


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
    assert len(_PATCHED_CURDOCS) == 0


def test_the_document_of_a_tab_that_is_gone_is_not_kept_for_plain_drawing():
    """A page that is made while a callback of another tab is at work puts that tab's document back at its end."""
    tab = Document()
    with patch_curdoc(tab):
        set_curdoc(curdoc())
    assert curdoc() is tab
    forget([tab])
    assert curdoc() is not tab
