"""Frozen values that people name in their logbook: ROIs, backgrounds, attenuation changes, events.

Each has ``to_dict`` and ``from_dict``; the files around them are read and written by :mod:`xinsitu.io.documents`.
Keys that a newer version wrote are kept in ``extra`` and written back.
"""

from .background import Background
from .changes import CAUSES, AttenuationChange, Event
from .detector_geometry import DetectorGeometry
from .fields import Bounds, Box
from .frame_ranges import FrameRange, frame_ranges
from .logbook import Key
from .masks import Mask
from .region_shapes import Ellipse, Polygon, Rotated, Sector, Shape
from .roi_sets import RoiSet
from .rois import EDGE, MEASURES, OWN_EDGE, PLANE, POLY_X, POLY_Y, ROLES, KeyFrame, Roi

__all__ = [
    "CAUSES",
    "EDGE",
    "MEASURES",
    "OWN_EDGE",
    "PLANE",
    "POLY_X",
    "POLY_Y",
    "ROLES",
    "AttenuationChange",
    "Background",
    "Bounds",
    "Box",
    "DetectorGeometry",
    "Ellipse",
    "Event",
    "FrameRange",
    "Key",
    "KeyFrame",
    "Mask",
    "Polygon",
    "Roi",
    "RoiSet",
    "Rotated",
    "Sector",
    "Shape",
    "frame_ranges",
]
