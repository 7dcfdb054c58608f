"""What the figure of the changes draws is what decided their factors."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xinsitu.physics.attenuation.overlap import attenuation_from_overlap
from xinsitu.physics.attenuation.reports import RejectedChange, change_reports
from xinsitu.plots import plot_changes
from xinsitu.values import AttenuationChange

TIME = np.datetime64("2017-09-02T04:00:00", "ns") + np.arange(60) * np.timedelta64(2, "s")


@pytest.fixture
def sample() -> xr.Dataset:
    frames = np.arange(60.0)
    rng = np.random.default_rng(2)
    counts = np.where(frames < 31, 1, 0.2)[:, None] * np.stack([4000 + 90 * frames, 7000 - 20 * frames], axis=1)
    intensity = rng.poisson(counts).astype(float)
    return xr.Dataset(
        {"intensity": (("time", "roi"), intensity), "intensity_errors": (("time", "roi"), np.sqrt(intensity))},
        {"time": TIME, "roi": ["WZ", "TW"]},
    )


def drawn(sample: xr.Dataset, change: AttenuationChange) -> dict[tuple[int, ...], list[np.ndarray]]:
    """Lines of the figure by the frames that they go through, ROI by ROI."""
    (axes, *_) = plot_changes(sample, [change]).axes
    found: dict[tuple[int, ...], list[np.ndarray]] = {}
    for one in axes.lines:
        if one.get_linestyle() == "-":
            found.setdefault(tuple(map(int, one.get_xdata())), []).append(np.asarray(one.get_ydata()))
    return found


@pytest.mark.parametrize("window", [4, 9])
def test_lines_are_fitted_to_the_frames_that_were_used(sample, window):
    change = AttenuationChange(TIME[30], TIME[31], factor=5.0, evidence={"window": window, "method": "lines"})
    for frames, lines in drawn(sample, change).items():
        assert len(frames) == window
        for line, values in zip(lines, sample.intensity.values[list(frames)].T, strict=True):
            np.testing.assert_allclose(line, np.polyval(np.polyfit(frames, values, 1), frames), rtol=1e-9)


def test_where_sums_decided_the_line_is_their_mean(sample):
    change = AttenuationChange(TIME[30], TIME[31], factor=5.0, evidence={"window": 6, "method": "sums"})
    for frames, lines in drawn(sample, change).items():
        for line, values in zip(lines, sample.intensity.values[list(frames)].T, strict=True):
            np.testing.assert_allclose(line, np.full(6, values.mean()))
    (report,) = change_reports(sample, [change])
    before, after = sample.intensity.values[25:31, 0].mean(), sample.intensity.values[31:37, 0].mean()
    assert report.factors["WZ"][0] == pytest.approx(before / after)


def test_where_scans_overlap_no_line_is_drawn(sample):
    """The factor is that of equal places of two scans, not of the frames beside the change."""
    q = np.concatenate([np.linspace(0, 1, 31), np.linspace(0.9, 2, 29)])
    scans = sample.assign_coords(q=("time", q), measurement=("time", ["a"] * 31 + ["b"] * 29))
    (change,) = attenuation_from_overlap(scans, "q")
    for lines in drawn(scans, change).values():
        assert np.isnan(lines).all()
    (axes,) = plot_changes(scans, [change]).axes
    assert not [one for one in axes.lines if one.get_marker() == "o" and one.get_xdata().size]


def test_what_was_rejected_stands_in_grey_at_its_place(sample):
    class Found(list):
        rejected = (RejectedChange(TIME[10], TIME[11], None, None, 1.02, 0.01, 2.0, "smaller than 3 %"),)

    change = AttenuationChange(TIME[30], TIME[31], factor=5.0)
    first, second = (axes for axes in plot_changes(sample, Found([change])).axes if axes.get_visible())
    assert "smaller than 3 %" in second.get_title().replace("\n", " ")
    assert first.get_facecolor() != second.get_facecolor()
    low, high = second.get_xlim()
    assert low < 10 < 11 < high
