"""What is changed of how Bokeh paints looks as before, and costs less."""

from __future__ import annotations

import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore

from .test_gestures import spot

pytestmark = in_a_browser
SHEETS = """() => {
  const all = [...Bokeh.documents[0]._all_models.values()].filter((one) => one.type === "GlyphRenderer")
  window.written = []
  for (const sheet of all.map((one) => Bokeh.index.find_one(one)?.position)) {
    if (sheet) sheet._update = (css) => { window.written.push(css) }
  }
}"""
STROKES = """([kind, points]) => {
  const all = [...Bokeh.documents[0]._all_models.values()]
  const renderer = all.find((one) => one.type === "GlyphRenderer" && one.data_source.name === `${kind}:spot`)
  const {glyph} = Bokeh.index.find_one(renderer), side = 300, canvas = document.createElement("canvas")
  canvas.width = canvas.height = side
  const ctx = canvas.getContext("2d", {willReadFrequently: true}), plain = ctx.stroke
  let widths = []
  ctx.stroke = function (...path) { widths.push(ctx.lineWidth); plain.apply(ctx, path) }
  const drawn = (draw) => {
    ctx.clearRect(0, 0, side, side)
    ctx.save()
    draw()
    ctx.restore()
    return ctx.getImageData(0, 0, side, side).data.filter((_, i) => i % 4 === 3)
  }
  return [...Array(12).keys()].map((twelfth) => {
    const angle = twelfth * Math.PI / 12, way = [...Array(points).keys()].map((i) => 200 * i / (points - 1) - 100)
    const sx = way.map((r) => 150.3 + r * Math.cos(angle)), sy = way.map((r) => 150.3 + r * Math.sin(angle))
    sx[points >> 1] = sy[points >> 1] = NaN  // a gap
    const usual = drawn(() => {
      ctx.beginPath()
      sx.forEach((x, i) => { if (isFinite(x)) ctx[i && isFinite(sx[i - 1]) ? "lineTo" : "moveTo"](x, sy[i]) })
      glyph.visuals.line.set_value(ctx)
      ctx.stroke()
    })
    widths = []
    const ours = drawn(() => glyph._paint(ctx, sx.map((_, i) => i), {sx, sy}))
    const sum = (one) => one.reduce((a, b) => a + b, 0)
    const near = (i) => [-1, 0, 1].some((x) => [-1, 0, 1].some((y) => usual[i + x + side * y]))
    return {
      ratio: sum(ours) / sum(usual), same: ours.every((alpha, i) => alpha === usual[i]), widths: [...widths],
      strayed: ours.filter((alpha, i) => alpha > 40 && !near(i)).length,
    }
  })
}"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("repaint"), measurements=1, frames=20)


def test_what_is_changed_of_how_bokeh_paints(truth, start):
    explorer = explore(truth.folders["time1"], reading=TOKYO, browser=False)
    tab = start(explorer)
    tab.measured(explorer, "spot")
    tab.at_rest()
    for angle in tab.page.evaluate(STROKES, ["lines", 400]):  # long: of lines of a pixel, where it was, about as dark
        assert angle["widths"] == [1, 1, 1]
        assert angle["ratio"] == pytest.approx(1, abs=0.25)
        assert angle["strayed"] == 0
    for kind, points in (("lines", 100), ("bars", 400)):  # short, and one that shines through: as Bokeh has them
        for angle in tab.page.evaluate(STROKES, [kind, points]):
            assert angle["widths"] == [angle["widths"][0]]
            assert angle["same"]
    before = explorer.rois["spot"]
    tab.page.evaluate(SHEETS)
    tab.drag(spot(tab, "spot"), (14, 12))
    tab.settle(lambda: explorer.rois["spot"] != before)
    tab.measured(explorer, "spot")
    tab.at_rest()
    assert tab.page.evaluate("window.written") == []
    assert tab.errors == []
