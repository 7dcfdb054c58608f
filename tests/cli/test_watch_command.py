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


def test_what_cannot_be_watched_is_one_sentence(experiment, words, tmp_path, capsys):
    (tmp_path / "there.nc").write_text("")
    assert main([*words, "-o", str(tmp_path / "there.nc")]) == 1
    assert "already exists" in capsys.readouterr().err
    assert main(["watch", str(experiment.files["rois"]), *words[2:]]) == 1
    assert "this is a file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, "--normalise-by", "monitor"])
