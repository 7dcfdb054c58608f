"""What is in a folder: frames, times, gaps, and the fate of every file; for ``xinsitu info``.

Nothing is opened lazily here and nothing raises because a frame is bad: a survey is made to find that out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xinsitu.clock import find_zone
from xinsitu.digits import counted
from xinsitu.errors import LayoutError, TimeError, collected, in_a_line
from xinsitu.schema import UNKNOWN_ZONE, FrameStatus

from .discover import Folder, FrameName, Series, holds_images, look, natural_key, why_none
from .faults import check_pixels, find_suspects, hollow, read_headers
from .formats.hdf5_stack import Hdf5Stack
from .formats.header import FrameFault, FrameHeader
from .gather import Gathered, by_page
from .gather_hdf5 import check_hdf5, join_hdf5, read_hdf5, unwritten, without_unwritten
from .instruments import GENERIC, Instrument
from .options import OpenOptions, check_instrument
from .paths import PathOrPaths, Source, hdf5_files, resolve, settled
from .recognition import GIVEN, Chosen, choose_instrument
from .series_survey import SHOWN, SeriesSurvey
from .times import Readings, TimeAxis, make_times


@dataclass(frozen=True)
class Survey:
    """What is in a folder; ``str`` gives it in words.

    Parameters
    ----------
    folder
        What was listed.
    series
        Series of frames in it, usually one.
    inside
        Surveys of the folders in it that hold frames.
    unread
        What to open of folders inside whose HDF5 files are not joined unasked.
    """

    folder: Folder
    series: tuple[SeriesSurvey, ...]
    inside: tuple[Survey, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def n_frames(self) -> int:
        """Good frames, in the folders inside too."""
        here = sum(len(series.headers) for series in self.series)
        return here + sum(survey.n_frames for survey in self.inside)

    @property
    def faults(self) -> tuple[FrameFault, ...]:
        """Bad frames, in the folders inside too."""
        here = [fault for series in self.series for fault in series.faults]
        return (*here, *(fault for survey in self.inside for fault in survey.faults))

    @property
    def fates(self) -> dict[str, str]:
        """What became of every file, by its path below the folder: ``ok``, a fault, ``log`` or ``no frame``."""
        found = dict.fromkeys(self.folder.logs, "log") | dict.fromkeys(self.folder.strays, "no frame")
        for series in self.series:
            found |= {file.name: "ok" for file in series.series.files}
            found |= dict.fromkeys(series.suspects, FrameStatus.SUSPECT_ZERO_TAIL.name.lower())
            found |= series.fates
        for survey in self.inside:
            name = os.path.basename(survey.folder.path)
            found |= {f"{name}/{file}": fate for file, fate in survey.fates.items()}
        return found

    def __str__(self) -> str:
        return "\n".join(map(in_a_line, self._lines()))

    def _lines(self) -> list[str]:
        lines = [self.folder.path]
        for series in self.series:
            lines += [f"  series    {series.series}"] if len(self.series) > 1 else []
            lines += [f"  {line}" for line in series.lines()]
        if self.series:
            files, frames = sum(one.files for one in self.series), sum(len(one.headers) for one in self.series)
            bad = sum(len(series.faults) for series in self.series)
            others = len(self.folder.logs) + len(self.folder.strays)
            good = (
                f"{counted(frames, 'good frame')}"
                if frames == files - bad
                else f"{files - bad} good ({counted(frames, 'frame')})"
            )
            lines.append(f"  files     {files + others} seen = {good} + {bad} bad + {counted(others, 'other')}")
        lines += [f"  log       {name}" for name in self.folder.logs]
        lines += [f"  no frame  {name}" for name in self.folder.strays]
        told = {os.path.basename(reason.partition(": ")[0]) for reason in self.unread} | self._names_inside()
        if without := [name for name in self.folder.folders if name not in told]:
            lines.append(f"  left out  {_listed(without)} (no frames)")
        lines += [f"  not read  {reason}" for reason in self.unread]
        for survey in self.inside:
            lines += ["", *survey._lines()]
        return lines

    def _names_inside(self) -> set[str]:
        return {os.path.basename(survey.folder.path) for survey in self.inside}


@dataclass(frozen=True)
class _How:
    """How a folder is looked at: zone and instrument as given, whether pixels are read too."""

    tz: str | None
    instrument: str | os.PathLike[str] | Instrument | None
    check: bool
    scan: str | int | None = None

    def chosen(self, path: PathOrPaths) -> Chosen:
        """Return the instrument of the frames in a folder, or of some files."""
        return choose_instrument(self.instrument, path)

    def zone(self, chosen: Chosen) -> tuple[str, str]:
        """Return the time zone of the stamps, and where it comes from."""
        return OpenOptions(tz=self.tz).zone(chosen.table)


def survey(
    path: PathOrPaths,
    *,
    tz: str | None = None,
    instrument: str | os.PathLike[str] | Instrument | None = None,
    check: bool = False,
    scan: str | int | None = None,
) -> Survey:
    """Look into a measurement, a flat field or a sample and read every header.

    Parameters
    ----------
    path
        Folder of frames, or of folders of frames; a pattern; a list of files; one file.
    tz, instrument
        As in :func:`~xinsitu.io.measurement.open_measurement`.
    scan
        Name of one of several scans in an HDF5 file, as in :func:`~xinsitu.io.measurement.open_measurement`.
    check
        Read and decode every pixel too: damage inside compressed frames shows in no header, nor does an end that was
        never written where the disc has no holes.

    Raises
    ------
    LayoutError
        There is no such folder, or there are no frames in it.

    Examples
    --------
    >>> print(survey("0884/time1"))
    /...0884/time1
      frames    20 of 195 x 487 int32, 7.7 MB (PILATUS 100K, S/N 1-0884)
      ...
    """
    check_instrument(instrument)
    if tz is not None:
        find_zone(tz)
    path = settled(path)
    how = _How(tz, instrument, check, scan)
    if not isinstance(path, str | os.PathLike) or not os.path.isdir(path):
        chosen = how.chosen(path)
        return _survey_files(resolve(path, chosen.table.patterns), how, chosen)
    found = _survey(os.fspath(path), how)
    inside = [
        _survey(os.path.join(found.folder.path, name), how) for name in sorted(found.folder.folders, key=natural_key)
    ]
    unread = tuple(why_none(one.folder) for one in inside if not one.series and holds_images(one.folder))
    result = Survey(found.folder, found.series, tuple(one for one in inside if one.series), unread)
    if not result.series and not result.inside:
        raise LayoutError(why_none(found.folder, inside=False))
    return result


def _survey_files(source: Source, how: _How, chosen: Chosen) -> Survey:
    """Survey files that were named or fit a pattern; what lies beside them is not looked at."""
    series = Series(os.path.basename(source.path), "", source.files)
    one = _survey_hdf5(source, how, chosen) if source.hdf5 else _survey_series(source.folder, series, how, chosen)
    return Survey(Folder(source.path, (series,)), (one,))


def _survey(path: str, how: _How) -> Survey:
    chosen = how.chosen(path)
    folder = look(path, chosen.table.patterns)
    if files := hdf5_files(folder, chosen.table.patterns):
        names = {file.name for file in files}
        rest = replace(folder, strays=tuple(name for name in folder.strays if name not in names))
        return Survey(rest, (_survey_hdf5(Source(folder.path, files, folder.path), how, chosen),))
    return Survey(folder, tuple(_survey_series(folder.path, series, how, chosen) for series in folder.series))


def _survey_hdf5(source: Source, how: _How, chosen: Chosen) -> SeriesSurvey:
    """Survey the frames in HDF5 files; a file that cannot be read counts as one."""
    found = read_hdf5(source.folder, source.files, how.scan)
    if how.check:
        found = [check_hdf5(one) for one in found]
    faults = tuple(one for one in found if isinstance(one, FrameFault))
    good = [one for one in found if isinstance(one, Gathered)]
    pairs: list[tuple[FrameName, FrameHeader]] = []
    never = 0
    if good:
        whole = join_hdf5(good)
        never = len(unwritten(whole))
        whole = without_unwritten(whole)
        paths = whole.stack.paths if isinstance(whole.stack, Hdf5Stack) else whole.stack.names
        names = [os.path.relpath(path, source.folder) for path in paths]
        counts = Counter(names)
        pairs = [
            (FrameName(name, int(scan), int(frame)), header._replace(size=header.size // counts[name]))
            for name, scan, frame, header in zip(names, whole.scan, whole.frame, whole.headers, strict=True)
            if header is not None
        ]
    from .reopening import said_of  # a netCDF file is read with more than frames need

    written, (zone, zone_source), instrument = said_of(source), how.zone(chosen), str(chosen)
    if written:
        known = written.get("time_zone_source", UNKNOWN_ZONE)
        zone, zone_source = ("" if known == UNKNOWN_ZONE else str(written.get("time_zone", ""))), str(known)
        instrument = f"{written.get('instrument', GENERIC)} ({written.get('instrument_source', GIVEN)})"
    axis, trouble = _axis(source.path, pairs, zone) if pairs else (None, "no frame can be read")
    bad = (FrameName(os.path.relpath(fault.path, source.folder), 1, 0) for fault in faults)
    return SeriesSurvey(
        folder=source.folder,
        series=Series(os.path.basename(source.path), "", (*(file for file, _ in pairs), *bad)),
        headers=tuple(header for _, header in pairs),
        faults=faults,
        axis=axis,
        time_error=trouble,
        zone=zone,
        zone_source=zone_source,
        instrument=instrument,
        files=len(source.files),
        checked=how.check,
        unwritten=never,
        written=written,
        remarks=tuple(dict.fromkeys(remark for one in good for remark in one.remarks)),
    )


def _survey_series(folder: str, series: Series, how: _How, chosen: Chosen) -> SeriesSurvey:
    found = read_headers(folder, series.files)
    dark = hollow(found)
    if how.check:
        found, dark = check_pixels(folder, series.files, found)
    suspects = find_suspects(folder, series.files, found, dark)
    pairs = by_page(series.files, found)
    good = [(file, header) for file, header in pairs if isinstance(header, FrameHeader)]
    zone, zone_source = how.zone(chosen)
    axis, trouble = _axis(folder, good, zone) if good else (None, "no frame can be read")
    return SeriesSurvey(
        folder=folder,
        series=replace(series, files=tuple(file for file, _ in pairs)),
        headers=tuple(header for _, header in good),
        faults=tuple(header for header in found if isinstance(header, FrameFault)),
        axis=axis,
        time_error=trouble,
        zone=zone,
        zone_source=zone_source,
        instrument=str(chosen),
        files=len(series.files),
        suspects=tuple(series.files[index].name for index in suspects),
        remarks=tuple(dict.fromkeys(said for one in found if isinstance(one, FrameHeader) for said in one.remarks)),
        checked=how.check,
    )


def _axis(path: str, good: list[tuple[FrameName, FrameHeader]], zone: str) -> tuple[TimeAxis | None, str]:
    """Find the times of good frames; or None, and why there are none."""
    files, headers = zip(*good, strict=True)
    scan, frame = np.array([(file.scan, file.frame) for file in files], dtype="int64").T
    readings = Readings.of(headers, scan, frame, [file.name for file in files], path)
    with collected():
        try:
            return make_times(readings, zone=zone or "UTC", order_error="ignore"), ""
        except TimeError as error:
            return None, str(error)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{len(names)}: {shown}{', ...' if len(names) > SHOWN else ''}"
