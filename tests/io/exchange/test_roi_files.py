"""ROIs of other programs: bytes that roifile, h5py, fabio and silx made, and ours as these programs read them."""

from __future__ import annotations

import json
import math
import struct
import sys
import warnings
import zipfile
from importlib.util import find_spec

import h5py
import numpy as np
import pytest

import xinsitu as xi
from xinsitu.errors import DocumentError, RoiError, XinsituWarning
from xinsitu.values import Ellipse, Mask, Polygon, Roi, RoiSet, Rotated, Sector

needs_roifile = pytest.mark.skipif(find_spec("roifile") is None, reason="roifile is not installed")

ALL = RoiSet(
    [
        Roi("box", (10, 30), (20, 55)),
        Roi("ellipse", geometry=Ellipse((40, 60.5), (6.25, 11.5), 30)),
        Roi("circle", geometry=Ellipse((40, 60), (8, 8))),
        Roi("turned", geometry=Rotated((50, 40.5), (10, 30), -20)),
        Roi("triangle", geometry=Polygon([(5.5, 5), (30, 12.25), (20, 40)])),
        Roi("arc", geometry=Sector((50, 50), (10, 20), (30, 120))),
        Roi("pixels", geometry=Mask.of(np.eye(9, dtype=bool), (70, 80))),
    ],
    (100, 120),
)


def close(one, other):
    """Whether two ROIs are the same to the precision of single floats."""
    if one.geometry is None or other.geometry is None:
        return one == other
    mine, theirs = (roi.geometry.to_dict() for roi in (one, other))
    kinds = mine.pop("kind") == theirs.pop("kind")
    return kinds and all(np.allclose(mine[key], theirs[key], atol=1e-4) for key in mine)


@needs_roifile
def test_imagej_files_go_there_and_back(tmp_path):
    with pytest.warns(XinsituWarning, match=r"(?s)(?=.*'pixels' is left out)(?=.*'arc' is written)"):
        xi.write_rois(ALL, tmp_path / "all.zip")
    again = xi.read_rois(tmp_path / "all.zip")
    assert again.names == ALL.names[:-1]
    for name in ALL.names[:5]:
        assert close(ALL[name], again[name]), name
    assert again["arc"].geometry.kind == "polygon"
    assert again["arc"].area == pytest.approx(ALL["arc"].area, rel=0.02)
    xi.write_rois([ALL["ellipse"]], tmp_path / "one.roi")
    assert close(xi.read_rois(tmp_path / "one.roi")["ellipse"], ALL["ellipse"])
    with pytest.raises(DocumentError, match=r"write them to a \.zip"):
        xi.write_rois(ALL[:2], tmp_path / "two.roi")


@needs_roifile
def test_pixels_of_imagej_are_ours(tmp_path):
    """Its rectangle at (3, 2), 5 wide and 4 high, has the pixels 3 to 7 and 2 to 5; a point and a line have no area."""
    import roifile

    kinds = roifile.ROI_TYPE
    box = roifile.ImagejRoi(roitype=kinds.RECT, left=3, top=2, right=8, bottom=6, version=228, name="box")
    box.stroke_color = b"\xff\xff\x00\x10"
    oval = roifile.ImagejRoi(roitype=kinds.OVAL, left=10, top=10, right=30, bottom=20, version=228, name="oval")
    corners = roifile.ImagejRoi.frompoints([[3, 2], [8, 2], [8, 6], [3, 6]], name="box")
    point = roifile.ImagejRoi.frompoints([[5, 5]], name="point")
    point.roitype = kinds.POINT
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for number, one in enumerate((box, oval, corners, point)):
            archive.writestr(f"{number}.roi", one.tobytes())
        archive.writestr("readme.txt", "no ROI")
    with pytest.warns(XinsituWarning, match="'point' is left out"):
        rois = xi.read_rois(tmp_path / "set.zip")
    assert rois.names == ("box", "oval", "box (2)")
    assert (rois["box"].y, rois["box"].x, rois["box"].color) == ((2, 6), (3, 8), "#ff0010")
    assert (rois["box (2)"].y, rois["box (2)"].x, rois["box (2)"].weights) == ((2, 6), (3, 8), None)
    assert rois["oval"].geometry == Ellipse((14.5, 19.5), (5, 10))


@needs_roifile
@pytest.mark.parametrize("data", [b"Iout", b"Iout" + bytes(60), b"PK\x03\x04 no zip", b"Iout\0\xe4\x09" + b"\xff" * 90])
def test_broken_imagej_files_are_refused_by_name(data, tmp_path):
    (tmp_path / "broken.roi").write_bytes(data)
    with pytest.raises(DocumentError, match=r"broken\.roi"):
        xi.read_rois(tmp_path / "broken.roi")


def test_a_missing_roifile_is_said_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "one.roi").write_bytes(b"Iout" + bytes(100))
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(DocumentError, match=r"roifile: pip install 'xinsitu\[exchange\]'"):
        xi.read_rois(tmp_path / "one.roi")


def test_tables_of_bliss(tmp_path):
    table = {
        "roi1": {"kind": "rect", "x": 20, "y": 10, "width": 35, "height": 20},
        "arc1": {"kind": "arc", "cx": 50, "cy": 40.5, "r1": 10, "r2": 20, "a1": 30, "a2": 120},
        "odd": {"kind": "blob", "x": 1, "y": 2, "width": 3, "height": 4},
    }
    (tmp_path / "bliss.json").write_text(json.dumps(table))
    with pytest.warns(XinsituWarning, match=r"from BLISS.*'odd' is left out: is of the kind 'blob'"):
        rois = xi.read_rois(tmp_path / "bliss.json")
    assert (rois["roi1"].y, rois["roi1"].x) == ((10, 30), (20, 55))
    assert rois["arc1"].geometry == Sector((40.5, 50), (10, 20), (30, 120))
    xi.write_rois(rois, tmp_path / "again.json", form="bliss")
    assert json.loads((tmp_path / "again.json").read_text()) == {name: table[name] for name in ("roi1", "arc1")}
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        for name in ("roi1", "arc1"):
            group = file.create_group(f"1.1/instrument/pilatus/roi_counters/{name}/selection")
            for key, value in table[name].items():
                group[key] = value
    assert set(xi.read_rois(tmp_path / "scan.h5")) == set(rois)


def test_autosave_files_of_area_detector(tmp_path):
    (tmp_path / "auto.sav").write_text(
        "# autosave R5.3\n13PIL:ROIStat1:1:Use 1\n13PIL:ROIStat1:1:Name WZ\n13PIL:ROIStat1:1:MinX 210\n"
        "13PIL:ROIStat1:1:MinY 60\n13PIL:ROIStat1:1:SizeX 60\n13PIL:ROIStat1:1:SizeY 90\n"
        "13PIL:ROIStat1:2:Use 0\n13PIL:ROIStat1:2:MinX 0\n13PIL:ROIStat1:2:MinY 0\n13PIL:ROIStat1:2:SizeX 5\n"
        "13PIL:ROIStat1:2:SizeY 5\n13PIL:ROI1:MinX 3\n13PIL:ROI1:MinY 4\n13PIL:ROI1:SizeX 5\n"
        "13PIL:ROI1:SizeY 6\n<END>\n"
    )
    rois = xi.read_rois(tmp_path / "auto.sav")
    assert rois.names == ("WZ", "13PIL:ROI1")
    assert (rois["WZ"].y, rois["WZ"].x) == ((60, 150), (210, 270))
    with pytest.warns(XinsituWarning, match="'arc' is left out: areaDetector has rectangles, no sector"):
        xi.write_rois([*rois, ALL["arc"]], tmp_path / "again.sav")
    again = xi.read_rois(tmp_path / "again.sav")
    assert [(roi.y, roi.x) for roi in again] == [(roi.y, roi.x) for roi in rois]


def test_regions_of_dawn(tmp_path):
    """DAWN counts from the corner of the first pixel, and turns a rectangle about its first corner."""
    with pytest.warns(XinsituWarning, match="'pixels' is left out"):
        xi.write_rois(ALL, tmp_path / "dawn.json", form="dawn")
    again = xi.read_rois(tmp_path / "dawn.json")
    for name in ALL.names[:-1]:
        assert close(ALL[name], again[name]), name
    beans = [
        {"type": "RectangularROI", "name": "quarter", "startPoint": [30, 10], "lengths": [20, 8], "angle": math.pi / 2},
        {"type": "RingROI", "name": "ring", "startPoint": [50.5, 40.5], "radii": [5, 9]},
        {"type": "LinearROI", "name": "line", "startPoint": [1, 2], "endPoint": [3, 4]},
        {"type": "CircularROI", "name": "disc", "startPoint": [50.5, 40.5], "radius": 9},
    ]
    with h5py.File(tmp_path / "dawn.nxs", "w") as file:
        for bean in beans:
            file[f"entry/region/{bean['name']}"] = json.dumps(bean)
    with pytest.warns(XinsituWarning, match="'line' is left out: is a LinearROI"):
        rois = xi.read_rois(tmp_path / "dawn.nxs")
    assert (rois["quarter"].y, rois["quarter"].x) == ((10, 30), (22, 30))
    assert rois["ring"].geometry == Sector((40, 50), (5, 9), (0, 360))
    assert rois["disc"].geometry == Ellipse((40, 50), (9, 9))


@pytest.mark.parametrize("ending", [".npy", ".edf"])
def test_masks_go_to_silx_and_back_level_by_level(ending, tmp_path):
    with pytest.warns(XinsituWarning, match="levels are 1 'box', 2 'circle'"):
        xi.write_rois(RoiSet([ALL["box"], ALL["circle"]], (100, 120)), tmp_path / f"mask{ending}")
    if ending == ".edf":
        fabio = pytest.importorskip("fabio")
        with fabio.open(str(tmp_path / "mask.edf")) as file:
            levels = file.data.copy()
    else:
        levels = np.load(tmp_path / "mask.npy")
    assert levels.shape == (100, 120)
    assert (levels == 1).sum() == ALL["box"].area
    assert (levels == 2).sum() == ALL["circle"].area
    rois = xi.read_rois(tmp_path / f"mask{ending}")
    assert rois.names == ("mask 1", "mask 2")
    assert rois["mask 1"].weights is None
    np.testing.assert_array_equal(rois["mask 2"].weights, ALL["circle"].weights)


def test_masks_that_silx_and_fit2d_write_are_read(tmp_path):
    edffile = pytest.importorskip("silx.third_party.EdfFile")
    drawn = np.zeros((30, 40), dtype=np.uint8)
    drawn[4:9, 7:20] = 1
    edffile.EdfFile(str(tmp_path / "silx.edf"), access="w+").WriteImage({}, drawn, Append=0)
    packed = np.packbits(np.pad(drawn[::1], ((0, 0), (0, 24))), axis=1, bitorder="little")
    head = b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0" + struct.pack("<II", 40, 30)
    (tmp_path / "fit2d.msk").write_bytes(head.ljust(1024, b"\0") + packed.tobytes())
    for name in ("silx.edf", "fit2d.msk"):
        (roi,) = xi.read_rois(tmp_path / name)
        assert (roi.y, roi.x, roi.weights) == ((4, 9), (7, 20), None)


def test_what_has_no_region_is_refused_in_our_words(tmp_path):
    curves = {"ROI": {"roilist": ["a"], "roidict": {"a": {"from": 1, "to": 2, "type": "x"}}}}
    for name, text, said in (
        ("curves.json", json.dumps(curves), "ranges on curves"),
        ("other.json", '{"a": 1}', "xinsitu-rois"),
        ("beans.json", '[{"type": "LinearROI", "startPoint": [0, 0]}]', "no region that can be measured"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DocumentError, match=said):
            xi.read_rois(tmp_path / name)


def test_what_others_have_no_word_for_is_said(tmp_path):
    roi = Roi("a", (1, 5), (2, 9), background=("edge",), measure=("com",))
    with pytest.warns(XinsituWarning, match="backgrounds, what is measured of ROIs"):
        xi.write_rois([roi], tmp_path / "a.json", form="bliss")
    with pytest.raises(DocumentError, match="are written as"):
        xi.write_rois([roi], tmp_path / "b.json", form="omero")
    with pytest.raises(xi.ResultExists):
        xi.write_rois([roi], tmp_path / "a.json", form="bliss")


@pytest.mark.parametrize(
    ("words", "name", "said"),
    [
        ({"name": "a\x07b"}, "ab", None),
        ({"name": "\x07"}, "one", None),
        ({"name": "a", "rounded_rect_arc_size": 8}, "a", "'a' is the whole rectangle, without its round corners"),
        ({"name": "a", "bottom": 5}, None, "'a' is left out: y must be"),
        ({"name": "a", "roitype": "ANGLE"}, None, "'a' is left out: is of the kind angle, which has no"),
    ],
)
@needs_roifile
def test_odd_regions_of_imagej(words, name, said, tmp_path):
    import roifile

    words = words | {"roitype": roifile.ROI_TYPE[words.get("roitype", "RECT")]}
    known = {"top": 5, "left": 6, "bottom": 15, "right": 26, "version": 228}
    roifile.ImagejRoi(**known | words).tofile(tmp_path / "one.roi")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if name is None:
            with pytest.raises(DocumentError, match=said):
                xi.read_rois(tmp_path / "one.roi")
        else:
            (roi,) = xi.read_rois(tmp_path / "one.roi")
            assert (roi.name, roi.y, roi.x) == (name, (5, 15), (6, 26))
    assert name is None or [said in str(one.message) for one in caught if said] == [True] * bool(said)


@pytest.mark.parametrize(
    ("form", "ending"),
    [*(pytest.param("imagej", ending, marks=needs_roifile) for ending in (".roi", ".zip")),
     ("bliss", ".json"), ("bliss", ".h5"), ("dawn", ".json"), ("dawn", ".nxs"),
     ("areadetector", ".sav"), ("mask", ".npy")],
)  # fmt: skip
def test_a_file_without_a_region_is_not_written(form, ending, tmp_path):
    """It could not be read again either."""
    specks = xi.Mask(((3, 1, 2), (9, 5, 6))), xi.Ellipse((10.3, 10.3), (0.2, 0.2))
    roi = Roi("a", geometry=specks[form == "mask"], edges="exact" if form == "mask" else "whole")
    with pytest.raises(DocumentError, match=r"no ROI can be written for .*'a' is left out"):
        xi.write_rois(RoiSet((roi,), detector_shape=(60, 90)), tmp_path / f"a{ending}", form=form)
    assert not list(tmp_path.iterdir())


# -- laid out as in public sources of these programs, with numbers of our own ------------------------------------------


def test_a_scan_of_bliss_as_flint_reads_it(tmp_path):
    """Root ``creator``, ``SCAN/instrument/DETECTOR_ROI/selection`` and texts in bytes: bliss/flint/utils."""
    rect = {"kind": b"rect", "x": 11, "y": 7, "width": 6, "height": 4}
    rois = {
        "roi_1": rect,
        "ring": {"kind": b"arc", "cx": 40.0, "cy": 31.0, "r1": 5.0, "r2": 9.0, "a1": -30.0, "a2": 60.0},
        "line": {"kind": b"profile", "mode": b"vertical", "x": 2, "y": 3, "width": 20, "height": 5},
    }
    with h5py.File(tmp_path / "scans.h5", "w") as file:
        file.attrs.update({"creator": "Bliss", "NX_class": "NXroot"})
        for scan, shift in (("1.1", 0), ("2.1", 5)):
            file.create_group(f"{scan}/instrument/mpx_si").attrs["NX_class"] = "NXdetector"
            for name, fields in rois.items():
                group = file.create_group(f"{scan}/instrument/mpx_si_{name}/selection")
                for key, value in fields.items():
                    group[key] = value + shift if name == "roi_1" and key == "x" else value
    with pytest.warns(XinsituWarning, match="'line' is a rectangle.*'roi_1' is elsewhere in later scans"):
        found = xi.read_rois(tmp_path / "scans.h5")
    assert set(found.names) == set(rois)
    assert (found["roi_1"].y, found["roi_1"].x) == ((7, 11), (11, 17))
    assert found["ring"].geometry == Sector((31, 40), (5, 9), (-30, 60))
    assert (found["line"].y, found["line"].x) == ((3, 8), (2, 22))
    xi.write_rois([found["roi_1"], found["ring"]], tmp_path / "again.h5", form="bliss")
    assert set(xi.read_rois(tmp_path / "again.h5")) == {found["roi_1"], found["ring"]}
    with h5py.File(tmp_path / "again.h5") as file:  # what flint asks for
        assert file.attrs["creator"] == "Bliss"
        assert file["1.1"].attrs["NX_class"] == "NXentry"
        assert file["1.1/instrument/detector_ring/selection/kind"][()].decode("ascii") == "arc"


def test_a_file_of_dawn_as_its_persistence_service_writes_it(tmp_path):
    """``/entry/region/NAME``, an integer with the attribute JSON, ends that are null: org.dawnsci.persistence."""
    beans = {
        "Box 1": {"type": "RectangularROI", "name": "Box 1", "startPoint": [12.0, 6.0], "lengths": [9.0, 4.0],
                  "angle": 0.0, "endPoint": None},
        "Sector 1": {"type": "SectorROI", "name": None, "startPoint": [30.5, 20.5], "radii": [4.0, 8.0],
                     "angles": [0.0, 1.5707963267948966], "symmetry": 1, "dpp": 1.0},
    }  # fmt: skip
    with h5py.File(tmp_path / "saved.nxs", "w") as file:
        for name, bean in beans.items():
            file[f"entry/region/{name}"] = np.zeros(1, dtype="int32")
            file[f"entry/region/{name}"].attrs["JSON"] = json.dumps(bean)
        file["entry/mask/mask"] = np.zeros((5, 6), dtype="int16")
    with pytest.warns(XinsituWarning, match="'Sector 1' is the sector alone.*the mask beside the regions"):
        found = xi.read_rois(tmp_path / "saved.nxs")
    assert (found["Box 1"].y, found["Box 1"].x) == ((6, 10), (12, 21))
    assert found["Sector 1"].geometry == Sector((20, 30), (4, 8), (0, 90))
    with pytest.warns(XinsituWarning, match="'pixels' is left out"):
        xi.write_rois(ALL, tmp_path / "ours.nxs", form="dawn")
    with h5py.File(tmp_path / "ours.nxs") as file:
        assert json.loads(file["entry/region/box"].attrs["JSON"])["type"] == "RectangularROI"
    again = xi.read_rois(tmp_path / "ours.nxs")
    assert all(close(ALL[name], again[name]) for name in ALL.names[:-1])


def test_start_up_scripts_and_switched_off_axes_of_area_detector(tmp_path):
    lines = [
        'dbpf $(P)ROIStat1:1:Use 1', 'dbpf $(P)ROIStat1:1:MinX 21', 'dbpf("skip")', 'dbpf $(P)ROIStat1:1:MinY 6',
        'dbpf "$(P)ROIStat1:1:SizeX" "5"', 'dbpf $(P)ROIStat1:1:SizeY 4', '#dbgf $(P)ROIStat1:1:Net_RBV',
        "XF:1{Det:PIL}ROI2:EnableX 0", "XF:1{Det:PIL}ROI2:MinX 1", "XF:1{Det:PIL}ROI2:MinY 1",
        "XF:1{Det:PIL}ROI2:SizeX 9", "XF:1{Det:PIL}ROI2:SizeY 9",
    ]  # fmt: skip
    (tmp_path / "st.cmd").write_text("\n".join(lines))
    with pytest.warns(XinsituWarning, match="ROI2' is left out: goes over the whole detector along x"):
        (roi,) = xi.read_rois(tmp_path / "st.cmd")
    assert (roi.y, roi.x) == ((6, 10), (21, 26))


def test_masks_for_fit2d_are_those_of_fabio(tmp_path):
    fabio = pytest.importorskip("fabio")
    with pytest.warns(XinsituWarning, match="one, as Fit2D has a bit"):
        xi.write_rois(RoiSet([ALL["box"], ALL["circle"]], (100, 121)), tmp_path / "mask.msk")
    with fabio.open(str(tmp_path / "mask.msk")) as image:
        assert image.data.shape == (100, 121)
        assert image.data.sum() == ALL["box"].area + ALL["circle"].area
        image.write(str(tmp_path / "fabio.msk"))
    assert (tmp_path / "fabio.msk").read_bytes() == (tmp_path / "mask.msk").read_bytes()
    (roi,) = xi.read_rois(tmp_path / "fabio.msk")
    assert roi.area == ALL["box"].area + ALL["circle"].area


@pytest.mark.parametrize("name", ["a.h5", "a.nxs", "a.tif"])
def test_an_ending_of_several_programs_needs_a_form(name, tmp_path):
    with pytest.raises(DocumentError, match=r"without a form"):
        xi.write_rois([ALL["box"]], tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_zip_without_regions_says_so_and_names_itself_once(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("readme.txt", "none")
    with pytest.raises(DocumentError, match=r"^(?!.*c\.zip.*c\.zip).*c\.zip: holds 0 ROI files of ImageJ"):
        xi.read_rois(tmp_path / "c.zip")


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number, data in enumerate(members):
            file.writestr(f"{number}.roi", data)
    return path


@needs_roifile
def test_work_on_a_file_of_huge_regions_is_bounded(tmp_path, monkeypatch):
    import roifile

    from xinsitu.values import roi_sets

    monkeypatch.setattr(roi_sets, "_MOST_DRAWN", 2**22)
    corners = np.array([[0, 0], [1000, 0], [0, 1000.0]])
    huge = roifile.ImagejRoi.frompoints(corners, name="huge").tobytes()
    path = archive(tmp_path / "huge.zip", [huge] * 1000)
    with pytest.raises(DocumentError, match=r"huge\.zip: the shapes of the first 5 ROIs reach over 5\d{6} pixels"):
        xi.read_rois(path)


@needs_roifile
def test_many_regions_of_one_name_are_drawn_once_each(tmp_path, monkeypatch):
    import roifile

    from xinsitu.values import region_shapes

    one = roifile.ImagejRoi.frompoints(np.array([[0, 0], [9, 0], [0, 9.0]]), name="spot").tobytes()
    drawn = []
    own = region_shapes.Shape.weights
    monkeypatch.setattr(region_shapes.Shape, "weights", lambda shape, edges: drawn.append(1) or own(shape, edges))
    names = xi.read_rois(archive(tmp_path / "same.zip", [one] * 300)).names
    assert names == ("spot", *(f"spot ({number})" for number in range(2, 301)))
    assert len(drawn) <= 600


@needs_roifile
def test_regions_in_parts_that_lie_far_apart_are_left_out(tmp_path, monkeypatch):
    import roifile

    one = roifile.ImagejRoi.frompoints(np.array([[0, 0], [9, 0], [0, 9.0]]), name="parts")
    parts = [np.array([[0, 0], [9, 0], [0, 9.0]]), np.array([[8e8, 8e8], [8.1e8, 8e8], [8e8, 8.1e8]])]
    monkeypatch.setattr(roifile.ImagejRoi, "composite", property(lambda _: True))
    monkeypatch.setattr(roifile.ImagejRoi, "coordinates", lambda *_, **__: parts)
    (tmp_path / "parts.roi").write_bytes(one.tobytes())
    with pytest.raises(DocumentError, match=r"parts\.roi: .*reaches over 81\d+ x 81\d+ pixels"):
        xi.read_rois(tmp_path / "parts.roi")


def test_a_mask_of_noise_is_no_region(tmp_path):
    noise = np.random.default_rng(0).random((2100, 2100)) < 0.5
    np.save(tmp_path / "noise.npy", noise)
    with pytest.raises(DocumentError, match=r"noise\.npy: .*at most 1048576 runs"):
        xi.read_rois(tmp_path / "noise.npy")


def test_a_file_of_too_many_regions_reads_few_of_the_masks_that_it_names(tmp_path, monkeypatch):
    from xinsitu.io import documents

    looked = []
    monkeypatch.setattr(documents, "_with_mask", lambda roi, *_: looked.append(1) or roi)
    rois = [{"name": f"r{number}", "y": [0, 2], "x": [0, 2]} for number in range(20_000)]
    (tmp_path / "many.json").write_text(json.dumps({"format": "xinsitu-rois", "version": 1, "rois": rois}))
    with pytest.raises(RoiError, match=r"many\.json: 10001 ROIs or more"):
        xi.read_rois(tmp_path / "many.json")
    assert len(looked) == 10_001
