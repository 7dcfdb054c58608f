"""Where a moving ROI is in every frame: key frames, and straight lines between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import RoiError
from xinsitu.physics.moments import measurement_labels, resolve_key
from xinsitu.values import Key, KeyFrame, Roi

Boxes = npt.NDArray[np.int64]
Numbered = dict[tuple[str, ...], dict[tuple[object, ...], int]]
"""By what frames are numbered, besides the frame, the first position of each number."""


def boxes_in_time(frames: xr.Dataset | xr.DataArray, roi: Roi) -> Boxes:
    """Bounds ``y0, y1, x0, x1`` of a ROI in every frame, ``(time, 4)``.

    Between key frames the centre and the size move linearly with the number of frames; before the first and behind the
    last one the ROI rests. Key frames of other measurements are passed over; a measurement without any has the ROI's
    own box.

    Raises
    ------
    RoiError
        A key frame names no frame of this measurement.

    Examples
    --------
    >>> path = (KeyFrame(Key(frame=0), (0, 4), (10, 20)), KeyFrame(Key(frame=2), (6, 10), (10, 20)))
    >>> frames = xr.Dataset(coords={"frame": ("time", [0, 1, 2, 3])})
    >>> boxes_in_time(frames, Roi("a", (0, 4), (10, 20), path=path))[:, 0].tolist()
    [0, 3, 6, 6]
    """
    number = frames.sizes["time"]
    labels = measurement_labels(frames)
    keys = [frame for frame in roi.path or () if _is_here(labels, frame.key)]
    if not keys:
        return np.tile(np.array([*roi.y, *roi.x], dtype=np.int64), (number, 1))
    numbered: Numbered = {}
    places = np.array([_position(frames, numbered, roi, frame.key) for frame in keys])
    order = np.argsort(places, kind="stable")
    bounds = np.array([[*keys[n].y, *keys[n].x] for n in order], dtype=np.float64)
    frame_number = np.arange(number, dtype=np.float64)
    first = [np.interp(frame_number, places[order], bounds[:, column]) for column in (0, 2)]
    size = [np.interp(frame_number, places[order], bounds[:, column + 1] - bounds[:, column]) for column in (0, 2)]
    low, extent = np.floor(np.array(first) + 0.5), np.maximum(np.floor(np.array(size) + 0.5), 1)
    return np.stack([low[0], low[0] + extent[0], low[1], low[1] + extent[1]], axis=1).astype(np.int64)


def at_frames(frames: xr.Dataset | xr.DataArray, roi: Roi, places: npt.NDArray[np.int64]) -> Roi:
    """Return a ROI that moves only at some frames, for a selection of these: a key frame for each of them.

    Examples
    --------
    >>> path = (KeyFrame(Key(frame=0), (0, 4), (10, 20)), KeyFrame(Key(frame=2), (6, 10), (10, 20)))
    >>> frames = xr.Dataset(coords={"frame": ("time", [0, 1, 2, 3])})
    >>> [step.y for step in at_frames(frames, Roi("a", (0, 4), (10, 20), path=path), np.array([1, 3])).path]
    [(3, 7), (6, 10)]
    """
    if roi.path is None:
        return roi
    boxes = boxes_in_time(frames, roi)[places]
    chosen = frames.isel(time=places)
    keys = [key_of(chosen, number) for number in range(len(places))]
    steps = [
        KeyFrame(key, (int(y0), int(y1)), (int(x0), int(x1))) for key, (y0, y1, x0, x1) in zip(keys, boxes, strict=True)
    ]
    return replace(roi, path=tuple(steps))


def key_of(frames: xr.Dataset | xr.DataArray, place: int) -> Key:
    """KEY of a frame as people number it."""
    told: dict[str, Any] = {}
    for name in ("measurement", "scan", "frame"):
        if name in frames.coords:
            value = np.broadcast_to(frames[name].values, (frames.sizes["time"],))[place]
            told[name] = str(value) if name == "measurement" else int(value)
    return Key(**{"frame": place, **told})


def _is_here(labels: npt.NDArray[np.str_] | None, key: Key) -> bool:
    """Whether a KEY may mean a frame of these measurements."""
    return key.measurement is None or labels is None or key.measurement in labels


def _numbered(frames: xr.Dataset | xr.DataArray, names: tuple[str, ...]) -> dict[tuple[object, ...], int]:
    """Position of the first frame of each number, or of each number in a scan or measurement."""
    number = frames.sizes["time"]
    if "frame" not in frames.coords:
        return {(place,): place for place in range(number)}
    held = {name: np.asarray(frames[name].values) for name in ("frame", *names)}
    columns = [
        np.broadcast_to(one.astype(str) if name == "measurement" else one, (number,)).tolist()
        for name, one in held.items()
    ]
    told = list(zip(*columns, strict=True))
    return dict(zip(reversed(told), reversed(range(number)), strict=True))


def _position(frames: xr.Dataset | xr.DataArray, numbered: Numbered, roi: Roi, key: Key) -> int:
    """Position of a key frame on the time axis."""
    if key.frame is None:
        try:
            return resolve_key(frames, key)
        except ValueError as error:
            raise RoiError(f"the path of ROI {roi.name!r}: {error}") from error
    asked = {"scan": key.scan, "measurement": key.measurement} if "frame" in frames.coords else {}
    told = {name: value for name, value in asked.items() if value is not None and name in frames.coords}
    if (names := tuple(told)) not in numbered:
        numbered[names] = _numbered(frames, names)
    place = numbered[names].get((key.frame, *told.values()))
    if place is None:
        raise RoiError(f"the path of ROI {roi.name!r} names frame {key.frame}, which this measurement does not have")
    return place
