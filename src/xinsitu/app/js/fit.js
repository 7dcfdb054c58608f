// Square pixels: the image is as wide as its column, or as high as what is left of it; cut-outs and profiles stand below
// it, or beside it where it is larger so; or only the cut-outs do. args: figure, aspect
const cell = document.getElementById("image"), left = document.getElementById("left")
const wide = figure.outer_width - figure.inner_width, high = figure.outer_height - figure.inner_height
if (figure.inner_width > 0) document.getElementById("app")?.classList.add("ready")
if (cell != null && figure.inner_width > 0 && left.clientHeight > 0) {
  const [tools, beneath] = [".tools", ".beneath"].map((one) => left.querySelector(one).offsetHeight)
  const lines = tools + beneath + 44  // tools, pixel under the cursor, slider
  const inner = (width, height) => Math.max(40, Math.min(width - wide, (Math.max(120, height) - high) / aspect))
  const least = Math.min(Math.max(60, 0.2 * left.clientHeight), 480)  // cut-outs; below them profiles
  const below = inner(left.clientWidth, left.clientHeight - lines - least - 100)
  const beside = inner(left.clientWidth - 150, left.clientHeight - lines)
  const turned = beside > below * (aspect > 1 ? 1 : 1.2)  // beside a wide one there would be nothing below it
  const corner = turned ? 0 : inner(left.clientWidth - 150, left.clientHeight - lines - 100)
  const cornered = corner > 1.1 * below
  const across = turned ? beside : cornered ? corner : below
  left.classList.toggle("beside", turned)
  left.classList.toggle("corner", cornered)
  const width = Math.round(across + wide), height = Math.round(across * aspect + high)
  if (Math.abs(height - figure.height) > 1 || Math.abs(width - figure.width) > 1) figure.setv({width, height}, {sync: false})
  const strip = document.getElementById("cutouts"), profiles = left.querySelector(".profiles")
  const pair = Bokeh.documents[0].get_model_by_name("profiles")
  const stack = (how) => { if (pair.styles["flex-direction"] !== how) pair.setv({styles: {"flex-direction": how}}, {sync: false}) }
  const FRAME = 12, NAME = 32
  // cut-outs in rows, as large as all of them have room
  const rows = (shapes) => {
    const room = strip.clientWidth - 12
    const deep = (high) => {
      let x = 0, y = 0, row = 0
      for (const shape of shapes) {
        const width = Math.min(room, Math.max(44, high * shape + FRAME))
        if (x > 0 && x + width > room) { x = 0; y += row; row = 0 }
        x += width + 4
        row = Math.max(row, Math.min(high, (width - FRAME) / shape) + NAME)
      }
      return y + row + 4
    }
    let high = 960
    while (high > 8 && deep(high) > strip.clientHeight) high -= 4
    strip.style.setProperty("--high", `${high}px`)
    return deep(high)
  }
  // Below the image the strip is as high as it has to be to fill its line, up to half of the room; one that would be
  // longer than the line has rows; where it would leave a hole beside it, the profiles stand there.
  strip._fit = () => {
    const shapes = strip._shapes ?? [], chosen = [...strip.children].findIndex((one) => one.ariaSelected === "true")
    const aside = left.matches(".beside, .corner"), [across, free] = [left.clientWidth, left.clientHeight - lines - cell.offsetHeight]
    if (strip.clientWidth === 0 || shapes.length === 0) return
    let high = least, wide = 0, long = false
    if (!aside) {
      const [part, off] = [(at) => at === chosen ? 1 : 0.92, (at) => at === chosen ? 24 : 20]
      const length = (h) => shapes.reduce((sum, shape, at) => sum + Math.max(44, (part(at) * (h - 4) - off(at)) * shape) + 12, 8)
      const most = Math.max(least, Math.min(free / 2, free - 120))
      long = length(least) > across
      while (high < most && length(high + 4) <= across) high += 4
      if (length(high) < 0.75 * across && across > 360) {
        wide = (free - NAME * shapes.length) / shapes.reduce((sum, shape) => sum + 1 / shape, 0) + 2 * FRAME
        wide = Math.round(Math.min(Math.max(wide, 150), 0.55 * across, across - 240))
      }
    }
    left.classList.toggle("shelf", wide > 0)
    strip.classList.toggle("rows", aside || long || wide > 0)
    for (const [name, value] of [["--strip", high], ["--shelf", wide]]) left.style.setProperty(name, `${value}px`)
    if (strip.matches(".rows")) {
      const deep = rows(shapes)
      if (long) left.style.setProperty("--strip", `${Math.min(high, Math.ceil(deep))}px`)
    }
    const beside = wide > 0 ? across - wide : left.matches(".beside") ? across - cell.offsetWidth : Infinity
    stack(wide > 0 ? beside < 1.3 * free ? "column" : "row" : beside < 380 ? "column" : "row")
  }
  strip._fit()
  if (!cell._watched) {
    cell._watched = true
    new ResizeObserver(() => figure.properties.inner_width.change.emit()).observe(left)
    const watch = new ResizeObserver(() => setTimeout(() => strip._fit()))
    for (const one of [strip, profiles, cell]) watch.observe(one)
  }
}
