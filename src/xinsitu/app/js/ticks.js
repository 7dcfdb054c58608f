// Numbers on an axis with the digits that tell its ticks apart, large ones as 5.2e6; over many decades each by itself.
const sizes = ticks.map(Math.abs), many = Math.max(...sizes) > 1e3 * Math.min(...sizes) && Math.min(...sizes) > 0
const step = ticks.length > 1 && !many ? Math.abs(ticks[1] - ticks[0]) : Math.abs(tick) || 1
const most = many ? Math.abs(tick) : Math.max(...sizes)
const digits = (scale) => Math.min(Math.max(0, Math.ceil(-Math.log10(step / scale) - 1e-9)), 12)
if (tick === 0 || (most < 1e5 && most >= 1e-3)) return tick.toFixed(digits(1))
const power = Math.floor(Math.log10(most) + 1e-9)
return `${(tick / 10 ** power).toFixed(digits(10 ** power))}e${power}`
