"""``watch``: live numbers of a measurement that is being taken."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

from xinsitu import schema
from xinsitu.digits import counted, with_error
from xinsitu.errors import LayoutError, collected
from xinsitu.io.discover import look
from xinsitu.io.documents import read_rois
from xinsitu.io.growing_folder import GrowingFolder
from xinsitu.io.growing_results import GrowingResults
from xinsitu.io.growing_stack import GrowingStack, growing_frames
from xinsitu.io.options import OpenOptions
from xinsitu.io.results import read_results
from xinsitu.live.growing_series import GrowingSeries
from xinsitu.live.watching import SHARE, follow
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.moments import time_text
from xinsitu.recipe import Measure
from xinsitu.schema import Quality

from .console import complain, redraw, say, table, terminal_width
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
    with contextlib.ExitStack() as stack:
        return _watch(words, stack)


def _watch(words: argparse.Namespace, stack: contextlib.ExitStack) -> int:
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
    outputs = None
    if words.output is not None:
        file = GrowingResults(words.output, overwrite=words.force, source=words.measurement, recipe=recipe)
        outputs = Outputs(file, words.figure)
    elif words.figure is not None:  # nobody asked for the file that it is drawn of
        room = stack.enter_context(tempfile.TemporaryDirectory(prefix="xinsitu-"))
        file = GrowingResults(Path(room) / "rows.nc", overwrite=False, source=words.measurement)
        outputs = Outputs(file, words.figure, asked=False)
    shown = Shown(growing, outputs, as_json=words.json)
    if text := _waited_for(words.measurement):
        talk(text)
    series = follow(
        growing,
        on_frames=shown.frames,
        on_look=shown.look,
        output=outputs,
        until_idle=words.until_idle,
    )
    talk(tally(series))
    for path in (words.output, words.figure):
        if path is not None:
            talk(f"wrote {path.resolve()}")
    return 0


def _waited_for(path: Path) -> str:
    """Say what is waited for, where it is not there yet; and that folders inside are not looked into.

    Examples
    --------
    >>> _waited_for(Path("0884/time9"))
    'waiting for 0884/time9'
    """
    if not path.exists():
        return f"waiting for {path}"
    with contextlib.suppress(LayoutError):
        found = look(path)
        if found.folders and not found.series:
            inside = path / found.folders[0]
            return (
                f"waiting for frames in {path} itself; what is in folders inside is watched by their names, as {inside}"
            )
    return ""


def _named(folder: GrowingFolder | GrowingStack) -> str | None:
    """Return the instrument by its name, so that the frames are opened the same way anywhere."""
    return folder.chosen.table.name


@dataclass
class Outputs:
    """File and figure, which is drawn of what is in the file: in memory all rows would grow without end."""

    file: GrowingResults
    figure: Path | None
    asked: bool = True
    written: float | None = None
    _drawn: float = 0.0

    def write(self, series: xr.Dataset, *, last: bool) -> None:
        """Take all frames."""
        self.file.write(series, last=last)
        self.written = time.time()
        if not last:
            self._draw_again()
        elif self.figure is not None:
            _draw(series, self.figure)

    def append(self, rows: xr.Dataset) -> bool:
        """Take the last frames."""
        if not self.file.append(rows):
            return False
        self.written = time.time()
        self._draw_again()
        return True

    def _draw_again(self) -> None:
        begun = time.monotonic()
        if self.figure is not None and begun >= self._drawn:
            with collected():  # what was said before
                _draw(read_results(self.file.path), self.figure)
            self._drawn = time.monotonic() + SHARE * (time.monotonic() - begun)


def _draw(series: xr.Dataset, path: Path) -> None:
    from xinsitu.plots import save_plot

    if series.sizes["time"] > 1:
        save_plot(series, path, overwrite=True)


# -- what is shown ----------------------------------------------------------------------------------------------------


@dataclass
class Shown:
    """The newest numbers: a line of JSON for each frame, a table on a terminal, a line now and then elsewhere."""

    growing: GrowingSeries
    outputs: Outputs | None
    as_json: bool = False
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
            self._lines = redraw([self._state(), *_table(self._last, terminal_width())], self._lines)
        else:
            values = self._last["intensity"].isel(time=0).to_series()
            said = ", ".join(f"{roi} {value:.5g}" for roi, value in values.items())
            say(f"{self._state()}: {said}")
            self._next += 4 * TOLD

    def _state(self) -> str:
        assert self._last is not None  # noqa: S101 - nothing is shown before
        frames = self.growing.frames
        parts = [f"{counted(len(frames), 'frame')}, the last {int(self._last['frame'][0])} of {self._clock()}"]
        if frames.pending:
            parts.append(f"{frames.pending} being written")
        if frames.given_up:
            parts.append(f"{len(frames.given_up)} bad")
        if self.outputs and self.outputs.asked and self.outputs.written is not None:
            parts.append(f"{self.outputs.file.path.name} {time.time() - self.outputs.written:.0f} s ago")
        return "; ".join(parts)

    def _clock(self) -> str:
        assert self._last is not None  # noqa: S101 - as above
        return time_text(self._last, self._last["time"].values[0])


def _table(last: xr.Dataset, width: int) -> list[str]:
    """Numbers in columns, as many as there is room for, and below them the flags of each ROI."""
    one, names = last.isel(time=0), [name for name in SHOWN if name in last]
    lines: list[str] = []
    while not lines or (len(names) > 1 and max(map(len, lines)) >= width):
        rows = [
            [str(roi), *(_number(one, name, index) for name in names)] for index, roi in enumerate(one["roi"].values)
        ]
        lines, names = table(rows, ["ROI", *(_header(last, name) for name in names)]).split("\n"), names[:-1]
    for index, roi in enumerate(one["roi"].values):
        if flags := flags_at(one, index):
            lines += textwrap.wrap(f"{roi}: {', '.join(flags)}", width - 1, subsequent_indent="  ")
    return lines


def _header(last: xr.Dataset, name: str) -> str:
    return name if name == "intensity" else f"{name[:-1]}{schema.axis_name(last, name[-1])}"


def _number(one: xr.Dataset, name: str, index: int) -> str:
    value, error = (float(one[each].values[index]) for each in (name, schema.errors_name(name)))
    if not math.isfinite(value):
        return "–"
    return with_error(value, error, short=True).replace(" ", "")


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
