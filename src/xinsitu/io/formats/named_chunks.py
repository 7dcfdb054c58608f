"""Dask chunks that are named after what they hold.

xarray names the chunks of an engine after the path, the time of the folder and the keywords. A frame that is written
anew changes none of them: a cluster that holds the old chunks would take them for the new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr
from dask.base import tokenize

from xinsitu.variables import Counted


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
