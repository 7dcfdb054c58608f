"""``explore``: the first frame at once, then everything that the page is made of."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .console import complain

if TYPE_CHECKING:
    from xinsitu.app.preview import Preview


def explore(words: argparse.Namespace) -> int:
    """Serve the explorer until it is stopped."""
    from xinsitu.app.preview import Preview

    early = Preview.of(words.path, words.port, public=words.public)
    try:
        return _explore(words, early)
    finally:
        if early is not None:
            early.close()


def _explore(words: argparse.Namespace, early: Preview | None) -> int:
    if early is not None:
        early.tell(browser=not words.no_browser)
    from xinsitu.app.serve import explore as serve  # from here on it takes seconds
    from xinsitu.app.serve import stay

    from .shared import background, correcting, correction_text, reading

    explorer = serve(
        words.path,
        flatfield=words.flatfield,
        rois=words.rois,
        correcting=correcting(words, background(words)),
        reading=reading(words),
        calibration={one.axis: one.pixels() for one in words.calibration},
        geometry=words.geometry,
        port=words.port if early is None else early,
        browser=False,
        public=words.public,
        follow=words.follow,
    )
    if explorer.waiting_for:
        complain(f"waiting for the first frame of {explorer.waiting_for}")
    else:
        complain(correction_text(explorer.source.correcting))  # the address is the first line on stdout
    stay(explorer, browser=not words.no_browser, console=words.console)
    return 0
