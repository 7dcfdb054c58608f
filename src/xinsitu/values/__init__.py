"""Frozen values that people name in their logbook: ROIs, backgrounds, attenuation changes, events.

Each has ``to_dict`` and ``from_dict``; the files around them are read and written by :mod:`xinsitu.io.documents`.
Keys that a newer version wrote are kept in ``extra`` and written back.
"""

from .background import Background
from .changes import CAUSES, AttenuationChange, Event
from .fields import Bounds, Box
from .logbook import Key, Moment, moment, nanoseconds, utc_text
from .rois import EDGE, MEASURES, PLANE, ROLES, KeyFrame, Roi, RoiSet

__all__ = [
    "CAUSES",
    "EDGE",
    "MEASURES",
    "PLANE",
    "ROLES",
    "AttenuationChange",
    "Background",
    "Bounds",
    "Box",
    "Event",
    "Key",
    "KeyFrame",
    "Moment",
    "Roi",
    "RoiSet",
    "moment",
    "nanoseconds",
    "utc_text",
]
