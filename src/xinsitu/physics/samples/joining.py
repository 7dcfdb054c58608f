"""One sample, one time axis: measurements joined in the order in which they happened."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError, StitchError
from xinsitu.physics.attenuation.finding import FoundChanges, find_attenuation_changes
from xinsitu.physics.attenuation.scaling import (
    attenuation_changes,
    attenuation_record,
    correct_attenuation,
    undo_attenuation,
)
from xinsitu.physics.moments import measurement_labels, time_text, times
from xinsitu.physics.moments import resolve_key as resolve_key
from xinsitu.schema import REFERENCE, SCALED, SHARED_ERRORS, UNKNOWN_ZONE, Quality, describe, errors_name, require
from xinsitu.values import AttenuationChange
from xinsitu.variables import joined_remarks

from .alignment import aligned
from .bad_frames import flag_bad_frames

_LISTS = ("sources", "events")
"""Attributes that are JSON lists, of which a sample has all entries of its measurements."""

Series = xr.Dataset | Mapping[str, xr.Dataset] | Iterable[xr.Dataset] | xr.DataTree


def stitch(series: Series, *, allow_overlap: bool | str | Iterable[str] = False) -> xr.Dataset:
    """Join ROI time series into one sample, sorted on time.

    Gaps between measurements stay gaps: no frame is invented. ROIs agree by name; where a measurement lacks a ROI its
    values are NaN (0 valid pixels, -1 saturated ones). A column that only some measurements have is NaN in the others.
    Only coordinates are read; nothing else is computed.

    Parameters
    ----------
    series
        ROI time series, dims ``(time, roi)``, in any order; a mapping or DataTree from measurement names to them; or
        a sample made earlier, to which others are appended.
    allow_overlap
        Names of measurements that may overlap others in time (interleaved scans), or True for all of them.

    Returns
    -------
    xr.Dataset
        Dims ``(time, roi)``; ``measurement`` and ``segment`` (all 0) are coordinates on time, and whatever else differs
        between the measurements. Where the boxes of a ROI differ, ``roi_y0`` to ``roi_x1`` have dims ``(time, roi)``.

    Raises
    ------
    StitchError
        There is nothing to join, two measurements overlap in time or are the same one, units differ, or a part is
        already corrected for attenuation.
    SchemaError
        A series has no UTC ``time``.

    Warns
    -----
    XinsituWarning
        The boxes of a ROI differ.

    Examples
    --------
    >>> def series(name, start, values):
    ...     time = np.datetime64(start, "ns") + np.arange(len(values)) * np.timedelta64(1, "s")
    ...     return xr.Dataset(
    ...         {"intensity": (("time", "roi"), np.transpose([values]))},
    ...         {"time": time, "roi": ["WZ"], "measurement": name},
    ...     )
    >>> first, second = series("time1", "2014-05-28", [1.0, 2.0]), series("time2", "2014-05-28T01", [3.0])
    >>> sample = stitch([second, first])
    >>> sample.intensity.sel(roi="WZ").values, sample.measurement.values.tolist()
    (array([1., 2., 3.]), ['time1', 'time1', 'time2'])
    """
    parts = sorted(_named(series), key=lambda part: part.span)
    if not parts:
        raise StitchError("there is nothing to stitch: give at least one ROI time series with frames")
    _refuse_other_clocks(parts)
    _refuse_repeated(parts)
    _refuse_overlaps(parts, allow_overlap)
    _refuse_other_units(parts)
    datasets = aligned(at_one_reference([part.data for part in parts]))
    joined = xr.concat(
        datasets,
        dim="time",
        join="exact",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        combine_attrs="drop_conflicts",
    )
    joined.attrs = _attributes(parts)
    described = _described(_sorted(joined))
    said = [part.said for part in parts if part.said is not None]
    return described.assign(remarks=joined_remarks(said)).set_coords("remarks") if said else described


# -- what is joined ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """One Dataset to join, with ``measurement`` on its time axis."""

    data: xr.Dataset
    said: tuple[str, xr.Variable] | None = None
    """Its name, empty where it is a sample already, and its remarks."""

    @property
    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last time."""
        axis = times(self.data)
        return axis.min(), axis.max()

    @property
    def spans(self) -> dict[str, tuple[np.datetime64, np.datetime64]]:
        """First and last time of each measurement in it."""
        axis, labels = times(self.data), self.data["measurement"].values
        return {str(name): (axis[labels == name].min(), axis[labels == name].max()) for name in np.unique(labels)}


def append_measurements(
    sample: xr.Dataset,
    series: Series,
    *,
    changes: Iterable[AttenuationChange] = (),
    find: bool = False,
    allow_overlap: bool | str | Iterable[str] = False,
    bad_frames: Iterable[Any] = (),
) -> xr.Dataset:
    """Append measurements to a sample, which may be corrected for attenuation already.

    The correction is undone, the measurements are joined, and the sample's own changes are applied again with their
    factors, together with the new ones.

    Parameters
    ----------
    sample
        A sample, e.g. read from its file.
    series
        What to append, as in :func:`~xinsitu.stitch`.
    changes
        New changes; none of them may be one of the sample's.
    find
        Look for changes among the new frames, too.
    allow_overlap
        As in :func:`~xinsitu.stitch`.
    bad_frames
        Frames of the longer sample to flag first, as in :func:`~xinsitu.flag_bad_frames`.

    Raises
    ------
    StitchError
        As :func:`~xinsitu.stitch` and :func:`~xinsitu.correct_attenuation`.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(2) * np.timedelta64(1, "s")
    >>> counts = xr.Dataset({"intensity": (("time", "roi"), np.ones((2, 1)))}, {"time": time, "roi": ["WZ"]})
    >>> first = counts.assign_coords(measurement="time1", sample="0884")
    >>> second = counts.assign_coords(measurement="time2", sample="0884", time=time + np.timedelta64(60, "s"))
    >>> append_measurements(stitch([first]), [second]).measurement.values.tolist()
    ['time1', 'time1', 'time2', 'time2']
    """
    return appended(sample, series, changes=changes, find=find, allow_overlap=allow_overlap, bad_frames=bad_frames)[0]


def appended(
    sample: xr.Dataset,
    series: Series,
    *,
    changes: Iterable[AttenuationChange],
    find: bool,
    allow_overlap: bool | str | Iterable[str],
    bad_frames: Iterable[Any],
) -> tuple[xr.Dataset, FoundChanges]:
    """As :func:`append_measurements`; and all changes, with what was looked at among the new frames and not taken."""
    require(sample, dims=("time", "roi"))
    if not sample.sizes["time"]:
        raise StitchError("there is no frame in the sample to append to")
    record = attenuation_record(sample)
    measured = undo_attenuation(sample) if record else sample
    joined = stitch({"sample": measured, **named_series(series)}, allow_overlap=allow_overlap)
    if listed := list(bad_frames):
        joined = flag_bad_frames(joined, listed)
    last = times(sample).max()
    found = find_attenuation_changes(joined) if find else FoundChanges([])
    new = [*changes, *(one for one in found if isinstance(one.after, np.datetime64) and one.after > last)]
    rejected = [one for one in found.rejected if one.after > last]
    every = FoundChanges([*attenuation_changes(sample), *new], rejected)
    if not record and not new and not any(one.doubtful for one in rejected):
        return joined, every
    longer = correct_attenuation(
        joined, every, roi=record.get("asked"), reference=int(record.get("reference_segment", 0))
    )
    near = sample["quality"] & int(Quality.NEAR_CHANGE) if record and "quality" in sample else None
    if near is None or not bool((near > 0).any()):
        return longer, every
    known = near.reindex(time=longer["time"], roi=longer["roi"], fill_value=0).transpose(*longer["quality"].dims)
    return longer.assign(quality=(longer["quality"] | known).assign_attrs(longer["quality"].attrs)), every


def _named(series: Series) -> Iterator[_Part]:
    for name, data in _pairs(series):
        require(data, dims=("time",))
        axis = times(data)
        if np.isnat(axis).any():
            raise SchemaError(f"{name}: 'time' has empty entries (NaT); every frame needs a time to be stitched")
        if "attenuation_factor" in data.variables:
            raise StitchError(f"{name} is already corrected for attenuation; undo_attenuation before stitching")
        if not axis.size:
            continue
        labels = measurement_labels(data)
        labels = np.full(axis.shape, name) if labels is None else labels
        bare = data.drop_vars(["measurement", "segment", "remarks"], errors="ignore").drop_encoding()
        read = bare.coords.to_dataset().drop_vars(SHARED_ERRORS, errors="ignore")  # these wait for all frames
        bare = bare.assign_coords(read.compute().coords)
        said = None
        if "remarks" in data.variables and not data["remarks"].dims:
            said = ("" if "segment" in data.variables else str(labels[0]), data["remarks"].variable)
        first = ("time", np.zeros(axis.shape, dtype="int64"))
        yield _Part(bare.assign_coords(measurement=("time", labels), segment=first), said)


def named_series(series: Series) -> dict[str, xr.Dataset]:
    """Return the Datasets of anything that can be stitched, under the names that it gives them."""
    return dict(_pairs(series))


def _pairs(series: Series) -> Iterator[tuple[str, xr.Dataset]]:
    pairs: Iterable[tuple[object, object]]
    if isinstance(series, xr.DataTree):
        nodes = (node for node in series.subtree if "time" in node.dims and node.attrs.get("NX_class") != "NXdata")
        pairs = [(node.name or "root", node.to_dataset()) for node in nodes]  # plots of a file hold copies
    elif isinstance(series, xr.Dataset):
        pairs = [("1", series)]
    elif isinstance(series, Mapping):
        pairs = series.items()
    else:
        pairs = enumerate(series, start=1)
    for name, data in pairs:
        if not isinstance(data, xr.Dataset) or "image" in data:
            raise StitchError(f"series {name} is a {type(data).__name__}, no Dataset of ROIs, as measure gives it")
        yield str(name), data


# -- what is refused --------------------------------------------------------------------------------------------------


def _frames(data: xr.Dataset, name: str) -> set[tuple[int, int]] | None:
    """(scan, frame) of every frame of one measurement."""
    if "frame" not in data.coords:
        return None
    here = data["measurement"].values == name
    numbers = [
        np.broadcast_to(data[key].values if key in data.coords else 1, here.shape)[here] for key in ("scan", "frame")
    ]
    return set(zip(*(column.tolist() for column in numbers), strict=True))


def _refuse_repeated(parts: Sequence[_Part]) -> None:
    """Refuse the same frames twice; the scans of one measurement may come apart."""
    seen: dict[str, list[xr.Dataset]] = {}
    for part in parts:
        for name in part.spans:
            for other in seen.setdefault(name, []):
                ours, theirs = _frames(part.data, name), _frames(other, name)
                if ours is None or theirs is None:
                    raise StitchError(f"measurement {name!r} is given twice; give it once, or name the two apart")
                if common := ours & theirs:
                    scan, frame = min(common)
                    raise StitchError(
                        f"measurement {name!r} is given twice: both parts hold scan {scan} frame {frame}; leave one out"
                    )
            seen[name].append(part.data)


def _refuse_other_clocks(parts: Sequence[_Part]) -> None:
    """Refuse UTC and the readings of a clock whose zone is not known on one axis."""
    clocks = {
        part.data.attrs.get("time_zone_source") == UNKNOWN_ZONE: next(iter(part.spans)) for part in reversed(parts)
    }
    if len(clocks) > 1:
        raise StitchError(
            f"the times of {clocks[True]} are those of a clock whose zone is not known, and those of {clocks[False]} "
            "are UTC; open the former with tz= (--tz)"
        )


def _refuse_overlaps(parts: Sequence[_Part], allow: bool | str | Iterable[str]) -> None:
    if allow is True:
        return
    allowed = {allow} if isinstance(allow, str) else set(allow or ())
    said = partial(time_text, parts[0].data)
    spans = [(number, name, *span) for number, part in enumerate(parts) for name, span in part.spans.items()]
    for i, (part, name, start, stop) in enumerate(spans):
        for other_part, other, other_start, other_stop in spans[i + 1 :]:
            if part == other_part or {name, other} & allowed:
                continue
            if min(stop, other_stop) > max(start, other_start) or (start == other_start and stop == other_stop):
                raise StitchError(
                    f"{name} ({said(start)} to {said(stop)}) and {other} ({said(other_start)} to "
                    f"{said(other_stop)}) overlap in time; allow it by name if they were interleaved"
                )


def _refuse_other_units(parts: Sequence[_Part]) -> None:
    first: dict[Hashable, tuple[str, str]] = {}
    for part in parts:
        name = next(iter(part.spans))
        for variable, data in part.data.data_vars.items():
            units = str(data.attrs.get("units", ""))
            other, known = first.setdefault(variable, (name, units))
            if units != known:
                raise StitchError(
                    f"{variable} of {other} is in {known or 'no units'} and of {name} in {units or 'no units'}; "
                    "measure them with the same correction"
                )


# -- the result -------------------------------------------------------------------------------------------------------


def _sorted(joined: xr.Dataset) -> xr.Dataset:
    """Sorted on time; frames with the same stamp keep their order."""
    axis = times(joined)
    if np.all(axis[1:] >= axis[:-1]):
        return joined
    return joined.isel(time=np.argsort(axis, kind="stable"))


def _attributes(parts: Sequence[_Part]) -> dict[str, object]:
    """Return what all measurements say, and the list of where they came from."""
    first, *others = (dict(part.data.attrs) for part in parts)
    common = {
        key: value
        for key, value in first.items()
        if key not in _LISTS and all(_same(value, other.get(key)) for other in others)
    }
    sources: list[str] = []
    events: dict[object, object] = {}
    for part in parts:
        listed = json.loads(part.data.attrs["sources"]) if "sources" in part.data.attrs else []
        sources += listed or [part.data.attrs["source"]] if listed or "source" in part.data.attrs else []
        for event in json.loads(part.data.attrs.get("events", "[]")):
            events.setdefault(event.get("name"), event)
    lists = {"sources": list(dict.fromkeys(sources)), "events": list(events.values())}
    return common | {key: json.dumps(values, ensure_ascii=False) for key, values in lists.items() if values}


def _same(value: object, other: object) -> bool:
    return type(value) is type(other) and bool(np.array_equal(np.asarray(value), np.asarray(other)))


def _described(joined: xr.Dataset) -> xr.Dataset:
    names = ("measurement", "segment")
    return joined.assign_coords({name: describe(joined[name].reset_coords(drop=True), name).variable for name in names})


# -- one monitor -------------------------------------------------------------------------------------------------------


def at_one_reference(datasets: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Bring intensities that were normalised to different references to that of the first one.

    Raises
    ------
    StitchError
        Some were normalised and some were not.

    Examples
    --------
    >>> series = [xr.Dataset({"intensity": ("time", [4.0])}, attrs={REFERENCE: value}) for value in (2.0, 1.0)]
    >>> [float(one.intensity[0]) for one in at_one_reference(series)]
    [4.0, 8.0]
    """
    known = [data.attrs.get(REFERENCE) for data in datasets]
    if all(reference is None for reference in known):
        return list(datasets)
    if any(reference is None for reference in known):
        raise StitchError("some of the series are normalised by a monitor and some are not: they have no common scale")
    references = [float(str(reference)) for reference in known]
    first = references[0]
    return [_scaled(data, first / own, first) for data, own in zip(datasets, references, strict=True)]


def _scaled(data: xr.Dataset, factor: float, reference: float) -> xr.Dataset:
    """Multiply what a change of the beam multiplies."""
    names = [name for base in SCALED for name in (base, errors_name(base)) if name in data.data_vars]
    scaled = {name: (data[name] * factor).assign_attrs(data[name].attrs) for name in names} if factor != 1 else {}
    return data.assign(scaled).assign_attrs({REFERENCE: reference})
