// A click on a curve, or a drag of its cursor, leads to the nearest frame.
// args: channel, slider, places, name
const x = cb_obj.x ?? cb_obj.location
const at = places.data.x
const put = cb_obj.x == null && x === at[channel.done[0]]  // the cursor was put there by the frame, not dragged
if (!put && x != null && at.length > 0) {
  let best = 0
  for (let i = 1; i < at.length; i++) if (Math.abs(at[i] - x) < Math.abs(at[best] - x)) best = i
  if (cb_obj.x != null) channel.click = [name, best, channel.click[2] + 1]
  slider.value = best
}
