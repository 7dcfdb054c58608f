"""What leaves the explorer makes the numbers on its screen again, bit for bit, whatever was set up in it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.app.serve import Explorer, explore
from xinsitu.app.state import export
from xinsitu.app.state.model import ExplorerModel
from xinsitu.cli import main
from xinsitu.errors import said_of
from xinsitu.recipe import Correcting, Reading
from xinsitu.recipe.rerun import differences
from xinsitu.simulate import Truth

OF_ONE = {"measurement", "remarks"}
"""What is another thing for a sample, or what there is for one measurement only."""
TOKYO = Reading(tz="Asia/Tokyo")
BACKGROUND = xi.Background(y=(70, 90), x=(150, 170), mode="subtract")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Panel and its parts, in threads that pytest does not own


@pytest.fixture
def start() -> Iterator[Callable[..., Explorer]]:
    with contextlib.ExitStack() as stack:

        def run(source: object, **options: object) -> Explorer:
            explorer = explore(source, browser=False, **options)
            stack.callback(explorer.stop)
            explorer.store.start()
            explorer.store.wait()
            explorer.model.numbers.measure_now()
            return explorer

        yield run


def again(model: ExplorerModel, folder: Path, names: dict[str, object]) -> dict[str, xr.Dataset]:
    """Run the script, and ``recipe.toml`` with the command; return what each has made."""
    made, stem = {}, export.name_of(model)
    with zipfile.ZipFile(BytesIO(export.recipe_zip(model))) as archive:
        archive.extractall(folder)
    before = os.getcwd()
    os.chdir(folder)
    try:
        exec(compile(export.script(model), "script", "exec"), names)
        made["script"] = xi.read_results(f"{stem}.nc").load()
        if (folder / "recipe.toml").exists():
            assert main(["run", "recipe.toml", "--force"]) == 0
            made["recipe"] = xi.read_results(f"{stem}.nc").load()
    finally:
        os.chdir(before)
    return made


def holds(
    explorer: Explorer, folder: Path, recipe: bool = True, without: tuple[str, ...] = (), **names: object
) -> xr.Dataset:
    """Hold that file, script and recipe give the numbers on the screen; return them."""
    model = explorer.model
    screen = export.result(model)
    (folder / "screen.nc").write_bytes(export.netcdf(model))
    assert differences(xi.read_results(folder / "screen.nc"), screen) == {}
    for roi in model.regions.rois.names:
        for name in ("intensity", "com_y", "com_x", "fwhm_y", "fwhm_x", "background"):
            np.testing.assert_array_equal(
                model.attenuation.shown(roi)[name].values, screen[name].sel(roi=roi).values, name
            )
    made = again(model, folder, dict(names))
    assert set(made) == ({"script", "recipe"} if recipe else {"script"})
    for way, result in made.items():
        found = differences(screen.drop_vars(without), result.drop_vars(without))
        if way == "recipe" and "segment" not in screen.variables:  # a recipe.toml always makes a sample
            found = {name: text for name, text in found.items() if name in set(screen.variables) - OF_ONE}
        assert found == {}, way
    return screen


def everything(model: ExplorerModel) -> None:
    """Set up what can be set up: moved, keyed, following and background ROIs, changes, events, axes."""
    model.regions.place("WZ", (70.2, 140.9), (214.0, 260.0))
    model.regions.set_background("WZ", ("BG",))
    model.view.frame = 5
    model.regions.selected = "CTR"
    model.regions.set_key_frame()
    model.view.frame = 50
    model.regions.place("CTR", (64.0, 152.0), (70.0, 146.0))
    model.numbers.measure_now()
    model.regions.selected = "ZB"
    model.numbers.follow_com()
    model.regions.add("intensity")
    model.regions.commit()
    model.numbers.measure_now()
    model.view.frame = 7
    model.logbook.add_event("In shutter open")
    model.view.frame = 30
    model.logbook.end_event(0)
    model.view.axis, model.curves.log_intensity = "local", True


class TestFolders:
    @pytest.mark.thorough
    def test_raw(self, start, experiment: Truth, tmp_path: Path):
        screen = holds(start(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO), tmp_path)
        scan = xi.open_measurement(experiment.folders["time1"], tz="Asia/Tokyo")
        assert differences(screen, xi.measure(scan, experiment.rois).compute()) == {}

    @pytest.mark.thorough
    def test_corrected_in_every_way(self, start, experiment: Truth, tmp_path: Path):
        mask = np.zeros((195, 487), "uint8")
        mask[90:93, 200:240] = 1
        np.save(tmp_path / "mask.npy", mask)
        correcting = Correcting(
            median=3, threshold=5.0, flatfield=experiment.folders["flatfield"], background=BACKGROUND,
            mask=tmp_path / "mask.npy",
        )  # fmt: skip
        explorer = start(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, correcting=correcting)
        with_mask = holds(explorer, tmp_path)["intensity"]
        explorer.model.view.corrected = False
        explorer.model.numbers.measure_now()
        assert not with_mask.equals(holds(explorer, tmp_path)["intensity"])

    @pytest.mark.thorough
    def test_normalised_by_a_counter(self, start, experiment: Truth, tmp_path: Path):
        scan = xi.open_measurement(experiment.folders["time1"], tz="Asia/Tokyo")
        counter = next(name for name in ("monitor", "Monitor", "I0", "ic0", "epoch") if name in scan.coords)
        correcting = Correcting(normalise=counter, flatfield=experiment.folders["flatfield"], flatfield_median=3)
        explorer = start(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, correcting=correcting)
        screen = holds(explorer, tmp_path)
        frames = xi.open_measurement(experiment.folders["flatfield"], tz="Asia/Tokyo")
        mean = xi.median(frames["image"], 3).mean("time", dtype="float64").compute()
        flat = mean / mean.mean()
        plain = xi.measure(scan, experiment.rois, correction=xi.Correction(flatfield=flat)).compute()
        reference = screen["intensity"] * scan[counter] / plain["intensity"]
        np.testing.assert_allclose(reference, reference[0, 0], rtol=1e-5)
        assert np.ptp(scan[counter].values) > 0

    @pytest.mark.slow
    def test_a_joined_sample_with_everything(self, start, experiment: Truth, tmp_path: Path):
        correcting = Correcting(median=3, flatfield=experiment.folders["flatfield"], background=BACKGROUND)
        explorer = start(experiment.folders["sample"], rois=experiment.rois, reading=TOKYO, correcting=correcting)
        model = explorer.model
        everything(model)
        model.attenuation.find_changes()
        while model.attenuation.proposals:
            model.attenuation.accept_change(0)
        assert model.attenuation.changes
        screen = holds(explorer, tmp_path)
        assert json.loads(screen.attrs["events"])[0]["name"] == "In shutter open"
        assert screen["roi_y0"].dims == ("time", "roi")

    @pytest.mark.thorough
    def test_a_single_measurement_with_events_and_moving_rois(self, start, experiment: Truth, tmp_path: Path):
        explorer = start(experiment.folders["time2"], rois=experiment.rois, reading=TOKYO)
        everything(explorer.model)
        screen = holds(explorer, tmp_path)
        assert [event["name"] for event in json.loads(screen.attrs["events"])] == ["In shutter open"]
        left = screen["roi_x0"].sel(roi="CTR").values
        assert left[5] != left[50]

    @pytest.mark.thorough
    def test_events_of_other_measurements_stop_nothing(self, start, experiment: Truth):
        """The file of events beside the frames is that of the whole sample."""
        explorer = start(experiment.folders["time2"], rois=experiment.rois, reading=TOKYO)
        theirs = xi.Event("growth", {"measurement": "time3", "frame": 4}, {"measurement": "time3", "frame": 9})
        explorer.model.logbook.events = (theirs, xi.Event("ours", {"measurement": "time2", "seconds": 3}))
        made = export.result(explorer.model)
        assert [event["name"] for event in json.loads(made.attrs["events"])] == ["ours"]
        assert export.netcdf(explorer.model).startswith(b"\x89HDF")
        files = export.recipe_files(explorer.model)
        assert [event["name"] for event in json.loads(files["events.json"])["events"]] == ["ours"]
        assert "growth" not in export.script(explorer.model)
        assert "growth" in explorer.model.logbook.events_text()  # what was loaded stays loaded

    @pytest.mark.thorough
    @pytest.mark.parametrize("fault", ["truncated", "unreadable"])
    def test_a_bad_frame_stops_neither_screen_nor_rerun(self, start, experiment: Truth, tmp_path: Path, fault: str):
        folder = tmp_path / "0884" / "time1"
        shutil.copytree(experiment.folders["time1"], folder)
        victim = sorted(folder.glob("*.tif"))[30]
        if fault == "truncated":
            victim.write_bytes(victim.read_bytes()[:50_000])
        else:
            victim.write_bytes(b"nonsense" * 100)
        os.utime(victim, (0, 0))  # long ago: nobody is writing it
        explorer = start(folder, rois=experiment.rois, reading=TOKYO)
        screen = holds(explorer, tmp_path)
        assert np.flatnonzero(np.isnan(screen["intensity"].sel(roi="WZ").values)).tolist() == [30]

    @pytest.mark.thorough
    def test_a_frame_that_goes_bad_while_it_is_shown(self, start, experiment: Truth, tmp_path: Path, monkeypatch):
        folder = tmp_path / "0884" / "time1"
        shutil.copytree(experiment.folders["time1"], folder)
        explorer = explore(folder, rois=experiment.rois, reading=TOKYO, browser=False)
        victim = sorted(folder.glob("*.tif"))[30]
        victim.write_bytes(victim.read_bytes()[:50_000])
        explorer.store.start()
        explorer.store.wait()
        explorer.model.numbers.measure_now()
        assert list(explorer.store.faults) == [30]
        screen = holds(explorer, tmp_path, without=("stamp", "frame_status"))  # these are as they were at opening
        explorer.stop()
        assert np.flatnonzero(np.isnan(screen["intensity"].sel(roi="WZ").values)).tolist() == [30]


class TestDatasets:
    @pytest.mark.thorough
    def test_as_a_notebook_has_it(self, start, experiment: Truth, tmp_path: Path):
        scan = xi.open_measurement(experiment.folders["time1"], tz="Asia/Tokyo")
        flat = xi.open_flatfield(experiment.folders["flatfield"], tz="Asia/Tokyo")
        correction = xi.Correction(median=3, flatfield=flat, background=BACKGROUND)
        explorer = start(scan, rois=experiment.rois, correction=correction)
        screen = holds(explorer, tmp_path)
        assert differences(screen, xi.measure(scan, experiment.rois, correction=correction).compute()) == {}

    @pytest.mark.thorough
    def test_through_the_engine_and_as_a_tree(self, start, experiment: Truth, tmp_path: Path):
        scan = xr.open_dataset(experiment.folders["time1"], engine="xinsitu", chunks={}, tz="Asia/Tokyo")
        one = holds(start(scan, rois=experiment.rois), tmp_path)
        tree = xi.open_sample(experiment.folders["sample"], tz="Asia/Tokyo")
        whole = holds(start(tree, rois=experiment.rois), tmp_path)
        assert whole.sizes["time"] > one.sizes["time"]
        np.testing.assert_array_equal(whole["intensity"].isel(time=slice(one.sizes["time"])), one["intensity"])

    @pytest.mark.thorough
    @pytest.mark.parametrize("change", ["later", "cropped", "corrected", "doubled", "in memory"])
    def test_frames_that_no_folder_holds_have_a_script_alone(self, start, experiment: Truth, tmp_path: Path, change):
        scan = xi.open_measurement(experiment.folders["time1"], tz="Asia/Tokyo")
        changed = {
            "later": lambda: scan.isel(time=slice(10, None)),
            "cropped": lambda: xi.crop(scan, y=(50, 160), x=(50, 400)),
            "corrected": lambda: xi.correct(scan, xi.Correction(median=3)),
            "doubled": lambda: scan.assign(image=(scan["image"] * 2).assign_attrs(scan["image"].attrs)),
            "in memory": scan.compute,
        }[change]()
        rois = [xi.Roi("WZ", y=(60, 150), x=(210, 270)), xi.Roi("TW", y=(60, 150), x=(300, 350))]
        screen = holds(start(changed, rois=xi.RoiSet(rois)), tmp_path, recipe=False, scan=changed)
        assert differences(screen, xi.measure(changed, rois).compute()) == {}

    @pytest.mark.thorough
    def test_a_flat_field_of_ones_own_is_named_in_the_script(self, start, experiment: Truth, tmp_path: Path):
        flat = xi.open_flatfield(experiment.folders["flatfield"], tz="Asia/Tokyo")
        for given in (flat * 1.25, flat.where(flat > 0.9, 1.0)):
            explorer = start(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, flatfield=given)
            assert "flatfield: the one that was given to explore()" in export.script(explorer.model)
            holds(explorer, tmp_path, recipe=False, flatfield=given)


@pytest.mark.parametrize("make", [export.netcdf, export.table, lambda model: export.figure(model, "png")])
def test_a_temporary_folder_that_takes_nothing_is_named(start, experiment: Truth, tmp_path: Path, monkeypatch, make):
    """Not the file in it, which nobody asked for."""
    explorer = start(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="") as caught:
            make(explorer.model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = f"a.nc: file too large, in the temporary folder {tmp_path}"
    assert said_of(caught.value, "a.nc") == said
    assert list(tmp_path.iterdir()) == []
