// Quicker repaints. Bokeh (3.9) writes the style sheet of each curve, box and axis anew with every one, mostly with the
// same text, and asks for the computed style of everything that it draws: the browser works out all styles again, many
// times. It also lays a figure out anew for every image, as the limits of its colours may be others. Here only what is new
// is written, nothing that is drawn is styled by the page, the size of its letters, for which each label of each axis asks
// at each repaint, is asked for once, and a colour bar asks for a layout where its colours or limits have changed. A region
// that is new or gone changes all figures of the column of curves, and each of them asks to lay all of them out and to paint
// them: that is done once, behind the last of them.
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
  const {LayoutDOMView} = Bokeh.require("models/layouts/layout_dom"), lay = LayoutDOMView?.prototype.invalidate_layout
  if (lay) PlotView.prototype.invalidate_layout = function () {
    const {root} = this
    if (root === this || !root._layout_computed) lay.call(this)
    else root._to_lay ??= setTimeout(() => { root._to_lay = null; root.invalidate_layout() })
  }
}
