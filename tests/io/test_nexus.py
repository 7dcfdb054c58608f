"""What HDF5 files say beside their frames: units, shapes and places as other writers have them."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest
import xarray as xr

from tests.helpers.camserver import write_frames
from xinsitu import Correction, Roi, measure, read_mask
from xinsitu.errors import FrameError, LayoutError
from xinsitu.io.measurement import open_measurement
from xinsitu.io.survey import survey
from xinsitu.schema import epoch_seconds

FRAMES = np.random.default_rng(8).poisson(20, (5, 12, 16)).astype("i4")
WHERE = {"tz": "UTC", "instrument": "generic"}


def detector(path, *, frames=FRAMES, start="2023-03-04T05:06:07", **values):
    """One NeXus file; each value is a number, or a number and its unit."""
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/instrument/detector")
        group.attrs["NX_class"] = "NXdetector"
        group["data"] = frames
        if start:
            file["entry/start_time"] = start
        for name, value in values.items():
            number, unit = value if isinstance(value, tuple) else (value, None)
            group[name] = number
            if unit is not None:
                group[name].attrs["units"] = unit
    return path


def heard(path, **options):
    """The Dataset, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = open_measurement(path, **WHERE, **options)
    return data, [str(one.message) for one in said]


def monitored(path, place, reading, values, *, n=5):
    detector(path, frames=FRAMES[:n])
    with h5py.File(path, "r+") as file:
        group = file.create_group(f"entry/{place}")
        group.attrs["NX_class"] = "NXmonitor"
        group[reading] = values
    return path


@pytest.mark.parametrize("place", ["monitor", "control", "instrument/i0"])
@pytest.mark.parametrize("reading", ["data", "integral"])
@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_monitors_of_nexus_are_counters(tmp_path, place, reading, shape):
    counts = np.array([1000.0, 2000, 1500, 500, 4000])
    data, said = heard(monitored(tmp_path / "a.h5", place, reading, counts.reshape(shape)))
    name = place.rpartition("/")[2]
    assert data[name].dims == ("time",)
    np.testing.assert_array_equal(data[name], counts)
    assert not any(f"monitor {name}" in one for one in said)
    series = measure(data, [Roi("a", y=(2, 9), x=(2, 9))], correction=Correction(normalise=name)).compute()
    wanted = FRAMES[:, 2:9, 2:9].sum(axis=(1, 2)) * counts.mean() / counts
    np.testing.assert_allclose(series.intensity[:, 0], wanted, rtol=1e-6)


def test_a_monitor_that_does_not_fit_is_said(tmp_path):
    data, said = heard(monitored(tmp_path / "a.h5", "control", "integral", np.arange(7.0)))
    assert "control" not in data.coords
    (one,) = (text for text in said if "monitor control" in text)
    assert "has integral of the shape (7,), not one number per frame" in one
    data, said = heard(monitored(tmp_path / "b.h5", "control", "integral", 3.0))
    assert "control" not in data.coords
    assert not any("monitor control" in text for text in said)


def test_a_start_that_is_a_number_is_said(tmp_path):
    data, said = heard(detector(tmp_path / "a.h5", start=1_678_943_167.5, frame_time=(0.5, "s")))
    assert data.attrs["time_source"] == "frame"
    assert sum("start_time is the number 1678943167.5, which is no time that is known" in one for one in said) == 1


@pytest.mark.parametrize("unit", ["millisecond", b"ms", np.array(["ms"], dtype="S"), " MilliSeconds "])
def test_units_in_any_form(tmp_path, unit):
    path = detector(
        tmp_path / "a.h5", count_time=(240.0, unit), frame_time=(250.0, unit), x_pixel_size=(75.0, "micrometer"),
        y_pixel_size=(0.0075, "cm"), threshold_energy=(6.5, "KeV"), sensor_thickness=([0.45], "mm"),
    )  # fmt: skip
    data, said = heard(path)
    assert not said
    assert data.exposure_time.item() == 0.24
    assert data.attrs["exposure_period"] == 0.25
    assert (data.attrs["pixel_size_x"], data.attrs["pixel_size_y"]) == (75e-6, 75e-6)
    assert data.attrs["threshold_energy"] == 6500
    assert data.attrs["sensor_thickness"] == 450e-6
    np.testing.assert_allclose(np.diff(epoch_seconds(data.time)), 0.25, atol=1e-6)


BEAM = "entry/instrument/beam/incident_"


@pytest.mark.parametrize(
    ("place", "value", "unit", "wanted"),
    [
        (BEAM + "wavelength", 1.0332, "angstrom", 1.0332),
        (BEAM + "wavelength", [0.10332], "nm", 1.0332),
        (BEAM + "energy", 12.0, "keV", 1.0332016536),
        ("entry/sample/beam/incident_wavelength", 1.5, "Angstrom", 1.5),
        ("entry/instrument/monochromator/wavelength", np.full(5, 0.7), "A", 0.7),
        ("entry/instrument/detector/detectorSpecific/photon_energy", 12_398.419843320026, "eV", 1.0),
    ],
)
def test_the_wavelength_of_the_beam(tmp_path, place, value, unit, wanted):
    with h5py.File(detector(tmp_path / "a.h5", frame_time=(1.0, "s")), "r+") as file:
        file[place] = value
        file[place].attrs["units"] = unit
    data, said = heard(tmp_path / "a.h5")
    assert data.attrs["wavelength"] == pytest.approx(wanted, rel=1e-9)
    assert not said


def test_a_wavelength_goes_before_an_energy_and_one_that_cannot_be_used_is_said(tmp_path):
    with h5py.File(detector(tmp_path / "a.h5", frame_time=(1.0, "s")), "r+") as file:
        for name, value, unit in (("energy", 12.0, "keV"), ("wavelength", 1.1, "angstrom")):
            file[BEAM + name] = value
            file[BEAM + name].attrs["units"] = unit
    assert heard(tmp_path / "a.h5")[0].attrs["wavelength"] == 1.1
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file[BEAM + "wavelength"].attrs["units"]
    data, said = heard(tmp_path / "a.h5")
    assert data.attrs["wavelength"] == pytest.approx(1.0332016536)
    assert any("incident_wavelength = 1.1 has no unit; it is not used" in one for one in said)


def test_a_unit_that_is_missing_or_unknown_gives_no_value_and_is_said(tmp_path):
    path = detector(tmp_path / "a.h5", count_time=(3.0, "jiffies"), x_pixel_size=0.075, frame_time=(1.0, "s"))
    data, said = heard(path)
    assert "exposure_time" not in data.coords
    assert "pixel_size_x" not in data.attrs
    assert any("a.h5: count_time = 3 has the unit 'jiffies'" in one for one in said)
    assert any("a.h5: x_pixel_size = 0.075 has no unit" in one for one in said)
    assert "x_pixel_size = 0.075 has no unit" in str(survey(path, **WHERE))


def test_the_same_remark_on_many_files_is_said_once(tmp_path):
    for number in range(4):
        detector(
            tmp_path / f"s_{number}.h5", start=f"2023-03-04T05:0{number}:00", count_time=3.0, frame_time=(1.0, "s")
        )
    _, said = heard(tmp_path / "s_*.h5")
    assert [one for one in said if "count_time" in one] == [
        f"{tmp_path}/s_0.h5: count_time = 3 has no unit; it is not used (4 files in all)"
    ]


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 1, 1)])
def test_an_exposure_of_every_frame(tmp_path, shape):
    times = np.array([100, 200, 300, 300, 100.0])
    path = detector(tmp_path / "a.h5", count_time=(times.reshape(shape), "ms"), frame_time=(1.0, "s"))
    data, said = heard(path)
    assert not said
    np.testing.assert_allclose(data.exposure_time, times / 1000)
    assert data.exposure_time.dims == ("time",)


@pytest.mark.parametrize("value", [-1.0, 0.0, [0.2, 0.2, -0.2, 0.2, 0.2]])
def test_what_is_not_above_zero_is_no_exposure_period_or_size(tmp_path, value):
    """An exposure of -1 s was taken as it stands, with frames that end before they begin."""
    path = detector(tmp_path / "a.h5", count_time=(value, "s"), frame_time=(value, "s"), y_pixel_size=(value, "mm"))
    data, said = heard(path)
    assert not {"exposure_time", "time_bounds"} & set(data.coords)
    assert "pixel_size_y" not in data.attrs
    for name in ("count_time", "frame_time", "y_pixel_size"):
        assert any(f"{name} is not above zero; it is not used" in one for one in said)


def test_a_shape_that_fits_nothing_is_said(tmp_path):
    path = detector(tmp_path / "a.h5", count_time=(np.ones(4), "s"), frame_time=(1.0, "s"))
    data, said = heard(path)
    assert "exposure_time" not in data.coords
    assert any("count_time has the shape (4,)" in one for one in said)


def test_frame_times_that_change_add_up(tmp_path):
    path = detector(tmp_path / "a.h5", frame_time=(np.array([1.0, 1, 2, 4, 1]), "s"))
    data, _ = heard(path)
    assert (epoch_seconds(data.time) - epoch_seconds(data.time)[0]).tolist() == [0, 1, 2, 4, 8]
    assert "exposure_period" not in data.attrs


def test_the_start_of_one_frame_needs_no_period(tmp_path):
    for number in range(3):
        detector(
            tmp_path / f"x_{number:02d}.hdf5", frames=FRAMES[0], start=[f"Thu Mar  2 08:15:{30 + number} 2017".encode()]
        )
    data = open_measurement(tmp_path / "x_*.hdf5", tz="Europe/Berlin", instrument="generic")
    assert data.time.values[0] == np.datetime64("2017-03-02T07:15:30")
    assert np.diff(epoch_seconds(data.time)).tolist() == [1, 1]
    assert data.frame.values.tolist() == [0, 1, 2]


def test_a_start_without_a_period_is_said(tmp_path):
    _, said = heard(detector(tmp_path / "a.h5"))
    assert any("no frame_time says how far they are apart" in one for one in said)
    _, said = heard(detector(tmp_path / "b.h5", start="yesterday", frame_time=(1.0, "s")))
    assert any("start_time is 'yesterday', which is no time that is known" in one for one in said)


def test_numbers_that_the_detector_gave_show_lost_frames(tmp_path):
    path = detector(tmp_path / "a.h5", sequence_number=np.array([3, 4, 8, 9, 10]), frame_time=(1.0, "s"))
    assert open_measurement(path, **WHERE).frame.values.tolist() == [3, 4, 8, 9, 10]
    assert "missing 5 to 7" in str(survey(path, **WHERE))
    path = detector(tmp_path / "b.h5", sequence_number=np.zeros(5, "i4"), frame_time=(1.0, "s"))
    data, said = heard(path)
    assert data.frame.values.tolist() == [0, 1, 2, 3, 4]
    assert any("sequence_number does not number the frames" in one for one in said)


def test_parts_that_go_on_counting_are_one_scan_and_others_are_not(tmp_path):
    for part in range(2):
        moments = 1_700_000_000.0 + np.arange(5) + 5 * part
        numbers = np.arange(5) + 5 * part + 1
        detector(tmp_path / f"run_part{part:05d}.nxs", start="", sequence_number=numbers, timestamp=moments)
        detector(tmp_path / f"own_{part}.nxs", start="", sequence_number=np.arange(5) + 1, timestamp=moments)
    data = open_measurement(tmp_path / "run_*.nxs", **WHERE)
    assert data.frame.values.tolist() == list(range(1, 11))
    assert set(data.scan.values.tolist()) == {1}
    data = open_measurement(tmp_path / "own_*.nxs", **WHERE)
    assert data.frame.values.tolist() == [1, 2, 3, 4, 5] * 2
    assert data.scan.values.tolist() == [0] * 5 + [1] * 5


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_mask_with_or_without_an_axis_of_frames(tmp_path, count):
    mask = np.zeros((12, 16), "u4")
    mask[3, 4], mask[7, 8] = 1, 4
    stored = np.broadcast_to(mask, (count, 12, 16)) if count else mask
    path = detector(tmp_path / "a.h5", pixel_mask=stored, frame_time=(1.0, "s"))
    data, said = heard(path)
    assert not said
    np.testing.assert_array_equal(data.mask, mask != 0)
    np.testing.assert_array_equal(read_mask(path), mask != 0)
    np.testing.assert_array_equal(read_mask(path, bits=0b100), mask == 4)
    roi = Roi("A", y=(0, 12), x=(0, 16))
    found = measure(data, [roi], correction=Correction(mask=data.mask)).compute()
    assert found.intensity.values[:, 0].tolist() == FRAMES[:, mask == 0].sum(1).tolist()


def test_a_mask_that_changes_is_said_and_one_of_no_such_shape_too(tmp_path):
    masks = np.zeros((5, 12, 16), "u4")
    masks[0, 1, 1], masks[3, 2, 2] = 1, 1
    path = detector(tmp_path / "a.h5", pixel_mask=masks, frame_time=(1.0, "s"))
    data, said = heard(path)
    assert int(data.mask.sum()) == 2
    assert any("its pixel mask changes from frame to frame" in one for one in said)
    _, said = heard(detector(tmp_path / "b.h5", pixel_mask=np.zeros(4, "u4"), frame_time=(1.0, "s")))
    assert any("pixel_mask is no mask (y, x)" in one for one in said)
    columns = np.zeros((12, 16, 1), "u4")
    columns[3, 3] = 1
    data, said = heard(detector(tmp_path / "c.h5", pixel_mask=columns, frame_time=(1.0, "s")))
    assert "mask" not in data.coords
    assert said == [f"{tmp_path}/c.h5: its pixel mask of 16 x 1 does not fit frames of 12 x 16 and is not used"]


# -- several scans and detectors --------------------------------------------------------------------------------------


def bliss(path, scans=2, cameras=("eiger",)):
    with h5py.File(path, "w") as file:
        for number in range(1, scans + 1):
            entry = file.create_group(f"{number}.1")
            entry.attrs["NX_class"] = "NXentry"
            entry["start_time"] = f"2022-06-0{number}T10:00:00.000+02:00"
            for index, camera in enumerate(cameras):
                group = entry.create_group(f"instrument/{camera}")
                group.attrs["NX_class"] = "NXdetector"
                group["data"] = FRAMES + 100 * number + 1000 * index
                group["acq_parameters/acq_expo_time"] = 0.25 * number + index
                entry[f"measurement/{camera}"] = h5py.SoftLink(f"/{number}.1/instrument/{camera}/data")
            entry["measurement/epoch"] = 1_654_070_400.0 + 86_400 * (number - 1) + 0.3 * np.arange(5)
            entry["measurement/mon"] = np.arange(5.0) + 10 * number
    return path


def test_scans_of_bliss(tmp_path):
    one = open_measurement(bliss(tmp_path / "one.h5", scans=1), **WHERE)
    np.testing.assert_array_equal(one.image, FRAMES + 100)
    assert one.time.values[1] == np.datetime64("2022-06-01T08:00:00.300")
    assert one.exposure_time.item() == 0.25
    assert one.mon.values.tolist() == [10, 11, 12, 13, 14]
    path = bliss(tmp_path / "two.h5")
    with pytest.raises(LayoutError, match=r"1\.1/instrument/eiger/data, 2\.1/.*choose one with scan='1\.1' \(--scan\)"):
        open_measurement(path, **WHERE)
    for number in (1, 2):
        for data in (
            open_measurement(path, scan=f"{number}.1", **WHERE),
            xr.open_dataset(path, engine="xinsitu", scan=f"{number}.1", **WHERE),
        ):
            np.testing.assert_array_equal(data.image, FRAMES + 100 * number)
            assert data.exposure_time.item() == 0.25 * number
            assert data.mon.values[0] == 10 * number
            assert data.time.values[0] == np.datetime64(f"2022-06-0{number}T08:00:00")
            assert set(data.scan.values.tolist()) == {number}
            assert data.measurement.item() == f"two_{number}.1"
    with pytest.raises(LayoutError, match=r"no frames in scan '3\.1'; those with frames are 1\.1, 2\.1"):
        open_measurement(path, scan="3.1", **WHERE)


def test_one_of_two_cameras_with_what_belongs_to_it(tmp_path):
    path = bliss(tmp_path / "a.h5", scans=1, cameras=("basler", "eiger"))
    with pytest.raises(LayoutError, match=r"choose one with scan='1\.1/instrument/basler/data'"):
        open_measurement(path, **WHERE)
    with pytest.raises(LayoutError, match=r"scan '1\.1'.*choose one with scan='1\.1/instrument/basler/data'"):
        open_measurement(path, scan="1.1", **WHERE)
    for index, camera in enumerate(("basler", "eiger")):
        data = open_measurement(path, scan=f"1.1/instrument/{camera}/data", **WHERE)
        np.testing.assert_array_equal(data.image, FRAMES + 100 + 1000 * index)
        assert data.exposure_time.item() == 0.25 + index


def test_a_scan_is_chosen_in_hdf5_files_only(tmp_path):
    write_frames(tmp_path / "t", 2)
    with pytest.raises(LayoutError, match="chooses a scan in an HDF5 file"):
        open_measurement(tmp_path / "t", scan="1.1", **WHERE)
    with pytest.raises(LayoutError, match="scan is the name of a scan"):
        open_measurement(tmp_path / "t", scan=True, **WHERE)


# -- links ------------------------------------------------------------------------------------------------------------


def linking(path, target):
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/instrument/det")
        group.attrs["NX_class"] = "NXdetector"
        file["entry/instrument"].attrs["NX_class"] = "NXinstrument"
        group["data"] = h5py.ExternalLink(str(target), "there/data")
        group["frame_time"] = 2.0
        group["frame_time"].attrs["units"] = "s"
        file["entry/start_time"] = "2023-03-04T05:06:07"
    return path


def test_an_absolute_link_whose_file_was_copied_beside(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    with h5py.File(here / "det.h5", "w") as file:
        file["there/data"] = FRAMES
    path = linking(here / "scan.nxs", "/no/such/place/det.h5")
    data = open_measurement(path, **WHERE)
    np.testing.assert_array_equal(data.image, FRAMES)
    np.testing.assert_array_equal(data.image[2, 3:5], FRAMES[2, 3:5])
    assert data.attrs["exposure_period"] == 2.0
    # the file that HDF5 would take is there: it is not read, whatever lies beside
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with h5py.File(elsewhere / "det.h5", "w") as file:
        file["there/data"] = FRAMES + 1
    linking(here / "scan.nxs", elsewhere / "det.h5")
    with pytest.raises(FrameError, match=r"refers to another file .*one of this name lies beside it"):
        open_measurement(path, **WHERE)


def test_an_absolute_source_of_a_virtual_dataset(tmp_path):
    with h5py.File(tmp_path / "det.h5", "w") as file:
        file["d"] = FRAMES
    layout = h5py.VirtualLayout(FRAMES.shape, "i4")
    layout[:] = h5py.VirtualSource("/gone/away/det.h5", "d", FRAMES.shape)
    with h5py.File(tmp_path / "top.nxs", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    with h5py.File(tmp_path / "top.nxs") as file:
        truth = file["entry/data/data"][()]
    data = open_measurement(tmp_path / "top.nxs", time="frame", **WHERE)
    np.testing.assert_array_equal(data.image, truth)
    np.testing.assert_array_equal(truth, FRAMES)


def master(folder, pieces, there):
    for number in there:
        with h5py.File(folder / f"r_data_{number:06d}.h5", "w") as file:
            data = file.create_dataset("entry/data/data", data=(FRAMES + number).astype("u4"), chunks=(1, 12, 16))
            data.attrs["image_nr_low"], data.attrs["image_nr_high"] = 5 * number - 4, 5 * number
    with h5py.File(folder / "r_master.h5", "w") as file:
        for number in range(1, pieces + 1):
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(f"r_data_{number:06d}.h5", "entry/data/data")
        group = file.create_group("entry/instrument/detector")
        for name, value in (("count_time", 0.19), ("frame_time", 0.2)):
            group[name] = value
            group[name].attrs["units"] = "s"
        special = group.create_group("detectorSpecific")
        special["data_collection_date"] = "2023-03-04T05:06:07.250000+09:00"
        special["countrate_correction_count_cutoff"] = 46000
        special["pixel_mask"] = np.eye(12, 16, dtype="u4")
    return folder / "r_master.h5"


@pytest.mark.parametrize("on_error", ["raise", "skip", "nan"])
def test_the_master_of_a_run_that_was_stopped(tmp_path, on_error):
    path = master(tmp_path, pieces=5, there=(1, 2, 3))
    data, said = heard(path, on_error=on_error)
    np.testing.assert_array_equal(data.image, np.concatenate([FRAMES + 1, FRAMES + 2, FRAMES + 3]))
    assert data.frame.values.tolist() == list(range(15))
    assert data.time.values[14] == np.datetime64("2023-03-03T20:06:10.050")
    assert data.exposure_time.item() == 0.19
    assert data.attrs["count_cutoff"] == 46000
    np.testing.assert_array_equal(data.mask, np.eye(12, 16, dtype=bool))
    assert any("2 of 5 files that it links to are not there, r_data_000004.h5 first" in one for one in said)
    assert "2 of 5 files that it links to are not there" in str(survey(path, **WHERE))


def test_a_piece_that_is_missing_between_others_is_no_stopped_run(tmp_path):
    path = master(tmp_path, pieces=3, there=(1, 3))
    with pytest.raises(FrameError, match=r"data_000002 links to r_data_000002\.h5, which is not there") as refused:
        open_measurement(path, **WHERE)
    assert "on_error" not in str(refused.value)
    assert open_measurement(tmp_path / "r_data_*.h5", time="frame", **WHERE).frame.values.tolist() == [
        *range(5), *range(10, 15)
    ]  # fmt: skip
    for piece in tmp_path.glob("r_data_*"):
        piece.unlink()
    with pytest.raises(FrameError, match=r"data_000001 links to r_data_000001\.h5, which is not there"):
        open_measurement(path, **WHERE)


def over(path, names, there):
    """A virtual dataset over files of three frames each, as DAQ systems write it before the run."""
    layout = h5py.VirtualLayout((3 * len(names), 12, 16), "i4")
    for index, name in enumerate(names):
        layout[3 * index : 3 * index + 3] = h5py.VirtualSource(name, "d", (3, 12, 16))
        if index in there:
            with h5py.File(path.parent / name, "w") as file:
                file["d"] = FRAMES[:3] + 50 * index
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    return path


def test_frames_of_a_virtual_dataset_whose_files_never_came_are_missing_and_never_zeros(tmp_path):
    path = over(tmp_path / "run.nxs", ("p1.h5", "p2.h5", "p3.h5"), there=(0, 1))
    with pytest.raises(FrameError, match=r"frame 6 was never written.*on_error='skip' or 'nan'"):
        open_measurement(path, time="frame", **WHERE)
    with pytest.warns(UserWarning, match="left out, 3 of 9"):
        data = open_measurement(path, time="frame", on_error="skip", **WHERE)
    np.testing.assert_array_equal(data.image, np.concatenate([FRAMES[:3], FRAMES[:3] + 50]))
    data = open_measurement(path, time="frame", on_error="nan", **WHERE)
    np.testing.assert_array_equal(data.image[:6], np.concatenate([FRAMES[:3], FRAMES[:3] + 50]))
    assert np.isnan(data.image[6:].values).all()
    assert data.frame_status.values.tolist() == [0] * 6 + [1] * 3
    path = over(tmp_path / "top.nxs", ("q1.h5", "q2.h5"), there=(1,))
    with pytest.warns(UserWarning, match="left out, 3 of 6"):
        data = open_measurement(path, time="frame", on_error="skip", **WHERE)
    np.testing.assert_array_equal(data.image, FRAMES[:3] + 50)
    assert data.frame.values.tolist() == [3, 4, 5]
    path = over(tmp_path / "none.nxs", ("r1.h5",), there=())
    with pytest.raises(FrameError, match=r"none\.nxs: ") as refused:
        open_measurement(path, time="frame", on_error="skip", **WHERE)
    assert "goes on" not in str(refused.value)


def test_a_mask_whose_file_is_not_there_is_no_mask_of_good_pixels(tmp_path):
    path = over(tmp_path / "run.nxs", ("p1.h5", "p2.h5"), there=(0,))
    layout = h5py.VirtualLayout((12, 16), "u4")
    layout[:] = h5py.VirtualSource("p2.h5", "mask", (12, 16))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("entry/instrument/detector/pixel_mask", layout)
    with pytest.raises(FrameError, match=r"pixel_mask takes values from p2\.h5, which is not there"):
        open_measurement(path, time="frame", on_error="skip", **WHERE)


@pytest.mark.parametrize("unit", ["10^999 s", "1e306 ks", "1e999 s"])
def test_a_unit_that_is_no_number_is_said_and_not_used(tmp_path, unit):
    scan, said = heard(detector(tmp_path / "d.h5", count_time=(0.25, unit)))
    assert "exposure_time" not in scan.coords
    assert any("count_time" in text and "is not used" in text for text in said)


def test_a_value_that_its_unit_makes_infinite_is_said_and_not_used(tmp_path):
    scan, said = heard(detector(tmp_path / "d.h5", count_time=(1e305, "Ms")))
    assert "exposure_time" not in scan.coords
    assert any("count_time is no finite number" in text for text in said)
