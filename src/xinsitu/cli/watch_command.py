"""``watch``: live numbers of a measurement that is being taken."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

from xinsitu import schema
from xinsitu.io.documents import read_rois
from xinsitu.io.growing_folder import GrowingFolder
from xinsitu.io.growing_stack import GrowingStack, growing_frames
from xinsitu.io.options import OpenOptions
from xinsitu.live.growing_series import GrowingSeries
from xinsitu.live.watching import SHARE, Publish, follow, results_to
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.moments import time_text
from xinsitu.recipe import Measure
from xinsitu.schema import Quality

from .console import complain, redraw, say, table
from .shared import (
    background,
    check_frames_to,
    correcting,
    correction_text,
    document,
    instrument_text,
    reading,
    refuse_swapped,
    tally,
)

SHOWN = ("intensity", "com_y", "com_x", "fwhm_y", "fwhm_x")
"""Quantities of the table on a terminal."""
REDRAWN, TOLD = 0.2, 1.0
"""Seconds between two tables on a terminal, and between two lines elsewhere."""


def watch(words: argparse.Namespace) -> int:
    """Measure frames as they come, until nothing comes or somebody stops it; the file is whole then, as always."""
    refuse_swapped(words.measurement, words.flatfield)
    rois, how, what = read_rois(words.rois).also(*words.also), reading(words), correcting(words, background(words))
    check_frames_to([words.output, words.figure], words.measurement, words, overwrite=words.force)
    live = replace(how, on_error="skip" if how.on_error == "raise" else how.on_error)
    folder = growing_frames(words.measurement, OpenOptions(**live.to_dict()))
    talk = complain if words.json else say
    used = [what]

    def correction_of(scan: xr.Dataset) -> Correction:
        talk(f"{folder.folder}: frames of {scan.sizes['y']} x {scan.sizes['x']} pixels, {scan['image'].dtype}")
        if text := instrument_text(scan):
            talk(text)
        used[0] = what.of(scan)
        talk(correction_text(used[0]))
        return used[0].correction(live.beside(scan))

    def recipe() -> dict[str, Any]:
        way = live if folder.given_up or folder.pending else how
        return document(Measure(words.measurement, rois, replace(way, instrument=_named(folder)), what, words.smooth),
                        words.output)  # fmt: skip

    growing = GrowingSeries(folder, rois, correction_of, words.smooth)
    shown = Shown(growing, as_json=words.json, output=words.output)
    if not words.measurement.exists():
        talk(f"waiting for {words.measurement}")
    series = follow(
        growing,
        on_frames=shown.frames,
        on_look=shown.look,
        publish=_publish(words, recipe, shown),
        until_idle=words.until_idle,
    )
    if words.figure is not None:
        _draw(series, words.figure)
    talk(tally(series))
    for path in (words.output, words.figure):
        if path is not None:
            talk(f"wrote {path.resolve()}")
    return 0


def _named(folder: GrowingFolder | GrowingStack) -> str | None:
    """Return the instrument by its name, so that the frames are opened the same way anywhere."""
    return folder.chosen.table.name


def _publish(words: argparse.Namespace, recipe: Any, shown: Shown) -> Publish | None:  # noqa: ANN401 - gives the recipe
    """Return what keeps file and figure up to date."""
    if words.output is None and words.figure is None:
        return None
    write = None
    if words.output is not None:
        write = results_to(words.output, overwrite=words.force, source=words.measurement, recipe=recipe)

    drawn = 0.0

    def publish(series: xr.Dataset) -> None:
        nonlocal drawn
        if write is not None:
            write(series)
            shown.written = time.time()
        begun = time.monotonic()
        if words.figure is not None and begun >= drawn:
            _draw(series, words.figure)
            drawn = time.monotonic() + SHARE * (time.monotonic() - begun)

    return publish


def _draw(series: xr.Dataset, path: Path) -> None:
    from xinsitu.plots import save_plot

    if series.sizes["time"] > 1:
        save_plot(series, path, overwrite=True)


# -- what is shown ----------------------------------------------------------------------------------------------------


@dataclass
class Shown:
    """The newest numbers: a line of JSON for each frame, a table on a terminal, a line now and then elsewhere."""

    growing: GrowingSeries
    as_json: bool = False
    output: Path | None = None
    written: float | None = None
    _last: xr.Dataset | None = None
    _lines: int = 0
    _next: float = 0.0

    def frames(self, new: xr.Dataset) -> None:
        """Take note of new frames."""
        self._last = new.isel(time=[-1])
        if self.as_json:
            for line in json_lines(new):
                say(line)

    def look(self, growing: GrowingSeries) -> None:
        """Show where things stand."""
        if self.as_json or self._last is None or time.monotonic() < self._next:
            return
        terminal = sys.stdout.isatty()
        self._next = time.monotonic() + (REDRAWN if terminal else TOLD)
        if terminal:
            self._lines = redraw([self._state(), *_table(self._last).split("\n")], self._lines)
        else:
            values = self._last["intensity"].isel(time=0).to_series()
            said = ", ".join(f"{roi} {value:.5g}" for roi, value in values.items())
            say(f"{self._state()}: {said}")
            self._next += 4 * TOLD

    def _state(self) -> str:
        assert self._last is not None  # noqa: S101 - nothing is shown before
        frames = self.growing.frames
        parts = [f"{len(frames)} frames, the last {int(self._last['frame'][0])} of {self._clock()}"]
        if frames.pending:
            parts.append(f"{frames.pending} being written")
        if frames.given_up:
            parts.append(f"{len(frames.given_up)} bad")
        if self.written is not None and self.output is not None:
            parts.append(f"{self.output.name} {time.time() - self.written:.0f} s ago")
        return "; ".join(parts)

    def _clock(self) -> str:
        assert self._last is not None  # noqa: S101 - as above
        return time_text(self._last, self._last["time"].values[0])


def _table(last: xr.Dataset) -> str:
    names = [name for name in SHOWN if name in last]
    header = ["ROI", *(_header(last, name) for name in names), "flags"]
    one = last.isel(time=0)
    rows = [
        [str(roi), *(_number(one, name, index) for name in names), " ".join(flags_at(one, index))]
        for index, roi in enumerate(one["roi"].values)
    ]
    return table(rows, header)


def _header(last: xr.Dataset, name: str) -> str:
    return name if name == "intensity" else f"{name[:-1]}{schema.axis_name(last, name[-1])}"


def _number(one: xr.Dataset, name: str, index: int) -> str:
    value, error = (float(one[each].values[index]) for each in (name, schema.errors_name(name)))
    if not math.isfinite(value):
        return "–"
    return f"{value:.5g}" if not math.isfinite(error) else f"{value:.5g} ± {error:.1g}"


def flags_at(one: xr.Dataset, index: int) -> list[str]:
    """Names of the flags of a ROI in one frame."""
    found = int(one["quality"].values[index])
    return [str(flag.name).lower() for flag in Quality if found & flag]


def json_lines(new: xr.Dataset) -> Iterator[str]:
    """Give one line for each frame: its numbers by ROI, null where there is none, and the names of its flags.

    Examples
    --------
    >>> import numpy as np
    >>> from xinsitu import Roi, measure
    >>> frames = xr.DataArray(np.ones((1, 6, 6), "int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    >>> line = next(json_lines(measure(frames, [Roi("a", (1, 5), (1, 5))])))
    >>> json.loads(line)["rois"]["a"]["intensity"]
    16.0
    """
    names = [str(name) for name, item in new.data_vars.items() if item.dims == ("time", "roi") and name != "quality"]
    for position in range(new.sizes["time"]):
        one = new.isel(time=position)
        document: dict[str, Any] = {}
        if "time" in one.coords:
            document["time"] = str(one["time"].values.astype("datetime64[us]")) + ("Z" if schema.knows_utc(new) else "")
        document |= {name: one[name].values.item() for name in ("measurement", "scan", "frame") if name in one.coords}
        columns = {name: one[name].values for name in names}
        document["rois"] = {
            str(roi): {
                **{name: _plain(column[index]) for name, column in columns.items()},
                "flags": flags_at(one, index),
            }
            for index, roi in enumerate(one["roi"].values)
        }
        yield json.dumps(document, ensure_ascii=False)


def _plain(value: Any) -> float | int | None:  # noqa: ANN401 - a NumPy number
    plain: float | int = value.item()
    return plain if math.isfinite(plain) else None
