// The figure is on the page: square pixels, drags with a beginning and an end, keys.
// args: channel, figure, hover, slider, toggle, aspect
const extra = figure.outer_height - figure.inner_height
if (figure.inner_width > 0 && extra > 0) {
  const height = Math.round(figure.inner_width * aspect + extra)
  if (Math.abs(height - figure.height) > 1) figure.setv({height}, {sync: false})
}
for (const box of figure.center) {
  if (box.type !== "BoxAnnotation" || box._wired) continue
  box._wired = true
  box.pan.connect(([phase]) => {
    if (phase === "pan") return
    hover.active = phase === "pan:end"
    channel.drag = [box.name, phase, channel.drag[2] + 1]
  })
}
if (!channel._keys) {
  channel._keys = true
  document.addEventListener("keydown", (event) => {
    const path = event.composedPath()[0]
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(path?.tagName ?? "") || path?.isContentEditable) return
    const chord = (event.ctrlKey || event.metaKey ? "ctrl+" : "") + (event.shiftKey ? "shift+" : "") + event.key.toLowerCase()
    const steps = {arrowleft: -1, arrowright: 1, "shift+arrowleft": -10, "shift+arrowright": 10, pageup: -100, pagedown: 100}
    if (chord in steps) {
      if (path?.getAttribute?.("role") === "slider") return
      slider.value = Math.min(Math.max(slider.value + steps[chord], slider.start), slider.end)
    } else if (chord === " " && path?.tagName !== "BUTTON") toggle.active = !toggle.active
    else if (chord === "home") slider.value = slider.start
    else if (chord === "end") slider.value = slider.end
    else if (["k", "ctrl+z", "ctrl+shift+z", "ctrl+y", "delete", "escape"].includes(chord)) channel.key = [chord, channel.key[1] + 1]
    else return
    event.preventDefault()
  })
}
