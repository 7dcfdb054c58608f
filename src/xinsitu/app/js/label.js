// Which frame is shown, put where it is read: a change of the Div itself has Bokeh lay out the whole page again. All that
// is known of it is said under the cursor. args: channel, label
label.setv({text: channel.text}, {silent: true})
const view = Bokeh.index.find_one(label), where = document.querySelector("header .where")
if (view != null) view.markup_el.textContent = channel.text
if (where != null) where.title = channel.known
