"""Several HDF5 files that are one measurement; masks, links and damage in them."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from tests.helpers.camserver import aged, ramp
from xinsitu import Correction, Roi, measure, stitch, write_frames
from xinsitu.cli import main
from xinsitu.digits import counted
from xinsitu.errors import FrameChanged, FrameError, LayoutError, TimeError, XinsituWarning
from xinsitu.io.formats import hdf5_links
from xinsitu.io.measurement import open_flatfield, open_measurement, open_sample
from xinsitu.io.survey import survey
from xinsitu.schema import FrameStatus, epoch_seconds

TRUTH = np.stack([ramp(number) for number in range(12)])


def scan_file(
    path: Path, frames: np.ndarray, *, start: str = "2022-11-01T16:00:00+00:00", step: float = 0.5, **options
):
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=frames, **options)
        file["entry/start_time"] = start
        file["entry/instrument/detector/frame_time"] = step
        file["entry/instrument/detector/count_time"] = 0.4
        for name in ("frame_time", "count_time"):
            file[f"entry/instrument/detector/{name}"].attrs["units"] = "s"
    return path


@pytest.fixture
def scans(tmp_path):
    """Three scans of 4 frames, a minute apart, numbers 8, 9, 10: names sort wrongly as text."""
    for index, number in enumerate((8, 9, 10)):
        scan_file(
            tmp_path / f"i07-{number}.nxs", TRUTH[4 * index : 4 * index + 4], start=f"2022-11-01T16:0{index}:00+00:00"
        )
    return tmp_path


@pytest.mark.parametrize("how", ["pattern", "list"])
def test_scans_in_files_of_their_own_are_one_measurement(scans, how):
    names = [f"{scans}/i07-{number}.nxs" for number in (8, 9, 10)]
    path = {"pattern": f"{scans}/*.nxs", "list": names}[how]
    for data in (open_measurement(path), xr.open_dataset(path, engine="xinsitu", chunks={})):
        np.testing.assert_array_equal(data.image, TRUTH)
        np.testing.assert_array_equal(data.image[[11, 0, 5], 2:4, ::-3], TRUTH[[11, 0, 5], 2:4, ::-3])
        assert data.scan.values.tolist() == [8] * 4 + [9] * 4 + [10] * 4
        assert data.frame.values.tolist() == [0, 1, 2, 3] * 3
        seconds = epoch_seconds(data.time) - epoch_seconds(data.time)[0]
        assert seconds.tolist() == [60 * scan + 0.5 * frame for scan in range(3) for frame in range(4)]
        xr.testing.assert_identical(pickle.loads(pickle.dumps(data)), data)


def test_scans_in_a_list_are_joined_in_its_order(scans):
    names = [f"{scans}/i07-{number}.nxs" for number in (9, 8, 10)]
    with pytest.raises(TimeError, match="a list of files is opened in its own order") as refused:
        open_measurement(names)
    assert "newest" not in str(refused.value)
    data = open_measurement(names, order_error="ignore")
    np.testing.assert_array_equal(data.image, TRUTH[[4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11]])


def test_a_folder_of_scans_is_not_joined_unasked(scans):
    with pytest.raises(LayoutError, match=r"such as i07-8\.nxs, or join the scans of one measurement by a pattern"):
        open_measurement(scans)


def test_pieces_of_an_eiger_without_its_master(tmp_path):
    for number in (1, 2, 3):
        with h5py.File(tmp_path / f"run_data_{number:06d}.h5", "w") as file:
            file["entry/data/data"] = TRUTH[5 * number - 5 : 5 * number].astype("u4")
    data = open_measurement(tmp_path, time="frame")
    np.testing.assert_array_equal(data.image, TRUTH)
    assert data.image.dtype == np.uint32
    assert data.frame.values.tolist() == list(range(12))
    assert not (data.scan != 1).any()
    np.testing.assert_allclose(open_flatfield(tmp_path), TRUTH.mean(0) / TRUTH.mean(), rtol=1e-14)
    text = str(survey(tmp_path))
    assert "12 of 13 x 17 uint32" in text
    assert "0 to 11, none missing" in text
    (tmp_path / "run_data_000002.h5").unlink()
    left = open_measurement(tmp_path, time="frame")
    assert left.frame.values.tolist() == [0, 1, 2, 3, 4, 10, 11]  # what is missing stays a gap
    np.testing.assert_array_equal(left.image, TRUTH[left.frame])


def test_a_sample_whose_measurements_are_in_hdf5(tmp_path):
    for index in range(2):
        folder = tmp_path / "0884" / f"time{index + 1}"
        folder.mkdir(parents=True)
        scan_file(folder / "run_master.h5", TRUTH[6 * index : 6 * index + 6], start=f"2022-11-01T1{index}:00:00Z")
    tree = open_sample(tmp_path / "0884")
    assert list(tree.children) == ["time1", "time2"]
    np.testing.assert_array_equal(tree["time2"].image, TRUTH[6:])
    assert tree["time1"].attrs["source"] == "0884/time1"
    found = survey(tmp_path / "0884", tz="UTC")
    assert found.n_frames == 12
    assert found.fates == {"time1/run_master.h5": "ok", "time2/run_master.h5": "ok"}
    series = [measure(node.to_dataset(), [Roi("A", y=(2, 9), x=(3, 12))]) for node in tree.children.values()]
    assert stitch(series).sizes["time"] == 12


def test_an_eigers_own_numbers_are_kept(tmp_path):
    for number, low in ((1, 1), (2, 101)):
        with h5py.File(tmp_path / f"run_data_{number:06d}.h5", "w") as file:
            file["entry/data/data"] = TRUTH[:3]
            file["entry/data/data"].attrs["image_nr_low"] = low
    assert open_measurement(tmp_path, time="frame").frame.values.tolist() == [0, 1, 2, 100, 101, 102]
    with h5py.File(tmp_path / "run_master.h5", "w") as file:
        for number in (1, 2):
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(f"run_data_{number:06d}.h5", "/entry/data/data")
    data = open_measurement(tmp_path, time="frame")  # the folder's one master
    assert data.frame.values.tolist() == [0, 1, 2, 100, 101, 102]
    assert data.encoding["source"] == str(tmp_path)


def test_one_frame_per_file(tmp_path):
    for number in (3, 20, 100):
        scan_file(tmp_path / f"a_{number}.h5", TRUTH[number % 7 : number % 7 + 1])
    data = open_measurement(f"{tmp_path}/*.h5", time="frame")
    assert data.frame.values.tolist() == [3, 20, 100]
    np.testing.assert_array_equal(data.image, TRUTH[[3, 6, 2]])


BAD = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:1500]),
    "text": lambda path: path.write_text("no HDF5"),
    "other shape": lambda path: scan_file(path, TRUTH[:4, :-1]),
    "other dtype": lambda path: scan_file(path, TRUTH[:4].astype("f4")),
    "no frames": lambda path: scan_file(path, TRUTH[0, 0]),
    "gone link": lambda path: link(path, "gone.h5"),
    "link that leaves the folder": lambda path: link(path, "../secret.h5"),
}


def link(path, target):
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = h5py.ExternalLink(target, "/entry/data/data")


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.thorough(
    "0-empty",
    "1-cut",
    "1-text",
    "1-other shape",
    "1-other dtype",
    "2-no frames",
    "2-gone link",
    "1-link that leaves the folder",
)
def test_a_bad_file_is_named_or_left_out(scans, kind, where):
    names = [f"i07-{number}.nxs" for number in (8, 9, 10)]
    scan_file(scans.parent / "secret.h5", TRUTH)
    BAD[kind](scans / names[where])
    aged(scans / names[where])
    with pytest.raises(FrameError, match=names[where]) as caught:
        open_measurement(f"{scans}/*.nxs")
    assert "\n" not in str(caught.value)
    rest = [index for index in range(12) if index // 4 != where]
    for policy in ("skip", "nan"):
        with pytest.warns(XinsituWarning, match=rf"{names[where]}: .*left out, 1 of 3 files in all"):
            data = open_measurement(f"{scans}/*.nxs", on_error=policy)
        np.testing.assert_array_equal(data.image, TRUTH[rest])
        assert names[where] in data.attrs["frames_left_out"]
    found = survey(f"{scans}/*.nxs")
    assert found.n_frames == 8
    assert list(found.fates.values()).count("ok") == 2
    assert found.fates[names[where]] != "ok"


def test_two_measurements_are_not_mixed(tmp_path):
    scan = xr.Dataset({"image": (("time", "y", "x"), TRUTH[:3])}, {"time": np.arange(3), "frame": ("time", [0, 1, 2])})
    for name in ("time1.nc", "time2.nc"):
        scan.assign_coords(scan=("time", [1, 1, 1])).to_netcdf(tmp_path / name, engine="h5netcdf")
    with pytest.raises(LayoutError, match=r"time2\.nc: has scan 1, frame 0, and so has time1\.nc; .*stitch"):
        open_measurement(f"{tmp_path}/*.nc", time="frame")


# -- masks ------------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_pixel_mask_arrives_with_the_frames(tmp_path):
    path = scan_file(tmp_path / "a_1.h5", TRUTH[:3])
    bits = np.zeros((13, 17), "u4")
    bits[2, 3], bits[4, 5] = 1, 16
    with h5py.File(path, "a") as file:
        file["entry/instrument/detector/pixel_mask"] = bits
    data = open_measurement(path)
    assert data.mask.dims == ("y", "x")
    np.testing.assert_array_equal(data.mask, bits != 0)
    assert not data.isel(y=slice(3, None)).mask[:, 3].any()
    series = measure(data, [Roi("A", y=(0, 13), x=(0, 17))], correction=Correction(mask=data.mask)).compute()
    assert series.n_valid.values.ravel().tolist() == [13 * 17 - 2] * 3
    written = write_frames(data, tmp_path / "out.nc")
    np.testing.assert_array_equal(open_measurement(written).mask, bits != 0)
    with h5py.File(path, "a") as file:
        del file["entry/instrument/detector/pixel_mask"]
        file["entry/instrument/detector/pixel_mask"] = bits[:-1]
    with pytest.warns(XinsituWarning, match=r"a_1\.h5: its pixel mask of 12 x 17 does not fit"):
        assert "mask" not in open_measurement(path).coords


def test_an_eigers_mask_behind_a_link(tmp_path):
    with h5py.File(tmp_path / "calibration.h5", "w") as file:
        file["mask"] = np.eye(13, 17, dtype="u4")
    scan_file(tmp_path / "a_1.h5", TRUTH)
    with h5py.File(tmp_path / "a_1.h5", "a") as file:
        place = "entry/instrument/detector/detectorSpecific/pixel_mask"
        file[place] = h5py.ExternalLink("calibration.h5", "/mask")
    data = open_measurement(tmp_path / "a_1.h5")
    np.testing.assert_array_equal(data.mask, np.eye(13, 17, dtype=bool))


# -- dialects ---------------------------------------------------------------------------------------------------------


def test_nxmx_with_a_virtual_dataset_over_its_folder(tmp_path):
    """As Odin writes for an Eiger: data and metadata in files of their own, one file over them."""
    for index in range(3):
        with h5py.File(tmp_path / f"run_{index + 1:06d}.h5", "w") as file:
            file["data"] = TRUTH[4 * index : 4 * index + 4]
    with h5py.File(tmp_path / "run_meta.h5", "w") as file:
        file["mask"] = np.eye(13, 17, dtype="u4")
    layout = h5py.VirtualLayout((12, 13, 17), "i4")
    for index in range(3):
        layout[4 * index : 4 * index + 4] = h5py.VirtualSource(f"run_{index + 1:06d}.h5", "data", (4, 13, 17))
    path = tmp_path / "run.nxs"
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["start_time"] = "2024-03-01T10:00:00Z"
        entry.create_virtual_dataset("data/data", layout)
        detector = entry.create_group("instrument/eiger")
        detector.attrs["NX_class"] = "NXdetector"
        detector["frame_time"], detector["count_time"], detector["x_pixel_size"] = 0.01, 0.0099, 75e-6
        for name, unit in (("frame_time", "second"), ("count_time", "s"), ("x_pixel_size", "m")):
            detector[name].attrs["units"] = unit
        detector["saturation_value"] = 46000
        detector["pixel_mask"] = h5py.ExternalLink("run_meta.h5", "/mask")
    (tmp_path / "run_meta.h5").rename(tmp_path / "meta.h5")
    with pytest.raises(FrameError, match=r"run\.nxs: links to run_meta\.h5"):
        open_measurement(path)
    (tmp_path / "meta.h5").rename(tmp_path / "run_meta.h5")
    data = open_measurement(path)
    np.testing.assert_array_equal(data.image, TRUTH)
    assert data.attrs["count_cutoff"] == 46000
    assert data.attrs["pixel_size_x"] == 75e-6
    assert float(data.exposure_time) == 0.0099
    assert epoch_seconds(data.time)[[0, 11]].tolist() == pytest.approx([1_709_287_200, 1_709_287_200.11])
    np.testing.assert_array_equal(data.mask, np.eye(13, 17, dtype=bool))


def test_sources_that_are_too_short_are_never_zeros(tmp_path):
    """HDF5 gives the fill value where a source has fewer frames than the virtual dataset takes."""
    layout = h5py.VirtualLayout((4, 13, 17), "i4")
    layout[:] = h5py.VirtualSource("part.h5", "data", (4, 13, 17))
    with h5py.File(tmp_path / "run.nxs", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["data"] = TRUTH[:3]
    with pytest.raises(FrameError, match=r"run\.nxs: .* takes more from part\.h5 than the \(3, 13, 17\) that it has"):
        open_measurement(tmp_path / "run.nxs", time="frame")
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["other"] = TRUTH[:4]
    with pytest.raises(FrameError, match=r"run\.nxs: .* takes frames from part\.h5, which has no data"):
        open_measurement(tmp_path / "run.nxs", time="frame")
    with h5py.File(tmp_path / "run_master.h5", "w") as file:
        for name, target in (("data_000001", "/other"), ("data_000002", "/gone")):
            file[f"entry/data/{name}"] = h5py.ExternalLink("part.h5", target)
    with pytest.raises(FrameError, match=r"run_master\.h5: entry/data/data_000002 links to frames that are not there"):
        open_measurement(tmp_path / "run_master.h5", time="frame")


def test_a_lima_file(tmp_path):
    """One entry per acquisition, no default place; the stack stands once, links lead to it."""
    with h5py.File(tmp_path / "lima_0001.h5", "w") as file:
        entry = file.create_group("entry_0000")
        entry.attrs["NX_class"] = "NXentry"
        entry["start_time"] = "2023-05-04T10:11:12.500000+02:00"
        detector = entry.create_group("instrument/pilatus")
        detector.attrs["NX_class"] = "NXdetector"
        detector["data"] = TRUTH
        detector["frame_time"] = 1.0
        detector["frame_time"].attrs["units"] = "Seconds"
        entry["measurement/data"] = h5py.SoftLink("/entry_0000/instrument/pilatus/data")
    data = open_measurement(tmp_path / "lima_0001.h5")
    np.testing.assert_array_equal(data.image, TRUTH)
    assert epoch_seconds(data.time)[[0, 11]].tolist() == [1_683_187_872.5, 1_683_187_883.5]


def test_the_default_of_a_nexus_file_and_a_scan_over_two_axes(tmp_path):
    with h5py.File(tmp_path / "map_1.nxs", "w") as file:
        file.attrs["default"] = "scan"
        file["scan/other"], file["scan/plot/frames"] = TRUTH[::-1], TRUTH.reshape(3, 4, 13, 17)
        file["scan"].attrs["default"], file["scan/plot"].attrs["signal"] = "plot", "frames"
    data = open_measurement(tmp_path / "map_1.nxs", time="frame")
    np.testing.assert_array_equal(data.image, TRUTH)
    np.testing.assert_array_equal(data.image[[7, 2], 3:5], TRUTH[[7, 2], 3:5])


def test_a_clock_reading_of_every_frame(tmp_path):
    path = scan_file(tmp_path / "a_1.h5", TRUTH)
    moments = 1_683_187_872.25 + np.arange(12) * 1.5
    with h5py.File(path, "a") as file:
        file["entry/instrument/detector/timestamp"] = moments
    np.testing.assert_allclose(epoch_seconds(open_measurement(path).time), moments, rtol=0, atol=1e-6)


# -- damage that no header shows --------------------------------------------------------------------------------------


def damaged(path: Path, frame: int) -> None:
    """Overwrite the compressed bytes of one frame."""
    with h5py.File(path) as file:
        chunk = file["entry/data/data"].id.get_chunk_info(frame)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * min(64, chunk.size))


def test_a_damaged_chunk_is_found_by_a_check_and_nan_at_reading(tmp_path, capsys):
    path = scan_file(tmp_path / "a_1.h5", TRUTH, chunks=(1, 13, 17), compression="gzip")
    damaged(path, 4)
    rest = [index for index in range(12) if index != 4]
    data = open_measurement(path, chunks=None)
    np.testing.assert_array_equal(data.image[rest], TRUTH[rest])
    with pytest.raises(FrameError, match=r"a_1\.h5: its frames cannot be read"):
        data.image.load()
    kept = open_measurement(path, on_error="nan")
    with pytest.warns(XinsituWarning, match=r"1 of \d+ frames are NaN because they cannot be read"):
        image = kept.image.values
    assert np.isnan(image[4]).all()
    np.testing.assert_array_equal(image[rest], TRUTH[rest])
    assert survey(path).faults == ()
    (fault,) = survey(path, check=True).faults
    assert "1 frame is damaged, the first at position 4" in str(fault)
    assert main(["info", str(path), "--check", "--tz", "UTC"]) == 0
    assert "a_1.h5: unreadable, 1 frame is damaged" in capsys.readouterr().out


def test_a_scan_file_that_changes_is_never_stale(scans):
    data = open_measurement(f"{scans}/*.nxs")
    scan_file(scans / "i07-9.nxs", TRUTH[:4] + 1, start="2022-11-01T16:01:00+00:00")
    np.testing.assert_array_equal(data.image[:4], TRUTH[:4])
    with pytest.raises(FrameChanged, match=r"i07-9\.nxs"):
        data.image[4:6].compute()
    again = open_measurement(f"{scans}/*.nxs")
    assert again.image.data.name != data.image.data.name


@pytest.mark.parametrize("where", [0, 5, 10], ids=["first", "middle", "last"])
@pytest.mark.parametrize("layout", [{"chunks": (1, 13, 17)}, {"chunks": (2, 13, 9)}, {"chunks": (1, 4, 17)}], ids=str)
def test_frames_that_were_never_written_are_never_zeros(tmp_path, layout, where):
    """A run that was stopped: the file counts twelve frames, HDF5 gives zeros for those that it does not hold."""
    path = tmp_path / "run_1.h5"
    step = layout["chunks"][0]
    gone = [where // step * step + index for index in range(step)]
    rest = [index for index in range(12) if index not in gone]
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("entry/data/data", (12, 13, 17), "i4", **layout)
        for index in rest:
            dataset[index] = TRUTH[index]
    with pytest.raises(FrameError, match=rf"run_1\.h5: frame {gone[0]} was never written"):
        open_measurement(path, time="frame")
    with pytest.warns(XinsituWarning, match=rf"run_1\.h5: frame {gone[0]} was never written.*left out, {step} of 12"):
        skipped = open_measurement(path, time="frame", on_error="skip")
    assert skipped.frame.values.tolist() == rest
    np.testing.assert_array_equal(skipped.image, TRUTH[rest])
    np.testing.assert_array_equal(skipped.image[[-1, 0, 3], 2:5], TRUTH[rest][[-1, 0, 3], 2:5])
    kept = open_measurement(path, time="frame", on_error="nan")
    assert np.flatnonzero(kept.frame_status == FrameStatus.MISSING).tolist() == gone
    assert np.isnan(kept.image[gone]).all()
    np.testing.assert_array_equal(kept.image[rest], TRUTH[rest])
    assert f"{counted(step, 'frame was', 'frames were')} never written, or not yet" in str(survey(path))
    assert survey(path).n_frames == 12 - step


def test_a_stack_of_which_nothing_was_written(tmp_path):
    with h5py.File(tmp_path / "a_1.h5", "w") as file:
        file.create_dataset("entry/data/data", (12, 13, 17), "i4")
    for policy in ("raise", "skip", "nan"):
        with pytest.raises(FrameError, match=r"a_1\.h5: frame 0 was never written"):
            open_measurement(tmp_path, time="frame", on_error=policy)


def test_odd_files_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "a_1.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = h5py.SoftLink("/entry/data/data")
    with pytest.raises(FrameError, match=r"a_1\.h5: is no readable HDF5 file"):
        open_measurement(path, time="frame")
    scan_file(path, TRUTH)
    for asked in ({"fill_missing": True}, {"series": "newest"}):
        with pytest.raises(LayoutError, match="is for frames in files of their own, not in HDF5 files"):
            open_measurement(path, **asked)
    packed = xr.Dataset({"image": (("time", "y", "x"), TRUTH / 8)})
    encoding = {"image": {"dtype": "i4", "scale_factor": 0.125, "_FillValue": -1}}
    packed.to_netcdf(tmp_path / "packed.nc", engine="h5netcdf", encoding=encoding)
    with pytest.raises(FrameError, match=r"packed\.nc: /image is packed \(scale_factor, add_offset\)"):
        open_measurement(tmp_path / "packed.nc", time="frame")


@pytest.mark.parametrize(
    "units", ["days since 2014-05-28", "seconds since 2014-05-28T08:00:00", "hours since 1900-01-01"]
)
def test_times_of_netcdf_in_any_units(tmp_path, units):
    time = np.datetime64("2014-05-28T08:00:00", "ns") + np.arange(12) * np.timedelta64(90, "s")
    data = xr.Dataset({"image": (("time", "y", "x"), TRUTH)}, {"time": time})
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding={"time": {"units": units, "dtype": "f8"}})
    found = open_measurement(tmp_path / "a.nc")
    np.testing.assert_allclose(epoch_seconds(found.time), epoch_seconds(time), rtol=0, atol=1e-3)
    assert found.attrs["time_source"] == "netcdf:time"


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300, -1e20])
def test_times_that_are_none_are_not_invented(tmp_path, bad):
    time = np.arange(12) + 1.4e9
    time[5] = bad
    with h5py.File(tmp_path / "a_1.h5", "w") as file:
        file["image"], file["time"] = TRUTH, time
        file["time"].attrs["units"] = "seconds since 1970-01-01"
    scan_file(tmp_path / "b_1.h5", TRUTH, step=bad)
    with h5py.File(tmp_path / "c_1.h5", "w") as file:
        file["entry/data/data"] = TRUTH
        file["entry/instrument/NDAttributes/NDArrayTimeStamp"] = time
    os.utime(tmp_path / "c_1.h5", (1.4e9, 1.4e9))
    for name in ("a_1.h5", "b_1.h5", "c_1.h5"):
        said = pytest.warns(XinsituWarning, match="frame_time") if name == "b_1.h5" else contextlib.nullcontext()
        with said, pytest.warns(XinsituWarning, match="no frame has a time stamp"):
            assert open_measurement(tmp_path / name).attrs["time_source"] == "frame"


# -- what lies beside frames ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", ["pixel_mask", "flatfield", "data_errors", "weights"])
@pytest.mark.parametrize("frames", [1, 4])
def test_maps_of_the_shape_of_frames_are_no_second_stack(tmp_path, beside, frames):
    """In a detector of any name; one for all frames or one for each."""
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        group = file.create_group("scan7/instrument/merlin")
        group.attrs["NX_class"] = "NXdetector"
        group["counts"] = TRUTH[:4]
        group[beside] = np.zeros((frames, *TRUTH.shape[1:]), "uint32")
    data = open_measurement(tmp_path / "a.nxs", tz="UTC", instrument="generic", time="frame")
    np.testing.assert_array_equal(data.image, TRUTH[:4])


def test_a_file_of_nothing_but_such_a_map_is_opened_all_the_same(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["calibration/flatfield"] = TRUTH[:3]
    data = open_measurement(tmp_path / "a.h5", tz="UTC", instrument="generic", time="frame")
    np.testing.assert_array_equal(data.image, TRUTH[:3])


def test_a_file_of_many_groups_is_looked_through_once(tmp_path, monkeypatch, capsys):
    """By ``info``, which asks whose detector it is, what is linked, and what is in it; again once it has changed."""
    scan_file(tmp_path / "a.h5", TRUTH[:2])
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        for number in range(40):
            file[f"{number}.1/measurement/mon"] = np.arange(3.0)
    walks, looks = [], []
    walk, look = hdf5_links.links_of, hdf5_links.what_breaks
    monkeypatch.setattr(hdf5_links, "links_of", lambda file: walks.append(file.filename) or walk(file))
    monkeypatch.setattr(hdf5_links, "what_breaks", lambda path: looks.append(path) or look(path))
    assert main(["info", str(tmp_path / "a.h5")]) == 0
    assert (len(walks), len(looks)) == (1, 1)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["more"] = h5py.ExternalLink("../elsewhere.h5", "data")
    main(["info", str(tmp_path / "a.h5")])
    assert (len(walks), len(looks)) == (2, 2)
    said = capsys.readouterr()
    assert "refers to another file" in said.out + said.err
