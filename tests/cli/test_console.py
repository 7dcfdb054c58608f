"""What the commands print: names from files begin no line, turn no text round, lead out of no folder."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tifffile
import xarray as xr

from xinsitu.cli import main
from xinsitu.cli.console import complain, say, table
from xinsitu.cli.shared import safe_name
from xinsitu.errors import in_a_line
from xinsitu.io.formats import stack
from xinsitu.io.measurement import open_measurement
from xinsitu.io.tables import write_csv

FORGED = [
    "a\nxinsitu: error: b",
    "a\r\nwrote c",
    "a\x85wrote",
    "a\u2028wrote",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "\x1b[2J",
]


@pytest.mark.parametrize("name", FORGED)
def test_no_name_begins_a_line_or_turns_it_round(capsys, name):
    say(f"wrote {name}")
    complain(f"error: {name}: no")
    print(table([(name, 3)], ("measurement", "frames")))
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    assert len(said.err.splitlines()) == 1
    assert not set(said.out + said.err) & set(
        "\r\x85\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b"
    )


def test_folders_and_files_with_such_names(tmp_path, capsys):
    folder = tmp_path / "run\nxinsitu: error: forged"
    folder.mkdir()
    for number in range(2):
        tifffile.imwrite(folder / f"x\nforged_{number}.tif", np.ones((5, 6), "u2"), metadata=None)
    (folder / "stray\nforged: all frames are good").write_text("")
    for words in (["info", str(folder)], ["info", str(folder / "no\nforged")], ["plot", str(folder / "r\nforged.nc")]):
        main(words)
        said = capsys.readouterr()
        lines = (said.out + said.err).splitlines()
        assert lines
        assert not [line for line in lines if line.startswith(("forged", "xinsitu: error: forged"))]


def test_printing_to_a_full_disc_says_so(tmp_path):
    command = [sys.executable, "-m", "xinsitu", "info", str(tmp_path)]
    tifffile.imwrite(tmp_path / "x_1.tif", np.ones((5, 6), "u2"), metadata=None)
    with open("/dev/full", "w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1
    lines = run.stderr.splitlines()
    assert lines[-1].endswith("standard output: no space left on device")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_of_a_table_is_a_formula(tmp_path, start):
    time = np.array(["2014-05-28T08:00:00", "2014-05-28T08:00:01"], "datetime64[ns]")
    name = f"{start}SUM(A1:A9)"
    series = xr.Dataset(
        {"intensity": (("time", "roi"), np.ones((2, 1)))},
        {"time": time, "roi": [name], "stamp": ("time", [f"{start}1", "fine"])},
    )
    for layout in ("wide", "long"):
        path = write_csv(series, tmp_path / f"{layout}.csv", layout=layout)
        cells = pd.read_csv(path, header=None, dtype=str).to_numpy().ravel()
        assert not [cell for cell in cells if str(cell).startswith(start)]
        assert f"'{start}1" in cells


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "..",
        ".",
        "",
        ".hidden",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "x" * 400,
        "....//",
        "~root",
        "C:x",
    ],
)
def test_names_of_files_stay_in_their_folder(tmp_path, name):
    made = safe_name(name)
    assert made
    assert len(made) <= 120
    assert not set(made) & set("/\\\0\n:~")
    assert not made.startswith(".")
    assert (tmp_path / made).resolve().parent == tmp_path.resolve()
    (tmp_path / made).touch()
    assert in_a_line(made) == made


def test_pixels_that_come_in_pieces_are_all_there(tmp_path, monkeypatch):
    truth = np.arange(3 * 20 * 30, dtype="i4").reshape(3, 20, 30)
    for number, pixels in enumerate(truth):
        tifffile.imwrite(tmp_path / f"x_{number}.tif", pixels, metadata=None)
    scan = open_measurement(tmp_path, time="frame")
    whole, calls = os.preadv, []

    def pieces(descriptor, buffers, offset):
        calls.append(offset)
        return whole(descriptor, [buffers[0][:37]], offset)

    monkeypatch.setattr(stack.os, "preadv", pieces)
    np.testing.assert_array_equal(scan.image.values, truth)
    assert len(calls) > 3 * (20 * 30 * 4 // 37)
