// The curves of one ROI: the numbers as they came, broken at gaps, the centre of mass shifted to its first frames.
// args: channel, source, drawn
const data = source.data
const breaks = channel.breaks
const broken = (values) => {
  const n = values.length
  const result = new Float64Array(n + breaks.length)
  let from = 0, k = 0
  for (const cut of [...breaks.filter((b) => b < n), n]) {
    for (let i = from; i < cut; i++) result[i + k] = values[i]
    if (cut < n) result[cut + k] = NaN
    from = cut
    k += 1
  }
  return result.subarray(0, n + Math.max(0, k - 1))
}
const first = (values) => {
  const found = []
  for (let i = 0; i < values.length && found.length < 10; i++) if (isFinite(values[i])) found.push(values[i])
  found.sort((a, b) => a - b)
  const m = found.length
  return m === 0 ? 0 : m % 2 ? found[(m - 1) / 2] : (found[m / 2 - 1] + found[m / 2]) / 2
}
const EDGE = 8 | 4096, SATURATED = 1 | 1024, WIDTH = 16 | 8
const flags = {com_y: EDGE, com_x: EDGE, fwhm_y: WIDTH, fwhm_x: WIDTH, intensity: SATURATED}
const result = {x: broken(data.x)}
for (const name of Object.keys(flags)) {
  if (data[name] == null) continue
  const zero = channel.shift && name.startsWith("com") ? first(data[name]) : 0
  const values = Float64Array.from(data[name], (value) => value - zero)
  const errors = data[`${name}_errors`]
  result[name] = broken(values)
  const every = Math.ceil(values.length / 150)  // more error bars than that nobody can tell apart, and they cost time
  const bar = (sign) => broken(values.map((value, i) => i % every === 0 ? value + sign * errors[i] : NaN))
  result[`${name}_low`] = bar(-1)
  result[`${name}_high`] = bar(1)
  result[`${name}_flag`] = broken(values.map((value, i) => data.quality[i] & flags[name] ? value : NaN))
}
drawn.data = result
