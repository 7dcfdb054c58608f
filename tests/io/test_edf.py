"""Dialects of EDF and CBF, against fabio; pixels without a value, and keys of SAXS stations."""

from __future__ import annotations

import numpy as np
import pytest

from xinsitu import Roi, measure
from xinsitu.errors import FrameError, XinsituWarning
from xinsitu.io.measurement import open_flatfield, open_measurement
from xinsitu.io.survey import survey

fabio = pytest.importorskip("fabio")

WHERE = {"tz": "UTC", "instrument": "generic", "time": "frame"}
PIXELS = np.random.default_rng(4).integers(0, 900, (3, 11, 14)).astype("<u2")
ALL = Roi("A", y=(0, 11), x=(0, 14))


def header(array, kind="UnsignedShort", **keys):
    rows = {"ByteOrder": "LowByteFirst", "DataType": kind, "Dim_1": array.shape[-1], "Dim_2": array.shape[-2]}
    text = "{\n" + "".join(f"{name} = {value} ;\n" for name, value in (rows | keys).items())
    return (text.ljust(-(-(len(text) + 2) // 512) * 512 - 2) + "}\n").encode("latin-1")


def edf(path, array, kind="UnsignedShort", before=b"", **keys):
    path.write_bytes(before + header(array, kind, **keys) + array.tobytes())
    return path


GENERAL = (
    b"{\nEDF_DataFormatVersion = 2.4 ;\nEDF_HeaderSize = 1024 ;\nEDF_BinarySize = 0 ;\n"
    b"EDF_DataBlockID = 0.Image.Psd.General ;\nExposureTime = 0.75 ;\n"
)


@pytest.mark.parametrize(
    "how",
    [
        {"before": GENERAL.ljust(1022) + b"}\n", "EDF_BinarySize": PIXELS[0].nbytes},
        {"title": "wire {In As} 430 C"},
        {"title": "} at the begin {"},
        {f"motor{number}": "y" * 80 for number in range(1500)},
    ],
)
def test_what_fabio_reads(tmp_path, how):
    path = edf(tmp_path / "a_0003.edf", PIXELS[0], **how)
    np.testing.assert_array_equal(fabio.open(str(path)).data, PIXELS[0])
    data = open_measurement(path, **WHERE)
    np.testing.assert_array_equal(data.image[0], PIXELS[0])
    assert ("exposure_time" in data.coords) == ("before" in how)


@pytest.mark.parametrize("word", ["L\xf6wByteFirst", "wByteFirst", "Middle", "1"])
def test_a_byte_order_that_is_not_known_is_refused_and_none_is_that_of_pcs(tmp_path, word):
    path = edf(tmp_path / "a_1.edf", PIXELS[0], ByteOrder=word)
    with pytest.raises(FrameError, match=r"a_1\.edf: EDF byte order .* is neither LowByteFirst nor HighByteFirst"):
        open_measurement(path, **WHERE)
    path.write_bytes(path.read_bytes().replace(f"ByteOrder = {word} ;\n".encode("latin-1"), b"".ljust(15 + len(word))))
    np.testing.assert_array_equal(open_measurement(path, **WHERE).image[0], PIXELS[0])
    path = edf(tmp_path / "b_1.edf", PIXELS[0].astype(">u2"), ByteOrder="highbytefirst")
    np.testing.assert_array_equal(open_measurement(path, **WHERE).image[0], PIXELS[0])


@pytest.mark.parametrize("lost", [1, 2, 7])
def test_a_header_that_lost_bytes_never_shifts_its_pixels(tmp_path, lost):
    """It ends in front of where it says that it ends, and what lies between is pixels."""
    head = header(PIXELS[0], EDF_HeaderSize=512)
    path = tmp_path / "a_1.edf"
    path.write_bytes(head + PIXELS[0].tobytes())
    np.testing.assert_array_equal(open_measurement(path, **WHERE).image[0], PIXELS[0])
    path.write_bytes(head[:200] + head[200 + lost :] + PIXELS[0].tobytes() + bytes(lost))
    with pytest.raises(FrameError, match=rf"a_1\.edf: its header ends at byte {512 - lost}, and says .* byte 512"):
        open_measurement(path, **WHERE)
    path.write_bytes(head[:-2] + b"}\n".ljust(514) + PIXELS[0].tobytes())  # padding behind the brace is none
    assert len(head) == 512
    path.write_bytes(path.read_bytes().replace(b"EDF_HeaderSize = 512 ", b"EDF_HeaderSize = 1024"))
    np.testing.assert_array_equal(open_measurement(path, **WHERE).image[0], PIXELS[0])


def test_all_frames_behind_one_header(tmp_path):
    path = edf(tmp_path / "ge_1.edf", PIXELS, Num_Images=3)
    np.testing.assert_array_equal(open_measurement(path, **WHERE).image, PIXELS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(FrameError, match=r"ge_1\.edf: .*truncated: 924 bytes of pixels expected, 904 found"):
        open_measurement(path, **WHERE)
    # a number of images that a file of one frame keeps is no promise of others
    np.testing.assert_array_equal(
        open_measurement(edf(tmp_path / "b_1.edf", PIXELS[1], Num_Images=3), **WHERE).image[0], PIXELS[1]
    )


@pytest.mark.parametrize(
    ("kind", "dtype", "keys", "bad"),
    [
        ("FloatValue", "<f4", {"Dummy": "-7", "DDummy": "0.5"}, -7.4),
        ("FloatValue", "<f4", {"Dummy": "-7"}, -7.05),
        ("SignedInteger", "<i4", {"Dummy": "2000000", "DDummy": "0"}, 2_000_000),
        ("UnsignedShort", "<u2", {"Dummy": "2222"}, 2222),
    ],
)  # fmt: skip
def test_pixels_within_ddummy_of_dummy_hold_no_value(tmp_path, kind, dtype, keys, bad):
    frame = PIXELS[0].astype(dtype)
    frame[2, 3:9] = bad
    good = np.delete(frame.ravel(), range(2 * 14 + 3, 2 * 14 + 9))
    path = edf(tmp_path / "a_1.edf", frame, kind, **keys)
    data = open_measurement(path, **WHERE)
    assert data.image.dtype.kind == "f"
    assert np.isnan(data.image.values[0, 2, 3:9]).all()
    assert int(np.isnan(data.image.values).sum()) == 6
    found = measure(data, [ALL]).compute()
    assert found.intensity.item() == pytest.approx(good.sum(dtype="f8"))
    assert found.n_valid.item() == good.size
    flat = open_flatfield(path)
    assert np.isnan(flat.values[2, 3:9]).all()
    np.testing.assert_allclose(np.nansum(flat * good.mean()), good.sum(dtype="f8"), rtol=1e-6)


def test_what_is_beyond_ddummy_or_a_dummy_of_zero_is_a_value(tmp_path):
    frame = PIXELS[0].astype("<f4")
    frame[2, 3] = -7.6
    data = open_measurement(edf(tmp_path / "a_1.edf", frame, "FloatValue", Dummy="-7", DDummy="0.5"), **WHERE)
    assert data.image.values[0, 2, 3] == np.float32(-7.6)
    data = open_measurement(edf(tmp_path / "b_1.edf", PIXELS[0] * 0, Dummy="0", DDummy="0.1"), **WHERE)
    assert data.image.dtype == np.uint16


def test_keys_of_saxs_stations_with_and_without_units(tmp_path):
    path = edf(
        tmp_path / "a_1.edf",
        PIXELS[0],
        PSize_1="7.5e-05_m",
        PSize_2="75 um",
        WaveLength="9.95e-11",
        ExposureTime="250 ms",
    )
    data = open_measurement(path, **WHERE)
    assert (data.attrs["pixel_size_x"], data.attrs["pixel_size_y"]) == (75e-6, 75e-6)
    assert data.attrs["wavelength"] == pytest.approx(0.995)
    assert data.exposure_time.item() == 0.25
    path = edf(tmp_path / "b_1.edf", PIXELS[0], ExposureTime="3 jiffies")
    with pytest.warns(XinsituWarning, match=r"b_1\.edf: the header's exposuretime = '3 jiffies' cannot be understood"):
        assert "exposure_time" not in open_measurement(path, **WHERE).coords
    assert "exposuretime = '3 jiffies' cannot be understood" in str(survey(path, tz="UTC", instrument="generic"))


def test_counters_and_motors_of_spec_in_the_header(tmp_path):
    frames = np.random.default_rng(3).poisson(40, (3, 9, 11)).astype("u2")
    for number, frame in enumerate(frames):
        keys = {"counter_mne": "mon x", "counter_pos": f"{500 + number} 7.5", "motor_mne": "th", "motor_pos": "0.25 "}
        edf(tmp_path / f"a_{number}.edf", frame, **keys)
    data = open_measurement(tmp_path, tz="UTC", time="frame")
    assert data.mon.values.tolist() == [500, 501, 502]
    assert data.log_x.values.tolist() == [7.5] * 3
    assert data.th.attrs["long_name"] == "motor th"
    assert np.isfinite(data.th).all()
    edf(tmp_path / "b_1.edf", frames[0], counter_mne="mon det", counter_pos="1 2 3")
    with pytest.warns(XinsituWarning, match="counter_mne of 2 names and counter_pos of 3 numbers cannot be understood"):
        open_measurement(tmp_path / "b_1.edf", tz="UTC", time="frame")


def test_each_of_several_frames_has_what_its_own_header_says(tmp_path):
    """Taken from the first one, times lay a microsecond apart and counters were dropped."""
    path = tmp_path / "m_1.edf"
    blocks = [
        header(
            pixels,
            time_of_day=1500000000.25 + 3 * number,
            count_time=0.5 + number,
            Dummy=-1,
            counter_mne="ct_a time",
            counter_pos=f"{40 + number} 2.5",
            motor_mne="eta",
            motor_pos=number,
        )
        + pixels.tobytes()
        for number, pixels in enumerate(PIXELS)
    ]
    path.write_bytes(b"".join(blocks))
    told = str(survey(path, tz="UTC"))
    for words in ("2017-07-14 02:40:00.25 to 2017-07-14 02:40:06.25", "0.5 to 2.5 s", "scan 1: 0 to 2", "1 good (3 fr"):
        assert words in told
    data = open_measurement(path, tz="UTC", instrument="generic")
    assert ((data.time.values - data.time.values[0]) / np.timedelta64(1, "s")).tolist() == [0, 3, 6]
    assert data.attrs["time_source"] == "edf:time_of_day"
    assert data.exposure_time.values.tolist() == [0.5, 1.5, 2.5]
    assert (data.ct_a.values.tolist(), data.log_time.values.tolist()) == ([40, 41, 42], [2.5] * 3)
    assert (data.eta.values.tolist(), data.eta.attrs["long_name"]) == ([0, 1, 2], "motor eta")
    np.testing.assert_array_equal(data.image, PIXELS)
    path.write_bytes(blocks[0] + header(PIXELS[1], counter_mne="ct_a", counter_pos="9 9") + PIXELS[1].tobytes())
    with (
        pytest.warns(
            XinsituWarning, match="only its first frame has a time stamp; the header's counter_mne of 1 names"
        ),
        pytest.warns(XinsituWarning, match="time is the frame number"),
    ):
        data = open_measurement(path, tz="UTC", instrument="generic")
    assert np.array_equal(data.ct_a, [40, np.nan], equal_nan=True)
    assert data.exposure_time.item() == 0.5  # of the detector, which the second header does not name anew


def test_what_one_header_says_of_one_moment_is_not_of_all_frames_behind_it(tmp_path):
    keys = {"Num_Images": 3, "Date": "2018-03-04T05:06:07", "ExposureTime": 0.25, "motor_mne": "eta", "motor_pos": 4}
    path = edf(tmp_path / "ge_1.edf", PIXELS, **keys)
    with (
        pytest.warns(
            XinsituWarning, match="its counters and motors are of all 3 frames at once and are not used; only"
        ),
        pytest.warns(XinsituWarning, match="time is the frame number"),
    ):
        data = open_measurement(path, tz="UTC", instrument="generic")
    assert "eta" not in data.coords
    assert data.exposure_time.item() == 0.25
    assert data.attrs["time_source"] == "frame"


def test_camservers_lines_in_the_title(tmp_path):
    path = edf(tmp_path / "a_1.edf", PIXELS[0], title="# Pixel_size 172e-6 m x 172e-6 m", count_time="2.0")
    data = open_measurement(path, **WHERE)
    assert data.attrs["pixel_size_x"] == 172e-6
    assert data.exposure_time.item() == 2.0


def test_a_header_that_is_still_being_written_is_refused(tmp_path):
    path = tmp_path / "a_1.edf"
    path.write_bytes(header(PIXELS[0], title="wire {In As}")[:120])
    with pytest.raises(FrameError, match=r"a_1\.edf"):
        open_measurement(path, **WHERE)


@pytest.mark.parametrize("dtype", ["<u4", "<i4", "<u2"])
def test_byte_offsets_of_the_highest_numbers(tmp_path, dtype):
    from fabio.cbfimage import CbfImage

    frame = PIXELS[0].astype(dtype)
    frame[3, 3], frame[3, 4], frame[9, 9] = np.iinfo(dtype).max, 5, np.iinfo(dtype).max - 1
    CbfImage(data=frame, header={"_array_data.header_contents": "# Detector: X\r\n"}).write(str(tmp_path / "a_1.cbf"))
    np.testing.assert_array_equal(open_measurement(tmp_path / "a_1.cbf", **WHERE).image[0], frame)


def test_camservers_text_with_other_units(tmp_path):
    import tifffile

    text = (
        "# Exposure_time 250 ms\r\n# Exposure_period 1 min\r\n# Pixel_size 172 um x 0.172 mm\r\n"
        "# Threshold_setting 8 keV\r\n# Silicon sensor, thickness 320 um\r\n# Wavelength 0.1 nm\r\n# Tau = 124 ns"
    )
    tifffile.imwrite(tmp_path / "a_1.tif", PIXELS[0], description=text, metadata=None)
    data = open_measurement(tmp_path / "a_1.tif", **WHERE)
    names = ("pixel_size_x", "pixel_size_y", "threshold_energy", "sensor_thickness")
    found = [data.attrs[name] for name in (*names, "wavelength", "tau", "exposure_period")]
    assert found == pytest.approx([172e-6, 172e-6, 8000, 320e-6, 1.0, 124e-9, 60])
    assert data.exposure_time.item() == 0.25
    tifffile.imwrite(tmp_path / "b_1.tif", PIXELS[0], description="# Exposure_time 3 jiffies", metadata=None)
    with pytest.warns(XinsituWarning, match=r"b_1\.tif: the header's Exposure_time 3 jiffies has an unknown unit"):
        assert "exposure_time" not in open_measurement(tmp_path / "b_1.tif", **WHERE).coords
    text = "# Exposure_time -0.5 s\r\n# Exposure_period -1 s\r\n# Count_cutoff -1 counts\r\n# Tau = 0 s"
    tifffile.imwrite(tmp_path / "c_1.tif", PIXELS[0], description=text, metadata=None)
    below = r"c_1\.tif: .* Count_cutoff -1 counts, Exposure_time -0.5 s, Exposure_period -1 s is not above zero"
    with pytest.warns(XinsituWarning, match=below):
        data = open_measurement(tmp_path / "c_1.tif", **WHERE)
    assert "exposure_time" not in data.coords
    assert not {"count_cutoff", "exposure_period"} & data.attrs.keys()
    edf(tmp_path / "d_1.edf", PIXELS[0], title="# Exposure_time 3 jiffies")
    with pytest.warns(XinsituWarning, match="Exposure_time 3 jiffies has an unknown unit"):
        open_measurement(tmp_path / "d_1.edf", **WHERE)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"WaveLength": "0.9919"}, "wavelength"),
        ({"PSize_1": "172", "PSize_2": "0.172"}, "psize"),
        ({"Dummy": "none"}, "dummy"),
        ({"ExposureTime": "-1"}, "exposuretime"),
        ({"PSize_1": "0", "PSize_2": "-75e-6"}, "psize"),
    ],
)
def test_a_number_that_cannot_be_meant_in_metres_is_said_and_not_used(tmp_path, keys, name):
    path = edf(tmp_path / "a_0002.edf", PIXELS[0], **keys)
    with pytest.warns(XinsituWarning, match=f"{name}.* cannot be understood"):
        data = open_measurement(path, **WHERE)
    assert not {"wavelength", "pixel_size_x", "pixel_size_y"} & data.attrs.keys()
    assert "exposure_time" not in data.coords
    assert data.image.dtype == PIXELS.dtype
