"""Folders as people make them: odd names, twins, pipes, settings that change half-way."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.errors import FrameError, LayoutError, XinsituWarning
from xinsitu.io.measurement import open_measurement
from xinsitu.io.survey import survey

TRUTH = np.stack([ramp(number) for number in range(3)])
NAMES = [
    "ナノ wire_{:05d}.tif", "A_{:05d}.TIF", "{:05d}.tif", "a_-{:d}.tif", "a.b.c_{:d}.tif", "a [1]_{:d}.tif",
    "%d_{:d}.tif", "a'\"_{:d}.tif", "-rf_{:d}.tif", "a\x1b[31m_{:d}.tif", "2014-05-28_170{:03d}.tif", "_{:d}.tif",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_name_with_a_number_is_a_frame(tmp_path, name):
    folder = tmp_path / "Größe [1] 測定 %s"
    write_frames(folder, 3, name=name)
    for path in (folder, str(folder) + "/*.[tT]*"):
        np.testing.assert_array_equal(open_measurement(path, tz="UTC").image, TRUTH)
        assert survey(path, tz="UTC").n_frames == 3


def test_names_that_are_no_text(tmp_path):
    folder = os.fsencode(tmp_path)
    for number in range(3):
        with open(os.path.join(folder, b"\xff\xfe_%03d.tif" % number), "wb") as file:
            file.write(camserver_bytes(ramp(number), stamp_of(number)))
    np.testing.assert_array_equal(open_measurement(tmp_path, tz="UTC").image, TRUTH)


def test_endings_in_capitals_are_the_same_series(tmp_path):
    write_frames(tmp_path, 2, name="a_{:d}.TIF")
    (tmp_path / "a_2.tif").write_bytes(camserver_bytes(ramp(2), stamp_of(2)))
    np.testing.assert_array_equal(open_measurement(tmp_path, tz="UTC").image, TRUTH)


def test_series_of_one_name_are_told_apart_by_their_ending(tmp_path):
    write_frames(tmp_path, 3, name="a_{:d}.tif")
    write_frames(tmp_path, 2, name="a_{:d}.tiff")
    with pytest.raises(LayoutError, match=r"choose one with series='a\*\.tif'"):
        open_measurement(tmp_path, tz="UTC")
    with pytest.raises(LayoutError, match=r"several series are named 'a'.*choose one with series='a\*\.tif'"):
        open_measurement(tmp_path, tz="UTC", series="a")
    assert open_measurement(tmp_path, tz="UTC", series="a*.tiff").sizes["time"] == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_named_like_a_frame_is_not_waited_for(tmp_path):
    write_frames(tmp_path, 3)
    os.mkfifo(tmp_path / "0884_time_1_00003.tif")
    aged(tmp_path / "0884_time_1_00003.tif")
    with pytest.raises(FrameError, match=r"00003\.tif: is a pipe, .* no ordinary file"):
        open_measurement(tmp_path, tz="UTC")


TEXT = "# Threshold_setting: {} eV\r\n# Count_cutoff {} counts\r\n"


def test_settings_that_change_half_way_are_said(tmp_path):
    for number in range(4):
        text = TEXT.format(*((5000, 900) if number < 2 else (7000, 300)))
        (tmp_path / f"a_{number}.tif").write_bytes(camserver_bytes(ramp(number), stamp_of(number), text=text))
    said = r"count_cutoff is 900 in the first frame and 300 in a_2\.tif \(and threshold_energy\)"
    with pytest.warns(XinsituWarning, match=said) as caught:
        data = open_measurement(tmp_path, tz="UTC")
    assert len(caught) == 1
    assert data.attrs["threshold_energy"] == 5000
    assert data.attrs["count_cutoff"] == data.image.attrs["count_cutoff"] == 300  # none passes for sound


def test_another_detector_half_way_is_said(tmp_path):
    for number in range(3):
        model = f"PILATUS 100K, S/N 1-010{number // 2},"
        (tmp_path / f"a_{number}.tif").write_bytes(camserver_bytes(ramp(number), stamp_of(number), model=model))
    with pytest.warns(XinsituWarning, match=r"detector is PILATUS 100K, S/N 1-0100, in .* S/N 1-0101, in a_2\.tif"):
        open_measurement(tmp_path, tz="UTC")


def test_exposures_that_change_are_a_coordinate_and_no_warning(tmp_path):
    for number in range(4):
        data = camserver_bytes(ramp(number), stamp_of(number), exposure=1.0 + number // 2)
        (tmp_path / f"a_{number}.tif").write_bytes(data)
    assert open_measurement(tmp_path, tz="UTC").exposure_time.values.tolist() == [1, 1, 2, 2]


def test_a_stamp_of_another_form_is_named(tmp_path):
    for number in range(2):
        (tmp_path / f"a_{number}.tif").write_bytes(camserver_bytes(ramp(number), "28/05/2014 17:00:00"))
    with pytest.warns(XinsituWarning, match=r"\(a_0\.tif has '28/05/2014 17:00:00', which is no time\)"):
        open_measurement(tmp_path, tz="UTC")
