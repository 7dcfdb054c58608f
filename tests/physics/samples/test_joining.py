"""Joining measurements on time: order, gaps, ROIs by name, overlaps, and the frame that a logbook entry means."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from xinsitu.errors import SchemaError, StitchError, XinsituWarning
from xinsitu.physics.samples.joining import resolve_key, stitch
from xinsitu.schema import describe
from xinsitu.values import Key

QUALITY = describe(xr.DataArray(0), "quality").attrs
START = np.datetime64("2014-05-28T08:00:00", "ns")
SECOND = np.timedelta64(1, "s")


def series(
    name="time1", seconds=(0, 1, 2), intensity=None, rois=("WZ", "ZB"), *, frames=None, scan=1, box=None, **extra
):
    """A (time, roi) Dataset as `measure` makes it; the intensity of ROI r at frame t is 100 (r + 1) + t."""
    seconds = np.asarray(seconds, dtype=float)
    n = len(seconds)
    if intensity is None:
        intensity = 100.0 * (1 + np.arange(len(rois))) + np.arange(n)[:, None]
    boxes = np.array([box or (10 * r, 10 * r + 5, 20, 30) for r in range(len(rois))])
    coords = {
        "time": START + (seconds * 1e9).astype("timedelta64[ns]"),
        "roi": list(rois),
        "frame": ("time", np.arange(n) if frames is None else np.asarray(frames)),
        "scan": ("time", np.full(n, scan)),
        "measurement": name,
        "exposure_time": 1.0,
        **{f"roi_{c}": ("roi", boxes[:, i]) for i, c in enumerate(("y0", "y1", "x0", "x1"))},
    }
    data = {
        "intensity": (("time", "roi"), np.asarray(intensity, dtype=float), {"units": "counts"}),
        "com_y": (("time", "roi"), np.full((n, len(rois)), 50.0)),
        "n_valid": (("time", "roi"), np.full((n, len(rois)), 25)),
        "quality": (("time", "roi"), np.zeros((n, len(rois)), dtype="int32"), QUALITY),
    }
    attrs = {"time_zone": "Asia/Tokyo", "source": f"0884/{name}", **extra}
    return xr.Dataset(data, coords, attrs)


def test_sorted_whatever_the_order_of_the_input():
    a, b, c = series("time1"), series("time2", (10, 11)), series("time3", (100,))
    sample = stitch([c, a, b])
    assert sample.measurement.values.tolist() == ["time1"] * 3 + ["time2"] * 2 + ["time3"]
    assert (np.diff(sample.time.values) >= 0 * SECOND).all()
    np.testing.assert_array_equal(sample.intensity.sel(roi="WZ"), [100, 101, 102, 100, 101, 100])
    assert sample.segment.values.tolist() == [0] * 6
    assert json.loads(sample.attrs["sources"]) == ["0884/time1", "0884/time2", "0884/time3"]
    assert sample.attrs["time_zone"] == "Asia/Tokyo"
    assert sample.exposure_time.ndim == 0
    assert sample.roi_y0.dims == ("roi",)
    xr.testing.assert_identical(sample, stitch([a, b, c]))


def test_inputs_are_left_as_they_are():
    a, b = series("time1"), series("time2", (10, 11), rois=("TW",))
    before = a.copy(deep=True), b.copy(deep=True)
    stitch([b, a])
    xr.testing.assert_identical(a, before[0])
    xr.testing.assert_identical(b, before[1])


def test_gaps_stay_gaps_and_repeated_stamps_keep_their_order():
    a = series("time1", (0, 1, 1, 1, 2))
    b = series("time2", (2, 500))  # begins with the second in which the first one ends
    sample = stitch([b, a])
    assert sample.sizes["time"] == 7
    assert sample.frame.values.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert sample.measurement.values.tolist() == ["time1"] * 5 + ["time2"] * 2
    assert np.diff(sample.time.values).max() == 498 * SECOND


def test_mapping_and_datatree_name_their_measurements():
    a, b = series("x").drop_vars("measurement"), series("y", (10, 11)).drop_vars("measurement")
    by_mapping = stitch({"time1": a, "time2": b})
    tree = xr.DataTree(children={"time1": xr.DataTree(a), "time2": xr.DataTree(b)})
    assert by_mapping.measurement.values.tolist() == ["time1"] * 3 + ["time2"] * 2
    xr.testing.assert_identical(by_mapping, stitch(tree))


def test_rois_agree_by_name():
    a, b = series("time1", rois=("WZ", "ZB")), series("time2", (10, 11), rois=("ZB", "TW"), box=None)
    with pytest.warns(XinsituWarning, match="ZB"):
        sample = stitch([a, b])
    assert sample.roi.values.tolist() == ["WZ", "ZB", "TW"]
    np.testing.assert_array_equal(sample.intensity.sel(roi="WZ"), [100, 101, 102, np.nan, np.nan])
    np.testing.assert_array_equal(sample.intensity.sel(roi="ZB"), [200, 201, 202, 100, 101])
    np.testing.assert_array_equal(sample.intensity.sel(roi="TW"), [np.nan] * 3 + [200, 201])
    assert sample.n_valid.dtype.kind == "i"
    assert sample.n_valid.sel(roi="TW").values.tolist() == [0, 0, 0, 25, 25]
    assert sample.quality.dtype == np.int32


def test_differing_boxes_are_kept_and_told():
    a, b = (
        series("time1", rois=("WZ",), box=(60, 150, 210, 270)),
        series("time2", (9,), rois=("WZ",), box=(90, 110, 225, 250)),
    )
    with pytest.warns(XinsituWarning, match=r"WZ: y 60:150 x 210:270 in time1, y 90:110 x 225:250 in time2"):
        sample = stitch([a, b])
    assert sample.roi_y0.dims == ("time", "roi")
    assert sample.roi_y0.values.ravel().tolist() == [60, 60, 60, 90]
    assert sample.roi_x1.values.ravel().tolist() == [270, 270, 270, 250]
    again = stitch([sample, series("time3", (20,), rois=("WZ",), box=(1, 2, 3, 4))])
    assert again.roi_y0.values.ravel().tolist() == [60, 60, 60, 90, 1]


def test_a_roi_with_one_box_everywhere_keeps_it_though_a_measurement_lacks_it():
    sample = stitch([series("time1", rois=("WZ", "ZB")), series("time2", (9,), rois=("WZ",))])
    assert sample.roi_y0.dims == ("roi",)
    assert sample.roi_y0.sel(roi="ZB").item() == 10
    assert sample.roi_y0.dtype.kind == "i"


def test_columns_that_only_some_have():
    a = series("time1").assign_coords(monitor=("time", [7, 8, 9]), exposure_time=2.0)
    sample = stitch([a, series("time2", (10, 11))])
    np.testing.assert_array_equal(sample.monitor, [7, 8, 9, np.nan, np.nan])
    np.testing.assert_array_equal(sample.exposure_time, [2, 2, 2, 1, 1])
    unknown = stitch([a, series("time2", (10, 11)).drop_vars("exposure_time")])
    np.testing.assert_array_equal(unknown.exposure_time, [2, 2, 2, np.nan, np.nan])


def test_overlap_says_which_and_can_be_allowed_by_name():
    a, b, c = series("time1", (0, 10)), series("time2", (5, 15)), series("time3", (12, 20))
    with pytest.raises(StitchError, match=r"time1.*and time2.*overlap in time"):
        stitch([a, b, c])
    with pytest.raises(StitchError, match=r"time2.*and time3.*overlap in time"):
        stitch([a, b, c], allow_overlap="time1")
    sample = stitch([a, b, c], allow_overlap=["time2"])
    assert sample.measurement.values.tolist() == ["time1", "time2", "time1", "time3", "time2", "time3"]
    xr.testing.assert_identical(sample, stitch([a, b, c], allow_overlap=True))


def test_scans_of_one_measurement_may_come_apart_but_no_frame_twice():
    one, two = series("time2", scan=1), series("time2", (10, 11), scan=2)
    assert stitch([two, one]).scan.values.tolist() == [1, 1, 1, 2, 2]
    with pytest.raises(StitchError, match="'time2' is given twice: both parts hold scan 1 frame 0"):
        stitch([one, series("time2", (10, 11), scan=1)])


def test_appending_to_a_sample():
    a, b, c = series("time1"), series("time2", (10, 11)), series("time3", (20,))
    xr.testing.assert_identical(stitch([stitch([a, b]), c]), stitch([a, b, c]))


def test_refusals_are_one_sentence():
    with pytest.raises(StitchError, match="nothing to stitch"):
        stitch([])
    with pytest.raises(StitchError, match="series 1 is a DataArray"):
        stitch([series().intensity])
    with pytest.raises(SchemaError, match="datetime64"):
        stitch([series().assign_coords(time=[0.0, 1.0, 2.0])])
    other = series("time2", (10, 11))
    other.intensity.attrs["units"] = "1"
    with pytest.raises(StitchError, match="intensity of time1 is in counts and of time2 in 1"):
        stitch([series("time1"), other])
    with pytest.raises(StitchError, match="already corrected"):
        stitch([series().assign_coords(attenuation_factor=("time", [1.0, 1.0, 1.0]))])


def test_nothing_is_computed(computes):
    parts = series("time1"), series("time2", (10, 11), rois=("WZ", "ZB", "TW"))
    lazy = [part.assign({name: data.chunk() for name, data in part.data_vars.items()}) for part in parts]
    with computes(0):
        sample = stitch(lazy)
    assert sample.intensity.chunks is not None
    xr.testing.assert_identical(
        sample.compute(), stitch([series("time1"), series("time2", (10, 11), rois=("WZ", "ZB", "TW"))])
    )


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sample():
    return stitch([series("time1", (0, 1, 1, 2)), series("time2", (10, 11), scan=1), series("time2", (20, 21), scan=2)])


def test_frame_keys(sample):
    assert resolve_key(sample, Key("time1", 1, 2)) == 2
    assert resolve_key(sample, {"measurement": "time2", "scan": 2, "frame": 1}) == 7
    assert resolve_key(sample, {"measurement": "time1", "frame": 3}) == 3
    assert resolve_key(sample, {"scan": 2, "frame": 0}) == 6
    with pytest.raises(StitchError, match=r"names 2 frames \(time2 scan 1, time2 scan 2\); name the measurement"):
        resolve_key(sample, {"measurement": "time2", "frame": 1})
    with pytest.raises(StitchError, match="no frame for measurement time1, frame 9; frames run from 0 to 3"):
        resolve_key(sample, {"measurement": "time1", "frame": 9})
    with pytest.raises(StitchError, match="no measurement 'time7' in the sample; there are time1, time2"):
        resolve_key(sample, {"measurement": "time7", "frame": 9})


def test_time_keys(sample):
    at_1 = START + SECOND
    assert resolve_key(sample, at_1, side="before") == 2
    assert resolve_key(sample, at_1, side="after") == 1
    assert resolve_key(sample, at_1, side="after", later_than=2) == 3
    assert resolve_key(sample, START + 5 * SECOND, side="before") == 3
    assert resolve_key(sample, START + 5 * SECOND, side="after") == 4
    assert resolve_key(sample, "2014-05-28T17:00:10+09:00") == 4
    assert resolve_key(sample, "2014-05-28T17:00:10") == 4  # Tokyo, as the sample's time_zone says
    assert resolve_key(sample, {"measurement": "time2", "seconds": 10}) == 6
    with pytest.raises(StitchError, match=r"no frame at or before .*; they begin at 2014-05-28T08:00:00Z"):
        resolve_key(sample, START - SECOND, side="before")
    with pytest.raises(StitchError, match=r"no frame at or after .*; they end at 2014-05-28T08:00:21Z"):
        resolve_key(sample, START + 99 * SECOND, side="after")
    assert resolve_key(sample.assign_attrs(time_zone="+09:00"), "2014-05-28T17:00:10") == 4
    with pytest.raises(StitchError, match="cannot be read in the time zone 'Mars/Gale'"):
        resolve_key(sample.assign_attrs(time_zone="Mars/Gale"), "2014-05-28T17:00:10")
    with pytest.raises(StitchError, match="no time_zone"):
        resolve_key(sample.drop_attrs(), "2014-05-28T17:00:10")


def test_a_frame_wins_over_the_time_beside_it(sample):
    key = {"measurement": "time1", "frame": 1, "utc": "2014-05-28T08:00:20Z"}
    assert resolve_key(sample, key) == 1
    assert resolve_key(sample.drop_vars("frame"), key) == 6
    with pytest.raises(StitchError, match="does not number its frames"):
        resolve_key(sample.drop_vars("frame"), {"measurement": "time1", "frame": 1})
