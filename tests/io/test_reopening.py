"""What was written comes back: open, write, open gives the same Dataset and the same numbers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xinsitu as xi
from xinsitu.errors import CorrectionError, FrameError, TimeError, XinsituWarning
from xinsitu.simulate import Truth

ROIS = [xi.Roi("WZ", y=(62, 148), x=(212, 268)), xi.Roi("low", y=(64, 90), x=(170, 200), role="background")]
ROIS[0] = xi.Roi("WZ", y=(62, 148), x=(212, 268), background=["low"])
pytestmark = pytest.mark.filterwarnings(
    "ignore:.* points for .* frames. frames are missing:xinsitu.errors.XinsituWarning"
)
OF_THE_FILE = {"source_token", "frames_recipe"}


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Every variable, its dims, kind, values and attributes; attributes of the Dataset but those of the file."""
    assert set(one.variables) == set(other.variables)
    assert set(one.coords) == set(other.coords)
    for name, before in one.variables.items():
        after = other.variables[name]
        assert before.dims == after.dims, name
        assert before.dtype.kind == after.dtype.kind, name
        assert before.dtype == after.dtype or before.dtype.kind == "U", name
        np.testing.assert_array_equal(before.values, after.values, err_msg=str(name))
        assert set(before.attrs) == set(after.attrs), name
        for key, value in before.attrs.items():
            np.testing.assert_array_equal(value, after.attrs[key])
    apart = {key for key in {*one.attrs, *other.attrs} if one.attrs.get(key) != other.attrs.get(key)}
    assert apart <= OF_THE_FILE


@pytest.fixture(scope="module")
def folder(experiment: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty frames, one of them truncated, with their log."""
    target = tmp_path_factory.mktemp("beamtime") / "0417" / "time1"
    target.mkdir(parents=True)
    source = experiment.folders["time1"]
    for path in sorted(source.iterdir()):
        if path.suffix == ".log" or int(path.stem.split("_")[-1]) < 30:
            (target / path.name).write_bytes(path.read_bytes())
    bad = sorted(target.glob("*.tif"))[11]
    bad.write_bytes(bad.read_bytes()[:70_001])
    return target


@pytest.fixture(scope="module")
def flat(experiment: Truth) -> xr.DataArray:
    return xi.open_flatfield(experiment.folders["flatfield"])


def test_the_log_names_the_instrument_of_the_file(folder, flat, tmp_path, caplog):
    """Not the table that the folder of the file would have."""
    with pytest.warns(XinsituWarning):
        scan = xi.open_measurement(folder, on_error="skip")
    path = xi.write_frames(scan, tmp_path / "f.nc")
    with caplog.at_level("INFO", "xinsitu"):
        xi.open_measurement(path)
    assert "instrument spring8-bl11xu (recognised" in caplog.messages[-1]


@pytest.mark.thorough
@settings(max_examples=12)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::xinsitu.XinsituWarning")
def test_what_was_written_comes_back(folder: Path, flat: xr.DataArray, data: st.DataObject) -> None:
    opening = {
        "on_error": data.draw(st.sampled_from(["skip", "nan"])),
        "time": data.draw(st.sampled_from(["auto", "frame"])),
        "instrument": data.draw(st.sampled_from([None, "generic", "diamond-i07", "spring8-bl11xu"])),
    }
    scan = xi.open_measurement(folder, **opening)
    background = data.draw(
        st.sampled_from(
            [None, *(xi.Background(y=(70, 90), x=(150, 170), mode=mode) for mode in ("divide", "subtract"))]
        )
    )
    correction = xi.Correction(
        median=data.draw(st.sampled_from([None, 3, 5])),
        flatfield=data.draw(st.sampled_from([None, flat])),
        background=background,
        normalise=data.draw(st.sampled_from([None, "monitor"])) if "monitor" in scan.coords else None,
    )
    if correction.applied:
        scan = xi.correct(scan, correction)
    if data.draw(st.booleans()):
        scan = xi.crop(scan, y=(data.draw(st.integers(0, 62)), 170), x=(data.draw(st.integers(0, 150)), 400))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "frames.nc"
        if data.draw(st.booleans()):
            xi.write_frames(scan, path, compression=data.draw(st.sampled_from([None, "deflate"])))
        else:
            scan = scan.isel(time=slice(data.draw(st.integers(0, 9)), 25))
            scan.to_netcdf(path, engine=data.draw(st.sampled_from(["h5netcdf", "netcdf4"])))
        again = xi.open_measurement(path)
        same(scan, again)
        same(scan, xr.open_dataset(path, engine="xinsitu"))
        same(xi.measure(scan, ROIS).compute(), xi.measure(again, ROIS).compute())


@pytest.mark.thorough
def test_dims_in_any_order(folder: Path, tmp_path: Path) -> None:
    scan = xi.crop(xi.open_measurement(folder, on_error="nan"), y=(11, 60), x=(30, 131))
    for order in (("y", "x", "time"), ("x", "time", "y"), ("time", "x", "y")):
        path = tmp_path / f"{'_'.join(order)}.nc"
        scan.transpose(*order, ...).to_netcdf(path, engine="h5netcdf")
        again = xi.open_measurement(path)
        same(scan, again)
        part = {"time": slice(3, 20, 4), "y": slice(5, 9), "x": [1, 7, 50]}
        np.testing.assert_array_equal(again.image.isel(part), scan.image.isel(part))


@pytest.mark.parametrize("frame", [0, 11, 29])
def test_one_frame_that_was_taken_out_keeps_its_moment_and_counters(folder: Path, tmp_path: Path, frame: int) -> None:
    """Without an axis of time it was read as a picture of somebody else's, of 1970."""
    scan = xi.crop(xi.open_measurement(folder, on_error="nan"), y=(11, 60), x=(30, 131))
    scan.isel(time=frame).to_netcdf(tmp_path / "one.nc")
    same(scan.isel(time=[frame]), xi.open_measurement(tmp_path / "one.nc"))


def test_a_stack_of_somebody_else_with_named_dims(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frames = rng.poisson(9, (5, 12, 17)).astype("u2")
    time = np.datetime64("2021-05-01T12:00:00", "ns") + np.arange(5) * np.timedelta64(1, "s")
    stack = xr.Dataset({"image": (("time", "y", "x"), frames)}, {"time": time, "y": np.arange(40, 52)})
    stack.transpose("x", "y", "time").to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    scan = xi.open_measurement(tmp_path / "a.nc")
    np.testing.assert_array_equal(scan.image.values, frames)
    assert scan.y.values.tolist() == list(range(40, 52))
    assert scan.x.values[0] == 0


@pytest.mark.thorough
def test_parts_of_one_measurement_are_put_together(folder: Path, tmp_path: Path) -> None:
    scan = xi.open_measurement(folder, on_error="nan")
    for number, part in enumerate((slice(0, 9), slice(9, 21), slice(21, 30))):
        scan.isel(time=part).to_netcdf(tmp_path / f"part_{number}.nc")
    again = xi.open_measurement([tmp_path / f"part_{number}.nc" for number in range(3)])
    same(scan, again)


@pytest.mark.thorough
def test_the_zone_may_be_said_later(folder: Path, tmp_path: Path) -> None:
    with pytest.warns(XinsituWarning, match="nor is the time zone"):
        scan = xi.open_measurement(folder, on_error="nan", instrument="generic", logs=None)
    xi.write_frames(scan, tmp_path / "a.nc")
    right = xi.open_measurement(folder, on_error="nan", tz="Asia/Kathmandu", logs=None)
    again = xi.open_measurement(tmp_path / "a.nc", tz="Asia/Kathmandu")
    np.testing.assert_array_equal(again.time.values, right.time.values)
    assert again.attrs["time_zone_source"] == "tz"
    named = xi.open_measurement(tmp_path / "a.nc", instrument="spring8-bl11xu")
    assert named.x.attrs["long_name"] == "l"
    assert named.attrs["time_zone"] == "Asia/Tokyo"
    xi.write_frames(named, tmp_path / "b.nc")
    with pytest.warns(XinsituWarning, match="UTC already"):
        kept = xi.open_measurement(tmp_path / "b.nc", tz="Europe/Paris")
    np.testing.assert_array_equal(kept.time.values, named.time.values)
    with pytest.warns(XinsituWarning, match="its frames are of spring8-bl11xu"):
        assert xi.open_measurement(tmp_path / "b.nc", instrument="diamond-i07").attrs["instrument"] == "spring8-bl11xu"


@pytest.mark.thorough
def test_other_times_for_frames_that_were_written(folder: Path, tmp_path: Path) -> None:
    scan = xi.open_measurement(folder, on_error="nan")
    xi.write_frames(scan, tmp_path / "a.nc")
    by_number = xi.open_measurement(tmp_path / "a.nc", time="frame")
    assert xi.epoch_seconds(by_number.time).tolist() == list(range(30))
    assert by_number.attrs["time_source"] == "frame"
    given = scan.time.values + np.timedelta64(5, "s")
    np.testing.assert_array_equal(xi.open_measurement(tmp_path / "a.nc", time=given).time.values, given)
    for asked in ("mtime", "period"):
        with pytest.raises(TimeError, match="keep the times that they were written with"):
            xi.open_measurement(tmp_path / "a.nc", time=asked)


@pytest.mark.thorough("step0")
@pytest.mark.filterwarnings("ignore:.*background is zero:xinsitu.XinsituWarning")
@pytest.mark.parametrize(
    "step",
    [
        {"median": 3},
        {"background": xi.Background(y=(70, 90), x=(150, 170))},
        {"normalise": "monitor"},
    ],
)
def test_what_was_applied_is_never_applied_again(folder: Path, tmp_path: Path, step: dict[str, object]) -> None:
    correction = xi.Correction(**step)  # type: ignore[arg-type]
    xi.write_frames(xi.correct(xi.open_measurement(folder, on_error="nan"), correction), tmp_path / "a.nc")
    again = xi.open_measurement(tmp_path / "a.nc")
    for call in (xi.correct, lambda data, what: xi.measure(data, ROIS, correction=what)):
        with pytest.raises(CorrectionError, match="done to these frames already"):
            call(again, correction)


@pytest.mark.parametrize("word", [b"seconds since 1970", b"proleptic_gregorian"])
def test_a_damaged_text_of_the_time_axis_is_an_error_of_its_file(folder, tmp_path, word):
    """What xarray raises of the units knows no file."""
    files = sorted(folder.glob("*.tif"))[:3]
    path = xi.write_frames(xi.open_measurement(files, tz="Asia/Tokyo"), tmp_path / "f.nc")
    sound = path.read_bytes()
    assert word in sound
    path.write_bytes(sound.replace(word, b"\xf0" + word[1:]))
    with pytest.raises(FrameError, match=r"f\.nc: the HDF5 file is damaged \(unable to decode time units"):
        xi.open_measurement(path)
