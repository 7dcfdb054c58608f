"""Figures of series: what is drawn is what was measured, gaps are gaps, and text from files stays text."""

from __future__ import annotations

import re

import holoviews as hv
import numpy as np
import pytest
import xarray as xr
from bokeh.models import Plot
from scipy.signal import savgol_filter

from tests.helpers.drawing import drawn
from xinsitu.errors import DocumentError, RoiError, SchemaError, TimeError
from xinsitu.plots import plot, plot_changes, plot_kymograph, plot_rois, save_plot, waterfall
from xinsitu.plots.curve_filters import Smoothing, local_fit, parse_smoothing
from xinsitu.plots.curves import drawing
from xinsitu.plots.images import changes as profile_changes
from xinsitu.values import AttenuationChange, Event, Key, Polygon, Roi

POISON = "</script><script>window.hacked=1</script>$\\frac{"


@pytest.fixture
def series() -> xr.Dataset:
    """60 frames of 1 s, a pause of 100 s, 40 frames of another measurement; the frames 20 to 22 in transition."""
    seconds = np.concatenate([np.arange(60.0), 160 + np.arange(40.0)])
    time = np.datetime64("2014-05-28T08:00:00", "ns") + (seconds * 1e9).astype("timedelta64[ns]")
    rng = np.random.default_rng(5)
    intensity = rng.poisson(1000, (100, 2)).astype(float)
    intensity[20:23] = np.nan
    com = np.stack([100 + seconds / 100, 50 - seconds / 200], axis=1)
    dims = ("time", "roi")
    return xr.Dataset(
        {
            "intensity": (dims, intensity, {"units": "counts", "long_name": "intensity"}),
            "intensity_errors": (dims, np.sqrt(intensity)),
            "com_x": (dims, com, {"units": "pixel", "long_name": "centre of mass along l"}),
            "fwhm_x": (dims, np.full((100, 2), np.nan), {"units": "pixel", "long_name": "width along l"}),
        },
        {
            "time": time,
            "roi": ["WZ", "ZB"],
            "measurement": ("time", np.repeat(["time1", "time2"], [60, 40])),
            "frame": ("time", np.concatenate([np.arange(60), np.arange(40)])),
        },
        attrs={"time_zone": "Asia/Tokyo"},
    )


def panel(figure, name):
    (found,) = [panel for panel in figure.panels if panel.name == name]
    return found


class TestDrawing:
    def test_curves_are_the_values_with_one_nan_in_the_gap(self, series):
        curve = panel(drawing(series), "intensity").curves[0]
        assert curve.roi == "WZ"
        assert len(curve.y) == 101
        np.testing.assert_array_equal(np.delete(curve.y, 60), series.intensity.values[:, 0])
        assert np.isnan(curve.y[60])
        assert curve.x[59] < curve.x[60] < curve.x[61]
        np.testing.assert_array_equal(np.delete(curve.errors, 60), series.intensity_errors.values[:, 0])

    def test_a_measurement_that_follows_at_once_breaks_the_curve_too(self, series):
        part = series.isel(time=slice(0, 20)).assign_coords(measurement=("time", np.repeat(["a", "b"], 10)))
        assert np.isnan(panel(drawing(part), "intensity").curves[0].y[10])

    def test_what_nobody_measured_has_no_panel(self, series):
        assert [panel.name for panel in drawing(series).panels] == ["com_x", "intensity"]

    def test_rois_far_apart_show_their_shift_and_keep_the_position(self, series):
        shown = panel(drawing(series), "com_x")
        assert shown.quantity == "shift of the centre of mass along l"
        for number, curve in enumerate(shown.curves):
            np.testing.assert_allclose(np.delete(curve.y, 60) + curve.offset, series.com_x.values[:, number])
        lone = panel(drawing(series, roi="WZ"), "com_x")
        assert lone.quantity == "centre of mass along l"
        assert lone.curves[0].offset == 0

    def test_axes(self, series):
        assert drawing(series).line.values[60] == 160.0
        assert drawing(series, t0=series.time.values[10]).line.values[0] == -10.0
        local = drawing(series, x="local").line
        assert str(local.values[0]) == "2014-05-28T17:00:00.000000000"
        assert local.label == "time (Asia/Tokyo)"
        assert str(drawing(series, x="utc").line.values[0]) == "2014-05-28T08:00:00.000000000"
        sample = drawing(series, x="frame").line
        assert (sample.label, sample.values[60]) == ("frame in the series", 60.0)
        assert drawing(series.isel(time=slice(60, None)), x="frame").line.label == "frame"

    def test_frame_numbers_are_never_shown_as_wall_time(self, series):
        framed = series.assign_attrs(time_source="frame")
        for x in ("local", "utc"):
            with pytest.raises(TimeError, match="carry no time"):
                drawing(framed, x=x)
        assert drawing(framed, x="elapsed").line.label.startswith("frame")

    def test_events_and_zero(self, series):
        events = (
            Event("open", series.time.values[10]),
            Event("beam", Key(measurement="time2", frame=3), Key(measurement="time2", seconds=1000)),
            Event("long ago", np.datetime64("2001-01-01")),
        )
        shown = drawing(series, events=events, t0="open").marks
        assert [mark.name for mark in shown] == ["open", "beam"]
        assert (shown[0].start, shown[0].stop) == (0.0, None)
        assert (shown[1].start, shown[1].stop) == (153.0, 189.0)
        assert drawing(series, events=events, x="frame").marks[1].start == 63.0
        with pytest.raises(DocumentError, match="neither an event"):
            drawing(series, events=events, t0="closed")

    @pytest.mark.parametrize("x", ["elapsed", "local", "utc", "frame"])
    @pytest.mark.parametrize("stamp", [0.0, 0.4, 0.8])
    def test_an_event_is_where_its_frame_is(self, series, x, stamp):
        """Of every frame, the first and the last too, whatever of the exposure the stamps mark."""
        begin = series.time.values - np.timedelta64(round(stamp * 1e9), "ns")
        bounds = np.stack([begin, begin + np.timedelta64(800_000_000, "ns")], axis=1)
        series = series.assign_coords(time_bounds=(("time", "bounds"), bounds))
        named = [(0, "time1", 0), (59, "time1", 59), (60, "time2", 0), (99, "time2", 39)]
        events = [Event(f"{at}", Key(measurement=name, frame=frame)) for at, name, frame in named]
        shown = drawing(series, events=events, x=x)
        assert [mark.start for mark in shown.marks] == [shown.line.values[int(mark.name)] for mark in shown.marks]
        assert len(shown.marks) == 4
        assert shown.line.times[0] == begin[0] + np.timedelta64(400_000_000, "ns")  # the middle of its exposure
        stamped = [Event(f"{at}", series.time.values[at]) for at in (0, 99)]
        assert len(drawing(series, events=stamped, x=x).marks) == 2

    def test_normalised_to_a_window(self, series):
        curve = panel(drawing(series, normalise="0:19"), "intensity").curves[1]
        assert np.mean(curve.y[:20]) == pytest.approx(1)
        clock = drawing(series, normalise="2014-05-28T17:00:00+09:00/2014-05-28T17:00:19+09:00")
        np.testing.assert_array_equal(panel(clock, "intensity").curves[1].y, curve.y)
        later = panel(drawing(series, normalise="20:", t0=series.time.values[60]), "intensity").curves[0]
        assert np.nanmean(later.y[81:]) == pytest.approx(1)
        for wrong in ("a:b", "5000:6000", "20:22"):
            with pytest.raises(SchemaError, match="normalise"):
                drawing(series, normalise=wrong)

    def test_log_leaves_out_what_is_not_positive(self, series):
        series["intensity"][5, 0] = -3.0
        assert np.isnan(panel(drawing(series, log=True), "intensity").curves[0].y[5])
        assert panel(drawing(series), "intensity").curves[0].y[5] == -3.0

    def test_refusals(self, series):
        with pytest.raises(RoiError, match="there is no ROI 'XX'; there are WZ, ZB"):
            drawing(series, roi="XX")
        with pytest.raises(SchemaError, match="x is one of"):
            drawing(series, x="tomorrow")
        with pytest.raises(SchemaError, match="no ROI time series"):
            drawing(xr.Dataset({"image": (("time", "y", "x"), np.zeros((1, 2, 2)))}))

    def test_nothing_is_mutated(self, series):
        before = series.copy(deep=True)
        drawing(series, smooth="savgol:5,2", derivative=True, normalise="0:5", log=True)
        xr.testing.assert_identical(series, before)


class TestSmoothing:
    def test_equal_steps_are_savitzky_golay(self):
        y = np.random.default_rng(0).normal(size=50)
        time = np.arange(50) * 0.5
        for derivative in (0, 1):
            ours, _ = local_fit(time, y, np.ones(50), Smoothing(11, 3), derivative=derivative)
            np.testing.assert_allclose(ours, savgol_filter(y, 11, 3, deriv=derivative, delta=0.5), atol=1e-10)

    def test_uneven_steps_keep_a_parabola(self):
        time = np.cumsum(np.random.default_rng(1).uniform(0.1, 3, 40))
        smooth, _ = local_fit(time, 3 + time**2, np.ones(40), Smoothing(7, 2))
        np.testing.assert_allclose(smooth, 3 + time**2, rtol=1e-9)
        slope, _ = local_fit(time, 3 + time**2, np.ones(40), Smoothing(7, 2), derivative=1)
        np.testing.assert_allclose(slope, 2 * time, rtol=1e-7)

    def test_rolling_mean_and_its_error(self):
        y = np.array([1.0, 2.0, np.nan, 4.0, 6.0])
        smooth, errors = local_fit(np.arange(5.0), y, np.ones(5), Smoothing(3, 0))
        np.testing.assert_allclose(smooth, [1.5, 1.5, np.nan, 5.0, 5.0])
        np.testing.assert_allclose(errors[[0, 4]], 1 / np.sqrt(2))

    def test_stamps_that_repeat_have_no_slope_alone(self):
        slope, _ = local_fit(np.zeros(3), np.arange(3.0), np.ones(3), Smoothing(3, 1), derivative=1)
        assert np.isnan(slope).all()

    @pytest.mark.thorough
    def test_scatter_is_the_stated_error(self):
        rng = np.random.default_rng(2)
        time = np.sort(rng.uniform(0, 30, 31))
        runs = np.array([local_fit(time, rng.normal(size=31), np.ones(31), Smoothing(9, 2))[0] for _ in range(2000)])
        _, stated = local_fit(time, np.zeros(31), np.ones(31), Smoothing(9, 2))
        np.testing.assert_allclose(runs.std(axis=0), stated, rtol=0.08)

    def test_never_across_a_gap(self, series):
        series["intensity"][:] = np.where(np.arange(100) < 60, 10.0, 500.0)[:, np.newaxis]
        curve = panel(drawing(series, smooth="mean:21"), "intensity").curves[0]
        assert set(np.delete(curve.y, 60).round(9)) == {10.0, 500.0}

    @pytest.mark.parametrize("wrong", ["savgol:4,2", "savgol:5,5", "savgol:5", "mean:5,2", "box:3", ""])
    def test_refused(self, wrong):
        with pytest.raises(SchemaError, match=r"smooth|window"):
            parse_smoothing(wrong)


class TestFigures:
    @pytest.mark.thorough
    def test_holoviews_layout(self, series):
        figure = plot(series, events=[Event("open", series.time.values[10])])
        assert isinstance(figure, hv.Layout)
        curves = figure.traverse(lambda element: element, [hv.Curve])
        assert [curve.label for curve in curves] == ["WZ", "ZB"] * 2
        np.testing.assert_array_equal(np.delete(curves[3]["intensity"], 60), series.intensity.values[:, 1])
        state = drawn(figure).state
        ranges = {figure.x_range.id for figure in state.select({"type": Plot})}
        assert len(ranges) == 1

    @pytest.mark.thorough("png")
    @pytest.mark.parametrize("ending", ["html", "png", "pdf", "svg"])
    def test_files(self, series, tmp_path, ending):
        events = [Event(POISON, series.time.values[10], series.time.values[30])]
        series = series.assign_coords(roi=["WZ", POISON.replace("\\", "")])
        path = save_plot(series, tmp_path / f"f.{ending}", events=events, x="local", log=True, smooth="mean:3")
        content = path.read_bytes()
        assert len(content) > 5000
        if ending == "html":
            assert b"<script>window.hacked" not in content
            assert not re.search(rb'<(script|link|img)[^>]{0,200}(src|href)="', content)
        if ending == "svg":
            assert b"<script" not in content
            again = save_plot(series, tmp_path / "g.svg", events=events, x="local", log=True, smooth="mean:3")
            assert again.read_bytes() == content

    def test_another_ending_is_refused(self, series, tmp_path):
        with pytest.raises(SchemaError, match="ends in one of"):
            save_plot(series, tmp_path / "f.docx")

    @pytest.mark.thorough
    def test_changes_report(self, series, tmp_path):
        change = AttenuationChange(series.time.values[19], series.time.values[23], factor=8.4, factor_errors=0.1)
        figure = plot_changes(series, [change, change], path=tmp_path / "c.png")
        assert figure.axes[0].get_title() == "attenuator: × 8.40 ± 0.10"
        assert (tmp_path / "c.png").stat().st_size > 5000
        with pytest.raises(SchemaError, match="no attenuation changes"):
            plot_changes(series, [])


class TestFrames:
    @pytest.fixture
    def scan(self) -> xr.Dataset:
        rng = np.random.default_rng(3)
        image = rng.poisson(5, (30, 40, 50)).astype("int32")
        time = np.datetime64("2014-05-28T08:00:00", "ns") + np.arange(30) * np.timedelta64(1, "s")
        coords = {"time": time, "y": np.arange(10, 50), "x": np.arange(100, 150)}
        return xr.Dataset({"image": (("time", "y", "x"), image, {"units": "counts"})}, coords)

    def test_image_and_boxes(self, scan):
        figure = plot_rois(scan, [Roi("WZ", y=(12, 20), x=(110, 130), color="red")], frame=3)
        (image,) = figure.traverse(lambda e: e, [hv.Image])
        np.testing.assert_array_equal(image.dimension_values("counts", flat=False), scan.image.values[3])
        (box,) = figure.traverse(lambda e: e, [hv.Rectangles])
        assert box.array().tolist() == [[109.5, 11.5, 129.5, 19.5]]

    def test_shapes_are_drawn_by_their_lines(self, scan):
        shape = Polygon([(12, 110), (30, 112.5), (25, 140)])
        figure = plot_rois(scan, [Roi("a", geometry=shape, color="red"), Roi("b", y=(12, 20), x=(110, 130))])
        (path,) = figure.traverse(lambda e: e, [hv.Path])
        points = path.array()
        assert {tuple(point) for point in points.tolist()} == {(110, 12), (112.5, 30), (140, 25)}
        assert points[0].tolist() == points[-1].tolist()
        assert len(figure.traverse(lambda e: e, [hv.Rectangles])) == 1
        drawn(figure)

    def test_kymograph_is_the_sum_over_the_other_axis(self, scan):
        roi = Roi("WZ", y=(12, 20), x=(110, 130))
        mesh = plot_kymograph(scan, roi, along="x")
        expected = scan.image.values[:, 2:10, 10:30].sum(axis=1)
        np.testing.assert_array_equal(mesh.dimension_values("profile", flat=False), expected.T)
        drawn(mesh)

    def test_changes_of_profiles(self):
        rows = np.array([[1.0], [4.0], [6.0]])
        assert profile_changes(rows, np.arange(3.0), "first").ravel().tolist() == [0, 3, 5]
        assert profile_changes(rows, np.arange(3.0), "previous").ravel().tolist()[1:] == [3, 2]

    def test_waterfall(self, scan):
        figure = waterfall(scan, Roi("WZ", y=(12, 20), x=(110, 130)), curves=4, offset=1000)
        curves = figure.traverse(lambda e: e, [hv.Curve])
        assert len(curves) == 4
        expected = scan.image.values[-1, 2:10, 10:30].sum(axis=0) + 3000
        np.testing.assert_array_equal(curves[-1]["profile"], expected)
