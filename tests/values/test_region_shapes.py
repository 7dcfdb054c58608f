"""Shapes of ROIs: checked when they are made, the same after a round trip, never measured as their box."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.errors import RoiError
from xinsitu.values import Ellipse, KeyFrame, Mask, Polygon, Roi, RoiSet, Rotated, Sector, region_shapes
from xinsitu.values.logbook import Key

SHAPES = [
    Polygon([(10, 10), (12.5, 31), (30, 20)]),
    Ellipse((20, 30), (5, 7.25), 15),
    Rotated((25, 25.5), (6, 18), -40),
    Sector((20, 30), (5, 12), (10, 300)),
    Mask.of(np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0]], dtype=bool), (7, 9)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.kind)
@pytest.mark.parametrize("edges", ["whole", "exact"])
def test_files_hold_every_shape(shape, edges, tmp_path):
    roi = Roi("spot", geometry=shape, edges=edges, color="red", background=("edge",))
    xi.write_rois([roi, Roi("box", (1, 4), (2, 9))], tmp_path / "rois.json")
    again = xi.read_rois(tmp_path / "rois.json")
    assert again["spot"] == roi
    assert (again["spot"].y, again["spot"].x, again["spot"].edges) == (roi.y, roi.x, edges)
    document = json.loads((tmp_path / "rois.json").read_text())["rois"]
    assert "y" not in document[0]
    assert document[0]["shape"]["kind"] == shape.kind
    assert document[1] == {"name": "box", "y": [1, 4], "x": [2, 9], "role": "signal", "path": None}
    assert pickle.loads(pickle.dumps(roi)) == roi
    assert hash(roi) == hash(again["spot"])


def test_pixels_of_a_mask_come_from_a_file_beside_the_rois(tmp_path):
    pixels = np.zeros((40, 50), dtype=bool)
    pixels[5:9, 7:30] = True
    pixels[6, 8] = False
    np.save(tmp_path / "ring.npy", pixels)
    rois = [{"name": "a", "shape": {"kind": "mask", "file": "ring.npy"}}]
    document = {"format": "xinsitu-rois", "version": 1, "rois": rois}
    (tmp_path / "rois.json").write_text(json.dumps(document))
    roi = xi.read_rois(tmp_path / "rois.json")["a"]
    assert (roi.y, roi.x, roi.area) == ((5, 9), (7, 30), 4 * 23 - 1)
    assert roi.to_dict()["shape"]["runs"][1] == [6, 7, 8]
    with pytest.raises(RoiError, match="read_rois"):
        RoiSet.from_dict(document)
    rois[0]["shape"] = {"kind": "mask", "file": "../elsewhere.npy"}
    (tmp_path / "rois.json").write_text(json.dumps(document))
    with pytest.raises(RoiError, match=r"elsewhere\.npy"):
        xi.read_rois(tmp_path / "rois.json")


@pytest.mark.parametrize(
    "shape",
    [
        {"kind": "circle", "centre": [3, 4], "radius": 2}, {"kind": "ellipse", "centre": [3, 4]}, {},
        {"kind": "ellipse", "centre": [3, 4], "axes": [0, 2]},
        {"kind": "ellipse", "centre": [30, 40], "axes": [2, 2], "r": 1},
        {"kind": "ellipse", "centre": [3, "x"], "axes": [1, 2]}, {"kind": "polygon", "points": [[1, 1], [2, 2]]},
        {"kind": "polygon", "points": [[10, 10], [20, 20], [10, 20], [20, 10]]}, {"kind": "mask", "runs": []},
        {"kind": "polygon", "points": [[1, 1], [2, 2], [3, 3]]},
        {"kind": "sector", "centre": [40, 40], "radius": [5, 2]},
        {"kind": "sector", "centre": [40, 40], "radius": [5, 9], "angle": [0, 400]},
        {"kind": "mask", "runs": [[3, 4, 9], [3, 8, 11]]}, {"kind": "mask", "runs": [[3, 9, 4]]},
        {"kind": "rotated", "centre": [3, 4], "size": [3, float("nan")], "angle": 3},
        {"kind": "ellipse", "centre": [2, -12], "axes": [9, 9]},
        {"kind": "ellipse", "centre": [9.5, 9.5], "axes": [0.2, 0.2]},
        {"kind": "ellipse", "centre": [3e5, 3e5], "axes": [2e5, 2e5]},
        {"kind": "mask", "runs": [[0, 0, 1], [90000, 0, 9000]]},
        {"kind": "ellipse", "centre": [10**400, 3], "axes": [2, 2]},
        {"kind": "polygon", "points": "abc"}, {"kind": "polygon", "points": None}, {"kind": ["mask"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_shape_that_makes_no_sense_is_refused_by_name(shape):
    with pytest.raises(RoiError, match="'spot'"):
        Roi.from_dict({"name": "spot", "shape": shape})


def test_the_box_follows_from_the_shape():
    roi = Roi("a", geometry=Ellipse((20, 30), (5, 7)))
    assert (roi.y, roi.x) == ((16, 25), (24, 37))
    assert Roi("a", roi.y, roi.x, geometry=roi.geometry) == roi
    with pytest.raises(RoiError, match="leave out y and x"):
        Roi("a", (16, 26), roi.x, geometry=roi.geometry)
    moved = roi.moved(y=(20, 29), x=(20, 33))
    assert moved.geometry == Ellipse((24, 26), (5, 7))
    np.testing.assert_array_equal(moved.weights, roi.weights)
    with pytest.raises(RoiError, match="another size"):
        roi.moved(y=(20, 30))
    with pytest.raises(RoiError, match="key frames"):
        Roi("a", geometry=roi.geometry, path=(KeyFrame(Key(frame=0), (0, 10), (0, 13)),))


def test_a_ring_is_whole_from_any_angle_to_itself():
    """Though first + 360 - first is a little more than 360 for some numbers."""
    first = 665 - 1e-13
    assert (first + 360) - first > 360
    ring = Sector((20, 30), (0, 5), (first, first + 360))
    np.testing.assert_array_equal(ring.weights("whole")[1], Sector((20, 30), (0, 5)).weights("whole")[1])
    assert ring.weights("exact")[1].sum() == pytest.approx(ring.area, abs=1e-9)


def test_a_rectangle_keeps_no_weights():
    assert Roi("a", geometry=Polygon([(1.5, 2.5), (1.5, 9.5), (7.5, 9.5), (7.5, 2.5)]), edges="exact").weights is None
    assert Roi("a", (2, 8), (3, 10)).weights is None
    with pytest.raises(RoiError, match="whole, exact"):
        Roi("a", (2, 8), (3, 10), edges="soft")


def test_sets_show_the_shape_and_check_the_detector():
    rois = RoiSet([Roi("a", geometry=SHAPES[1]), Roi("b", (1, 4), (2, 9))])
    assert "ellipse" in rois._repr_html_()
    assert RoiSet(rois, (22, 100))["a"].y == (rois["a"].y[0], 22)  # a shape is cut,
    with pytest.raises(RoiError, match="outside the detector"):  # and a box is not
        RoiSet(rois[1:], (3, 100))
    with pytest.raises(RoiError, match="off the detector"):
        RoiSet(rois, (5, 100))


@pytest.mark.parametrize("angle", [0, 30, 45, 90, -37, 53.13010235415598])
@pytest.mark.parametrize(("centre", "size"), [((20, 30), (4, 10)), ((20.5, 30), (5, 8)), ((20, 30.5), (6, 6))])
def test_a_box_is_the_same_whichever_way_it_is_turned(centre, size, angle):
    """Centres of pixels lie on its sides: half a turn is the same box, and a quarter with sides exchanged."""
    held = Rotated(centre, size, angle).holds((0, 0), (50, 60))
    for half in (-180, 180, 360, 540):
        np.testing.assert_array_equal(Rotated(centre, size, angle + half).holds((0, 0), (50, 60)), held)
    for quarter in (-90, 90, 270):
        np.testing.assert_array_equal(Rotated(centre, size[::-1], angle + quarter).holds((0, 0), (50, 60)), held)
    if angle % 45 == 0:
        polygon = Polygon(Rotated(centre, size, angle).corners)
        np.testing.assert_array_equal(polygon.holds((0, 0), (50, 60)), held)


def test_a_box_turned_by_half_has_the_same_ground():
    frame = xr.DataArray(np.random.default_rng(2).poisson(20, (1, 50, 60)), dims=("time", "y", "x"))
    rois = [
        Roi(str(angle), geometry=Rotated((20, 30), (8, 14), angle), background="edge") for angle in (0, 180, 30, 210)
    ]
    series = xi.measure(frame, rois)
    for name in ("intensity", "intensity_errors", "com_y", "com_x", "fwhm_y"):
        one, other = series[name].values[0, ::2], series[name].values[0, 1::2]
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "shape",
    [Ellipse((40.3, 60.5), (31.25, 50.5), 30), Rotated((50, 70.5), (40, 90), -20), Rotated((50, 70), (40, 90), 90),
     Sector((50, 50), (10, 70), (30, 200)), Polygon([(5.5, 5), (300, 12.25), (20, 140), (10, 20)])],
    ids=lambda shape: shape.kind,
)  # fmt: skip
@pytest.mark.parametrize("band", [1, 500, 2**20])
def test_a_shape_is_the_same_in_bands_of_any_number_of_rows(shape, band, monkeypatch):
    monkeypatch.setattr(region_shapes, "_BAND", band)
    origin, size = shape.around
    box, weights = shape.weights("whole")
    whole = region_shapes.smallest(origin, shape.holds(origin, size).astype(float))
    assert box == whole[0]
    assert np.array_equal(weights, whole[1])
