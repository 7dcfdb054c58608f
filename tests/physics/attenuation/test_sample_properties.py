"""What holds for any sample: stitching does not depend on order, correcting on scale, and undoing loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.physics.samples.test_joining import START, series
from xinsitu.physics.attenuation.scaling import correct_attenuation, undo_attenuation
from xinsitu.physics.samples.joining import stitch
from xinsitu.values import AttenuationChange

SECOND = np.timedelta64(1, "s")


@st.composite
def stitched(draw):
    """Up to four measurements behind each other, with some of three ROIs; one box for each ROI."""
    parts, start = [], 0
    for number in range(draw(st.integers(1, 4))):
        frames = draw(st.integers(1, 6))
        gaps = draw(st.lists(st.integers(0, 3), min_size=frames, max_size=frames))
        rois = draw(st.lists(st.sampled_from(["WZ", "ZB", "TW"]), min_size=1, max_size=3, unique=True))
        counts = draw(st.lists(st.integers(1, 10**6), min_size=frames * len(rois), max_size=frames * len(rois)))
        seconds = start + np.cumsum(gaps)
        intensity = np.reshape(np.array(counts, dtype=float), (frames, len(rois)))
        parts.append(series(f"time{number}", seconds, intensity, rois, box=(0, 5, 0, 5)))
        start = int(seconds[-1]) + draw(st.integers(1, 100))
    return parts


@pytest.mark.thorough
@given(stitched(), st.randoms())
def test_stitching_does_not_depend_on_the_order(parts, random):
    shuffled = list(parts)
    random.shuffle(shuffled)
    sample = stitch(shuffled)
    xr.testing.assert_identical(sample, stitch(parts))
    assert sample.sizes["time"] == sum(part.sizes["time"] for part in parts)
    for part in parts:  # every value is where it was
        here = sample.isel(time=np.flatnonzero(sample.measurement == part.measurement.item()))
        np.testing.assert_array_equal(here.intensity.sel(roi=part.roi.values), part.intensity)
        np.testing.assert_array_equal(here.time, part.time)


@pytest.mark.thorough
@given(stitched())
def test_stitching_in_steps_is_stitching_at_once(parts):
    sample = stitch(parts[:1])
    for part in parts[1:]:
        sample = stitch([sample, part])
    xr.testing.assert_identical(sample, stitch(parts))


@st.composite
def changed(draw):
    """A sample with changes between any frames, and factors."""
    frames = draw(st.integers(4, 30))
    values = np.array(draw(st.lists(st.integers(1, 10**6), min_size=frames, max_size=frames)), dtype=float)
    cuts = sorted(draw(st.sets(st.integers(0, frames - 2), max_size=4)))
    changes, last = [], 0
    for cut in cuts:
        if cut < last:
            continue
        last = min(frames - 1, cut + draw(st.integers(1, 3)))
        changes.append(
            AttenuationChange(
                START + cut * SECOND,
                START + last * SECOND,
                factor=draw(st.floats(0.01, 100)),
                factor_errors=draw(st.floats(0, 1)),
            )
        )
    return stitch([series("time1", range(frames), values[:, None], ["WZ"])]), changes


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::xinsitu.errors.XinsituWarning")
@given(changed(), st.sampled_from(["first", "last"]), st.booleans())
@settings(max_examples=50)
def test_correcting_and_undoing_loses_nothing(drawn, reference, legacy):
    sample, changes = drawn
    corrected = correct_attenuation(sample, changes, reference=reference, legacy=legacy)
    xr.testing.assert_identical(undo_attenuation(corrected), sample)
    factor = corrected.attenuation_factor.values
    inside = corrected.segment.values >= 0
    np.testing.assert_array_equal(np.isnan(factor), ~inside)
    np.testing.assert_allclose(
        corrected.intensity.values[inside, 0], sample.intensity.values[inside, 0] * factor[inside], rtol=1e-12
    )
    if not legacy:
        np.testing.assert_array_equal(corrected.com_y, sample.com_y)
    steps = [factor[corrected.segment.values == n][0] for n in range(len(changes) + 1)]
    np.testing.assert_allclose(np.array(steps[1:]) / steps[:-1], [change.factor for change in changes], rtol=1e-9)


@pytest.mark.thorough
@given(st.floats(1e-3, 1e3))
@example(99.0)  # whole numbers, without the noise of rounding
@settings(max_examples=20)
def test_factors_do_not_depend_on_the_units(scale):
    levels = np.r_[np.linspace(900, 1000, 10), np.linspace(100, 110, 10)][:, None]
    change = AttenuationChange(START + 9 * SECOND, START + 10 * SECOND)
    factors = [
        correct_attenuation(
            stitch([series("time1", range(20), levels * unit, ["WZ"])]), [change], window=window
        ).attenuation_factor.values[-1]
        for unit in (1.0, scale)
        for window in (None, 5)
    ]
    np.testing.assert_allclose(factors[:2], factors[2:], rtol=1e-9)


def test_legacy_scales_positions_and_widths_as_well():
    sample = stitch([series("time1", range(4), np.array([[100.0], [100.0], [10.0], [10.0]]), ["WZ"])])
    corrected = correct_attenuation(sample, [AttenuationChange(START + SECOND, START + 2 * SECOND)], legacy=True)
    np.testing.assert_allclose(corrected.com_y.sel(roi="WZ"), [50, 50, 500, 500])
    np.testing.assert_array_equal(corrected.com_y_measured, sample.com_y)
