"""The page of the first ten minutes is walked as it stands: on a simulated sample, and on real frames of a scan."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.simulate import Truth

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "start.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(shell|json|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
RODS = "--overlap"
"""What the page says for scans of a motor, in place of ``--find``."""


def commands() -> list[str]:
    return [
        line for kind, text in BLOCKS if kind == "shell" for line in text.splitlines() if line.startswith("xinsitu ")
    ]


def run(line: str, capsys: pytest.CaptureFixture[str], **places: object) -> str:
    """Run a line of the page with its folders where they are; return what it prints."""
    for old, new in places.items():
        line = line.replace(f"/data/{old}", str(new))
    assert main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_page_is_walked_on_a_simulated_sample(experiment: Truth, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (rois,) = (text for kind, text in BLOCKS if kind == "json")
    (tmp_path / "rois.json").write_text(rois)
    said = {}
    for line in commands():
        name = line.split()[1]
        if name == "explore":  # a person draws there: tests/app/test_newcomer.py
            assert xi.read_rois("rois.json").names == ("spot", "background")
        elif RODS not in line:
            places = {"0884": experiment.folders["sample"], "flatfield1": experiment.folders["flatfield"]}
            said[line] = run(line, capsys, **places)
    assert "spring8-bl11xu" in said["xinsitu info /data/0884"]
    assert len(list(Path("results").glob("*.nc"))) == 3
    assert {path.name for path in tmp_path.iterdir()} == {
        "rois.json", "results", "evidence.png", "0884.nc", "0884.png", "0884.html", "0884_report.html"
    }  # fmt: skip
    found = [change.factor for change in xi.attenuation_changes(xi.read_results("0884.nc"))]
    assert found == pytest.approx([change.factor for change in experiment.changes], rel=0.02)
    names: dict[str, object] = {}
    (python,) = (text for kind, text in BLOCKS if kind == "python")
    exec(python, names)
    assert "spot_intensity" in names["table"].columns


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_the_page_is_walked_on_real_scans(shared_data: Path, tmp_path, monkeypatch, capsys):
    """Reflectivity at I07: the attenuation between the scans is what their common angles say, about 59 and 35."""
    monkeypatch.chdir(tmp_path)
    boxes = [
        {"name": "specular", "y": [56, 77], "x": [236, 254], "background": ["BG"]},
        {"name": "BG", "y": [56, 77], "x": [200, 225], "role": "background"},
    ]
    (tmp_path / "rois.json").write_text(json.dumps({"format": "xinsitu-rois", "version": 1, "rois": boxes}))
    folder = shared_data / "i07" / "refl"
    info, _, measure, _, stitch, *draw = commands()
    assert "diamond-i07" in run(info, capsys, **{"0884": folder})
    run(measure.replace(" --flatfield /data/flatfield1", ""), capsys, **{"0884": folder})
    assert RODS in stitch
    run(stitch, capsys)
    first, second = (change.factor for change in xi.attenuation_changes(xi.read_results("0884.nc")))
    assert 1 / first == pytest.approx(59, rel=0.02)
    assert 1 / second == pytest.approx(35, rel=0.02)
    flags, *_ = (run(line, capsys) for line in draw)
    assert "frame_in_motion: specular in 87 of 90 frames" in flags
    assert "BG" not in flags  # which is not in the figure
