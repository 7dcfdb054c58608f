// What the hand does on the image: select, move, resize, draw, pan, rename. The boxes are shown by Bokeh and changed here.
// args: channel, figure, source, shape, maps
const view = Bokeh.index.find_one(figure)
if (view == null || channel._gestures) return
channel._gestures = true
const NEAR = 6, LINE = 2, STILL = 3, WIRE = "roi:"
const element = view.canvas_view.el, under = document.getElementById("under")
const [[top, bottom], [left, right]] = shape
let tool = "select", space = false, hand = null, corners = null
const kinds = document.getElementById("drawn-shape")

const drawing = () => tool === "draw" || tool === "background"
const boxes = () => figure.center.filter((one) => one.type === "BoxAnnotation" && one.name?.startsWith(WIRE))
const send = (name, ...words) => { channel[name] = [...words, channel[name][words.length] + 1] }
const place = (event) => {
  const area = element.getBoundingClientRect()
  const [sx, sy] = [event.clientX - area.left, event.clientY - area.top]
  return {sx, sy, x: view.frame.x_scale.invert(sx), y: view.frame.y_scale.invert(sy), inside: view.frame.bbox.contains(sx, sy)}
}
const edges = (box) => {
  const {x_scale, y_scale} = view.frame
  const [l, r, t, b] = [x_scale.compute(box.left), x_scale.compute(box.right), y_scale.compute(box.top), y_scale.compute(box.bottom)]
  return {l, r, t, b}
}

// the box under the hand and which of its edges: those of a small one are thin, so that it can always be moved; what is
// inside one box, its line included, is not the edge of another, and of boxes that lie over each other the smallest is
// meant, of equal ones the selected
const hit = ({sx, sy}) => {
  const found = []
  for (const box of boxes()) {
    const {l, r, t, b} = edges(box)
    const dx = Math.min(NEAR, (r - l) / 4), dy = Math.min(NEAR, (b - t) / 4)
    if (sx < l - NEAR || sx > r + NEAR || sy < t - NEAR || sy > b + NEAR) continue
    const part = {left: sx < l + dx, right: sx > r - dx, top: sy < t + dy, bottom: sy > b - dy}
    const edge = part.left || part.right || part.top || part.bottom
    const selected = box.name === WIRE + channel.selected
    const inside = sx >= l - LINE && sx <= r + LINE && sy >= t - LINE && sy <= b + LINE
    const area = Math.round(box.right - box.left) * Math.round(box.bottom - box.top)  // on the screen none equals another
    found.push({box, part, edge, selected, rank: inside ? 0 : selected ? 1 : 2, area})
  }
  found.sort((one, other) => one.rank - other.rank || one.area - other.area || other.selected - one.selected)
  return found[0] ?? null
}
// handles of the selected shape lie over all boxes
const handle = ({sx, sy}) => {
  const {x_scale, y_scale} = view.frame, points = channel.handles
  for (let i = 0; i < points.length; i += 2)
    if (Math.hypot(x_scale.compute(points[i + 1]) - sx, y_scale.compute(points[i]) - sy) <= NEAR) return i / 2
  return -1
}
const cursor = (at) => {
  if (hand?.kind === "pan") return "grabbing"
  if (space || tool === "pan") return "grab"
  if (drawing()) return "crosshair"
  if (handle(at) >= 0) return "crosshair"
  const found = hit(at)
  if (found == null) return "default"
  const {left, right, top, bottom} = found.part
  if ((left && top) || (right && bottom)) return "nwse-resize"
  if ((right && top) || (left && bottom)) return "nesw-resize"
  return left || right ? "ew-resize" : top || bottom ? "ns-resize" : "move"
}
const choose = (name) => {
  tool = name
  for (const one of document.querySelectorAll("[data-tool]")) one.setAttribute("aria-pressed", one.dataset.tool === name)
}
for (const one of document.querySelectorAll("[data-tool]")) one.addEventListener("click", () => choose(one.dataset.tool))
kinds?.addEventListener("change", () => { kinds.blur(); choose("draw") })  // whoever chooses a shape is about to draw it
document.getElementById("fit").addEventListener("click", () => fit())
const fit = () => {
  figure.x_range.setv({start: figure.x_range.reset_start, end: figure.x_range.reset_end})
  figure.y_range.setv({start: figure.y_range.reset_start, end: figure.y_range.reset_end})
}
choose("select")
channel.connect(channel.properties.tool.change, () => choose(channel.tool[0]))

const clamp = (value, low, high) => Math.min(Math.max(value, low), high)
const down = (event) => {
  const at = place(event)
  if (!at.inside) return
  const pans = event.button === 1 || (event.button === 0 && (space || tool === "pan"))
  if (event.button !== 0 && !pans) return
  event.stopPropagation()
  event.preventDefault()
  document.activeElement?.blur?.()
  finish()
  element.setPointerCapture(event.pointerId)
  const point = pans || drawing() ? -1 : handle(at)
  const found = pans || drawing() || point >= 0 ? null : hit(at)
  const shaped = event.altKey && !pans && !drawing() ? channel.shape : ""
  if (shaped === "polygon" && (point >= 0 || found?.box.name === WIRE + channel.selected)) {
    send("handle", point, at.y, at.x, "corner")
    return
  }
  hand = {start: at, pointer: event.pointerId, moved: false}
  if (pans) Object.assign(hand, {kind: "pan", x: [figure.x_range.start, figure.x_range.end], y: [figure.y_range.start, figure.y_range.end]})
  else if (shaped === "mask") {
    hand.kind = "paint"
    send("handle", -1, at.y, at.x, "paint:start")
  } else if (found != null) {
    const {left, right, top, bottom} = found.box
    Object.assign(hand, {kind: found.edge ? "resize" : "move", ...found, before: {left, right, top, bottom}})
    send("drag", found.box.name, "pan:start")
  } else if (point >= 0) Object.assign(hand, {kind: "handle", number: point})
  else if (tool === "draw" && kinds?.value === "polygon") hand.kind = "corner"
  else if (drawing()) hand.kind = "draw"
  else hand.kind = "none"
}
const ghost = document.createElement("div")
ghost.style.cssText = "position:absolute;border:1.5px dashed #fff;outline:1px dashed #000;pointer-events:none;display:none;z-index:5"
element.appendChild(ghost)
const move = (event) => {
  const at = place(event)
  if (corners != null) sketch(at)
  if (hand == null) { element.style.cursor = cursor(at); said(at); return }
  if (Math.hypot(at.sx - hand.start.sx, at.sy - hand.start.sy) > STILL) hand.moved = true
  if (!hand.moved) return
  event.stopPropagation()
  const dx = at.x - hand.start.x, dy = at.y - hand.start.y
  if (hand.kind === "pan") {
    const per = [(hand.x[1] - hand.x[0]) / view.frame.bbox.width, (hand.y[1] - hand.y[0]) / view.frame.bbox.height]
    const [sx, sy] = [(at.sx - hand.start.sx) * per[0], (at.sy - hand.start.sy) * -per[1]]
    figure.x_range.setv({start: hand.x[0] - sx, end: hand.x[1] - sx})
    figure.y_range.setv({start: hand.y[0] - sy, end: hand.y[1] - sy})
  } else if (hand.kind === "move") {
    const {before, box} = hand
    const x = clamp(dx, left - 0.5 - before.left, right - 0.5 - before.right)
    const y = clamp(dy, top - 0.5 - before.top, bottom - 0.5 - before.bottom)
    box.setv({left: before.left + x, right: before.right + x, top: before.top + y, bottom: before.bottom + y})
  } else if (hand.kind === "resize") {
    const {before, box, part} = hand, now = {...before}
    if (part.left) now.left = clamp(before.left + dx, left - 0.5, before.right - 1)
    if (part.right) now.right = clamp(before.right + dx, before.left + 1, right - 0.5)
    if (part.top) now.top = clamp(before.top + dy, top - 0.5, before.bottom - 1)
    if (part.bottom) now.bottom = clamp(before.bottom + dy, before.top + 1, bottom - 0.5)
    box.setv(now)
  } else if (hand.kind === "handle") {
    send("handle", hand.number, at.y, at.x, "pan")
  } else if (hand.kind === "paint") {
    send("handle", -1, at.y, at.x, "paint")
  } else if (hand.kind === "draw") {
    const style = {left: Math.min(at.sx, hand.start.sx), top: Math.min(at.sy, hand.start.sy),
                   width: Math.abs(at.sx - hand.start.sx), height: Math.abs(at.sy - hand.start.sy)}
    for (const [name, value] of Object.entries(style)) ghost.style[name] = `${value}px`
    ghost.style.display = "block"
  }
}
const up = (event) => {
  if (hand == null || event.pointerId !== hand.pointer) return
  const at = place(event), done = hand
  hand = null
  if (done.kind !== "draw" || !done.moved || tool !== "draw") ghost.style.display = "none"
  event.stopPropagation()
  if (done.kind === "move" || done.kind === "resize") send("drag", done.box.name, "pan:end")
  else if (done.kind === "handle" && done.moved) send("handle", done.number, at.y, at.x, "pan:end")
  else if (done.kind === "paint") send("handle", -1, at.y, at.x, "paint:end")
  else if (done.kind === "corner") corner(at)
  else if (done.kind === "draw" && done.moved) {
    if (tool === "draw") fresh = new Set(boxes().map((one) => one.name))
    send("drawn", done.start.y, at.y, done.start.x, at.x, tool === "draw" ? `draw:${kinds?.value ?? "rectangle"}` : tool)
    choose("select")
  }
}
// corners of a polygon are clicked; a double click, or Enter, is the last one
const line = document.createElementNS("http://www.w3.org/2000/svg", "svg")
line.style.cssText = "position:absolute;inset:0;width:100%;height:100%;pointer-events:none;display:none;z-index:5"
line.innerHTML = '<polyline fill="none" stroke="#000" stroke-width="3"/><polyline fill="none" stroke="#fff" stroke-width="1.5"/>'
element.appendChild(line)
const sketch = (to = null) => {
  line.style.display = corners == null ? "none" : "block"
  if (corners == null) return
  const points = to == null ? corners : [...corners, to]
  const text = points.map(({x, y}) => `${view.frame.x_scale.compute(x)},${view.frame.y_scale.compute(y)}`).join(" ")
  for (const one of line.children) one.setAttribute("points", text)
}
const corner = (at) => {
  const last = corners?.at(-1)
  if (last == null || Math.hypot(last.sx - at.sx, last.sy - at.sy) > STILL) corners = [...(corners ?? []), at]
  sketch()
}
const close = () => {
  const points = corners ?? []
  sketch(points[0])
  corners = null
  if (points.length >= 3) {
    fresh = new Set(boxes().map((one) => one.name))
    send("outline", points.flatMap(({x, y}) => [y, x]))
  } else sketch()
  choose("select")
}
const cancel = () => {
  corners = null
  sketch()
  if (hand?.kind === "paint") send("handle", -1, hand.start.y, hand.start.x, "pan:end")
  if (hand?.box) { hand.box.setv(hand.before); send("drag", hand.box.name, "pan:end") }
  hand = null
  ghost.style.display = "none"
  choose("select")
}

// -- names are typed in place
let naming = null
const finish = (keep = true) => {
  if (naming == null) return
  const {field, name} = naming
  naming = null
  const typed = field.value.trim()
  field.remove()
  if (keep && typed && typed !== name) send("rename", name, typed)
}
const rename = (box, x, y) => {
  finish()
  const field = document.createElement("input")
  field.id = "rename"
  field.setAttribute("aria-label", "name of the region")
  field.value = box.name.slice(WIRE.length)
  field.style.left = `${x}px`
  field.style.top = `${y}px`
  document.getElementById("app").appendChild(field)  // whose letters and colours it has
  naming = {field, name: field.value}
  field.addEventListener("keydown", (event) => {
    event.stopPropagation()
    if (event.key === "Enter") finish()
    if (event.key === "Escape") finish(false)
  })
  field.addEventListener("blur", () => finish())
  field.select()
}
const twice = (event) => {
  if (corners != null) { event.stopPropagation(); close(); return }
  const at = place(event), found = at.inside ? hit(at) : null
  if (found == null) return
  event.stopPropagation()
  rename(found.box, event.clientX, event.clientY)
}
let fresh = null  // names before a region was drawn: the new one's can be typed over
const answered = () => {  // what was drawn stays in sight until its region is there, or it is said why none comes
  if (hand == null) ghost.style.display = "none"
  if (corners == null) sketch()
}
channel.connect(channel.properties.boxes.change, answered)
Bokeh.documents[0].get_model_by_name("message").properties.text.change.connect(answered)
channel.connect(channel.properties.boxes.change, () => {
  const box = fresh && boxes().find((one) => !fresh.has(one.name))
  if (!box) return
  fresh = null
  const area = element.getBoundingClientRect(), {l, t} = edges(box)
  rename(box, area.left + l, Math.max(area.top, area.top + t - 26))
})

// -- what is under the cursor, in the line below
const along = (map, place, first, n) => {  // behind the last value the line goes on
  const at = (place - first) / map.step, low = clamp(Math.floor(at), 0, n - 2)
  return [low, low + 1, at - low]
}
const calibrated = (map, x, y) => {
  const values = map.source.data.values
  const [t, b, v] = map.rows > 1 ? along(map, y, map.y0, map.rows) : [0, 0, 0]
  const [l, r, u] = map.columns > 1 ? along(map, x, map.x0, map.columns) : [0, 0, 0]
  const near = (value, to) => map.turn ? value - map.turn * Math.round((value - to) / map.turn) : value
  const one = (line, column) => near(values[line * map.columns + column], values[t * map.columns + l])
  const row = (line) => one(line, l) * (1 - u) + one(line, r) * u  // between 179 and -179 degrees lies 180
  return `${Number(near(row(t) * (1 - v) + row(b) * v, 0).toPrecision(map.digits))}${map.units}`
}
let pointed = null
const said = (at) => {
  pointed = at.inside ? at : null
  if (pointed == null) { under.textContent = ""; return }
  const [column, row] = [Math.round(at.x), Math.round(at.y)]
  const image = source.data.image[0], [rows, columns] = image.shape ?? [0, 0]
  const i = Math.floor((at.y - (top - 0.5)) / (bottom - top) * rows), j = Math.floor((at.x - (left - 0.5)) / (right - left) * columns)
  const value = i >= 0 && i < rows && j >= 0 && j < columns ? image[i * columns + j] : NaN
  const words = [`column ${column}, row ${row}`, Number.isFinite(value) ? `${Number(value.toPrecision(6))} ${source.tags[0]}`.trim() : "no value"]
  const found = hit(at)
  if (found != null) words.push(found.box.name.slice(WIRE.length))
  for (const [name, map] of Object.entries(maps)) words.push(`${name} ${calibrated(map, at.x, at.y)}`)
  under.replaceChildren(...words.flatMap((part) => {
    const whole = document.createElement("span")  // where the line breaks, it breaks between two of them
    whole.textContent = part
    return [" · ", whole]
  }).slice(1))
}

element.addEventListener("pointerdown", down, true)
element.addEventListener("pointermove", move, true)
element.addEventListener("pointerup", up, true)
element.addEventListener("dblclick", twice, true)
element.addEventListener("pointerleave", () => { pointed = null; under.textContent = "" })
channel.properties.done.change.connect(() => { if (pointed != null) said(pointed) })  // another frame under a hand at rest
document.addEventListener("keydown", (event) => {
  const path = event.composedPath()[0]
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(path?.tagName ?? "") || path?.isContentEditable) return
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return
  const key = event.key.toLowerCase()
  if (key === " ") space = true
  else if (key === "r") choose("draw")
  else if (key === "v") choose("select")
  else if (key === "f") fit()
  else if (key === "?") document.getElementById("help").showModal()
  else if (key === "enter" && corners != null) close()
  else if (key === "escape") cancel()
})
document.addEventListener("keyup", (event) => { if (event.key === " ") space = false })
