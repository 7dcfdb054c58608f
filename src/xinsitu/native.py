"""The compiled kernel of the statistics, where there is one: a plain shared library without Python in it.

``pip install`` builds it where it finds a C compiler; without one everything is computed by NumPy, to the same bits.
Its calls hold no lock of Python's, so threads work side by side. Nothing heavy is loaded here.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LIBRARY = "_statistics.so"
SWITCH = "XINSITU_KERNEL"
"""Environment variable; ``numpy`` leaves the compiled kernel out."""


class Job(ctypes.Structure):
    """What the kernel is told; the same fields in the same order stand in ``_statistics.c``."""

    _fields_ = (
        ("raw", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("frames", "frame_stride", "row_stride")),
        *((name, ctypes.c_void_p) for name in ("flat", "gain", "mask", "dead", "scale", "number", "boxes", "pairs")),
        *((name, ctypes.c_void_p) for name in ("places", "moments", "powers", "out", "left")),
        ("columns", ctypes.c_int64),
        *((name, ctypes.c_double) for name in ("threshold", "shared", "dead_code", "code", "cutoff")),
        *((name, ctypes.c_int32) for name in ("type", "height", "width", "filter", "single", "mode", "as_counted")),
        *((name, ctypes.c_int32) for name in ("rois", "levels", "overlaps", "negative_codes", "whole")),
        *((name, ctypes.c_int32) for name in ("ask_excess", "ask_flat", "ask_sparse", "ask_raw", "ask_saturated")),
        *((name, ctypes.c_int32) for name in ("excess_one_in", "flat_one_in", "sparse_one_in", "hot")),
    )


@functools.cache
def library() -> Any | None:  # noqa: ANN401 - a ctypes function
    """Return the kernel's function; None where it was not built, or is switched off."""
    path = Path(__file__).parent / "kernels" / LIBRARY
    if os.environ.get(SWITCH, "") == "numpy" or not path.exists():
        log.info("NumPy computes: %s", f"{SWITCH}=numpy" if path.exists() else "the kernel was not compiled")
        return None
    try:
        loaded = ctypes.CDLL(str(path))
        fits = loaded.xinsitu_job_size() == ctypes.sizeof(Job)
    except (OSError, AttributeError) as fault:  # of another machine, or another source
        log.info("NumPy computes: %s", fault)
        return None
    if not fits:
        log.info("NumPy computes: %s was built from an older source", path)
        return None
    log.info("the compiled kernel computes: %s", path)
    function = loaded.xinsitu_statistics
    function.argtypes, function.restype = [ctypes.POINTER(Job)], ctypes.c_int
    return function


def kernel_name() -> str:
    """Return which kernel computes statistics: ``compiled`` or ``numpy``."""
    return "numpy" if library() is None else "compiled"
