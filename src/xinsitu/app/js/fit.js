// Square pixels: the image is as wide as its column, or as high as what is left of it; cut-outs and profiles stand below
// it, or beside it where it is larger so; or only the cut-outs do. args: figure, aspect
const cell = document.getElementById("image"), left = document.getElementById("left")
const wide = figure.outer_width - figure.inner_width, high = figure.outer_height - figure.inner_height
if (figure.inner_width > 0) document.getElementById("app")?.classList.add("ready")
if (cell != null && figure.inner_width > 0 && left.clientHeight > 0) {
  const [tools, beneath] = [".tools", ".beneath"].map((one) => left.querySelector(one).offsetHeight)
  const lines = tools + beneath + 44  // tools, pixel under the cursor, slider
  const inner = (width, height) => Math.max(40, Math.min(width - wide, (Math.max(120, height) - high) / aspect))
  const strip = Math.min(Math.max(60, 0.2 * left.clientHeight), 480)  // cut-outs; below them profiles
  const below = inner(left.clientWidth, left.clientHeight - lines - strip - 100)
  const beside = inner(left.clientWidth - 150, left.clientHeight - lines)
  const turned = beside > below * (aspect > 1 ? 1 : 1.2)  // beside a wide one there would be nothing below it
  const corner = turned ? 0 : inner(left.clientWidth - 150, left.clientHeight - lines - 100)
  const cornered = corner > 1.1 * below
  const across = turned ? beside : cornered ? corner : below
  left.classList.toggle("beside", turned)
  left.classList.toggle("corner", cornered)
  const pair = Bokeh.documents[0].get_model_by_name("profiles")
  const stacked = turned && left.clientWidth - across - wide < 380 ? "column" : "row"
  if (pair.styles["flex-direction"] !== stacked) pair.setv({styles: {"flex-direction": stacked}}, {sync: false})
  const width = Math.round(across + wide), height = Math.round(across * aspect + high)
  if (Math.abs(height - figure.height) > 1 || Math.abs(width - figure.width) > 1) figure.setv({width, height}, {sync: false})
  if (!cell._watched) {
    cell._watched = true
    new ResizeObserver(() => figure.properties.inner_width.change.emit()).observe(left)
  }
}
