"""Area-detector frames from in situ X-ray experiments, turned into physics.

Each measurement is a lazy labelled ``xr.Dataset`` with dims ``(time, y, x)``:

>>> import xarray as xr
>>> import xinsitu as xi                                     # registers the engine and the accessor ``.insitu``
>>> scan = xr.open_dataset("0884/time1", engine="xinsitu")   # doctest: +SKIP

Public names are loaded on first use; ``__init__.pyi`` lists them with their homes.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

from .registration import register_accessor as _register_accessor  # noqa: E402 - the accessor looks names up here

_register_accessor()
