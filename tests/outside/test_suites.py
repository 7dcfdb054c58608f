"""Test suites of others, run on our classes in a process of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

OUTSIDE = Path(__file__).parent


@pytest.mark.thorough
def test_the_backend_tests_of_xarray_pass_on_frame_stack(tmp_path):
    pytest.importorskip("pytest_asyncio")
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    command += ["-p", "xarray.tests.conftest", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command += ["-k", "TestFrameStack", str(OUTSIDE / "frame_stack.py")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    passed = re.search(r"(\d+) passed", run.stdout)
    assert run.returncode == 0, run.stdout[-3000:]
    assert passed is not None
    assert int(passed[1]) >= 31


@pytest.mark.slow
def test_the_netcdf_tests_of_xarray_pass_on_our_writer(tmp_path):
    pytest.importorskip("netCDF4")
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    command += ["-p", "xarray.tests.conftest", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command += ["-k", "TestOurWriter", str(OUTSIDE / "netcdf_writer.py")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    passed = re.search(r"(\d+) passed", run.stdout)
    assert run.returncode == 0, run.stdout[-3000:]
    assert passed is not None
    assert int(passed[1]) >= 120
