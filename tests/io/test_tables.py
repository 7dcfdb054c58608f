"""CSV files are those of pandas, byte for byte, whatever the columns hold."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu import native
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


@pytest.fixture(params=["compiled", "numpy"])
def kernel(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(native, "function", lambda name: None)


@pytest.mark.usefixtures("kernel")
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


EXPECTED = [
    "2014-05-28T00:00:00.000000Z,1401235200.0,0.0,2014-05-28 01:02:03.500000,,0,0,0.1,5e-324,-9223372036854775808,,0.1",
    "2014-05-28T00:00:01.000000Z,1401235201.0,1.0,,'+1,9223372036854775808,1,,1e+16,9223372036854775807,1.5,inf",
    '2014-05-28T00:00:02.000000Z,1401235202.0,2.0,1969-12-31 00:00:00,"ü,\x00z",18446744073709551615,254,-inf,,0,x,'
    "2.2250738585072014e-308",
    "2014-05-28T00:00:03.000000Z,1401235203.0,3.0,,'@,1,255,1e-45,-0.0,-1,,0.3333333333333333",
]


@pytest.mark.usefixtures("kernel")
def test_hard_values_are_written_as_they_always_were(tmp_path):
    time = np.datetime64("2014-05-28", "ns") + np.arange(4) * np.timedelta64(1, "s")
    stamp = np.array(["2014-05-28T01:02:03.5", "NaT", "1969-12-31", "NaT"], dtype="datetime64[ns]")
    columns = {
        "stamp": stamp,
        "word": ["", "+1", "ü,\x00z", "@"],
        "flags": np.array([0, 2**63, 2**64 - 1, 1], dtype="uint64"),
        "byte": np.array([0, 1, 254, 255], dtype="uint8"),
        "single": np.array([0.1, np.nan, -np.inf, 1e-45], dtype="float32"),
        "least": [5e-324, 1e16, np.nan, -0.0],
        "whole": [-(2**63), 2**63 - 1, 0, -1],
        "object": np.array([None, 1.5, "x", float("nan")], dtype=object),
    }
    coords = {"time": time, "roi": ["é"]} | {name: ("time", values) for name, values in columns.items()}
    series = xr.Dataset({"intensity": (("time", "roi"), [[0.1], [np.inf], [2.2250738585072014e-308], [1 / 3]])}, coords)
    assert xi.write_csv(series, tmp_path / "s.csv").read_bytes().decode().splitlines()[1:] == EXPECTED


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "  =", "＝", "＠"])
def test_no_cell_of_any_table_begins_as_a_formula(tmp_path, begin):
    series = series_of(4).assign_coords(roi=[f"{begin}A1", "B"], note=("time", [f"{begin}1", "x", "y", "z"]))
    rows = csv.reader(io.StringIO(xi.write_csv(series, tmp_path / "s.csv").read_bytes().decode(), newline=""))
    plain = pd.DataFrame({"sample": [f"{begin}SUM(1)", "b"], f"{begin}n": [-1.5, 2]})
    own = csv.reader(io.StringIO(tables.plain_csv(plain).decode(), newline=""))
    for cell in (cell for table in (rows, own) for row in table for cell in row):
        assert not cell.lstrip(" ").startswith(tables.FORMULA) or float(cell) <= 0
