// The page around the figures: tabs, splitter, folding, help, notices, and what happens when the server is gone.
(() => {
  const app = document.getElementById("app"), panel = document.getElementById("panel")
  const kept = (name, value) => {
    try {
      if (value === undefined) return localStorage.getItem(`xinsitu:${name}`)
      localStorage.setItem(`xinsitu:${name}`, value)
    } catch { return null }  // a notebook's frame may keep nothing
  }
  const theme = (name) => {
    app.classList.remove("auto", "light", "dark")
    app.classList.add(name)
    for (const one of document.querySelectorAll("[data-theme]")) one.setAttribute("aria-pressed", one.dataset.theme === name)
    kept("theme", name)
    app.dispatchEvent(new Event("themed"))
  }
  for (const one of document.querySelectorAll("[data-theme]")) one.addEventListener("click", () => theme(one.dataset.theme))
  theme(["light", "dark"].includes(kept("theme")) ? kept("theme") : "auto")

  // -- tabs of the panel, and of a narrow page
  const tab = (number) => {
    for (const one of panel.querySelectorAll("[data-tab]")) {
      const chosen = one.dataset.tab === number
      if (one.matches("button")) one.setAttribute("aria-selected", chosen); else one.classList.toggle("shown", chosen)
    }
    kept("tab", number)
    dispatchEvent(new Event("resize"))
  }
  for (const one of panel.querySelectorAll("button[data-tab]")) one.addEventListener("click", () => tab(one.dataset.tab))
  const narrow = document.querySelector("nav.narrow")
  const show = (what) => {
    app.dataset.shown = what
    for (const one of narrow.children) one.setAttribute("aria-selected", one.dataset.show === what)
    dispatchEvent(new Event("resize"))
  }
  for (const one of narrow.children) one.addEventListener("click", () => show(one.dataset.show))
  show("image")
  tab(panel.querySelector(`button[data-tab="${kept("tab")}"]`) ? kept("tab") : "0")

  // -- the panel folds, and its room goes to the plots
  const fold = document.getElementById("fold")
  const folded = (now) => {
    app.classList.toggle("folded", now)
    fold.textContent = now ? "⟨" : "⟩"
    fold.setAttribute("aria-expanded", !now)
    dispatchEvent(new Event("resize"))
  }
  const small = matchMedia("(max-width: 1099px)")
  let wide = false  // whether it is folded where there is room for it
  fold.addEventListener("click", () => {
    folded(!app.classList.contains("folded"))
    if (!small.matches) wide = app.classList.contains("folded")
  })
  small.addEventListener("change", () => folded(small.matches || wide))  // never over the image unasked
  folded(small.matches)

  // -- the splitter between image and curves
  const splitter = document.getElementById("splitter"), main = document.querySelector("main")
  const split = (pixels) => {
    const room = main.clientWidth - (app.classList.contains("folded") ? 0 : panel.offsetWidth)
    const width = Math.min(Math.max(pixels, 240), room - 250)
    app.style.setProperty("--image", `${width}px`)
    kept("image", Math.round(1000 * width / room))
  }
  const place = () => {
    const room = main.clientWidth - (app.classList.contains("folded") ? 0 : panel.offsetWidth)
    split(room * Number(kept("image") || 450) / 1000)
  }
  splitter.addEventListener("pointerdown", (event) => {
    splitter.setPointerCapture(event.pointerId)
    event.preventDefault()
  })
  splitter.addEventListener("pointermove", (event) => {
    if (splitter.hasPointerCapture(event.pointerId)) split(event.clientX - main.getBoundingClientRect().left)
  })
  splitter.addEventListener("keydown", (event) => {
    const step = {ArrowLeft: -20, ArrowRight: 20}[event.key]
    if (step == null) return
    split(document.getElementById("left").offsetWidth + step)
    event.stopPropagation()
    event.preventDefault()
  })
  new ResizeObserver(place).observe(main)
  fold.addEventListener("click", place)

  // -- the menu of files
  const save = document.getElementById("save"), menu = document.getElementById("files")
  const opened = (now) => { menu.hidden = !now; save.setAttribute("aria-expanded", now) }
  save.addEventListener("click", (event) => { opened(menu.hidden); event.stopPropagation() })
  document.addEventListener("click", () => opened(false))
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") opened(false) })
  for (const one of menu.children) one.addEventListener("click", (event) => {
    if (one.dataset.picture) {
      const {tools} = Bokeh.documents[0].get_model_by_name(one.dataset.picture).toolbar
      tools.find((tool) => tool.type === "SaveTool").do.emit(undefined)
    }
    const channel = Bokeh.documents[0].get_model_by_name("channel")
    channel.save = [one.dataset.file ?? one.dataset.picture, channel.beside && !event.shiftKey, channel.save[2] + 1]
  })

  // -- what was said
  const bell = document.getElementById("bell"), told = document.getElementById("told"), unseen = document.getElementById("unseen")
  const listed = (now) => {
    told.hidden = !now
    bell.setAttribute("aria-expanded", now)
    if (now) { unseen.textContent = ""; unseen.hidden = true }
  }
  bell.addEventListener("click", (event) => { listed(told.hidden); opened(false); event.stopPropagation() })
  told.addEventListener("click", (event) => event.stopPropagation())
  document.addEventListener("click", () => listed(false))
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") listed(false) })

  // -- help
  const help = document.getElementById("help")
  document.getElementById("help-button").addEventListener("click", () => help.showModal())

  // -- the line to the server: every web socket of the page is watched, whoever opens it; a line may also die silently
  const lost = document.getElementById("lost")
  const Plain = window.WebSocket
  const channel = () => window.Bokeh?.documents?.[0]?.get_model_by_name?.("channel")
  const BEAT = 400, SILENT = 4, OFF = 14  // beats without an answer after which it is said, and after which nothing works
  let open = 0, timer = 0, silent = 0
  const say = (text) => { lost.hidden = text == null; if (text != null) lost.textContent = text }
  const ended = () => {
    const kept = channel()?.kept
    if (kept === "-") return "the server has ended; what was not saved is lost: there is no folder to keep it in"
    return kept ? `the server has ended: your ROIs are saved in ${kept}; the next xinsitu explore of these frames offers them`
      : "the server has ended; there was nothing that was not saved"
  }
  const gone = () => {
    app.classList.add("lost")
    say("connection lost, trying again …")
    clearInterval(timer)
    let refused = 0, answered = 0
    const look = async () => {
      try {
        // a file: asked for the page, the server would make a whole one each time, for nobody, and be busy for seconds
        await fetch("/static/js/bokeh.min.js", {method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(450)})
        if (++answered < 2) return  // a server that ends may answer once more, and leave who reloads with nothing
        clearInterval(timer)
        if (open === 0) location.reload()  // the view is remembered by its address
      } catch (fault) {
        if (fault.name === "TypeError") refused += 1  // nobody listens there; whoever is slow may still come
        if (refused === 2) say(ended())
      }
    }
    timer = setInterval(look, 500)
    look()
  }
  setInterval(() => {
    const line = channel()
    if (line == null || open <= 0) return
    if (line.pong === line.ping) {
      if (silent >= SILENT) { say(null); app.classList.remove("lost") }
      silent = 0
      line.ping += 1
      return
    }
    silent += 1
    if (silent === SILENT) say("connection lost, trying again …")
    if (silent === OFF) app.classList.add("lost")
  }, BEAT)
  window.WebSocket = class extends Plain {
    constructor(...words) {
      super(...words)
      this.addEventListener("open", () => {
        open += 1
        clearInterval(timer)
        app.classList.remove("lost")
        say(null)
      })
      this.addEventListener("close", () => { open -= 1; if (open <= 0 && !window.leaving) gone() })
    }
  }
  addEventListener("beforeunload", () => { window.leaving = true })
})()
