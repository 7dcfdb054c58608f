"""What a run may write: nothing that it reads, nothing twice, nothing among anybody's frames."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import camserver_bytes, ramp, stamp_of
from xinsitu.errors import LayoutError, ResultExists
from xinsitu.io import guard
from xinsitu.io.growing_results import GrowingResults
from xinsitu.io.guard import check_outputs, frames_in
from xinsitu.plots.report import save_report
from xinsitu.recipe.recipe_file import write_recipe


@pytest.fixture
def house(tmp_path):
    """Frames in two folders, a ROI file, a result, a folder of results."""
    for name in ("scan7", "white"):
        (tmp_path / name).mkdir()
        for number in range(3):
            path = tmp_path / name / f"{name}_{number:03d}.tif"
            path.write_bytes(camserver_bytes(ramp(number), stamp_of(number)))
    (tmp_path / "spots.json").write_text("{}")
    (tmp_path / "old.nc").write_text("old")
    (tmp_path / "results").mkdir()
    return tmp_path


def listing(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["scan7/x.nc", "white/x.png", "scan7/scan7_001.tif", "scan7/new/x.nc", "way/x.csv"])
def test_nothing_goes_among_frames_whoever_owns_them(house, name, overwrite):
    (house / "way").symlink_to(house / "white")
    before = listing(house)
    with pytest.raises(LayoutError, match="never written to"):
        check_outputs([house / name], overwrite=overwrite)
    with pytest.raises(LayoutError, match="never written to"):
        check_outputs([house / "results" / "fine.nc", house / name], frames=[house / "scan7"], overwrite=overwrite)
    assert listing(house) == before


@pytest.mark.parametrize(
    ("write", "name"),
    [(xi.write_results, "x.nc"), (xi.write_csv, "x.csv"), (xi.save_plot, "x.png"),
     (save_report, "x.html")],
    ids=["results", "csv", "plot", "report"],
)  # fmt: skip
def test_functions_write_nothing_among_frames_either(house, write, name):
    scan = xi.open_measurement(house / "scan7", tz="UTC")
    series = xi.measure(scan, xi.RoiSet([xi.Roi("WZ", y=(0, 3), x=(0, 4))])).compute()
    before = listing(house)
    for folder in ("scan7", "white"):
        with pytest.raises(LayoutError, match="never written to"):
            write(series, house / folder / name)
    assert listing(house) == before


@pytest.mark.parametrize("name", ["x.nc", "x.zarr", "x.json", "x.zip", "x.sav", "e.json", "c.json", "r.toml"])
def test_neither_frames_nor_documents_go_among_frames(house, name):
    scan, rois = xi.open_measurement(house / "scan7", tz="UTC"), xi.RoiSet([xi.Roi("WZ", y=(0, 3), x=(0, 4))])
    write = {
        "x.nc": lambda path: xi.write_frames(scan, path, overwrite=True),
        "x.zarr": lambda path: xi.write_frames(scan, path, overwrite=True),
        "e.json": lambda path: xi.write_events([xi.Event("open", "2014-05-28T08:00:00Z")], path, overwrite=True),
        "c.json": lambda path: xi.write_attenuation_changes([], path, overwrite=True),
        "r.toml": lambda path: write_recipe({"sample": "scan7"}, path, overwrite=True),
    }.get(name, lambda path: xi.write_rois(rois, path, overwrite=True))
    write(house / "results" / name)
    before = listing(house)
    for folder in ("scan7", "white"):
        with pytest.raises(LayoutError, match=f"{name}: lies in a folder that holds frames .*never written to"):
            write(house / folder / name)
    assert listing(house) == before


def test_not_below_the_frames_of_this_run_either(house):
    (house / "scan7" / "deep" / "er").mkdir(parents=True)
    check_outputs([house / "scan7" / "deep" / "er" / "x.nc"])  # a folder of its own, and nobody reads the one above
    with pytest.raises(LayoutError, match="its own frames"):
        check_outputs([house / "scan7" / "deep" / "er" / "x.nc"], frames=[house / "scan7"])


@pytest.mark.parametrize("way", ["itself", "through a folder's link", "hard link", "dots"])
def test_no_input_is_replaced_whatever_it_is_called(house, monkeypatch, way):
    monkeypatch.chdir(house)
    (house / "door").symlink_to(house)
    os.link(house / "spots.json", house / "results" / "copy.json")
    output = {
        "itself": house / "spots.json",
        "through a folder's link": house / "door" / "spots.json",
        "hard link": house / "results" / "copy.json",
        "dots": house / "results" / ".." / "spots.json",
    }[way]
    with pytest.raises(ResultExists, match="is read by this run"):
        check_outputs([output], inputs=["spots.json"], overwrite=True)
    check_outputs([house / "old.nc"], inputs=["spots.json"], overwrite=True)


def test_a_hard_link_to_a_frame_is_not_replaced(house):
    os.link(house / "scan7" / "scan7_002.tif", house / "results" / "a.nc")
    with pytest.raises(ResultExists, match=r"scan7_002\.tif"):
        check_outputs([house / "results" / "a.nc"], frames=[house / "scan7"], overwrite=True)
    pattern = house / "scan7" / "scan7_*.tif"
    with pytest.raises(ResultExists, match=r"scan7_002\.tif"):
        check_outputs([house / "results" / "a.nc"], frames=[pattern], overwrite=True)


@pytest.mark.parametrize("pair", [("a.nc", "a.nc"), ("a.nc", "A.NC"), ("results/../a.nc", "a.nc"), ("é.nc", "é.nc")])
def test_no_two_outputs_are_alike(house, pair):
    with pytest.raises(ResultExists, match="two outputs"):
        check_outputs([house / name for name in pair], overwrite=True)
    check_outputs([house / "a.nc", house / "results" / "a.nc", None])


@pytest.mark.parametrize("name", ["../x.nc", "inner/../../x.nc", "door/x.nc", "/tmp/x.nc"])
def test_a_recipe_writes_below_its_own_folder(house, name):
    base = house / "results"
    (base / "inner").mkdir()
    (base / "door").symlink_to(house)
    with pytest.raises(LayoutError, match="--outside"):
        check_outputs([base / name], below=base)
    check_outputs([base / "x.nc", base / "inner" / "x.nc"], below=base)


def test_an_existing_output_needs_to_be_asked_for(house):
    with pytest.raises(ResultExists, match="already exists"):
        check_outputs([house / "old.nc"])
    check_outputs([house / "old.nc"], overwrite=True)
    tifffile.imwrite(house / "results" / "picture.tif", np.zeros((3, 4), "u1"))
    with pytest.raises(ResultExists, match="never replaced"):
        check_outputs([house / "results" / "picture.tif"], overwrite=True)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        check_outputs([house / "nowhere" / "x.nc"])


def test_what_is_no_folder_of_frames(house):
    results = house / "results"
    tifffile.imwrite(results / "mask_2014.tif", np.zeros((13, 17), "u1"))
    for name in ("stack.nc", "stack.h5", "fig_1.png", "fig_2.png", "a_1.json", "a_2.json"):
        (results / name).write_bytes(b"")
    assert frames_in(results) is None
    assert frames_in(house) is None
    assert frames_in(house / "nowhere") is None
    check_outputs([results / "x.nc"])


def test_what_is_one(tmp_path):
    for kind, names in {"edf": ("a1.edf", "a2.edf"), "eiger": ("r_master.h5", "r_data_000001.h5")}.items():
        (tmp_path / kind).mkdir()
        for name in names:
            (tmp_path / kind / name).write_bytes(b"")
        assert frames_in(tmp_path / kind), kind
    tifffile.imwrite(tmp_path / "pages_1.tif", np.zeros((4, 13, 17), "u2"), photometric="minisblack")
    assert frames_in(tmp_path)


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("writer", ["results", "frames", "watch"])
def test_an_hdf5_file_of_another_program_is_never_replaced(tmp_path, writer, damaged):
    """The raw frames of another measurement are such a file, and so are those that are being corrected."""
    path = tmp_path / "scan_0002.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.arange(24, dtype="u2").reshape(2, 3, 4)
    if damaged:
        path.write_bytes(path.read_bytes()[:300])
    before = path.read_bytes()
    time = np.datetime64("2014-05-28", "ns") + np.arange(2) * np.timedelta64(1, "s")
    series = xr.Dataset({"intensity": (("time", "roi"), np.ones((2, 1)))}, {"time": time, "roi": ["A"]})
    frames = xr.Dataset({"image": (("time", "y", "x"), np.ones((2, 3, 4), "f4"))}, {"time": time})
    write = {
        "results": lambda: xi.write_results(series, path, overwrite=True),
        "frames": lambda: xi.write_frames(frames, path, overwrite=True),
        "watch": lambda: GrowingResults(path, source=tmp_path / "time3", overwrite=True),
    }[writer]
    with pytest.raises(ResultExists, match=r"scan_0002\.h5: is an HDF5 file that xinsitu did not write"):
        write()
    assert path.read_bytes() == before


@pytest.mark.parametrize("writer", ["results", "tree", "frames"])
def test_what_xinsitu_wrote_is_replaced_where_that_is_asked_for(tmp_path, writer):
    time = np.datetime64("2014-05-28", "ns") + np.arange(2) * np.timedelta64(1, "s")
    for value in (1.0, 2.0):
        series = xr.Dataset({"intensity": (("time", "roi"), np.full((2, 1), value))}, {"time": time, "roi": ["A"]})
        frames = xr.Dataset({"image": (("time", "y", "x"), np.full((2, 3, 4), value, "f4"))}, {"time": time})
        if writer == "frames":
            xi.write_frames(frames, tmp_path / "a.nc", overwrite=True)
        else:
            one = xr.DataTree.from_dict({"/time1": series}) if writer == "tree" else series
            xi.write_results(one, tmp_path / "a.nc", overwrite=True)
    group = {"frames": None, "results": None, "tree": "time1"}[writer]
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf", group=group) as there:
        assert (there["image" if writer == "frames" else "intensity"] == 2).all()


def test_two_frames_or_two_pages_are_a_measurement_and_one_picture_is_none(tmp_path):
    for name in ("two", "pages", "one"):
        (tmp_path / name).mkdir()
    frame = np.zeros((4, 5), "int32")
    tifffile.imwrite(tmp_path / "one" / "mask_1.tif", frame)
    tifffile.imwrite(tmp_path / "pages" / "run_1.tif", np.stack([frame, frame]))
    for number in (1, 2):
        tifffile.imwrite(tmp_path / "two" / f"run_{number}.tif", frame)
    assert frames_in(tmp_path / "one") is None
    assert frames_in(tmp_path / "two") is not None
    assert frames_in(tmp_path / "pages") is not None


def test_a_result_with_a_second_name_is_replaced_where_frames_are_files(tmp_path):
    """A hard link is looked for in folders of frames; a file of them is none."""
    frames, path = tmp_path / "f" / "run_1.h5", tmp_path / "a.csv"
    frames.parent.mkdir()
    frames.write_bytes(b"frames")
    path.write_text("before")
    os.link(path, tmp_path / "backup.csv")
    check_outputs([path], frames=[frames], overwrite=True)


def test_frames_whose_names_look_like_patterns_are_guarded_and_patterns_are_followed(tmp_path):
    for name in ("a[1].tif", "a1.tif", "b1.tif"):
        (tmp_path / name).write_bytes(camserver_bytes(ramp(1), stamp_of(1)))
    files = lambda name: [one.name for one in guard._files([tmp_path / name])]  # noqa: E731
    assert files("a[1].tif") == ["a[1].tif"]
    assert files("[b]1.tif") == ["b1.tif"]
    assert sorted(files("*.tif")) == ["a1.tif", "a[1].tif", "b1.tif"]
