"""Once more, for what a network disc does now and then."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.EAGAIN})
_PAUSES = (0.05, 0.2, 0.8)

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


def may_pass(error: OSError) -> bool:
    """Whether the disc may well answer the next time."""
    return error.errno in _PASSING


def retried(read: Callable[Parameters, Result], *arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
    """Call, and call again up to three times where the disc reports an error that may pass.

    Examples
    --------
    >>> retried(max, 3, 7)
    7
    """
    for pause in _PAUSES:
        try:
            return read(*arguments, **keywords)
        except OSError as error:
            if not may_pass(error):
                raise
            time.sleep(pause)
    return read(*arguments, **keywords)
