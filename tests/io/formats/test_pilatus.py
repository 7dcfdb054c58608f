"""The heads of real PILATUS files, each read to the field."""

from __future__ import annotations

import ast
import os

import numpy as np
import pytest

from xinsitu.io.formats.pilatus import parse_model, parse_pilatus
from xinsitu.io.formats.reading import read_header
from xinsitu.io.measurement import open_measurement

# rows, columns, offset, stamp, exposure, period, cutoff, threshold, tau, excluded, flat field, detector, serial
HEADS = {
    "01": (195, 487, 4096, "2019:12:02 10:26:41", 1, 1, 1380198, 7000, 199.1e-9, 0,
           "FF_p1k103_E20000_T7000_vrf_m0p100.tif", "PILATUS 100K", "1-0103"),
    "02": (195, 487, 4096, "2020:02:27 15:55:21", 1, 1, 1380198, 6250, 199.1e-9, 0,
           "FF_p1k103_E20000_T6250_vrf_m0p100.tif", "PILATUS 100K", "1-0103"),
    "03": (195, 487, 4096, "2011:03:15 04:11:32", 60, 60, 1052242, 7500, 199.1e-9, 5, None, "PILATUS 100K", "1-0230"),
    "04": (195, 487, 4096, "2015:11:14 14:02:45", 1, 1.02, 1380198, 5000, 199.1e-9, 1, None,
           "PILATUS 100K-S", "1-0299"),
    "05": (195, 487, 4096, "2014:06:12 09:25:01", 10, 10, 1062480, 10500, 124e-9, 5, None, "PILATUS 100K", "1-0232"),
    "06": (195, 487, 4096, "2014:06:12 14:45:30", 20, 20, 1055458, 11000, 124e-9, 1, None, "PILATUS 100K", "1-0262"),
    "07": (195, 487, 4096, "2022:02:09 09:14:45", 600, 600, 1048939, 5000, 199.1e-9, 1, None, "PILATUS 100K", "1-0205"),
    "08": (1043, 981, 4096, "2014:01:31 12:46:56", 10, 10, 1080457, 4000, 0, 137,
           "FF_p10-0120_E8000_T4000_vrf_m0p100.tif", "PILATUS3 1M", "10-0120"),
    "09": (1043, 981, 4096, "2025:06:06 17:02:49", 300, 300, 1049530, 4024, 0, 71,
           "FF_p10-0127_E8048_T4024_vrf_m0p100.tif", "PILATUS3 1M", "10-0127"),
    "10": (1043, 981, 4096, "2014:10:24 16:33:09", 3, 3, 1097223, 15000, 124e-9, 27,
           "FF_p1m0113_E30000_T15000_vrf_m0p30.tif", "PILATUS 1M-F", None),
    "11": (619, 487, 4096, "2016:02:24 19:38:56", 0.045, 0.05, 189000, 4000, 0, 9,
           "FF_p3-0236_E8000_T4000_vrf_m0p100.tif", "PILATUS3 300K", "3-0236"),
    "12": (195, 1475, 4096, "2021:09:07 19:28:03", 1, 1, 1111890, 11500, 0, 14,
           "FF_p3-0231-W_E14000_T11500_vrf_m0p100.tif", "PILATUS3 300K-W", "3-0231-W"),
    "13": (619, 1475, 4096, "2021:09:07 19:28:03", 1, 1, 1108227, 10500, 0, 24,
           "FF_p12-0101_E14000_T10500_vrf_m0p100.tif", "PILATUS3 X 900K-SMI", "12-0101"),
    "14": (619, 487, 5788, "2016:04:06 21:15:23", 120, 120.8, 1067975, 4024, 0, 20, None, "PILATUS3 300K", "3-0220"),
    "15": (619, 487, 6302, "2019:04:04 18:18:27", 999, 1032.3, 1147717, 4024, 0, 12, None, "PILATUS3 300K", "3-0327"),
}  # fmt: skip


@pytest.mark.parametrize("number", HEADS)
def test_every_real_head_is_read_to_the_field(shared_data, tmp_path, number):
    (head,) = (shared_data / "headers").glob(f"{number}_*.bin")
    rows, columns, offset, stamp, exposure, period, cutoff, threshold, tau, excluded, flat, detector, serial = HEADS[
        number
    ]
    path = tmp_path / "a_1.tif"
    path.write_bytes(head.read_bytes())
    os.truncate(path, offset + rows * columns * 4)  # the pixels were cut off
    header = read_header(str(path))
    assert (header.shape, header.dtype, header.offset) == ((rows, columns), np.dtype("<i4"), offset)
    assert (header.stamp, header.stamp_source) == (stamp, "tiff:306")
    assert header.detector == (detector, serial)
    assert header.software == "TVX TIFF v 1.3"
    text = header.text
    assert (text.exposure_time, text.exposure_period) == (exposure, period)
    assert (text.count_cutoff, text.threshold_energy) == (cutoff, threshold)
    assert (text.tau, text.n_excluded_pixels, text.flat_field) == (tau, excluded, flat)
    assert (text.pixel_size_y, text.pixel_size_x) == (172e-6, 172e-6)
    assert text.sensor_material == "Silicon"
    assert text.sensor_thickness in (0.00032, 0.00045)
    assert text.trim_file is not None


# thickness of the sensor, gain, trim file, excluded pixels, wavelength in angstrom
MORE = {
    "01": (0.00032, "autog (vrf = 1.000)", "p1k103_E20000_T7000.bin", None, 0.61995),
    "02": (0.00032, "autog (vrf = 1.000)", "p1k103_E20000_T6250.bin", None, 0.61995),
    "03": (0.00032, "not implemented (vrf = 9.900)", "p100k0230_T8p0_vrf_m0p2_100517", "badpix_mask.tif", None),
    "04": (0.00032, "mid gain (vrf = -0.200)", "p100k0299_E10000_T5000_vrf_m0p20.bin", "badpix_mask.tif", None),
    "05": (0.00032, "not implemented (vrf = 9.900)", "p100k0232_T9p9_vrf_m0p3_100621", "badpix_mask.tif", 1.54),
    "06": (0.00032, "low gain (vrf = -0.300)", "p100k0262_T11000_vrf_m0p30.bin", "badpix_mask.tif", 0.564),
    "07": (0.00032, "mid gain (vrf = -0.200)", "p100k0205_E10000_T5000_vrf_m0p20.bin", "badpix_mask.tif", None),
    "08": (0.00045, "autog (vrf = 1.000)", "p10-0120_E8000_T4000.bin", "badpixel_mask.tif", 1.54987),
    "09": (0.00045, "autog (vrf = 1.000)", "p10-0127_E8048_T4024.bin", "badpixel_mask.tif", None),
    "10": (0.00045, "low gain (vrf = -0.300)", "p1m0113_E30000_T15000_vrf_m0p30.bin", "badpix_mask.tif", None),
    "11": (0.00045, "autog (vrf = 1.000)", "p3-0236_E8000_T4000.bin", "badpix_mask.tif", 1.54),
    "12": (0.00032, "autog (vrf = 1.000)", "p3-0231-W_E14000_T11500.bin", "badpix_mask.tif", 0.88564),
    "13": (0.00045, "autog (vrf = 1.000)", "p12-0101_E14000_T10500.bin", "badpix_mask_9modules.tif", 0.88564),
    "14": (0.00045, "autog (vrf = 1.000)", "p3-0220_E8048_T4024.bin", "badpix_mask.tif", None),
    "15": (0.00045, None, "p3-0327_E8048_T4024.bin", "badpix_mask.tif", None),  # "NA"
}


@pytest.mark.parametrize("number", HEADS)
def test_every_field_of_a_real_head_arrives_in_the_dataset(shared_data, tmp_path, number):
    (head,) = (shared_data / "headers").glob(f"{number}_*.bin")
    rows, columns, offset, stamp, exposure, period, cutoff, threshold, tau, excluded, flat, detector, serial = HEADS[
        number
    ]
    thickness, gain, trim, bad, wavelength = MORE[number]
    path = tmp_path / "a_1.tif"
    path.write_bytes(head.read_bytes()[:offset].ljust(offset, b"\0") + np.ones(rows * columns, "<i4").tobytes())
    data = open_measurement(tmp_path, tz="UTC")
    expected = {
        "exposure_period": period, "count_cutoff": cutoff, "threshold_energy": threshold, "tau": tau,
        "n_excluded_pixels": excluded, "flat_field": flat, "detector": detector, "detector_serial": serial,
        "pixel_size_y": 172e-6, "pixel_size_x": 172e-6, "sensor_material": "Silicon", "sensor_thickness": thickness,
        "gain_setting": gain, "trim_file": trim, "excluded_pixels": bad, "wavelength": wavelength,
        "software": "TVX TIFF v 1.3", "time_source": "tiff:306",
    }  # fmt: skip
    found = {name: data.attrs.get(name) for name in expected}
    assert found == {name: pytest.approx(one) if isinstance(one, float) else one for name, one in expected.items()}
    assert data.image.dtype == np.int32
    assert data.image.shape == (1, rows, columns)
    assert float(data.exposure_time) == exposure
    assert data.image.attrs["count_cutoff"] == cutoff
    assert data.stamp.item() == stamp
    day, clock = stamp.split(" ")
    assert data.time.values[0] == np.datetime64(f"{day.replace(':', '-')}T{clock}", "ns")


def test_gain_and_trim_in_every_dialect(shared_data):
    def text(number):
        (head,) = (shared_data / "headers").glob(f"{number}_*.bin")
        data = head.read_bytes()
        return parse_pilatus(data[data.index(b"# Pixel") :])

    assert text("03").gain_setting == "not implemented (vrf = 9.900)"
    assert text("04").gain_setting == "mid gain (vrf = -0.200)"
    assert text("15").gain_setting is None  # NA
    assert text("03").trim_file == "p100k0230_T8p0_vrf_m0p2_100517"
    assert text("04").trim_file == "p100k0299_E10000_T5000_vrf_m0p20.bin"
    assert text("06").wavelength == pytest.approx(0.564)  # written in nm
    assert text("12").wavelength == 0.88564


def test_pilatus_text_in_an_areadetector_file(shared_data):
    (words,) = (shared_data / "headers").glob("16_*.txt")
    line = next(line for line in words.read_text().splitlines() if line.startswith("b'# Pixel_size"))
    text = parse_pilatus(ast.literal_eval(line))
    assert (text.exposure_time, text.exposure_period, text.count_cutoff) == (15, 15.001, 1055230)
    assert (text.sensor_material, text.sensor_thickness, text.wavelength) == ("CdTe", 0.001, 0.29521)
    assert parse_pilatus(b"").attributes() == {}


def test_no_line_can_hurt():
    junk = (
        b"# Exposure_time\r\n# Count_cutoff counts\r\n#\r\n# Tau = (nil)\r\n# Threshold_setting: NA eV\r\n\xff\r\n# = 3"
    )
    assert parse_pilatus(junk).attributes() == {}
    assert parse_pilatus(b"# Exposure_time 1e999 s").exposure_time is None


@pytest.mark.parametrize(
    ("model", "expected"),
    [("", ("", None)), ("PILATUS 2M, S/N 24-0107 X", ("PILATUS 2M", "24-0107")), ("Unknown", ("Unknown", None))],
)
def test_models(model, expected):
    assert parse_model(model) == expected
