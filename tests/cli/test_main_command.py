"""The main command on real scans as they are, and the lines that count frames which became NaN or were left out."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import tifffile
import xarray as xr
from scipy.ndimage import median_filter

import xinsitu as xi
from xinsitu.cli import main

SCANS = ("380404", "380405", "380406")


@pytest.mark.thorough("box1-380405")
@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("box", [None, ((4, 24), (10, 40)), ((2, 190), (5, 290))])
def test_parse_on_real_scans_without_naming_an_instrument(shared_data, scan, box, tmp_path, capsys):
    folder = shared_data / "i07" / "refl" / scan
    words = [] if box is None else ["--background", f"{box[0][0]}:{box[0][1]},{box[1][0]}:{box[1][1]}"]
    region = (slice(0), slice(0)) if box is None else tuple(slice(*ends) for ends in box)
    assert main(["parse", str(folder), *words, "-o", str(tmp_path / "frames.nc")]) == 0
    out, err = capsys.readouterr()
    frames = sorted(folder.glob("*.tif"), key=lambda path: int(path.stem.split("_")[-1]))
    assert "instrument: diamond-i07 (recognised by S/N 1-0103)" in out
    assert "spring8" not in out + err
    filtered = [median_filter(np.maximum(tifffile.imread(path), -1), 3) for path in frames]
    dark = [box is not None and not frame[region].clip(0).any() for frame in filtered]
    said = f"{len(frames)} frames" + (f", {sum(dark)} of them NaN ({sum(dark)} zero_background)" if any(dark) else "")
    assert said in out.splitlines()
    assert ("the background is zero in" in err) == any(dark)
    with xr.open_dataset(tmp_path / "frames.nc", engine="h5netcdf") as written:
        nan = written.image.isnull().all(("y", "x")).values
        assert nan.tolist() == dark
        assert written.time.values[0].astype("datetime64[D]") == np.datetime64("2020-02-27")
        inside = (slice(30, 90), slice(300, 400))  # no bad pixel there
        for frame, own, off in zip(filtered, written.image.values, dark, strict=True):
            if not off:
                level = 1.0 if box is None else frame[region][frame[region] >= 0].mean()
                np.testing.assert_allclose(own[inside], frame[inside] / level, rtol=1e-4)


@pytest.fixture
def beamtime(tmp_path):
    """Two measurements: one with a cut file, one with a frame without beam."""
    rng = np.random.default_rng(2)
    for name, hour in (("time1", 10), ("time2", 11)):
        folder = tmp_path / "0913" / name
        folder.mkdir(parents=True)
        for number in range(8):
            pixels = rng.poisson(40, (26, 34)).astype("int32")
            if (name, number) == ("time2", 3):
                pixels[:6, :8] = 0
            stamp = f"2016:03:04 {hour}:20:{number:02d}"
            tifffile.imwrite(folder / f"{name}_{number:03d}.tif", pixels, datetime=stamp, metadata=None)
    cut = tmp_path / "0913" / "time1" / "time1_005.tif"
    cut.write_bytes(cut.read_bytes()[:900])
    os.utime(cut, (1.4e9, 1.4e9))
    xi.write_rois([xi.Roi("A", y=(8, 22), x=(10, 30))], tmp_path / "r.json")
    return tmp_path


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:.*are not counts:xinsitu.XinsituWarning")
@pytest.mark.parametrize(
    ("policy", "first"), [("skip", "7 frames, 1 file left out"), ("nan", "8 frames, 1 of them NaN (1 frame_fault)")]
)
def test_run_counts_frames_that_became_nan_or_were_left_out(beamtime, policy, first, capsys):
    (beamtime / "recipe.toml").write_text(
        'format = "xinsitu-recipe"\nversion = 1\nsample = "0913"\nrois = "r.json"\n'
        f'[reading]\ntz = "UTC"\non_error = "{policy}"\n[output]\nresult = "s.nc"\n'
        "[correction]\nbackground = { y = [0, 6], x = [0, 8] }\n"
    )
    assert main(["run", str(beamtime / "recipe.toml")]) == 0
    out, err = capsys.readouterr()
    assert f"time1: {first}" in out.splitlines()
    assert "time2: 8 frames, 1 of them NaN (1 zero_background)" in out.splitlines()
    with pytest.warns(xi.XinsituWarning, match="background is zero in 1 of"):
        sample = xi.read_results(beamtime / "s.nc")
    lost = np.isnan(sample.intensity.sel(roi="A").values)
    assert lost.sum() == (1 if policy == "skip" else 2)
    assert re.search(r"background is zero in 1 of", err)


@pytest.mark.thorough("None")
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_remarks_on_the_numbers_are_heard_for_plain_and_compressed_frames(tmp_path, compression, capsys):
    """They were raised inside a block, where filters of dask, or of a thread that decoded another frame, ate them."""
    (tmp_path / "0912" / "time1").mkdir(parents=True)
    for number in range(30):
        frame = np.random.default_rng(number).poisson(0.4, (40, 50)).astype("int32")
        frame[:8, :9] = 0 if number % 3 else 4
        name = tmp_path / "0912" / "time1" / f"time1_{number:05d}.tif"
        tifffile.imwrite(name, frame, compression=compression, datetime=f"2016:07:08 09:10:{number:02d}")
    xi.write_rois([xi.Roi("A", (12, 38), (12, 48))], tmp_path / "rois.json")
    words = [str(tmp_path / "0912" / "time1"), "--tz", "UTC", "--median", "3", "--threshold", "0"]
    assert main(["measure", *words, "--rois", str(tmp_path / "rois.json"), "-o", str(tmp_path / "s.nc")]) == 0
    assert capsys.readouterr().err.count("warning: few counts per pixel (A 0.") == 1
    assert main(["parse", *words, "--background", "0:6,0:6", "-o", str(tmp_path / "f.nc")]) == 0
    out, err = capsys.readouterr()
    assert err.count("the background is zero in 20 of 30 frames; their values are NaN") == 1
    assert "30 frames, 20 of them NaN (20 zero_background)" in out
