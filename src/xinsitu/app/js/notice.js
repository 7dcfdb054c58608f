// A notice slides in and out without moving anything; an error stays until it is clicked. args: notice
const holder = document.getElementById("notices")
clearTimeout(holder._timer)
const view = Bokeh.index.find_one(notice)
if (view != null && !view.el._dismissed) {
  view.el._dismissed = true
  view.el.addEventListener("click", () => { notice.visible = false })
}
if (notice.visible && notice.text && !notice.tags.includes("error")) holder._timer = setTimeout(() => { notice.visible = false }, 5000)
