"""A ROI that follows its spot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import RoiError
from xinsitu.kernels import Doubles
from xinsitu.physics.blocks import frames_in_block, in_blocks, pixel_index
from xinsitu.physics.corrections.correction import Correction
from xinsitu.schema import image_of
from xinsitu.values import KeyFrame, Roi, RoiSet

from .moving import Boxes, key_of
from .quantities import LOW_COUNTS, centre_block
from .regions import Measurements
from .roi_plan import fitted

AHEAD = 64
"""Frames that are looked at together, at most, while the spot stays where it is."""


@dataclass(frozen=True)
class Track:
    """A ROI with its path, and the frames in which the spot was lost.

    Parameters
    ----------
    roi
        With key frames wherever it begins and ends to rest; between them it moves in straight lines.
    lost
        ``(time)``, true where there was no spot or it was further away than the largest step; the ROI stays there.

    Examples
    --------
    >>> y, x = np.arange(20)[:, None], np.arange(30)
    >>> spots = [1000 * np.exp(-((y - 9) ** 2 + (x - 12 - step) ** 2) / 8) for step in range(4)]
    >>> frames = xr.DataArray(np.stack(spots).astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    >>> found = track(frames, Roi("WZ", y=(2, 17), x=(4, 21)), max_step=3)
    >>> found.lost.values.tolist(), found.roi.name
    ([False, False, False, False], 'WZ')
    """

    roi: Roi
    lost: xr.DataArray


def track(
    data: xr.Dataset | xr.DataArray,
    roi: Roi,
    *,
    max_step: float = 5.0,
    rois: RoiSet | None = None,
    correction: Correction | None = None,
) -> Track:
    """Follow a spot by its centre of mass: the ROI, of one size, is centred on it from frame to frame.

    Computed at once, not lazily: where a ROI is depends on the frame before, and a path is a plain value that goes into
    a ROI file. One pass, one block of frames in memory at a time.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    roi
        Where the spot is in the first frame. Give it a background: without one its centre of mass is pulled to the
        middle of the ROI.
    max_step
        Largest step from frame to frame, in pixels. A centre that is further away is another spot, or noise.
    rois
        Where ``roi.background`` names other ROIs: the set that has them; they rest.
    correction
        What to do to the frames first.

    Returns
    -------
    Track
        The ROI with its path, to be measured or written to a ROI file, and the frames in which the spot was lost.

    Raises
    ------
    RoiError
        The ROI does not lie in the image, all of it.

    Examples
    --------
    >>> frame = np.arange(4)[:, None, None]
    >>> spot = np.maximum(0, 40 - 9 * (np.arange(30)[:, None] - 8 - 2 * frame) ** 2 - 9 * (np.arange(20) - 9) ** 2)
    >>> path = track(xr.DataArray(spot, dims=("time", "y", "x")), Roi("spot", y=(4, 13), x=(4, 15))).roi.path
    >>> [step.y for step in path]
    [(4, 13), (6, 15), (8, 17), (10, 19)]
    """
    image = in_blocks(image_of(data))
    known = () if rois is None else rois.names
    others = [replace(rois[name], path=None, background=()) for name in roi.background if rois and name in known]
    fit = fitted(data, RoiSet([replace(roi, path=None), *others]), correction, whole=True)
    if fit.rois[0].off:
        raise RoiError(f"ROI {roi.name!r} reaches over the edge of the image: what follows a spot has to lie inside")
    first, *rest = fit.plan.regions
    moving = replace(first, moving=fit.per_frame.shape[1], measures=frozenset(("com", "intensity")))
    shared = fit.shared.compute() if hasattr(fit.shared, "compute") else fit.shared
    limits = np.array([pixel_index(image, "y"), pixel_index(image, "x")], dtype=np.int64)
    follower = Follower(replace(fit.plan, regions=(moving, *rest)), limits, max_step, shared)
    boxes, lost = np.empty((image.sizes["time"], 4), dtype=np.int64), np.zeros(image.sizes["time"], dtype=bool)
    box = np.array([*roi.y, *roi.x], dtype=np.int64)
    for block in _blocks(image):
        raw, rows, number, ahead = image.isel(time=block).values, fit.per_frame[block], 0, 1
        while number < len(raw):
            looks = follower.look(raw[number : number + ahead], rows[number : number + ahead], box)
            before, ahead = box, min(2 * ahead, AHEAD)
            for look in looks:
                place = block.start + number
                box, lost[place] = follower.next_box(raw[number : number + 1], rows[number : number + 1], before, look)
                boxes[place], number = box, number + 1
                if (box != before).any():  # the frames behind were looked at where the spot is no more
                    ahead = 1
                    break
    coords = {name: image[name] for name in image.coords if image[name].dims in ((), ("time",))}
    named = xr.DataArray(lost, dims="time", coords=coords, name="lost", attrs={"long_name": f"{roi.name} was lost"})
    return Track(replace(roi, path=tuple(_key_frames(boxes, image))), named)


@dataclass(frozen=True)
class Follower:
    """What is measured to follow a spot: the first region moves, the others are its background."""

    plan: Measurements
    limits: npt.NDArray[np.int64]
    max_step: float
    shared: float | None

    def look(self, raw: npt.NDArray[Any], rows: Doubles, box: npt.NDArray[np.int64]) -> Doubles:
        """Centre of mass in a box, and its significance, in each of some frames."""
        told = np.concatenate([rows, np.broadcast_to(box, (len(rows), 4))], axis=1)
        return centre_block(raw, told, plan=self.plan, shared=self.shared)

    def next_box(
        self, raw: npt.NDArray[Any], row: Doubles, box: npt.NDArray[np.int64], look: Doubles
    ) -> tuple[npt.NDArray[np.int64], bool]:
        """Box in a frame, from that in the one before and the look there; true where the spot is lost."""
        start = np.array([box[:2].mean(), box[2:].mean()]) - 0.5
        here = box
        for again in range(3):  # centre, and look again: the first look may have cut the spot
            *offset, significance = self.look(raw, row, here)[0] if again else look
            centre = here[::2] + offset
            weak = not significance > LOW_COUNTS
            if weak or not np.isfinite(centre).all() or np.hypot(*(centre - start)) > self.max_step:
                return box, True
            middle = np.array([here[:2].mean(), here[2:].mean()]) - 0.5
            moved = self._inside(here + np.repeat(np.floor(centre - middle + 0.5).astype(np.int64), 2))
            if (moved == here).all():
                break
            here = moved
        return here, False

    def _inside(self, box: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Box of the same size that does not leave the image."""
        back = np.minimum(self.limits[:, 1] - box[1::2], 0) + np.maximum(self.limits[:, 0] - box[::2], 0)
        return np.asarray(box + np.repeat(back, 2))


def _blocks(image: xr.DataArray) -> Iterator[slice]:
    """Frames that are read together: the chunks of a lazy stack, each once."""
    number, step = image.sizes["time"], frames_in_block(image)
    sizes = image.variable.chunksizes.get("time") if image.chunks is not None else None
    ends = np.cumsum(sizes).tolist() if sizes is not None else [*range(step, number, step), number]
    return (slice(first, behind) for first, behind in pairwise([0, *ends]))


def _key_frames(boxes: Boxes, image: xr.DataArray) -> Iterator[KeyFrame]:
    """Key frames at both ends of every rest."""
    if not len(boxes):
        raise RoiError("there is no frame to track a ROI in")
    moves = np.flatnonzero((np.diff(boxes, axis=0) != 0).any(axis=1))
    for place in sorted({0, len(boxes) - 1, *moves.tolist(), *(moves + 1).tolist()}):
        y0, y1, x0, x1 = (int(bound) for bound in boxes[place])
        yield KeyFrame(key_of(image, place), (y0, y1), (x0, x1))
