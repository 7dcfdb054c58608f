"""What the command line loads before it says something: no more than it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers.camserver import write_frames

HEAVY = ("xarray", "pandas", "scipy", "dask", "h5py", "cv2", "matplotlib", "panel", "bokeh", "tifffile", "distributed")
CODE = """
import sys
from xinsitu.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("loaded:", *sys.modules)
"""


def loaded(*words: str) -> set[str]:
    """Modules that a command has loaded, in a process of its own."""
    told = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=True)
    return set(told.stdout.splitlines()[-1].removeprefix("loaded:").split())


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("measure", "--help"), ("run", "--help")])
def test_help_and_version_load_no_library_of_arrays(words):
    assert loaded(*words) & set(HEAVY) == set()


@pytest.mark.thorough
def test_info_of_frames_loads_nothing_that_computes(tmp_path):
    write_frames(tmp_path, 3)
    found = loaded("info", str(tmp_path))
    assert "xinsitu.io.survey" in found
    computes = {
        "xarray",
        "pandas",
        "dask",
        "scipy",
        "cv2",
        "matplotlib",
        "tifffile",
        "distributed",
        "xinsitu.recipe",
        "xinsitu.physics.blocks",
    }
    assert found & computes == set()
