"""No command changes anything below the folders that it reads, nor needs to: they may be mounted read-only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xinsitu as xi
from tests.helpers.whole_job import ZONE, real_steps, steps
from xinsitu.cli import main

SEAL = 'for one in "$1" "$2"; do mount --bind "$one" "$one"; mount -o remount,bind,ro "$one"; done; shift 2; exec "$@"'
"""Mounts two folders read-only, in a namespace that ends with the command."""


def snapshot(*folders: Path) -> dict[str, tuple[object, ...]]:
    """Names, modes, sizes, times and contents of all that lies below."""
    found: dict[str, tuple[object, ...]] = {}
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            status = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path)] = status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, content
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("beamtime")
    xi.simulate_sample(folder, measurements=2, frames=30, counts=1e7)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_nothing_changes_below_the_source(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = snapshot(source)
    for name, step in steps(source, tmp_path):
        step()
        assert snapshot(source) == before, name


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_nothing_changes_below_real_data(shared_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = snapshot(shared_data / "i07")
    for name, step in real_steps(shared_data, tmp_path):
        step()
        assert snapshot(shared_data / "i07") == before, name


@pytest.mark.thorough("words1")
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
@pytest.mark.parametrize("words", [("measure", ".", "--rois", "../../rois.json"), ("parse", ".", "../../flatfield1")])
def test_results_do_not_fall_among_the_frames(source, tmp_path, monkeypatch, capsys, words):
    """Started inside the folder of frames, without -o."""
    monkeypatch.chdir(source / "0884" / "time1")
    before = snapshot(source)
    assert main([*words, *ZONE]) == 1
    assert "-o" in capsys.readouterr().err
    assert snapshot(source) == before


@pytest.mark.slow
def test_the_whole_job_runs_on_a_read_only_mount(source, tmp_path, request):
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("mounting needs root and unshare")
    shared = Path(os.environ.get("XINSITU_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "data"
    real = [str(shared)] if shared.is_dir() else []
    job = [sys.executable, "-m", "tests.helpers.whole_job", str(source), str(tmp_path), *real]
    command = ["unshare", "-m", "sh", "-ec", SEAL, "sh", str(source), *(real or [str(source)]), *job]
    run = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert run.stdout.endswith("whole job done\n")
