"""What the commands print: names from files begin no line, turn no text round, lead out of no folder."""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
import tifffile
import xarray as xr

from xinsitu.cli import _named, main
from xinsitu.cli.console import complain, redraw, say, sentence, table, terminal_width, warnings_in_a_line, working
from xinsitu.cli.shared import safe_name
from xinsitu.cli.watch_command import _table
from xinsitu.errors import XinsituError, in_a_line, warn
from xinsitu.io.documents import write_events, write_rois
from xinsitu.io.formats import stack
from xinsitu.io.measurement import open_measurement
from xinsitu.io.tables import write_csv
from xinsitu.simulate import simulate_sample
from xinsitu.values import Event

ROOT = Path(__file__).resolve().parents[2]
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


def test_what_is_said_of_all_is_said_once_and_what_differs_each_time(tmp_path, capsys):
    (tmp_path / "a b").mkdir()
    with warnings_in_a_line():
        for said in (
            "time1: no stamps", "time2: no stamps", f"{tmp_path}/a b: no stamps", "time2: no zone",
            "delta, eta move: frames cannot be compared", "delta, omega move: frames cannot be compared",
            "delta, eta move: frames cannot be compared",
        ):  # fmt: skip
            warn(said)
    assert [line.removeprefix("xinsitu: warning: ") for line in capsys.readouterr().err.splitlines()] == [
        "time1: no stamps",
        "time2: no zone",
        "delta, eta move: frames cannot be compared",
        "delta, omega move: frames cannot be compared",
    ]


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


STEERS = set("\r\x85\u2028\u2029\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b")


@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@pytest.mark.slow
def test_no_command_prints_a_line_that_a_name_began(tmp_path, capsys, monkeypatch):
    """Sample, measurement, ROI and event are called so; each command that prints them is run."""
    name = "n\nforged \u202e\u200f\x1b[2J\u2028forged"
    truth = simulate_sample(tmp_path / "beam", measurements=2, frames=24)
    home = tmp_path / "beam" / f"sample{name}"
    truth.folders["sample"].rename(home)
    for number in (1, 2):
        (home / f"time{number}").rename(home / f"time{number}{name}")
    rois, events = tmp_path / f"rois{name}.json", tmp_path / "events.json"
    write_rois(truth.rois, rois)
    scan = open_measurement(home / f"time1{name}", tz="Asia/Tokyo")
    event = Event("open", f"{np.datetime64(scan.time.values[3], 's')}+00:00")
    write_events([event], events)
    with pytest.raises(XinsituError):  # names that people write are printable
        replace(truth.rois["WZ"], name=f"WZ{name}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / f"a{name}_1.tif").write_bytes(b"II*\0")
    recipe = (
        f'format = "xinsitu-recipe"\nversion = 1\nsample = {json.dumps(str(home))}\nrois = {json.dumps(rois.name)}\n'
    )
    (tmp_path / f"r{name}.toml").write_text(recipe + 'events = "events.json"\n[reading]\ntz = "Asia/Tokyo"\n')
    tz = ["--tz", "Asia/Tokyo"]
    measuring = ["--rois", str(rois), *tz, "-o"]
    commands = [
        ["info", str(home), *tz], ["info", f"{home}/time1{name}", *tz], ["info", "bad"],
        ["parse", f"{home}/time1{name}", *tz, "-o", f"p{name}.nc"], ["parse", "bad"],
        ["measure", str(home), *measuring, "results"],
        ["measure", f"{home}/time1{name}", *measuring, f"one{name}.nc"],
        ["measure", f"{home}/time1{name}", "bad", *measuring, "again", "--bad-frames", f"x{name}:1"],
        ["stitch", "results", "--find", "--events", "events.json", "-o", f"s{name}.nc", "--proposal", f"c{name}.json",
         "--report", f"c{name}.png"],
        ["stitch", "results", "--reference", f"no{name}", "--find", "-o", "t.nc"],
        ["plot", f"s{name}.nc", "-o", f"s{name}.png", "--t0", "open"],
        ["plot", f"s{name}.nc", "--roi", f"no{name}"],
        ["compare", f"s{name}.nc", f"one{name}.nc", "--interval", "0:20", "--table", f"t{name}.csv"],
        ["run", f"r{name}.toml"], ["run", f"s{name}.nc"], ["convert", f"no{name}.p"], ["instrument", f"no{name}"],
        ["explore", f"no{name}"],
    ]  # fmt: skip
    codes = {}
    for words in commands:
        codes[words[0]] = min(codes.get(words[0], 1), main(words))
        said = capsys.readouterr()
        for line in (said.out + said.err).split("\n"):
            assert not line.startswith("forged"), words
            assert not set(line) & STEERS, (words, line)
    assert {command for command, code in codes.items() if code} == {"convert", "instrument", "explore"}
    with pytest.raises(SystemExit):
        main(["info", "a", f"b{name}"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not set(said) & STEERS


@pytest.mark.thorough
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


def test_pixels_that_come_in_pieces_are_all_there(tmp_path, monkeypatch, files_one_by_one):
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


def test_lines_of_ours_are_not_said_as_one(capsys):
    """What is one line is shown as one, whatever is in it: several are a block."""
    for path in (ROOT / "src/xinsitu/cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("say", "complain"):
                text = "".join(map(ast.unparse, node.args))
                assert "\\n" not in text, f"{path.name}:{node.lineno}"
                assert "table(" not in text, f"{path.name}:{node.lineno}"
    assert main(["instrument"]) == 0
    said = capsys.readouterr().out
    assert "\\n" not in said
    assert "diamond-i07" in {line.split("  ")[0] for line in said.splitlines()}


def test_nothing_is_said_where_somebody_closed_stderr(monkeypatch, capsys):
    opened, known = [], os.fstat

    def closed(number, *words):
        if number == 2 and not opened:
            raise OSError
        return known(number, *words)

    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(os, "fstat", closed)
    monkeypatch.setattr(os, "open", lambda path, mode: opened.append((path, mode)))
    assert main(["info", "nowhere"]) == 1
    assert opened == [(os.devnull, os.O_RDWR)]  # gets number 2, which no file may have that libraries write to
    with working("thinking"):
        pass
    assert capsys.readouterr().out.startswith("thinking: ")


def test_names_that_a_terminal_has_no_letters_for_are_escaped(monkeypatch):
    told = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(told, encoding="ascii", errors="strict"))
    assert main(["info", "nowhere"]) == 1
    say("\u65e5/K\udcfchl")
    assert told.getvalue() == rb"\u65e5/K\udcfchl" + b"\n"


@pytest.mark.parametrize("said", ["there is no frame 9; frames run from 0 to 19", "a factor of 0 or 3 is none"])
def test_a_word_or_number_of_a_sentence_is_no_name_of_a_file(said):
    words = argparse.Namespace(command="run", recipe=[Path("a.toml")], verbose=0, median=3, force=False)
    assert _named(said, words) == f"a.toml: {said}"
    assert _named("a.toml: is empty", words) == "a.toml: is empty"


def test_a_working_folder_that_was_removed_is_said(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as fault:
        os.path.abspath("a.tif")
    assert sentence(fault.value) == "the working folder (./) was removed; change to one that is there"


def test_a_library_that_there_is_no_memory_for_is_no_fault_of_ours():
    for text in ("libscipy_openblas.so: failed to map segment from shared object", "x.so: Cannot allocate memory"):
        assert sentence(ImportError(text + "\nmore"), "time1") == f"time1: there is not enough memory ({text})"
    assert "a fault of xinsitu" in sentence(ImportError("cannot import name 'x'"))


def fault_of(action) -> Exception:
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


@pytest.mark.parametrize(("name", "value"), [("num_workers", "x"), ("scheduler", "nobody"), ("pool", "x")])
def test_settings_of_dask_that_it_cannot_work_with_are_named(monkeypatch, tmp_path, name, value):
    monkeypatch.setenv("HOME", str(tmp_path))  # dask-jobqueue, where it is installed, leaves a file of settings in it
    delayed = dask.delayed(sum)([1, 2])
    with dask.config.set({name: value}):
        fault = fault_of(delayed.compute)
    monkeypatch.setenv(f"DASK_{name.upper()}", value)
    said = sentence(fault)
    assert said.startswith(f"dask cannot work as it is set by DASK_{name.upper()}={value} (")
    assert "fault of xinsitu" not in said


def test_what_fails_in_our_code_under_dask_stays_a_fault_of_ours(monkeypatch):
    monkeypatch.setenv("DASK_NUM_WORKERS", "2")
    fault = fault_of(dask.delayed(table)(3, 4).compute)
    assert "a fault of xinsitu" in sentence(fault)


def program(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "xinsitu", *words],
        stderr=subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
        **options,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["measure", "--help"], ["explain"], ["explore", "{}", "--no-browser"]],
    ids=lambda words: " ".join(words),
)  # fmt: skip
def test_what_nobody_gets_is_said_to_be_so(tmp_path, words):
    tifffile.imwrite(tmp_path / "a_1.tif", np.zeros((13, 17), "int32"))
    with open("/dev/full", "w") as full:
        done = program(*(word.format(tmp_path) for word in words), stdout=full)
    assert (done.returncode, done.stderr) == (1, "xinsitu: error: standard output: no space left on device\n")


def test_help_into_a_pipe_that_was_closed():
    read, write = os.pipe()
    os.close(read)
    done = program("--help", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("columns", ["0", "1", "2", "80", "x"])
def test_a_terminal_of_any_width_is_written_to(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", columns)
    flagged = xr.Dataset({"intensity": (("time", "roi"), [[5.0]]), "flags": (("time", "roi"), [[3]])})
    flagged["intensity_errors"] = flagged.intensity
    flagged = flagged.assign_coords(roi=["WZ"])
    monkeypatch.setattr("xinsitu.cli.watch_command.flags_at", lambda one, index: ["near_change", "saturated"])
    redraw(_table(flagged, terminal_width()), 0)
    assert "WZ: near_change" in capsys.readouterr().out
