"""All text of the page can be read, light and dark: contrast of 4.5 at least, from the colours that the browser has."""

from __future__ import annotations

import pytest

import xinsitu as xi
from tests.helpers.browser import TOKYO, in_a_browser
from xinsitu.app.serve import explore
from xinsitu.app.state.kinds import OKABE_ITO
from xinsitu.app.views.image import STATE_COLOURS
from xinsitu.app.views.roi_boxes import on_top

pytestmark = in_a_browser

TEXT = """() => {
  const parse = (text) => {
    const found = text.match(/rgba?\\(([^)]+)\\)/)
    if (!found) return [0, 0, 0, 0]
    const [red, green, blue, alpha] = found[1].split(/[ ,/]+/).map(Number)
    return [red, green, blue, alpha ?? 1]
  }
  const parent = (one) => one.assignedSlot ?? one.parentElement ?? one.getRootNode().host ?? null
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1)
  const ground = (element) => {
    const layers = []
    for (let one = element; one && layers.at(-1)?.[3] !== 1; one = parent(one)) {
      const {backgroundColor, backgroundImage} = getComputedStyle(one)
      layers.push(parse(backgroundImage.includes("gradient") ? backgroundImage : backgroundColor))
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1])
  }
  const light = (color) => {
    const linear = (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    const [red, green, blue] = color.map((part) => linear(part / 255))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const found = []
  const walk = (root) => {
    for (const one of root.querySelectorAll("*")) {
      if (one.shadowRoot) walk(one.shadowRoot)
      if (["STYLE", "SCRIPT", "OPTION"].includes(one.tagName) || ["checkbox", "radio"].includes(one.type)) continue
      const texts = [...one.childNodes].filter((node) => node.nodeType === 3)
      const own = texts.map((node) => node.textContent.trim()).join("")
      const field = one.tagName === "INPUT", part = one.type === "file" ? "::file-selector-button" : "::placeholder"
      const inside = field && (one.type === "file" || !one.value) ? part : null
      const typed = field ? one.value || one.placeholder || (one.type === "file" && "file") : ""
      const text = own || typed
      const {width, height} = one.getBoundingClientRect(), style = getComputedStyle(one)
      if (!text || width < 2 || height < 2 || style.visibility === "hidden" || style.clipPath !== "none") continue
      let seen = 1
      for (let each = one; each; each = parent(each)) seen *= Number(getComputedStyle(each).opacity)
      const said = inside ? getComputedStyle(one, inside) : style
      const color = parse(said.color)
      const below = inside ? over(parse(said.backgroundColor), ground(one)) : ground(one)
      const shown = over([...color.slice(0, 3), color[3] * seen], below)
      const [high, low] = [light(shown), light(below)].sort((a, b) => b - a)
      found.push([(high + 0.05) / (low + 0.05), `${one.tagName} ${text.slice(0, 40)}`])
    }
  }
  walk(document)
  return found
}"""
TABS = ("ROIs", "Corrections", "Attenuation", "Events", "Compare", "Files")


def ratio(one, other):
    """Contrast of two colours ``#rrggbb`` as WCAG 2 has it."""

    def light(color):
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("color", OKABE_ITO)
def test_names_on_the_image_can_be_read(color):
    assert ratio({"black": "#000000", "white": "#ffffff"}[on_top(color)], color) >= 4.5


def test_states_of_pixels_have_colours_of_their_own():
    from bokeh.palettes import all_palettes

    from xinsitu.app.state.view import COLOURS

    for name in ("faulty", "saturated"):
        own = [int(STATE_COLOURS[name][at : at + 2], 16) for at in (1, 3, 5)]
        for palette in COLOURS:
            for other in all_palettes[palette.capitalize()][256]:
                apart = sum((part - int(other[at : at + 2], 16)) ** 2 for part, at in zip(own, (1, 3, 5), strict=True))
                assert apart**0.5 > 60, (name, palette, other)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text(tmp_path, tmp_path_factory, chromium, scheme, monkeypatch):
    from tests.helpers.browser import Tab

    monkeypatch.chdir(tmp_path)
    truth = xi.simulate_sample(tmp_path_factory.mktemp("contrast"), measurements=2, frames=40)
    explorer = explore(truth.folders["sample"], reading=TOKYO, browser=False)
    context = chromium.new_context(viewport={"width": 1366, "height": 900}, color_scheme=scheme)
    tab = Tab(context.new_page(), explorer.url)
    try:
        tab.measured(explorer, explorer.rois.names[0])
        tab.at_rest()
        dim = set()

        def look(what):
            tab.page.wait_for_timeout(300)
            found = tab.page.evaluate(TEXT)
            assert len(found) > 20, what
            dim.update((what, text, round(contrast, 2)) for contrast, text in found if contrast < 4.5)

        for name in TABS:
            tab.panel(name)
            if name == "Attenuation":
                tab.press("find")
                tab.settle(lambda: bool(explorer.model.attenuation.proposals))
            look(name)
        assert any("INPUT file" in text for _, text in tab.page.evaluate(TEXT))
        tab.page.locator("#save").click()
        look("menu")
        tab.page.locator("#files [data-file=ROIs]").click()
        tab.until("() => Bokeh.documents[0].get_model_by_name('message').visible")
        look("saved")
        tab.type("go to", "99999")
        tab.until("() => Bokeh.documents[0].get_model_by_name('message').tags.includes('error')")
        tab.page.locator("#bell").click()
        look("notices")
        tab.page.keyboard.press("Escape")
        tab.page.locator("#help-button").click()
        look("help")
        tab.page.keyboard.press("Escape")
        tab.page.locator("#chips button").first.click()
        tab.until("() => document.querySelector('#chips button').getAttribute('aria-pressed') === 'false'")
        look("a hidden curve")
        assert not dim
        assert tab.errors == []
    finally:
        context.close()
        explorer.stop()
