"""The simulator: real bytes on disk, and a truth that independent readers and sums confirm."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import center_of_mass
from scipy.signal import peak_widths

from xinsitu.errors import ResultExists, SchemaError
from xinsitu.simulate import Attenuator, Dump, Experiment, Truth, simulate_frames, simulate_sample
from xinsitu.simulate.camserver import Detector, tiff_header
from xinsitu.values import AttenuationChange, Event, RoiSet


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return simulate_sample(tmp_path_factory.mktemp("simulated"), seed=3, frames=40)


def entries(header: bytes) -> dict[int, tuple[int, int, int]]:
    """Tags of an IFD at 130 with type, count and raw value."""
    assert header[:8] == b"II*\0" + struct.pack("<I", 130)
    (count,) = struct.unpack_from("<H", header, 130)
    fields = [struct.unpack_from("<HHII", header, 132 + 12 * number) for number in range(count)]
    return {tag: (kind, size, value) for tag, kind, size, value in fields}


def pixels(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), "<i4", offset=4096).reshape(195, 487)


def test_header_has_the_layout_of_real_ones(shared_data):
    """Field by field: every tag, type, count and offset of seven P100K heads, and every byte outside the texts."""
    ours = tiff_header(Detector(exposure_time=1.0), "2014:05:28 17:01:59")
    real = sorted((shared_data / "headers").glob("0[1-7]_*P100K*.bin"))
    assert len(real) == 7
    free = {36864, 36867, 36870}  # stale memory and the exposure time
    for path in real:
        theirs = path.read_bytes()
        left, right = entries(ours), entries(theirs)
        assert list(left) == list(right), path.name
        for tag in left:
            if tag == 270:
                assert left[tag][0] == right[tag][0]
                assert left[tag][2] == right[tag][2] == 580
            elif tag not in free:
                assert left[tag] == right[tag], (path.name, tag)
        for first, behind in ((0, 30), (49, 62), (110, 130), (480, 580)):
            assert ours[first:behind] == theirs[first:behind], (path.name, first)
    i07 = next((shared_data / "i07").rglob("*.tif"))
    frame = i07.read_bytes()
    assert entries(frame)[36867] == entries(ours)[36867]
    assert len(ours) + 195 * 487 * 4 == len(frame) == 383_956
    assert ours[580:618] == frame[580:618] == b"# Pixel_size 172e-6 m x 172e-6 m\r\n# Si"


def test_text_of_tag_270_ends_with_nul_inside_its_count():
    header = tiff_header(Detector(), "2014:05:28 17:01:59")
    _, count, offset = entries(header)[270]
    text = header[offset : offset + count]
    assert text.rstrip(b"\0") == Detector().text.encode()
    assert text.endswith(b"\0")
    assert count % 4 == 0
    assert text.count(b"\r\n") == text.count(b"\n") == 29
    assert not any(header[offset + count :])


@pytest.mark.thorough
def test_independent_readers_read_the_same(truth):
    fabio = pytest.importorskip("fabio")
    for path in (
        truth.folders["time1"] / "0884_time_1_00007.tif",
        truth.folders["time2"] / "0884time2_2_3.tif",
        truth.folders["flatfield"] / "flatfield1_00000.tif",
    ):
        raw = pixels(path)
        assert path.stat().st_size == 383_956
        with tifffile.TiffFile(path) as tif:
            np.testing.assert_array_equal(tif.pages[0].asarray(), raw)
            assert tif.pages[0].dtype == np.int32
            assert tif.pages[0].software == "TVX TIFF v 1.3"
            assert tif.pages[0].tags["Model"].value == "PILATUS 100K, S/N 1-0884, SPring-8"
            described = tif.pilatus_metadata
        assert described["Exposure_period"] == 0.98
        assert described["Count_cutoff"] == 1_380_198
        with fabio.open(path) as image:
            np.testing.assert_array_equal(image.data, raw)


@pytest.mark.thorough
def test_layout_of_the_folders(truth):
    sample = truth.folders["sample"]
    assert sample.name == "0884"
    assert truth.folders["flatfield"] == sample.parent / "flatfield1"
    assert sorted(path.name for path in sample.iterdir()) == ["test", "time1", "time2", "time3"]
    names = {path.name for path in truth.folders["time2"].glob("*.tif")}
    assert names == {f"0884time2_1_{n}.tif" for n in range(24)} | {f"0884time2_2_{n}.tif" for n in range(16)}
    assert [path.name for path in truth.folders["time2"].glob("*.log")] == ["0884time2.log"]
    assert (truth.folders["time3"] / "0884_time_3_00039.tif").is_file()
    assert len(list(truth.folders["test"].glob("*.tif"))) == 5
    assert truth.measurements == tuple(sample / name for name in ("time1", "time2", "time3"))


def test_stamps_are_local_truncated_and_repeat(truth):
    expected = truth.expected
    stamps = []
    for measurement, scan, frame in zip(
        expected.measurement.values, expected.scan.values, expected.frame.values, strict=True
    ):
        run = next(run for run in truth.experiment.runs if run.name == measurement)
        path = truth.folders[str(measurement)] / run.file_name("0884", int(scan), int(frame))
        with tifffile.TiffFile(path) as tif:
            stamps.append(tif.pages[0].datetime)
    whole = np.array(stamps, dtype="datetime64[ns]") - np.timedelta64(9, "h")
    late = expected.time.values - whole
    assert (late >= np.timedelta64(0)).all()
    assert (late < np.timedelta64(1, "s")).all()
    assert (np.diff(whole) == np.timedelta64(0)).any(), "0.98 s per frame must repeat a stamp"
    assert (np.diff(expected.time.values) > np.timedelta64(0)).all()
    assert expected.stamp.values[0] == "2014:05:28 17:01:59"


@pytest.mark.thorough
def test_same_seed_same_bytes(tmp_path):
    def digest(folder: Path, seed: int) -> str:
        simulate_sample(folder, seed=seed, measurements=2, frames=20)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return hashlib.sha256(
            b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)
        ).hexdigest()

    first = digest(tmp_path / "a", 5)
    assert first == digest(tmp_path / "b", 5)
    assert first != digest(tmp_path / "c", 6)
    assert first == digest(tmp_path / "c", 5), "an earlier simulation is replaced"


@pytest.mark.thorough
def test_replacing_a_longer_simulation_leaves_no_frame_behind(tmp_path):
    simulate_sample(tmp_path, measurements=3, frames=30)
    truth = simulate_sample(tmp_path, measurements=1, frames=20)
    assert len(list(tmp_path.glob("0884/time*/*"))) == 21
    assert truth.expected.sizes["time"] == 20


def test_foreign_folders_are_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ResultExists, match="no simulation made"):
        simulate_sample(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_expected_series_equals_sums_over_the_noise_free_frames(truth):
    frames = truth.frames("time2")
    assert frames.shape == (40, 195, 487)
    background = truth.experiment.diffuse
    expected = truth.expected.isel(time=truth.expected.measurement.values == "time2")
    for roi in truth.rois:
        crop = frames.values[:, slice(*roi.y), slice(*roi.x)] - (background if roi.background else 0.0)
        here = expected.sel(roi=roi.name)
        np.testing.assert_allclose(here.intensity, crop.sum(axis=(1, 2)), rtol=1e-12)
        np.testing.assert_allclose(here.background, background * roi.area if roi.background else 0.0, rtol=1e-12)
        for time in (0, 15, 39):
            com_y, com_x = center_of_mass(crop[time])
            np.testing.assert_allclose([here.com_y[time], here.com_x[time]], [com_y + roi.y[0], com_x + roi.x[0]])
            if roi.background:
                for name, axis in (("fwhm_y", 1), ("fwhm_x", 0)):
                    profile = crop[time].sum(axis=axis)
                    width = peak_widths(profile, [int(profile.argmax())], rel_height=0.5)[0][0]
                    np.testing.assert_allclose(here[name][time], width, rtol=1e-6)


def test_spots_are_gaussians_of_the_stated_counts_and_widths(truth):
    for spot in truth.experiment.spots:
        first = truth.expected.isel(time=0).sel(roi=spot.roi.name)
        last = truth.expected.isel(time=-1).sel(roi=spot.roi.name)
        for end, values in ((0, first), (1, last)):
            np.testing.assert_allclose(values.intensity, spot.counts[end], rtol=1e-6)
            np.testing.assert_allclose(values.com_y, spot.y[end], atol=1e-4)
            np.testing.assert_allclose(values.com_x, spot.x[end], atol=1e-4)
            for name, sigma in (("fwhm_y", spot.sigma_y[end]), ("fwhm_x", spot.sigma_x[end])):
                assert sigma >= 4
                np.testing.assert_allclose(values[name], 2.3548 * np.hypot(sigma, 12**-0.5), rtol=0.01)
    assert np.isnan(truth.expected.fwhm_x.sel(roi="BG")).all()


def test_frames_are_poisson_around_the_detector_s_truth(truth):
    seen = truth.frames("time1", detector=True)
    counted = np.stack([pixels(path) for path in sorted(truth.folders["time1"].glob("*.tif"))])
    healthy = (truth.flatfield.values > 0) & (counted.max(axis=0) < 2_000 + 2 * seen.values.max(axis=0))
    assert (~healthy).sum() == truth.experiment.hot + truth.experiment.dead
    chi2 = ((counted - seen.values) ** 2 / np.maximum(seen.values, 1e-12))[:, healthy]
    assert abs(chi2.mean() - 1) < 6 * np.sqrt(2.1 / chi2.size)
    dead = truth.flatfield.values == 0
    assert dead.sum() == truth.experiment.dead
    assert not counted[:, dead].any()


def test_faulty_pixels_keep_out_of_the_rois_unless_asked(tmp_path, truth):
    def faults(truth: Truth) -> int:
        dead = truth.flatfield.values == 0
        return sum(dead[slice(*roi.y), slice(*roi.x)].sum() for roi in truth.rois)

    assert faults(truth) == 0
    everywhere = replace(Experiment.make(measurements=1, frames=20), dead=400, faults_in_rois=True)
    assert faults(simulate_sample(tmp_path, experiment=everywhere)) > 50


def test_flat_field_frames_give_the_sensitivity(truth):
    mean = np.mean([pixels(path) for path in truth.folders["flatfield"].glob("*.tif")], axis=0)
    alive = truth.flatfield.values > 0
    ratio = mean[alive] / mean.mean() / truth.flatfield.values[alive]
    counts = truth.experiment.flat_counts * truth.experiment.flat_frames
    assert abs(np.median(ratio) - 1) < 1e-3
    assert abs(np.percentile(np.abs(ratio - np.median(ratio)), 68.27) - counts**-0.5) < 0.1 * counts**-0.5
    np.testing.assert_allclose(truth.flatfield.mean(), 1)
    assert 0.02 < truth.flatfield.std() < 0.08


def test_attenuator_changes(truth):
    """Between scans, between measurements, and inside a scan with three frames of transition."""
    expected, changes = truth.expected, truth.changes
    ends = [(c.before.measurement, c.before.frame, c.after.measurement, c.after.frame) for c in changes]
    assert ends == [("time2", 23, "time2", 0), ("time2", 15, "time3", 0), ("time3", 31, "time3", 35)]
    np.testing.assert_allclose([c.factor for c in changes], [1 / 0.119, 0.119 / 0.35, 0.35 / 0.12])
    assert (expected.segment.values == -1).sum() == 3
    counted = np.array(
        [pixels(truth.folders["time3"] / f"0884_time_3_{frame:05d}.tif")[60:150, 210:270].sum() for frame in (31, 35)]
    )
    np.testing.assert_allclose(counted[0] / counted[1], changes[2].factor, rtol=0.01)
    between = expected.transmission.values[expected.segment.values == -1]
    assert ((between < 0.35) & (between > 0.12)).all()
    assert (np.diff(between) < 0).all()
    for value in np.unique(expected.segment):
        if value >= 0:
            assert np.unique(expected.transmission.values[expected.segment.values == value]).size == 1


@pytest.mark.thorough
def test_beam_drifts_and_is_dumped_in_frames_and_monitor_alike(tmp_path):
    usual = Experiment.make(measurements=1, frames=70)
    truth = simulate_sample(
        tmp_path, experiment=replace(usual, attenuators=(), dumps=(Dump("time1", 40, 5),), beam_drift=0.2)
    )
    beam = truth.expected.beam.values
    assert np.flatnonzero(beam == 0).tolist() == [40, 41, 42, 43, 44]
    assert 1.19 < beam.max() < 1.2001
    frames = np.stack([pixels(path)[60:150, 210:270] for path in sorted(truth.folders["time1"].glob("*.tif"))])
    flat = truth.flatfield.values[60:150, 210:270]
    counted = (frames / flat).sum(axis=(1, 2))
    true = truth.expected.sel(roi="WZ")
    np.testing.assert_allclose(counted, (true.intensity + true.background) * beam, rtol=0.005)
    rows = [line.split() for line in (truth.folders["time1"] / "0884_time_1.log").read_text().splitlines()]
    monitor = np.array([float(row[9]) for row in rows if row and row[0][0] != "#"])
    np.testing.assert_allclose(monitor, truth.experiment.monitor * beam, rtol=0.05)
    assert not truth.changes


def test_documents_say_the_same(truth):
    rois = json.loads(truth.files["rois"].read_text())
    assert (rois.pop("format"), rois.pop("version")) == ("xinsitu-rois", 1)
    assert RoiSet.from_dict(rois) == truth.rois
    changes = json.loads(truth.files["changes"].read_text())
    assert changes["format"] == "xinsitu-attenuation"
    assert [AttenuationChange.from_dict(c) for c in changes["changes"]] == [
        replace(change, factor=None) for change in truth.changes
    ]
    events = json.loads(truth.files["events"].read_text())
    assert events["format"] == "xinsitu-events"
    assert tuple(Event.from_dict(event) for event in events["events"]) == truth.events
    assert [event.name for event in truth.events] == [
        "In shutter open",
        "In shutter open 2",
        "In shutter open 3",
        "filter moves",
    ]
    assert [event.stop is None for event in truth.events] == [False, False, False, True]


def test_log_holds_the_counters_of_every_frame_and_the_shutter(truth):
    lines = (truth.folders["time2"] / "0884time2.log").read_text().splitlines()
    rows = [line.split() for line in lines if line and line[0] != "#"]
    names = next(line for line in lines if line.startswith("#L "))[3:].split("  ")
    assert [line for line in lines if line.startswith("#S")] == ["#S 1  timescan 0.95 0", "#S 2  timescan 0.95 0"]
    assert len(rows) == 40
    assert all(len(row) == len(names) == 11 for row in rows)
    first = pixels(truth.folders["time2"] / "0884time2_2_0.tif")
    row = dict(zip(names, map(float, rows[24]), strict=True))
    assert row["Detector"] == first.sum()
    assert row["roi1"] == first[60:150, 210:270].sum()
    assert row["Time"] == 0
    assert row["Epoch"] > 24 * 0.98 + 40
    shutter = [line for line in lines if line.startswith("#C Shutter(s) opened or closed:")]
    assert shutter == [f"#C Shutter(s) opened or closed: 0 {state} 0 0 1" for state in (1, 0)]
    opened = lines.index(shutter[0])
    assert lines[opened - 1].startswith("#D 2014/05/28 17:0")
    assert sum(1 for line in lines[:opened] if line and line[0] != "#") == truth.experiment.runs[1].growth[0]


def test_growth_only_while_the_shutter_is_open(truth):
    wz = truth.expected.intensity.sel(roi="WZ")
    for run in truth.experiment.runs:
        steps = np.diff(wz.values[truth.expected.measurement.values == run.name])
        first, behind = run.growth
        np.testing.assert_allclose(steps[first:behind], steps[first], rtol=1e-3)
        assert steps[first] > 1_000
        np.testing.assert_allclose(np.r_[steps[:first], steps[behind:]], 0, atol=1e-6)


@pytest.mark.thorough
def test_median_takes_what_it_takes(truth):
    """About 1 % of a spot with sigma 4 px, less of a wider one; COM and FWHM hardly move."""
    filtered = truth.through_median()
    signal = [spot.roi.name for spot in truth.experiment.spots]
    loss = (1 - filtered.intensity / truth.expected.intensity).sel(roi=signal)
    assert 0.005 < loss.isel(time=0).sel(roi="CTR") < 0.02
    assert (abs(loss) < 0.02).all()
    assert (abs(filtered.com_x - truth.expected.com_x).sel(roi=signal) < 0.05).all()
    assert (abs(filtered.fwhm_x / truth.expected.fwhm_x - 1).sel(roi=signal) < 0.03).all()
    xy = filtered.intensity.sel(roi="WZ").values
    assert not np.array_equal(xy, truth.through_median(filtered_flatfield=True).intensity.sel(roi="WZ").values)


def test_many_frames_by_hard_links(tmp_path):
    truth = simulate_frames(tmp_path, 300, distinct=20)
    paths = sorted(truth.folders["time1"].glob("*.tif"))
    assert len(paths) == 300
    assert len({path.stat().st_ino for path in paths}) == 20
    assert paths[42].read_bytes() == paths[2].read_bytes()
    assert truth.changes == ()


def test_experiments_that_make_no_sense_are_refused():
    with pytest.raises(SchemaError, match="20 frames"):
        Experiment.make(frames=3)
    with pytest.raises(SchemaError, match="outside the measurements"):
        replace(Experiment.make(), attenuators=(Attenuator("time9", 0, 0.1),))
    with pytest.raises(SchemaError, match="outside the measurements"):
        replace(Experiment.make(frames=30), attenuators=(Attenuator("time1", 29, 0.1, transition=2),))
    with pytest.raises(SchemaError, match="outside the measurements"):
        replace(Experiment.make(frames=30), dumps=(Dump("time1", 28, 3),))


def test_unknown_measurement(truth):
    with pytest.raises(SchemaError, match="time1, time2, time3"):
        truth.frames("time9")
