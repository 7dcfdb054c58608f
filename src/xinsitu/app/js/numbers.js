// The numbers of the selected region at the frame that is shown; a dash, and what has no error, says why
// under the cursor. args: channel
const list = document.getElementById("numbers")
if (list != null && list._told !== channel.numbers) {
  list._told = channel.numbers
  list.replaceChildren(...JSON.parse(channel.numbers || "[]").flatMap(([label, text, why]) => {
    const term = document.createElement("dt"), value = document.createElement("dd")
    term.textContent = label
    value.textContent = text
    value.title = why
    if (why) value.setAttribute("aria-label", `${label}: ${text === "–" ? "none" : text}, ${why}`)
    return [term, value]
  }))
}
