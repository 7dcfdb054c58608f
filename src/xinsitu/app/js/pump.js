// One frame request on the way, the next one when the image is there: a slow line skips frames instead of lagging.
// args: channel, slider
const pump = channel._pump ??= {number: 0, busy: false, last: channel.done[0], at: channel.done[0], backs: 0, told: 0}
if (slider.value < pump.at) pump.backs += 1
pump.at = slider.value
const ask = () => {
  if (pump.busy || slider.value === pump.last && pump.backs === pump.told) return
  pump.busy = true
  pump.number += 1
  pump.last = slider.value
  pump.told = pump.backs
  channel.ask = [slider.value, pump.number, pump.backs]
  clearTimeout(pump.watchdog)
  pump.watchdog = setTimeout(() => { pump.busy = false; ask() }, 3000)
}
pump.ask = ask
ask()
