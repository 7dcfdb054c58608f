// Pixel and, where explore was told a calibration, its place in reciprocal space under the mouse.
// args: maps (name -> {source, y0, x0, step, rows, columns, units}); value, format and special_vars come from Bokeh
const map = maps[format]
if (map == null) return String(Math.round(value))
const values = map.source.data.values
const along = (place, first, n) => {
  const at = Math.min(Math.max((place - first) / map.step, 0), n - 1)
  const low = Math.min(Math.floor(at), Math.max(n - 2, 0))
  return [low, Math.min(low + 1, n - 1), at - low]
}
const [top, bottom, v] = map.rows > 1 ? along(special_vars.y, map.y0, map.rows) : [0, 0, 0]
const [left, right, u] = map.columns > 1 ? along(special_vars.x, map.x0, map.columns) : [0, 0, 0]
const row = (y) => values[y * map.columns + left] * (1 - u) + values[y * map.columns + right] * u
const q = row(top) * (1 - v) + row(bottom) * v
return `${Number(q.toPrecision(6))} ${map.units}`
