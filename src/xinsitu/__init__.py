"""Area-detector frames from in situ X-ray experiments, turned into physics.

Each measurement is a lazy labelled ``xr.Dataset`` with dims ``(time, y, x)``:

>>> import xarray as xr
>>> import xinsitu as xi  # registers the engine and the accessor ``.insitu``
>>> scan = xr.open_dataset("0884/time1", engine="xinsitu")

Public names are loaded on first use; ``__init__.pyi`` lists them with their homes.
"""

from .beginning import answer as _answer

_answer()  # before anything that takes time is loaded

import sys as _sys  # noqa: E402
from typing import Any as _Any  # noqa: E402

import lazy_loader  # noqa: E402

__version__ = "0.1.0"
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


_at_the_door: dict[str, _Any] = {}  # not among the globals, where doctest would take them for this module's own


def __getattr__(name: str) -> _Any:  # noqa: ANN401 - functions, classes and the version
    """Load a public name on its first use, and stand at its door: see :mod:`xinsitu.signatures`."""
    if name not in _at_the_door:
        from .signatures import guarded

        _at_the_door[name] = guarded(_load(name), lambda word: getattr(_sys.modules[__name__], word, None))
        globals().pop(name, None)  # as it is behind the door
    return _at_the_door[name]


from .registration import register_accessor as _register_accessor  # noqa: E402 - the accessor looks names up here

_register_accessor()
