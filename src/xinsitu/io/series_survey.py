"""What one series of frames holds, in lines for people: frames, numbers, times, faults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu.clock import in_zone, needs_zone
from xinsitu.digits import counted
from xinsitu.schema import APPLIED, UNKNOWN_ZONE

from .discover import Series
from .formats.header import FrameFault, FrameHeader
from .times import TimeAxis

SHOWN = 12
"""So many names at most are listed in a line."""
_PAUSE = 3
"""A pause is a step in time of more than so many times the usual one, and of more than two resolutions."""


@dataclass(frozen=True)
class SeriesSurvey:
    """What one series of frames holds.

    Parameters
    ----------
    folder, series
        The files.
    headers
        Of the good frames, one for each page of a file.
    faults
        Of the others.
    axis
        Times of the good frames; None where they make no sense, and ``time_error`` says why.
    zone, zone_source
        Time zone of the stamps, empty where it is not known, and where that comes from.
    instrument
        Whose frames these are, and by what that is known.
    files
        How many files there are, good and bad.
    suspects
        Names of good frames whose end was never written and reads as zeros.
    checked
        Whether every pixel was read.
    unwritten
        How many frames HDF5 files count and do not hold.
    remarks
        What the files should be known for, as opening warns of it.
    """

    folder: str
    series: Series
    headers: tuple[FrameHeader, ...]
    faults: tuple[FrameFault, ...]
    axis: TimeAxis | None
    time_error: str
    zone: str
    zone_source: str
    instrument: str
    files: int
    suspects: tuple[str, ...] = ()
    checked: bool = False
    unwritten: int = 0
    remarks: tuple[str, ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict)
    """What frames that xinsitu has written say of themselves."""

    @property
    def good(self) -> list[int]:
        """Positions of the good frames among the files."""
        bad = self.fates.keys()
        return [index for index, file in enumerate(self.series.files) if file.name not in bad]

    @property
    def fates(self) -> dict[str, str]:
        """Status of the bad frames by their names."""
        return {os.path.relpath(fault.path, self.folder): fault.status.name.lower() for fault in self.faults}

    def lines(self) -> list[str]:
        """Describe the series, one fact per line."""
        return [*self._frames(), f"from      {self.instrument}", *self._numbers(), *self._times(), *self._faults()]

    def _frames(self) -> list[str]:
        if not self.headers:
            return [f"frames    none of {len(self.series.files)} can be read"]
        first = self.headers[0]
        detector, serial = first.detector
        detector, serial = self.written.get("detector", detector), self.written.get("detector_serial", serial)
        what = ", ".join(part for part in (detector, f"S/N {serial}" if serial else "") if part)
        size = sum(header.size for header in self.headers) / 1e6
        lines = [
            f"frames    {len(self.headers)} of {first.shape[0]} x {first.shape[1]} {first.dtype.newbyteorder('=')}, "
            + f"{size:.1f} MB"
            + (f" ({what})" if what else "")
        ]
        text = first.text
        if text.exposure_time is not None:
            period = "" if text.exposure_period is None else f", period {text.exposure_period:g} s"
            lines.append(f"exposure  {self._exposures()} s{period}{self._apart(text.exposure_period)}")
        if done := str(self.written.get(APPLIED, "")).split():
            lines.append(f"done      {', '.join(done)}")
        if text.flat_field:
            lines.append(f"flat      camserver has already applied {text.flat_field}")
        return lines

    def _exposures(self) -> str:
        """Shortest and longest, where frames were not all exposed alike."""
        every = [header.text.exposure_time for header in self.headers]
        known = [one for one in every if one is not None]
        ends = f"{min(known):g}" if min(known) == max(known) else f"{min(known):g} to {max(known):g}"
        return ends + (f" ({counted(every.count(None), 'frame does', 'frames do')} not say)" if None in every else "")

    def _apart(self, period: float | None) -> str:
        """Say how far frames are apart where that is not the period of their header."""
        if period is None or self.axis is None or self.axis.source == "frame" or len(self.axis.microseconds) < 3:
            return ""
        step = float(np.median(np.diff(self.axis.microseconds))) / 1e6
        off = abs(step - period) > max(self.axis.resolution, 0.1 * period) / 2
        return f" by the header, but frames come {step:g} s apart" if off else ""

    def _numbers(self) -> list[str]:
        lines = []
        for scan, files in groupby(self.series.files, key=lambda file: file.scan):
            numbers = [file.frame for file in files]
            gaps = missing_ranges(numbers)
            lost = ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in gaps[:SHOWN])
            more = ", ..." if len(gaps) > SHOWN else ""
            lines.append(
                f"numbers   scan {scan}: {numbers[0]} to {numbers[-1]}, "
                + (f"missing {lost}{more}" if gaps else "none missing")
            )
        return lines

    def _times(self) -> list[str]:
        if self.axis is None:
            return [f"time      {self.time_error}"]
        axis, names = self.axis, [self.series.files[index].name for index in self.good]
        source = str(self.written.get("time_source") or self.headers[0].stamp_source or "none in the first frame")
        if "frame" in (axis.source, source):
            return ["time      no stamps; only frame numbers"]
        lines = [
            f"time      {self._span(axis)}",
            f"stamps    {source}, resolution {float(self.written.get('time_resolution', axis.resolution)):g} s",
        ]
        for index, seconds in pauses(axis.microseconds, axis.resolution)[:SHOWN]:
            lines.append(f"pause     {seconds:g} s after {names[index]}")
        if axis.interpolated.any():
            lines.append(
                f"no stamp  {counted(axis.interpolated.sum(), 'frame')}, {names[int(axis.interpolated.argmax())]} first"
            )
        for doubtful, why in (
            (axis.impossible, "stamped before 1995 or in the future"),
            (axis.set_back, "in doubt, as the clock was set back"),
        ):
            if doubtful is not None and doubtful.any():
                lines.append(
                    f"doubtful  {counted(doubtful.sum(), 'frame is', 'frames are')} {why}, "
                    f"{names[int(doubtful.argmax())]} first"
                )
        if axis.stale.any():
            first_stale = int(axis.stale.argmax())
            lines.append(
                f"backwards {counted(axis.stale.sum(), 'frame is', 'frames are')} older than one before, "
                f"{names[first_stale]} first; "
                "open with order_error='ignore' (--ignore-time-order)"
            )
        return lines

    def _span(self, axis: TimeAxis) -> str:
        """First and last time, and of which clock."""
        zoneless = any(header.utc is None and needs_zone(header.stamp) for header in self.headers)
        zoneless |= self.written.get("time_zone_source") == UNKNOWN_ZONE
        zone = self.zone or "UTC"
        first, last = (_local(int(axis.microseconds[end]), zone) for end in (0, -1))
        span = first if first == last else f"{first} to {last}"
        if not self.zone and zoneless:
            return f"{span} on the detector's clock; its time zone is not known (--tz, --instrument)"
        source = {"instrument": "of the instrument", "tz": "as given"}.get(self.zone_source, "by the stamps")
        utc = _local(int(axis.microseconds[0]), "UTC")
        return f"{span} {zone} ({source})" + ("" if zone == "UTC" else f"; begins {utc} UTC")

    def _faults(self) -> list[str]:
        faults = [
            f"fault     {os.path.basename(fault.path)}: {fault.status.name.lower()}, {fault.reason}"
            for fault in self.faults
        ]
        suspects = [f"suspect   {name}: its end was never written and reads as zeros" for name in self.suspects]
        never = (
            [f"missing   {counted(self.unwritten, 'frame was', 'frames were')} never written, or not yet"]
            if self.unwritten
            else []
        )
        read = [f"checked   every pixel of {counted(len(self.headers), 'frame')} was read"] if self.checked else []
        notes = [f"note      {remark}" for remark in self.remarks]
        return [*faults, *never, *suspects, *notes, *read]


def missing_ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of every run of numbers that is not there.

    Examples
    --------
    >>> missing_ranges([0, 1, 4, 5, 7])
    [(2, 3), (6, 6)]
    """
    return [(one + 1, other - 1) for one, other in pairwise(numbers) if other - one > 1]


def pauses(microseconds: npt.NDArray[np.int64], resolution: float) -> list[tuple[int, float]]:
    """Positions before a pause, and how many seconds it lasts.

    Examples
    --------
    >>> pauses(np.array([0, 1, 2, 62, 63]) * 1_000_000, 1.0)
    [(2, 60.0)]
    """
    if len(microseconds) < 3:
        return []
    steps = np.diff(microseconds) / 1e6
    usual = float(np.median(steps))
    long = np.flatnonzero(steps > max(_PAUSE * usual, usual + 2 * resolution))
    return [(int(index), float(steps[index])) for index in long]


def _local(microseconds: int, zone: str) -> str:
    (time,) = in_zone(np.array([microseconds], "datetime64[us]"), zone)
    return str(time.astype("datetime64[us]")).replace("T", " ").rstrip("0").rstrip(".")
