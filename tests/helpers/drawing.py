"""HoloViews objects as Bokeh draws them, without what other tests have left as Bokeh's current document."""

from __future__ import annotations

import holoviews as hv
from bokeh.document import Document


def drawn(figure):
    """Return the plot of a HoloViews object, in a document of its own."""
    return hv.renderer("bokeh").instance(mode="server").get_plot(figure, doc=Document())
