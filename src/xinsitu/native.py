"""The compiled kernels, where there are any: a plain shared library without Python in it.

``pip install`` builds it where it finds a C compiler; without one everything is computed by NumPy.
Its calls hold no lock of Python's, so threads work side by side. Nothing heavy is loaded here.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import XinsituError, brief

log = logging.getLogger(__name__)

KERNELS = Path(__file__).parent / "kernels"
SOURCES, LIBRARY = "_*.[ch]", "_compiled.so"
SWITCH = "XINSITU_KERNEL"
"""Environment variable; ``numpy`` leaves the compiled kernels out."""
NUMPY = "numpy"


class Job(ctypes.Structure):
    """What the kernel of the statistics is told; the same fields in the same order stand in ``_statistics.c``."""

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
        *((name, ctypes.c_void_p) for name in ("corrected", "background", "files")),
    )


class Widths(ctypes.Structure):
    """What the kernel of the widths is told; the same fields in the same order stand in ``_half_maximum.c``."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("values", "base")),
        *((name, ctypes.c_int64) for name in ("frames", "bins")),
        ("level", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("left", "right", "height", "width_by_bin", "height_by_bin", "profile")),
        *((name, ctypes.c_void_p) for name in ("peak", "smooth")),
    )


class Doubts(ctypes.Structure):
    """What is asked of widths that were found."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("profile", "variance", "height_by_bin", "left", "right", "height")),
        *((name, ctypes.c_void_p) for name in ("peak", "smooth")),
        *((name, ctypes.c_int64) for name in ("frames", "bins")),
        ("level", ctypes.c_double),
        ("doubtful", ctypes.c_void_p),
    )


class BehindMedian(ctypes.Structure):
    """Noise of bins behind a median; the same fields in the same order stand in ``_width_noise.c``, as those below."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("profile", "variance", "per_count", "lines", "tables")),
        *((name, ctypes.c_int64) for name in ("frames", "bins", "knots")),
        ("least", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("out", "neighbours")),
    )


class Correlated(ctypes.Structure):
    """Sums over bins that are correlated."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("by_bin", "variance", "neighbours")),
        *((name, ctypes.c_int64) for name in ("frames", "bins")),
        *((name, ctypes.c_void_p) for name in ("alone", "between")),
    )


class Interpolated(ctypes.Structure):
    """Straight lines between knots."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("at", "x", "y", "slopes")),
        *((name, ctypes.c_int64) for name in ("numbers", "knots")),
        ("out", ctypes.c_void_p),
    )


class Weighted(ctypes.Structure):
    """Rows that are summed with weights; the same fields in the same order stand in ``_sums.c``."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("values", "terms")),
        *((name, ctypes.c_int64) for name in ("rows", "length", "n_terms")),
        ("out", ctypes.c_void_p),
    )


class Files(ctypes.Structure):
    """Files that are read in one call; the same fields stand in ``_compiled.h`` and ``_files.c``, as those below."""

    _fields_ = (
        ("folder", ctypes.c_char_p),
        ("names", ctypes.c_char_p),
        ("count", ctypes.c_int64),
        ("left", ctypes.c_void_p),
    )


class Rows(ctypes.Structure):
    """Rows of pixels of files."""

    _fields_ = (
        ("files", Files),
        *((name, ctypes.c_void_p) for name in ("sizes", "mtimes", "offsets")),
        *((name, ctypes.c_int64) for name in ("skip", "bytes", "row", "kept")),
        ("spans", ctypes.c_void_p),
        ("n_spans", ctypes.c_int64),
        ("out", ctypes.c_void_p),
    )


class Heads(ctypes.Structure):
    """Heads of files."""

    _fields_ = (
        ("files", Files),
        *((name, ctypes.c_char_p) for name in ("before", "behind")),
        *((name, ctypes.c_int64) for name in ("n_before", "n_stamp", "n_behind", "size")),
        *((name, ctypes.c_void_p) for name in ("mtimes", "stamps")),
    )


class Table(ctypes.Structure):
    """Columns of which rows of text are made; the same fields in the same order stand in ``_texts.c``."""

    _fields_ = (
        ("kinds", ctypes.c_char_p),
        *((name, ctypes.c_void_p) for name in ("cells", "ends", "powers")),
        *((name, ctypes.c_int64) for name in ("rows", "columns")),
        ("out", ctypes.c_void_p),
        ("length", ctypes.c_int64),
    )


def fingerprint(sources: Iterable[Path]) -> str:
    """Hash of C sources, by which a library that was built from older ones is known."""
    content = b"".join(path.read_bytes() for path in sorted(sources))
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def switched_off() -> bool:
    """Whether somebody has switched the compiled kernels off.

    Raises
    ------
    XinsituError
        The switch is set to what means nothing.
    """
    said = os.environ.get(SWITCH, "")
    if said not in ("", NUMPY):
        raise XinsituError(f"{SWITCH} is {NUMPY!r}, or not set, not {brief(said)!r}")
    return said == NUMPY


@functools.cache
def _loaded() -> ctypes.CDLL | None:
    path = KERNELS / LIBRARY
    if switched_off() or not path.exists():
        log.info("NumPy computes: %s", f"{SWITCH}={NUMPY}" if path.exists() else "the kernels were not compiled")
        return None
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.xinsitu_sources.restype = ctypes.c_char_p
        built_from = loaded.xinsitu_sources().decode()
    except (OSError, AttributeError) as fault:  # of another machine, or another source
        log.info("NumPy computes: %s", fault)
        return None
    if built_from != fingerprint(KERNELS.glob(SOURCES)):
        log.info("NumPy computes: %s was built from older sources", path)
        return None
    log.info("the compiled kernels compute: %s", path)
    return loaded


@functools.cache
def function(name: str) -> Any | None:  # noqa: ANN401 - a ctypes function
    """Return a compiled function, which takes one pointer; None where it was not built, or is switched off."""
    loaded = _loaded()
    if loaded is None:
        return None
    found = getattr(loaded, f"xinsitu_{name}")
    found.argtypes, found.restype = [ctypes.c_void_p], ctypes.c_int
    return found


def library() -> Any | None:  # noqa: ANN401 - a ctypes function
    """Return the kernel of the statistics; None where it was not built, or is switched off."""
    return function("statistics")


def kernel_name() -> str:
    """Return which kernel computes statistics: ``compiled`` or ``numpy``."""
    return "numpy" if library() is None else "compiled"
