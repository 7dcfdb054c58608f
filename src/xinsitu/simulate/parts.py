"""What a simulated experiment is put together from: spots, measurements, changes of the attenuator."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xinsitu.values import Roi

Change = tuple[float, float]
"""A value at the start of the growth and at its end; in between it follows the progress linearly."""


@dataclass(frozen=True)
class Spot:
    """A Gaussian spot, integrated over each pixel.

    Parameters
    ----------
    roi
        The ROI that measures it.
    counts
        Counts per frame without attenuator, at the start and at the end of the growth.
    y, x
        Centre in pixels, at the start and at the end.
    sigma_y, sigma_x
        Standard deviations in pixels, at the start and at the end. From 4 px on a 3x3 median takes less than 1 %.
    """

    roi: Roi
    counts: Change
    y: Change
    x: Change
    sigma_y: Change
    sigma_x: Change


@dataclass(frozen=True)
class Run:
    """One measurement: its frames, and when the indium shutter is open.

    Parameters
    ----------
    name
        Folder, e.g. ``time2``.
    scans
        Frames of each SPEC scan; more than one is an interrupted run.
    growth
        First frame with the shutter open and the one behind the last, counted over the whole measurement.
    pause
        Seconds before each of its scans.
    """

    name: str
    scans: tuple[int, ...] = (120,)
    growth: tuple[int, int] | None = None
    pause: float = 40.0

    @property
    def frames(self) -> int:
        """Frames of all scans."""
        return sum(self.scans)

    @property
    def numbers(self) -> tuple[int, ...]:
        """SPEC's scan numbers."""
        return tuple(range(1, len(self.scans) + 1))

    def base(self, sample: str) -> str:
        """Begin of all file names: ``0884time2`` (interrupted, as of 2013) or ``0884_time_1`` (as of 2014)."""
        if len(self.scans) > 1:
            return f"{sample}{self.name}"
        kind, number = re.fullmatch(r"(.*?)(\d*)", self.name, re.DOTALL).groups()  # type: ignore[union-attr] # fits all
        return f"{sample}_{kind}_{number or 1}"

    def file_name(self, sample: str, scan: int, frame: int) -> str:
        """Name of a frame: ``0884time2_1_357.tif`` or ``0884_time_1_00000.tif``, where the scan is not told."""
        number = f"{scan}_{frame}" if len(self.scans) > 1 else f"{frame:05d}"
        return f"{self.base(sample)}_{number}.tif"

    def log_name(self, sample: str) -> str:
        """Name of the SPEC log: ``0884time2.log`` or ``0884_time_1.log``."""
        return f"{self.base(sample)}.log"


@dataclass(frozen=True)
class Attenuator:
    """From a frame on the beam at the detector is weaker or stronger.

    Parameters
    ----------
    measurement
        Folder name.
    frame
        First frame that is not as before, counted over the whole measurement.
    transmission
        Afterwards, relative to no attenuator.
    transition
        Frames during which the foil moves: neither the old nor the new transmission.
    """

    measurement: str
    frame: int
    transmission: float
    transition: int = 0


@dataclass(frozen=True)
class Dump:
    """The beam is gone for some frames, and comes back as it was.

    Parameters
    ----------
    measurement
        Folder name.
    frame
        First dark frame, counted over the whole measurement.
    frames
        How many are dark.
    """

    measurement: str
    frame: int
    frames: int
