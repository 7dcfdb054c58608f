"""What the explorer can do beside measuring: go to a typed moment, compare, look at evidence, copy, be remembered."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.app import serve
from xinsitu.app.data import beside
from xinsitu.app.data.cutouts import Kymograph
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.serve import explore
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.view_file import TABS, Remembered, document, view_text
from xinsitu.cli import main
from xinsitu.digits import with_error
from xinsitu.recipe import Correcting, Reading
from xinsitu.values import Event

TOKYO = Reading(tz="Asia/Tokyo")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("features"), measurements=2, frames=40)


@pytest.fixture
def make(truth):
    stores = []

    def build(which="sample", *, correcting=None, **options):
        source = open_source(truth.folders[which], reading=TOKYO, correcting=correcting)
        store = FrameStore(source)
        stores.append(store)
        store.start()
        store.wait()
        correction = None if correcting is None else correcting.correction(TOKYO)
        return ExplorerModel(store, rois=truth.rois, correction=correction, **options)

    yield build
    for store in stores:
        store.release()


class TestGoTo:
    @pytest.mark.thorough
    def test_numbers_times_and_seconds_lead_to_the_same_frame(self, make):
        model = make("sample")
        times, zone = model.store.data["time"].values, np.timedelta64(9, "h")
        at = 42
        frame = int(model.store.data["frame"].values[at])
        clock = str((times[at] + zone).astype("datetime64[s]"))[11:]
        seconds = (times[at] - times[0]) / np.timedelta64(1, "s")
        for text in (f"time2 {frame}", clock, f"{times[at]}+00:00", str(times[at] + zone)[:19], f"{seconds} s"):
            model.view.frame = 3
            model.view.goto_text(text)
            assert times[model.view.frame] == times[at], text
        model.view.goto_text(f" {frame + 1} ")  # of the measurement that is shown
        assert model.view.frame == at + 1
        model.view.goto_text("")
        assert model.view.frame == at + 1

    @pytest.mark.thorough
    def test_a_number_is_of_the_scan_that_is_shown_first(self, make):
        model = make("sample")
        scans = model.store.data["scan"].values
        second = int(np.flatnonzero(scans == 2)[0])
        first = int(np.flatnonzero(model.store.data["measurement"].values == "time2")[0])
        model.view.frame = second + 1
        model.view.goto_text("0")
        assert model.view.frame == second
        model.view.frame = first + 1
        for text, at in (("0", first), ("2 0", second), ("time2 2 1", second + 1), ("time2/1/1", first + 1)):
            model.view.goto_text(text)
            assert model.view.frame == at, text
            model.view.frame = first + 1

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("4000", "no frame 4000 of time1; its frames run from 0 to 39"),
            ("03:00:00", "outside the frames"),
            ("90000 s", "outside the frames"),
            ("tomorrow", "type a frame"),
            ("time2 9 3", "no frame 3 of scan 9 of time2; it has no frames"),
            ("time9 3", "type a frame"),
            ("2014-05-28 99:99", "99"),
        ],
    )
    def test_what_there_is_not_is_one_sentence(self, make, text, words):
        model = make("sample")
        with pytest.raises(xi.XinsituError, match=words):
            model.view.goto_text(text)
        assert model.view.frame == 0

    def test_frames_without_times_know_only_numbers(self):
        data = xr.DataArray(np.ones((3, 8, 8), "int32"), dims=("time", "y", "x")).to_dataset(name="image")
        time = np.datetime64("1970-01-01", "ns") + np.arange(3) * np.timedelta64(1, "s")
        data = data.assign_coords(time=time).assign_attrs(time_source="frame")
        model = ExplorerModel(FrameStore(open_source(data)))
        model.view.goto_text("2")
        assert model.view.frame == 2
        with pytest.raises(xi.StitchError, match="carry no time"):
            model.view.goto_text("00:00:01")


class TestImage:
    def test_changes_since_another_frame(self, make):
        model = make("time1")
        model.view.frame = 30
        frames = model.store.data["image"][[0, 29, 30]].values.astype(float)
        step = np.diff(model.store.data["time"].values[[29, 30]])[0] / np.timedelta64(1, "s")
        for show, expected in (
            ("previous", frames[2] - frames[1]),
            ("first", frames[2] - frames[0]),
            ("slope", (frames[2] - frames[1]) / step),
        ):
            model.view.compare = show
            np.testing.assert_allclose(model.view.image().values, expected, rtol=1e-6)
        model.view.fit_limits(99.0)
        assert -model.view.limits[0] == model.view.limits[1] > 0
        assert np.isnan(model.view.image(0).values).all()
        model.view.compare = "first"
        assert (model.view.image(0).values == 0).all()

    def test_bounds_hold_the_limits_and_logs_stay_positive(self, make):
        model = make("time1")
        for model.view.log_image in (True, False):
            for percentile in (100.0, 95.0):
                model.view.fit_limits(percentile)
                low, high = model.view.limit_bounds()
                assert low <= model.view.limits[0] < model.view.limits[1] <= high
                assert low > 0 or not model.view.log_image

    def test_calibrated_pixels(self, make):
        y, x = np.mgrid[:195, :487]
        maps = {"x": xi.reciprocal_axis(1.0 + 0.001 * np.arange(487), "l", axis="x"),
                "y": xi.reciprocal_axis(0.01 * y + 0.0001 * x, "hk")}  # fmt: skip
        model = make("time1", calibration=maps)
        found = model.view.calibrated(10.0, 200.5)
        assert found == {"l": pytest.approx(1.2005), "hk": pytest.approx(0.1 + 0.02005)}
        assert make("time1").view.calibrated(10.0, 200.0) == {}

    @pytest.mark.thorough
    def test_a_geometry_gives_maps_of_its_own(self, experiment, tmp_path):
        stands = xi.DetectorGeometry(0.2, 1e-10, beam_centre=(97, 30), pixel_size=(172e-6, 172e-6), incidence=0.3)
        path = tmp_path / "g.json"
        path.write_text(json.dumps(stands.to_dict()))
        folder, shown = experiment.folders["time1"], {}
        scan = xi.open_measurement(folder, tz="Asia/Tokyo")
        given = {
            "numbers": (folder, stands), "file": (folder, str(path)), "frames": (xi.with_geometry(scan, stands), None),
            "sample": (experiment.folders["sample"], stands), "crop": (scan.isel(y=slice(60, 150)), path),
        }  # fmt: skip
        for name, (source, geometry) in given.items():
            explorer = explore(source, rois=experiment.rois, reading=TOKYO, browser=False, geometry=geometry)
            shown[name] = explorer.model.view.calibrated(80, 230)
            explorer.stop()
        truth = xi.with_geometry(scan, stands).sel(y=80, x=230)
        for found in shown.values():
            assert found == {
                name: pytest.approx(float(truth[name])) for name in ("q", "two_theta", "chi", "exit_angle")
            }

    @pytest.mark.thorough
    def test_the_command_takes_it(self, experiment, tmp_path, monkeypatch):
        path, told = tmp_path / "g.json", []
        path.write_text(
            json.dumps({"distance": 0.2, "wavelength": 1e-10, "beam_centre": [97, 30], "pixel_size": [2e-4, 2e-4]})
        )
        monkeypatch.setattr(serve, "stay", lambda explorer, **_: told.append(explorer) or explorer.stop())
        words = ["explore", str(experiment.folders["time1"]), "--tz", "Asia/Tokyo", "--no-browser", "--geometry"]
        assert main([*words, str(path)]) == 0
        assert set(told[0].model.view.calibrated(80, 230)) == {"q", "two_theta", "chi"}
        assert main([*words, str(tmp_path / "none.poni")]) == 1


class TestMovingKymograph:
    @pytest.mark.parametrize("along", ["x", "y"])
    def test_it_sums_the_box_where_it_is(self, make, along):
        model = make("time1", correcting=Correcting(median=3))
        model.regions.selected, model.cutouts.along = "WZ", along
        model.view.frame = 0
        model.regions.set_key_frame()
        model.view.frame = 39
        model.regions.place("WZ", (80.0, 160.0), (240.0, 310.0))
        model.regions.commit()
        assert [at for at, _ in model.regions.key_frames()] == [0, 39]
        assert model.regions.key_frames()[1][1] == model.regions.box("WZ")
        whole = xi.correct(model.store.measurable(), model.view.correction).image.compute().values
        boxes = model.regions.boxes("WZ")
        found = Kymograph.of(model.cutouts.kymograph_request())
        np.testing.assert_array_equal(found.edges, boxes[:, :2] if along == "y" else boxes[:, 2:])
        first = int(found.ends[0] + 0.5)
        for at in (0, 20, 39):
            y0, y1, x0, x1 = boxes[at]
            pools = [model.regions.rois[name] for name in model.regions.roi.background]
            ground = np.concatenate([whole[at, slice(*one.y), slice(*one.x)].ravel() for one in pools]).mean()
            expected = whole[at, y0:y1, x0:x1].sum(axis=1 if along == "y" else 0)
            expected = expected - ground * (x1 - x0 if along == "y" else y1 - y0)
            low, high = found.edges[at]
            column = found.values[:, at]
            np.testing.assert_allclose(column[low - first : high - first], expected, rtol=1e-4, atol=0.5)
            assert np.isnan(np.delete(column, np.arange(low - first, high - first))).all()

    def test_a_still_box_has_no_edges(self, make):
        model = make("time1")
        assert Kymograph.of(model.cutouts.kymograph_request()).edges is None


class TestEvidence:
    @pytest.mark.thorough
    def test_the_numbers_are_those_of_the_library(self, make, truth):
        model = make("sample")
        assert model.attenuation.evidence() is None
        model.numbers.measure_now()
        model.attenuation.find_changes()
        found = model.attenuation.evidence()
        change = model.attenuation.proposals[0]
        known = change.evidence
        assert [row.roi for row in found.rows] == [roi.name for roi in truth.rois if roi.role == "signal"]
        chi = 0.0
        for row in found.rows:
            told = known["factors"][row.roi]
            assert row.log_ratio == pytest.approx(np.log(told["factor"]))
            assert row.log_error == pytest.approx(told["factor_errors"] / told["factor"])
            assert row.before / row.after == pytest.approx(truth.changes[0].factor, rel=0.05)
            chi += row.deviation**2
        assert chi == pytest.approx(known["chi_squared"], rel=0.05)  # the common factor minimises just this
        assert f"{known['degrees_of_freedom']} degrees of freedom" in found.agreement
        assert "agree" in found.agreement
        assert with_error(change.factor, change.factor_errors) in found.title
        model.attenuation.accept_change(0)
        assert model.attenuation.looked_at == 0
        accepted = model.attenuation.evidence()
        assert [row.before for row in accepted.rows] == [row.before for row in found.rows]  # as measured, not scaled

    def test_a_moved_roi_does_not_make_the_background_decide(self, make):
        model = make("sample")
        model.numbers.measure_now()
        model.regions.place("CTR", (65.0, 140.0), (65.0, 135.0))
        model.numbers.measure_now()
        model.attenuation.find_changes()
        assert "BG" not in model.attenuation.proposals[0].evidence["factors"]

    @pytest.mark.filterwarnings("ignore:the ROIs disagree")
    def test_clicked_changes_have_evidence_and_deleting_goes_on(self, make):
        model = make("sample")
        model.numbers.measure_now()
        model.attenuation.pick_change()
        model.view.pick(50)
        model.view.pick(52)
        assert "disagree" in model.attenuation.question
        model.attenuation.answer(yes=True)
        assert model.attenuation.looked_at == 0
        assert len(model.attenuation.evidence().rows) >= 3
        assert "disagree" in model.attenuation.evidence().agreement  # nothing happened there but growth
        model.attenuation.delete_change(0)
        assert model.attenuation.looked_at == -1
        assert model.attenuation.evidence() is None


class TestClicks:
    def test_an_event_is_put_where_one_clicks(self, make):
        model = make("sample")
        model.logbook.pick_event(" As shutter open ")
        assert "As shutter open" in model.view.picking
        model.view.pick(17)
        assert model.view.picking == ""
        assert model.logbook.events[0].name == "As shutter open"
        assert model.logbook.events[0].start.frame == 17
        assert model.view.frame == 17
        model.view.pick(30)
        assert len(model.logbook.events) == 1
        with pytest.raises(xi.DocumentError, match="needs a name"):
            model.logbook.pick_event(" ")

    def test_one_thing_at_a_time(self, make):
        model = make("sample")
        model.logbook.pick_event("open")
        model.attenuation.pick_change()
        model.view.pick(3)
        model.view.stop_picking()
        model.view.pick(9)
        assert (model.logbook.events, model.attenuation.changes, model.view.picking) == ((), (), "")


@pytest.mark.filterwarnings("ignore:no ROI has:xinsitu.XinsituWarning")
class TestBeside:
    @pytest.fixture
    def there(self, truth, make, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        model = make("time1")
        other = xi.RoiSet([xi.Roi("far", y=(5, 25), x=(7, 40)), xi.Roi("out", y=(0, 5), x=(0, 5), role="background")])
        scan = xi.open_measurement(truth.folders["time2"], tz="Asia/Tokyo")
        (tmp_path / "results").mkdir()
        xi.write_results(xi.measure(scan, other).compute(), tmp_path / "results" / "0884_time2.nc")
        xi.write_rois(other, tmp_path / "other.json")
        (tmp_path / "broken.nc").write_bytes(b"nothing")
        (tmp_path / "events.json").write_text(model.logbook.events_text())
        return model, other

    @pytest.mark.thorough
    def test_rois_are_copied_from_results_and_files(self, there):
        model, other = there
        files = beside.roi_files(model.source)
        assert {"other.json", "0884_time2.nc", "rois.json"} <= set(files)
        assert "events.json" not in files
        for name in ("other.json", "0884_time2.nc"):
            model.regions.copy_rois(files[name])
            assert [(roi.name, roi.y, roi.x, roi.role) for roi in model.regions.rois] == [
                (roi.name, roi.y, roi.x, roi.role) for roi in other
            ]
            model.regions.undo()
            assert model.regions.rois.names != other.names
        with pytest.raises(xi.XinsituError, match=r"broken\.nc"):
            model.regions.copy_rois(files["broken.nc"])

    @pytest.mark.thorough
    def test_results_are_opened_beside_the_curves(self, there):
        model, _ = there
        files = beside.results(model.source)
        model.curves.open_result(files["0884_time2.nc"])
        assert model.curves.result.attrs["result_name"] == "0884_time2.nc"
        times = model.curves.result["time"].values
        for model.view.axis in ("elapsed", "utc", "local"):
            np.testing.assert_allclose(
                model.view.places_of(times)[-1] - model.view.coordinates()[0],
                (times[-1] - model.store.data["time"].values[0])
                / np.timedelta64(1, "s" if model.view.axis == "elapsed" else "ms"),
            )
        model.curves.open_result(None)
        assert model.curves.result is None


class TestRemembered:
    def changed(self, make):
        model = make("sample", correcting=Correcting(median=3))
        model.numbers.measure_now()
        model.attenuation.find_changes()
        model.attenuation.accept_change(0)
        model.view.frame, model.view.axis, model.view.log_image, model.view.limits = 17, "local", False, (3.0, 77.0)
        model.view.corrected, model.regions.selected, model.cutouts.along, model.cutouts.show = (
            False,
            "ZB",
            "y",
            "previous",
        )
        model.regions.rename("ZB", "zinc")
        model.logbook.add_event("open")
        return model

    @pytest.mark.thorough("frame")
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("frame", "7"),
            ("colours", "none"),
            ("limits", [1, 2, 3]),
            ("further", "x"),
            ("follow", "yes"),
            ("smooth", 3),
        ],
    )
    def test_a_view_of_which_one_part_is_refused_changes_nothing(self, make, name, value):
        view = json.loads(view_text(self.changed(make)))
        view["view"][name] = value
        other = make("sample", correcting=Correcting(median=3))
        before, heard = document(other), []
        for part in other.parts:
            part.param.watch(heard.append, [one for one in part.param if one != "name"])
        with pytest.raises(xi.DocumentError, match=f"{name} cannot be"):
            other.load(json.dumps(view))
        assert document(other) == before
        assert [one for one in heard if one.new != one.old] == []

    @pytest.mark.thorough
    def test_a_view_comes_back_as_it_was(self, make):
        model = self.changed(make)
        other = make("sample", correcting=Correcting(median=3))
        other.load(view_text(model))
        assert document(other) == document(model)
        assert other.view.frame == 17
        assert other.regions.selected == "zinc"
        assert other.regions.rois == model.regions.rois
        assert other.attenuation.changes == model.attenuation.changes
        assert not other.view.corrected

    @pytest.mark.thorough
    def test_what_is_in_view_and_compared_with_comes_back(self, make, truth, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        model = make("time1")
        model.numbers.measure_now()
        xi.write_results(model.numbers.series, tmp_path / "old.nc")
        model.curves.open_result(tmp_path / "old.nc")
        model.view.window, model.view.part = ((3.0, 9.5),), ((10.0, 200.0), (150.0, 20.0))
        other = make("time1")
        other.load(view_text(model))
        assert other.curves.compared == "old.nc"
        assert other.curves.result.identical(model.curves.result)
        assert (other.view.window, other.view.part) == (model.view.window, model.view.part)
        other.curves.open_result(None)
        assert other.curves.compared == ""
        (tmp_path / "old.nc").write_bytes(b"no longer a result")
        other.load(view_text(model))
        assert (other.curves.result, other.view.window) == (None, model.view.window)
        (tmp_path / "old.nc").rename(tmp_path / "elsewhere.hdf")
        other.load(view_text(model))
        assert other.curves.result is None

    @pytest.mark.thorough
    def test_what_does_not_fit_stays(self, make):
        model = self.changed(make)
        plain = make("time1")
        view = json.loads(view_text(model))
        view["view"] |= {"corrected": True, "selected": "nobody", "axis": "stars", "frame": 99_999}
        view["changes"] = view["proposals"] = []
        del view["correction"]  # as views had none once
        plain.load(json.dumps(view))
        assert (plain.view.corrected, plain.view.axis, plain.view.frame) == (False, "elapsed", 39)

    @pytest.mark.parametrize(
        "part",
        [
            {"changes": 3},
            {"view": []},
            {"view": {"limits": "wide"}},
            {"rois": {"rois": 7}},
            {"in_view": {"window": [["here", "there"]]}},
            {"in_view": 3},
            {"correction": 3},
            {"given": None},
            {"rois": "x"},
            {"bad_frames": 3},
            {"correction": {"median": 5}, "rois": {"rois": 7}},
        ],
    )
    def test_nonsense_is_refused_and_changes_nothing(self, make, part):
        model = make("time1")
        before = document(model)
        with pytest.raises(xi.XinsituError):
            model.load(json.dumps({**before, **part}))
        assert document(model) == before

    def test_closed_tabs_are_remembered_but_not_for_ever(self, make):
        model = make("time1")
        tabs = Remembered()
        name = tabs.open(model)
        model.view.frame = 7
        assert tabs.view(name)["view"]["frame"] == 7
        assert tabs.view("guessed") is None
        tabs.close(model)
        model.view.frame = 9
        assert tabs.view(name)["view"]["frame"] == 7
        for _ in range(TABS):
            tabs.open(model)
            tabs.close(model)
        assert tabs.view(name) is None


def test_new_measurements_and_frames_come_by_themselves(make, truth, tmp_path):
    sample = tmp_path / "0884"
    shutil.copytree(truth.folders["time1"], sample / "time1")
    store = FrameStore(open_source(sample, reading=TOKYO))
    store.start()
    store.wait()
    model = ExplorerModel(store, rois=truth.rois)
    model.view.follow = True
    model.logbook.add_event("open")
    assert model.view.n_frames == 40
    shutil.copytree(truth.folders["time2"], sample / "time2")
    assert store.refresh() == 40
    store.wait()
    model.view.grow()
    model.numbers.measure_now()
    assert (model.view.n_frames, model.view.frame) == (80, 79)
    assert list(model.view.measurements()) == ["time1", "time2"]
    assert model.numbers.of("WZ").sizes["time"] == 80
    assert isinstance(model.logbook.events[0], Event)
    store.release()
