"""Whoever ends a command, by Ctrl-C, a request of the system or a terminal that is lost: nothing half is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

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


LAST = """
import os, signal, sys, time
import xinsitu.cli as cli
how, when = int(sys.argv[1]), sys.argv[2]
class Gone:
    def __del__(self, kill=os.kill, me=os.getpid()):
        kill(me, how)
        for _ in range(1000):
            pass
def main():
    if when == "before":
        os.kill(os.getpid(), how)
        time.sleep(10)
    if when == "where nothing is raised":
        Gone()
        for _ in range(1000):
            time.sleep(0.01)
    return 3
cli.main = main
code = cli.program()
if when == "after":
    os.kill(os.getpid(), how)
    time.sleep(10)
elif when == "as Python ends":
    kept = Gone()
sys.exit(code)
"""


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    ("when", "code"), [("before", 130), ("where nothing is raised", 130), ("after", 3), ("as Python ends", 3)]
)
def test_a_command_that_is_ended_before_it_begins_or_after_it_is_done(how, when, code):
    """What is done is done: its exit code says so, and not that a signal came while Python tidied up."""
    ended = subprocess.run(
        [sys.executable, "-c", LAST, str(int(how)), when], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == code
    assert ended.stderr == ("" if code == 3 else "xinsitu: stopped; nothing half-written was left behind\n")


def test_both_ways_to_start_it_are_so():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"xinsitu": "xinsitu.cli:program"}
    said = subprocess.run(
        [sys.executable, "-c", "import xinsitu.cli as cli, runpy; cli.program = lambda: 7; runpy.run_module('xinsitu', "
         "run_name='__main__')"], capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.returncode == 7


LOADING = """
import os, signal, sys
sys.argv, sys.orig_argv = ["/usr/bin/xinsitu", "info"], ["python3", "/usr/bin/xinsitu", "info"]
class Ends:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[-1]:
            os.kill(os.getpid(), HOW)
            for _ in range(1000):
                pass
sys.meta_path.insert(0, Ends())
sys.argv.append(NAME)
from xinsitu.cli import program
sys.argv.pop()
sys.exit(program())
"""


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", ["lazy_loader", "xinsitu.registration", "xinsitu.cli.arguments", "argparse"])
def test_a_command_that_is_ended_while_it_is_loaded(how, name):
    """Python printed its own traceback, or died of the signal."""
    code = LOADING.replace("HOW", str(int(how))).replace("NAME", repr(name))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (130, "xinsitu: stopped; nothing half-written was left behind\n")


OTHERS = """
import signal, sys
before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
import xinsitu, xinsitu.cli
assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
"""


@pytest.mark.parametrize("argv", [[], ["x.py"], ["/usr/bin/xinsitu", "info"], ["-m"]])
def test_nobody_else_s_signals_are_handled(argv):
    """Nor those of processes that work for a command, and know its words."""
    code = f"import sys; sys.argv = {argv}\n{OTHERS}"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


LOST = """
import os, signal, sys
import xinsitu.cli as cli
def info(words):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass
    except KeyboardInterrupt:
        pass
    raise FAULT
cli._COMMANDS["info"] = info
sys.argv = ["xinsitu", "info", "."]
sys.exit(cli.program())
"""


@pytest.mark.parametrize("fault", ["ImportError('numpy')", "SyntaxError('no names')", "OSError('no room for ROIs')"])
def test_what_is_being_loaded_when_a_command_is_ended_is_no_fault(fault):
    """Modules in C make errors of their own of it; an error of anything else is told."""
    code = LOST.replace("FAULT", fault)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    if "ROIs" in fault:
        assert (ended.returncode, ended.stderr) == (1, "xinsitu: error: .: no room for ROIs\n")
    else:
        assert (ended.returncode, ended.stderr) == (130, "xinsitu: stopped; nothing half-written was left behind\n")


IN_MADE_CODE = """
import os, signal, sys
import xinsitu.cli as cli
def info(words):
    exec("os.kill(os.getpid(), signal.SIGINT)\\nfor _ in range(1000): pass")
cli._COMMANDS["info"] = info
sys.argv = ["xinsitu", "info", "."]
sys.exit(cli.program())
"""


def test_a_signal_in_code_that_is_made_at_run_time_ends_with_the_same_code(tmp_path):
    """As in that of named tuples, which are made while modules are loaded: with -m the process died of the signal."""
    (tmp_path / "made.py").write_text(IN_MADE_CODE)
    words = [sys.executable, "-m", "made"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (130, b"xinsitu: stopped; nothing half-written was left behind\n")


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
