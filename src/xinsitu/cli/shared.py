"""What several commands need: recipes from words, names of files, schedulers."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.digits import counted
from xinsitu.errors import LayoutError
from xinsitu.io.disk import refuse_other_format
from xinsitu.io.guard import check_outputs
from xinsitu.io.options import chosen_of
from xinsitu.io.recognition import GIVEN
from xinsitu.io.results import write_results
from xinsitu.kernels import invalid_pixels
from xinsitu.recipe import FRAMES, Correcting, Fit, Radial, Reading, Recipe
from xinsitu.recipe.cluster import Cluster, computing
from xinsitu.schema import FrameStatus, Quality, knows_utc
from xinsitu.values import Background

from .console import complain, say, working

NAN_FRAMES = (FrameStatus.MISSING, FrameStatus.TRUNCATED, FrameStatus.UNREADABLE, FrameStatus.WRONG_SHAPE)
"""States of frames that have no pixels."""


def reading(words: argparse.Namespace) -> Reading:
    """Return how frames are opened."""
    return Reading(**chosen_of(words))


def background(words: argparse.Namespace, default: Background | None = None) -> Background | None:
    """Return the background region that was given, else the default."""
    if not words.background:
        return default
    mode = words.background_mode or (default.mode if default is not None else "divide")
    return Background(regions=tuple(words.background), mode=mode)


def correcting(words: argparse.Namespace, region: Background | None) -> Correcting:
    """Return what is done to the frames."""
    return Correcting(
        median=words.median or None,
        threshold=(words.threshold or None) if words.median else None,
        flatfield=words.flatfield,
        flatfield_median=words.flatfield_median or None,
        background=region,
        mask=words.mask,
        normalise=words.normalise_by,
        count_rate=words.count_rate,
        dark=words.dark,
        background_image=words.background_image,
    )


def correction_text(correcting: Correcting, *, given: bool = True) -> str:
    """Return in words what is done to the frames; not ``given``: the background is the instrument's."""
    steps: list[str] = []
    if correcting.count_rate is not None:
        steps.append(f"dead time {correcting.count_rate:g} s")
    if correcting.mask is not None:
        steps.append(f"mask {correcting.mask}")
    if correcting.dark is not None:
        steps.append(f"less the dark {correcting.dark}")
    if correcting.background_image is not None:
        steps.append(f"less the image {correcting.background_image}")
    if correcting.median:
        every, some = correcting.threshold is None, f"outliers beyond {correcting.threshold or 0:g} standard deviations"
        kind = " of every pixel" if every else f" of {some}"
        steps.append(f"{correcting.median}x{correcting.median} median{kind}")
    if correcting.flatfield is not None:
        steps.append(f"flat field {correcting.flatfield}")
    if correcting.background is not None:
        verb = "divided by" if correcting.background.mode == "divide" else "less"
        boxes = " and ".join(f"y {y[0]}:{y[1]}, x {x[0]}:{x[1]}" for y, x in correcting.background.boxes)
        steps.append(f"{verb} the background at {boxes}{'' if given else ' (of the instrument)'}")
    if correcting.normalise is not None:
        steps.append(f"normalised by {correcting.normalise}")
    return f"correction: {', '.join(steps) or 'none'}"


def instrument_text(scan: xr.Dataset) -> str:
    """Return whose frames these are and how that is known; empty where nobody has looked."""
    name = scan.attrs.get("instrument")
    return f"instrument: {name} ({scan.attrs.get('instrument_source', GIVEN)})" if name else ""


def say_measurement(scan: xr.Dataset, folder: Path) -> None:
    """Say what was opened, where its times and counters come from, and what was left out."""
    image = scan["image"]
    say(
        f"{folder}: {counted(image.sizes['time'], 'frame')} "
        f"of {image.sizes['y']} x {image.sizes['x']} pixels, {image.dtype}"
    )
    if left_out := scan.attrs.get("frames_left_out"):
        say(f"left out: {left_out}")
    first, last = (str(moment)[:19].replace("T", " ") for moment in scan["time"].values[[0, -1]])
    if text := instrument_text(scan):
        say(text)
    zone = f"zone {scan.attrs.get('time_zone')} ({scan.attrs.get('time_zone_source', 'given')})"
    if scan.attrs.get("time_source") == "frame":
        say(
            "time: the frame number in seconds"
            + (", as the frames carry no stamps" if "stamp" not in scan.coords else "")
        )
    elif not knows_utc(scan):
        said = "on the detector's clock, its time zone is not known"
        say(f"time: {first} to {last} {said}, from {scan.attrs.get('time_source')}")
    else:
        say(f"time: {first} to {last} UTC, from {scan.attrs.get('time_source')}, {zone}")
    if "mask" in scan.coords and (bad := int(scan["mask"].sum())):
        say(f"mask: the file calls {counted(bad, 'pixel')} bad; --mask with the path of the file leaves them out")
    if joined := scan.attrs.get("log_join"):
        say(f"log: {joined}")


def tally(data: xr.Dataset) -> str:
    """Return how many frames there are, how many of them are NaN and why, and how many were left out.

    Examples
    --------
    >>> tally(xr.Dataset(coords={"frame_status": ("time", [0, 3, 13])}, attrs={"frames_left_out": "a.tif (truncated)"}))
    '3 frames, 2 of them NaN (1 zero_background, 1 unreadable), 1 file left out'
    """
    causes: dict[str, int] = {}
    lost = np.zeros(data.sizes["time"], dtype=bool)
    if "quality" in data:
        flags = data["quality"].values
        for flag in (Quality.ZERO_BACKGROUND, Quality.FRAME_FAULT):
            here = ((flags & flag) > 0).any(axis=data["quality"].get_axis_num("roi"))
            here &= _is_nan(data)
            causes[str(flag.name).lower()], lost = int((here & ~lost).sum()), lost | here
        blind = _is_nan(data) & _without_pixels(data) & ~lost
        causes["without a valid pixel"], lost = int(blind.sum()), lost | blind
    elif "frame_status" in data.coords:
        for status in (FrameStatus.ZERO_BACKGROUND, *NAN_FRAMES):
            here = data["frame_status"].values == int(status)
            causes[status.name.lower()], lost = int(here.sum()), lost | here
    if "image" in data:
        blind = _blind(data["image"], ~lost)
        causes["without a valid pixel"], lost = int(blind.sum()), lost | blind
    said = ", ".join(f"{number} {cause}" for cause, number in causes.items() if number)
    text = f"{counted(len(lost), 'frame')}" + (f", {lost.sum()} of them NaN ({said})" if lost.any() else "")
    left_out = str(data.attrs.get("frames_left_out", ""))
    more = re.search(r"and (\d+) more$", left_out)
    number = left_out.count(" (") + (int(more[1]) if more else 0)
    return text + (f", {number} file{'s' * (number > 1)} left out" if number else "")


def _blind(image: xr.DataArray, looked_at: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Frames of one file that are masked whole; those whose first pixel is good are not read."""
    found = np.zeros(len(looked_at), dtype=bool)
    if image.size:
        first = invalid_pixels(image.isel(y=0, x=0).values)
        for frame in np.flatnonzero(looked_at & (False if first is None else first)):
            bad = invalid_pixels(image.isel(time=frame).values)
            found[frame] = bad is not None and bad.all()
    return found


def _is_nan(series: xr.Dataset) -> npt.NDArray[np.bool_]:
    """Frames without a valid pixel in any ROI, or without a number."""
    found = np.ones(series.sizes["time"], dtype=bool)
    for name in ("intensity", "maximum"):
        if name in series:
            found &= np.isnan(series[name].values).all(axis=series[name].get_axis_num("roi"))
    return found


def _without_pixels(series: xr.Dataset) -> npt.NDArray[np.bool_]:
    """Frames of which all ROIs are masked or NaN."""
    if "n_valid" not in series:
        return np.zeros(series.sizes["time"], dtype=bool)
    return np.asarray((series["n_valid"].values <= 0).all(axis=series["n_valid"].get_axis_num("roi")))


def refuse_swapped(measurement: Path, flatfield: Path | None) -> None:
    """Raise where the names say that the two are given the wrong way round, or where both are the same frames."""
    if flatfield is not None and flatfield.resolve() == measurement.resolve():
        raise LayoutError(f"{measurement}: is given as its own flat field; give frames of an even illumination")
    if flatfield is not None and _is_flat(measurement) and not _is_flat(flatfield):
        raise LayoutError(
            f"{measurement}: is called a flat field, and {flatfield} is given as one; the measurement comes first"
        )


def _is_flat(path: Path) -> bool:
    return path.resolve().name.lower().startswith("flat")


def document(step: Recipe, output: Path) -> dict[str, Any]:
    """Return the recipe as it stands in the file ``output``."""
    return step.to_dict(output.resolve().parent)


def default_name(scan: xr.Dataset, ending: str = "") -> str:
    """Return ``SAMPLE_MEASUREMENT.nc``, with an ending such as ``_frames`` before the dot."""
    parts = [str(scan[name].item()) for name in ("sample", "measurement") if name in scan.coords]
    return safe_name("_".join(part for part in parts if part) or "measurement") + f"{ending}.nc"


def safe_name(text: str) -> str:
    """Return a file name without anything that could lead out of a folder.

    Examples
    --------
    >>> safe_name("../0884 time1")
    '0884_time1'
    """
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in text)
    short = kept.lstrip("._").encode("utf-8", "replace")[:200].decode("utf-8", "ignore")  # a disc takes 255 bytes
    return short[:120] or "result"


def check_frames_to(outputs: Iterable[Path], measurement: Path, words: argparse.Namespace, *, overwrite: bool) -> None:
    """Refuse outputs of a measurement that are read by it, or would lie among frames."""
    log = None if words.logs in ("auto", None) else Path(words.logs)
    check_outputs(
        outputs,
        inputs=[
            words.mask, log, getattr(words, "rois", None), getattr(words, "geometry", None),
            *(one.file for one in getattr(words, "calibration", ())),
        ],
        frames=[measurement, *calibrations(words), *getattr(words, "measurements", ())],
        overwrite=overwrite,
    )  # fmt: skip


def calibrations(words: argparse.Namespace) -> list[Path]:
    """Return the folders of frames that calibrate others."""
    return [folder for name in FRAMES if (folder := getattr(words, name, None)) is not None]


def scheduler(words: argparse.Namespace, sources: Iterable[Path | None]) -> contextlib.AbstractContextManager[Cluster]:
    """Compute on the cluster that was asked for, or as dask does by default; workers must see the sources."""
    read = [path for path in sources if path is not None]
    return computing(read, address=words.scheduler, workers=words.workers, say=complain)


def produced(
    words: argparse.Namespace, scan: xr.Dataset, step: Fit | Radial, ending: str, doing: str, *also: Path
) -> tuple[xr.Dataset, Path]:
    """Do one step on one measurement and write its result; ``also`` are other files that are written later."""
    output = words.output or Path(default_name(scan, ending))
    refuse_other_format(output)
    check_frames_to([output, *also], words.measurement, words, overwrite=words.force)
    say_measurement(scan, words.measurement)
    say(correction_text(step.correcting.of(scan)))
    with scheduler(words, [words.measurement, *calibrations(words)]) as where, working(doing):
        found = where.recorded(step.produce())
    write_results(found, output, overwrite=words.force, recipe=document(step, output))
    return found, output
