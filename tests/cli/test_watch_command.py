"""``xinsitu watch``: lines, table, file and figure; it ends cleanly however it ends."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.schema import Quality
from xinsitu.simulate import Truth


@pytest.fixture
def words(experiment: Truth, tmp_path):
    return ["watch", str(tmp_path / "live" / "time1"), "--rois", str(experiment.files["rois"])]


def feed(experiment: Truth, folder: Path, count: int = 25, pause: float = 0.02) -> threading.Thread:
    """Let frames come, one after the other."""

    def work() -> None:
        folder.mkdir(parents=True)
        for path in sorted(experiment.folders["time1"].iterdir())[: count + 1]:
            shutil.copyfile(path, folder / path.name)
            time.sleep(pause)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.thorough
def test_lines_and_a_file_that_measure_and_run_agree_with(experiment, words, tmp_path, capsys):
    thread = feed(experiment, Path(words[1]))
    output = tmp_path / "live.nc"
    assert main([*words, "-o", str(output), "--json", "--until-idle", "1.5", "--figure", str(tmp_path / "f.png")]) == 0
    thread.join()
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert sorted(line["frame"] for line in lines) == list(range(25))
    live = xi.read_results(output)
    for line in lines:
        for roi, numbers in line["rois"].items():
            one = live.sel(roi=roi).isel(time=line["frame"])
            for name in ("intensity", "intensity_errors", "com_y"):
                expected = one[name].item()
                assert numbers[name] == (expected if np.isfinite(expected) else None)
            assert isinstance(numbers["flags"], list)
    assert lines[0]["time"].endswith("Z")
    assert "correction: 3x3 median of outliers" in err
    assert main(["measure", words[1], *words[2:], "-o", str(tmp_path / "after.nc")]) == 0
    after = xi.read_results(tmp_path / "after.nc")
    xr.testing.assert_identical(live.drop_attrs(), after.drop_attrs())
    assert live.attrs["source_token"] == after.attrs["source_token"]
    assert json.loads(live.attrs["recipe"]) == json.loads(after.attrs["recipe"])
    capsys.readouterr()
    assert main(["run", str(output)]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
    assert (tmp_path / "f.png").stat().st_size > 10_000


@pytest.mark.thorough
def test_a_figure_is_drawn_of_what_is_in_the_file(experiment, tmp_path, monkeypatch):
    """Rows are put behind the others with a figure, too, and it shows all of them."""
    from xinsitu.cli import watch_command
    from xinsitu.io.growing_results import GrowingResults

    drawn = []
    monkeypatch.setattr(watch_command, "_draw", lambda series, path: drawn.append(series.sizes["time"]))
    monkeypatch.setattr(watch_command, "SHARE", 0)
    series = xi.measure(xi.open_measurement(experiment.folders["time1"]), experiment.rois).compute()
    file = GrowingResults(tmp_path / "o.nc", overwrite=False, source=tmp_path / "frames")
    outputs = watch_command.Outputs(file, tmp_path / "f.png")
    outputs.write(series.isel(time=slice(0, 9)), last=False)
    assert outputs.append(series.isel(time=slice(5, 20)))
    outputs.write(series, last=True)
    assert drawn == [9, 20, series.sizes["time"]]


@pytest.mark.thorough
def test_a_figure_alone_leaves_nothing_else_behind(experiment, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    thread = feed(experiment, Path(words[1]), 12)
    assert main([*words, "--until-idle", "1", "--figure", str(tmp_path / "f.png")]) == 0
    thread.join()
    assert (tmp_path / "f.png").stat().st_size > 10_000
    assert list((tmp_path / "temporary").iterdir()) == []
    assert "rows.nc" not in capsys.readouterr().out


@pytest.mark.thorough
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_it_is_stopped(experiment, words, tmp_path, how):
    output = tmp_path / "live.nc"
    process = subprocess.Popen(
        [sys.executable, "-m", "xinsitu", *words, "-o", str(output)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    thread = feed(experiment, Path(words[1]), 12)
    thread.join()
    for _ in range(600):
        if output.exists():
            break
        time.sleep(0.05)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert b"12 frames" in out
    assert b"Traceback" not in err
    assert xi.read_results(output).sizes["time"] == 12
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.thorough
def test_a_table_on_a_terminal_is_drawn_in_its_place(experiment, words, tmp_path):
    main_end, end = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        [sys.executable, "-m", "xinsitu", *words, "--until-idle", "1"], stdout=end, stderr=end, env=environment
    )
    os.close(end)
    thread = feed(experiment, Path(words[1]), 20, pause=0.08)
    text = b""
    while True:
        try:
            part = os.read(main_end, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    thread.join()
    assert process.wait(timeout=60) == 0
    shown = text.decode()
    assert "ROI" in shown
    assert "intensity" in shown
    assert "20 frames, the last 19 of" in shown
    assert "\x1b[" in shown
    tables = shown.split("\x1b[J")
    assert all(len(line) <= 100 for line in tables[-1].splitlines())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_is_never_cut(experiment, width):
    from xinsitu.cli.watch_command import SHOWN, _table

    scan = xi.open_measurement(experiment.folders["time1"])
    last = xi.measure(scan, experiment.rois).compute().isel(time=[-1])
    last["quality"] = last["quality"] | sum({int(flag) for flag in Quality})
    lines = _table(last, width)
    assert max(map(len, lines)) < width
    assert len(lines[0].split()) - 1 == (2 if width == 40 else len(SHOWN))
    below = " ".join(" ".join(lines[1 + last.sizes["roi"] :]).split())
    named = ", ".join(flag.name.lower() for flag in Quality if flag)
    assert all(f"{roi}: {named}" in below for roi in last["roi"].values)


def test_a_sample_is_no_measurement_and_that_is_said(experiment, tmp_path):
    """It would be waited for without a word: its frames lie in the folders inside."""
    from xinsitu.cli.watch_command import _waited_for

    sample = experiment.folders["time1"].parent
    assert f"waiting for frames in {sample} itself; " in _waited_for(sample)
    assert str(sample / "test") in _waited_for(sample) or "time1" in _waited_for(sample)
    assert _waited_for(experiment.folders["time1"]) == _waited_for(experiment.files["rois"]) == ""
    (tmp_path / "empty").mkdir()
    assert _waited_for(tmp_path / "empty") == ""  # a detector makes it, and then the frames


def test_what_cannot_be_watched_is_one_sentence(experiment, words, tmp_path, capsys):
    (tmp_path / "there.nc").write_text("")
    assert main([*words, "-o", str(tmp_path / "there.nc")]) == 1
    assert "already exists" in capsys.readouterr().err
    assert main(["watch", str(experiment.files["rois"]), *words[2:]]) == 1
    assert "this is a file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, "--normalise-by", "monitor"])
