"""What is known of whole frames before their pixels are looked at: faults, motion, no beam."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

import numpy as np
import xarray as xr

from xinsitu.errors import warn
from xinsitu.schema import FrameStatus, Quality

FAULTS = (*(status for status in FrameStatus if 1 <= status <= 7), FrameStatus.PENDING)
"""States of a frame whose pixels are missing or doubtful."""
MOTOR_UNITS = ("degree", "degrees", "deg", "mm", "um")
MOTION = 1e-3
"""Change from frame to frame, in the motor's units, that is more than the jitter of an encoder."""
DARK = 0.01
"""Part of its median below which the monitor says that there is no beam."""


def frame_flags(coords: Mapping[Hashable, xr.Variable]) -> xr.Variable | None:
    """Return flags ``(time)`` from the state of frames, logged motors and the monitor; None where nothing is known.

    A motor is a coordinate ``(time)`` in degrees or millimetres, or one whose ``long_name`` begins with ``motor``.

    Warns
    -----
    XinsituWarning
        A motor moves within the measurement.
    """
    flags = [*_faults(coords), *_motion(coords), *_darkness(coords)]
    if not flags:
        return None
    result = flags[0]
    for other in flags[1:]:
        result = result | other
    return result.astype(np.int32)


def _faults(coords: Mapping[Hashable, xr.Variable]) -> Iterator[xr.Variable]:
    if "frame_status" in coords:
        status = coords["frame_status"]
        fault = xr.Variable(status.dims, np.isin(status.data, [int(fault) for fault in FAULTS]))
        yield fault * np.int32(Quality.FRAME_FAULT)
        dark = xr.Variable(status.dims, status.data == int(FrameStatus.ZERO_BACKGROUND))
        yield dark * np.int32(Quality.ZERO_BACKGROUND)


def _motion(coords: Mapping[Hashable, xr.Variable]) -> Iterator[xr.Variable]:
    moved = []
    for name, values in coords.items():
        motor = values.attrs.get("units") in MOTOR_UNITS or str(values.attrs.get("long_name", "")).startswith("motor")
        if not motor or values.dims != ("time",) or values.dtype.kind not in "iuf":
            continue
        moves = abs(values - xr.DataArray(values).shift(time=1).variable) > MOTION
        if values.chunks is not None:  # flagged when it is computed; nothing can be said before
            yield moves * np.int32(Quality.FRAME_IN_MOTION)
        elif bool(moves.any()):
            moved.append(str(name))
            yield moves * np.int32(Quality.FRAME_IN_MOTION)
    if moved:
        move = "moves" if len(moved) == 1 else "move"
        warn(
            f"{', '.join(moved)} {move} within the measurement: positions and intensities of different frames cannot "
            "be compared as they stand; the frames are flagged"
        )


def _darkness(coords: Mapping[Hashable, xr.Variable]) -> Iterator[xr.Variable]:
    monitor = coords.get("monitor")
    if monitor is None or monitor.dims != ("time",) or monitor.dtype.kind not in "iuf" or not monitor.size:
        return
    whole = monitor if monitor.chunks is None else monitor.chunk({"time": -1})
    middle = whole.quantile(0.5, "time")  # unlike median, lazy along its only dimension
    yield (whole < DARK * middle) * np.int32(Quality.NO_BEAM)
