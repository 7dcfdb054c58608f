"""What is neither warning nor result goes to ``logging``, which the command line shows when it is asked to."""

import logging

import numpy as np
import pytest
import tifffile

import xinsitu as xi
from tests.helpers.camserver import write_frames
from xinsitu.cli import main
from xinsitu.schema import Quality

SHAPE = (60, 90)
ROIS = [xi.Roi("dead", y=(5, 15), x=(3, 20)), xi.Roi("sound", y=(30, 40), x=(3, 20))]


@pytest.fixture
def folder(tmp_path):
    """Frames, and a flat field of which 4 of 5400 pixels are dead."""
    write_frames(tmp_path / "s" / "time1", 5, shape=SHAPE)
    flat = np.full(SHAPE, 70, "int32")
    flat[7, 4:8] = 0
    (tmp_path / "flat").mkdir()
    tifffile.imwrite(tmp_path / "flat" / "f_0001.tif", flat)
    xi.write_rois(ROIS, tmp_path / "r.json")
    return tmp_path


def test_few_dead_pixels_are_flagged_and_logged_and_no_warning(folder, caplog):
    flat = xi.open_flatfield(folder / "flat", instrument="generic")
    scan = xi.open_measurement(folder / "s" / "time1", tz="UTC")
    with caplog.at_level(logging.INFO, "xinsitu"):  # warnings are errors here
        series = xi.measure(scan, ROIS, correction=xi.Correction(flatfield=flat)).compute()
    assert caplog.messages.count(
        "flatfield: 4 of 5400 pixels are zero, negative or not finite; they become NaN"
    ) == 1  # fmt: skip
    masked = (series.quality & Quality.MASKED_PIXELS) > 0
    assert masked.sel(roi="dead").all()
    assert not masked.sel(roi="sound").any()
    assert series.n_valid.sel(roi="dead").values.tolist() == [10 * 17 - 4] * 5


@pytest.mark.thorough
def test_what_is_logged_is_shown_when_asked(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    words = ["measure", "s/time1", "--rois", "r.json", "--flatfield", "flat", "--tz", "UTC", "-o"]
    assert main([*words, "quiet.nc"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["--verbose", *words, "told.nc"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert any("time1: 5 frames, instrument spring8-bl11xu" in line for line in told)
    assert any(line.startswith("xinsitu: told.nc: written, ") for line in told)
    assert any("4 of 5400 pixels" in line for line in told)
    assert not any("warning" in line for line in told)
    assert not logging.getLogger("xinsitu").handlers
    assert logging.getLogger("xinsitu").level == logging.NOTSET


def test_a_log_line_steers_no_terminal(folder, capsys):
    from xinsitu.cli.console import logged

    with logged(wanted=True):
        logging.getLogger("xinsitu.io.disk").info("%s: written", "a\x1b[31m\nxinsitu: error: b")
    assert capsys.readouterr().err == "xinsitu: a[31m\\nxinsitu: error: b: written\n"
