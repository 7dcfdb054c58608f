// The image of a frame is there: move the time cursors in the same tick, and ask for the next frame if there is one.
// args: channel, slider, places, cursors
const [frame, number] = channel.done
const x = places.data.x[frame]
for (const cursor of cursors) cursor.setv({location: x}, {sync: false})
const pump = channel._pump
if (pump != null && number >= pump.number) {
  pump.busy = false
  clearTimeout(pump.watchdog)
  pump.ask()
}
