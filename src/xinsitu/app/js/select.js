// A click on a ROI selects it: of several that lie over each other the smallest.
// args: channel, figure
let found = null, least = Infinity
for (const box of figure.center) {
  if (box.type !== "BoxAnnotation" || !box.visible) continue
  const inside = cb_obj.x >= box.left && cb_obj.x <= box.right && cb_obj.y >= box.top && cb_obj.y <= box.bottom
  const area = (box.right - box.left) * (box.bottom - box.top)
  if (inside && area < least) [found, least] = [box, area]
}
if (found != null) channel.drag = [found.name, "tap", channel.drag[2] + 1]
