"""The engine ``xinsitu`` of xarray: ``xr.open_dataset(folder, engine="xinsitu", chunks={})``.

xarray names the chunks of an engine after the path, the time of the folder and the keywords. A frame that is written
anew changes none of them: a cluster that holds the old chunks would take them for the new ones. So ours are named after
what they hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import xarray as xr
from dask.base import tokenize
from xarray.backends import BackendEntrypoint

from xinsitu.errors import LayoutError
from xinsitu.variables import Counted

from .disk import uncollected
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
        if unknown := [name for name in options if name not in KEYWORDS]:
            raise TypeError(f"the engine 'xinsitu' got an unexpected keyword argument {unknown[0]!r}")
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


class NamedByContent(xr.Variable):
    """A variable whose chunks are named after its content: of a lazy stack, size and time of every file."""

    __slots__ = ()

    def chunk(  # type: ignore[override] # a plain variable is given back
        self,
        *chunks: Any,  # noqa: ANN401 - passed on to xarray
        from_array_kwargs: Mapping[str, Any] | None = None,
        **keywords: Any,  # noqa: ANN401
    ) -> xr.Variable:
        """Return the variable in chunks, as :meth:`xarray.Variable.chunk`; a name that is given gets the token."""
        given = dict(from_array_kwargs or {})
        if isinstance(given.get("name"), str):
            given["name"] += f"-{content(self._data)}"
        chunked = super().chunk(*chunks, **{**keywords, "from_array_kwargs": given})
        kind = Counted if isinstance(self, Counted) else xr.Variable
        return kind(chunked.dims, chunked._data, chunked.attrs, chunked.encoding, fastpath=True)


class CountedByContent(NamedByContent, Counted):
    """Counts whose chunks are named after their content."""

    __slots__ = ()


def content(data: Any) -> str:  # noqa: ANN401 - any of xarray's wrappers, or what they wrap
    """Token of an array and of every selection that wrappers have made of it.

    Examples
    --------
    >>> import numpy as np
    >>> content(np.arange(3)) == content(np.arange(3)), content(np.arange(3)) == content(np.arange(4))
    (True, False)
    """
    selections: list[Any] = []
    while hasattr(data, "array") and not hasattr(data, "__dask_tokenize__"):
        if (key := getattr(data, "key", None)) is not None:
            selections.append((type(key).__name__, key.tuple))
        data = data.array
    return str(tokenize(data, selections))


def named_by_content(dataset: xr.Dataset) -> xr.Dataset:
    """Return the Dataset with chunks to come that are named after their content, those of coordinates too."""
    variables = {
        name: variable
        if name in dataset.xindexes or not variable.ndim
        else _kind(variable)(variable.dims, variable._data, variable.attrs, variable.encoding, fastpath=True)
        for name, variable in dataset.variables.items()
    }
    return dataset._replace(variables)  # assigning would make plain variables of the coordinates


def _kind(variable: Any) -> Any:  # noqa: ANN401 - NamedByContent of one sort or the other, for mypy's sake
    return CountedByContent if isinstance(variable, Counted) else NamedByContent
