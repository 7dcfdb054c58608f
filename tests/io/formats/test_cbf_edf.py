"""CBF and EDF frames, against fabio, and headers that mean harm."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.camserver import aged, ramp
from xinsitu.errors import FrameError, TimeError
from xinsitu.io.formats.reading import read_header
from xinsitu.io.measurement import open_measurement
from xinsitu.schema import epoch_seconds

fabio = pytest.importorskip("fabio")
from fabio.cbfimage import CbfImage  # noqa: E402
from fabio.edfimage import EdfImage  # noqa: E402

TEXT = (
    "# Detector: PILATUS 2M, S/N 24-0107\r\n# {stamp}\r\n# Pixel_size 172e-6 m x 172e-6 m\r\n# Exposure_time 0.5 s\r\n"
    "# Exposure_period 0.6 s\r\n# Count_cutoff 1048574 counts"
)


def frames():
    rng = np.random.default_rng(2)
    pixels = rng.integers(-2, 2**20, (4, 31, 47)).astype("int32")
    pixels[:, 3:9] = rng.integers(0, 3, (4, 6, 47))
    return pixels


@pytest.fixture
def cbf(tmp_path):
    pixels = frames()
    for number, frame in enumerate(pixels):
        header = {
            "_array_data.header_convention": "PILATUS_1.2",
            "_array_data.header_contents": TEXT.format(stamp=f"2011-07-22T17:33:2{number}.529"),
        }
        CbfImage(data=frame, header=header).write(str(tmp_path / f"scan_{number:05d}.cbf"))
    return tmp_path, pixels


def test_cbf_frames_are_those_of_fabio(cbf):
    folder, pixels = cbf
    data = open_measurement(folder, tz="Asia/Tokyo")
    np.testing.assert_array_equal(data.image, pixels)
    assert data.image.dtype == np.int32
    np.testing.assert_array_equal(data.image[1:3, 4:7, ::5], pixels[1:3, 4:7, ::5])
    read = np.stack([fabio.open(str(path)).data for path in sorted(folder.iterdir())])
    np.testing.assert_array_equal(data.image, read)
    np.testing.assert_allclose(epoch_seconds(data.time), 1311356000.529 - 9 * 3600 + np.arange(4), rtol=0, atol=1e-6)
    assert data.attrs["time_source"] == "cbf"
    assert data.attrs["time_resolution"] == pytest.approx(1e-3)
    assert (data.attrs["detector"], data.attrs["detector_serial"]) == ("PILATUS 2M", "24-0107")
    assert (float(data.exposure_time), data.attrs["count_cutoff"]) == (0.5, 1048574)


def test_patterns_lists_and_files(cbf):
    folder, pixels = cbf
    import xarray as xr

    names = sorted(folder.iterdir())
    with pytest.raises(TimeError, match="a list of files is opened in its own order"):
        open_measurement(names[::-1], tz="UTC")
    for path in (str(folder / "scan_*.cbf"), [str(name) for name in names]):
        np.testing.assert_array_equal(open_measurement(path, tz="UTC").image, pixels)
        np.testing.assert_array_equal(xr.open_dataset(path, engine="xinsitu", tz="UTC").image, pixels)
    one = open_measurement(names[2], tz="UTC")
    assert one.image.shape == (1, 31, 47)
    assert one.frame.values.tolist() == [2]
    with pytest.raises(ValueError, match="no file fits this pattern"):
        open_measurement(folder / "x_*.cbf", tz="UTC")
    with pytest.raises(ValueError, match="given twice"):
        open_measurement([names[0], names[0]], tz="UTC")
    with pytest.raises(ValueError, match="no files"):
        open_measurement([], tz="UTC")


@pytest.mark.parametrize("keep", [10, 400, 700, -200])
def test_a_cut_cbf_is_named(cbf, keep):
    folder, _ = cbf
    path = folder / "scan_00001.cbf"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FrameError, match=r"scan_00001\.cbf"):
        open_measurement(folder, tz="UTC").image.compute()


def test_a_cbf_that_declares_too_much(cbf):
    folder, _ = cbf
    path = folder / "scan_00001.cbf"
    data = path.read_bytes()
    for old, new in [(b"Fastest-Dimension: 47", b"Fastest-Dimension: 47000000"), (b"signed 32-bit", b"signed 99-bit")]:
        path.write_bytes(data.replace(old, new))
        with pytest.raises(FrameError, match=r"scan_00001\.cbf"):
            read_header(str(path))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_edf_frames_are_those_of_fabio(tmp_path, dtype):
    pixels = np.stack([ramp(n).astype(dtype) for n in range(3)])
    for number, frame in enumerate(pixels):
        header = {"time_of_day": f"{1401264119.25 + number:.6f}", "count_time": "0.8"}
        EdfImage(data=frame, header=header).write(str(tmp_path / f"a_{number}.edf"))
    data = open_measurement(tmp_path)
    assert data.image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(data.image, pixels)
    np.testing.assert_allclose(epoch_seconds(data.time), 1401264119.25 + np.arange(3), rtol=0, atol=1e-6)
    assert float(data.exposure_time) == 0.8
    assert data.attrs["time_source"] == "edf:time_of_day"


def test_edf_frames_of_one_file(tmp_path):
    pixels = np.stack([ramp(n) for n in range(3)])
    image = EdfImage(data=pixels[0], header={})
    for frame in pixels[1:]:
        image.append_frame(data=frame, header={})
    image.write(str(tmp_path / "all_7.edf"))
    data = open_measurement(tmp_path / "all_7.edf", time="frame")
    np.testing.assert_array_equal(data.image, pixels)
    assert data.frame.values.tolist() == [0, 1, 2]
    (tmp_path / "all_7.edf").write_bytes((tmp_path / "all_7.edf").read_bytes()[:-8])
    aged(tmp_path / "all_7.edf")
    with pytest.raises(FrameError, match=r"all_7\.edf: truncated"):
        open_measurement(tmp_path / "all_7.edf", time="frame")


def test_an_edf_that_points_to_another_file_is_refused(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(range(24)))
    head = (
        "{\nEDF_BinaryFileName = secret.bin ;\nEDF_BinarySize = 24 ;\nDataType = UnsignedShort ;\n"
        "Dim_1 = 4 ;\nDim_2 = 3 ;\nSize = 24 ;\n"
    )
    (tmp_path / "a_1.edf").write_text(head.ljust(510) + "}\n")
    with pytest.raises(FrameError, match=r"a_1\.edf: its header points to another file .* refused"):
        open_measurement(tmp_path, time="frame")


@pytest.mark.parametrize(
    "text", ["{", "{ }", "{ a = 1 ; }", "{" + "x" * 5000, "{ Dim_1 = 99999999 ; Dim_2 = 9999 ; DataType = Float ; }"]
)
def test_edf_headers_that_make_no_sense(tmp_path, text):
    (tmp_path / "a_1.edf").write_text(text)
    with pytest.raises(FrameError, match=r"a_1\.edf"):
        open_measurement(tmp_path, time="frame")
