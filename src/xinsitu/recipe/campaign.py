"""A beam time: many samples from their recipes, where a bad measurement is a row of the table and not the end.

What is done from the same recipe and the same sources is not done again. The measurements of a sample that is not yet
whole lie in a hidden folder beside its result, each under a name that says what it was made from: a run that was
interrupted, or in which one measurement failed, goes on from there.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

from xinsitu.errors import DocumentError, ResultExists, SchemaError, StitchError, XinsituError
from xinsitu.io.discover import natural_key
from xinsitu.io.disk import ordinary, write_whole
from xinsitu.io.results import read_results, write_results
from xinsitu.io.tables import harmless
from xinsitu.io.toml_text import BYTES, toml_of

from . import Fit, Measure, Parse, Radial, Recipe
from .cluster import ClusterLost
from .made_from import SOURCES, state_of
from .recipe_file import FORMAT, SampleRecipe

LEFT_OUT = "measurements_left_out"
"""Attribute of a sample: what could not be measured."""
COLUMNS = ("sample", "measurement", "frames", "state", "result", "error")
SUMMARY = "summary.csv"
LONGEST_NAME = 255
"""Bytes of a name; file systems have no longer ones."""
MEASURED, BEFORE, FAILED = "measured", "done before", "failed"


@dataclass(frozen=True)
class Row:
    """What became of a measurement."""

    sample: str
    measurement: str
    state: str
    frames: int | None = None
    result: str = ""
    error: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the row as it stands in the table."""
        frames = "–" if self.frames is None else str(self.frames)
        return self.sample, self.measurement, frames, self.state, self.result, self.error


def recipes_in(paths: Iterable[Path]) -> list[Path]:
    """Recipes as they are given; of a folder those in it and in the folders inside, in natural order.

    Raises
    ------
    DocumentError
        A folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [one for pattern in ("*.toml", "*/*.toml") for one in path.glob(pattern) if _is_recipe(one)]
        if not inside:
            raise DocumentError(f"{path}: holds no recipe (*.toml, here or one folder below)")
        found += sorted(inside, key=lambda one: natural_key(os.fspath(one)))
    return list(dict.fromkeys(found))


def _is_recipe(path: Path) -> bool:
    """Whether a file is a recipe; also one that makes no sense, so that its sample is not left out unsaid."""
    try:
        content = Path(ordinary(path, largest=BYTES)).read_bytes()
    except OSError as fault:
        return isinstance(fault, PermissionError)
    try:
        return toml_of(content.decode("utf-8-sig")).get("format") == FORMAT
    except ValueError:
        return FORMAT.encode() in content


# -- what a sample is made from ---------------------------------------------------------------------------------------


def is_done(recipe: SampleRecipe, document: dict[str, Any]) -> bool:
    """Whether the sample was made from this recipe and these sources, and all its files are there.

    Raises
    ------
    ResultExists
        There is a result that was made otherwise, and whole: somebody may still want it.
    """
    if not recipe.result.exists():
        return False
    before = read_results(recipe.result)
    same = json.loads(before.attrs.get("recipe", "null")) == json.loads(json.dumps(document))
    if same and before.attrs.get(SOURCES) == sources_of(recipe) and all(one.exists() for one in recipe.outputs):
        return True
    if same or LEFT_OUT in before.attrs:
        return False
    raise ResultExists(f"{recipe.result}: was made otherwise or from other frames; overwrite it with --force")


def sources_of(recipe: SampleRecipe) -> str:
    """Digest of everything that a sample is made from."""
    return hashlib.blake2b(" ".join(map(state_of, recipe.stitch.inputs)).encode(), digest_size=12).hexdigest()


# -- doing it ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """The measurements of a sample that is not whole yet."""

    folder: Path

    @classmethod
    def beside(cls, result: Path) -> Parts:
        """Return the place beside a result."""
        name = f".{result.stem}.parts"
        if len(os.fsencode(name)) > LONGEST_NAME:
            name = f".{hashlib.blake2b(os.fsencode(result.stem), digest_size=12).hexdigest()}.parts"
        return cls(result.parent / name)

    def produced(self, step: Recipe) -> tuple[xr.Dataset, bool]:
        """Return the series of a step, and whether it was there already."""
        path = self.folder / f"{self._name(step)}.nc"
        with contextlib.suppress(SchemaError):  # a part that is damaged is made again
            if path.exists():
                return read_results(path), True
        series = step.produce()
        for left in reversed(range(CLEARED)):
            try:
                return self._stored(series, step, path), False
            except (XinsituError, OSError):
                if self.folder.is_dir() or not left:
                    raise
        raise AssertionError  # the last one raises

    def _stored(self, series: xr.Dataset, step: Recipe, path: Path) -> xr.Dataset:
        self.folder.mkdir(exist_ok=True)
        try:
            write_results(series, path, overwrite=True, recipe=step.to_dict(self.folder.resolve()))
            return read_results(path)
        finally:
            self._forget_empty()

    def kept(self, steps: Iterable[Recipe]) -> int:
        """Return how many of a sample's measurements are kept; those of other recipes or frames are removed."""
        if not self.folder.is_dir():
            return 0
        wanted = {f"{self._name(step)}.nc" for step in steps}
        there = {name for name in os.listdir(self.folder) if not name.startswith(".")}
        for name in there - wanted:
            with contextlib.suppress(OSError):  # a folder that takes nothing gives nothing up
                (self.folder / name).unlink()
        self._forget_empty()
        return len(there & wanted)

    def _forget_empty(self) -> None:
        with contextlib.suppress(OSError):  # it is not empty
            self.folder.rmdir()

    def _name(self, step: Recipe) -> str:
        made_from = json.dumps(step.to_dict(self.folder.resolve()), sort_keys=True) + state_of(step)
        return f"{step.command}-{hashlib.blake2b(made_from.encode(), digest_size=12).hexdigest()}"

    def clear(self) -> None:
        """Remove them: the sample is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)


CLEARED = 5
"""Times that a part is written where another run of the same sample, which has just ended, clears the folder."""
Mapped = Callable[[Callable[[Recipe], Any], Sequence[Recipe]], Iterable[Any]]


def measured(
    recipe: SampleRecipe, sentence: Callable[[Exception, object], str], *, mapped: Mapped = map
) -> tuple[list[tuple[Recipe, xr.Dataset]], list[Row]]:
    """Measure a sample, and go on where one measurement fails.

    Parameters
    ----------
    recipe
        Of the sample.
    sentence
        Says of an error, and of what it is about, what is to be said.
    mapped
        Does one after the other, or several side by side.
    """
    parts = Parts.beside(recipe.result)

    def one(step: Recipe) -> tuple[xr.Dataset | None, Row]:
        row = Row(recipe.name, name_of(step), MEASURED)
        try:
            series, before = parts.produced(step)
        except ClusterLost:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever a library throws at one measurement, the others go on
            return None, replace(row, state=FAILED, error=sentence(fault, name_of(step)))
        return series, replace(row, frames=series.sizes["time"], state=BEFORE if before else MEASURED)

    done = list(mapped(one, recipe.stitch.inputs))
    good = [(step, series) for step, (series, _) in zip(recipe.stitch.inputs, done, strict=True) if series is not None]
    return good, [row for _, row in done]


def joined(
    recipe: SampleRecipe, good: Sequence[tuple[Recipe, xr.Dataset]], rows: Sequence[Row]
) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Join what could be measured, and keep what it was made from and what is missing; say what to know of changes."""
    bad = [f"{row.measurement}: {row.error}" for row in rows if row.state == FAILED]
    try:
        sample, found = recipe.stitch.joined_and_found([series for _, series in good])
    except StitchError as fault:
        raise StitchError(f"{fault}; not measured was {'; '.join(bad)}" if bad else str(fault)) from None
    made_from = {SOURCES: sources_of(recipe)} if not bad else {LEFT_OUT: "; ".join(bad)}
    return sample.assign_attrs(made_from), found.told


def name_of(step: Recipe) -> str:
    """Return what a step is called in the table."""
    return step.measurement.name if isinstance(step, Parse | Measure | Fit | Radial) else step.command


# -- the table --------------------------------------------------------------------------------------------------------


def check_summary(path: Path) -> None:
    """Refuse to replace what is no table of ours, before any work is done for it.

    Raises
    ------
    ResultExists
        The file is somebody else's.
    """
    begin = f"{','.join(COLUMNS)}\n".encode()
    ours = False
    if path.is_file():
        with path.open("rb") as file:  # of what is somebody else's nobody knows how large it is
            ours = file.read(len(begin)) == begin
    if path.exists() and not ours:
        raise ResultExists(f"{path}: is no summary of a run and is not replaced; rename it")


def write_summary(rows: Sequence[Row], path: Path) -> None:
    """Write the table as CSV; one that was written before is replaced, any other file is not.

    Raises
    ------
    ResultExists
        The file is somebody else's.
    """
    check_summary(path)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(map(harmless, row.cells()) for row in rows)
    write_whole(path, text.getvalue().encode("utf-8", "replace"), overwrite=True)
