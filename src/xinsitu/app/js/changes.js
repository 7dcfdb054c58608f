// The list of changes of attenuation, walked with the arrows; Enter accepts, Delete rejects. args: channel
const list = document.getElementById("changes")
if (list == null) return
const say = (what, at) => {
  if (what === "look") channel.looked = at  // at once: the next key means this one
  channel.walk = [what, at, channel.walk[2] + 1]
}
if (!list._wired) {
  list._wired = true
  list.addEventListener("keydown", (event) => {
    const at = channel.looked
    const does = {ArrowDown: ["look", at + 1], ArrowUp: ["look", at - 1], Enter: ["accept", at], Delete: ["reject", at]}[event.key]
    if (does == null || (does[0] === "look" && (does[1] < 0 || does[1] >= list.children.length))) return
    event.preventDefault()
    event.stopPropagation()
    say(...does)
  })
  const ask = document.getElementById("sure")
  ask.addEventListener("close", () => { channel.reply = [ask.returnValue === "yes", channel.reply[1] + 1] })
}
if (list._listed !== channel.changes) {
  list._listed = channel.changes
  list.replaceChildren(...JSON.parse(channel.changes || "[]").map(({text, state, reason}, at) => {
    const one = document.createElement("div")
    one.setAttribute("role", "option")
    one.id = `change-${at}`
    one.className = state
    one.textContent = state === "rejected" ? `${text}: ${reason}` : text
    one.title = reason || `${state}; click shows what speaks for it`
    one.addEventListener("click", () => say("look", at))
    return one
  }))
}
for (const [at, one] of [...list.children].entries()) one.setAttribute("aria-selected", at === channel.looked)
const chosen = list.children[channel.looked]
list.setAttribute("aria-activedescendant", chosen?.id ?? "")
chosen?.scrollIntoView({block: "nearest"})
const ask = document.getElementById("sure")
if (channel.question && !ask.open) {
  ask.querySelector("p").textContent = channel.question
  ask.returnValue = ""
  ask.showModal()
}
