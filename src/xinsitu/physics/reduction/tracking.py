"""A ROI that follows its spot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import RoiError, warn
from xinsitu.kernels import DARK, UNREAD, Doubles, marked
from xinsitu.physics.blocks import frames_in_block, in_blocks, is_lazy, pixel_index
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.stored import Stored
from xinsitu.schema import image_of
from xinsitu.values import KeyFrame, Roi, RoiSet
from xinsitu.variables import Called, remarks_on_frames

from .moving import Boxes, key_of
from .quantities import LOW_COUNTS, centre_block
from .regions import Measurements
from .roi_plan import fitted

AHEAD = 64
"""Frames that are read, and looked at together while the spot stays where it is, at most."""
MARGIN = 8
"""Rows on each side of a ROI that are read with it, until it leaves them."""


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

    Warns
    -----
    XinsituWarning
        Frames cannot be read; the spot is lost there.

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
    nearby = Nearby(image, replace(fit.plan, regions=(moving, *rest)))
    follower = Follower(nearby, fit.per_frame, limits, max_step, shared)
    boxes, lost = np.empty((image.sizes["time"], 4), dtype=np.int64), np.zeros(image.sizes["time"], dtype=bool)
    box, number, ahead = np.array([*roi.y, *roi.x], dtype=np.int64), 0, 1
    while number < len(boxes):
        looks = follower.look(number, ahead, box)
        moved, gone = follower.led(looks, box, box)
        rests = int(np.argmax([*(moved != box).any(axis=1), True]))  # the frames behind were looked at in vain
        boxes[number : number + rests], lost[number : number + rests] = box, gone[:rests]
        number, ahead = number + rests, min(2 * ahead, AHEAD)
        if rests < len(looks):
            box, lost[number] = follower.next_box(number, box, moved[rests])
            boxes[number], number, ahead = box, number + 1, 1
    for text in remarks_on_frames(nearby.lost[UNREAD], nearby.lost[DARK], Called.of(data)) if is_lazy(image) else ():
        warn(text)
    coords = {name: image[name] for name in image.coords if image[name].dims in ((), ("time",))}
    named = xr.DataArray(lost, dims="time", coords=coords, name="lost", attrs={"long_name": f"{roi.name} was lost"})
    return Track(replace(roi, path=tuple(_key_frames(boxes, image))), named)


class Nearby:
    """The rows near a ROI of some frames, and the plan for these rows; of frames in files no others are read.

    Where the ROI leaves them, more are read on each side, twice as many each time. ``lost``: which frames turned out to
    be NaN, for each reason.
    """

    def __init__(self, image: xr.DataArray, plan: Measurements) -> None:
        self._image, self._plan = image, plan
        self._stored = None if image.chunks is None else Stored.behind(image)
        self._margin = MARGIN if self._stored else image.sizes["y"]
        self._first, self._raw, self._rows, self._of_rows = 0, np.empty((0, 0, 0)), slice(0, 0), plan
        self._ends = np.cumsum([block.stop - block.start for block in _blocks(image)])
        self.lost = {why: np.zeros(image.sizes["time"], dtype=bool) for why in (UNREAD, DARK)}

    def frames(self, number: int, most: int, rows: tuple[int, int]) -> tuple[npt.NDArray[Any], Measurements]:
        """Frames from ``number`` on, at least one and at most so many, that hold rows and what they depend on."""
        rows = self._needed(rows)
        held = self._rows.start <= rows[0] and rows[1] <= self._rows.stop
        if not held:
            self._margin *= 2 if self._rows.stop else 1
            low, high = max(0, rows[0] - self._margin), min(self._image.sizes["y"], rows[1] + self._margin)
            self._rows, self._of_rows = slice(low, high), self._plan.of_rows(slice(low, high))
        if not held or not 0 <= number - self._first < len(self._raw):
            self._first, self._raw = number, self._read(number)
            for why, lost in self.lost.items():
                lost[number : number + len(self._raw)] = marked(self._raw, why)
        return self._raw[number - self._first :][:most], self._of_rows

    def _needed(self, rows: tuple[int, int]) -> tuple[int, int]:
        """With the rows of backgrounds, and the halo of all."""
        steps = self._plan.steps
        bounds = [rows, *(region.box[0] for region in self._plan.regions[1:]), *(box[0] for box in steps.boxes or ())]
        low, high = min(bound[0] for bound in bounds) - steps.halo, max(bound[1] for bound in bounds) + steps.halo
        return max(0, low), min(self._image.sizes["y"], high)

    def _read(self, number: int) -> npt.NDArray[Any]:
        """Read some frames, or all up to the end of a chunk that is read as a whole."""
        behind = int(self._ends[np.searchsorted(self._ends, number, side="right")])
        if self._stored is None:
            return np.asarray(self._image.isel(time=slice(number, behind)).data)
        if self._stored.file_per_frame:
            some = min(AHEAD, self._stored.in_cache(self._rows.stop - self._rows.start))
            behind = min(number + some, self._image.sizes["time"])
        return self._stored.some(slice(number, behind), self._rows)


@dataclass(frozen=True)
class Follower:
    """What is measured to follow a spot: the first region moves, the others are its background."""

    nearby: Nearby
    per_frame: Doubles
    limits: npt.NDArray[np.int64]
    max_step: float
    shared: float | None

    def look(self, number: int, most: int, box: npt.NDArray[np.int64]) -> Doubles:
        """Centre of mass in a box, and its significance, in frames from ``number`` on, at most so many."""
        top, bottom = (int(bound - self.limits[0, 0]) for bound in box[:2])
        raw, plan = self.nearby.frames(number, most, (top, bottom))
        rows = self.per_frame[number : number + len(raw)]
        told = np.concatenate([rows, np.broadcast_to(box, (len(rows), 4))], axis=1)
        return centre_block(raw, told, plan=plan, shared=self.shared)

    def led(
        self, looks: Doubles, here: npt.NDArray[np.int64], before: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Boxes to which looks lead from here, and which of them tell that the spot is lost; from these none leads."""
        start, middle = (np.array([box[:2].mean(), box[2:].mean()]) - 0.5 for box in (before, here))
        centre = here[::2] + looks[:, :2]
        step = np.hypot(*(centre - start).T)
        lost = ~(looks[:, 2] > LOW_COUNTS) | ~np.isfinite(centre).all(axis=1) | (step > self.max_step)
        away = np.where(lost[:, None], 0, np.floor(centre - middle + 0.5)).astype(np.int64)
        return self._inside(here + np.repeat(away, 2, axis=1)), lost

    def next_box(
        self, number: int, box: npt.NDArray[np.int64], moved: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], bool]:
        """Box in a frame, from that in the one before and where a look there led; true where the spot is lost."""
        for _ in range(2):  # centre, and look again: the first look may have cut the spot
            here = moved
            (moved,), (lost,) = self.led(self.look(number, 1, here), here, box)
            if lost:
                return box, True
            if (moved == here).all():
                break
        return moved, False

    def _inside(self, box: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Boxes of the same size that do not leave the image."""
        back = np.minimum(self.limits[:, 1] - box[:, 1::2], 0) + np.maximum(self.limits[:, 0] - box[:, ::2], 0)
        return np.asarray(box + np.repeat(back, 2, axis=1))


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
