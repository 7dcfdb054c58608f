"""CSV files are those of pandas, byte for byte, whatever the columns hold."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.io import tables


def series_of(number: int, **attrs: str) -> xr.Dataset:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (number, 2)) * 10.0 ** rng.integers(-300, 300, (number, 2))
    values[rng.random(values.shape) < 0.2] = np.nan
    time = np.datetime64("2014-05-28T01:02:03.000004", "ns") + np.arange(number) * np.timedelta64(999_999, "us")
    odd = np.array(['=1+1, "x"', "line\nbreak", "", "plain"], dtype=object)[np.arange(number) % 4]
    coords = {
        "time": time, "roi": ["WZ", "a,b"], "note": ("time", odd), "good": ("time", np.arange(number) % 2 == 0),
        "single": ("time", np.linspace(0, 1, number, dtype="float32")), "frame": ("time", np.arange(number)),
        "monitor": ("time", np.where(np.arange(number) % 5 == 3, np.inf, -0.0)), "sample": "0884",
    }  # fmt: skip
    whole = {"n_valid": (("time", "roi"), np.full((number, 2), 7, "int64"))}
    return xr.Dataset({"intensity": (("time", "roi"), values)} | whole, coords, attrs)


@pytest.mark.parametrize("layout", ["wide", "long"])
@pytest.mark.parametrize("attrs", [{}, {"time_zone_source": "unknown"}])
@pytest.mark.parametrize("number", [1, 300])
def test_a_table_is_written_as_pandas_writes_it(tmp_path, monkeypatch, layout, attrs, number):
    monkeypatch.setattr(tables, "TOGETHER", 64)
    written: list[bytes] = []

    def by_pandas(table, offset):
        written.append(table.to_csv(date_format=f"%Y-%m-%dT%H:%M:%S.%f{offset}").encode())
        return own(table, offset)

    own = tables._csv
    monkeypatch.setattr(tables, "_csv", by_pandas)
    path = xi.write_csv(series_of(number, **attrs), tmp_path / "s.csv", layout=layout)
    assert path.read_bytes() == written[0]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "  =", "＝", "＠"])
def test_no_cell_of_any_table_begins_as_a_formula(tmp_path, begin):
    series = series_of(4).assign_coords(roi=[f"{begin}A1", "B"], note=("time", [f"{begin}1", "x", "y", "z"]))
    rows = csv.reader(io.StringIO(xi.write_csv(series, tmp_path / "s.csv").read_bytes().decode(), newline=""))
    plain = pd.DataFrame({"sample": [f"{begin}SUM(1)", "b"], f"{begin}n": [-1.5, 2]})
    own = csv.reader(io.StringIO(tables.plain_csv(plain).decode(), newline=""))
    for cell in (cell for table in (rows, own) for row in table for cell in row):
        assert not cell.lstrip(" ").startswith(tables.FORMULA) or float(cell) <= 0
