"""What the demo shows of its commands: a line each, a warning once; everything they said is in its log."""

from __future__ import annotations

import sys

from xinsitu.cli import demo


def test_a_command_is_a_line_and_what_it_said_is_in_the_log(tmp_path, capsys):
    def run(line):
        print("frames 7 of 195 x 487")
        print("xinsitu: warning: flatfield: 8 pixels", file=sys.stderr)
        return 0

    told = demo._Told(sys.stderr)
    for _ in range(3):
        assert demo._run(["info", f"{tmp_path}/0884", "--t0", "In shutter open"], tmp_path, told, run) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    assert all(line.endswith("s  xinsitu info 0884 --t0 'In shutter open'") for line in said.out.splitlines())
    assert said.err.splitlines() == ["xinsitu: warning: flatfield: 8 pixels"]
    log = (tmp_path / demo.LOG).read_text()
    assert log.count("frames 7 of 195 x 487") == 3
    assert log.count(f"$ xinsitu info {tmp_path}/0884 --t0 'In shutter open'") == 3


def test_a_command_that_fails_says_why_and_ends_with_its_code(tmp_path, capsys):
    def run(line):
        print("xinsitu: error: time1/0001.tif: truncated", file=sys.stderr)
        return 1

    told = demo._Told(sys.stderr)
    assert demo._run(["info", str(tmp_path)], tmp_path, told, run) == 1
    assert "0001.tif: truncated" in capsys.readouterr().err


def test_other_warnings_are_not_taken_for_the_same(capsys):
    told = demo._Told(sys.stderr)
    for text in ("warning: a: x\n", "warning: b: x\n", "warning: a: ", "y\n", "warning: a: y\n"):
        told.write(text)
    assert capsys.readouterr().err.splitlines() == ["warning: a: x", "warning: a: y"]
