"""Frames that are not to be used: named by a person, left out of factors, slopes and figures, kept in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.bl11xu import runs
from xinsitu.errors import SchemaError, StitchError
from xinsitu.physics.moments import resolve_key, time_of
from xinsitu.plots.curves import drawing
from xinsitu.schema import Quality

START = np.datetime64("2014-05-28T08:00:00", "ns")


def series(values: np.ndarray, name: str = "time1", start: int = 0) -> xr.Dataset:
    """A measurement of two ROIs, one frame a second, numbered from 0 on."""
    frames = len(values)
    data = np.stack([values, 3 * values], axis=1)
    return xr.Dataset(
        {
            "intensity": (("time", "roi"), data, {"units": "counts"}),
            "intensity_errors": (("time", "roi"), np.sqrt(data)),
            "com_y": (("time", "roi"), np.arange(2.0 * frames).reshape(frames, 2), {"units": "pixel"}),
            "n_valid": (("time", "roi"), np.full((frames, 2), 9)),
        },
        {
            "time": START + (start + np.arange(frames)) * np.timedelta64(1, "s"),
            "roi": ["WZ", "ZB"],
            "frame": ("time", np.arange(frames)),
            "measurement": name,
        },
    )


def sample() -> xr.Dataset:
    """Two measurements with an attenuator of 10 between them; the last frame before it is spoilt."""
    first = np.r_[np.full(29, 4000.0), 3500.0]
    return xi.stitch([series(first), series(np.full(20, 400.0), "time2", start=40)])


def flagged(data: xr.Dataset, flag: Quality = Quality.BAD_FRAME) -> list[int]:
    assert (data.quality.dtype, data.quality.dims) == (np.int32, ("time", "roi"))
    assert ((data.quality & int(flag)) > 0).all("roi").sum() == ((data.quality & int(flag)) > 0).any("roi").sum()
    return np.flatnonzero((data.quality & int(flag)).values[:, 0]).tolist()


def test_a_position_is_the_index_on_the_joined_series() -> None:
    joined = sample()
    assert resolve_key(joined, {"position": 30}) == resolve_key(joined, "time2:0") == 30
    assert time_of(joined, {"position": 30}) == joined.time.values[30]
    with pytest.raises(StitchError, match="no position 50 on the series; positions run from 0 to 49"):
        resolve_key(joined, "50")
    with pytest.raises(StitchError, match="it has no frames"):
        resolve_key(joined.isel(time=slice(0, 0)), "0")


def test_a_position_beside_another_time_is_refused() -> None:
    joined = sample()
    key = {"position": 30, "utc": f"{str(joined.time.values[30])[:19]}Z"}
    assert resolve_key(joined, key) == 30
    assert time_of(joined, key) == joined.time.values[30]
    with pytest.raises(StitchError, match="frames were added or left out"):
        resolve_key(joined.isel(time=slice(2, None)), key)


def test_changes_and_events_take_positions() -> None:
    joined = sample()
    by_frame = xi.correct_attenuation(joined, [xi.AttenuationChange("time1:28", "time2:0")])
    by_position = xi.correct_attenuation(joined, [xi.AttenuationChange({"position": 28}, {"position": 30})])
    assert by_position.identical(by_frame)
    (event,) = xi.events_of(xi.with_events(joined, [xi.Event("open", {"position": 30})]))
    assert event.start == joined.time.values[30]


@pytest.mark.parametrize("number", ["1", " 0"])
def test_a_number_in_quotes_is_no_reference(number: str) -> None:
    with pytest.raises(StitchError, match="names no segment"):
        xi.correct_attenuation(sample(), [xi.AttenuationChange("time1:28", "time2:0")], reference=number)


def test_bad_frames_are_flagged_and_kept() -> None:
    joined = sample()
    bad = xi.flag_bad_frames(joined, ["time1:3", "time2:2-4", {"position": 49}, {"start": "29", "stop": "time2:0"}])
    assert flagged(bad) == [3, 29, 30, 32, 33, 34, 49]
    assert bad.drop_vars("quality").identical(joined)
    again = xi.flag_bad_frames(bad, "time1:3, time1:5")
    assert flagged(again) == [3, 5, 29, 30, 32, 33, 34, 49]
    assert "bad_frame" in again.quality.attrs["flag_meanings"].split()


def test_other_flags_stay_and_lazy_ones_stay_lazy() -> None:
    joined = sample().assign(quality=(("time", "roi"), np.full((50, 2), int(Quality.SATURATED), "int32"))).chunk()
    bad = xi.flag_bad_frames(joined, "3")
    assert bad.quality.chunks is not None
    assert flagged(bad) == [3]
    assert flagged(bad, Quality.SATURATED) == list(range(50))


@pytest.mark.parametrize("frames", ["time3:1", "time1:30", "50", "time2:4-2", "time1:9..time1:2"])
def test_frames_that_are_not_there_are_refused(frames: str) -> None:
    with pytest.raises(StitchError):
        xi.flag_bad_frames(sample(), frames)


def test_masking_takes_numbers_of_the_flagged_roi_only() -> None:
    joined = xi.flag_bad_frames(sample(), "3")
    joined["quality"][5, 1] = int(Quality.OUTLIER)
    masked = xi.mask_flagged(joined)
    assert np.argwhere(masked.intensity.isnull().values).tolist() == [[3, 0], [3, 1], [5, 1]]
    assert masked.intensity_errors.isnull().equals(masked.intensity.isnull())
    assert masked.com_y.isnull().equals(masked.intensity.isnull())
    assert masked.n_valid.identical(joined.n_valid)
    assert xi.mask_flagged(joined, "outlier").intensity.isnull().sum() == 1
    assert xi.mask_flagged(joined, "saturated").identical(joined)
    with pytest.raises(SchemaError, match="no flag 'spoilt'"):
        xi.mask_flagged(joined, "spoilt")


@pytest.mark.parametrize("window", [5, 20])
def test_factors_are_those_of_the_other_frames(window: int) -> None:
    change = xi.AttenuationChange("time1:29", "time2:0")
    spoilt = xi.attenuation_changes(xi.correct_attenuation(sample(), [change], window=window))[0]
    good = xi.attenuation_changes(
        xi.correct_attenuation(xi.flag_bad_frames(sample(), "time1:29"), [change], window=window)
    )[0]
    assert good.factor == pytest.approx(10, rel=1e-9)
    assert abs(spoilt.factor - 10) > 0.05


def test_an_end_point_that_is_bad_is_told() -> None:
    bad = xi.flag_bad_frames(sample(), "29")
    with pytest.raises(StitchError, match="a frame that it names is flagged as bad: name one beside it"):
        xi.correct_attenuation(bad, [xi.AttenuationChange("time1:29", "time2:0")])
    assert xi.attenuation_changes(xi.correct_attenuation(bad, [xi.AttenuationChange("time1:28", "time2:0")]))


def test_the_finder_does_not_see_them() -> None:
    values = np.full(60, 9000.0)
    values[30:33] = 2000.0
    rng = np.random.default_rng(1)
    noisy = series(rng.poisson(values).astype(float))
    found = xi.find_attenuation_changes(xi.flag_bad_frames(noisy, "30-32"))
    assert found == []


def test_slopes_means_and_figures_leave_them_out() -> None:
    values = 500.0 + 2 * np.arange(40.0)
    values[10] = 1e6
    spoilt = series(values)
    bad = xi.flag_bad_frames(spoilt, "10")
    slopes = xi.compare({"a": bad, "b": spoilt}).slopes.slope.sel(quantity="intensity", roi="WZ")
    assert slopes.sel(sample="a").item() == pytest.approx(2)
    assert abs(slopes.sel(sample="b").item() - 2) > 0.5
    assert float(xi.normalise(bad, (None, None)).intensity[0, 0]) == pytest.approx(500 / (500 + 2 * 19.5), rel=0.01)
    (curve, _) = next(panel for panel in drawing(bad).panels if panel.name == "intensity").curves
    assert np.flatnonzero(np.isnan(curve.y)).tolist() == [10]


def test_the_file_keeps_them(tmp_path: Path) -> None:
    bad = xi.flag_bad_frames(sample(), "3")
    xi.write_results(bad, tmp_path / "s.nc")
    read = xi.read_results(tmp_path / "s.nc")
    assert flagged(read) == [3]
    assert read.intensity.equals(sample().intensity)


# -- outliers ---------------------------------------------------------------------------------------------------------


def frames_with_faults() -> xr.DataArray:
    """Spots on 60 frames: a cosmic ray in one, half a read-out in another, an attenuator of 5 from frame 40 on."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:40, :60]
    spots = sum(np.exp(-((y - 20) ** 2 + (x - at) ** 2) / 18) for at in (15, 45))
    expected = np.repeat((200 * spots + 0.5)[None], 60, axis=0)
    expected[40:] /= 5
    image = rng.poisson(expected)
    image[12, 5, 12] += 30000
    image[25, :, 30:] = 0
    image[50] = 0
    time = START + np.arange(60) * np.timedelta64(1, "s")
    return xr.DataArray(image.astype("int32"), {"time": time}, ("time", "y", "x"), "image", {"units": "counts"})


ROIS = [
    xi.Roi("A", y=(4, 36), x=(3, 28)),
    xi.Roi("B", y=(4, 36), x=(33, 58)),
    xi.Roi("ground", y=(0, 4), x=(0, 60), role="background"),
]


@pytest.mark.filterwarnings("ignore:no ROI has 'ground' as its background")
@pytest.mark.parametrize("chunks", [None, 7])
def test_measure_flags_what_stands_out(chunks: int | None) -> None:
    image = frames_with_faults()
    series = xi.measure(image if chunks is None else image.chunk({"time": chunks}), ROIS).compute()
    out = (series.quality & int(Quality.OUTLIER)) > 0
    assert {roi: np.flatnonzero(out.sel(roi=roi)).tolist() for roi in ("A", "B", "ground")} == {
        "A": [12, 50],
        "B": [25, 50],
        "ground": [50],
    }
    assert (
        xi.flag_outliers(series.drop_vars("quality"))
        .quality.sel(roi=["A", "B"])
        .equals(out.sel(roi=["A", "B"]) * np.int32(Quality.OUTLIER))
    )


def test_factors_do_not_see_outliers() -> None:
    series = xi.measure(frames_with_faults(), ROIS[:2])
    (change,) = xi.find_attenuation_changes(series)
    assert change.factor == pytest.approx(5, abs=4 * change.factor_errors)
    assert change.before == series.time.values[39]


def test_real_runs_have_few_outliers(shared_data: Path) -> None:
    for series in runs(shared_data):
        out = (xi.flag_outliers(series).quality & int(Quality.OUTLIER)) > 0
        assert float(out.mean()) < 0.005
