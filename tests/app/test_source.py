"""What a folder is taken for, and what lies beside the frames."""

from __future__ import annotations

import shutil

import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.app.data import beside
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.state.model import ExplorerModel
from xinsitu.errors import DocumentError
from xinsitu.recipe import Reading

TOKYO = Reading(tz="Asia/Tokyo")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("source"), measurements=2, frames=20)


@pytest.mark.thorough
def test_a_flat_field_inside_a_sample_is_no_measurement_of_it(truth, tmp_path):
    sample = tmp_path / "0884"
    shutil.copytree(truth.folders["sample"], sample)
    shutil.copytree(truth.folders["flatfield"], sample / "flatfield1")
    source = open_source(sample, reading=TOKYO)
    assert [folder.name for folder in source.folders] == ["time1", "time2"]
    assert source.left_out == ("flatfield1: a calibration by its name",)
    again = source.reopen()
    assert (again.folders, again.left_out) == (source.folders, source.left_out)


@pytest.mark.thorough
def test_folders_with_frames_that_are_no_measurement_are_said(truth, tmp_path):
    sample = tmp_path / "0884"
    shutil.copytree(truth.folders["sample"], sample)
    for name in ("notes", "single", "two"):
        (sample / name).mkdir()
    frame = sorted((sample / "time1").glob("*.tif"))[0]
    (sample / "notes" / "growth.txt").write_text("430 C")
    shutil.copy(frame, sample / "single" / "snapshot.tif")
    for other in ("a_1_P1.tif", "b_1_P1.tif"):
        shutil.copy(frame, sample / "two" / other)
    source = open_source(sample, reading=TOKYO)
    assert [folder.name for folder in source.folders] == ["time1", "time2"]
    single, two = source.left_out
    assert single.startswith("single: of 1 file here none is a numbered frame")
    assert two.startswith("two: 2 series of frames in one folder")
    again = source.reopen()
    assert (again.folders, again.left_out) == (source.folders, source.left_out)


def test_a_folder_of_nothing_but_calibrations_shows_them(truth, tmp_path):
    shutil.copytree(truth.folders["flatfield"], tmp_path / "flatfield1")
    assert [folder.name for folder in open_source(tmp_path, reading=TOKYO).folders] == ["flatfield1"]


@pytest.mark.thorough
def test_curves_are_compared_with_series_and_not_with_fits(truth, tmp_path):
    scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo")
    fits = xi.write_results(xi.fit_rois(scan, truth.rois), tmp_path / "fits.nc")
    series = xi.write_results(xi.measure(scan, truth.rois), tmp_path / "series.nc")
    assert "intensity" in beside.open_result(series)
    with pytest.raises(DocumentError, match="holds no time series of ROIs"):
        beside.open_result(fits)
    assert "WZ" in beside.rois_text(series)


def test_frames_whose_numbers_are_lazy_too_are_explored(truth):
    """``open_dataset`` makes all but indexes lazy; the page asked for the number of a frame, and came to nothing."""
    scan = xr.open_dataset(truth.folders["time1"], engine="xinsitu", chunks={}, tz="Asia/Tokyo")
    assert scan.frame.chunks is not None
    source = open_source(scan)
    assert [folder.name for folder in source.folders] == ["time1"]
    xr.testing.assert_identical(source.data.drop_vars("image"), scan.drop_vars("image").compute())
    assert source.data.image.chunks is not None
    model = ExplorerModel(FrameStore(source))
    assert "frame 3" in model.view.frame_text(3)
