"""Write a simulated experiment to disk and return its truth."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import ResultExists

from .camserver import tiff_bytes, tiff_header
from .experiment import Experiment
from .parts import Run
from .scene import Array, Pixels, make_pixels, noise_free, roi_series
from .truth import Truth, described
from .written_logs import measurement_log, true_changes, true_events

MARKER = "simulation.json"
FLATFIELD = "flatfield1"
_FLAT, _PIXELS, _LOG, _TEST = 10_001, 10_002, 10_003, 10_004  # streams of random numbers besides the runs'


def simulate_sample(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    measurements: int = 3,
    frames: int = 120,
    counts: float = 4e6,
    experiment: Experiment | None = None,
    distinct: int | None = None,
) -> Truth:
    """Write what an in situ experiment at BL11XU leaves on disk, and return its truth.

    The folder gets a sample ``0884`` with measurements ``time1``, ``time2`` (interrupted: it goes on as scan 2), ...
    of PILATUS 100K frames in the layout of camserver, a SPEC log in each, a ``test`` folder, the frames of a uniform
    illumination in ``flatfield1`` beside the sample, and ``rois.json``, ``changes.json`` and ``events.json``. The
    frames have Poisson noise, hot and dead pixels, the detector's own flat-field structure, a diffuse background, a
    spot that moves (CTR), spots that grow and widen (WZ, ZB, TW), and changes of the attenuator between scans, between
    measurements and inside a scan. A spot is a Gaussian integrated over each pixel. Nothing is lost to dead time.

    Parameters
    ----------
    folder
        Made if absent. Must be empty, or hold an earlier simulation, which is replaced.
    seed
        The same seed gives the same bytes.
    measurements, frames, counts
        Number of measurements, frames of each, and counts of the WZ spot per frame at the start; see
        :meth:`Experiment.make`.
    experiment
        Instead of these three: every detail.
    distinct
        Frames of a measurement beyond this many are hard links to its first ones, stamps and all: many frames for
        little disc.

    Returns
    -------
    Truth
        ROIs, changes with their true factors, events, folders, expected series per frame and ROI, and flat field.

    Raises
    ------
    ResultExists
        The folder holds something else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth = simulate_sample(folder, measurements=1, frames=20)
    ...     names = sorted(path.name for path in truth.folders["time1"].iterdir())
    >>> names[0], names[-1], len(names)
    ('0884_time_1.log', '0884_time_1_00019.tif', 21)
    >>> truth.expected.intensity.sel(roi="WZ").round(-4).values[[0, -1]]
    array([4000000., 6400000.])
    """
    root = Path(folder)
    experiment = experiment or Experiment.make(measurements=measurements, frames=frames, counts=counts)
    folders = {
        "sample": root / experiment.sample,
        "flatfield": root / FLATFIELD,
        "test": root / experiment.sample / "test",
        **{run.name: root / experiment.sample / run.name for run in experiment.runs},
    }
    _clear(root, folders.values())
    _write_json(root / MARKER, {"format": "xinsitu-simulation", "version": 1, "seed": seed})

    timeline = experiment.timeline()
    pixels = make_pixels(experiment, np.random.default_rng([seed, _PIXELS]))
    for number, run in enumerate(experiment.runs):
        part = timeline.isel(time=timeline["measurement"].to_numpy() == run.name)
        _write_run(folders[run.name], experiment, run, part, pixels, (seed, number), distinct)
    _write_flatfield(folders["flatfield"], experiment, pixels, seed)
    _write_test(folders["test"], experiment, timeline, pixels, seed)

    rois, changes, events = experiment.rois, true_changes(experiment, timeline), true_events(experiment, timeline)
    files = {name: root / f"{name}.json" for name in ("rois", "changes", "events")}
    _write_json(files["rois"], {"format": "xinsitu-rois", "version": 1, **rois.to_dict()})
    open_changes = [replace(change, factor=None).to_dict() for change in changes]
    _write_json(files["changes"], {"format": "xinsitu-attenuation", "version": 1, "changes": open_changes})
    events_text = [event.to_dict() for event in events]
    _write_json(files["events"], {"format": "xinsitu-events", "version": 1, "events": events_text})

    rows, columns = experiment.detector.shape
    flat = xr.DataArray(
        pixels.sensitivity, dims=("y", "x"), coords={"y": np.arange(rows), "x": np.arange(columns)}, name="flatfield"
    )
    exact = timeline.set_coords(["beam", "transmission", "segment"])
    expected = described(roi_series(experiment, exact))
    return Truth(experiment, seed, rois, changes, events, folders, files, expected, flat, timeline)


def simulate_frames(
    folder: str | os.PathLike[str], frames: int, *, seed: int = 0, counts: float = 4e6, distinct: int | None = None
) -> Truth:
    """Write one uninterrupted measurement of many frames, with its flat field, and return its truth.

    Parameters
    ----------
    folder
        As in :func:`simulate_sample`; the frames are in ``0884/time1``.
    frames
        How many, at least 20.
    seed, counts, distinct
        As in :func:`simulate_sample`. With ``distinct=50`` any number of frames takes 19 MB of disc; their stamps
        repeat, so they are opened with ``order_error="ignore"``.

    Returns
    -------
    Truth
        With one measurement, ``time1``, and no attenuator.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth = simulate_frames(folder, 100, distinct=20)
    ...     len(list(truth.folders["time1"].glob("*.tif")))
    100
    """
    experiment = replace(Experiment.make(measurements=1, frames=frames, counts=counts), attenuators=())
    return simulate_sample(folder, seed=seed, experiment=experiment, distinct=distinct)


# -- frames -----------------------------------------------------------------------------------------------------------


def _write_run(
    folder: Path,
    experiment: Experiment,
    run: Run,
    timeline: xr.Dataset,
    pixels: Pixels,
    stream: tuple[int, int],
    distinct: int | None,
) -> None:
    """Frames and log of one measurement."""
    folder.mkdir(parents=True, exist_ok=True)
    count = run.frames if distinct is None else min(distinct, run.frames)
    rows, columns = experiment.detector.shape
    progress = timeline["progress"].to_numpy()[:count]
    along_y, along_x = noise_free(experiment, progress, (0, rows), (0, columns))
    strength = (timeline["transmission"] * timeline["beam"]).to_numpy()
    scans, numbers = timeline["scan"].to_numpy(), timeline["frame"].to_numpy()
    paths = [
        folder / run.file_name(experiment.sample, int(scan), int(number))
        for scan, number in zip(scans, numbers, strict=True)
    ]
    boxes = [np.s_[slice(*spot.roi.y), slice(*spot.roi.x)] for spot in experiment.spots[:3]]

    def write(index: int) -> list[int]:
        light = (along_y[index] @ along_x[index] + experiment.diffuse) * strength[index]
        counted = _count(light, pixels, [*stream, index])
        header = tiff_header(experiment.detector, str(timeline["stamp"].values[index]))
        _put(paths[index], tiff_bytes(header, counted))
        return [int(counted.sum()), *(int(counted[box].sum()) for box in boxes)]

    sums = np.array(_each(write, count), dtype=float)
    for index in range(count, run.frames):
        os.link(paths[index % count], paths[index])
    log = measurement_log(experiment, run, timeline, sums[np.arange(run.frames) % count], [*stream, _LOG])
    _put(folder / run.log_name(experiment.sample), log.encode("ascii"))


def _count(light: Array, pixels: Pixels, stream: Iterable[int]) -> npt.NDArray[np.int32]:
    """Draw what the detector counts; every frame has a stream of its own random numbers, so threads change nothing."""
    rng = np.random.default_rng(list(stream))
    return rng.poisson(light * pixels.sensitivity + pixels.hot).astype("int32")


def _each(work: Callable[[int], Any], count: int) -> list[Any]:
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(work, range(count)))


def _write_flatfield(folder: Path, experiment: Experiment, pixels: Pixels, seed: int) -> None:
    """Frames of a uniform illumination, taken an hour before."""
    folder.mkdir(parents=True, exist_ok=True)
    light = np.full(experiment.detector.shape, experiment.flat_counts)

    def write(index: int) -> None:
        when = experiment.start - timedelta(seconds=3600 - index * experiment.detector.exposure_period)
        header = tiff_header(experiment.detector, f"{when:%Y:%m:%d %H:%M:%S}")
        frame = tiff_bytes(header, _count(light, pixels, [seed, _FLAT, index]))
        _put(folder / f"{FLATFIELD}_{index:05d}.tif", frame)

    _each(write, experiment.flat_frames)


def _write_test(folder: Path, experiment: Experiment, timeline: xr.Dataset, pixels: Pixels, seed: int) -> None:
    """Write a test measurement of five frames, as people make before they begin."""
    start = experiment.start - timedelta(seconds=600)
    test = replace(experiment, runs=(Run("test1", (5,)),), attenuators=(), dumps=(), start=start)
    _write_run(folder, test, test.runs[0], test.timeline(), pixels, (seed, _TEST), None)


# -- folders ----------------------------------------------------------------------------------------------------------


def _clear(root: Path, folders: Iterable[Path]) -> None:
    """Make room: an earlier simulation goes, anything else is refused."""
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).is_file():
            raise ResultExists(f"{root} holds files that no simulation made: give an empty folder")
        for path in (*root.glob(f"{FLATFIELD}/*.tif"), *root.glob("*/*/*.tif"), *root.glob("*/*/*.log")):
            path.unlink()
    for path in folders:
        path.mkdir(parents=True, exist_ok=True)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    _put(path, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def _put(path: Path, content: bytes) -> None:
    """Write a file; a disc that does not take it is told by its name."""
    try:
        path.write_bytes(content)
    except OSError as fault:
        raise OSError(fault.errno, fault.strerror, os.fspath(path)) from None
