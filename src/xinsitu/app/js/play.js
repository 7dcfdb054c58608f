// Play by the clock: frames that the line is too slow for are left out.
// args: channel, slider, toggle, speed
const player = channel._player ??= {}
clearInterval(player.timer)
if (toggle.active) {
  let from = slider.value >= slider.end ? slider.start : slider.value
  let since = performance.now()
  let rate = speed.value
  player.timer = setInterval(() => {
    if (speed.value !== rate) { from = slider.value; since = performance.now(); rate = speed.value }
    const frame = from + Math.floor((performance.now() - since) / 1000 * rate)
    if (frame >= slider.end) { slider.value = slider.end; toggle.active = false } else if (frame !== slider.value) slider.value = frame
  }, 15)
}
