// Quicker repaints. Bokeh (3.9) writes the style sheet of each curve, box and axis anew with every one, mostly with the
// same text, and asks for the computed style of everything that it draws: the browser works out all styles again, many
// times. It also lays a figure out anew for every image, as the limits of its colours may be others. Here only what is new
// is written, and nothing of curves, whose elements hold nothing; nothing that is drawn is styled by the page, the size of
// its letters, for which each label of each axis asks at each repaint, is asked for once, and a colour bar asks for a
// layout where its colours or limits have changed. A region that is new or gone changes all figures of the column of
// curves, and each of them asks to lay all of them out and to paint them: that is done once, behind the last of them.
// A line of more than one pixel of the screen is the area within its outline, which is slow to work out where it goes up
// and down at each point; one of a pixel is ten times quicker: a long one is drawn as three of those, side by side.
const MANY = 256  // points of a line
const {InlineStyleSheet} = Bokeh.require("core/dom"), {VisualProperties} = Bokeh.require("core/visuals/visual")
const sheet = InlineStyleSheet.prototype, write = sheet._update
if (write && !sheet._written) {  // another Bokeh may do it in another way
  sheet._written = true
  sheet._update = function (css) { if (css !== this._last) write.call(this, this._last = css) }
  VisualProperties.prototype._get_css_value = () => ""
  const {PlotView} = Bokeh.require("models/plots/plot"), size = Object.getOwnPropertyDescriptor(PlotView.prototype, "base_font_size")
  if (size?.get) Object.defineProperty(PlotView.prototype, "base_font_size", {get() { return this._letters ||= size.get.call(this) }})
  const {ColorBarView} = Bokeh.require("models/annotations/color_bar"), changed = ColorBarView.prototype._metrics_changed
  if (changed) ColorBarView.prototype._metrics_changed = function () {
    const {low, high, palette} = this.model.color_mapper, told = [low, high, palette]
    if (low != null && high != null && told.every((one, at) => one === this._told?.[at])) return
    this._told = told
    changed.call(this)
  }
  const {LineView} = Bokeh.require("models/glyphs/line"), {color2rgba} = Bokeh.require("core/util/color")
  const stroke = LineView?.prototype._paint
  if (stroke) LineView.prototype._paint = function (ctx, indices, data) {
    const {line} = this.visuals, {line_color, line_alpha, line_dash, line_width} = line, dash = line_dash.value
    const wide = line_width.value * devicePixelRatio, solid = dash.length === 0 || dash === "solid"
    if (indices.length < MANY || wide <= 1 || wide > 2 || !solid || line_alpha.value * color2rgba(line_color.value)[3] !== 255) {
      stroke.call(this, ctx, indices, data)
      return
    }
    const sx = data?.sx ?? this.sx, sy = data?.sy ?? this.sy, path = new Path2D()
    let gap = true
    for (const i of indices) {
      if (!isFinite(sx[i] + sy[i])) gap = true
      else if (gap) { path.moveTo(sx[i], sy[i]); gap = false }
      else path.lineTo(sx[i], sy[i])
    }
    line.set_value(ctx)
    ctx.lineWidth = 1 / devicePixelRatio
    for (const angle of [-90, 30, 150].map((degrees) => degrees * Math.PI / 180)) {
      const reach = 0.7 * (wide - 1) / devicePixelRatio  // so that they are as dark as the line, within a quarter
      ctx.save()
      ctx.translate(reach * Math.cos(angle), reach * Math.sin(angle))
      ctx.stroke(path)
      ctx.restore()
    }
  }
  const {GlyphRendererView} = Bokeh.require("models/renderers/glyph_renderer")
  if (GlyphRendererView?.prototype.update_position) GlyphRendererView.prototype.update_position = () => {}
  const {LayoutDOMView} = Bokeh.require("models/layouts/layout_dom"), lay = LayoutDOMView?.prototype.invalidate_layout
  if (lay) PlotView.prototype.invalidate_layout = function () {
    const {root} = this
    if (root === this || !root._layout_computed) lay.call(this)
    else root._to_lay ??= setTimeout(() => { root._to_lay = null; root.invalidate_layout() })
  }
}
