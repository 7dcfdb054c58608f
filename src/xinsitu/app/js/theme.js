// Figures and widgets in the colours of the page, light or dark: where a figure's switches stand, and how many ticks it has
// room for, too.
const app = document.getElementById("app")
if (app == null) return
const views = []
const walk = (view) => { if (view.model.type === "Figure") views.push(view); for (const child of view.child_views ?? []) walk(child) }
for (const root of Bokeh.index.roots) walk(root)
const style = getComputedStyle(app), color = (name) => style.getPropertyValue(`--${name}`).trim()
const [ink, line, ground] = ["ink", "line", "ground"].map(color)
const quiet = {sync: false}
for (const {model: figure} of views) {
  for (const {ticker} of figure.left) {  // no more numbers than stand apart
    if (ticker?.desired_num_ticks == null) continue
    ticker._most ??= ticker.desired_num_ticks
    ticker.setv({desired_num_ticks: Math.max(2, Math.min(ticker._most, Math.floor(figure.inner_height / 25)))}, quiet)
  }
  if (figure._painted === ground) continue
  figure._painted = ground
  {
    figure.setv({background_fill_color: ground, border_fill_color: ground, outline_line_color: line}, quiet)
    if (figure.name === "kymograph") for (const {glyph} of figure.renderers) glyph.color_mapper?.setv?.({nan_color: ground}, quiet)
    if (figure.name?.startsWith("profile_")) figure.renderers[0].glyph.setv({line_color: color("accent")}, quiet)
    figure.title?.setv?.({text_color: ink}, quiet)
    for (const one of [...figure.above, ...figure.below, ...figure.left, ...figure.right, ...figure.center]) {
      if (/Axis$/.test(one.type)) one.setv({axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: ink, major_tick_line_color: ink}, quiet)
      else if (one.type === "Grid") one.setv({grid_line_color: line}, quiet)
      else if (one.type === "ColorBar") one.setv({background_fill_color: ground, major_label_text_color: ink}, quiet)
      else if (one.type === "Span" && one.name?.startsWith("cursor")) one.setv({line_color: ink}, quiet)
      else if (one.type === "LabelSet" || one.name?.startsWith("why:")) one.setv({text_color: ink}, quiet)
    }
  }
}
for (const group of document.querySelectorAll(".at-plot")) {
  const named = (one) => one.model.name?.startsWith(group.dataset.plot === "kymograph" ? "kymograph" : `curve_${group.dataset.plot}`)
  const area = views.find((one) => named(one) && one.el.isConnected)?.el.getBoundingClientRect()
  group.hidden = !area || area.height < 40
  if (area) group.style.top = `${area.top - group.parentElement.getBoundingClientRect().top - 1}px`
}
if (!app._themed) {
  app._themed = true
  const again = () => views[0].model.properties.inner_width.change.emit()
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again)
  app.addEventListener("themed", again)
}
