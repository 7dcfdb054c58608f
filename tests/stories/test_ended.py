"""Whoever ends a command, by Ctrl-C, a request of the system or a terminal that is lost: nothing half is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import xinsitu as xi
from tests.helpers.camserver import camserver_bytes, ramp, stamp_of

WAYS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
PAUSE = """
import sys, time
from pathlib import Path
import xinsitu.io.disk as disk
from xinsitu.cli import main
def slow(path):
    Path(sys.argv[1]).write_text("now")
    time.sleep(60)
disk._sync = slow
sys.exit(main(sys.argv[2:]))
"""


def started(tmp_path, *words, **options):
    """Begin a command, and wait until its result is written and has no name yet."""
    mark = tmp_path / "mark"
    process = subprocess.Popen(
        [sys.executable, "-c", PAUSE, str(mark), *map(str, words)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path, **options,
    )  # fmt: skip
    for _ in range(1200):
        if mark.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    return process


@pytest.mark.thorough
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_command_that_is_ended_while_it_writes(experiment, tmp_path, how, before):
    folder = tmp_path / "out"
    folder.mkdir()
    result = folder / "s.nc"
    if before:
        result.write_bytes(before)
    rois = tmp_path / "rois.json"
    xi.write_rois(experiment.rois, rois)
    process = started(
        tmp_path, "measure", experiment.folders["time1"], "--rois", rois, "--tz", "Asia/Tokyo", "-o", result, "--force"
    )
    assert [path.suffix for path in folder.iterdir() if path != result] == [".part"]
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped; nothing half-written was left behind" in said
    assert "Traceback" not in said
    assert [path.name for path in folder.iterdir()] == (["s.nc"] if before else [])
    assert not before or result.read_bytes() == before


@pytest.mark.thorough
def test_a_command_that_shall_outlive_its_terminal_does(tmp_path):
    """``nohup`` has its caller ignore the loss of the terminal, and so do we."""
    frames = tmp_path / "m"
    frames.mkdir()
    for number in range(3):
        (frames / f"a_{number}.tif").write_bytes(camserver_bytes(ramp(number), stamp_of(number)))
    process = started(
        tmp_path, "parse", frames, "-o", tmp_path / "s.nc", "--tz", "UTC",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    os.kill(process.pid, signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not (tmp_path / "s.nc").exists()
