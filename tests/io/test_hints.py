"""What an error advises is tried here on the very case that prints it; what it must not advise, too."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr
from fabio import fabioformats

from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.cli import main
from xinsitu.errors import FrameError, LayoutError, TimeError, XinsituWarning
from xinsitu.io.documents import write_rois
from xinsitu.io.measurement import measurements_of, open_measurement, open_sample
from xinsitu.io.survey import survey
from xinsitu.recipe.recipe_file import read_recipe, write_recipe
from xinsitu.values import Roi

WHERE = {"tz": "UTC", "instrument": "generic"}
FRAMES = np.stack([ramp(number) for number in range(6)])


def stack(path, frames=FRAMES[:3], start=0):
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = frames
        detector = file.create_group("entry/instrument/detector")
        detector["timestamp"] = 1_500_000_000.0 + start + np.arange(len(frames))
    return path


def refused(path, error=LayoutError, **options):
    with pytest.raises(error) as caught:
        open_measurement(path, **WHERE, **options)
    return str(caught.value)


def test_skip_and_nan_where_they_are_advised(tmp_path):
    write_frames(tmp_path, 3)
    (tmp_path / "0884_time_1_00001.tif").write_bytes(camserver_bytes(ramp(1), stamp_of(1))[:4500])
    aged(tmp_path / "0884_time_1_00001.tif")
    assert "on_error='skip' or 'nan'" in refused(tmp_path, FrameError)
    with pytest.warns(XinsituWarning, match="left out"):
        assert open_measurement(tmp_path, on_error="skip", **WHERE).sizes["time"] == 2
    assert open_measurement(tmp_path, on_error="nan", **WHERE).sizes["time"] == 3


@pytest.mark.parametrize("ending", ["tif", "h5"])
def test_they_are_not_advised_where_nothing_is_left(tmp_path, ending):
    path = tmp_path / f"a_1.{ending}"
    path.write_bytes(b"nothing of the kind")
    aged(path)
    for on_error in ("raise", "skip", "nan"):
        assert "goes on" not in refused(path, FrameError, on_error=on_error)


def test_a_bad_file_of_several(tmp_path):
    for number in range(3):
        stack(tmp_path / f"a_{number}.h5", start=10 * number)
    (tmp_path / "a_1.h5").write_bytes(b"nothing")
    aged(tmp_path / "a_1.h5")
    assert "on_error='skip' or 'nan'" in refused(tmp_path / "*.h5", FrameError)
    for on_error in ("skip", "nan"):
        with pytest.warns(XinsituWarning, match="left out"):
            assert open_measurement(tmp_path / "*.h5", on_error=on_error, **WHERE).sizes["time"] == 6


@pytest.mark.parametrize(
    "names",
    [
        ("a_1.nxs", "a_2.nxs"),
        ("i07-8.nxs", "i07-9.nxs", "calibration.h5"),
        ("a_1.nxs", "a_2.nxs", "b_7.nxs"),
        ("r_1_master.h5", "r_2_master.h5", "r_1_data_000001.h5", "r_2_data_000001.h5"),
    ],
)
def test_the_pattern_that_joins_the_scans_of_a_folder(tmp_path, names):
    for index, name in enumerate(names):
        stack(tmp_path / name, start=100 * index)
    said = refused(tmp_path)
    single = re.search(r"such as ([^,]+), or join", said)[1]
    assert open_measurement(tmp_path / single, **WHERE).sizes["time"] == 3
    pattern = re.search(r"by a pattern, such as (\S+)$", said)[1]
    assert open_measurement(tmp_path / pattern, **WHERE).sizes["time"] == 6
    with pytest.raises(LayoutError) as told:
        survey(tmp_path, **WHERE)
    assert str(told.value) == said  # info says the same


def test_no_pattern_is_advised_for_files_that_have_nothing_in_common(tmp_path):
    for name in ("first.h5", "second.nxs"):
        stack(tmp_path / name)
    said = refused(tmp_path)
    assert "by a pattern" not in said
    assert open_measurement(tmp_path / re.search(r"such as (\S+)$", said)[1], **WHERE).sizes["time"] == 3


def test_info_tells_what_opening_tells(tmp_path, capsys):
    (tmp_path / "plain").mkdir()
    for name in ("mean.tif", "dark.tif"):
        tifffile.imwrite(tmp_path / "plain" / name, FRAMES[0])
    said = refused(tmp_path / "plain")
    assert "of 2 files here none is a numbered frame" in said
    assert main(["info", str(tmp_path / "plain")]) == 1
    assert said in capsys.readouterr().err
    # the folders inside were looked at: opening them all is not advised
    with pytest.raises(LayoutError, match="no frames here or in the folders inside"):
        survey(tmp_path, **WHERE)


@pytest.mark.thorough("numpyimage")
@pytest.mark.parametrize("kind", ["dtrekimage", "bruker100image", "numpyimage"])
def test_frames_of_another_kind_are_converted_as_is_said(tmp_path, kind):
    writer = fabioformats.factory(kind)
    names = [f"m_{number}.{writer.DEFAULT_EXTENSIONS[0]}" for number in range(3)]
    for name, frame in zip(names, FRAMES, strict=False):
        fabioformats.factory(kind).__class__(data=frame, header={}).write(str(tmp_path / name))
    program, *options, files = re.search("'(fabio-convert [^']+)'", refused(tmp_path))[1].split()
    assert files == "FILES"
    subprocess.run([Path(sys.executable).parent / program, *options, *names], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(open_measurement(tmp_path, time="frame", **WHERE)["image"], FRAMES[:3])


def test_packed_frames_are_unpacked_as_is_said(tmp_path):
    write_frames(tmp_path, 2)
    for path in sorted(tmp_path.iterdir()):
        with gzip.open(f"{path}.gz", "wb") as packed:
            packed.write(path.read_bytes())
        path.unlink()
    (tmp_path / "notes.txt.gz").write_bytes(b"")
    name = re.search(r"unpack them first, such as (\S+)$", refused(tmp_path))[1]
    (tmp_path / name).with_suffix("").write_bytes(gzip.decompress((tmp_path / name).read_bytes()))
    assert open_measurement(tmp_path, **WHERE).sizes["time"] == 1


def test_nothing_is_advised_for_what_is_no_frame(tmp_path):
    for name in ("m_1.docx", "a.txt.gz", "m_2.png"):
        (tmp_path / name).write_bytes(b"")
    assert refused(tmp_path).endswith(".mccd)")


def test_a_folder_of_samples_says_which_folders_to_name(tmp_path):
    """What a beam time leaves: a folder of samples, with notes beside them."""
    (tmp_path / "0884" / "time1").mkdir(parents=True)
    write_frames(tmp_path / "0884" / "time1", 2)
    (tmp_path / "notes.txt").write_text("growth")
    with pytest.raises(LayoutError, match=r"in the folders inside, 0884; .* name one of these"):
        survey(tmp_path, **WHERE)


def test_a_sample_says_which_hdf5_files_it_did_not_join(tmp_path):
    for name in ("time1", "time2"):
        (tmp_path / name).mkdir()
    write_frames(tmp_path / "time1", 2)
    for number in (1, 2):
        stack(tmp_path / "time2" / f"a_{number}.nxs", start=100 * number)
    assert "not read  " in (text := str(survey(tmp_path, **WHERE)))
    assert "time2: no frames in files of their own; open the HDF5 file itself" in text
    with pytest.warns(XinsituWarning, match=r"left out: .*time2: no frames in files of their own"):
        assert list(open_sample(tmp_path, **WHERE).children) == ["time1"]
    with pytest.warns(XinsituWarning, match=r"left out: .*time2: no frames in files of their own"):
        assert measurements_of(tmp_path) == [tmp_path / "time1"]


def test_all_that_measure_a_sample_take_the_same_folders(tmp_path):
    """A recipe passed over folders whose frames are in HDF5, and none said what it could not open."""
    sample = tmp_path / "0912"
    for name in ("frames", "one_file", "two_files", "unnumbered"):
        (sample / name).mkdir(parents=True)
    write_frames(sample / "frames", 2)
    stack(sample / "one_file" / "scan.h5")
    for number in (1, 2):
        stack(sample / "two_files" / f"a_{number}.h5", start=100 * number)
    tifffile.imwrite(sample / "unnumbered" / "snapshot.tif", FRAMES[0], metadata=None)
    write_rois([Roi("A", (2, 9), (2, 9))], tmp_path / "r.json")
    write_recipe({"sample": "0912", "rois": "r.json", "output": {"result": "0912.nc"}}, tmp_path / "r.toml")
    ways = {
        "open_sample": lambda: list(open_sample(sample, **WHERE).children),
        "measure": lambda: [one.name for one in measurements_of(sample)],
        "run": lambda: [one.measurement.name for one in read_recipe(tmp_path / "r.toml").stitch.inputs],
    }
    for name, way in ways.items():
        with pytest.warns(XinsituWarning) as said:
            assert way() == ["frames", "one_file"], name
        texts = [str(one.message) for one in said]
        assert sum("left out: " in text and "two_files: " in text for text in texts) == 1, name
        assert sum("left out: " in text and "open a file itself, snapshot.tif" in text for text in texts) == 1, name


def test_series_by_name_and_lists_of_files(tmp_path):
    for name in ("a_7_x_{}.tif", "b_8_x_{}.tif"):
        for number in (1, 2):
            tifffile.imwrite(tmp_path / name.format(number), FRAMES[number], metadata=None)
    said = refused(tmp_path / "*_x_*.tif", time="frame")
    choice = re.search(r"choose one with series='([^']+)'", said)[1]
    assert open_measurement(tmp_path / "*_x_*.tif", time="frame", series=choice, **WHERE).sizes["time"] == 2
    assert "or give the files as a list, in the order that they have" in said
    given = [tmp_path / name for name in ("b_8_x_2.tif", "a_7_x_1.tif", "b_8_x_1.tif")]
    data = open_measurement(given, time="frame", **WHERE)
    np.testing.assert_array_equal(data.image, FRAMES[[2, 1, 1]])
    assert data.frame.values.tolist() == [0, 1, 2]
    chosen = open_measurement(given, time="frame", series="b_8_x", **WHERE)
    np.testing.assert_array_equal(chosen.image, FRAMES[[1, 2]])


def test_a_list_is_in_the_order_given_with_its_own_numbers_where_they_rise(tmp_path):
    for number in range(4):
        tifffile.imwrite(tmp_path / f"f_{number}.tif", FRAMES[number], metadata=None)
    paths = [tmp_path / f"f_{number}.tif" for number in range(4)]
    data = open_measurement([paths[1], paths[3]], time="frame", **WHERE)
    assert data.frame.values.tolist() == [1, 3]
    data = xr.open_dataset([str(paths[3]), str(paths[0])], engine="xinsitu", time="frame", **WHERE)
    np.testing.assert_array_equal(data.image, FRAMES[[3, 0]])
    assert data.frame.values.tolist() == [0, 1]


def test_what_helps_where_time_runs_backwards(tmp_path):
    write_frames(tmp_path / "t", 4)
    for number in (2, 3):
        earlier = stamp_of(number).replace(" 17:", " 16:")
        (tmp_path / "t" / f"0884_time_1_{number:05d}.tif").write_bytes(camserver_bytes(ramp(number), earlier))
    said = refused(tmp_path / "t", TimeError)
    assert "series='newest'" in said
    assert "order_error='ignore'" in said
    assert open_measurement(tmp_path / "t", series="newest", **WHERE).sizes["time"] == 2
    assert open_measurement(tmp_path / "t", order_error="ignore", **WHERE).sizes["time"] == 4
    for number in range(2):
        stack(tmp_path / f"a_{number}.h5", start=-100 * number)
    said = refused(tmp_path / "*.h5", TimeError)
    assert "newest" not in said
    assert open_measurement(tmp_path / "*.h5", order_error="ignore", **WHERE).sizes["time"] == 6


def test_no_stamps(tmp_path):
    tifffile.imwrite(tmp_path / "a_1.tif", FRAMES[0], metadata=None)
    assert "time='frame' numbers them instead" in refused(tmp_path, TimeError, time="stamp")
    assert open_measurement(tmp_path, time="frame", **WHERE).sizes["time"] == 1
    assert "give period= in seconds" in (said := refused(_stamped(tmp_path / "s"), TimeError, time="period")), said
    assert open_measurement(tmp_path / "s", time="period", period=1.0, **WHERE).attrs["time_source"] == "period"


def _stamped(folder):
    folder.mkdir()
    for number in range(3):
        tifffile.imwrite(folder / f"a_{number}.tif", FRAMES[0], datetime=stamp_of(number), metadata=None)
    return folder


# -- a sample by the engine, and odd names ----------------------------------------------------------------------------


@pytest.fixture
def sample(tmp_path):
    for name in ("time1", "time2", "test"):
        write_frames(tmp_path / "0884" / name, 3)
    return tmp_path / "0884"


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_sample_by_xarrays_own_function(sample, chunks):
    tree = xr.open_datatree(sample, engine="xinsitu", chunks=chunks, **WHERE)
    assert list(tree.children) == ["time1", "time2"]
    expected = open_sample(sample, **WHERE)
    xr.testing.assert_identical(tree["time2"].to_dataset(), expected["time2"].to_dataset())
    assert tree.attrs == expected.attrs
    assert (tree["time1/image"].chunks is None) == (chunks is None)
    assert list(xr.open_datatree(sample, engine="xinsitu", include="*", exclude="time*", **WHERE).children) == ["test"]
    assert set(xr.open_groups(sample, engine="xinsitu", **WHERE)) == {"/", "/time1", "/time2"}
    bare = xr.open_datatree(sample, engine="xinsitu", drop_variables="stamp", **WHERE)
    assert "stamp" not in bare["time1"].coords
    with pytest.raises(LayoutError, match="a sample is opened from its folder"):
        xr.open_datatree([str(sample)], engine="xinsitu")


def test_chunks_of_a_tree_are_named_after_their_content(sample):
    before = xr.open_datatree(sample, engine="xinsitu", chunks={}, **WHERE)
    path = sample / "time1" / "0884_time_1_00001.tif"
    keep = os.stat(sample / "time1").st_mtime_ns, os.stat(sample).st_mtime_ns
    path.write_bytes(camserver_bytes(ramp(5), stamp_of(1)))
    os.utime(path, (1_400_000_000, 1_400_000_000))
    after = xr.open_datatree(sample, engine="xinsitu", chunks={}, **WHERE)
    assert (os.stat(sample / "time1").st_mtime_ns, os.stat(sample).st_mtime_ns) == keep
    assert before["time1/image"].data.name != after["time1/image"].data.name
    assert before["time2/image"].data.name == after["time2/image"].data.name
    np.testing.assert_array_equal(after["time1/image"][1], ramp(5))


def test_folders_with_odd_digits_and_links_that_lead_round(tmp_path):
    for name in ("10²", "10", "time①", "９"):
        write_frames(tmp_path / "s" / name, 2)
    os.symlink("loop", tmp_path / "s" / "loop")
    os.symlink("loop", tmp_path / "s" / "10" / "0884_time_1_00009.log")
    assert set(open_sample(tmp_path / "s", **WHERE).children) == {"10²", "10", "time①", "９"}
    assert survey(tmp_path / "s", **WHERE).n_frames == 8
    assert open_measurement(tmp_path / "s" / "10²", **WHERE).measurement.item() == "10²"


def test_documents_with_a_mark_in_front(tmp_path):
    from xinsitu import Roi, read_rois, write_rois

    write_rois([Roi("A", y=(0, 3), x=(0, 4))], tmp_path / "r.json")
    (tmp_path / "m.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "r.json").read_bytes())
    assert read_rois(tmp_path / "m.json") == read_rois(tmp_path / "r.json")


def test_the_longest_names_of_folders(tmp_path, monkeypatch):
    from xinsitu.cli.shared import safe_name

    name = "測" * 80
    write_frames(tmp_path / "s" / name, 2)
    data = open_measurement(tmp_path / "s" / name, **WHERE)
    assert data.measurement.item() == name
    assert len(safe_name(f"{name}_{name}").encode()) <= 200
    write_frames(tmp_path / "l" / ("x" * 250), 2)
    monkeypatch.chdir(tmp_path)
    assert main(["parse", str(tmp_path / "l" / ("x" * 250)), "--tz", "UTC", "--median", "0"]) == 0
