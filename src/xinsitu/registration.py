"""The accessor ``.insitu`` comes with xarray: at once where that is loaded, else as soon as anybody loads it.

xarray takes half a second to import, which ``xinsitu --help`` has no use for.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def register_accessor() -> None:
    """Register ``.insitu`` with xarray, now or when xarray is imported."""
    if "xarray" in sys.modules:
        importlib.import_module("xinsitu.accessor")
    elif not any(isinstance(finder, _WhenXarrayComes) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenXarrayComes())


class _WhenXarrayComes(importlib.abc.MetaPathFinder):
    """Waits for the import of xarray, and is gone then."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "xarray":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenAccessor(spec.loader)
        return spec


class _ThenAccessor(importlib.abc.Loader):
    """Loads xarray as its own loader does, and the accessor behind it."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader  # nobody is to see that we were here
        module.__loader__ = self.loader
        self.loader.exec_module(module)
        importlib.import_module("xinsitu.accessor")
