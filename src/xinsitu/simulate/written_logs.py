"""What a simulated experiment leaves in logs and logbook: counters, shutters, attenuator changes, events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import numpy as np
import xarray as xr

from xinsitu.values import AttenuationChange, Event, Key

from .camserver import LOG_COLUMNS, shutter_comment, spec_log
from .experiment import Experiment
from .parts import Attenuator, Run
from .scene import Array


def measurement_log(experiment: Experiment, run: Run, timeline: xr.Dataset, sums: Array, stream: Iterable[int]) -> str:
    """SPEC log of one measurement: counters of each frame, and the shutter's moves where they happened."""
    rng = np.random.default_rng(list(stream))
    seconds = experiment.detector.exposure_time
    elapsed = (timeline["time"] - timeline["time"][0]).values / np.timedelta64(1, "s")
    began = experiment.start + timedelta(seconds=_seconds_after(experiment.start, timeline["time"].values[0]))
    monitor = rng.poisson(experiment.monitor * timeline["beam"].to_numpy()).astype(float)
    edges = np.diff(timeline["growing"].to_numpy().astype(int), prepend=0)
    scans = []
    for number in run.numbers:
        here = np.flatnonzero(timeline["scan"].to_numpy() == number)
        columns = {
            "Time": elapsed[here] - elapsed[here[0]],
            "Epoch": np.round(elapsed[here] + began.timestamp() % 1, 6),
            "Seconds": np.full(here.size, seconds),
            "F.M.": np.round(monitor[here] * 0.4),
            "bg": np.full(here.size, 0.0),
            "pico1": np.round(monitor[here] * 3.4e-11, 15),
            **{f"roi{index}": sums[here, index + 1] for index in range(3)},
            "Monitor": monitor[here],
            "Detector": sums[here, 0],
        }
        comments = {
            int(point) - 1: shutter_comment(
                began + timedelta(seconds=elapsed[here[point]]), indium=edges[here[point]] > 0
            )
            for point in np.flatnonzero(edges[here])
        }
        start = began + timedelta(seconds=elapsed[here[0]])
        scans.append((number, start, seconds, {name: columns[name] for name in LOG_COLUMNS}, comments))
    return spec_log(run.base(experiment.sample), began, scans)


def _seconds_after(start: datetime, time: np.datetime64) -> float:
    return float(time.astype("datetime64[us]").astype("int64")) / 1e6 - start.timestamp()


def _key(experiment: Experiment, timeline: xr.Dataset, position: int) -> Key:
    """Name a frame as in a logbook; the scan is named only where there are several."""
    at = timeline.isel(time=position)
    measurement = str(at["measurement"].item())
    several = len(next(run for run in experiment.runs if run.name == measurement).scans) > 1
    scan = int(at["scan"].item()) if several else None
    return Key(measurement, scan=scan, frame=int(at["frame"].item()))


def true_changes(experiment: Experiment, timeline: xr.Dataset) -> tuple[AttenuationChange, ...]:
    """Attenuator changes between the last frame before and the first frame after, with their true factors."""

    def change(attenuator: Attenuator) -> AttenuationChange:
        begin = experiment.position(attenuator.measurement, attenuator.frame)
        end = begin + attenuator.transition
        before, after = (float(timeline["transmission"][position]) for position in (begin - 1, end))
        return AttenuationChange(
            _key(experiment, timeline, begin - 1),
            _key(experiment, timeline, end),
            factor=before / after,
            note=f"filter changed, {attenuator.transition} frames in between",
        )

    return tuple(change(attenuator) for attenuator in experiment.attenuators)


def true_events(experiment: Experiment, timeline: xr.Dataset) -> tuple[Event, ...]:
    """While the indium shutter is open, in each measurement, and when a filter starts to move during a scan."""
    events: list[Event] = []
    for run in experiment.runs:
        if run.growth is None:
            continue
        opens, closes = (
            _key(experiment, timeline, experiment.position(run.name, frame))
            for frame in (run.growth[0], min(run.growth[1], run.frames - 1))
        )
        events.append(Event(f"In shutter open{_number(events)}", opens, closes))
    moves: list[Event] = []
    for attenuator in experiment.attenuators:
        if attenuator.transition:
            begin = experiment.position(attenuator.measurement, attenuator.frame)
            moves.append(Event(f"filter moves{_number(moves)}", _key(experiment, timeline, begin)))
    return (*events, *moves)


def _number(before: list[Event]) -> str:
    return f" {len(before) + 1}" if before else ""
