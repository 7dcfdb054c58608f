"""Values from the logbook: checked when they are made, the same after a round trip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinsitu.clock import moment, utc_text
from xinsitu.errors import DocumentError, RoiError, XinsituWarning
from xinsitu.values import AttenuationChange, Background, Event, Key, KeyFrame, Roi, RoiSet

bounds = st.tuples(st.integers(0, 400), st.integers(1, 80)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(y=bounds, x=bounds, measure=st.none() | st.sets(st.sampled_from(["intensity", "com", "fwhm", "background"])))
def test_rois_survive_a_round_trip(y: tuple[int, int], x: tuple[int, int], measure: set[str] | None) -> None:
    roi = Roi("WZ", y=y, x=x, color="green", measure=None if measure is None else tuple(measure), background=("edge",))
    assert Roi.from_dict(roi.to_dict()) == roi
    assert roi.area == (y[1] - y[0]) * (x[1] - x[0])


@pytest.mark.parametrize("y", [(5, 5), (6, 5), (-1, 5), (0.5, 3), ("a", "b"), (1,), None, (float("nan"), 3), (True, 2)])
def test_a_box_that_is_none_is_refused_by_name(y: object) -> None:
    with pytest.raises(RoiError, match="WZ"):
        Roi("WZ", y=y, x=(0, 5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [{"role": "x"}, {"measure": ["sum"]}, {"name": ""}, {"measure": "x"}, {"background": 3}, {"path": [{"frame": 1}]}],
)
def test_a_roi_that_makes_no_sense_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(RoiError):
        Roi.from_dict({"name": "a", "y": [0, 1], "x": [0, 1], **changed})


def test_unknown_keys_are_kept_with_a_warning() -> None:
    with pytest.warns(XinsituWarning, match="shape_of_tomorrow"):
        roi = Roi.from_dict({"name": "a", "y": [0, 1], "x": [0, 1], "shape_of_tomorrow": "arc"})
    assert roi.to_dict()["shape_of_tomorrow"] == "arc"


def test_a_set_is_found_by_name_and_knows_its_detector() -> None:
    rois = RoiSet([Roi("a", y=(0, 2), x=(0, 3)), Roi("b", y=(5, 9), x=(0, 3), background=("a",))], (10, 10))
    assert rois["b"].y == (5, 9)
    assert RoiSet.from_dict(rois.to_dict()) == rois
    assert rois.replaced(Roi("a", y=(1, 2), x=(0, 3)))["a"].y == (1, 2)
    assert rois.replaced(Roi("c", y=(1, 2), x=(0, 3))).names == ("a", "b", "c")
    with pytest.raises(RoiError, match="'c'; there are a, b"):
        rois["c"]
    with pytest.raises(RoiError, match="two ROIs are called 'a'"):
        RoiSet([rois["a"], rois["a"]])
    with pytest.raises(RoiError, match="outside the detector of 8 rows"):
        RoiSet(rois, (8, 10))
    with pytest.raises(RoiError, match="names 'a'"):
        RoiSet([rois["b"]])


def test_backgrounds_pool_regions_in_every_form() -> None:
    one = Background(y=(70, 90), x=(150, 170))
    several = Background(
        regions=[((0, 5), (0, 5)), {"y": [3, 4], "x": [1, 2]}, Roi("r", y=(7, 8), x=(7, 9))], mode="subtract"
    )  # type: ignore[arg-type, list-item]
    assert one.boxes == (((70, 90), (150, 170)),)
    assert several.boxes == (((0, 5), (0, 5)), ((3, 4), (1, 2)), ((7, 8), (7, 9)))
    assert Background.from_dict(several.to_dict()) == several
    assert Background.from_dict({"y": [70, 90], "x": [150, 170]}).boxes == one.boxes
    for wrong in ({}, {"y": (0, 1)}, {"y": (0, 1), "x": (0, 1), "mode": "times"}, {"regions": []}):
        with pytest.raises(RoiError):
            Background(**wrong)  # type: ignore[arg-type]


def test_keys_in_all_their_forms() -> None:
    assert Key.from_dict({"measurement": "time3", "scan": 1, "frame": 185}).frame == 185
    assert Key.from_dict({"measurement": "time3", "seconds": 60}).seconds == 60.0
    assert Key.from_dict("2014-05-28T17:01:59+09:00").time == np.datetime64("2014-05-28T08:01:59")
    assert Key.from_dict("2014-05-28T17:01:59+09").time == np.datetime64("2014-05-28T08:01:59")
    assert Key.from_dict("2014-05-28T17:01:59").local == "2014-05-28T17:01:59"
    for wrong in (
        {},
        {"frame": "x"},
        {"frame": 1, "seconds": 2},
        {"minute": 3},
        "yesterday",
        5,
        {"frame": True},
        f"time1:{'9' * 5000}",
    ):
        with pytest.raises(DocumentError):
            Key.from_dict(wrong)  # type: ignore[arg-type]


@given(st.integers(-(10**15), 4 * 10**15))
def test_utc_texts_are_exact_to_the_microsecond(microseconds: int) -> None:
    time = np.datetime64(microseconds, "us").astype("datetime64[ns]")
    if np.datetime64("1678-01-01") < time < np.datetime64("2200-01-01"):
        assert moment(utc_text(time)) == time


def test_changes_survive_a_round_trip_with_their_frames() -> None:
    before, after = Key(measurement="time2", scan=1, frame=357), Key(measurement="time2", scan=2, frame=0)
    found = AttenuationChange(
        np.datetime64("2013-07-01T00:00:00"), np.datetime64("2013-07-01T00:00:15"), 8.4, 0.1,
        before_key=before, after_key=after, evidence={"WZ": 8.41},
    )  # fmt: skip
    document = found.to_dict()
    assert document["before"] == {"measurement": "time2", "scan": 1, "frame": 357, "utc": "2013-07-01T00:00:00Z"}
    again = AttenuationChange.from_dict(document)
    assert (again.before, again.after, again.factor) == (found.before, found.after, 8.4)
    assert again.before_key is not None
    assert again.before_key.frame == 357
    by_hand = AttenuationChange.from_dict({"before": before.to_dict(), "after": after.to_dict(), "factor": None})
    assert by_hand.before == before


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf"), "8", True, 10**400])
def test_a_factor_is_a_positive_number(factor: object) -> None:
    with pytest.raises(DocumentError, match="factor"):
        AttenuationChange("2013-07-01T00:00:00Z", "2013-07-01T00:00:15Z", factor=factor)  # type: ignore[arg-type]


def test_events_in_both_forms() -> None:
    point = Event.from_dict({"name": "open", "measurement": "time1", "frame": 60})
    spread = Event.from_dict({"name": "growth", "start": "2013-07-01T00:00:00Z", "stop": "2013-07-01T00:01:00Z"})
    assert point.start == Key(measurement="time1", frame=60)
    assert Event.from_dict(point.to_dict()) == point
    assert Event.from_dict(spread.to_dict()) == spread
    with pytest.raises(DocumentError, match="has no moment"):
        Event.from_dict({"name": "open"})


def test_a_key_frame_is_a_moment_and_a_box() -> None:
    frame = KeyFrame.from_dict({"frame": 3, "y": [0, 5], "x": [1, 6]})
    assert KeyFrame.from_dict(frame.to_dict()) == frame
    with pytest.raises(RoiError):
        KeyFrame.from_dict({"frame": 3, "y": [0, 5]})


def test_times_of_numpy_xarray_pandas_and_datetime_are_times() -> None:
    from datetime import UTC, datetime

    import pandas as pd
    import xarray as xr

    time = np.datetime64("2014-05-28T08:00:00.5", "ns")
    for same in (
        time,
        xr.DataArray(time),
        np.array(time),
        pd.Timestamp(time),
        pd.Timestamp("2014-05-28T17:00:00.5", tz="Asia/Tokyo"),
        datetime(2014, 5, 28, 8, 0, 0, 500_000, tzinfo=UTC),
    ):
        assert AttenuationChange(same, "2014-05-28T17:01:59+09:00").before == time  # type: ignore[arg-type]
    with pytest.raises(DocumentError) as caught:
        Event("open", xr.DataArray(np.arange(100)))  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


def test_swapped_end_points_are_refused() -> None:
    with pytest.raises(DocumentError, match="swap the two"):
        AttenuationChange("2014-05-28T08:00:02Z", "2014-05-28T08:00:01Z")


def test_one_roi_is_a_set_of_one() -> None:
    roi = Roi("WZ", y=(0, 2), x=(0, 2))
    assert RoiSet.of(roi).names == ("WZ",)
    with pytest.raises(RoiError, match="not NoneType"):
        RoiSet.of(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "polygon", "points": [[1, 2], [9, 3], [5, 8]]}, {"angle": 12.5}, {"kind": "ellipse"},
        {"shape": {"kind": "rotated", "angle": 30}}, {"shape": "circle"}, {"shape_type": "polygon"}, {"rotation": -3},
        {"points": [[0, 1], [4, 5]]}, {"centre": [3, 4], "radius": 2}, {"mask": "m.tif"}, {"Kind": "Polygon"},
        {"angle": True}, {"type": "ellipse"}, {"roi_type": "Ring"}, {"rotate": 20}, {"orientation": 12}, {"shear": 2},
        {"corners": [[1, 2], [3, 4]]}, {"outline": [[1, 2]]}, {"inner_radius": 2}, {"q": [1, 2]}, {"chi": [-5, 5]},
    ],
)  # fmt: skip
def test_other_shapes_than_rectangles_are_refused_never_measured_as_their_box(told):
    document = {"name": "a", "y": [0, 10], "x": [0, 12], **told}
    with pytest.raises(RoiError, match=r"never the box around it|needs centre"):
        Roi.from_dict(document)
    with pytest.raises(RoiError, match="'a'"):
        RoiSet.from_dict({"rois": [document]})
    del document["y"], document["x"]
    with pytest.raises(RoiError, match=r"never the box around it|needs centre"):
        Roi.from_dict(document)


@pytest.mark.parametrize("told", [{"kind": "rectangle"}, {"shape": "box"}, {"angle": 0}, {"kind": None, "angle": 0.0}])
def test_a_rectangle_may_say_that_it_is_one(told):
    document = {"name": "a", "y": [0, 10], "x": [0, 12], **told}
    with pytest.warns(XinsituWarning):
        roi = Roi.from_dict(document)
    assert roi.shape == (10, 12)
    assert roi.to_dict().items() >= told.items()


def test_a_turn_of_all_rois_or_of_a_key_frame_is_refused_too():
    roi = {"name": "a", "y": [0, 10], "x": [0, 12]}
    with pytest.raises(RoiError, match=r"never the box around it|needs centre"):
        RoiSet.from_dict({"rois": [roi], "angle": 5})
    with pytest.raises(RoiError, match=r"never the box around it|needs centre"):
        Roi.from_dict({**roi, "path": [{"frame": 3, "y": [1, 11], "x": [0, 12], "angle": 4}]})
