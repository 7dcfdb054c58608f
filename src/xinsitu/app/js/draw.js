// The curves of one ROI: the numbers as they came, broken at gaps, the centre of mass shifted to its first frames. Where
// more frames are in view than a line has pixels, each few of them are drawn as their lowest and their highest.
// args: channel, source, range, figure, lines, bars, flags
const FRAMES = 2 ** Math.ceil(Math.log2(Math.max(256, figure.inner_width)))
const MARKS = 75  // more error bars and flags nobody can tell apart
const EDGE = 8 | 4096, SATURATED = 1 | 1024, WIDTH = 16 | 8
const BAD = 131072  // Quality.BAD_FRAME: frames that nobody trusts are not drawn
const FLAGS = {com_y: EDGE, com_x: EDGE, fwhm_y: WIDTH, fwhm_x: WIDTH, intensity: SATURATED}
const data = source.data, x = data.x, n = x.length

// frames from `from` to `behind`, a step of `every`: steps of powers of two, so that panning rarely needs new ones
let from = 0, behind = n, every = 1
if (n > FRAMES) {
  let first = n, last = -1
  for (let i = 0; i < n; i++) if (x[i] >= range.start && x[i] <= range.end) { if (i < first) first = i; last = i }
  const span = 2 ** Math.ceil(Math.log2(Math.max(last - first + 1, FRAMES)))
  from = Math.max(0, (Math.floor(Math.min(first, n - 1) / span) - 1) * span)
  behind = Math.min(n, from + 4 * span)
  every = span / FRAMES
}
// whoever asks, and however often: the same numbers are drawn in the same way once
const view = [FRAMES, from, every, channel.shift, x[0], x[n - 1], channel.breaks, source.tags].join(" ")
if (lines._data === data && lines._view === view) return
lines._data = data
lines._view = view

const cuts = [...channel.breaks.filter((cut) => cut > from && cut < behind), behind]
const steps = []  // [first frame, frame behind], null at a gap
let start = from
for (const cut of cuts) {
  if (start > from) steps.push(null)
  for (let i = start; i < cut; i += every) steps.push([i, Math.min(i + every, cut)])
  start = cut
}
const zero = (values) => {
  const found = []
  for (let i = 0; i < n && found.length < 10; i++) if (isFinite(values[i])) found.push(values[i])
  found.sort((a, b) => a - b)
  const m = found.length
  return m === 0 ? 0 : m % 2 ? found[(m - 1) / 2] : (found[m / 2 - 1] + found[m / 2]) / 2
}
const line = (values) => {
  const size = every === 1 ? 1 : 2
  const at = new Float64Array(steps.length * size).fill(NaN), y = new Float64Array(steps.length * size).fill(NaN)
  steps.forEach((step, k) => {
    if (step === null) return
    let low = step[0], high = step[0]
    for (let i = step[0] + 1; i < step[1]; i++) {
      if (!(values[low] <= values[i])) low = isFinite(values[i]) ? i : low
      if (!(values[high] >= values[i])) high = isFinite(values[i]) ? i : high
    }
    const pair = size === 1 ? [low] : [Math.min(low, high), Math.max(low, high)]
    pair.forEach((i, j) => { at[k * size + j] = x[i]; y[k * size + j] = values[i] })
  })
  return [at, y]
}
const drawn = {}, ends = {x: []}, marked = {}
const spacing = Math.ceil((behind - from) / MARKS)
const barred = []
for (let i = from; i < behind; i += spacing) barred.push(i)
ends.x = barred.flatMap((i) => [x[i], x[i], NaN])  // one line with gaps: each of many segments is a stroke of its own
let most = 0
const untrusted = data.quality.some((flags) => flags & BAD)
for (const name of Object.keys(FLAGS)) {
  const shift = channel.shift && name.startsWith("com") ? zero(data[name]) : 0
  const values = shift === 0 && !untrusted ? data[name] : data[name].map((value, i) => data.quality[i] & BAD ? NaN : value - shift)
  const errors = data[`${name}_errors`]
  ;[drawn[`${name}_x`], drawn[name]] = line(values)
  ends[name] = barred.flatMap((i) => [values[i] - errors[i], values[i] + errors[i], NaN])
  const bad = []
  for (const first of barred) {
    let i = first
    while (i < first + spacing && i < behind && !(data.quality[i] & FLAGS[name] && isFinite(values[i]))) i += 1
    if (i < first + spacing && i < behind) bad.push(i)
  }
  marked[`${name}_x`] = bad.map((i) => x[i])
  marked[name] = bad.map((i) => values[i])
  most = Math.max(most, bad.length)
}
for (const column of Object.values(marked)) while (column.length < most) column.push(NaN)
lines.data = drawn
bars.data = ends
flags.data = marked
