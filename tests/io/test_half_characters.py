r"""Half of a character, as JSON (``"\ud800"``) and names in another encoding may have it, in all that is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import write_frames
from xinsitu.app.state import view_file
from xinsitu.io.exchange.roi_files import _json

HALF = "K\udcfchl"
TOLD = "K\\udcfchl"
TIME = np.datetime64("2019-03-02T04:00:00", "ns") + np.arange(3) * np.timedelta64(1, "s")
EVENT = xi.Event(HALF, TIME[0], TIME[1])
CHANGE = xi.AttenuationChange(TIME[0], TIME[1], factor=2.0, note=HALF)


@pytest.fixture
def scan(tmp_path: Path) -> xr.Dataset:
    write_frames(tmp_path / "m", 3)
    scan = xi.open_measurement(tmp_path / "m", tz="UTC", instrument="generic", logs=None)
    return scan.assign_coords(sample=HALF, remark=("time", ["a", HALF, "c"])).assign_attrs(comment=HALF)


@pytest.fixture
def series(scan: xr.Dataset) -> xr.Dataset:
    return xi.stitch([xi.measure(scan, [xi.Roi("A", (2, 9), (3, 11))]).load()]).assign_coords(sample=HALF)


@pytest.mark.parametrize(
    ("write", "read", "what"),
    [
        (xi.write_events, xi.read_events, EVENT),
        (xi.write_attenuation_changes, xi.read_attenuation_changes, CHANGE),
    ],
    ids=["events", "changes"],
)
def test_documents_come_back(tmp_path, write, read, what):
    write([what], tmp_path / "a.json")
    assert read(tmp_path / "a.json") == (what,)
    (tmp_path / "b.json").write_text(json.dumps(json.loads((tmp_path / "a.json").read_text())))  # all as escapes
    assert read(tmp_path / "b.json") == (what,)


def test_regions_of_other_programs_are_written():
    assert json.loads(_json({"name": HALF})) == {"name": HALF}


def test_what_the_explorer_keeps_is_written(monkeypatch):
    monkeypatch.setattr(view_file, "document", lambda _: {"events": [EVENT.to_dict()]})
    assert json.loads(view_file.view_text(None).encode()) == {"events": [EVENT.to_dict()]}


def test_results_and_tables_have_it_as_escapes(tmp_path, series):
    xi.write_results(xi.with_events(series, [EVENT]), tmp_path / "r.nc")
    found = xi.read_results(tmp_path / "r.nc")
    assert found["sample"].values.tolist() == TOLD
    assert xi.events_of(found) == (EVENT,)
    path = xi.write_csv(series.assign_coords(text=("time", ["a", HALF, "=c"])), tmp_path / "r.csv")
    assert TOLD in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["a\0b", "\0x", f"{HALF}\0x"])
def test_zeros_are_written_as_escapes(tmp_path, series, text):
    """HDF5 has no text with them."""
    told = text.replace("\0", "\\u0000").replace("\udcfc", "\\udcfc")
    xi.write_results(series.assign_attrs(comment=text).assign_coords(sample=text), tmp_path / "r.nc")
    found = xi.read_results(tmp_path / "r.nc")
    assert (found.attrs["comment"], found["sample"].values.tolist()) == (told, told)


@pytest.mark.parametrize("name", ["f.nc", "f.zarr"])
def test_frames_have_it_as_escapes(tmp_path, scan, name):
    xi.write_frames(scan, tmp_path / name)
    found = xi.open_measurement(tmp_path / name)
    assert (str(found["sample"].values), found["remark"].values.tolist()) == (TOLD, ["a", TOLD, "c"])
    np.testing.assert_array_equal(found.image, scan.image)
