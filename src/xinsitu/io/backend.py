"""The engine ``xinsitu`` of xarray: ``xr.open_dataset(folder, engine="xinsitu", chunks={})``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from xinsitu.errors import LayoutError

from .formats.named_chunks import named_by_content
from .garbage import uncollected
from .measurement import open_sample
from .opening import open_lazily
from .options import KEYWORDS, OpenOptions


class XinsituBackend(BackendEntrypoint):
    """Opens detector frames; only forwards to :func:`~xinsitu.io.opening.open_lazily`.

    The engine must be named: a folder of TIFFs may belong to anybody.
    """

    supports_groups: ClassVar[bool] = True
    description: ClassVar[str] = "Open X-ray detector frames as one lazy image (time, y, x)"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        *KEYWORDS,
    )

    def open_dataset(
        self,
        filename_or_obj: object,
        *,
        drop_variables: str | Iterable[str] | None = None,
        **options: Any,  # noqa: ANN401 - xarray passes on what people gave; OpenOptions checks it
    ) -> xr.Dataset:
        """Open frames, not chunked; options are the keywords of :func:`~xinsitu.io.measurement.open_measurement`."""
        if not isinstance(filename_or_obj, str | os.PathLike | Sequence):
            raise LayoutError(f"the engine xinsitu opens paths, not {type(filename_or_obj).__name__}")
        opening = OpenOptions(**options)
        with uncollected():
            dataset, _ = open_lazily(filename_or_obj, opening)
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        return named_by_content(dataset.drop_vars(dropped, errors="ignore"))

    def open_datatree(
        self,
        filename_or_obj: object,
        *,
        drop_variables: str | Iterable[str] | None = None,
        **options: Any,  # noqa: ANN401 - open_sample checks them
    ) -> xr.DataTree:
        """Open the measurements of a sample; options are those of :func:`~xinsitu.io.measurement.open_sample`."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            raise LayoutError(f"a sample is opened from its folder, not from {type(filename_or_obj).__name__}")
        tree = open_sample(filename_or_obj, chunks=None, **options)
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        nodes = {node.path: node.to_dataset().drop_vars(dropped, errors="ignore") for node in tree.subtree}
        return xr.DataTree.from_dict(
            {path: named_by_content(node) if "image" in node else node for path, node in nodes.items()}, name=tree.name
        )

    def open_groups_as_dict(
        self,
        filename_or_obj: object,
        *,
        drop_variables: str | Iterable[str] | None = None,
        **options: Any,  # noqa: ANN401 - open_sample checks them
    ) -> dict[str, xr.Dataset]:
        """Open the measurements of a sample by their paths."""
        tree = self.open_datatree(filename_or_obj, drop_variables=drop_variables, **options)
        return {node.path: node.to_dataset() for node in tree.subtree}

    def guess_can_open(self, filename_or_obj: object) -> bool:
        """Never: name the engine."""
        return False
