"""Interactive figures are hvplot's, and what is opened and measured is at home in it."""

from __future__ import annotations

import subprocess
import sys

import holoviews as hv
import hvplot.pandas
import hvplot.xarray  # noqa: F401
import numpy as np
import pytest

import xinsitu as xi


@pytest.fixture(scope="module")
def scan(experiment):
    return xi.open_measurement(experiment.folders["time1"], tz="Asia/Tokyo")


@pytest.mark.thorough
def test_frames_are_shown_one_at_a_time_each_read_when_it_is(scan, computes):
    with computes(0):
        shown = scan.image.hvplot.image(x="x", y="y", groupby="time", dynamic=True)
    assert isinstance(shown, hv.DynamicMap)
    with computes(2):
        one = shown[scan.time.values[7]]
    np.testing.assert_array_equal(one.dimension_values("image", flat=False), scan.image.isel(time=7).values)


def test_series_are_drawn_by_name(scan, experiment):
    series = xi.measure(scan, experiment.rois).compute()
    drawn = series.intensity.hvplot.line(x="time", by="roi")
    assert {str(one) for one in drawn.keys()} == set(experiment.rois.names)  # noqa: SIM118
    wide = xi.to_dataframe(series, "wide")
    line = wide.hvplot.line(y="WZ_intensity")
    np.testing.assert_array_equal(line["WZ_intensity"], series.intensity.sel(roi="WZ").values)


@pytest.mark.thorough
def test_figures_are_made_by_it_and_by_nothing_before(scan, experiment, monkeypatch):
    from hvplot.plotting.core import hvPlot, hvPlotTabular

    called = []
    for kind, where in (("line", hvPlotTabular), ("errorbars", hvPlotTabular), ("image", hvPlot), ("quadmesh", hvPlot)):
        plain = getattr(where, kind)
        monkeypatch.setattr(
            where,
            kind,
            lambda *words, _plain=plain, _kind=kind, **names: called.append(_kind) or _plain(*words, **names),
        )
    series = xi.measure(scan.isel(time=slice(0, 20)), experiment.rois).compute()
    xi.plot(series)
    assert {"line", "errorbars"} <= set(called)
    xi.plot_rois(scan, experiment.rois)
    xi.plot_kymograph(scan.isel(time=slice(0, 9)), experiment.rois["WZ"])
    assert {"image", "quadmesh"} <= set(called)
    code = "import sys, xinsitu, xinsitu.plots; print({'hvplot', 'holoviews'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
