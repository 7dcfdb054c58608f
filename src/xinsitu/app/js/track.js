// Events, segments of one attenuation and its changes below the track of the slider; a click leads there.
// args: channel, slider
const track = document.querySelector(".track"), bar = Bokeh.index.find_one(slider)?.el.shadowRoot?.querySelector(".noUi-base")
if (track != null && bar != null) {
  const marks = document.getElementById("marks")
  const [own, other] = [track.getBoundingClientRect(), bar.getBoundingClientRect()]
  Object.assign(marks.style, {left: `${other.left - own.left}px`, width: `${other.width}px`, top: `${other.bottom - own.top + 2}px`})
  const key = `${channel.track} ${slider.end}`
  if (marks._drawn !== key) {
    marks._drawn = key
    marks.replaceChildren(...JSON.parse(channel.track || "[]").map(([kind, first, last, text]) => {
      const mark = document.createElement("i")
      mark.className = kind
      mark.title = text
      mark.style.left = `${100 * first / slider.end}%`
      mark.style.width = `${100 * (last - first) / slider.end}%`
      mark.addEventListener("click", () => { slider.value = kind === "change" || kind === "proposed" ? last : first })
      return mark
    }))
  }
  if (!track._watched) {
    track._watched = true
    new ResizeObserver(() => slider.properties.end.change.emit()).observe(track)
  }
}
