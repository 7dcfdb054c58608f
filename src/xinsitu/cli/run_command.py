"""``run``: whole samples from their recipes, or a result again."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from xinsitu.digits import counted
from xinsitu.errors import DocumentError, ResultExists, XinsituError
from xinsitu.io.guard import check_outputs, identity
from xinsitu.io.results import read_results, write_results
from xinsitu.io.tables import write_csv
from xinsitu.recipe import Append, Measure, Recipe, Stitch, Stored
from xinsitu.recipe.campaign import (
    BEFORE,
    COLUMNS,
    FAILED,
    SUMMARY,
    Parts,
    Row,
    check_summary,
    is_done,
    joined,
    measured,
    name_of,
    recipes_in,
    write_summary,
)
from xinsitu.recipe.cluster import Cluster, ClusterLost
from xinsitu.recipe.recipe_file import SampleRecipe, read_recipe
from xinsitu.recipe.rerun import differences, recipe_of

from .console import complain, in_recipe, say, say_block, sentence, table, working
from .sample_commands import draw, frames_of, sample_table
from .shared import correction_text, document, scheduler, tally

SIDE_BY_SIDE = 4
"""Measurements that are sent to a cluster at once; threads of one machine are busy with one."""


def run(words: argparse.Namespace) -> int:
    """Do samples from their recipes, or a result again from the recipe that it holds."""
    single = words.recipe[0] if len(words.recipe) == 1 and not words.recipe[0].is_dir() else None
    if single is not None and single.suffix != ".toml":
        return _run_again(single, words)
    paths = recipes_in(words.recipe)
    if strange := [path for path in paths if path.suffix != ".toml"]:
        raise DocumentError(f"{strange[0]}: several recipes can be run at once; a result is done again by itself")
    recipes = [(path, _recipe(path, words)) for path in paths] if single is not None else list(_readable(paths, words))
    samples = {path: recipe for path, recipe in recipes if isinstance(recipe, SampleRecipe)}
    steps = [step for recipe in samples.values() for step in recipe.stitch.inputs]
    read = _files_read(paths, samples.values())
    summary = (words.recipe[0] if words.recipe[0].is_dir() else Path()) / SUMMARY if single is None else None
    _check_together(samples, read, summary)
    rows: list[Row] = []
    lost: ClusterLost | None = None
    with scheduler(words, frames_of(steps)) as where:
        for path, recipe in recipes:
            try:
                if isinstance(recipe, Exception):
                    raise recipe
                rows += _run_sample(recipe, path, words, where, read)
            except ClusterLost as fault:
                lost = fault
                break
            except Exception as fault:
                if single is not None:
                    raise
                complain(f"error: {_told(fault, path)}")
                name = recipe.name if isinstance(recipe, SampleRecipe) else path.stem
                rows.append(Row(name, "–", FAILED, error=_told(fault, path)))
    failed = [row for row in rows if row.state == FAILED]
    if summary is not None:
        say_block(table([row.cells() for row in rows], COLUMNS))
        write_summary(rows, summary)
        say(f"wrote {summary.resolve()}")
    if lost is not None:
        raise lost
    if failed:
        names = ", ".join(f"{row.sample} {row.measurement}".removesuffix(" –") for row in failed)
        complain(f"error: {len(failed)} of {counted(len(rows), 'measurement')} failed: {names}")
    return 1 if failed else 0


def _told(fault: Exception, about: object = None) -> str:
    return in_recipe(sentence(fault, about))


def _recipe(path: Path, words: argparse.Namespace) -> SampleRecipe:
    recipe = read_recipe(path)
    bad = (*recipe.stitch.bad_frames, *words.bad_frames)
    return replace(recipe, stitch=replace(recipe.stitch, bad_frames=bad))


def _readable(paths: Sequence[Path], words: argparse.Namespace) -> Iterator[tuple[Path, SampleRecipe | Exception]]:
    for path in paths:
        try:
            yield path, _recipe(path, words)
        except (XinsituError, OSError) as fault:  # a row in the table; the other samples go on
            yield path, fault


def _files_read(paths: Iterable[Path], samples: Iterable[SampleRecipe]) -> list[Path]:
    """Every file that a run of several recipes reads, but for folders of frames, which nothing is written to anyway."""
    samples = list(samples)
    frames = frames_of([step for recipe in samples for step in recipe.stitch.inputs])
    files = [*paths, *(path for recipe in samples for path in recipe.inputs), *(one for one in frames if one.is_file())]
    return list(dict.fromkeys(files))


def _check_together(samples: Mapping[Path, SampleRecipe], read: Sequence[Path], summary: Path | None) -> None:
    """Refuse outputs of several recipes that are one file, and a summary that would be any other file of the run."""
    taken: dict[object, Path] = {}
    for path, recipe in samples.items():
        for output in recipe.outputs:
            if (other := taken.setdefault(identity(output), path)) != path:
                raise ResultExists(f"{output}: is written by {other} and by {path}; give each its own")
    if summary is not None:
        if (writer := taken.get(identity(summary))) is not None:
            raise ResultExists(f"{summary}: is the summary of this run, and {writer} writes it; give it another name")
        check_outputs([summary], inputs=read, overwrite=True)
        check_summary(summary)


def _run_sample(
    recipe: SampleRecipe, path: Path, words: argparse.Namespace, where: Cluster, read: Sequence[Path]
) -> list[Row]:
    """Do one sample, unless it is done, and return a row for each of its measurements; say what of it is kept."""
    try:
        return _sample(recipe, path, words, where, read)
    finally:
        with contextlib.suppress(XinsituError, OSError):  # what went wrong before is what is said
            parts = Parts.beside(recipe.result)
            if kept := parts.kept(recipe.stitch.inputs):
                number = counted(kept, "measurement that is done is", "measurements that are done are")
                complain(f"{recipe.name}: {number} kept in {parts.folder}; the next run goes on from there")


def _sample(
    recipe: SampleRecipe, path: Path, words: argparse.Namespace, where: Cluster, read: Sequence[Path]
) -> list[Row]:
    below = None if words.outside else path.resolve().parent
    plan = document(recipe.stitch, recipe.result)
    if not words.force and is_done(recipe, plan):
        Parts.beside(recipe.result).clear()  # who was killed at the very end has left them
        say(f"{recipe.name}: done before, {recipe.result}")
        frames = read_results(recipe.result)["measurement"].values.astype(str).tolist()
        names = map(name_of, recipe.stitch.inputs)
        return [Row(recipe.name, name, BEFORE, frames.count(name), str(recipe.result)) for name in names]
    again = words.force or recipe.result.exists()
    check_outputs(recipe.outputs, inputs=read, frames=frames_of(recipe.stitch.inputs), overwrite=again, below=below)
    for text in sorted(
        {correction_text(step.correcting) for step in recipe.stitch.inputs if isinstance(step, Measure)}
    ):
        say(text)
    Parts.beside(recipe.result).kept(recipe.stitch.inputs)  # what is of use no more gives its room back
    good, rows = measured(recipe, _told, mapped=_side_by_side if where.client is not None else _one_by_one)
    for row in rows:
        if row.state == FAILED:
            complain(f"error: {row.error}")
    if not good:
        return rows
    sample, told = joined(recipe, good, rows)
    sample = where.recorded(sample)
    stitch = replace(recipe.stitch, inputs=tuple(step for step, _ in good))
    write_results(sample, recipe.result, overwrite=again, recipe=document(stitch, recipe.result))
    if recipe.table is not None:
        write_csv(sample, recipe.table, overwrite=again)
    draw(sample, recipe.figures, recipe.plot, overwrite=again)
    if len(good) == len(rows):
        Parts.beside(recipe.result).clear()
    say_block(sample_table(sample))
    for line in told:
        say(line)
    for output in recipe.outputs:
        say(f"wrote {output.resolve()}")
    return [replace(row, result=str(recipe.result) if row.state != FAILED else "") for row in rows]


def _one_by_one(measure: Callable[[Recipe], Any], steps: Sequence[Recipe]) -> Iterator[Any]:
    for step in steps:
        with working(f"measuring {name_of(step)}"):
            done = measure(step)
        if done[0] is not None:
            say(f"{name_of(step)}: {tally(done[0])}")
        yield done


def _side_by_side(measure: Callable[[Recipe], Any], steps: Sequence[Recipe]) -> Iterator[Any]:
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool, working(f"measuring {', '.join(map(name_of, steps))}"):
        done = list(pool.map(measure, steps))
    for step, (series, row) in zip(steps, done, strict=True):
        if series is not None:
            say(f"{name_of(step)}: {tally(series)}")
        yield series, row


def _all_steps(step: Recipe) -> Iterator[Recipe]:
    """Give a recipe and those that it is made of."""
    yield step
    inner = (step.sample, *step.inputs) if isinstance(step, Append) else step.inputs if isinstance(step, Stitch) else ()
    for one in inner:
        yield from _all_steps(one)


def _run_again(path: Path, words: argparse.Namespace) -> int:
    if words.bad_frames:
        raise DocumentError(f"{path}: a result is done again as it was; give bad frames to stitch, or to a recipe")
    result = read_results(path)
    step = recipe_of(result, path)
    if isinstance(step, Stored):
        raise DocumentError(f"{path}: holds no recipe, so it cannot be done again")
    with scheduler(words, frames_of(list(_all_steps(step)))), working(f"doing {path} again"):
        again = step.produce()
        found = differences(result, again)
    if not found:
        say(f"{path}: the numbers are the same, bit for bit")
        return 0
    say_block(table(list(found.items()), ("variable", "difference")))
    complain(
        f"error: {path}: {counted(len(found), 'variable differs', 'variables differ')} from what the recipe gives now"
    )
    return 1
