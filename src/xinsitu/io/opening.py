"""From a path to the Dataset of a measurement, not yet chunked."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TypeGuard

import numpy as np
import xarray as xr

from xinsitu.clock import find_zone, needs_zone, parse_stamp, to_utc
from xinsitu.errors import DocumentError, LayoutError, TimeError, warn
from xinsitu.schema import UNKNOWN_ZONE, microseconds_from_time, mid_exposure

from .assemble import Clock, assemble
from .formats.hdf5_stack import Hdf5Stack
from .formats.stack import FrameStack
from .formats.zarr_stack import ZarrStack, attributes_of
from .gather import Gathered, gather
from .instruments import Instrument
from .log_join import FrameKeys, NoLog, find_logs, join_logs
from .options import NO_ZONE, OpenOptions
from .paths import NEWEST, PathOrPaths, Source, resolve, settled
from .recognition import Chosen, choose_instrument
from .reopening import all_own, reopened, reopened_store
from .times import Readings, make_times

log = logging.getLogger(__name__)


def open_lazily(path: PathOrPaths, opening: OpenOptions) -> tuple[xr.Dataset, FrameStack | Hdf5Stack | ZarrStack]:
    """Open frames as a Dataset without dask, and the stack behind its image.

    Raises
    ------
    LayoutError, FrameError, TimeError
        As in :func:`~xinsitu.io.measurement.open_measurement`.
    """
    path = settled(path)
    if is_store(path):
        dataset, stack = reopened_store(_absolute(path), opening)
        return dataset, stack
    chosen = choose_instrument(opening.instrument, path)
    source = resolve(path, chosen.table.patterns, opening.series)
    gathered = gather_source(
        source,
        on_error=opening.on_error,
        newest=opening.series == NEWEST,
        fill_missing=opening.fill_missing,
        scan=opening.scan,
    )
    dataset = (_reopened if all_own(source) else described)(source, gathered, opening, chosen)
    said = (dataset.attrs.get(name) for name in ("instrument", "instrument_source", "time_source"))
    log.info("%s: %d frames, instrument %s (%s), times from %s", source.path, dataset.sizes["time"], *said)
    return dataset, gathered.stack


def is_store(path: PathOrPaths) -> TypeGuard[str | os.PathLike[str]]:
    """Whether frames lie in a Zarr store."""
    return isinstance(path, str | os.PathLike) and attributes_of(_absolute(path)) is not None


def _absolute(path: str | os.PathLike[str]) -> str:
    return os.path.abspath(os.path.expanduser(path))


def described(
    source: Source,
    gathered: Gathered,
    opening: OpenOptions,
    chosen: Chosen,
    *,
    last: bool = False,
    growing: bool = False,
) -> xr.Dataset:
    """Return the Dataset of frames that were gathered: with their times, and the logs beside them.

    ``last``: they are the last ones of a measurement, of which points of a log cannot be counted. ``growing``:
    more may come.

    Raises
    ------
    TimeError, DocumentError
        As in :func:`~xinsitu.io.measurement.open_measurement`.
    """
    table = chosen.table
    zone, zone_source = opening.zone(table)
    axis = make_times(
        _readings(source, gathered, opening.period),
        zone=zone or "UTC",  # of no meaning where it is not known: times stay what the clock showed
        time=opening.time,
        order_error=opening.order_error,
    )
    if zone_source == UNKNOWN_ZONE and (axis.source not in ("stamp", "period") or _counted(gathered)):
        zone, zone_source = "UTC", "stamps" if axis.source in ("stamp", "period") else axis.source
    if zone_source == UNKNOWN_ZONE:
        warn(f"{source.path}: {NO_ZONE}")
    if opening.tz:
        _warn_of_offset(source.path, gathered.first.stamp, opening.tz)
    clock = Clock(axis, zone, zone_source, opening.stamp_marks or table.stamp_marks)
    dataset = assemble(source.path, gathered, clock, chosen)
    if opening.scan is not None:
        dataset = dataset.assign_coords(measurement=f"{dataset.measurement.item()}_{opening.scan}")
    keys = replace(_keys(dataset, gathered, clock, table), last=last, growing=growing)
    return _with_logs(dataset, opening.logs, source, keys, table)


def _reopened(source: Source, gathered: Gathered, opening: OpenOptions, chosen: Chosen) -> xr.Dataset:
    """Open frames that xinsitu has read before; a log joins them only where it is named."""
    dataset = reopened(source, gathered, opening, chosen)
    if opening.logs in (None, "auto"):
        return dataset
    times = None if dataset.attrs.get("time_source") == "frame" else microseconds_from_time(mid_exposure(dataset))
    zone = str(dataset.attrs.get("time_zone") or "UTC")
    table = chosen.table
    keys = FrameKeys(gathered.stack.names, gathered.scan, gathered.frame, times, zone, table.log_tolerance)
    return _with_logs(dataset, opening.logs, source, keys, table)


def _warn_of_offset(path: str, text: str, tz: str) -> None:
    """Say that a stamp brings an offset of its own which is not that of the zone that was given."""
    stamp = parse_stamp(text)
    if stamp is None or stamp.offset is None:
        return
    clock = np.array([stamp.microseconds])
    try:
        offset = int((clock - to_utc(clock, find_zone(tz)))[0])
    except TimeError:  # an hour that occurs twice: the stamp's own offset is what tells
        return
    if offset != stamp.offset:
        warn(f"{path}: the stamps say their own offset from UTC ({text}); tz={tz!r} contradicts it and is not used")


def _keys(dataset: xr.Dataset, gathered: Gathered, clock: Clock, table: Instrument) -> FrameKeys:
    times = None if clock.axis.source == "frame" else microseconds_from_time(mid_exposure(dataset))
    names = gathered.stack.names
    return FrameKeys(names, gathered.scan, gathered.frame, times, clock.zone or "UTC", table.log_tolerance)


def _with_logs(
    dataset: xr.Dataset,
    logs: str | os.PathLike[str] | None,
    source: Source,
    keys: FrameKeys,
    table: Instrument,
) -> xr.Dataset:
    """Join the logs that were asked for, or those that lie beside the frames; these may also not fit."""
    if logs is None:
        return dataset
    paths: list[str] = []
    try:
        scans = np.unique(keys.scan).tolist()
        paths = find_logs(source.folder, table.logs, scans) if logs == "auto" else [os.fspath(logs)]
        if not paths:
            return dataset
        columns, said = join_logs(paths, keys, table)
    except DocumentError as error:
        if keys.last:  # what does not fit some may fit all
            return dataset
        names = ", ".join(map(os.path.basename, paths[:3]))
        said = f"{f'{names} is not' if names else 'no log is'} joined to the frames: {error}"
        if logs != "auto":
            raise DocumentError(f"{source.path}: {said}") from None
        if not isinstance(error, NoLog):  # a file that is no log is nobody's fault
            warn(f"{source.path}: {said}")
        return dataset.assign_attrs(log_join=said)
    new = {name: column for name, column in columns.items() if name not in dataset.variables}
    if twice := sorted(set(columns) - set(new)):
        said += f"; {', '.join(twice)} taken from the headers of the frames"
    return dataset.assign_coords(new).assign_attrs(log_join=said)


def gather_source(
    source: Source,
    *,
    on_error: str = "raise",
    newest: bool = False,
    fill_missing: bool = False,
    scan: str | int | None = None,
) -> Gathered:
    """Describe the frames of a source, be they files of their own or in HDF5 files."""
    if not source.hdf5:
        if scan is not None:
            raise LayoutError(f"{source.path}: scan={scan!r} chooses a scan in an HDF5 file; these are frames in files")
        return gather(source.folder, source.files, on_error=on_error, newest=newest, fill_missing=fill_missing)
    if newest or fill_missing:
        asked = "series='newest'" if newest else "fill_missing"
        raise LayoutError(f"{source.path}: {asked} is for frames in files of their own, not in HDF5 files")
    from .gather_hdf5 import gather_hdf5  # h5py is not needed for folders of frames

    return gather_hdf5(source.folder, source.files, on_error=on_error, scan=scan)


def _readings(source: Source, gathered: Gathered, period: float | None) -> Readings:
    keys = gathered.scan, gathered.frame, gathered.stack.names
    return replace(Readings.of(gathered.headers, *keys, source.path, period), cause=_cause(source, gathered))


def _cause(source: Source, gathered: Gathered) -> str:
    """Say why times may run backwards, with the keyword that helps for these frames."""
    if source.listed:
        return "a list of files is opened in its own order (give it in that of time), or "
    if source.hdf5 or gathered.first.pages > 1:
        return ""
    return "left by an older series (series='newest', --series newest, leaves them out), or "


def _counted(gathered: Gathered) -> bool:
    """Whether no stamp needs a zone: counts of seconds, stamps with an offset of their own, texts that are no time."""
    return all(header is None or header.utc is not None or not needs_zone(header.stamp) for header in gathered.headers)
