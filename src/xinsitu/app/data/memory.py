"""Memory that goes back to the system: a growing measurement is looked at all night."""

from __future__ import annotations

import contextlib
import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's ``mallopt(3)``."""
LARGE = 2**23
"""Bytes of a piece that goes back as soon as it is freed; what measuring takes and frees all the time is smaller."""


def keep_small() -> None:
    """Let glibc, where it is, keep no large pieces of freed memory for later, in any of its pools (one a thread).

    By itself it keeps more, the larger the pieces are that were freed: each look at a growing measurement takes and
    frees a few that are larger than those of the look before, and what was kept of those fits none of them.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, LARGE)
        mallopt(_TRIM_THRESHOLD, 8 * LARGE)  # trimmed at each free, what is measured next costs fresh pages


def give_back() -> None:
    """Give freed memory back to the system, where it has a call for that."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
