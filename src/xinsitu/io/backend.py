"""The engine ``xinsitu`` of xarray: ``xr.open_dataset(folder, engine="xinsitu", chunks={})``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from xinsitu.errors import LayoutError

from .keywords import Opening
from .opening import open_lazily
from .times import Time


class XinsituBackend(BackendEntrypoint):
    """Opens detector frames; only forwards to :func:`~xinsitu.io.opening.open_lazily`.

    The engine must be named: a folder of TIFFs may belong to anybody.
    """

    description: ClassVar[str] = "Open X-ray detector frames as one lazy image (time, y, x)"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        "tz",
        "instrument",
        "on_error",
        "time",
        "order_error",
        "series",
        "fill_missing",
        "period",
        "stamp_marks",
        "logs",
    )

    def open_dataset(
        self,
        filename_or_obj: object,
        *,
        drop_variables: str | Iterable[str] | None = None,
        tz: str | None = None,
        instrument: str | None = None,
        on_error: str = "raise",
        time: Time = "auto",
        order_error: str = "raise",
        series: str | None = None,
        fill_missing: bool = False,
        period: float | None = None,
        stamp_marks: str | None = None,
        logs: str | os.PathLike[str] | None = "auto",
    ) -> xr.Dataset:
        """Open frames, not chunked; parameters of :func:`~xinsitu.io.measurement.open_measurement`."""
        if not isinstance(filename_or_obj, str | os.PathLike | Sequence):
            raise LayoutError(f"the engine xinsitu opens paths, not {type(filename_or_obj).__name__}")
        opening = Opening(
            tz=tz,
            instrument=instrument,
            on_error=on_error,
            time=time,
            order_error=order_error,
            series=series,
            fill_missing=fill_missing,
            period=period,
            stamp_marks=stamp_marks,
            logs=logs,
        )
        dataset, _ = open_lazily(filename_or_obj, opening)
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        return dataset.drop_vars(dropped, errors="ignore")

    def guess_can_open(self, filename_or_obj: object) -> bool:
        """Never: name the engine."""
        return False
