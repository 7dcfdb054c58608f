"""``info``: what lies there; of frames nothing is loaded that they do not need."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from xinsitu.errors import LayoutError, collected, in_a_line
from xinsitu.io.formats.zarr_stack import attributes_of
from xinsitu.io.survey import survey

from .console import say, say_block

if TYPE_CHECKING:
    import xarray as xr


def info(words: argparse.Namespace) -> int:
    """Say what is there."""
    if words.path.suffix == ".nc" and words.path.is_file() and (text := _told(words.path)):
        say_block(text)
        return 0
    if attributes_of(words.path) is not None:
        return _written_frames(words)
    try:
        found = survey(words.path, tz=words.tz, instrument=words.instrument, check=words.check, scan=words.scan)
    except LayoutError:
        results = [text for path in sorted(words.path.glob("*.nc")) if (text := _told(path))]
        if not results:
            raise
        say_block("\n\n".join(results))
        return 0
    say_block(str(found))
    return 0


def _written_frames(words: argparse.Namespace) -> int:
    """Say what corrected frames are."""
    from xinsitu.io.measurement import open_measurement

    from .shared import say_measurement, tally

    scan = open_measurement(words.path, tz=words.tz, instrument=words.instrument, chunks=None)
    say_measurement(scan, words.path)
    say(tally(scan))
    return 0


def _told(path: Path) -> str:
    """Return what is to be said of a result along time; empty for other files."""
    from xinsitu.io.results import read_results

    with collected():
        result = read_results(path)
    return "" if "time" not in result.dims or "image" in result else _result_text(result, path)


def _result_text(result: xr.Dataset, path: Path) -> str:
    """Return what a result along time holds, and what of it is not to be trusted."""
    from xinsitu.io.results import flags_of, remarks_of
    from xinsitu.physics.moments import time_text

    from .shared import tally

    first, last = (time_text(result, moment) for moment in result["time"].values[[0, -1]])
    of_rois = "roi" in result.dims
    kind = "fits" if "centre_y" in result else "series" if of_rois else "results"
    what = f"ROIs {', '.join(map(str, result['roi'].values))}" if of_rois else ", ".join(map(str, result.data_vars))
    lines = [
        str(path),
        f"  {kind:<10}{tally(result)}, {what}",
        f"  times     {first} to {last}",
        *(f"  doubt     {text}" for text in (*remarks_of(result), *(flags_of(result) if of_rois else ()))),
        f"  next      xinsitu plot {path}" if of_rois else f"  next      read_results({str(path)!r}) in Python",
    ]
    return "\n".join(map(in_a_line, lines))
