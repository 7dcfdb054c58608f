"""From a detector's geometry to q: maps, ROIs and profiles, against pyFAI and against rings of known radius."""

from __future__ import annotations

import json
import sys
import warnings
from importlib.util import find_spec

import dask
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.errors import DocumentError, RoiError, SchemaError
from xinsitu.values import DetectorGeometry

needs_pyfai = pytest.mark.skipif(find_spec("pyFAI") is None, reason="pyFAI is not installed")

TILTED = DetectorGeometry(0.31, 1.2e-10, (45.3, -20.7), (172e-6, 150e-6), (0.12, -0.07, 0.4))
FLAT = DetectorGeometry(0.03, 1e-10, (60, 70), (172e-6, 172e-6))
SHAPE = (120, 140)


def integrator(geometry):
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    (high, wide), (poni1, poni2) = geometry.pixel_size, geometry.poni
    return AzimuthalIntegrator(
        geometry.distance, poni1, poni2, *geometry.rotation, high, wide, wavelength=geometry.wavelength
    )


def frames(values, **attrs):
    return xr.DataArray(np.asarray(values), dims=("time", "y", "x"), attrs=attrs)


def rings(n_frames=6, geometry=FLAT):
    """Poisson frames of a powder ring at q = 2 that grows, and half as strong for azimuths below 0."""
    scan = xi.with_geometry(xr.Dataset({"image": frames(np.zeros((1, *SHAPE)))}), geometry)
    ring = np.exp(-(((scan.q - 2) / 0.05) ** 2)) * xr.where(scan.chi < 0, 0.5, 1.0)
    mean = 20 + 100 * np.arange(1, n_frames + 1)[:, None, None] * ring.values
    return frames(np.random.default_rng(5).poisson(mean).astype("int32"), units="counts")


@needs_pyfai
@pytest.mark.parametrize("geometry", [TILTED, FLAT], ids=["tilted", "flat"])
def test_maps_are_those_of_pyfai(geometry):
    scan = xi.with_geometry(xr.Dataset({"image": frames(np.zeros((1, *SHAPE)))}), geometry)
    other = integrator(geometry)
    np.testing.assert_allclose(scan.q, other.center_array(SHAPE, unit="q_A^-1"), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scan.two_theta, other.center_array(SHAPE, unit="2th_deg"), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scan.chi, np.degrees(other.center_array(SHAPE, unit="chi_rad")), rtol=1e-9, atol=1e-9)
    assert {scan[name].attrs["units"] for name in ("two_theta", "chi", "exit_angle")} == {"degree"}
    assert json.loads(scan.attrs["geometry"])["distance"] == geometry.distance


def test_maps_of_a_crop_are_those_of_its_pixels():
    whole = xi.with_geometry(xr.Dataset({"image": frames(np.zeros((1, *SHAPE)))}), TILTED)
    part = xr.Dataset({"image": frames(np.zeros((1, *SHAPE))).assign_coords(y=np.arange(120), x=np.arange(140))})
    part = xi.with_geometry(part.isel(y=slice(20, 50), x=slice(30, 90)), TILTED)
    np.testing.assert_array_equal(part.q, whole.q[20:50, 30:90])


def test_exit_angles_at_grazing_incidence():
    """The specular beam leaves at the angle of incidence, the horizon at 0; both 2 a and a above the direct beam."""
    incidence = 0.4
    geometry = DetectorGeometry(1.0, 1e-10, (10, 5), (1e-4, 1e-4), incidence=incidence)
    rows = 10 + np.tan(np.radians([incidence, 2 * incidence])) / 1e-4
    scan = xi.with_geometry(xr.Dataset({"image": frames(np.zeros((1, 200, 11)))}), geometry)
    found = np.interp(rows, np.arange(200), scan.exit_angle[:, 5])
    np.testing.assert_allclose(found, [0, incidence], atol=1e-6)
    turned = xi.with_geometry(
        xr.Dataset({"image": frames(np.zeros((1, 11, 200)))}),
        DetectorGeometry(1.0, 1e-10, (5, 10), (1e-4, 1e-4), incidence=incidence),
        surface="x",
    )
    np.testing.assert_allclose(turned.exit_angle, scan.exit_angle.T)


def test_a_roi_in_q_holds_the_pixels_between_its_limits():
    image = rings(1)
    scan = xi.with_geometry(xr.Dataset({"image": image}), FLAT)
    roi = xi.roi_in_q(image, FLAT, "ring", q=(1.9, 2.1), chi=(160, 200), color="red", background=("edge",))
    inside = (scan.q >= 1.9) & (scan.q < 2.1) & (abs(scan.chi) >= 160)
    assert roi.area == inside.sum()
    plain = xi.roi_in_q(image, FLAT, "ring", q=(1.9, 2.1), chi=(160, 200))
    assert xi.measure(image, [plain]).intensity.item() == image.values[0][inside].sum()
    assert (roi.color, roi.background) == ("red", ("edge",))
    assert xi.Roi.from_dict(roi.to_dict()) == roi
    cropped = image.assign_coords(y=np.arange(7, 127), x=np.arange(140))
    assert xi.roi_in_q(cropped, FLAT, "part", q=(1.9, 2.1)).y[0] >= 7
    for wrong in ({}, {"q": (2, 1)}, {"q": (90, 99)}, {"q": (1,)}):
        with pytest.raises(RoiError):
            xi.roi_in_q(image, FLAT, "none", **wrong)


def test_a_roi_file_may_speak_of_q(tmp_path):
    config = {"pixel1": 172e-6, "pixel2": 172e-6, "orientation": 3}
    y, x = FLAT.poni
    (tmp_path / "waxs.poni").write_text(
        f"# calibration\nDetector: Detector\nDetector_config: {json.dumps(config)}\nDistance: 9\nPoni1: {y}\n"
        f"Poni2: {x}\nRot1: 0\nRot2: 0\nRot3: 0\nWavelength: 1e-10\n# again\nDistance: 0.03\n"
    )
    assert xi.read_geometry(tmp_path / "waxs.poni") == FLAT
    shape = {"kind": "q", "geometry": "waxs.poni", "q": [1.9, 2.1], "chi": [-5, 5]}
    rois = [{"name": "a", "shape": shape}]
    document = {"format": "xinsitu-rois", "version": 1, "detector_shape": [*SHAPE], "rois": rois}
    (tmp_path / "rois.json").write_text(json.dumps(document))
    expected = xi.roi_in_q(frames(np.zeros((1, *SHAPE))), FLAT, "a", q=(1.9, 2.1), chi=(-5, 5))
    assert xi.read_rois(tmp_path / "rois.json")["a"] == expected
    for change, said in (
        ({"q": None, "chi": None}, "limits"), ({"geometry": "../waxs.poni"}, "beside"), ({"radius": 3}, "no radius"),
        ({"q": [99, 100]}, "no pixel"), ({"surface": "up"}, "surface"),
    ):  # fmt: skip
        rois[0]["shape"] = {**shape, **change}
        (tmp_path / "rois.json").write_text(json.dumps(document))
        with pytest.raises(RoiError, match=said):
            xi.read_rois(tmp_path / "rois.json")


@needs_pyfai
def test_poni_files_that_pyfai_writes(tmp_path):
    made = integrator(TILTED)
    made.save(str(tmp_path / "one.poni"))
    found = xi.read_geometry(tmp_path / "one.poni", incidence=0.3)
    np.testing.assert_allclose(found.beam_centre, TILTED.beam_centre, rtol=1e-9)
    np.testing.assert_allclose(found.rotation, TILTED.rotation)
    assert (found.pixel_size, found.incidence) == (TILTED.pixel_size, 0.3)
    text = "Detector: Pilatus100k\nDistance: 0.3\nPoni1: 0.01\nPoni2: 0.02\nWavelength: 1e-10\n"
    (tmp_path / "two.poni").write_text(text)
    assert xi.read_geometry(tmp_path / "two.poni").pixel_size == (172e-6, 172e-6)


def test_a_correction_of_the_parallax_is_said_to_be_left_out(tmp_path):
    text = 'Detector_config: {"pixel1": 1e-4, "pixel2": 1e-4}\nDistance: 1\nPoni1: 0\nPoni2: 0\nWavelength: 1e-10\n'
    (tmp_path / "three.poni").write_text(f"poni_version: 3\n{text}Parallax: False\n")
    plain = xi.read_geometry(tmp_path / "three.poni")
    (tmp_path / "three.poni").write_text(f"poni_version: 3\n{text}Parallax: True\n")
    with pytest.warns(xi.XinsituWarning, match=r"three\.poni: its correction of the parallax"):
        assert xi.read_geometry(tmp_path / "three.poni") == plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Distance: 0.3", "lacks Poni1, Poni2, Wavelength"),
        ("Distance: x\nPoni1: 0\nPoni2: 0\nWavelength: 1e-10", "could not convert"),
        ("Distance: 1\nPoni1: 0\nPoni2: 0\nWavelength: 1e-10", "neither a detector"),
        ('Detector_config: {"orientation": 2}\nDistance: 1\nPoni1: 0\nPoni2: 0\nWavelength: 1e-10', "mirrored"),
        ('Detector_config: {"pixel1": 1, "pixel2": 1}\nDistance: 1\nPoni1: 0\nPoni2: 0\nWavelength: 1', "in metres"),
    ],
)
def test_poni_files_that_say_too_little_are_refused_by_name(text, said, tmp_path):
    (tmp_path / "bad.poni").write_text(text)
    with pytest.raises(DocumentError, match=rf"bad\.poni.*{said}"):
        xi.read_geometry(tmp_path / "bad.poni")


@needs_pyfai
def test_radial_profiles_follow_a_ring_in_time():
    image = rings()
    profiles = xi.radial_profiles(image, FLAT, bins=60, q=(1.5, 2.5), chi=(20, 160), solid_angle=False)
    assert profiles.intensity.dims == ("time", "q")
    assert profiles.q.attrs["units"] == "1/angstrom"
    top = profiles.intensity.idxmax("q")
    np.testing.assert_allclose(top, 2, atol=0.03)
    assert 530 < float(profiles.intensity.max()) < 620  # a pixel is 0.03 of q, a bin half of that
    lower = xi.radial_profiles(image, FLAT, bins=60, q=(1.5, 2.5), chi=(-160, -20), solid_angle=False)
    strong, weak = (float(part.intensity.isel(time=-1).max()) - 20 for part in (profiles, lower))
    assert weak / strong == pytest.approx(0.5, abs=0.05)
    azimuthal = xi.radial_profiles(image, FLAT, along="chi", bins=36, q=(1.95, 2.05))
    mean = azimuthal.intensity.isel(time=-1)
    assert float(mean.sel(chi=slice(30, 150)).mean()) > 1.7 * float(mean.sel(chi=slice(-150, -30)).mean())


@needs_pyfai
def test_lazy_profiles_are_those_in_memory_and_nothing_is_computed_before(computes):
    image = rings()
    now = xi.radial_profiles(image, TILTED, bins=50)
    with computes(0):
        lazy = xi.radial_profiles(image.chunk(time=2), TILTED, bins=50)
    assert dask.is_dask_collection(lazy)
    xr.testing.assert_identical(lazy.compute(scheduler="sync"), now)


@pytest.mark.thorough
@needs_pyfai
def test_errors_of_profiles_are_their_scatter_and_bad_pixels_take_no_part():
    mean = np.full(SHAPE, 30.0)
    image = frames(np.random.default_rng(2).poisson(mean, (150, *SHAPE)).astype("int32"), units="counts")
    profiles = xi.radial_profiles(image, FLAT, bins=40, chi=(0, 90), solid_angle=False)
    told, seen = profiles.intensity_errors.mean("time"), profiles.intensity.std("time")
    assert float((told / seen).median()) == pytest.approx(1, abs=0.25)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[50:60, 50:60] = True
    loud = image.copy(data=np.where(mask, 10**6, image.values))
    masked = [
        xi.radial_profiles(one, FLAT, bins=40, correction=xi.Correction(mask=xr.DataArray(mask, dims=("y", "x"))))
        for one in (image, loud)
    ]
    xr.testing.assert_identical(*masked)
    assert float(masked[1].intensity.max()) < 60
    filtered = xi.radial_profiles(image[:3], FLAT, bins=40, correction=xi.Correction(median=3))
    assert filtered.intensity_errors.isnull().all()


@needs_pyfai
def test_bins_without_pixels_are_nan_and_wrong_words_are_refused():
    image = rings(1)
    profiles = xi.radial_profiles(image, FLAT, bins=40, q=(1.0, 9.0))
    assert profiles.intensity.isnull().any()
    assert profiles.intensity.notnull().any()
    for wrong in ({"along": "l"}, {"bins": 1}, {"q": (90, 91)}):
        with pytest.raises(SchemaError):
            xi.radial_profiles(image, FLAT, **wrong)


def test_a_missing_pyfai_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyFAI.integrator.azimuthal", None)
    monkeypatch.setitem(sys.modules, "pyFAI", None)
    with pytest.raises(SchemaError, match=r"pip install 'xinsitu\[geometry\]'"):
        xi.radial_profiles(rings(1), FLAT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"distance": -1},
        {"wavelength": 1.0},
        {"beam_centre": (1,)},
        {"pixel_size": (0, 1e-4)},
        {"distance": float("nan")},
    ],
)
def test_a_geometry_that_makes_no_sense_is_refused(wrong):
    good = {"distance": 0.2, "wavelength": 1e-10, "beam_centre": (1, 2), "pixel_size": (1e-4, 1e-4)}
    with pytest.raises(SchemaError):
        DetectorGeometry(**{**good, **wrong})


@pytest.mark.parametrize(("centre", "said"), [((16770, 41882), "85"), ((97, -2700.0), "5.54"), ((97, 2800), None)])
def test_a_beam_centre_far_beside_the_detector_is_said(tmp_path, centre, said):
    """Given in micrometres, say; of a crop the whole detector counts, and one some widths beside it is usual."""
    geometry = DetectorGeometry(0.2, 1e-10, centre, (172e-6, 172e-6))
    attrs = {"detector_shape": "[195, 487]"}
    crop = xr.Dataset({"image": (("time", "y", "x"), np.ones((1, 9, 9)), attrs)},
                      coords={"y": np.arange(20, 29), "x": np.arange(9)})  # fmt: skip
    limits = {"two_theta": (0, 180)}
    roi = {"name": "a", "shape": {"kind": "q", "geometry": geometry.to_dict(), **limits}}
    document = {"format": "xinsitu-rois", "version": 1, "detector_shape": [195, 487], "rois": [roi]}
    (tmp_path / "rois.json").write_text(json.dumps(document))
    for action in (
        lambda: xi.with_geometry(crop, geometry),
        lambda: xi.roi_in_q(crop, geometry, "a", **limits),
        lambda: xi.radial_profiles(crop, geometry),
        lambda: xi.read_rois(tmp_path / "rois.json"),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            action()
        found = [str(one.message) for one in caught]
        assert [f"is {said} detectors beside the detector" in one for one in found] == ([True] if said else [])


# -- errors behind corrections ----------------------------------------------------------------------------------------

SMALL = (40, 50)
NEAR = DetectorGeometry(0.03, 1e-10, (20, 25), (172e-6, 172e-6), (0.1, 0, 0))
REGIONS = (((5, 12), (5, 14)), ((8, 14), (10, 20)))  # they overlap, and lie in the bins
GAIN = xr.DataArray(np.random.default_rng(3).uniform(0.5, 1.5, SMALL), dims=("y", "x"))
BEHIND = {
    "nothing": None,
    "outliers": xi.Correction(median=3, threshold=5),
    "flat": xi.Correction(flatfield=GAIN),
    "subtracted": xi.Correction(background=xi.Background(regions=REGIONS, mode="subtract")),
    "divided": xi.Correction(flatfield=GAIN, background=xi.Background(regions=REGIONS, mode="divide")),
    "monitor": xi.Correction(normalise="monitor"),
}


def pulls(profiles, truth):
    """Root mean square of what is off by how many errors, over frames and bins."""
    return float(np.sqrt((((profiles.intensity - truth) / profiles.intensity_errors) ** 2).mean()))


@pytest.mark.thorough("flat-20000")
@needs_pyfai
@pytest.mark.parametrize("counts", [20, 2_000, 20_000])
@pytest.mark.parametrize("name", BEHIND)
def test_errors_behind_corrections_are_the_scatter(name, counts):
    rng = np.random.default_rng(counts)
    image = frames(rng.poisson(counts, (250, *SMALL)).astype("int32"), units="counts")
    scan = xr.Dataset({"image": image}, {"monitor": ("time", rng.poisson(900, 250), {"units": "counts"})})
    profiles = xi.radial_profiles(scan, NEAR, bins=10, correction=BEHIND[name], solid_angle=name != "flat")
    tolerance = 0.15 if name == "monitor" else 0.07  # one monitor for all bins: 250 numbers, not 2500
    assert pulls(profiles, profiles.intensity.mean("time")) == pytest.approx(1, abs=tolerance)


@pytest.mark.thorough("2000")
@needs_pyfai
@pytest.mark.parametrize("counts", [20, 2_000, 20_000])
def test_errors_hold_the_noise_of_a_dark(counts):
    """Each frame with a dark of its own, of three frames half as long."""
    rng, found = np.random.default_rng(counts), []
    for _ in range(120):
        words = {"units": "counts", "n_frames": 3, "exposure_time": 2.0}
        dark = xr.DataArray(rng.poisson(0.3 * counts, (3, *SMALL)).mean(axis=0), dims=("y", "x"), attrs=words)
        scan = xr.Dataset({"image": frames(rng.poisson(1.6 * counts, (1, *SMALL)).astype("int32"), units="counts")})
        scan = scan.assign_coords(exposure_time=("time", [4.0]))
        found.append(xi.radial_profiles(scan, NEAR, bins=10, correction=xi.Correction(dark=dark), solid_angle=False))
    assert pulls(xr.concat(found, "time"), counts) == pytest.approx(1, abs=0.08)


@needs_pyfai
def test_errors_that_nobody_knows_say_why():
    image = rings(2)
    for one, correction, said in (
        (image, xi.Correction(median=3), "median"),
        (xi.correct(image, xi.Correction(median=3)), None, "median"),
        (image.astype("float64").drop_attrs(), None, "counts"),
    ):
        errors = xi.radial_profiles(one, FLAT, bins=20, correction=correction).intensity_errors
        assert errors.isnull().all()
        assert said in errors.attrs["comment"]
    assert "comment" not in xi.radial_profiles(image, FLAT, bins=20).intensity_errors.attrs


@needs_pyfai
@pytest.mark.parametrize("limits", [(160, 200), (-30, 250), (-180, 180), (350, 370)])
def test_azimuths_go_round(limits):
    """Means over the pixels of each bin, whatever multiple of 360 degrees its limits are told with."""
    scan = xi.with_geometry(xr.Dataset({"image": frames(np.ones((1, *SHAPE)))}), FLAT)
    image = frames(5 + np.cos(np.radians(scan.chi.values))[None])
    found = xi.radial_profiles(image, FLAT, along="chi", chi=limits, bins=18, q=(0.5, 2.5), solid_angle=False)
    assert found.chi.values[0] == pytest.approx(limits[0] + (limits[1] - limits[0]) / 36)
    np.testing.assert_allclose(found.intensity[0], 5 + np.cos(np.radians(found.chi)), atol=0.02)
    with pytest.raises(RoiError, match="once"):
        xi.radial_profiles(image, FLAT, along="chi", chi=(-200, 200))


@needs_pyfai
def test_profiles_of_a_crop_are_those_of_its_pixels():
    image = rings(2).assign_coords(y=np.arange(SHAPE[0]), x=np.arange(SHAPE[1]))
    part = image.isel(y=slice(20, 100), x=slice(30, 120))
    mask = np.ones(SHAPE, dtype=bool)
    mask[20:100, 30:120] = False
    whole = xi.Correction(mask=xr.DataArray(mask, dims=("y", "x")))
    told = {"bins": 30, "q": (0.5, 2.4)}
    one, other = xi.radial_profiles(part, FLAT, **told), xi.radial_profiles(image, FLAT, correction=whole, **told)
    np.testing.assert_allclose(one.intensity, other.intensity, rtol=1e-5)
    np.testing.assert_allclose(one.intensity_errors, other.intensity_errors, rtol=1e-5)


@pytest.mark.parametrize("surface", ["y", "x"])
def test_exit_angles_of_a_tilted_detector_are_those_of_vectors(surface):
    """90 degrees less the angle between the ray to a pixel, turned by rotation matrices, and the surface's normal."""
    from scipy.spatial.transform import Rotation

    geometry = DetectorGeometry(0.31, 1.2e-10, (45.3, -20.7), (172e-6, 150e-6), (0.12, -0.07, 0.4), incidence=1.3)
    scan = xi.with_geometry(xr.Dataset({"image": frames(np.zeros((1, *SHAPE)))}), geometry, surface=surface)
    rot1, rot2, rot3 = geometry.rotation
    turn = (
        Rotation.from_rotvec([0, 0, rot3]) * Rotation.from_rotvec([0, -rot2, 0]) * Rotation.from_rotvec([-rot1, 0, 0])
    )
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    on_detector = np.stack([(y - 45.3) * 172e-6, (x + 20.7) * 150e-6, np.full(SHAPE, 0.31)], axis=-1)
    rays = turn.apply(on_detector.reshape(-1, 3))
    a = np.radians(1.3)
    normal = np.array([np.cos(a), 0, -np.sin(a)] if surface == "y" else [0, np.cos(a), -np.sin(a)])
    between = np.degrees(np.arccos(rays @ normal / np.linalg.norm(rays, axis=1)))
    np.testing.assert_allclose(scan.exit_angle, 90 - between.reshape(SHAPE), atol=1e-9)


def test_a_geometry_may_be_its_numbers(tmp_path):
    (tmp_path / "waxs.json").write_text(json.dumps(TILTED.to_dict()))
    assert xi.read_geometry(tmp_path / "waxs.json") == TILTED
    assert xi.read_geometry(tmp_path / "waxs.json", incidence=0.2).incidence == 0.2
    roi = {"name": "a", "shape": {"kind": "q", "geometry": FLAT.to_dict(), "q": [1.9, 2.1], "chi": [-5, 5]}}
    document = {"format": "xinsitu-rois", "version": 1, "detector_shape": [*SHAPE], "rois": [roi]}
    (tmp_path / "rois.json").write_text(json.dumps(document))
    expected = xi.roi_in_q(frames(np.zeros((1, *SHAPE))), FLAT, "a", q=(1.9, 2.1), chi=(-5, 5))
    assert xi.read_rois(tmp_path / "rois.json")["a"] == expected
    for change, said in (
        ({"distance": None}, "wrong kind|is a number"), ({"beam": [1, 2]}, "not beam"), ({"wavelength": 1}, "X-rays"),
        ({"pixel_size": 1}, "pixel_size"), ({"beam_centre": ["a", 1]}, "wrong kind|beam_centre"),
    ):  # fmt: skip
        (tmp_path / "bad.json").write_text(json.dumps(TILTED.to_dict() | change))
        with pytest.raises(DocumentError, match=rf"bad\.json.*({said})"):
            xi.read_geometry(tmp_path / "bad.json")
    for text in ('{"distance": 1', '{"distance": 1}', "[1, 2]", "{" * 10_000):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(DocumentError, match=r"bad\.json"):
            xi.read_geometry(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text('{"a":' * 100_000)
    with pytest.raises(DocumentError, match=r"bad\.json: is nested too deeply"):
        xi.read_geometry(tmp_path / "bad.json")


def test_maps_follow_binned_and_thinned_frames():
    scan = xr.Dataset({"image": frames(np.zeros((1, *SHAPE)))}).assign_coords(y=np.arange(120), x=np.arange(140))
    whole = xi.with_geometry(scan, TILTED)
    binned = xi.with_geometry(scan.coarsen(y=2, x=4).mean(), TILTED)
    np.testing.assert_allclose(binned.q, whole.q.interp(y=binned.y, x=binned.x), rtol=1e-4)
    larger = DetectorGeometry(
        0.31, 1.2e-10, ((45.3 - 0.5) / 2, (-20.7 - 1.5) / 4), (2 * 172e-6, 4 * 150e-6), (0.12, -0.07, 0.4)
    )
    own = xr.Dataset({"image": frames(np.zeros((1, 60, 35)))})
    np.testing.assert_allclose(binned.q, xi.with_geometry(own, larger).q, rtol=1e-9)
    part = xi.with_geometry(scan.isel(y=slice(None, None, -3)), TILTED)
    np.testing.assert_array_equal(part.chi, whole.chi[::-3])
    with pytest.raises(SchemaError, match="one by one"):
        xi.roi_in_q(scan.coarsen(y=2, x=4).mean(), TILTED, "a", q=(0.1, 0.5))
    with pytest.raises(SchemaError, match="places in pixels"):
        xi.with_geometry(scan.assign_coords(y=scan.time.size * ["a"] * 120), TILTED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"distance": 200}, "in metres"), ({"pixel_size": (172, 172)}, "in metres"), ({"incidence": 400}, "90 degrees"),
        ({"rotation": (10, 0, 0)}, "in radians"), ({"distance": True}, "number"),
        ({"beam_centre": (1, True)}, "beam_centre"),
    ],
)  # fmt: skip
def test_other_units_are_seen_by_their_size(change, said):
    good = {"distance": 0.2, "wavelength": 1e-10, "beam_centre": (1, 2), "pixel_size": (1e-4, 1e-4)}
    with pytest.raises(SchemaError, match=said):
        DetectorGeometry(**{**good, **change})


@needs_pyfai
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("Detector: Pixirad1", "no even, flat grid"), ("Detector: ImXPadS140", "no even, flat grid"),
        ("Detector: Nonesuch", "knows no detector"), ("Detector: Pilatus100k\nDetector_config: {oops", "no object"),
        ('Detector: NexusDetector\nDetector_config: {"filename": "/etc/x.h5"}', "in another file"),
        ("PixelSize1: 1e-4\nPixelSize2: 1e-4\nSplineFile: /data/frelon.spline", "distorted"),
        ("Detector: Pilatus100k\nWavelength: None", "lacks Wavelength"),
    ],
)  # fmt: skip
def test_detectors_without_maps_are_refused_by_name(lines, said, tmp_path):
    (tmp_path / "a.poni").write_text(f"Distance: 0.2\nPoni1: 0.003\nPoni2: 0.004\nWavelength: 1e-10\n{lines}\n")
    with pytest.raises(DocumentError, match=rf"(?s)\A[^\n]*a\.poni[^\n]*{said}[^\n]*\Z"):
        xi.read_geometry(tmp_path / "a.poni")


@pytest.mark.thorough
@needs_pyfai
def test_binned_detectors_of_poni_files_are_those_of_pyfai(tmp_path):
    import pyFAI

    config = '{"binning": [4, 4]}'
    text = f"poni_version: 2\nDetector: RayonixMx225\nDetector_config: {config}\nDistance: 0.2\nPoni1: 0.003\n"
    (tmp_path / "a.poni").write_text(f"{text}Poni2: 0.004\nRot1: 0.1\nRot2: 0\nRot3: 0\nWavelength: 1e-10\n")
    other = pyFAI.load(str(tmp_path / "a.poni"))
    found = xi.read_geometry(tmp_path / "a.poni").maps((0, 30), (0, 40))["q"]
    np.testing.assert_allclose(found, other.center_array((30, 40), unit="q_A^-1"), rtol=1e-9)
