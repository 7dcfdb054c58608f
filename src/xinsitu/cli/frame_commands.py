"""``parse``: a command on frames."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import xarray as xr

from xinsitu.digits import counted
from xinsitu.io.disk import refuse_other_format
from xinsitu.io.frame_files import write_frames
from xinsitu.io.instruments import GENERIC, load_instrument
from xinsitu.io.measurement import open_measurement
from xinsitu.io.results import read_results
from xinsitu.recipe import Parse
from xinsitu.values import Background

from .console import complain, say, working
from .shared import (
    background,
    calibrations,
    check_frames_to,
    correcting,
    correction_text,
    default_name,
    document,
    reading,
    refuse_swapped,
    say_measurement,
    scheduler,
    tally,
)

# -- parse ------------------------------------------------------------------------------------------------------------


def parse(words: argparse.Namespace) -> int:
    """Write the corrected frames of a measurement."""
    started = time.perf_counter()
    refuse_swapped(words.measurement, words.flatfield)
    how = reading(words)
    scan = how.open(words.measurement)
    output = words.output or Path(default_name(scan, "_frames"))
    refuse_other_format(output, stores=True)
    check_frames_to([output], words.measurement, words, overwrite=words.force)
    step = Parse(
        words.measurement,
        how,
        correcting(words, background(words, _of_instrument(scan, words))),
        words.crop,
    )
    say_measurement(scan, words.measurement)
    say(correction_text(step.correcting.of(scan), given=bool(words.background)))
    doing = f"correcting and writing {counted(scan.sizes['time'], 'frame')}"
    with scheduler(words, [words.measurement, *calibrations(words), output.parent]) as where, working(doing):
        write_frames(
            where.recorded(step.produce()),
            output,
            overwrite=words.force,
            compression=words.compression,
            recipe=document(replace(step, reading=how.named(scan)), output),
        )
    files = output.rglob("*") if output.is_dir() else [output]
    size = sum(file.stat().st_size for file in files) / 2**20
    say(tally(open_measurement(output, chunks=None) if output.is_dir() else read_results(output)))
    say(f"wrote {output.resolve()} ({size:.0f} MiB) in {time.perf_counter() - started:.1f} s")
    return 0


def _of_instrument(scan: xr.Dataset, words: argparse.Namespace) -> Background | None:
    """Return the background region of the instrument table, if it has one."""
    region = load_instrument(words.instrument or scan.attrs.get("instrument", GENERIC)).background
    rows, columns = scan.sizes["y"], scan.sizes["x"]
    if region and any(y[1] > rows or x[1] > columns for y, x in region.boxes):
        complain(f"warning: the instrument's background region is off frames of {rows} x {columns}; none is taken")
        return None
    return replace(region, mode=words.background_mode) if region and words.background_mode else region
