"""``info`` tells a stranger what is there and what to do next; nothing twice, nothing that is not so."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import ramp, write_frames
from xinsitu.cli import main
from xinsitu.io.measurement import open_measurement

SHAPE = (24, 31)


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a command says; it goes well."""
    assert main(list(map(str, words))) == 0
    return capsys.readouterr().out


@pytest.fixture
def beamtime(tmp_path):
    """A measurement, a flat field with dead pixels, ROIs and a result."""
    write_frames(tmp_path / "s" / "time1", 6, shape=SHAPE)
    flat = np.full(SHAPE, 50, "int32")
    flat[3, 4:9] = 0
    (tmp_path / "flat").mkdir()
    tifffile.imwrite(tmp_path / "flat" / "f_0001.tif", flat)
    xi.write_rois([xi.Roi("A", y=(5, 15), x=(3, 20))], tmp_path / "r.json")
    return tmp_path


def test_unnumbered_images_are_opened_as_info_says(tmp_path, capsys):
    for name in ("dark.tif", "mean.tif", "only.edf"):
        tifffile.imwrite(tmp_path / name, ramp(1))
    assert main(["info", str(tmp_path)]) == 1
    text = capsys.readouterr().err
    single, pattern = re.search(
        r"open a file itself, (\S+), or several by a pattern, such as (\S+)$", text.strip()
    ).groups()
    assert open_measurement(tmp_path / single, tz="UTC", time="frame").sizes["time"] == 1
    assert open_measurement(tmp_path / pattern, tz="UTC", time="frame").sizes["time"] == 2
    (tmp_path / "alone").mkdir()
    tifffile.imwrite(tmp_path / "alone" / "picture.tif", ramp(1))
    assert main(["info", str(tmp_path / "alone")]) == 1
    text = capsys.readouterr().err
    assert text.strip().endswith("; open a file itself, picture.tif")
    assert said(capsys, "info", tmp_path / "alone" / "picture.tif").count("frames    1 of") == 1
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("nothing")
    assert main(["info", str(tmp_path / "notes")]) == 1
    assert "open a file itself" not in capsys.readouterr().err


def test_a_folder_that_is_not_read_is_not_left_out_too(tmp_path, capsys):
    write_frames(tmp_path / "s" / "time1", 2)
    (tmp_path / "s" / "empty").mkdir()
    (tmp_path / "s" / "lambda").mkdir()
    for number in (0, 1):
        with h5py.File(tmp_path / "s" / "lambda" / f"part_{number}.nxs", "w") as file:
            file["entry/instrument/detector/data"] = np.stack([ramp(number)] * 3)
    text = said(capsys, "info", tmp_path / "s", "--tz", "UTC")
    assert "left out  1: empty (no frames)" in text
    (line,) = (line for line in text.splitlines() if "lambda" in line)
    assert line.startswith("  not read  ")
    (tmp_path / "s" / "one").mkdir()
    tifffile.imwrite(tmp_path / "s" / "one" / "picture.tif", ramp(1))
    text = said(capsys, "info", tmp_path / "s", "--tz", "UTC")
    (line,) = (line for line in text.splitlines() if "picture" in line)
    assert line.startswith("  not read  ")
    assert line.endswith("open a file itself, picture.tif")
    assert "left out  1: empty (no frames)" in text
    with pytest.warns(xi.XinsituWarning) as heard:
        xi.open_sample(tmp_path / "s", tz="UTC")
    assert sum("open a file itself, picture.tif" in str(one.message) for one in heard) == 1


def test_one_moment_is_said_once_and_utc_once(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a_1.tif", ramp(1), datetime="2019:04:05 06:07:08")
    text = said(capsys, "info", tmp_path, "--tz", "UTC")
    assert "time      2019-04-05 06:07:08 UTC (as given)" in text.splitlines()[4]
    assert text.count("06:07:08") == 1
    text = said(capsys, "info", tmp_path, "--tz", "Asia/Tokyo")
    assert "2019-04-05 06:07:08 Asia/Tokyo (as given); begins 2019-04-04 21:07:08 UTC" in text


@pytest.mark.thorough
def test_results_and_parsed_frames_say_what_they_are_and_what_comes_next(beamtime, capsys, monkeypatch):
    monkeypatch.chdir(beamtime)
    words = ["--tz", "UTC", "--flatfield", "flat", "--rois", "r.json"]
    said(capsys, "measure", "s/time1", *words, "-o", "res/")
    said(capsys, "parse", "s/time1", "flat", "--tz", "UTC", "-o", "frames.nc")
    text = said(capsys, "info", "res/s_time1.nc")
    command = re.search(r"next      xinsitu (.+)$", text, re.MULTILINE)[1].split()
    assert main(command) == 0
    assert "wrote" in capsys.readouterr().out
    assert text.strip() == said(capsys, "info", "res").strip()
    text = said(capsys, "info", "frames.nc")
    assert "done      median, flatfield" in text
    assert "next" not in text
    assert "done" not in said(capsys, "info", "s/time1", "--tz", "UTC")
    for command in ("explore", "parse"):
        assert main([command, "res/s_time1.nc", *(["--no-browser"] if command == "explore" else [])]) == 1
        assert "holds ROI time series, not frames; 'xinsitu plot' draws them" in capsys.readouterr().err
    assert main(["parse", "s", "flat"]) == 1
    assert "'xinsitu measure' takes a whole sample" in capsys.readouterr().err
    said(capsys, "measure", "s", *words, "-o", "all/")


@pytest.mark.thorough
def test_explore_tells_the_median_that_it_applies(beamtime, monkeypatch, capsys):
    from xinsitu.app import serve

    monkeypatch.chdir(beamtime)
    said(capsys, "parse", "s/time1", "flat", "--tz", "UTC", "-o", "frames.nc")
    monkeypatch.setattr(serve, "stay", lambda explorer, **_: explorer.stop())
    assert main(["explore", "frames.nc", "--no-browser"]) == 0
    told = capsys.readouterr().err
    assert "correction: none" in told
    assert "the frames have been through a median already" in told
    assert main(["explore", "s/time1", "--no-browser", "--tz", "UTC"]) == 0
    assert "correction: 3x3 median of outliers" in capsys.readouterr().err


DEAD = "flatfield: 5 of 744 pixels are zero, negative or not finite; they become NaN"


def test_a_flat_field_is_said_to_have_dead_pixels_once(beamtime):
    flat = xi.open_flatfield(beamtime / "flat")
    rois, scans = xi.read_rois(beamtime / "r.json"), [open_measurement(beamtime / "s" / "time1", tz="UTC")] * 3
    recipe = xi.Correction(median=3, flatfield=flat)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", xi.XinsituWarning)
        for scan in scans:
            xi.measure(scan, rois, correction=recipe).compute()
            xi.correct(scan, recipe).compute()
    texts = [str(one.message) for one in caught]
    assert texts == [f"{DEAD} (xinsitu explain dead-pixels)"]
    other = flat.where(flat < 0)
    with pytest.warns(xi.XinsituWarning, match="flatfield: 744 of 744 pixels"):
        xi.correct(scans[0], xi.Correction(flatfield=other))
    assert "said" not in flat.encoding  # what is given stays as it is


@pytest.mark.thorough
def test_the_twenty_lines_warn_once_each(beamtime):
    """As a script, as people run it: Python's own memory of warnings is emptied by the libraries in between."""
    script = (
        "import xinsitu as xi\nflat = xi.open_flatfield('flat')\ncorr = xi.Correction(median=3, flatfield=flat)\n"
        "for _ in range(3):\n    scan = xi.open_measurement('s/time1', tz='UTC')\n"
        "    scan.insitu.measure(xi.read_rois('r.json'), correction=corr).compute()\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=beamtime, capture_output=True, text=True, check=True)
    assert run.stderr.count("zero, negative or not finite") == 1


@pytest.mark.thorough
def test_a_result_says_no_more_than_it_holds(beamtime, capsys, monkeypatch):
    monkeypatch.chdir(beamtime)
    said(capsys, "measure", "s/time1", "--tz", "UTC", "--rois", "r.json", "-o", "a.nc")
    text = said(capsys, "info", "a.nc")
    assert text.splitlines()[:2] == ["a.nc", "  series    6 frames, ROIs A"]
    assert xr.open_dataset("a.nc").sizes["time"] == 6


def test_what_is_in_a_folder_is_said_without_loading_scipy(tmp_path):
    """Half of the time would be spent on it."""
    write_frames(tmp_path / "time1", 40, shape=SHAPE)
    words = ["info", str(tmp_path / "time1")]
    code = f"import sys; from xinsitu.cli import main; main({words}); print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "False"
