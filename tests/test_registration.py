"""The accessor comes with xarray, whoever is imported first, and the command line's help needs neither."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

import xinsitu as xi

SERIES = "import numpy as np; xr.Dataset(coords={'time': np.array([3], 'datetime64[s]').astype('datetime64[ns]')})"


def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "imports",
    [
        "import xinsitu; import xarray as xr",
        "import xarray as xr; import xinsitu",
        "import xinsitu; from xarray import Dataset; import xarray as xr",
        "import importlib, xinsitu; xr = importlib.import_module('xarray')",
        "import xinsitu; xinsitu.measure; import xarray as xr",
        "import xinsitu, xarray.core; import xarray as xr",
    ],
)
def test_the_accessor_is_there_in_any_order(imports: str) -> None:
    done = run(f"{imports}\n{SERIES.replace('xr.Dataset(', 'data = xr.Dataset(')}\nprint(data.insitu.epoch[0])")
    assert done.stdout.strip() == "3.0", done.stderr


def test_to_tell_what_a_folder_holds_loads_nothing_heavy(tmp_path: Path) -> None:
    folders = xi.simulate_frames(tmp_path / "sample", 40, distinct=40).folders
    (folder,) = [path for name, path in folders.items() if name.startswith("time")]
    code = (
        "import sys\nfrom xinsitu.cli import main\nmain(sys.argv[1:])\n"
        "print(sorted({'xarray', 'pandas', 'dask', 'scipy', 'cv2', 'holoviews', 'matplotlib'} & set(sys.modules)))"
    )
    lines = run(code, "info", str(folder)).stdout.splitlines()
    assert any(line.split()[:2] == ["frames", "40"] for line in lines)
    assert lines[-1] == "[]"


@pytest.mark.thorough
def test_nothing_is_left_of_the_hook() -> None:
    code = (
        "import xinsitu, sys, xarray; print(type(xarray.__loader__).__module__)\n"
        "print(type(xarray.__spec__.loader).__module__, [type(finder).__name__ for finder in sys.meta_path])"
    )
    said = run(code).stdout
    assert "xinsitu" not in said
    assert "Xarray" not in said


@pytest.mark.thorough("words0")
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["measure", "--help"], ["plot"], ["no-such-command"]])
def test_help_loads_nothing_heavy_and_is_quick(words: list[str]) -> None:
    code = (
        "import sys\nfrom xinsitu.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'xarray', 'numpy', 'pandas', 'dask', 'h5py', 'cv2', 'holoviews'} & set(sys.modules)))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(code, *words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0  # 0.1 s on a machine at rest
