"""What the finder looked at and did not take, on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xinsitu as xi
from tests.physics.samples.test_joining import series
from xinsitu.cli import main
from xinsitu.schema import Quality


def saved(folder: Path, name: str, first: int, weak: slice) -> Path:
    values = np.full((70, 2), 30_000.0) * [1, 0.6]
    values[weak] /= 9
    counts = np.random.default_rng(first).poisson(values)
    result = series(name, range(first, first + 70), counts)
    xi.write_results(result, folder / f"{name}.nc")
    return folder / f"{name}.nc"


def near(path: Path) -> list[int]:
    flagged = xi.read_results(path).quality & int(Quality.NEAR_CHANGE)
    return np.flatnonzero((flagged > 0).any("roi")).tolist()


@pytest.mark.thorough("weak0")
@pytest.mark.parametrize("weak", [slice(69, 70), slice(0, 1), slice(33, 34)])
def test_one_frame_of_another_attenuation_is_flagged_and_told(tmp_path, capsys, weak):
    path = saved(tmp_path, "time1", 0, weak)
    assert main(["stitch", str(path), "--find", "-o", str(tmp_path / "s.nc")]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "no change from" in line]
    assert "one frame does not make a level" in line
    assert "1 frame flagged" in line
    assert near(tmp_path / "s.nc") == [weak.start]


@pytest.mark.thorough
def test_append_to_tells_what_it_looked_at_among_the_new_frames(tmp_path, capsys):
    first, second = saved(tmp_path, "time1", 0, slice(20, 21)), saved(tmp_path, "time2", 100, slice(50, 51))
    assert main(["stitch", str(first), "--find", "-o", str(tmp_path / "s.nc")]) == 0
    assert "no change from time1 frame 19" in capsys.readouterr().out
    words = ["--append-to", str(tmp_path / "s.nc"), "--find", "-o", str(tmp_path / "longer.nc")]
    assert main(["stitch", str(second), *words]) == 0
    told = capsys.readouterr().out
    assert "no change from time2 frame 49 to time2 frame 51" in told
    assert "time1 frame 19" not in told
    assert near(tmp_path / "longer.nc") == [20, 120]
