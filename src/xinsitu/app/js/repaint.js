// Quicker repaints. Bokeh (3.9) writes the style sheet of each curve, box and axis anew with every one, mostly with the
// same text, and asks for the computed style of everything that it draws: the browser works out all styles again, many
// times. Here only what is new is written, and nothing that is drawn is styled by the page.
const {InlineStyleSheet} = Bokeh.require("core/dom"), {VisualProperties} = Bokeh.require("core/visuals/visual")
const sheet = InlineStyleSheet.prototype, write = sheet._update
if (write && !sheet._written) {  // another Bokeh may do it in another way
  sheet._written = true
  sheet._update = function (css) { if (css !== this._last) write.call(this, this._last = css) }
  VisualProperties.prototype._get_css_value = () => ""
}
