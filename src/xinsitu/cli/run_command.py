"""``run``: whole samples from their recipes, or a result again."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import xarray as xr

from xinsitu.errors import DocumentError
from xinsitu.io.guard import check_outputs
from xinsitu.io.results import read_results, write_results
from xinsitu.io.tables import write_csv
from xinsitu.recipe import Append, Measure, Recipe, Stitch, Stored
from xinsitu.recipe.cluster import Cluster
from xinsitu.recipe.recipe_file import SampleRecipe, read_recipe
from xinsitu.recipe.rerun import differences, recipe_of

from .console import complain, say, say_block, table, working
from .sample_commands import draw, frames_of, sample_table, step_name
from .shared import correction_text, document, scheduler, tally


def run(words: argparse.Namespace) -> int:
    """Do a whole sample from its recipe, or a result again from the recipe that it holds."""
    if words.recipe.suffix != ".toml":
        return _run_again(words)
    recipe = read_recipe(words.recipe)
    bad = (*recipe.stitch.bad_frames, *words.bad_frames)
    recipe = replace(recipe, stitch=replace(recipe.stitch, bad_frames=bad))
    with scheduler(words, frames_of(recipe.stitch.inputs)) as where:
        return _run_sample(recipe, None if words.outside else words.recipe.resolve().parent, words.force, where)


def _run_sample(recipe: SampleRecipe, below: Path | None, force: bool, where: Cluster) -> int:
    frames = frames_of(recipe.stitch.inputs)
    check_outputs(recipe.outputs, inputs=recipe.inputs, frames=frames, overwrite=force, below=below)
    series: list[xr.Dataset] = []
    for text in sorted(
        {correction_text(step.correcting) for step in recipe.stitch.inputs if isinstance(step, Measure)}
    ):
        say(text)
    for step in recipe.stitch.inputs:
        with working(f"measuring {step_name(step)}"):
            series.append(step.produce())
        say(f"{step_name(step)}: {tally(series[-1])}")
    sample = where.recorded(recipe.stitch.join(series))
    write_results(sample, recipe.result, overwrite=force, recipe=document(recipe.stitch, recipe.result))
    if recipe.table is not None:
        write_csv(sample, recipe.table, overwrite=force)
    draw(sample, recipe.figures, recipe.plot, overwrite=force)
    say_block(sample_table(sample))
    for output in recipe.outputs:
        say(f"wrote {output.resolve()}")
    return 0


def _all_steps(step: Recipe) -> Iterator[Recipe]:
    """Give a recipe and those that it is made of."""
    yield step
    inner = (step.sample, *step.inputs) if isinstance(step, Append) else step.inputs if isinstance(step, Stitch) else ()
    for one in inner:
        yield from _all_steps(one)


def _run_again(words: argparse.Namespace) -> int:
    path = words.recipe
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
    complain(f"error: {path}: {len(found)} variables differ from what the recipe gives now")
    return 1
