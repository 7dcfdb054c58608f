"""Where a moving ROI is at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xinsitu.errors import RoiError

from .fields import Bounds, bounds
from .geometries import refuse_other_shapes
from .logbook import Key


@dataclass(frozen=True)
class KeyFrame:
    """Where a moving ROI is at one moment; between key frames its corners move linearly with the frame."""

    key: Key
    y: Bounds
    x: Bounds

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", bounds(self.y, "y of a key frame"))
        object.__setattr__(self, "x", bounds(self.x, "x of a key frame"))

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**self.key.to_dict(), "y": list(self.y), "x": list(self.x)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> KeyFrame:
        """Read the JSON form: a KEY with ``y`` and ``x`` beside it."""
        if not isinstance(document, Mapping) or not {"y", "x"} <= set(document):
            raise RoiError(f"a key frame needs a moment, y and x, not {document!r}")
        refuse_other_shapes({"name": "of a key frame", **document})
        rest = {name: value for name, value in document.items() if name not in ("y", "x")}
        return cls(Key.from_dict(rest), document["y"], document["x"])
