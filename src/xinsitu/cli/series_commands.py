"""``measure``: frames to ROI time series."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import xarray as xr

from xinsitu import schema
from xinsitu.digits import counted
from xinsitu.errors import DocumentError, LayoutError, ResultExists
from xinsitu.io.discover import sample_and_measurement
from xinsitu.io.disk import refuse_other_format
from xinsitu.io.documents import read_rois
from xinsitu.io.guard import refuse_among_frames
from xinsitu.io.measurement import measurements_of
from xinsitu.io.results import read_results, write_results
from xinsitu.recipe import Measure
from xinsitu.recipe.campaign import BEFORE, FAILED, MEASURED, SUMMARY, Row, check_summary, write_summary
from xinsitu.recipe.cluster import Cluster, ClusterLost
from xinsitu.recipe.made_from import SOURCES, state_of
from xinsitu.values import FrameRange

from .console import complain, say, say_block, sentence, table, working
from .shared import (
    background,
    calibrations,
    check_frames_to,
    correcting,
    correction_text,
    default_name,
    document,
    instrument_text,
    reading,
    refuse_swapped,
    say_measurement,
    scheduler,
    tally,
)


def measure(words: argparse.Namespace) -> int:
    """Write the ROI time series of measurements; one bad one does not stop the rest."""
    rois = read_rois(words.rois).also(*words.also)
    beside = {path.resolve() for path in calibrations(words) if path is not None}
    found = [
        folder
        for path in words.measurements
        for folder in measurements_of(path)
        if folder == path or folder.resolve() not in beside  # a flat field may lie in the sample's folder
    ]
    if not found:
        raise LayoutError(f"{words.measurements[0]}: holds no measurement beside its calibrations")
    words.measurements = found
    for folder in words.measurements:
        refuse_swapped(folder, words.flatfield)
    how, what = reading(words), correcting(words, background(words))
    pixels = tuple(replace(one, transpose=words.transpose) for one in words.calibration)
    bad = _bad_frames(words)
    steps = [
        Measure(folder, rois, how, what, words.smooth, pixels, words.profiles, bad[folder])
        for folder in words.measurements
    ]
    into = _output_folder(words.output, words.measurements, many=len(steps) > 1)
    if len(steps) == 1:
        with scheduler(words, [*words.measurements, *calibrations(words)]) as where:
            path, series = _measure_one(steps[0], words, into, set(), set(), where)
        say_block(_series_table(series))
        say(tally(series))
        say(f"wrote {path.resolve()}")
        return 0
    summary = None
    if into is not None and len({sample_and_measurement(folder)[0] for folder in words.measurements}) > 1:
        check_summary(summary := into / SUMMARY)
    with scheduler(words, [*words.measurements, *calibrations(words)]) as where:
        rows, lost = _rows(steps, words, into or Path(), where)
    say_block(table(rows, ("measurement", "frames", "result")))
    if summary is not None:
        write_summary([_summary(*row) for row in rows], summary)
        say(f"wrote {summary.resolve()}")
    if lost is not None:
        raise lost
    failed = [row[0] for row in rows if row[1] == "–"]
    if failed:
        complain(f"error: {len(failed)} of {counted(len(rows), 'measurement')} failed: {', '.join(failed)}")
    return 1 if failed else 0


def _bad_frames(words: argparse.Namespace) -> dict[Path, tuple[FrameRange, ...]]:
    """Bad frames of each measurement: those that name it, and those that name none."""
    names = {folder: sample_and_measurement(folder)[1] for folder in words.measurements}
    asked = [one.start.measurement for one in words.bad_frames]
    if strange := [name for name in asked if name is not None and name not in names.values()]:
        raise DocumentError(f"--bad-frames: {strange[0]!r} is none of the measurements {', '.join(names.values())}")
    return {
        folder: tuple(one for one in words.bad_frames if one.start.measurement in (None, name))
        for folder, name in names.items()
    }


def _rows(
    steps: Sequence[Measure], words: argparse.Namespace, into: Path, where: Cluster
) -> tuple[list[tuple[str, str, str]], ClusterLost | None]:
    """Return a row for each measurement, as long as there is something to compute with, and why there is no more."""
    written: set[Path] = set()
    told: set[str] = set()
    rows: list[tuple[str, str, str]] = []
    for step in steps:
        try:
            rows.append(_measure_row(step, words, into, written, told, where))
        except ClusterLost as lost:
            return rows, lost
    return rows, None


def _measure_row(
    step: Measure, words: argparse.Namespace, into: Path, written: set[Path], told: set[str], where: Cluster
) -> tuple[str, str, str]:
    name = str(step.measurement)
    try:
        path, series = _measure_one(step, words, into, written, told, where)
    except _Done as done:
        return name, str(done.frames), f"{done.path}{_BEFORE}"
    except ClusterLost:
        raise
    except Exception as fault:  # noqa: BLE001 - whatever a library throws at one measurement, the others go on
        said = sentence(fault, name)
        complain(f"error: {said}")
        return name, "–", said
    return name, tally(series).removesuffix(" frames").replace(" frames,", ","), str(path)


def _summary(folder: str, frames: str, result: str) -> Row:
    """Return the row of the summary that stands for a row of the table."""
    sample, measurement = sample_and_measurement(folder)
    if frames == "–":
        return Row(sample, measurement, FAILED, error=result)
    before = result.endswith(_BEFORE)
    count = int(frames.split(",")[0])
    return Row(sample, measurement, BEFORE if before else MEASURED, count, result.removesuffix(_BEFORE))


_BEFORE = " (done before)"


class _Done(Exception):
    """The result is there, made by the same recipe from the same frames."""

    def __init__(self, path: Path, frames: int) -> None:
        self.path, self.frames = path, frames


def _measure_one(
    step: Measure, words: argparse.Namespace, into: Path | None, written: set[Path], told: set[str], where: Cluster
) -> tuple[Path, xr.Dataset]:
    """Measure one; what is said of several alike, the correction and the instrument, is in ``told`` and said once."""
    scan = step.reading.open(step.measurement)
    many = len(words.measurements) > 1
    output = Path(words.output) if into is None else into / default_name(scan)
    refuse_other_format(output)
    recipe = document(replace(step, reading=step.reading.named(scan)), output)
    check_frames_to([output], step.measurement, words, overwrite=words.force or many)
    if output.resolve() in written:
        raise ResultExists(f"{output}: was just written for another measurement of this name; measure each by itself")
    if many and not words.force and output.exists():
        _raise_if_done(output, recipe, step, scan)
    if many:
        _say_once(instrument_text(scan), told)
    else:
        say_measurement(scan, step.measurement)
    _say_once(correction_text(step.correcting.of(scan)), told)
    with working(f"measuring {step.measurement}"):
        state = state_of(step)
        series = where.recorded(step.produce()).assign_attrs({SOURCES: state})
    write_results(series, output, overwrite=words.force, recipe=recipe)
    written.add(output.resolve())
    return output, series


def _say_once(text: str, told: set[str]) -> None:
    if text and text not in told:
        say(text)
    told.add(text)


def _raise_if_done(output: Path, recipe: dict[str, object], step: Measure, scan: xr.Dataset) -> None:
    before = read_results(output)
    same = json.loads(before.attrs.get("recipe", "null")) == json.loads(json.dumps(recipe))
    same = same and before.attrs.get("source_token") == scan.attrs.get("source_token")
    if same and before.attrs.get(SOURCES) == state_of(step):
        raise _Done(output, before.sizes["time"])
    raise ResultExists(f"{output}: was made otherwise or from other frames; overwrite it with --force")


def _is_folder(output: str | None) -> bool:
    return output is not None and (output.endswith("/") or Path(output).is_dir())


def _output_folder(output: str | None, measurements: Sequence[Path], *, many: bool) -> Path | None:
    if output is None:
        return Path()
    if not many and not _is_folder(output):
        return None
    folder = Path(output)
    if folder.suffix == ".nc":
        raise ResultExists(f"{folder}: several measurements need a folder to write to, such as -o results/")
    refuse_among_frames(folder / "result.nc", measurements)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _series_table(series: xr.Dataset) -> str:
    """Median of each quantity of each ROI, for the eye."""
    further = (name for names in schema.FURTHER.values() for name in names)
    names = [name for name in (*schema.CURVES, *further) if name in series]
    header = ["ROI", *(_header(series, name) for name in names)]
    medians = series[names].median("time")
    rows = [[str(roi), *(f"{float(medians[name].sel(roi=roi)):.5g}" for name in names)] for roi in series["roi"].values]
    return table(rows, header)


def _header(series: xr.Dataset, name: str) -> str:
    return f"{name[:-1]}{schema.axis_name(series, name[-1])}" if name.endswith(("_y", "_x")) else name
