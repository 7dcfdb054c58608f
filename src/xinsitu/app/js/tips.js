// What a control does, under the cursor and for screen readers: the model of a widget bears it as a tag "tip:…".
// Widgets make their elements anew whenever they like, so a control is named when the hand or the focus comes near.
const sheet = document.getElementById("app")._sheet ??= new CSSStyleSheet()
sheet.replaceSync(`.bk-input, .bk-btn, select, option { color: var(--ink) !important; background-color: var(--ground) !important; border-color: var(--line) !important; }
  .bk-input::placeholder { color: var(--pale); opacity: 1; }
  .bk-btn.bk-active, .bk-btn-primary { color: var(--on) !important; background-color: var(--accent) !important; }
  .bk-spin-btn { --color: var(--ink); }
  select:not([size]).bk-input { background-image: url('data:image/svg+xml;utf8,<svg viewBox="0 0 25 20" xmlns="http://www.w3.org/2000/svg"><path d="M 0,0 25,0 12.5,20 Z" fill="%23808a94"/></svg>') !important; }
  .noUi-target { background: var(--line) !important; border-color: var(--line) !important; box-shadow: none !important; }
  label, span, div, .bk-slider-title { color: var(--ink); }`)
const name = () => {
  const walk = (view) => {
    const tip = view.model.tags?.find?.((tag) => typeof tag === "string" && tag.startsWith("tip:"))?.slice(4)
    const label = [view.model.title, view.model.label, tip].find((text) => typeof text === "string" && /\p{L}/u.test(text))
    const root = view.el?.shadowRoot
    if (root && view.model.type !== "Div" && !root.adoptedStyleSheets.includes(sheet))  // text has the colour of where it stands
      root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet]
    for (const one of (tip || label) && root ? root.querySelectorAll("input, select, textarea, button, [role=slider]") : []) {
      if (tip && one.title !== tip) one.title = tip
      const spin = one.classList.contains("bk-spin-btn")
      const said = spin ? `${label} ${one.classList.contains("bk-spin-btn-up") ? "up" : "down"}` : label
      if (spin && !one.title) one.title = said
      const own = [...(one.labels ?? [])].some((each) => each.textContent.trim()) || /\p{L}/u.test(one.textContent)
      if (said && (!own || one.matches("[role=slider]")) && one.getAttribute("aria-label") !== said) one.setAttribute("aria-label", said)
    }
    for (const child of view.child_views ?? []) walk(child)
  }
  for (const root of Bokeh.index.roots) walk(root)
}
const app = document.getElementById("app")
if (app != null && !app._named) {
  app._named = true
  let timer = 0
  const soon = () => { clearTimeout(timer); timer = setTimeout(name, 50) }
  for (const event of ["pointerover", "focusin", "click"]) document.addEventListener(event, soon, true)
  setTimeout(name, 500)
}
name()
