// What is known of a frame, put where it is read: a change of the Div itself has Bokeh lay out the whole page again.
// args: channel, label
label.setv({text: channel.text}, {silent: true})
const view = Bokeh.index.find_one(label)
if (view != null) view.markup_el.textContent = channel.text
