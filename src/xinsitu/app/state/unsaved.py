"""ROIs, changes and events that nobody has saved: kept aside as they change, and offered the next time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from xinsitu.app.data.source import Source
from xinsitu.io.disk import began, here, is_alive, write_whole

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


def at_risk(model: ExplorerModel) -> bool:
    """Whether something would be lost that no file holds."""
    return not set(parts(model).values()) <= model.safe


def folder() -> Path:
    """Return the user's folder for what programs keep between two runs (XDG base directories)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state") / "xinsitu" / "unsaved"


def _stem(source: Source) -> str:
    places = "\n".join(str(one.resolve()) for one in source.folders) or source.name
    return hashlib.sha256(places.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def new_place(source: Source) -> Path:
    """Return where a tab keeps what it has not saved; nothing is there yet. Its name says whose tab it is."""
    return folder() / f"{_stem(source)}-{time.time_ns()}-{here()}-{os.getpid()}.json"


_WHOSE = re.compile(r".*-(?P<made>\d+)-(?P<where>[0-9a-f]{8})-(?P<process>\d+)\.json")
_SECONDS = 5.0
"""By which clocks of the system may differ on when a process began."""


def _is_in_use(path: Path) -> bool:
    """Whether another explorer of this machine, which runs, keeps it: two would write over each other."""
    whose = _WHOSE.fullmatch(path.name)
    if whose is None or whose["where"] != here() or int(whose["process"]) == os.getpid():
        return False
    process, made = int(whose["process"]), int(whose["made"]) / 1e9
    return is_alive(process) and began(process) < made + _SECONDS  # since a restart its number may be another's


def keep(path: Path, text: str) -> None:
    """Write the view of a tab aside, in place of what was kept of it before.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, text.encode(), overwrite=True)


def latest(source: Source, besides: Collection[Path] = ()) -> Path | None:
    """Return what was kept last of these frames, ``besides`` what tabs of now keep; None: nothing."""
    try:
        found = sorted(set(folder().glob(f"{_stem(source)}-*.json")) - set(besides))
    except (OSError, RuntimeError):  # no home, or none that can be read
        return None
    return next((path for path in reversed(found) if not _is_in_use(path)), None)
