// Square pixels: the image is as wide as its column, or as high as what is left of it.
// args: figure, aspect
const cell = document.getElementById("image"), left = document.getElementById("left")
const wide = figure.outer_width - figure.inner_width, high = figure.outer_height - figure.inner_height
if (figure.inner_width > 0) document.getElementById("app")?.classList.add("ready")
if (cell != null && figure.inner_width > 0 && left.clientHeight > 0) {
  const others = left.querySelector(".tools").offsetHeight + 18 + 44 + 60 + 100  // tools, pixel, slider, cut-outs, profiles
  const room = {width: left.clientWidth, height: Math.max(120, left.clientHeight - others)}
  const inner = Math.max(40, Math.min(room.width - wide, (room.height - high) / aspect))
  const width = Math.round(inner + wide), height = Math.round(inner * aspect + high)
  if (Math.abs(height - figure.height) > 1 || Math.abs(width - figure.width) > 1) figure.setv({width, height}, {sync: false})
  if (!cell._watched) {
    cell._watched = true
    new ResizeObserver(() => figure.properties.inner_width.change.emit()).observe(left)
  }
}
