// Chips and cut-outs of all regions, from the frame and the boxes that the page has, times the factor of the frame. args: channel, figure, source, states, mappers
const regions = JSON.parse(channel.regions || "[]")
const chips = document.getElementById("chips"), strip = document.getElementById("cutouts")
if (chips == null) return
const say = (name, how) => { channel.chip = [name, how, channel.chip[2] + 1] }

if (channel._chips !== channel.regions + channel.selected) {
  channel._chips = channel.regions + channel.selected
  chips.replaceChildren(...regions.map(({name, color, hidden}) => {
    const chip = document.createElement("button")
    chip.type = "button"
    chip.textContent = name
    chip.title = "click hides its curves, Alt-click shows them alone"
    chip.style.setProperty("--roi", color)
    chip.setAttribute("aria-pressed", !hidden)
    chip.classList.toggle("selected", name === channel.selected)
    chip.addEventListener("click", (event) => say(name, event.altKey ? "alone" : "toggle"))
    return chip
  }))
  strip.replaceChildren(...regions.map(({name, color}) => {
    const card = document.createElement("figure"), canvas = document.createElement("canvas"), text = document.createElement("figcaption")
    card.dataset.roi = name
    card.style.borderColor = color === "white" ? "var(--pale)" : color
    card.setAttribute("role", "option")
    card.setAttribute("aria-selected", name === channel.selected)
    card.title = `${name}: click selects`
    text.textContent = name
    card.append(canvas, text)
    card.addEventListener("click", () => say(name, "select"))
    return card
  }))
  for (const list of [strip, chips]) list.querySelector("[aria-selected=true], .selected")?.scrollIntoView({block: "nearest", inline: "nearest"})
}

const image = source.data.image[0], [rows, columns] = image.shape ?? [0, 0]
const state = states.data.image[0].length === rows * columns && states.tags.some((n) => n > 0) ? states.data.image[0] : null
const marked = figure.renderers.find((one) => one.data_source === states).glyph.color_mapper.palette.map((word) => parseInt(word.slice(1), 16))
const mapper = mappers.find((one) => one[0].visible)?.[1] ?? mappers[0][1]
const log = mapper.type === "LogColorMapper", palette = mapper.palette, n = palette.length
const level = (value) => log ? Math.log(Math.max(value, 1e-9)) : value
const low = level(mapper.low), high = level(mapper.high)
const colors = channel._colors?.[0] === palette ? channel._colors[1]
  : palette.map((word) => typeof word === "string" ? parseInt(word.slice(1), 16) : word >> 8)
channel._colors = [palette, colors]
const factor = channel.factors[channel.done[0]] ?? 1
const [top, bottom, left, right] = [figure.y_range.reset_end, figure.y_range.reset_start, figure.x_range.reset_start, figure.x_range.reset_end]
for (const card of strip.children) {
  const box = figure.center.find((one) => one.name === `roi:${card.dataset.roi}`)
  if (box == null || rows === 0) continue
  const scale = columns / (right - left)
  const cut = (value, first, most) => Math.min(Math.max(Math.round((value - first) * scale), 0), most)
  const [x0, x1, y0, y1] = [cut(box.left, left, columns), cut(box.right, left, columns), cut(box.top, top, rows), cut(box.bottom, top, rows)]
  const width = Math.max(1, x1 - x0), height = Math.max(1, y1 - y0), canvas = card.firstChild
  if (canvas.width !== width) canvas.width = width
  if (canvas.height !== height) canvas.height = height
  canvas.style.aspectRatio = `${width} / ${height}`
  card.style.setProperty("--aspect", width / height)
  const context = canvas.getContext("2d"), data = context.createImageData(width, height)
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const value = image[(y0 + y) * columns + x0 + x] * factor, at = 4 * (y * width + x)
    const told = state?.[(y0 + y) * columns + x0 + x]
    const color = told ? marked[told - 1] : Number.isFinite(Number(value)) ? colors[Math.min(Math.max(Math.floor((level(value) - low) / (high - low) * n), 0), n - 1)] : 0xbbbbbb
    data.data[at] = color >> 16; data.data[at + 1] = color >> 8 & 255; data.data[at + 2] = color & 255; data.data[at + 3] = 255
  }
  context.putImageData(data, 0, 0)
}

// how much room they take hangs on their shapes; while the hand changes one, nothing else moves
const shapes = [...strip.children].map((card) => Number(card.style.getPropertyValue("--aspect")) || 1)
const told = `${shapes} ${channel.selected}`
if (strip._told !== told && (channel.drag[1] !== "pan:start" || strip._shapes?.length !== shapes.length)) {
  strip._told = told
  strip._shapes = shapes
  strip._fit?.()
}
