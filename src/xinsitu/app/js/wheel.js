// The wheel zooms at the cursor, all ranges of a figure alike: no closer than their least interval, and out to all that
// there is, wherever the hand is (Bokeh's own wheel does nothing where one edge is there before the other).
// A drag that zooms comes no closer either. args: figure, names of its ranges; tags of a range: its least interval
const view = Bokeh.index.find_one(figure), element = view?.canvas_view?.el
if (element != null && !element._wheeled) {
  element._wheeled = true
  const NOTCH = 600  // of the wheel's own units
  const least = (range) => range.tags[0] ?? range.min_interval ?? 0
  figure.on_event("rangesupdate", () => {
    for (const range of names.map((name) => figure[name])) {
      const {start, end} = range, middle = (start + end) / 2
      if (0 < end - start && end - start < least(range)) range.setv({start: middle - least(range) / 2, end: middle + least(range) / 2})
    }
  })
  element.addEventListener("wheel", (event) => {
    const area = element.getBoundingClientRect(), [sx, sy] = [event.clientX - area.left, event.clientY - area.top]
    if (!view.frame.bbox.contains(sx, sy) || event.deltaY === 0) return
    event.preventDefault()
    event.stopPropagation()
    const all = names.map((name) => {
      const range = figure[name], {start, end, reset_start, reset_end} = range
      const at = name === "x_range" ? view.frame.x_scale.invert(sx) : view.frame.y_scale.invert(sy)
      const [now, whole] = [Math.abs(end - start), Math.abs(reset_end - reset_start)]
      return {range, at, now, whole}
    })
    let factor = Math.exp(event.deltaY / NOTCH)
    if (factor < 1) factor = Math.min(1, Math.max(factor, ...all.map(({range, now}) => least(range) / now)))
    for (const {range, at, now, whole} of all) {
      const {start, end, reset_start, reset_end} = range
      if (now * factor > 0.999 * whole) {
        range.setv({start: reset_start, end: reset_end})
        continue
      }
      const [one, other] = [start, end].map((edge) => at + (edge - at) * factor)
      const [low, high] = [Math.min(reset_start, reset_end), Math.max(reset_start, reset_end)]
      const shift = Math.max(0, low - Math.min(one, other)) + Math.min(0, high - Math.max(one, other))
      range.setv({start: one + shift, end: other + shift})
    }
  }, {capture: true, passive: false})
}
