"""ROIs, changes and events that nobody saved when the explorer was stopped: kept aside, and offered the next time."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from xinsitu.app.data.source import Source
from xinsitu.io.disk import new_file

from .view_file import view_text

if TYPE_CHECKING:
    from .model import ExplorerModel


def parts(model: ExplorerModel) -> dict[str, str]:
    """Return what would be lost, as text: ROIs, changes, events, bad frames."""
    return {
        "rois": json.dumps(model.regions.rois.to_dict(), sort_keys=True),
        "changes": json.dumps([change.to_dict() for change in model.attenuation.changes], sort_keys=True),
        "events": json.dumps([event.to_dict() for event in model.logbook.events], sort_keys=True),
        "bad_frames": json.dumps([one.to_dict() for one in model.numbers.bad_frames], sort_keys=True),
    }


def folder() -> Path:
    """Return the user's folder for what programs keep between two runs (XDG base directories)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state") / "xinsitu" / "unsaved"


def _stem(source: Source) -> str:
    places = "\n".join(str(one.resolve()) for one in source.folders) or source.name
    return hashlib.sha256(places.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def keep(model: ExplorerModel) -> Path:
    """Write the view of a tab aside.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder() / f"{_stem(model.source)}-{time.time_ns()}.json"
    with new_file(path) as temporary:
        temporary.write_text(view_text(model), encoding="utf-8")
    return path


def latest(source: Source) -> Path | None:
    """Return what was kept last of these frames; None: nothing."""
    try:
        found = sorted(folder().glob(f"{_stem(source)}-*.json"))
    except (OSError, RuntimeError):  # no home, or none that can be read
        return None
    return found[-1] if found else None
