"""The stages that asv follows from commit to commit run, each by itself."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_every_stage_runs_and_is_found_where_asv_looks(tmp_path, monkeypatch):
    told = json.loads((BENCHMARKS / "asv.conf.json").read_text())
    spec = importlib.util.spec_from_file_location("stages", BENCHMARKS / told["benchmark_dir"] / "stages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FRAMES", 40)
    monkeypatch.chdir(tmp_path)
    stages = module.Stages()
    folder = stages.setup_cache()
    names = [name for name in dir(stages) if name.startswith(("time_", "peakmem_"))]
    assert {"time_open", "time_statistics", "time_algebra", "time_measure", "time_parse"} <= set(names)
    stages.setup(folder)
    for name in names:
        getattr(stages, name)(folder)
    assert sorted(path.name for path in Path(stages.room.name).iterdir()) == ["f.nc", "s.nc", "s.png"]
    stages.teardown(folder)
