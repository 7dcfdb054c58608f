"""``two-time``: when did anything change, as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from xinsitu.digits import counted
from xinsitu.io.documents import read_rois
from xinsitu.physics.reduction.frame_similarity import two_time as compared

from .console import say, working
from .shared import (
    background,
    check_frames_to,
    correcting,
    correction_text,
    default_name,
    reading,
    refuse_swapped,
    say_measurement,
)


def two_time(words: argparse.Namespace) -> int:
    """Compare every frame of a measurement with every other one, and draw it."""
    from xinsitu.plots.two_time_map import plot_two_time

    refuse_swapped(words.measurement, words.flatfield)
    how, what = reading(words), correcting(words, background(words))
    scan = how.open(words.measurement)
    output = words.output or Path(default_name(scan, "_two_time")).with_suffix(".png")
    check_frames_to([output], words.measurement, words, overwrite=words.force)
    rois = read_rois(words.rois)
    roi = rois[words.roi] if words.roi else next((roi for roi in rois if roi.role == "signal"), rois[0])
    say_measurement(scan, words.measurement)
    say(f"ROI: {roi.name}")
    say(correction_text(what.of(scan)))
    with working(f"comparing {counted(scan.sizes['time'], 'frame')}"):
        found = compared(scan, roi, correction=what.of(scan).correction(how.beside(scan)), kind=words.kind).compute()
    plot_two_time(found, x=words.x, path=output, overwrite=words.force)
    most = found["step"].argmax("time").item()
    when = found["time"].values[most].astype("datetime64[ms]")
    say(f"largest change: {float(found['step'][most]):.3g} between frames {most - 1} and {most}, at {when}")
    say(f"wrote {output.resolve()}")
    return 0
