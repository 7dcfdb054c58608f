"""What happens in a simulated experiment: spots, measurements, shutters, attenuators, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.schema import time_from_microseconds
from xinsitu.values import Roi, RoiSet

from .camserver import Detector
from .parts import Attenuator, Dump, Run, Spot

TOKYO = timezone(timedelta(hours=9), "JST")
"""Japan has had no daylight saving time since 1951."""


def _spots(counts: float) -> tuple[Spot, ...]:
    """CTR moves along l and fades; WZ, ZB and TW grow and widen."""
    rows = (60, 150)
    back = ("BG",)
    return (
        Spot(
            Roi("CTR", y=rows, x=(60, 140), color="yellow", background=back),
            (0.9 * counts, 0.6 * counts), (104.3, 103.1), (88.4, 109.7), (4.0, 4.2), (4.1, 4.6),
        ),
        Spot(
            Roi("WZ", y=rows, x=(210, 270), color="red", background=back),
            (counts, 1.6 * counts), (105.2, 103.9), (240.3, 239.5), (5.5, 7.0), (4.2, 5.2),
        ),
        Spot(
            Roi("ZB", y=rows, x=(300, 360), color="green", background=back),
            (0.5 * counts, 1.1 * counts), (103.6, 104.4), (329.2, 330.4), (5.0, 6.2), (4.4, 5.0),
        ),
        Spot(
            Roi("TW", y=rows, x=(390, 450), color="orange", background=back),
            (0.3 * counts, 0.7 * counts), (104.8, 105.6), (420.6, 421.3), (4.6, 6.0), (4.0, 4.8),
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """Everything that a simulated experiment depends on, besides the seed.

    :meth:`make` builds the usual one from a few numbers; ``dataclasses.replace`` changes any of it.

    Parameters
    ----------
    spots
        With their ROIs.
    runs
        Measurements in time order.
    attenuators
        Changes of the attenuator in time order.
    dumps
        Frames without beam.
    beam_drift
        Amplitude of a slow relative fluctuation of the incident beam, which frames and monitor share; a minute long.
    diffuse
        Counts per pixel and frame everywhere, without attenuator; it is born of the beam, and attenuated with it.
    detector
        Shape, exposure, period and texts of the header. A period a little below 1 s makes whole-second stamps repeat.
    start
        Local time of the first frame.
    sample
        Folder.
    hot, dead
        Number of pixels that always count much, and never. They lie outside the ROIs unless ``faults_in_rois``.
    flat_frames, flat_counts
        Number of frames of the uniform illumination, and counts per pixel in each.
    flat_spread
        Standard deviation of the pixels' sensitivity; smooth and chip-wise structure comes on top.
    monitor
        Counts of the incident-beam monitor per frame; it sits before the attenuator.
    """

    spots: tuple[Spot, ...]
    runs: tuple[Run, ...]
    attenuators: tuple[Attenuator, ...] = ()
    dumps: tuple[Dump, ...] = ()
    beam_drift: float = 0.0
    diffuse: float = 8.0
    detector: Detector = field(default_factory=Detector)
    start: datetime = datetime(2014, 5, 28, 17, 1, 59, 370_000, TOKYO)
    sample: str = "0884"
    hot: int = 6
    dead: int = 8
    faults_in_rois: bool = False
    flat_frames: int = 16
    flat_counts: float = 4000.0
    flat_spread: float = 0.015
    monitor: float = 12_500.0

    def __post_init__(self) -> None:
        names = {run.name: run for run in self.runs}
        parts: list[tuple[Attenuator | Dump, int]] = [(part, part.transition + 1) for part in self.attenuators]
        parts += [(part, part.frames) for part in self.dumps]
        for part, length in parts:
            run = names.get(part.measurement)
            if run is None or not 0 <= part.frame <= run.frames - length:
                raise SchemaError(f"{part} lies outside the measurements {', '.join(names)}")

    @classmethod
    def make(cls, *, measurements: int = 3, frames: int = 120, counts: float = 4e6) -> Experiment:
        """Build the usual experiment.

        The second measurement is interrupted for an attenuator, the third begins with another one, and in the last
        one a filter drives in during the scan. The indium shutter is open in the middle of each.

        Parameters
        ----------
        measurements
            How many.
        frames
            Of each; at least 20.
        counts
            Of the WZ spot per frame at the start, without attenuator; everything else scales with it.

        Raises
        ------
        SchemaError
            Fewer than one measurement or than 20 frames.

        Examples
        --------
        >>> [run.scans for run in Experiment.make(frames=100).runs]
        [(100,), (60, 40), (100,)]
        """
        if measurements < 1 or frames < 20:
            raise SchemaError(f"an experiment needs 1 measurement of 20 frames, not {measurements} of {frames}")
        first = frames * 6 // 10
        growth = (frames // 5, frames * 11 // 20)
        runs = tuple(
            Run(f"time{number}", (first, frames - first) if number == 2 else (frames,), growth)
            for number in range(1, measurements + 1)
        )
        attenuators = [
            *([Attenuator("time2", first, 0.119)] if measurements > 1 else []),
            *([Attenuator("time3", 0, 0.35)] if measurements > 2 else []),
            Attenuator(runs[-1].name, frames * 4 // 5, 0.4 if measurements == 2 else 0.12, transition=3),
        ]
        return cls(_spots(counts), runs, tuple(attenuators), diffuse=2e-6 * counts)

    @property
    def rois(self) -> RoiSet:
        """ROIs of the spots, and the empty area ``BG`` that gives their background."""
        empty = Roi("BG", y=(60, 150), x=(145, 195), color="white", role="background", measure=("intensity",))
        return RoiSet([*(spot.roi for spot in self.spots), empty], self.detector.shape)

    def scans(self) -> Iterator[tuple[Run, int, int]]:
        """Each scan's run, SPEC number and number of frames, in time order."""
        for run in self.runs:
            for number, frames in zip(run.numbers, run.scans, strict=True):
                yield run, number, frames

    def timeline(self) -> xr.Dataset:
        """Return what is true at each frame, dims ``(time)``.

        Coordinates ``time`` (UTC, what the stamps truncate), ``measurement``, ``scan``, ``frame``, ``stamp``; variables
        ``progress`` (0 to 1, the part of the growth that is done), ``growing``, ``beam`` (0 in a dump, otherwise about
        1), ``transmission`` of the attenuator, ``segment`` (-1 in a transition).
        """
        first = round(self.start.timestamp() * 1e6)
        period = round(self.detector.exposure_period * 1e6)
        times: list[npt.NDArray[np.int64]] = []
        for run, _, frames in self.scans():
            times.append(first + period * np.arange(frames))
            first = int(times[-1][-1]) + period + int(run.pause * 1e6)
        microseconds = np.concatenate(times)
        runs = [(run.name, number) for run, number, frames in self.scans() for _ in range(frames)]
        local = (self.start + timedelta(microseconds=int(us - microseconds[0])) for us in microseconds)
        growing = np.concatenate([_shutter_open(run) for run in self.runs])
        transmission, segment = self._transmission()
        return xr.Dataset(
            {
                "progress": ("time", (np.cumsum(growing) - growing) / max(growing.sum(), 1)),
                "transmission": ("time", transmission),
                "segment": ("time", segment),
                "growing": ("time", growing),
                "beam": ("time", self._beam((microseconds - microseconds[0]) / 1e6)),
            },
            coords={
                "time": time_from_microseconds(microseconds),
                "measurement": ("time", np.array([name for name, _ in runs], dtype=str)),
                "scan": ("time", np.array([number for _, number in runs], dtype="int64")),
                "frame": ("time", np.concatenate([np.arange(frames) for _, _, frames in self.scans()])),
                "stamp": ("time", np.array([f"{when:%Y:%m:%d %H:%M:%S}" for when in local], dtype=str)),
            },
        )

    def position(self, measurement: str, frame: int) -> int:
        """Place on the time axis of a frame counted over a whole measurement."""
        before = 0
        for run in self.runs:
            if run.name == measurement:
                return before + frame
            before += run.frames
        raise SchemaError(f"there is no measurement {measurement!r}")

    def _beam(self, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        beam = 1 + self.beam_drift * np.sin(2 * np.pi * seconds / 60)
        for dump in self.dumps:
            first = self.position(dump.measurement, dump.frame)
            beam[first : first + dump.frames] = 0
        return beam

    def _transmission(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        total = sum(run.frames for run in self.runs)
        transmission, segment = np.ones(total), np.zeros(total, dtype="int64")
        for number, attenuator in enumerate(self.attenuators, start=1):
            begin = self.position(attenuator.measurement, attenuator.frame)
            end = begin + attenuator.transition
            old = transmission[begin]
            transmission[begin:end] = np.linspace(old, attenuator.transmission, attenuator.transition + 2)[1:-1]
            transmission[end:], segment[begin:end], segment[end:] = attenuator.transmission, -1, number
        return transmission, segment


def _shutter_open(run: Run) -> npt.NDArray[np.bool_]:
    frames = np.arange(run.frames)
    first, behind = run.growth or (0, 0)
    return (frames >= first) & (frames < behind)
