"""Results as tables: pandas and CSV."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from xinsitu import schema
from xinsitu.errors import SchemaError, in_utf8
from xinsitu.kernels.texts import Column, table_rows

from .disk import write_whole
from .guard import output_path


def to_dataframe(series: xr.Dataset, layout: Literal["long", "wide"] = "long") -> pd.DataFrame:
    """Return ROI time series as a table.

    Parameters
    ----------
    series
        Dataset with dims ``(time, roi)``.
    layout
        ``long``: a row for each time and ROI, a column ``roi``. ``wide``: a row for each time and columns
        ``WZ_intensity``, ``CTR_com_l``, … with the instrument's axis names.

    Returns
    -------
    pandas.DataFrame
        Indexed by UTC ``time``, with ``unix_time`` and ``elapsed`` (mid-exposure) in seconds; units in
        ``frame.attrs["units"]``. Where the time zone of the frames is not known, ``time`` is what the detector's clock
        showed, without a zone, and there is no ``unix_time``.

    Raises
    ------
    SchemaError
        A dimension is missing, or an unknown layout.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(2) * np.timedelta64(1, "s")
    >>> series = xr.Dataset({"intensity": (("time", "roi"), [[4.0], [9.0]])}, {"time": time, "roi": ["WZ"]})
    >>> to_dataframe(series, "wide")["WZ_intensity"].tolist()
    [4.0, 9.0]
    """
    schema.require(series, dims=("time", "roi"))
    if layout not in ("long", "wide"):
        raise SchemaError(f"the layout of a table is long or wide, not {layout!r}")
    shared = _time_table(series)
    names = {name: _column(series, str(name)) for name in _table_variables(series)}
    units = {name: "s" for name in ("unix_time", "elapsed") if name in shared}
    blocks = []
    for roi in series["roi"].values:
        selected = series.sel(roi=roi)
        block = pd.DataFrame({names[name]: selected[name].values for name in names}, index=shared.index)
        blocks.append((str(roi), block))
    if layout == "long":
        units |= {names[name]: series[name].attrs.get("units", "") for name in names}
        rows = [pd.concat([shared.assign(roi=roi), block], axis=1) for roi, block in blocks]
        # stable: 1 s stamps repeat, and the ROIs of one frame stay together in their order
        order = np.arange(len(shared) * len(rows)).reshape(len(rows), len(shared)).T.ravel()
        table = pd.concat(rows).iloc[order] if rows else shared
    else:
        units |= {f"{roi}_{names[name]}": series[name].attrs.get("units", "") for roi, _ in blocks for name in names}
        table = pd.concat([shared, *(block.add_prefix(f"{roi}_") for roi, block in blocks)], axis=1)
    table.attrs["units"] = {name: unit for name, unit in units.items() if unit}
    return table


def _time_table(series: xr.Dataset) -> pd.DataFrame:
    time = series["time"].values
    unix = schema.epoch_seconds(time)
    zone = None if series.attrs.get("time_zone_source") == schema.UNKNOWN_ZONE else "UTC"
    columns: dict[str, Any] = {} if zone is None else {"unix_time": unix}
    middle = schema.mid_exposure(series)
    columns["elapsed"] = (middle - middle[:1]) / np.timedelta64(1, "s")
    for name, coordinate in series.coords.items():
        if name not in ("time", "roi", "remarks") and coordinate.dims in ((), ("time",)):
            columns[str(name)] = np.broadcast_to(coordinate.values, time.shape)
    return pd.DataFrame(columns, index=pd.DatetimeIndex(time, tz=zone, name="time"))


def _table_variables(series: xr.Dataset) -> list[Hashable]:
    return [name for name, variable in series.data_vars.items() if set(variable.dims) == {"time", "roi"}]


def _column(series: xr.Dataset, name: str) -> str:
    """``com_x`` with the instrument's name of the axis: ``com_l``; errors keep their ending."""
    base, errors = name.removesuffix("_errors"), "_errors" if name.endswith("_errors") else ""
    for axis in ("y", "x"):
        if base.endswith(f"_{axis}"):
            return f"{base.removesuffix(axis)}{schema.axis_name(series, axis)}{errors}"
    return name


def write_csv(
    series: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    layout: Literal["long", "wide"] = "wide",
    overwrite: bool = False,
) -> Path:
    """Write ROI time series as CSV; the units stand behind each name in brackets.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.
    LayoutError
        It would lie in a folder that holds frames.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(2) * np.timedelta64(1, "s")
    >>> series = xr.Dataset({"intensity": (("time", "roi"), [[4.0], [9.0]])}, {"time": time, "roi": ["WZ"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_csv(series, f"{folder}/time1.csv")
    ...     "intensity" in Path(f"{folder}/time1.csv").read_text()
    True
    """
    path = output_path(path, overwrite=overwrite)
    table = to_dataframe(series, layout)
    units = table.attrs.pop("units")  # pandas copies attributes with every part of a table
    for name in [name for name in table if pd.api.types.is_string_dtype(table[name])]:
        table[name] = table[name].map(harmless)
    table.columns = [harmless(f"{name} [{units[name]}]" if name in units else name) for name in table.columns]
    offset = "" if series.attrs.get("time_zone_source") == schema.UNKNOWN_ZONE else "Z"
    return write_whole(path, _csv(table, offset), overwrite=overwrite)


TOGETHER = 4096
"""Rows that are made into text at a time."""


def _csv(table: pd.DataFrame, offset: str) -> bytes:
    """Return what ``DataFrame.to_csv`` writes, column by column, which takes a tenth of the time."""
    head = ",".join(_quoted(str(name)) for name in (table.index.name, *table.columns))
    index = pd.DatetimeIndex(table.index)
    plain = index if index.tz is None else index.tz_convert(None)  # UTC
    time = np.asarray(plain.to_numpy(), dtype="datetime64[us]")
    columns = [table.iloc[:, number] for number in range(table.shape[1])]
    text = [f"{head}\n".encode()]
    for first in range(0, len(table), TOGETHER):
        some = slice(first, first + TOGETHER)
        stamps = [f"{stamp}{offset}" for stamp in np.datetime_as_string(time[some]).tolist()]
        text.append(table_rows([stamps, *(_cells(column.iloc[some]) for column in columns)]))
    return b"".join(text)


def _cells(column: pd.Series[Any]) -> Column:
    """Numbers of a column, or the texts of its cells; nothing for NaN."""
    if column.dtype == np.float64:
        return column.to_numpy()
    if column.dtype.kind in "iu" and column.dtype != np.uint64:
        return column.to_numpy().astype(np.int64)
    cells = column.to_numpy() if column.dtype.kind == "f" else column  # digits of single precision are fewer
    return ["" if missing else _quoted(str(cell)) for cell, missing in zip(cells, column.isna(), strict=True)]


def _quoted(cell: str) -> str:
    return f'"{cell.replace(chr(34), chr(34) * 2)}"' if any(mark in cell for mark in ',"\r\n') else cell


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the begin of a formula, those of full width among them; it passes over blank letters."""


def harmless(cell: object) -> object:
    """Quote a text that a spreadsheet would run as a formula, and escape what of it is not UTF-8.

    Examples
    --------
    >>> harmless("=1+1"), harmless("WZ"), harmless(-1.5)
    ("'=1+1", 'WZ', -1.5)
    """
    text = in_utf8(cell) if isinstance(cell, str) else cell
    return f"'{text}" if isinstance(text, str) and text.lstrip(" ").startswith(FORMULA) else text


def plain_csv(table: pd.DataFrame) -> bytes:
    """Return a table without an index as CSV, texts quoted that a spreadsheet would run."""
    plain = table.copy()
    for name in [name for name in plain if pd.api.types.is_string_dtype(plain[name])]:
        plain[name] = plain[name].map(harmless)
    text: str = plain.rename(columns=harmless).to_csv(index=False)
    return text.encode("utf-8", "replace")
