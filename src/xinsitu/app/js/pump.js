// One frame request on the way, the next one when the image is there: a slow line skips frames instead of lagging.
// args: channel, slider
const pump = channel._pump ??= {number: 0, busy: false, last: channel.done[0]}
const ask = () => {
  if (pump.busy || slider.value === pump.last) return
  pump.busy = true
  pump.number += 1
  pump.last = slider.value
  channel.ask = [slider.value, pump.number]
  clearTimeout(pump.watchdog)
  pump.watchdog = setTimeout(() => { pump.busy = false; ask() }, 3000)
}
pump.ask = ask
ask()
