"""``stitch``, ``plot``, ``compare`` and ``run``: commands on results."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.digits import counted
from xinsitu.errors import DocumentError, LayoutError, ResultExists, SchemaError
from xinsitu.io.disk import refuse_other_format, write_whole
from xinsitu.io.documents import read_attenuation_changes, read_events, read_rois, write_attenuation_changes
from xinsitu.io.guard import check_outputs
from xinsitu.io.results import flags_of, holds_series, read_results, write_results
from xinsitu.io.tables import plain_csv
from xinsitu.physics.attenuation.finding import FoundChanges
from xinsitu.physics.attenuation.scaling import attenuation_changes, attenuation_record, undo_attenuation
from xinsitu.physics.samples.comparing import compare as compare_samples
from xinsitu.physics.samples.events import events_of
from xinsitu.physics.samples.ratios import with_fractions
from xinsitu.plots.change_rows import change_rows
from xinsitu.recipe import Append, Measure, Parse, Recipe, Stitch
from xinsitu.recipe.campaign import name_of
from xinsitu.recipe.rerun import recipe_of
from xinsitu.schema import knows_utc
from xinsitu.values import AttenuationChange

from .console import complain, say, say_block, sentence, table, working
from .shared import document, safe_name, scheduler

Result = tuple[Path, xr.Dataset]
"""A file of results, and what is in it."""


def stitch(words: argparse.Namespace) -> int:
    """Join time series and correct their changes of attenuation."""
    results = _results(words.results)
    if all(path.is_dir() for path in words.results):  # files that were named one by one are of one sample
        samples: dict[str, list[Result]] = {}
        for path, series in results:
            samples.setdefault(_sample_name(series), []).append((path, series))
        if len(samples) > 1:
            return _stitch_each(samples, words)
    return _stitch_one(results, words)


def _stitch_each(samples: Mapping[str, Sequence[Result]], words: argparse.Namespace) -> int:
    """Join each sample by itself; one that cannot be joined does not stop the rest."""
    of_one = ("changes", "change", "proposal", "append_to", "figure", "report", "bad_frames")
    if asked := [name for name in of_one if getattr(words, name)]:
        option = f"--{asked[0].replace('_', '-')}"
        raise DocumentError(f"{', '.join(samples)}: {option} is for one sample; give the results of one by their names")
    folder = words.output or Path()
    if folder.suffix:
        raise ResultExists(
            f"{folder}: several samples ({', '.join(samples)}) need a folder to write to, such as -o joined/"
        )
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, results in samples.items():
        say(f"{name}: {counted(len(results), 'measurement')}")
        try:
            _stitch_one(results, argparse.Namespace(**{**vars(words), "output": folder / f"{name}.nc"}))
        except Exception as fault:  # noqa: BLE001 - whatever is wrong with one sample, the others go on
            complain(f"error: {sentence(fault, name)}")
            failed.append(name)
    if failed:
        complain(f"error: {len(failed)} of {counted(len(samples), 'sample')} could not be joined: {', '.join(failed)}")
    return 1 if failed else 0


def _stitch_one(results: Sequence[Result], words: argparse.Namespace) -> int:
    read = [*(path for path, _ in results), words.changes, words.events, words.append_to, words.same_rois]
    others = [words.proposal, words.figure, words.report]
    if words.output is not None:
        refuse_other_format(words.output)
    check_outputs([words.output, *others], inputs=read, overwrite=words.force)
    inputs, series = _inputs(results, words)
    output = words.output or Path(f"{_sample_name(series[0])}.nc")
    check_outputs([output, *others], inputs=read, frames=frames_of(inputs), overwrite=words.force)
    stitched = _stitch_recipe(words, inputs)
    step: Recipe = stitched
    if words.append_to is None:
        sample, found = stitched.joined_and_found(series)
    else:
        step, sample, found = _appended(words.append_to, stitched, series)
    write_results(sample, output, overwrite=words.force, recipe=document(step, output))
    say_block(sample_table(sample))
    for line in found.told:
        say(line)
    changes = attenuation_changes(sample)
    if words.proposal:
        write_attenuation_changes(_placed(changes, sample), words.proposal, overwrite=words.force)
        say(f"wrote {words.proposal.resolve()}: edit it and use it with --changes")
    if words.report and (changes or found.rejected):
        measured = undo_attenuation(sample) if attenuation_record(sample) else sample
        _report(measured, FoundChanges(changes, found.rejected), words)
    elif words.report:
        say(f"nothing to report: there is no change of attenuation, and {words.report} is not written")
    if words.figure:
        draw(sample, [words.figure], {}, overwrite=words.force)
        say(f"wrote {words.figure.resolve()}")
    say(f"wrote {output.resolve()}")
    return 0


def _appended(path: Path, step: Stitch, series: Sequence[xr.Dataset]) -> tuple[Recipe, xr.Dataset, FoundChanges]:
    """Append to the sample of a file; the new changes and events are those of the recipe."""
    sample = read_results(path)
    longer = Append(
        recipe_of(sample, path), step.inputs, step.changes, step.find, step.events, step.allow_overlap, step.bad_frames
    )
    joined, found = longer.joined(sample, series)
    return longer, joined, found


def _stitch_recipe(words: argparse.Namespace, inputs: Sequence[Recipe]) -> Stitch:
    given = {"roi": words.reference, "window": words.window, "reference": words.stays}
    return Stitch(
        inputs=tuple(inputs),
        changes=read_attenuation_changes(words.changes) if words.changes else tuple(words.change or ()),
        find=words.find,
        events=read_events(words.events) if words.events else (),
        attenuation={name: value for name, value in given.items() if value is not None},
        allow_overlap=words.allow_overlap,
        overlap=words.overlap,
        bad_frames=tuple(words.bad_frames),
    )


def _inputs(results: Sequence[Result], words: argparse.Namespace) -> tuple[list[Recipe], list[xr.Dataset]]:
    """Results and the recipes that they hold; measured again where one set of ROIs is wanted for all."""
    recipes = [recipe_of(series, path) for path, series in results]
    if words.same_rois is None:
        return recipes, [series for _, series in results]
    rois = read_rois(words.same_rois)
    again: list[Recipe] = []
    for (path, _), step in zip(results, recipes, strict=True):
        if not isinstance(step, Measure):
            raise DocumentError(f"{path}: does not say how it was measured, so it cannot be measured with other ROIs")
        again.append(replace(step, rois=rois))
    measured = []
    with scheduler(words, frames_of(again)):
        for step in again:
            with working(f"measuring {name_of(step)} again"):
                measured.append(step.produce())
    return again, measured


def _report(measured: xr.Dataset, changes: Sequence[AttenuationChange], words: argparse.Namespace) -> None:
    from xinsitu.plots import plot_changes

    plot_changes(measured, changes, window=words.window or 5, path=words.report, overwrite=words.force)
    say(f"wrote {words.report.resolve()}")


def _results(given: Sequence[Path]) -> list[Result]:
    """Results as given; of a folder every ROI time series in it."""
    found: list[Result] = []
    for path in given:
        inside = sorted(path.glob("*.nc")) if path.is_dir() else [path]
        read = [(file, read_results(file)) for file in inside]
        if path.is_dir() and not (read := [(file, result) for file, result in read if _is_series(result)]):
            raise LayoutError(f"{path}: holds no ROI time series (*.nc); give what 'xinsitu measure' wrote")
        found += read
    return found


def _is_series(result: xr.Dataset) -> bool:
    """Whether it is the ROI time series of one measurement, not a stack of frames, its fits or a whole sample."""
    return holds_series(result) and not {"attenuation_factor", "segment"} & set(result.coords)


def _sample_name(sample: xr.Dataset) -> str:
    name = sample.coords["sample"].values if "sample" in sample.coords else np.array("sample")
    return safe_name(str(np.unique(name)[0]))


def sample_table(sample: xr.Dataset) -> str:
    """Return what was joined and by which factors, for the eye."""
    names, counts = np.unique(sample["measurement"].values.astype(str), return_counts=True)
    order = np.argsort([int(np.argmax(sample["measurement"].values == name)) for name in names])
    lines = [table([(names[n], int(counts[n])) for n in order], ("measurement", "frames"))]
    header, rows = change_rows(sample)
    if rows:
        lines.append(table(rows, header))
    else:
        lines.append("no change of attenuation was corrected")
    return "\n\n".join(lines)


def _placed(changes: Sequence[AttenuationChange], sample: xr.Dataset) -> list[AttenuationChange]:
    """Return changes as a file has them: by their frames alone where nobody knows what their times are in UTC."""
    if knows_utc(sample):
        return list(changes)
    return [
        replace(
            one,
            before=one.before_key or one.before,
            after=one.after_key or one.after,
            before_key=None,
            after_key=None,
        )
        for one in changes
    ]


# -- plot -------------------------------------------------------------------------------------------------------------


def plot(words: argparse.Namespace) -> int:
    """Draw a result."""
    from xinsitu.plots import save_plot
    from xinsitu.plots.curves import of_rois

    result = read_results(words.result)
    if "roi" not in result.dims:
        raise SchemaError(f"{words.result}: holds no time series of ROIs; make these with 'xinsitu measure'")
    if words.fraction:
        result = with_fractions(result, words.fraction)
    output = words.output or Path(words.result.name).with_suffix(".png")
    check_outputs([output], inputs=[words.result, words.events], overwrite=words.force)
    events = read_events(words.events) if words.events else events_of(result)
    save_plot(
        result,
        output,
        events=events,
        t0=words.t0,
        x=words.x,
        smooth=words.smooth,
        derivative=words.derivative,
        log=words.log,
        normalise=words.normalise,
        roi=words.roi,
        quantity=words.quantity,
        size=words.size,
        style=words.style,
        overwrite=words.force,
    )
    for text in flags_of(of_rois(result, words.roi)):
        say(f"flagged: {text}")
    say(f"wrote {output.resolve()}")
    return 0


def compare(words: argparse.Namespace) -> int:
    """Overlay samples on their own elapsed times and print the table of slopes."""
    from xinsitu.plots import plot_comparison

    check_outputs([words.output, words.table], inputs=[*words.results, words.events], overwrite=words.force)
    samples = {str(path): read_results(path) for path in words.results}
    if words.fraction:
        samples = {path: with_fractions(sample, words.fraction) for path, sample in samples.items()}
    names = _short_names(samples)
    compared = compare_samples(
        {names[path]: sample for path, sample in samples.items()},
        t0=words.t0,
        events=read_events(words.events) if words.events else (),
        interval=words.interval,
        roi=words.roi,
    )
    say_block(str(compared))
    if words.table:
        write_whole(words.table, plain_csv(compared.table()), overwrite=words.force)
        say(f"wrote {words.table.resolve()}")
    if words.output:
        plot_comparison(compared.series, words.output, roi=words.roi, log=words.log, overwrite=words.force)
        say(f"wrote {words.output.resolve()}")
    return 0


def _short_names(samples: Mapping[str, xr.Dataset]) -> dict[str, str]:
    """Return the samples' names where these tell them apart, else those of the files, else their paths."""
    choices = (
        {path: _sample_name(sample) for path, sample in samples.items()},
        {path: Path(path).stem for path in samples},
    )
    apart = (names for names in choices if len(set(names.values())) == len(samples))
    return next(apart, {path: path for path in samples})


def frames_of(steps: Sequence[Recipe]) -> list[Path]:
    """Return the frames that recipes begin with, those of flat fields, darks and background images too."""
    on_frames = [step for step in steps if isinstance(step, Parse | Measure)]
    calibrations = {folder: None for step in on_frames for folder in step.correcting.folders}
    return [*(step.measurement for step in on_frames), *calibrations]


def draw(
    sample: xr.Dataset,
    figures: Sequence[Path],
    options: Any,  # noqa: ANN401 - keywords of plot
    *,
    overwrite: bool,
) -> None:
    """Draw a sample into files."""
    from xinsitu.plots import save_plot

    for figure in figures:
        try:
            save_plot(sample, figure, **{"events": events_of(sample), **options}, overwrite=overwrite)
        except TypeError as fault:
            raise DocumentError(f"[plot] in the recipe: {fault}") from None
