"""Factors from scans that overlap in q: the three of I07, and numbers one can do in the head."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xinsitu.errors import SchemaError, StitchError
from xinsitu.physics.attenuation.overlap import attenuation_from_overlap
from xinsitu.physics.attenuation.scaling import attenuation_changes, correct_attenuation
from xinsitu.physics.samples.joining import stitch
from xinsitu.values import AttenuationChange


def i07(folder):
    """The three scans with the beamline's own sums; its clock stands still in UTC here."""
    table = pd.read_csv(folder / "i07" / "roi1_by_the_beamline.csv")
    scans = []
    for name, rows in table.groupby("scan"):
        time = pd.to_datetime(rows["datetime"], format="%Y:%m:%d %H:%M:%S").to_numpy().astype("datetime64[ns]")
        counts = rows["gda_sum"].to_numpy(dtype=float)
        scans.append(
            xr.Dataset(
                {
                    "intensity": (("time", "roi"), counts[:, None], {"units": "counts"}),
                    "intensity_errors": (("time", "roi"), np.sqrt(counts)[:, None]),
                },
                {
                    "time": time,
                    "roi": ["roi1"],
                    "measurement": str(name),
                    "qdcd": ("time", rows["axis_value"].to_numpy(dtype=float)),
                    "transmission": ("time", rows["transmission_percent"].to_numpy(dtype=float)),
                },
            )
        )
    return stitch(scans)


def test_i07_scans_join_through_their_overlap(shared_data):
    sample = i07(shared_data)
    first, second = attenuation_from_overlap(sample, "qdcd")
    # the beam becomes stronger, so the later scan is divided
    for change, lowest, highest, nominal in ((first, 58.5, 59.6, 52.2), (second, 34.7, 35.2, 31.5)):
        ratio, error = 1 / change.factor, change.factor_errors / change.factor**2
        assert lowest - error < ratio < highest + error
        assert error < 0.02 * ratio
        assert abs(ratio - nominal) > 5 * error
    assert (first.evidence["points"], second.evidence["points"]) == (3, 4)
    joined = correct_attenuation(sample, [], overlap="qdcd", reference="last")
    # the reflectivity curve goes on: where scans overlap they agree within 3 %
    curve = pd.Series(joined.intensity.values[:, 0], index=joined.qdcd.values).groupby(level=0)
    spread = (curve.max() / curve.min())[curve.count() > 1]
    assert len(spread) == 7
    assert (spread < 1.03).all()
    assert [change.evidence["method"] for change in attenuation_changes(joined)] == ["overlap", "overlap"]


def scans(first, second, x_first, x_second, errors=None):
    time = np.datetime64("2020-02-27", "ns") + np.arange(len(first) + len(second)) * np.timedelta64(1, "s")
    values = np.concatenate([first, second]).astype(float)
    sample = xr.Dataset(
        {"intensity": (("time", "roi"), values[:, None])},
        {
            "time": time,
            "roi": ["a"],
            "q": ("time", np.concatenate([x_first, x_second])),
            "measurement": ("time", ["s1"] * len(first) + ["s2"] * len(second)),
        },
    )
    if errors is not None:
        sample["intensity_errors"] = ("time", "roi"), np.asarray(errors, dtype=float)[:, None]
    return sample


def test_interpolation_in_logarithm_is_exact_on_an_exponential():
    x = np.arange(11.0)
    between = np.arange(3.5, 12)
    sample = scans(np.exp(-x), 100 * np.exp(-between), x, between)
    (change,) = attenuation_from_overlap(sample, "q")
    assert change.factor == pytest.approx(0.01, rel=1e-9)
    assert change.evidence["points"] == 7
    assert (change.evidence["from"], change.evidence["to"]) == (3.5, 10)


def test_error_is_that_of_the_sums_and_grows_where_points_disagree():
    sample = scans([5, 100, 300], [10, 30, 1], [0, 1, 2], [1, 2, 3], errors=[1, 10, 10, 1, 3, 1])
    (change,) = attenuation_from_overlap(sample, "q")
    assert change.factor == pytest.approx(10)
    assert change.factor_errors == pytest.approx(10 * np.sqrt(200 / 400**2 + 10 / 40**2))
    apart = scans([5, 100, 300], [20, 20, 1], [0, 1, 2], [1, 2, 3], errors=[1, 10, 10, 1, 3, 1])
    (worse,) = attenuation_from_overlap(apart, "q")
    assert worse.factor == pytest.approx(10)
    assert worse.factor_errors > 3 * change.factor_errors


def test_noise_is_not_assumed_to_be_counting():
    rng = np.random.default_rng(0)
    x = np.arange(200.0)
    sample = scans(1e6 * (1 + 0.05 * rng.standard_normal(200)), 1e5 * (1 + 0.05 * rng.standard_normal(200)), x, x)
    (change,) = attenuation_from_overlap(sample, "q")
    assert change.factor_errors / change.factor == pytest.approx(0.05 * np.sqrt(2 / 200), rel=0.2)


def test_a_given_factor_stays():
    sample = scans([5, 100, 300], [10, 30, 1], [0, 1, 2], [1, 2, 3])
    given = AttenuationChange(sample.time.values[2], sample.time.values[3], factor=9.9)
    assert attenuation_from_overlap(sample, "q", changes=[given])[0].factor == 9.9


def test_what_cannot_be_compared():
    with pytest.raises(StitchError, match="do not overlap in q: one runs from 0 to 2, the next from 5 to 7"):
        attenuation_from_overlap(scans([5, 4, 3], [3, 2, 1], [0, 1, 2], [5, 6, 7]), "q")
    sample = scans([5, 4, 3], [3, 2, 1], [0, 1, 2], [1, 2, 3])
    with pytest.raises(SchemaError, match="no coordinate 'theta' on time"):
        attenuation_from_overlap(sample, "theta")
    with pytest.raises(SchemaError, match="does not name its measurements"):
        attenuation_from_overlap(sample.drop_vars("measurement"), "q")
