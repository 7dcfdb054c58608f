"""Once more, for what a network disc does now and then."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.EAGAIN})
_PAUSES = (0.05, 0.2, 0.8)

Result = TypeVar("Result")


def retried(read: Callable[[], Result]) -> Result:
    """Call, and call again up to three times where the disc reports an error that may pass.

    Examples
    --------
    >>> retried(lambda: 7)
    7
    """
    for pause in _PAUSES:
        try:
            return read()
        except OSError as error:
            if error.errno not in _PASSING:
                raise
            time.sleep(pause)
    return read()
