"""Results do not depend on the processor: the same bits with every kernel of the linear algebra that NumPy brings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = ("Prescott", "Haswell", "Zen", "SkylakeX")
SCRIPT = """
import hashlib, sys, warnings
from dataclasses import replace
import numpy as np
import xinsitu as xi
warnings.simplefilter("ignore")
folder = sys.argv[1]
measured = []
for name in ("time1", "time2"):
    scan = xi.open_measurement(f"{folder}/0884/{name}", tz="Asia/Tokyo", chunks={})
    rois = xi.read_rois(f"{folder}/rois.json")
    flat = xi.open_flatfield(f"{folder}/flatfield1")
    for background in ("plane", "edge", None):
        some = xi.RoiSet([one if background is None or one.role == "background" else replace(one, background=background)
                          for one in rois])
        measured.append(xi.measure(scan, some, correction=xi.Correction(median=3, flatfield=flat)).compute())
found = hashlib.sha256()
for series in measured:
    for name in sorted(map(str, series.variables)):
        values = series[name].values
        if values.dtype.kind in "fiu":
            found.update(name.encode() + np.ascontiguousarray(values).tobytes())
print(found.hexdigest())
"""


def kernels() -> list[str]:
    """Kernels that this processor can run."""
    facts = Path("/proc/cpuinfo")
    flags = facts.read_text() if facts.is_file() else ""
    needed = {"Prescott": "pni", "Haswell": "avx2", "Zen": "avx2", "SkylakeX": "avx512f"}
    return [name for name in KERNELS if needed[name] in flags]


@pytest.mark.slow
def test_a_measurement_has_the_same_bits_with_every_kernel(tmp_path):
    from xinsitu.simulate import simulate_sample

    usable = kernels()
    if len(usable) < 2:
        pytest.skip("this processor runs one kernel only")
    simulate_sample(tmp_path, measurements=2, frames=24, counts=1e6)
    found = {
        name: subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            env={**os.environ, "OPENBLAS_CORETYPE": name}, capture_output=True, text=True, check=True,
        ).stdout.strip()
        for name in usable
    }  # fmt: skip
    assert all(len(one) == 64 for one in found.values())
    assert len(set(found.values())) == 1, found
