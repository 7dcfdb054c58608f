// What the colours of pixels that are no good mean, and how many there are of each. args: states, colours
const legend = document.getElementById("legend")
if (legend != null && legend._told !== states.tags.join()) {
  legend._told = states.tags.join()
  const named = Object.entries(colours instanceof Map ? Object.fromEntries(colours) : colours)
  legend.replaceChildren(...named.flatMap(([name, colour], at) => {
    if (!states.tags[at]) return []
    const entry = document.createElement("span"), patch = document.createElement("i")
    patch.style.background = colour
    entry.title = `pixels that are ${name} in this frame`
    entry.append(patch, `${states.tags[at]} ${name}`)
    return [entry]
  }))
}
