// Names of the regions on the image: each where it covers no other name, that of the selected one first; one that finds
// no place is left to the chips and the cut-outs. args: channel, figure
const view = Bokeh.index.find_one(figure)
if (view == null || !(figure.inner_width > 0)) return
const {x_scale, y_scale, bbox} = view.frame
const HIGH = 17, WIRE = "roi:", placed = []
const pen = document.createElement("canvas").getContext("2d")
pen.font = "11px sans-serif"
const named = (name) => figure.center.find((one) => one.name === name)
const boxes = figure.center.filter((one) => one.type === "BoxAnnotation" && one.name?.startsWith(WIRE))
const selected = (box) => box.name === WIRE + channel.selected
for (const box of [...boxes.filter(selected), ...boxes.filter((one) => !selected(one))]) {
  const label = named(`label:${box.name.slice(WIRE.length)}`)
  if (label == null) continue
  const [l, r, t, b] = [x_scale.compute(box.left), x_scale.compute(box.right), y_scale.compute(box.top), y_scale.compute(box.bottom)]
  const wide = pen.measureText(label.text).width + 6
  const fits = ([x, y]) => x >= bbox.left - 1 && x + wide <= bbox.right + 1 && y >= bbox.top - 1 && y + HIGH <= bbox.bottom + 1
    && !placed.some(([ox, oy, owide]) => x < ox + owide && ox < x + wide && y < oy + HIGH && oy < y + HIGH)
  const found = [[l, t - HIGH], [l, b], [r - wide, t - HIGH], [r - wide, b], [r, t], [l - wide, t], [l, t]].find(fits)
  const [x, y] = found ?? [l, t - HIGH]
  if (found != null || selected(box)) placed.push([x, y, wide])
  const now = {visible: found != null || selected(box), x_offset: x - l, y_offset: t - HIGH - y}
  if (Object.keys(now).some((key) => label[key] !== now[key])) label.setv(now, {sync: false})
}
