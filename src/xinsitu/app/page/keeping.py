"""What nobody has saved, as a tab keeps it aside: no end of the server, however it comes, is to lose it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xinsitu.app.state import unsaved
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.view_file import view_text
from xinsitu.errors import said_of

NOWHERE = "-"
"""What the page is told where nothing can be kept."""


class Keeping:
    """What of a tab is to be kept, and what came of it: ``at_risk`` is asked when the mouse rests.

    ``channel`` tells the page where it is kept, ``say`` tells its user that it cannot be.
    """

    def __init__(self, model: ExplorerModel, channel: Any, say: Callable[[str], None]) -> None:  # noqa: ANN401 - of Bokeh
        self._model, self._channel, self._say = model, channel, say
        self._kept: dict[str, str] | None = None

    def at_risk(self) -> tuple[Path, str] | None:
        """Return what is to be kept aside, and where; None: nothing that is not kept already."""
        model, parts = self._model, unsaved.parts(self._model)
        if set(parts.values()) <= model.safe:
            if model.aside is not None:
                model.aside.unlink(missing_ok=True)
            model.aside, self._kept, self._channel.kept = None, None, ""
            return None
        if parts == self._kept:
            return None
        self._kept = parts
        return model.aside or unsaved.new_place(model.source), view_text(model)

    def is_kept(self, kept: tuple[Path, str]) -> None:
        """Take note of where it is."""
        self._model.aside, self._channel.kept = kept[0], str(kept[0])

    def failed(self, fault: Exception) -> None:
        """Say that it cannot be kept, once; it is tried again when the mouse rests, as there may be room by then."""
        if self._channel.kept != NOWHERE:
            self._say(f"what is not saved cannot be kept aside: {said_of(fault)}")
        self._kept, self._channel.kept = None, NOWHERE
