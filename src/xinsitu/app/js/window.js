// Shift and a drag on the curve that has this script choose a window of frames; a click on what stands beside its axis
// makes it large, another one gives the room back. args: channel; cb_obj is its figure
for (const figure of [cb_obj]) {
  const view = Bokeh.index.find_one(figure), element = view?.canvas_view?.el
  if (element == null || element._windowed) continue
  element._windowed = true
  let from = null
  const ghost = document.createElement("div")
  ghost.style.cssText = "position:absolute;top:0;bottom:0;background:#009e7344;pointer-events:none;display:none;z-index:5"
  element.appendChild(ghost)
  const place = (event) => event.clientX - element.getBoundingClientRect().left
  const plain = figure.styles
  element.addEventListener("click", (event) => {
    if (place(event) > view.frame.bbox.left - 2) return
    figure.setv({styles: figure.styles === plain ? {...plain, flex: "6 1 0px"} : plain}, {sync: false})
    dispatchEvent(new Event("resize"))
  })
  element.addEventListener("pointermove", (event) => {
    element.title = place(event) < view.frame.bbox.left - 2 ? "click: larger, or as before" : ""
  })
  element.addEventListener("pointerdown", (event) => {
    if (!event.shiftKey || event.button !== 0) return
    from = place(event)
    element.setPointerCapture(event.pointerId)
    event.stopPropagation()
    event.preventDefault()
  }, true)
  element.addEventListener("pointermove", (event) => {
    if (from == null) return
    event.stopPropagation()
    const to = place(event)
    Object.assign(ghost.style, {left: `${Math.min(from, to)}px`, width: `${Math.abs(to - from)}px`, display: "block"})
  }, true)
  element.addEventListener("pointerup", (event) => {
    if (from == null) return
    event.stopPropagation()
    const [start, end] = [from, place(event)].map((sx) => view.frame.x_scale.invert(sx))
    from = null
    ghost.style.display = "none"
    channel.chosen = [start, end, channel.chosen[2] + 1]
  }, true)
}
