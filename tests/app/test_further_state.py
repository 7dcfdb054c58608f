"""A quantity more: what is asked of the ROIs, when it is measured, and how changes of attenuation scale it."""

from __future__ import annotations

import numpy as np
import pytest

import xinsitu as xi
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.state.further_state import ASKED
from xinsitu.app.state.model import ExplorerModel
from xinsitu.recipe import Reading
from xinsitu.values import Roi, RoiSet, Rotated


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = xi.simulate_sample(tmp_path_factory.mktemp("further"), measurements=1, frames=20).folders["time1"]
    store = FrameStore(open_source(folder, reading=Reading(tz="Asia/Tokyo")))
    store.start()
    store.wait()
    rois = RoiSet([Roi("a", y=(80, 120), x=(60, 110)), Roi("b", geometry=Rotated((104, 240), (40, 30), 20))])
    yield ExplorerModel(store, rois=rois)
    store.release()


def measured(model):
    model.further.take(model.further.measured(model.further.request()))


@pytest.mark.thorough("com_along")
@pytest.mark.parametrize("quantity", ASKED)
def test_every_quantity_is_what_measure_gives(model, quantity):
    assert model.further.further == "" or model.further.request() is None
    model.further.further = quantity
    measured(model)
    expected = xi.measure(model.store.data, model.regions.rois.also(*ASKED[quantity])).compute()
    for roi in ("a", "b"):
        values, errors = model.further.drawn(roi)
        np.testing.assert_array_equal(values, expected[quantity].sel(roi=roi))
        if f"{quantity}_errors" in expected:
            np.testing.assert_array_equal(errors, expected[f"{quantity}_errors"].sel(roi=roi))
    assert model.further.request() is None  # it is there
    before = model.regions.rois
    model.regions.rois = before.replaced(before["a"].moved(y=(70, 110)))
    assert model.further.request() is not None
    model.regions.rois = before
    assert model.further.request() is None
    model.further.further = ""
    assert model.further.request() is None


def test_what_no_roi_has_is_nan(model):
    before = model.regions.rois
    model.regions.rois = RoiSet([before["a"]])
    model.further.further = "com_along"
    measured(model)
    assert np.isnan(model.further.drawn("a")[0]).all()
    model.regions.rois, model.further.further = before, ""


def test_what_comes_too_late_is_not_taken(model):
    model.further.further = "std"
    request = model.further.request()
    model.further.further = "mean"
    model.further.take(model.further.measured(request))
    assert model.further.request() is not None
    model.further.further = ""
