"""A browser tab with the explorer in it, driven as a person would: everything waits for what is to be seen."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

import numpy as np
import pytest

from xinsitu.recipe import Reading

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
TOKYO = Reading(tz="Asia/Tokyo")
SECONDS = 90
"""A machine that does other things at the same time gets there late; whatever is not there by then never comes."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
in_a_browser = [
    pytest.mark.browser,
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.xdist_group("browser"),  # one browser at a time, where the tests are spread over workers
    pytest.mark.filterwarnings("ignore"),  # of Panel and its parts, in threads that pytest does not own
]

THERE = "() => window.Bokeh?.documents?.[0]?.get_model_by_name('image')?.inner_width > 0"
FRAME = "(n) => Bokeh.documents[0].get_model_by_name('channel').done[0] === n"
VIEW = """
  const find = (view) => view.model === figure ? view
    : (view.child_views ?? []).reduce((found, child) => found ?? find(child), null)
  const view = [...Bokeh.index.roots].reduce((found, root) => found ?? find(root), null)
"""
PLACE = f"""(name) => {{
  const document = Bokeh.documents[0]
  const figure = document.get_model_by_name("image"), box = document.get_model_by_name(name)
  {VIEW}
  const area = view.canvas_view.el.getBoundingClientRect(), {{x_scale, y_scale}} = view.frame
  return {{left: area.left + x_scale.compute(box.left), right: area.left + x_scale.compute(box.right),
           top: area.top + y_scale.compute(box.top), bottom: area.top + y_scale.compute(box.bottom)}}
}}"""
CURVE = f"""([name, x]) => {{
  const figure = Bokeh.documents[0].get_model_by_name(name)
  {VIEW}
  view.el.scrollIntoView({{block: "center"}})
  const area = view.canvas_view.el.getBoundingClientRect(), bbox = view.frame.bbox
  return {{x: area.left + view.frame.x_scale.compute(x), y: area.top + (bbox.top + bbox.bottom) / 2}}
}}"""
PIXEL = f"""([y, x]) => {{
  const figure = Bokeh.documents[0].get_model_by_name("image")
  {VIEW}
  view.el.scrollIntoView({{block: "center"}})
  const area = view.canvas_view.el.getBoundingClientRect(), {{x_scale, y_scale}} = view.frame
  return {{x: area.left + x_scale.compute(x), y: area.top + y_scale.compute(y)}}
}}"""
LAYOUT = """() => {
  const walk = (view) => {
    const {x, y, width, height} = view.el?.getBoundingClientRect?.() ?? {}
    return [x, y, width, height, ...(view.child_views ?? []).map(walk)].join(" ")
  }
  return [...Bokeh.index.roots].map(walk).join(" ")
}"""


class Tab:
    """One browser tab with an explorer in it."""

    def __init__(self, page, url, *, there=True):
        self.page, self.requests, self.errors = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.set_default_timeout(1000 * SECONDS)
        page.goto(url)
        if there:
            self.there()

    def there(self):
        """Wait until the explorer is on the page."""
        self.until(THERE)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def until(self, condition, argument=None):
        """Wait until the page says so; what it cannot even be asked yet is not so yet."""
        patient = f"(argument) => {{try {{return ({condition})(argument)}} catch {{return false}}}}"
        self.page.wait_for_function(patient, arg=argument, polling=100, timeout=1000 * SECONDS)

    def settle(self, condition: Callable[[], object], why="the page does not get there"):
        """Wait until the model says so."""
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, why() if callable(why) else why
            self.page.wait_for_timeout(50)

    def at_rest(self):
        """Wait until nothing on the page has moved for a while: a click is to meet what it was meant for."""
        same, before = 0, None
        while same < 3:
            self.page.wait_for_timeout(100)
            now = self.page.evaluate(LAYOUT)
            same = same + 1 if now == before else 0
            before = now

    def all_read(self):
        """Wait until the page no longer says that it reads."""
        self.until("() => !Bokeh.documents[0].get_model_by_name('state').text.includes('reading')")

    def measured(self, explorer, roi):
        """Wait until the numbers in the browser are those of the ROIs in the model."""
        model = explorer.model
        self.settle(
            lambda: not model.numbers.stale() and explorer.store.complete, lambda: f"not measured: {model.view.message}"
        )
        self.shows(model, roi)

    def shows(self, model, roi):
        """Wait until the curves of a ROI have the numbers that the model gives for them."""

        def same():
            expected = model.attenuation.shown(roi)
            return expected is not None and all(
                np.array_equal(self.column(roi, name), expected[name].values, equal_nan=True)
                for name in ("n_valid", "intensity", "com_x", "com_y")
            )

        self.settle(same, f"the page does not show the numbers of {roi}")

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, name, attribute):
        return self.page.evaluate(f"(name) => Bokeh.documents[0].get_model_by_name(name).{attribute}", name)

    def set(self, name, attribute, value):
        code = f"([name, value]) => {{Bokeh.documents[0].get_model_by_name(name).{attribute} = value}}"
        self.page.evaluate(code, [name, value])

    def column(self, roi, column):
        code = (
            "([name, column]) => "
            "Array.from(Bokeh.documents[0].get_model_by_name(name)?.data?.[column] ?? [], String)"
        )  # fmt: skip
        return np.array(self.page.evaluate(code, [f"series:{roi}", column]), dtype=float)

    def image(self):
        code = "Array.from(Bokeh.documents[0].get_model_by_name('frame').data.image[0])"
        return np.array(self.page.evaluate(code))

    # -- doing --------------------------------------------------------------------------------------------------------

    def drag(self, start, step, moves=12):
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(start[0] + 9, start[1])  # beyond what Bokeh takes for a long press
        for number in range(1, moves + 1):
            mouse.move(start[0] + step[0] * number / moves, start[1] + step[1] * number / moves)
            self.page.wait_for_timeout(25)
        mouse.up()

    def drag_roi(self, name, step, grip="middle"):
        """Drag a ROI by its body or by its corner, and wait until it was dropped and has snapped to the pixels."""
        self.at_rest()
        drags = self.get("channel", "drag[2]")
        self.drag({"middle": self.middle, "corner": self.corner}[grip](f"roi:{name}"), step)
        self.until("(n) => Bokeh.documents[0].get_model_by_name('channel').drag[2] >= n", drags + 2)
        snapped = "(name) => {const box = Bokeh.documents[0].get_model_by_name(name)\n"
        snapped += "return [box.left, box.right, box.top, box.bottom].every((edge) => (edge + 0.5) % 1 === 0)}"
        self.until(snapped, f"roi:{name}")

    def has_box(self, model, name):
        """Wait until the box on the page is that of the model, and return the ROI."""

        def same():
            roi = model.regions.rois[name]
            edges = [self.get(f"roi:{name}", edge) + 0.5 for edge in ("top", "bottom", "left", "right")]
            return edges == [*roi.y, *roi.x]

        self.settle(same, f"{name} is not where it is on the page")
        return model.regions.rois[name]

    def middle(self, box):
        place = self.page.evaluate(PLACE, box)
        return (place["left"] + place["right"]) / 2, (place["top"] + place["bottom"]) / 2

    def corner(self, box):
        place = self.page.evaluate(PLACE, box)
        return place["right"], place["bottom"]

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def panel(self, name):
        """Open a tab of the panel."""
        self.page.locator("#panel").get_by_role("tab", name=name, exact=True).click()

    def toggle(self, side, name):
        """Press a button among the tools of a side of the page."""
        self.page.locator(f"#{side} .tools").get_by_role("button", name=name, exact=True).click()

    def press(self, name):
        """Press a button once it no longer moves."""
        self.at_rest()
        self.button(name).first.click()

    def field(self, label):
        return self.page.get_by_label(label, exact=True)

    def type(self, label, text):
        field = self.field(label).first
        field.fill(text)
        field.press("Enter")

    def place(self, figure, x):
        """Point of the screen at a place of a time axis, once the page has come to rest."""
        before = None
        while (point := self.page.evaluate(CURVE, [figure, x])) != before:
            before = point
            self.at_rest()
        return point

    def click_curve(self, figure, x):
        self.page.wait_for_timeout(700)  # two clicks at once would be a double click
        point = self.place(figure, x)
        self.page.mouse.click(point["x"], point["y"])

    def save(self, label, folder):
        """Save a file from the menu, as a download."""
        from playwright.sync_api import TimeoutError as Late

        self.at_rest()
        try:
            with self.page.expect_download(timeout=1000 * SECONDS) as coming:
                self.page.locator("#save").click()
                self.page.locator(f"#files [data-file={label}]").click(modifiers=["Shift"])
        except Late as late:
            raise AssertionError(f"no {label} came; the page says {self.get('message', 'text')!r}") from late
        path = folder / coming.value.suggested_filename
        coming.value.save_as(path)
        return path
