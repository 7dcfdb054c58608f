"""What recipes have in common: versions, relative paths, known keys."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xinsitu.errors import DocumentError

VERSION = 1


def relative(path: Path, base: Path) -> str:
    """Return a path relative to the folder that the recipe lies in."""
    return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()


def known(document: Mapping[str, Any], names: Iterable[str], what: str) -> Mapping[str, Any]:
    """Return the document unless it has a key that is not among the names."""
    if strange := sorted(set(document) - set(names)):
        raise DocumentError(f"{what} has no {', '.join(strange)}; it has {', '.join(sorted(names))}")
    return document
