"""What CONTRIBUTING says one touches for a new thing is all that one touches: done in a copy of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "xinsitu"


class Copy:
    """A copy of the package in which files are changed, and code run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.touched = folder, set[str]()
        shutil.copytree(PACKAGE, folder / "xinsitu", ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, name: str, text: str) -> None:
        self.touched.add(name)
        (self.folder / "xinsitu" / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.folder / "xinsitu" / name).read_text()
        assert text.count(old) == 1, (name, old)
        self.write(name, text.replace(old, new))

    def run(self, code: str, *arguments: object) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(self.folder)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


@pytest.fixture
def copy(tmp_path) -> Copy:
    return Copy(tmp_path / "copy")


PGM = '''
"""PGM: numbers of 16 bits behind three lines of text."""
import numpy as np
from .header import FrameHeader

def describe(path, fd, status, head):
    _, size, _, pixels = head.split(b"\\n", 3)
    columns, rows = map(int, size.split())
    return FrameHeader(size=status.st_size, mtime_ns=status.st_mtime_ns, shape=(rows, columns), dtype=np.dtype(">u2"),
                       offset=len(head) - len(pixels))
'''
ROW = """from . import pgm

FORMATS = (
    Format(
        name="PGM",
        endings=(".pgm",),
        is_it=lambda path, head: head.startswith(b"P5"),
        describe=pgm.describe,
        decode=lambda path, page: None,
    ),
"""
OPEN = """
import sys, xarray as xr, xinsitu as xi
scan = xr.open_dataset(sys.argv[1], engine="xinsitu", chunks={}, tz="UTC")
print(xi.__file__.startswith(sys.argv[2]), *scan.sizes.values(), scan.image.values.sum(), *scan.image.values[3, 1, :3])
print(xi.measure(scan, [xi.Roi("a", (0, 4), (0, 5))]).intensity.sizes["time"])
"""


def test_read_another_frame_format(copy, tmp_path):
    folder = tmp_path / "scan"
    folder.mkdir()
    for number in range(4):
        pixels = bytes(byte for value in range(30) for byte in (0, value + number))
        (folder / f"frame_{number:03d}.pgm").write_bytes(b"P5\n6 5\n65535\n" + pixels)
    copy.write("io/formats/pgm.py", PGM)
    copy.replace("io/formats/reading.py", "FORMATS = (\n", ROW)
    total = sum(value + number for number in range(4) for value in range(30))
    assert copy.run(OPEN, folder, copy.folder) == ["True", "4", "5", "6", str(total), "9", "10", "11", "4"]
    assert len(copy.touched) == 2
