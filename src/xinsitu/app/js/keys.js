// Keys that lead through the frames and change the regions. args: channel, slider, toggle
if (!channel._keys) {
  channel._keys = true
  let used = false  // space held down pans; space alone plays
  document.addEventListener("pointerdown", () => { used = true }, true)
  document.addEventListener("keydown", (event) => {
    const path = event.composedPath()[0]
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(path?.tagName ?? "") || path?.isContentEditable || document.querySelector("dialog[open]")) return
    const names = [(event.ctrlKey || event.metaKey) && "ctrl", event.altKey && "alt", event.shiftKey && "shift", event.key.toLowerCase()]
    const chord = names.filter(Boolean).join("+")
    const steps = {arrowleft: -1, arrowright: 1, "shift+arrowleft": -10, "shift+arrowright": 10, pageup: -100, pagedown: 100}
    const said = /^(k|b|delete|backspace|escape|tab|shift\+tab|ctrl\+(z|shift\+z|y|c|v|a)|(ctrl\+)?alt\+(shift\+)?arrow(left|right|up|down))$/
    if (chord in steps) {
      if (path?.getAttribute?.("role") === "slider" || path?.getAttribute?.("role") === "separator") return
      slider.value = Math.min(Math.max(slider.value + steps[chord], slider.start), slider.end)
    } else if (chord === " " && path?.tagName !== "BUTTON") { if (!event.repeat) used = false }
    else if (chord === "home") slider.value = slider.start
    else if (chord === "end") slider.value = slider.end
    else if (said.test(chord)) {
      if (chord.endsWith("tab") && path !== document.body) return  // among the controls it goes on to the next one
      channel.key = [chord, channel.key[1] + 1]
    } else return
    event.preventDefault()
  })
  document.addEventListener("keyup", (event) => {
    const path = event.composedPath()[0]
    if (/^(INPUT|TEXTAREA|SELECT|BUTTON)$/.test(path?.tagName ?? "")) return
    if (event.key === " " && !used) toggle.active = !toggle.active
  })
}
