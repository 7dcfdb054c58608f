"""All behaviour of the explorer, without a browser: frames, ROIs, numbers, changes, files, code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import zipfile
from io import BytesIO
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.app.data.memory import LARGE
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.data.tiles import Blocks
from xinsitu.app.page.hands import pressed
from xinsitu.app.state import export, measuring
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.roi_edits import snapped, typed
from xinsitu.physics import blocks, stored
from xinsitu.physics.stored import IN_CACHE
from xinsitu.recipe import Correcting, Reading
from xinsitu.recipe.rerun import differences
from xinsitu.values import Roi, RoiSet

TOKYO = Reading(tz="Asia/Tokyo")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("explorer"), measurements=3, frames=40)


@pytest.fixture
def make(truth):
    stores = []

    def build(which="sample", *, correcting=Correcting(), rois=truth.rois, **options):  # noqa: B008
        source = open_source(truth.folders[which], reading=TOKYO, correcting=correcting)
        store = FrameStore(source, **options)
        stores.append(store)
        store.start()
        store.wait()
        correction = correcting.correction(TOKYO) if correcting != Correcting() else None
        return ExplorerModel(store, rois=rois, correction=correction)

    yield build
    for store in stores:
        store.release()


@pytest.mark.thorough
def test_importing_the_model_loads_no_gui():
    code = "import sys, xinsitu.app.state.model; print({'panel', 'bokeh', 'holoviews'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class TestNumbers:
    @pytest.mark.thorough
    def test_what_is_shown_is_what_measure_gives(self, make, truth):
        model = make("time1")
        model.numbers.measure_now()
        scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo")
        expected = xi.measure(scan, truth.rois).compute()
        for name in truth.rois.names:
            shown = model.numbers.of(name)
            for variable in ("intensity", "com_x", "fwhm_y", "quality", "intensity_errors"):
                np.testing.assert_array_equal(shown[variable].values, expected[variable].sel(roi=name).values)
        xr.testing.assert_equal(model.numbers.series.drop_vars("time"), expected.drop_vars("time"))

    @pytest.mark.parametrize("memory", [2**30, 1], ids=["memory", "tiled"])
    def test_frames_that_are_held_are_measured_without_tasks(self, make, computes, memory):
        """A hand that drags waits for nobody to be told; the numbers are those of the library."""
        model = make("time1", memory=memory)
        model.numbers.measure_now()
        model.regions.place("WZ", (70, 110), (200, 240))
        with computes(0):
            model.numbers.measure_now()
        expected = model.numbers.series.sel(roi="WZ")
        for name in ("intensity", "com_x", "fwhm_y", "intensity_errors", "quality"):
            np.testing.assert_array_equal(model.numbers.of("WZ")[name].values, expected[name].values)

    @pytest.mark.parametrize("memory", [2**30, 1], ids=["memory", "tiled"])
    def test_many_frames_pass_through_the_cache_in_pieces(self, make, monkeypatch, memory):
        """However long the run is; no piece is so large that the system has to find memory for it anew each time."""
        read, few = [], 2**14
        monkeypatch.setattr(measuring, "LITTLE", 0)
        monkeypatch.setattr(stored, "IN_CACHE", few)
        whole, model = Blocks._box, make("time1", memory=memory, rois=RoiSet([Roi("A", y=(70, 110), x=(200, 240))]))
        monkeypatch.setattr(Blocks, "_box", lambda *key: read.append(whole(*key)) or read[-1])
        model.numbers.measure_now()
        assert len(read) > 1
        assert max(one.nbytes for one in read) <= few
        assert IN_CACHE < LARGE

    def test_frames_at_hand_are_worked_on_together_whatever_their_chunks(self, monkeypatch):
        """What calls cost is paid once for each processor, and oftener only where rows of numbers are many."""
        pixels = np.random.default_rng(3).poisson(5, (6000, 12, 14)).astype("int32")
        lazy = da.from_array(Blocks([pixels]), chunks=(600, -1, -1), name="at-hand", meta=pixels[:0])
        image = xr.DataArray(lazy, dims=("time", "y", "x"), attrs={"units": "counts"})
        rois = [Roi("A", y=(2, 10), x=(3, 12))]
        now, plain, worked = xi.measure(image.compute(), rois).drop_vars("remarks"), blocks._of_batch, []
        monkeypatch.setattr(blocks, "_of_batch", lambda told, **words: worked.append(len(told)) or plain(told, **words))
        for room, most in ((stored.AT_ONCE, 6000 // blocks.CPU_COUNT), (0, stored.BATCH)):
            worked.clear()
            monkeypatch.setattr(stored, "AT_ONCE", room)
            xr.testing.assert_identical(xi.measure(image, rois).compute().drop_vars("remarks"), now)
            assert sum(worked) == 6000
            assert most / 2 < max(worked) <= max(most, stored.BATCH)

    @pytest.mark.thorough
    def test_only_what_moved_is_measured_again(self, make):
        model = make("time1")
        model.numbers.measure_now()
        assert set(model.numbers.updated) == set(model.regions.rois.names)
        assert model.numbers.stale() == ()
        model.regions.place("WZ", (70.0, 140.0), (215.0, 260.0))
        assert model.numbers.stale() == ("WZ",)
        model.numbers.measure_now()
        assert model.numbers.updated == ("WZ",)
        model.regions.place("BG", (0.0, 20.0), (0.0, 20.0))
        model.numbers.measure_now()
        assert set(model.numbers.updated) >= {"WZ", "BG"}  # WZ's background is BG

    def test_the_correction_is_a_switch(self, make):
        model = make("time1", correcting=Correcting(median=3))
        model.numbers.measure_now()
        corrected = model.numbers.of("WZ")["intensity"].values
        model.view.corrected = False
        assert set(model.numbers.stale()) == set(model.regions.rois.names)
        model.numbers.measure_now()
        assert not np.array_equal(model.numbers.of("WZ")["intensity"].values, corrected)
        model.view.corrected = True
        model.numbers.measure_now()
        np.testing.assert_array_equal(model.numbers.of("WZ")["intensity"].values, corrected)

    def test_an_answer_for_a_roi_that_is_gone_is_dropped(self, make):
        from xinsitu.app.state.measuring import answer

        model = make("time1")
        request = model.numbers.request()
        model.regions.remove("TW")
        model.regions.rename("ZB", "zinc blende")
        model.numbers.accept(request, answer(request))
        assert model.numbers.stale() == ("zinc blende",)

    def test_profiles_and_kymograph_are_sums_of_the_corrected_frames(self, make):
        from xinsitu.app.data.cutouts import Kymograph, Section

        background = xi.Background(y=(0, 20), x=(0, 40), mode="subtract")
        model = make("time1", correcting=Correcting(median=3, background=background))
        model.regions.selected = "WZ"
        model.view.frame = 7
        whole = xi.correct(model.store.measurable(), model.view.correction).image.compute()
        (y0, y1), (x0, x1) = model.regions.roi.y, model.regions.roi.x
        cut = whole.values[:, y0:y1, x0:x1]
        pools = [model.regions.rois[name] for name in model.regions.roi.background]
        ground = [
            np.concatenate([one[slice(*pool.y), slice(*pool.x)].ravel() for pool in pools]).mean() if pools else 0.0
            for one in whole.values
        ]
        net = cut.sum(axis=1) - (y1 - y0) * np.array(ground)[:, None]
        section = Section.of(model.cutouts.section_request())
        np.testing.assert_allclose(section.image, cut[7], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(section.x, net[7], rtol=1e-4, atol=0.5)
        kymograph = Kymograph.of(model.cutouts.kymograph_request())
        assert kymograph.ends == (x0 - 0.5, x1 - 0.5)
        np.testing.assert_allclose(kymograph.values[:, 0], net[0], rtol=1e-4, atol=0.5)
        np.testing.assert_allclose(kymograph.values[:, -1], net[-1], rtol=1e-4, atol=0.5)


class TestRois:
    @pytest.mark.parametrize(
        ("low", "high", "bounds"),
        [(2.5, 9.5, (3, 10)), (9.5, 2.5, (3, 10)), (-30, -20, (0, 1)), (300, 400, (194, 195)), (7.2, 7.3, (8, 9))],
    )
    def test_edges_snap_to_pixels(self, low, high, bounds):
        assert snapped(low, high, (0, 195)) == bounds

    @pytest.mark.parametrize("text", ["60:150, 210:270", "60-150,210-270", " 60 150 , 210 270 "])
    def test_typed(self, text):
        assert typed(text, ((0, 195), (0, 487))) == ((60, 150), (210, 270))

    @pytest.mark.parametrize("text", ["", "60:150", "150:60, 0:9", "0:196, 0:9", "a:b, c:d", "<script>"])
    def test_typed_nonsense_is_refused(self, text):
        with pytest.raises(xi.RoiError):
            typed(text, ((0, 195), (0, 487)))

    def test_everything_that_can_be_done_to_them_can_be_undone(self, make):
        model = make("time1")
        start = model.regions.rois
        model.regions.add("com")
        assert (model.regions.roi.color, model.regions.roi.measure) == ("yellow", ("com",))
        model.regions.type_box(model.regions.selected, "10:20, 30:45")
        model.regions.rename(model.regions.selected, "mine")
        model.regions.duplicate("mine")
        assert model.regions.selected == "mine 2"
        assert model.regions.roi.y != (10, 20)
        model.regions.set_kind("mine 2", "background")
        model.regions.set_background("mine", ("mine 2",))
        model.regions.rename("mine 2", "under")
        assert model.regions.rois["mine"].background == ("under",)
        model.regions.remove("under")
        assert model.regions.rois["mine"].background == ()
        model.regions.place("mine", (0.2, 10.4), (5.0, 9.0))
        model.regions.commit()
        last = model.regions.rois
        for _ in range(20):
            model.regions.undo()
        assert model.regions.rois == start
        for _ in range(20):
            model.regions.redo()
        assert model.regions.rois == last

    def test_what_is_taken_back_or_done_again_is_selected(self, make):
        regions = make("time1").regions
        first, second = regions.rois.names[:2]
        regions.set_background(first, (second,))  # goes with the one that is removed
        regions.selected = second
        regions.remove(second)
        assert regions.selected != second
        regions.undo()
        assert regions.selected == second
        regions.selected = first
        regions.nudge(1, 0)
        regions.selected = second
        regions.undo()
        assert regions.selected == first
        regions.selected = second
        regions.redo()
        assert regions.selected == first
        regions.add()
        added = regions.selected
        regions.rename(added, "mine")
        regions.undo()
        assert regions.selected == added
        regions.undo()
        regions.selected = second
        regions.redo()
        assert regions.selected == added

    def test_what_does_nothing_says_so(self, make):
        model = make("time1")
        for action, said in (
            (model.regions.undo, "nothing to take back"),
            (model.regions.redo, "nothing to do again"),
            (model.attenuation.look_next, "no change yet"),
            (lambda: pressed(model, "ctrl+c"), f"{model.regions.selected} is copied"),
        ):
            model.view.message = ""
            action()
            assert said in model.view.message
        model.regions.nudge(1, 0)
        model.view.message = ""
        model.regions.undo()
        model.regions.redo()
        assert not model.view.message

    def test_refusals_change_nothing(self, make):
        model = make("time1")
        before = model.regions.rois
        for action in (
            lambda: model.regions.rename("WZ", "ZB"),
            lambda: model.regions.rename("WZ", " "),
            lambda: model.regions.set_background("WZ", ("WZ",)),
            lambda: model.regions.type_box("WZ", "0:1"),
            lambda: model.load('{"format": "xinsitu-rois", "version": 1, "rois": []}'),
            lambda: model.load("{" * 100_000),
            lambda: model.load('["rois"]'),
        ):
            with pytest.raises(xi.XinsituError):
                action()
        assert model.regions.rois == before

    def test_the_file_comes_back_the_same(self, make, tmp_path):
        model = make("time1")
        model.regions.add("fwhm")
        text = model.regions.rois_text()
        (tmp_path / "rois.json").write_text(text)
        assert list(xi.read_rois(tmp_path / "rois.json")) == list(model.regions.rois)
        other = make("time2", rois=None)
        other.load(text)
        assert list(other.regions.rois) == list(model.regions.rois)
        assert other.regions.selected == other.regions.rois.names[0]

    def test_a_roi_outside_is_named(self, make):
        with pytest.raises(xi.RoiError, match="'far'"):
            make("time1", rois=RoiSet([Roi("far", y=(500, 600), x=(0, 10))]))

    def test_key_frames_move_a_roi(self, make, truth):
        model = make("time1")
        model.view.frame = 0
        model.regions.selected = "CTR"
        model.regions.type_box("CTR", "60:150, 60:140")
        model.regions.set_key_frame()
        model.view.frame = 39
        model.regions.type_box("CTR", "60:150, 80:160")
        model.regions.set_key_frame()
        model.regions.set_key_frame()
        assert [key.key.frame for key in model.regions.roi.path] == [0, 39]
        model.numbers.measure_now()
        moved = model.numbers.of("CTR")
        scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo")
        expected = (
            xi.measure(scan, [model.regions.roi, *[r for r in model.regions.rois if r.name == "BG"]])
            .sel(roi="CTR")
            .compute()
        )
        np.testing.assert_array_equal(moved["intensity"].values, expected["intensity"].values)
        assert model.regions.box("CTR") == ((60, 150), (80, 160))
        model.view.frame = 0
        assert model.regions.box("CTR") == ((60, 150), (60, 140))
        model.regions.place("CTR", (59.5, 149.5), (64.5, 144.5))
        assert [key.x for key in model.regions.roi.path] == [(65, 145), (80, 160)]
        model.regions.clear_path()
        assert model.regions.roi.path is None

    @pytest.mark.thorough
    def test_a_roi_follows_its_centre_of_mass(self, make, truth):
        model = make("sample")
        model.regions.selected = "CTR"
        with pytest.raises(xi.RoiError, match="measured"):
            model.numbers.follow_com()
        model.numbers.measure_now()
        com = model.numbers.of("CTR")["com_x"].values
        model.numbers.follow_com()
        middle = (model.regions.boxes("CTR")[:, 2] + model.regions.boxes("CTR")[:, 3] - 1) / 2
        assert np.abs(middle - com).max() < 3
        assert np.ptp(middle) > 5
        model.numbers.measure_now()
        np.testing.assert_allclose(model.numbers.of("CTR")["com_x"].values, com, atol=0.3)


class TestFramesAndTime:
    def test_frame_text_says_what_is_known(self, make):
        model = make("sample")
        model.view.frame = 40
        text = model.view.frame_text()
        assert "measurement time2" in text
        assert "Asia/Tokyo" in text
        assert "stamp 2014:05:28" in text

    def test_goto_and_step(self, make):
        model = make("time1")
        model.view.goto(12.3)
        assert model.store.data.time.values[model.view.frame] <= model.store.data.time.values[0] + np.timedelta64(
            13, "s"
        )
        model.view.axis = "local"
        model.view.goto(model.view.coordinates()[17])
        assert model.view.coordinates()[model.view.frame] == model.view.coordinates()[17]
        model.view.step(10_000)
        assert model.view.frame == 39
        model.view.step(-10_000)
        assert model.view.frame == 0

    def test_a_frame_that_cannot_be_read_is_said_and_masked(self, make, truth, tmp_path):

        folder = tmp_path / "0884" / "time1"
        shutil.copytree(truth.folders["time1"], folder)
        source = open_source(folder, reading=TOKYO)
        frames = sorted(folder.glob("*.tif"))
        frames[5].write_bytes(b"MM\x00*broken")  # after the headers were read
        store = FrameStore(source)
        store.start()
        store.wait()
        model = ExplorerModel(store, rois=truth.rois)
        assert list(store.faults) == [5]
        with pytest.raises(xi.FrameError, match=frames[5].name):
            model.view.image(5)
        assert model.view.image(6).shape == (195, 487)
        model.numbers.measure_now()
        series = model.numbers.of("WZ")
        assert np.isnan(series["intensity"].values[5])
        assert np.isfinite(series["intensity"].values[[4, 6]]).all()
        assert series["quality"].values[5] & 1024
        store.release()

    def test_larger_than_memory_becomes_a_tiled_copy_with_the_same_numbers(self, make, tmp_path):
        model = make("time1", memory=1_000_000, folder=tmp_path)
        plain = make("time1")
        assert model.store.tiled
        assert not list(tmp_path.glob("xinsitu-*/*"))  # without a name its space comes back however the program ends
        for one in (model, plain):
            one.numbers.measure_now()
        for name in model.regions.rois.names:
            xr.testing.assert_identical(model.numbers.of(name), plain.numbers.of(name))
        np.testing.assert_array_equal(model.view.image(3).values, plain.view.image(3).values)
        model.store.release()
        assert not list(tmp_path.glob("xinsitu-*"))

    @pytest.mark.thorough("meanwhile")
    @pytest.mark.parametrize("full", ["before", "meanwhile"])
    def test_without_room_for_a_copy_the_frames_themselves_are_read(self, make, tmp_path, monkeypatch, full):
        model, plain = make("time1", memory=1_000_000, folder=tmp_path), make("time1")
        model.store.release()
        if full == "before":
            usage = shutil.disk_usage(tmp_path)._replace(free=1000)
            monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        else:

            def no_room(*arguments):
                raise OSError(28, "No space left on device")

            monkeypatch.setattr("os.posix_fallocate", no_room)
        model.store.start()
        model.store.wait()
        assert model.store.complete
        assert "has no room for a tiled copy" in model.store.note
        assert not list(tmp_path.glob("xinsitu-*"))
        for one in (model, plain):
            one.numbers.measure_now()
        for name in model.regions.rois.names:
            xr.testing.assert_identical(model.numbers.of(name), plain.numbers.of(name))
        model.store.release()

    def test_new_frames_appear_and_half_written_ones_wait(self, truth, tmp_path):

        folder = tmp_path / "0884" / "time1"
        folder.mkdir(parents=True)
        frames = sorted(truth.folders["time1"].glob("*.tif"))
        for path in frames[:10]:
            shutil.copy2(path, folder)
        (folder / frames[10].name).write_bytes(frames[10].read_bytes()[:5000])
        store = FrameStore(open_source(folder, reading=TOKYO))
        store.start()
        store.wait()
        model = ExplorerModel(store, rois=truth.rois)
        model.view.follow = True
        assert model.view.n_frames == 10
        assert model.view.frame == 9, "the newest one that is there, before another comes"
        assert store.refresh() == 0
        for path in frames[10:12]:
            shutil.copy2(path, folder)
        (folder / frames[12].name).write_bytes(frames[12].read_bytes()[:5000])
        store.refresh()
        store.wait()
        model.view.grow()
        model.numbers.measure_now()
        assert model.view.frame == model.view.n_frames - 1 >= 11
        assert np.isfinite(model.numbers.of("WZ")["intensity"].values[:12]).all()
        (folder / frames[12].name).write_bytes(frames[12].read_bytes())
        end = time.monotonic() + 60  # what was written a moment ago may still be being written
        while store.refresh() == 0:
            assert time.monotonic() < end
            time.sleep(0.05)
        store.wait()
        model.view.grow()
        model.numbers.measure_now()
        assert model.view.n_frames == 13
        scan = xi.open_measurement(folder, tz="Asia/Tokyo")
        expected = xi.measure(scan, truth.rois).sel(roi="WZ").compute()
        np.testing.assert_array_equal(model.numbers.of("WZ")["intensity"].values, expected["intensity"].values)
        store.release()


class TestSample:
    @pytest.mark.thorough
    def test_changes_are_found_accepted_moved_deleted(self, make, truth):
        model = make("sample")
        model.numbers.measure_now()
        model.attenuation.find_changes()
        assert len(model.attenuation.proposals) == len(truth.changes)
        assert model.attenuation.changes == ()
        model.attenuation.accept_change(0)
        assert len(model.attenuation.changes) == 1
        (settled,) = model.attenuation.settled()
        assert settled.factor == pytest.approx(truth.changes[0].factor, rel=0.02)
        before = model.numbers.of("WZ")["intensity"].values
        shown = model.attenuation.shown("WZ")["intensity"].values
        assert np.nanmax(np.abs(shown - before)) > 0
        model.attenuation.scaled = False
        np.testing.assert_array_equal(model.attenuation.shown("WZ")["intensity"].values, before)
        model.attenuation.pick_change(0)
        model.view.pick(30)
        assert model.view.picking
        model.view.pick(25)
        assert not model.view.picking
        assert (model.attenuation.changes[0].before_key.frame, model.attenuation.changes[0].after_key.frame) == (25, 30)
        model.attenuation.delete_change(0)
        assert model.attenuation.changes == ()

    def test_clicks_without_asking_do_nothing(self, make):
        model = make("time1")
        model.view.pick(3)
        assert model.attenuation.changes == ()

    @pytest.mark.thorough
    def test_events(self, make):
        model = make("sample")
        model.view.frame = 3
        model.logbook.add_event("In shutter open")
        model.view.frame = 50
        model.logbook.end_event(0)
        other = make("sample")
        other.load(model.logbook.events_text())
        assert other.logbook.events == model.logbook.events
        assert other.logbook.events[0].stop.measurement == "time2"
        model.logbook.delete_event(0)
        assert model.logbook.events == ()
        with pytest.raises(xi.DocumentError, match="needs a name"):
            model.logbook.add_event(" ")

    @pytest.mark.thorough
    def test_changes_come_back_from_their_file(self, make):
        model = make("sample")
        model.numbers.measure_now()
        model.attenuation.find_changes()
        model.attenuation.accept_change(0)
        other = make("sample")
        other.load(model.attenuation.changes_text())
        assert other.attenuation.changes == model.attenuation.changes

    def test_saturation_is_an_alarm(self, make):
        model = make("time1")
        model.numbers.measure_now()
        assert model.numbers.alarm() == ""
        _, series, _ = model.numbers._numbers["WZ"]
        series["n_saturated"][-1] = 3
        assert "WZ" in model.numbers.alarm()


class TestOut:
    def prepared(self, make, truth):
        correcting = Correcting(median=3, flatfield=truth.folders["flatfield"])
        model = make("sample", correcting=correcting)
        model.regions.place("WZ", (70.0, 140.0), (215.0, 260.0))
        model.regions.commit()
        model.numbers.measure_now()
        model.attenuation.find_changes()
        while model.attenuation.proposals:
            model.attenuation.accept_change(0)
        model.view.frame = 4
        model.logbook.add_event('"); import os; os.abort() #')
        return model

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
    def test_screen_file_script_and_recipe_are_the_same_numbers(self, make, truth, tmp_path):
        model = self.prepared(make, truth)
        screen = export.result(model)
        (tmp_path / "screen.nc").write_bytes(export.netcdf(model))
        saved = xi.read_results(tmp_path / "screen.nc")
        assert differences(saved, screen) == {}
        with zipfile.ZipFile(BytesIO(export.recipe_zip(model))) as archive:
            archive.extractall(tmp_path)
        for command in ([f"{truth.folders['sample'].name}.py"], ["-m", "xinsitu", "run", "recipe.toml", "--force"]):
            subprocess.run([sys.executable, *command], cwd=tmp_path, check=True, capture_output=True)
            again = xi.read_results(tmp_path / "0884.nc")
            assert differences(saved, again) == {}, command
        assert json.loads(again.attrs["events"])[0]["name"] == '"); import os; os.abort() #'

    @pytest.mark.thorough
    @pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
    def test_each_file_opens(self, make, truth, tmp_path):
        model = self.prepared(make, truth)
        table = export.table(model).decode().splitlines()
        assert len(table) == 1 + 120
        assert export.figure(model, "png").startswith(b"\x89PNG")
        assert b"<script" in export.figure(model, "html")
        (tmp_path / "c.json").write_text(model.attenuation.changes_text())
        assert xi.read_attenuation_changes(tmp_path / "c.json") == model.attenuation.changes
        (tmp_path / "e.json").write_text(model.logbook.events_text())
        assert xi.read_events(tmp_path / "e.json") == model.logbook.events

    def test_one_measurement_is_a_plain_series(self, make, truth):
        model = make("time1")
        expected = xi.measure(xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo"), truth.rois).compute()
        assert differences(export.result(model), expected) == {}

    def test_a_dataset_of_ones_own_has_a_script_but_no_recipe(self, truth):
        image = xr.DataArray(np.ones((3, 30, 40), "int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
        time = np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(1, "s")
        store = FrameStore(open_source(image.assign_coords(time=time)))
        model = ExplorerModel(store, rois=RoiSet([Roi("a", y=(0, 10), x=(0, 10))]))
        assert store.complete
        model.numbers.measure_now()
        assert model.numbers.of("a")["intensity"].values.tolist() == [100.0] * 3
        assert export.recipe(model) is None
        assert list(export.recipe_files(model)) == ["frames.py"]
        compile(export.script(model), "script", "exec")
        assert export.result(model)["intensity"].values.ravel().tolist() == [100.0] * 3


def test_a_shape_is_dragged_over_the_edge_as_it_is_and_back(make):
    regions = make("time1").regions
    regions.draw((59.5, 99.5), (99.5, 139.5), "ellipse")
    drawn, name = regions.roi, regions.selected
    regions.place(name, (49.5, 89.5), (-20.5, 19.5))
    regions.commit()
    assert regions.roi.geometry == drawn.geometry.shifted(-10, -120)
    assert (regions.roi.x[0], regions.roi.off > 0) == (0, True)
    regions.set_edges(name, "exact")
    assert regions.roi.area + regions.roi.off == pytest.approx(drawn.geometry.area, rel=1e-9)
    (y0, y1), (x0, x1) = regions.box(name)
    regions.place(name, (y0 - 0.5, y1 - 0.5), (x0 + 39.5, x1 + 39.5))
    assert regions.roi.geometry == drawn.geometry.shifted(-10, -80)
    assert not regions.roi.off


def test_names_of_files_are_tame(make, truth):
    model = make("time1")
    object.__setattr__(model.source, "name", "../../etc/pass wd<script>")
    name = export.name_of(model)
    assert "/" not in name
    assert "<" not in name
    assert not name.startswith(".")
    assert Path(name).name == name
