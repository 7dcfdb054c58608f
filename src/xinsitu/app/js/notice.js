// A notice slides in and out without moving anything, and stays in the list behind the bell; an error stays until it is
// clicked. args: notice
const holder = document.getElementById("notices")
clearTimeout(holder._timer)
const list = document.getElementById("told"), unseen = document.getElementById("unseen")
const said = notice.visible && notice.text ? notice.text : null
if (said != null && said !== holder._said) {
  const line = document.createElement("li"), time = document.createElement("time")
  time.textContent = new Date().toTimeString().slice(0, 8)
  line.classList.toggle("error", notice.tags.includes("error"))
  line.append(time, said)
  list.prepend(line)
  while (list.children.length > 100) list.lastChild.remove()
  unseen.textContent = Number(unseen.textContent) + 1
  unseen.hidden = !list.hidden
}
holder._said = said
const view = Bokeh.index.find_one(notice)
if (view != null && !view.el._dismissed) {
  view.el._dismissed = true
  view.el.addEventListener("click", () => { notice.visible = false })
}
// what is still being done stays until it is said what came of it
if (notice.visible && notice.text && !notice.tags.includes("error") && !notice.text.endsWith("…")) holder._timer = setTimeout(() => { notice.visible = false }, 5000)
