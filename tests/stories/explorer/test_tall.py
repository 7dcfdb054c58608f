"""Tall detectors and strips: the image stands beside its cut-outs and profiles, and fills the height of its column."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore

pytestmark = in_a_browser

SIZES = [(800, 600), (1100, 650), (1366, 768), (1920, 1080), (2560, 1440), (3840, 2160)]
PARTS = """() => {
  const rect = (one) => { const {left, top, right, bottom, width, height} = one.getBoundingClientRect()
                          return {left, top, right, bottom, width, height} }
  const image = Bokeh.documents[0].get_model_by_name("image")
  return {
    parts: {image: rect(Bokeh.index.find_one(image).el), cutouts: rect(document.getElementById("cutouts")),
            profiles: rect(document.querySelector(".profiles")), track: rect(document.querySelector(".track"))},
    column: rect(document.getElementById("left")), curves: rect(document.getElementById("curves")),
    inner: [image.inner_width, image.inner_height],
    beside: document.getElementById("left").classList.contains("beside"),
    scrolls: [document.documentElement.scrollWidth, document.documentElement.scrollHeight],
    drawn: [...document.querySelectorAll("#cutouts canvas")].map((one) => {
      const {width, height} = one.getBoundingClientRect()
      return [width / height / (one.width / one.height), width]
    }),
  }
}"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    truth = xi.simulate_sample(tmp_path_factory.mktemp("tall"), measurements=1, frames=20)
    return xi.open_measurement(truth.folders["time1"], tz=TOKYO.tz)


def turned(frames, repeat):
    """Frames of a detector that stands upright; a strip of several of them."""
    values = np.concatenate([frames["image"].values] * repeat, axis=2).transpose(0, 2, 1)
    coords = {"time": frames["time"].values, "y": np.arange(values.shape[1]), "x": np.arange(values.shape[2])}
    return xr.Dataset({"image": (("time", "y", "x"), values)}, coords=coords)


@pytest.mark.parametrize("repeat", [1, 3])  # 1:2.5 and 1:7.5
def test_image_beside_its_cutouts_at_six_sizes(frames, start, repeat):
    data = turned(frames, repeat)
    explorer = explore(data, browser=False)
    tab = start(explorer, size=SIZES[0])
    tab.measured(explorer, explorer.rois.names[0])
    rows, columns = data.sizes["y"], data.sizes["x"]
    for size in SIZES:
        tab.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        tab.at_rest()
        found = tab.page.evaluate(PARTS)
        parts, column, (width, height) = found["parts"], found["column"], found["inner"]
        assert found["beside"], size
        assert found["scrolls"] == [*size], size
        assert width / height == pytest.approx(columns / rows, rel=0.06), size  # pixels are square
        assert height >= 0.5 * column["height"], size
        for name, part in parts.items():
            assert part["right"] <= column["right"] + 1, (size, name)
            assert part["bottom"] <= size[1] + 1, (size, name)
            assert min(part["width"], part["height"]) > 40, (size, name)
        assert not list(overlapping(parts)), size
        assert all(abs(aspect - 1) < 0.05 and wide > 30 for aspect, wide in found["drawn"]), size
        if size[0] >= 1100:
            assert found["curves"]["width"] >= 0.3 * size[0], size
            assert found["curves"]["height"] >= 0.8 * size[1], size
    assert tab.errors == []


def overlapping(parts):
    """Return pairs of parts of the page that cover each other."""
    names = list(parts)
    for at, one in enumerate(names):
        for other in names[:at]:
            a, b = parts[one], parts[other]
            if (
                a["left"] + 1 < b["right"] and b["left"] + 1 < a["right"]
                and a["top"] + 1 < b["bottom"] and b["top"] + 1 < a["bottom"]
            ):  # fmt: skip
                yield one, other


def test_a_wide_detector_stands_over_its_cutouts(frames, start):
    explorer = explore(frames, browser=False)
    tab = start(explorer, size=(1366, 768))
    tab.measured(explorer, explorer.rois.names[0])
    tab.at_rest()
    found = tab.page.evaluate(PARTS)
    assert not found["beside"]
    assert found["parts"]["image"]["bottom"] <= found["parts"]["cutouts"]["top"]
