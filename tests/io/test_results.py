"""Results on disk: whole or not at all, readable by everybody, the same after a round trip."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import dask.array as da
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xinsitu as xi
from xinsitu import schema
from xinsitu.defaults import frames_per_block
from xinsitu.errors import DocumentError, ResultExists, RoiError, SchemaError, XinsituWarning
from xinsitu.io import frame_files
from xinsitu.io.discover import sample_and_measurement
from xinsitu.io.disk import new_file
from xinsitu.io.documents import read_attenuation_changes, read_events, read_rois, write_rois
from xinsitu.io.frame_files import write_frames
from xinsitu.io.results import flags_of, holds_series, in_chunks, loaded, read_results, storable, write_results
from xinsitu.io.tables import to_dataframe, write_csv
from xinsitu.values import Roi


def series(frames: int = 5) -> xr.Dataset:
    """A ROI time series with 1 s stamps, one of them twice."""
    microseconds = 1_400_000_000_000_000 + 1_000_000 * np.array(
        [0, 1, 1, 2, 3, *range(4, 4 + max(0, frames - 5))][:frames]
    )
    shape = (frames, 2)
    values = np.arange(frames * 2, dtype="float64").reshape(shape)
    com = schema.describe(xr.DataArray(values, dims=("time", "roi")), "com_x", long_name="centre of mass along l")
    return xr.Dataset(
        {
            "intensity": schema.describe(xr.DataArray(values * 10, dims=("time", "roi")), "intensity"),
            "intensity_errors": schema.describe(xr.DataArray(values / 10, dims=("time", "roi")), "intensity_errors"),
            "com_x": com,
            "quality": schema.describe(xr.DataArray(np.zeros(shape, "int32"), dims=("time", "roi")), "quality"),
        },
        coords={
            "time": schema.time_from_microseconds(microseconds),
            "roi": ["WZ", "CTR"],
            "frame": ("time", np.arange(frames)),
            "measurement": "time1",
        },
        attrs={"time_zone": "Asia/Tokyo", "boxes": {"WZ": [0, 1]}, "nothing": None},
    )


def test_round_trip_is_identical(tmp_path: Path) -> None:
    path = write_results(series(), tmp_path / "a.nc", recipe={"command": "measure"})
    again = read_results(path)
    for name in series().variables:
        xr.testing.assert_equal(again[name], series()[name])
        assert again[name].dtype == series()[name].dtype or series()[name].dtype.kind == "U"
    assert json.loads(again.attrs["recipe"]) == {"command": "measure"}
    assert json.loads(again.attrs["boxes"]) == {"WZ": [0, 1]}
    assert again["intensity"].attrs["ancillary_variables"] == "intensity_errors quality"


def test_plain_h5py_and_xarray_open_it(tmp_path: Path) -> None:
    path = write_results(series(), tmp_path / "a.nc")
    with h5py.File(path) as file:
        assert file["time"].dtype == "float64"
        assert file["time"][0] == 1_400_000_000.0
        assert file["time"].attrs["units"] == "seconds since 1970-01-01"
        assert "_FillValue" not in file["time"].attrs
    with xr.open_dataset(path) as opened:
        assert opened["time"].values[0] == np.datetime64("2014-05-13T16:53:20")


@pytest.mark.thorough
@given(st.lists(st.integers(0, 4 * 10**15), min_size=1, max_size=20, unique=True).map(sorted))
def test_times_are_exact_to_the_microsecond(tmp_path_factory: pytest.TempPathFactory, microseconds: list[int]) -> None:
    time = schema.time_from_microseconds(microseconds)
    dataset = xr.Dataset({"a": ("time", np.arange(len(time)))}, coords={"time": time})
    path = write_results(dataset, tmp_path_factory.mktemp("t") / "a.nc")
    assert (read_results(path)["time"].values == time).all()


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = write_results(series(), tmp_path / "a.nc")
    before = path.read_bytes()
    with pytest.raises(ResultExists, match=r"a\.nc: already exists"):
        write_results(series(3), path)
    assert path.read_bytes() == before
    write_results(series(3), path, overwrite=True)
    assert read_results(path).sizes["time"] == 3


def test_two_writes_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (write_results(series(), tmp_path / name) for name in ("a.nc", "b.nc"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["s.csv", "s.json", "s.png"])
def test_a_result_is_not_called_what_it_is_not(tmp_path: Path, name: str) -> None:
    with pytest.raises(SchemaError, match=r"name it \.nc"):
        write_results(series(), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def fail() -> None:
        with new_file(tmp_path / "a", overwrite=True) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="space"):
        fail()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def write() -> None:
        with new_file(tmp_path / "a") as temporary:
            temporary.write_text("ours")
            (tmp_path / "a").write_text("theirs")

    with pytest.raises(ResultExists, match="meanwhile"):
        write()
    assert (tmp_path / "a").read_text() == "theirs"


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a.nc").symlink_to(tmp_path / "precious")
    with pytest.raises(ResultExists, match="no ordinary file"):
        write_results(series(), tmp_path / "a.nc", overwrite=True)
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("kind", ["external storage", "external link", "virtual", "text", "missing", "folder"])
def test_files_that_refer_elsewhere_are_refused(tmp_path: Path, kind: str) -> None:
    secret, path = tmp_path / "secret.txt", tmp_path / "a.nc"
    secret.write_bytes(b"secret!!")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["data"] = np.arange(4)
    if kind == "text":
        path.write_text("no HDF5")
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        with h5py.File(path, "w") as file:
            if kind == "external storage":
                file.create_dataset("time", (8,), "u1", external=[(str(secret), 0, 8)])
            elif kind == "external link":
                file["time"] = h5py.ExternalLink("other.h5", "/data")
            else:
                layout = h5py.VirtualLayout((4,), "i8")
                layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "data", shape=(4,))
                file.create_virtual_dataset("time", layout)
    with pytest.raises((SchemaError, FileNotFoundError), match=r"a\.nc"):
        read_results(path)


def test_a_tree_is_written_whole(tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict({"/time1": series(), "/time2": series(3)})
    path = write_results(tree, tmp_path / "sample.nc")
    with xr.open_datatree(path) as again:
        assert again["time2"].sizes["time"] == 3


# -- tables -----------------------------------------------------------------------------------------------------------


def test_wide_table_has_the_names_people_use() -> None:
    table = to_dataframe(series(), "wide")
    assert {"WZ_intensity", "CTR_com_l", "WZ_intensity_errors", "unix_time", "elapsed", "frame"} <= set(table.columns)
    assert table["CTR_com_l"].tolist() == series()["com_x"].sel(roi="CTR").values.tolist()
    assert table["unix_time"].iloc[0] == 1_400_000_000.0
    assert table["elapsed"].tolist() == [0, 1, 1, 2, 3]
    assert table.attrs["units"]["CTR_com_l"] == "pixel"


def test_long_table_keeps_every_row_of_repeated_stamps() -> None:
    table = to_dataframe(series())
    assert len(table) == 10
    assert table["roi"].tolist() == ["WZ", "CTR"] * 5
    assert table["frame"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    with pytest.raises(SchemaError, match="long or wide"):
        to_dataframe(series(), "tall")  # type: ignore[arg-type]


def test_csv_carries_units_and_no_formulas(tmp_path: Path) -> None:
    poisoned = series().assign_coords(measurement="=HYPERLINK(1)")
    path = write_csv(poisoned, tmp_path / "a.csv")
    table = pd.read_csv(path)
    assert "WZ_intensity [counts]" in table.columns
    assert table["measurement"].iloc[0] == "'=HYPERLINK(1)"
    assert table["time"].iloc[0] == "2014-05-13T16:53:20.000000Z"
    with pytest.raises(ResultExists):
        write_csv(poisoned, path)


# -- stacks of frames -------------------------------------------------------------------------------------------------


def frames(count: int = 23, chunk: int = 5) -> xr.Dataset:
    values = np.arange(count * 6 * 7, dtype="float32").reshape(count, 6, 7)
    return xr.Dataset(
        {
            "image": (
                ("time", "y", "x"),
                da.from_array(values, chunks=(chunk, -1, -1)),
                {"units": "1", "long_name": "frames"},
            )
        },
        coords={
            "time": schema.time_from_microseconds(np.arange(count) * 1_000_000),
            "y": ("y", np.arange(70, 76)),
            "x": ("x", np.arange(7)),
            "frame": ("time", np.arange(count)),
            "stamp": ("time", [f"stamp {n}" for n in range(count)]),
            "sample": "0884",
        },
        attrs={"time_zone": "Asia/Tokyo"},
    )


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_frames_are_written_as_they_are(tmp_path: Path, scheduler: str, compression: str | None) -> None:
    import dask

    with dask.config.set(scheduler=scheduler):
        path = write_frames(frames(), tmp_path / "a.nc", compression=compression, recipe={"command": "parse"})
    again = read_results(path)
    assert again["image"].chunks is not None
    xr.testing.assert_equal(again.load(), frames().load())
    assert again["image"].attrs["units"] == "1"
    with h5py.File(path) as file:
        assert file["image"].shape == (23, 6, 7)
        assert file["time"][:3].tolist() == [0, 1, 2]
        assert (file["image"][7] == frames()["image"].values[7]).all()


def test_netcdf4_reads_the_frames_too(tmp_path: Path) -> None:
    netcdf = pytest.importorskip("netCDF4")
    path = write_frames(frames(), tmp_path / "a.nc")
    with netcdf.Dataset(path) as file:
        assert file["image"].dimensions == ("time", "y", "x")
        assert (np.asarray(file["image"][:]) == frames()["image"].values).all()


def test_frames_of_xarray_without_dask_and_none_at_all(tmp_path: Path) -> None:
    xr.testing.assert_equal(read_results(write_frames(frames().load(), tmp_path / "a.nc")).load(), frames().load())
    empty = frames().isel(time=slice(0, 0))
    assert read_results(write_frames(empty, tmp_path / "b.nc")).sizes["time"] == 0


def test_a_failing_frame_leaves_no_file(tmp_path: Path) -> None:
    def broken(block: np.ndarray) -> np.ndarray:
        raise OSError("frame 7 is gone")

    measurement = frames()
    measurement["image"] = measurement["image"].copy(
        data=measurement["image"].data.map_blocks(broken, dtype="float32", meta=np.empty((0, 0, 0), "f4"))
    )
    with pytest.raises(OSError, match="frame 7 is gone"):
        write_frames(measurement, tmp_path / "a.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disc_is_noticed_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_files.shutil, "disk_usage", lambda _: SimpleNamespace(free=512))
    with pytest.raises(OSError, match=r"a\.nc: needs .* MiB left"):
        write_frames(frames(), tmp_path / "a.nc")
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys, numpy as np, xarray as xr, xinsitu as xi
series = xr.Dataset({"intensity": (("time", "roi"), np.full((500, 4), float(sys.argv[2])))}, {"time": np.arange(500)})
for _ in range(10):
    xi.write_results(series, sys.argv[1], overwrite=True)
"""


@pytest.mark.thorough
def test_two_writers_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), value]) for value in ("1", "2")]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert np.unique(read_results(path)["intensity"].values).size == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nc"]


# -- documents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not valid JSON"),
        ("[]", "needs the line"),
        ('{"format": "xinsitu-events", "version": 1}', "needs the line"),
        ('{"format": "xinsitu-rois", "version": 2, "rois": []}', "version 2"),
        ('{"format": "xinsitu-rois", "version": 1}', "no list 'rois'"),
        ('{"format": "xinsitu-rois", "version": 1, "rois": [{"name": "a"}]}', "lacks y, x"),
        (
            '{"format": "xinsitu-rois", "version": 1, "rois": [{"name": "a", "y": [0, 1e999], "x": [0, 1]}]}',
            "whole pixels",
        ),
        (
            '{"format": "xinsitu-rois", "version": 1, "rois": [{"name": "a", "y": [0, NaN], "x": [0, 1]}]}',
            "no JSON number",
        ),
        ("[" * 100_000, "nested"),
    ],
)
def test_a_bad_roi_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "rois.json"
    path.write_text(text)
    with pytest.raises((DocumentError, RoiError), match=says) as caught:
        read_rois(path)
    assert str(path) in str(caught.value)


def test_bytes_folders_and_lists_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "a.json"):
        with pytest.raises(DocumentError, match=str(path)):
            read_events(path)
    (tmp_path / "b.json").write_text('{"format": "xinsitu-attenuation", "version": 1, "changes": [{"before": "x"}]}')
    with pytest.raises(DocumentError, match=r"b\.json: .*lacks after"):
        read_attenuation_changes(tmp_path / "b.json")


def test_roi_files_are_not_overwritten_unasked(tmp_path: Path) -> None:
    write_rois([Roi("a", y=(0, 1), x=(0, 1))], tmp_path / "rois.json")
    with pytest.raises(ResultExists):
        write_rois([Roi("b", y=(0, 1), x=(0, 1))], tmp_path / "rois.json")
    assert read_rois(tmp_path / "rois.json").names == ("a",)


@pytest.mark.thorough
def test_results_are_written_under_a_cluster_of_processes(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    lazy = series().chunk({"time": 2})
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        Client(cluster),
    ):
        path = write_results(lazy, tmp_path / "lazy.nc")
        write_results(lazy.compute(), tmp_path / "computed.nc")
    assert path.read_bytes() == (tmp_path / "computed.nc").read_bytes()


def test_a_tree_says_how_it_is_opened(tmp_path: Path) -> None:
    path = write_results(xr.DataTree.from_dict({"/time1": series()}), tmp_path / "tree.nc")
    with pytest.raises(SchemaError, match=r"several measurements \(time1\); open it with xr\.open_datatree"):
        read_results(path)


@pytest.mark.parametrize("text", ["{", "[1]", "7", "null", '"WZ"', "[" * 100_000])
@pytest.mark.parametrize("name", ["rois", "recipe", "correction", "events", "sources"])
@pytest.mark.thorough("rois-[1]", "recipe-{", "events-null", "sources-7")
def test_attributes_that_make_no_sense_are_left_out_and_named(tmp_path: Path, name: str, text: str) -> None:
    path = write_results(
        series().assign_attrs(rois='{"rois": []}', events='[{"name": "open"}]', sources='["a"]'), tmp_path / "a.nc"
    )
    with h5py.File(path, "r+") as file:
        file.attrs[name] = text
    with pytest.warns(XinsituWarning, match=rf"a\.nc: {name} of its attributes make no sense"):
        read = read_results(path)
    assert name not in read.attrs
    assert {"rois", "events", "sources"} - {name} <= read.attrs.keys()
    np.testing.assert_array_equal(read.com_x, series().com_x)


@pytest.mark.parametrize("text", ["{", "[]", '{"changes": []}'])
def test_a_result_that_hides_how_it_was_scaled_is_refused(tmp_path: Path, text: str) -> None:
    """Left out, it would be corrected a second time."""
    path = write_results(series(), tmp_path / "a.nc")
    with h5py.File(path, "r+") as file:
        file.attrs["attenuation"] = text
    with pytest.raises(SchemaError, match=r"a\.nc: its attribute 'attenuation' does not say"):
        read_results(path)


def test_flags_are_told_but_those_of_which_remarks_speak() -> None:
    flag = schema.Quality
    values = np.array([[flag.SATURATED | flag.FRAME_FAULT, 0], [flag.ZERO_BACKGROUND, flag.FRAME_FAULT]], "int32")
    quality = xr.DataArray(values, dims=("time", "roi"), coords={"roi": ["WZ", "TW"]})
    results = xr.Dataset({"quality": quality})
    saturated, fault, dark = "saturated: WZ in 1", "frame_fault: WZ in 1, TW in 1", "zero_background: WZ in 1"
    assert flags_of(results) == [f"{one} of 2 frames" for one in (saturated, fault, dark)]
    assert flags_of(results.transpose()) == flags_of(results)
    told = results.assign_coords(remarks="2 of 2 frames are NaN")
    assert flags_of(told) == [f"{saturated} of 2 frames"]
    assert flags_of(results.isel(roi=0)) == flags_of(xr.Dataset()) == []


@pytest.mark.parametrize("form", ["NETCDF3_64BIT", "NETCDF3_CLASSIC"])
def test_a_netcdf_3_file_is_refused_with_the_line_that_converts_it(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    time = np.datetime64("2019-03-02", "ns") + np.arange(4) * np.timedelta64(1, "s")
    counts = np.random.default_rng(2).poisson(30, (4, 12, 15)).astype("int32")
    frames = xr.Dataset({"image": (("time", "y", "x"), counts, {"units": "counts"})}, {"time": time})
    frames.to_netcdf("f.nc", engine="scipy", format=form)
    for read in (xi.open_measurement, xi.read_results):
        with pytest.raises(xi.XinsituError, match="is netCDF-3, only netCDF-4 is read; convert it: ") as caught:
            read("f.nc")
    line = str(caught.value).split("convert it: ")[1].split(", or nccopy")[0]
    exec(line, {"xarray": xr})  # what it advises is true
    np.testing.assert_array_equal(xi.open_measurement("f_4.nc").image.values, counts)


@pytest.mark.parametrize("ending", [".nc", ".csv"])
def test_names_in_another_encoding_are_kept_as_escapes(tmp_path, ending):
    folder = b"/data/K\xfchl/zeit\xe4".decode("utf-8", "surrogateescape")
    name = sample_and_measurement(folder)[1]
    assert name == "zeit\\udce4"
    data = series().assign_coords(measurement=name).assign_attrs(source=folder, files=[folder])
    if ending == ".csv":
        write_csv(data, tmp_path / "a.csv")
        assert name in (tmp_path / "a.csv").read_text()
        return
    found = read_results(write_results(data, tmp_path / "a.nc", recipe={"measurement": folder}))
    assert json.loads(found.attrs["recipe"])["measurement"] == folder  # leads to the frames still
    assert json.loads(found.attrs["files"]) == [folder]
    assert (found.measurement.item(), found.attrs["source"]) == (name, "/data/K\\udcfchl/zeit\\udce4")


def test_only_series_of_rois_are_series():
    """Neither frames nor fits, nor what has one of the two dimensions."""
    series = xr.Dataset({"intensity": (("time", "roi"), np.ones((2, 1)))})
    assert holds_series(series)
    assert not holds_series(series.assign(quality_y=(("time", "roi"), np.zeros((2, 1)))))
    assert not holds_series(xr.Dataset({"image": (("time", "y", "x"), np.ones((2, 1, 1)))}))
    assert not holds_series(series.isel(roi=0))
    assert not holds_series(series.isel(time=0))


def test_coordinates_have_no_fill_value_and_data_may():
    """CF 2.5.1: coordinates have no missing values; text and numbers of data are left to the writer."""
    data = xr.Dataset(
        {"a": ("time", [1.0, np.nan]), "n": ("time", [1, 2]), "text": ("time", ["a", "b"])},
        {
            "time": schema.time_from_microseconds([0, 1]),
            "l": ("time", [0.5, 1.0]),
            "roi": "WZ",
            "good": ("time", [True, False]),
        },
    )
    found = {str(name): one.encoding for name, one in storable(data).variables.items()}
    assert found.pop("time") == schema.TIME_ENCODING
    nothing = {"_FillValue": None}
    assert found == {"a": {}, "n": {}, "text": {}, "l": nothing, "roi": {}, "good": nothing}


def test_frames_are_cut_into_chunks_of_whole_ones():
    image = xr.DataArray(np.zeros((600, 100, 200), "int32"), dims=("time", "y", "x"))
    wanted = frames_per_block(4 * 100 * 200)
    assert 1 < wanted < 600
    assert in_chunks(image).chunksizes["time"][0] == wanted
    assert in_chunks(image).chunksizes["y"] == (100,)


@pytest.mark.parametrize("wrong", [xr.DataArray([1.0], dims="time"), None, "0884.nc", {"time": [1]}])
def test_what_is_no_result_is_refused_as_such(tmp_path, wrong):
    with pytest.raises(SchemaError):
        loaded(wrong)


def test_remarks_of_a_result_are_said_when_it_is_read(tmp_path):
    series = xr.Dataset({"intensity": (("time", "roi"), np.ones((4, 1)))}, {"roi": ["WZ"], "remarks": "one\ntwo"})
    path = write_results(series, tmp_path / "a.nc")
    with pytest.warns(XinsituWarning) as caught:
        read_results(path)
    assert [str(one.message) for one in caught] == [f"{path}: one", f"{path}: two"]


def test_names_in_a_recipe_are_written_as_they_are(tmp_path):
    series = xr.Dataset({"intensity": (("time", "roi"), np.ones((4, 1)))}, {"roi": ["WZ"]})
    path = write_results(series, tmp_path / "a.nc", recipe={"measurement": "Kühlen"})
    with h5py.File(path) as file:
        assert file.attrs["recipe"] == '{"measurement": "Kühlen"}'


@pytest.mark.parametrize("value", [True, np.True_])
def test_yes_and_no_are_numbers_in_a_file(value):
    """HDF5 has no such type, and what h5py makes of it no other reader knows."""
    found = storable(xr.Dataset(attrs={"done": value})).attrs["done"]
    assert (found, type(found)) == (1, int)


def test_attributes_of_every_kind_become_what_netcdf_holds():
    """Numbers in lists and tables are kept as JSON, whatever NumPy made of them; what is nothing is left out."""
    from xinsitu.io.results import storable

    given = {
        "yes": np.True_, "number": np.float64(2.5), "count": np.int32(3), "row": np.array([1, 2]), "text": "ä",
        "table": np.array([[1, 2], [3, 4]]), "texts": np.array(["a", "b"]), "nothing": None, "path": Path("a/b"),
        "mixed": {"row": np.array([1.5, 2.5]), "one": np.float64(0.5), "roi": xi.Roi("a", (0, 2), (1, 3)), "n": None},
    }  # fmt: skip
    found = storable(xr.Dataset({"a": ("x", [1.0], given)}, attrs=given))
    for attrs in (found.attrs, found.a.attrs):
        assert {"yes": 1, "number": 2.5, "count": 3, "text": "ä"}.items() <= attrs.items()
        assert [type(attrs[name]) for name in ("yes", "count")] == [int, int]
        assert attrs["row"].tolist() == [1, 2]
        assert json.loads(attrs["table"]) == [[1, 2], [3, 4]]
        assert json.loads(attrs["texts"]) == ["a", "b"]
        assert json.loads(attrs["path"]) == "a/b"
        mixed = json.loads(attrs["mixed"])
        assert (mixed["row"], mixed["one"], mixed["n"]) == ([1.5, 2.5], 0.5, None)
        assert mixed["roi"]["name"] == "a"
        assert "nothing" not in attrs


@pytest.mark.parametrize("name", ["time", "intensity", "com_x", "quality", "frame", "/entry/com_x/WZ"])
def test_a_byte_that_the_disc_gives_back_otherwise_is_an_error_and_no_other_number(tmp_path: Path, name: str) -> None:
    path = write_results(series(), tmp_path / "s.nc")
    with h5py.File(path) as file:
        numbers = file[name][:]
        place = file[name].id.get_chunk_info(0)
    blob = bytearray(path.read_bytes())
    assert bytes(blob[place.byte_offset :][: numbers.nbytes]) == numbers.tobytes()
    blob[place.byte_offset + 3] ^= 16
    path.write_bytes(blob)
    with h5py.File(path) as file, pytest.raises(OSError, match="read data"):
        file[name][:]
    if name.startswith("/"):
        return  # what other programs plot
    with pytest.raises(SchemaError, match=r"s\.nc: is damaged: its bytes are not those that were written"):
        read_results(path)


@pytest.mark.thorough
def test_a_damaged_byte_anywhere_is_one_sentence_or_loses_no_number(tmp_path: Path) -> None:
    """Texts have no check sum; where the parts of a dataset are is not summed either, and then its values are gaps."""
    path = write_results(series(), tmp_path / "s.nc", recipe={"command": "measure"})
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    expected, said = read_results(path), []
    for place in rng.integers(len(whole), size=100).tolist():
        blob = bytearray(whole)
        blob[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(blob)
        try:
            found = read_results(path)
        except SchemaError as fault:
            said.append(str(fault))
            continue
        for name in expected.variables.keys() & found.variables.keys():
            one, other = expected[name].values, found[name].values
            assert one.dtype.kind in "OU" or (other == one).all() or pd.isna(other).all(), (place, name)
    assert 20 < len(said) < 80
    assert all(one.startswith(f"{path}: ") and "NoneType" not in one for one in said)


def test_texts_of_lists_and_tables_are_written_as_they_are(tmp_path: Path) -> None:
    series = xr.Dataset({"a": ("time", np.zeros(2))}, {"time": [0, 1]}, {"told": {"Ä": ["Probe №5"]}})
    path = xi.write_results(series, tmp_path / "a.nc")
    with h5py.File(path) as file:
        assert file.attrs["told"] == '{"Ä": ["Probe №5"]}'
