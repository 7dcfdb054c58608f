"""What the controls of the panel do, by their labels: said under the cursor and to screen readers."""

from __future__ import annotations

from collections.abc import Iterable

import panel as pn

from .widgets import PANEL

TIPS = {
    "selected": "the region that panel, kymograph and profiles show (Tab: the next one)",
    "name": "type a name and press Enter",
    "kind": "what is measured of the region",
    "rows y0:y1, columns x0:x1": "type where the region lies, and press Enter",
    "shape": "give it another shape, in the box that it has",
    "pixels on its line": "count pixels whole where their centre is inside, or each as much as is",
    "shape as in files": "type the shape as ROI files have it, and press Enter; empty: a rectangle",
    "background from": "regions whose mean is taken from this one; Ctrl-click for several",
    "add": "add a region in the middle of the image",
    "copy ROIs from": "take the regions of another measurement",
    "compare with result": "draw a saved result under the curves",
    "⟳": "look for new files",
    "corrected": "show and measure corrected frames, or raw ones",
    "median": "filter outliers, or every pixel",
    "normalise by": "multiply frames by the mean of a counter over its value",
    "flat field": "divide by the flat field, or not",
    "flat field: folder": "type a folder of flat-field frames, and press Enter",
    "flat field: beside the frames": "flat fields that lie beside the frames",
    "mask": "leave bad pixels out, or not",
    "mask: file": "type the file of a mask, and press Enter",
    "mask: beside the frames": "masks that lie beside the frames",
    "dark": "subtract the dark, or not",
    "dark: folder": "type a folder of frames without beam, and press Enter",
    "dark: beside the frames": "darks that lie beside the frames",
    "background image": "subtract the image of an empty beam, or not",
    "background image: folder": "type a folder of frames without sample, and press Enter",
    "background image: beside the frames": "images of an empty beam that lie beside the frames",
    "background: rows y0:y1, columns x0:x1": "type an empty area, several with a semicolon between; empty: none",
    "background mode": "subtract the mean of the background, or divide by it",
    "image shows": "the frame, or its change",
    "kymograph shows": "profiles, or their change",
    "colour map": "colours of image, cut-outs and kymograph; in all of them equal steps look equal",
    "colours": "colour limits of the image",
    "from": "lowest colour",
    "to": "highest colour",
    "percentile": "part of the pixels within the colours when they are fitted",
    "events": "choose an event to end or to delete",
}
"""Widgets by their labels; buttons that do something bring their own."""


def with_tips(widgets: Iterable[pn.viewable.Viewable]) -> list[pn.viewable.Viewable]:
    """Return a form whose widgets say what they do, and are as high as they need to be."""
    parts = list(widgets)
    for part in parts:
        inside = part.select(pn.widgets.Widget) if isinstance(part, pn.layout.ListPanel) else [part]
        for one in inside:
            if not isinstance(one, pn.widgets.Widget):
                continue
            one.stylesheets = [*one.stylesheets, PANEL]
            tip = TIPS.get(str(getattr(one, "label", "")))
            if tip and not one.tags:
                one.tags = [f"tip:{tip}"]
    return parts
