// A click on a curve, or a drag of its cursor, leads to the nearest frame.
// args: channel, slider, places, name
const x = cb_obj.x ?? cb_obj.location
const at = places.data.x
if (!channel._moving && x != null && at.length > 0) {
  let best = 0
  for (let i = 1; i < at.length; i++) if (Math.abs(at[i] - x) < Math.abs(at[best] - x)) best = i
  if (cb_obj.x != null) channel.click = [name, best, channel.click[2] + 1]
  slider.value = best
}
