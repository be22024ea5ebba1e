// Comfort on top of pages that work without it. Listeners sit on the document, so swapped content needs no set-up.
// Sentences come from <body data-msg-…>, so that they are translated with the page.
(() => {
  const root = document.documentElement
  const one = (selector, within = document) => within.querySelector(selector)
  const all = (selector, within = document) => [...within.querySelectorAll(selector)]
  const on = (type, handle, capture) => document.addEventListener(type, handle, capture)
  const onClick = (selector, handle) => on("click", event => {
    const found = event.target.closest?.(selector)
    if (found) handle(found, event)
  })
  const message = name => document.body.dataset["msg" + name]

  // Live regions
  let quiet
  const say = text => {
    const region = one("#status")
    region.textContent = text
    clearTimeout(quiet)
    quiet = setTimeout(() => { if (region.textContent === text) region.textContent = "" }, 4000)
  }
  const warn = text => { if (one("#alert").textContent !== text) one("#alert").textContent = text }
  onClick("[data-dismiss]", button => { one(button.dataset.dismiss).textContent = "" })
  const unanswered = () => warn(message("SendError"))
  on("htmx:sendError", unanswered)
  on("htmx:timeout", unanswered)
  on("htmx:beforeSwap", ({ detail }) => { detail.xhr.shown = detail.shouldSwap })
  on("htmx:responseError", ({ detail: { xhr } }) => {
    if (!xhr.shown) warn(message("ResponseError").replace("{status}", xhr.status))
  })

  // Dialog
  let opener
  const dialog = () => one("#dialog")
  const edited = () => all("input, textarea", dialog()).some(field => field.value !== field.defaultValue)
  const openDialog = body => {
    if (!dialog().open) {
      opener = document.activeElement?.id
      dialog().showModal()
    }
    const first = one("[aria-invalid=true], [autofocus]", body) || one("[data-focus], input:not([type=hidden]), select, textarea", body)
    first?.focus()
  }
  onClick("[data-close-dialog]", button => button.closest("dialog").close())
  on("mousedown", event => { if (event.target.matches("dialog") && !edited()) event.target.close() })
  on("dialog:close", () => dialog().close())
  on("close", event => setTimeout(() => {  // after the swap that closed it
    if (event.target !== dialog()) return
    if (!event.target.open) one("#dialog-body").replaceChildren()
    if (!document.activeElement || document.activeElement === document.body) (document.getElementById(opener) || one("#main")).focus()
  }), true)

  // Selection
  let last
  const rows = head => all(`input[name="${head.dataset.checkAll}"]:enabled`, head.closest("form, table"))
  const count = head => {
    const scope = head.closest("form") || document
    const boxes = rows(head)
    const ticked = boxes.filter(box => box.checked).length
    const matching = one("[data-check-matching]:checked", scope)
    const total = matching ? +matching.dataset.checkMatching : ticked
    head.checked = ticked > 0 && ticked === boxes.length
    head.indeterminate = ticked > 0 && ticked < boxes.length
    for (const place of all("[data-selected-count]", scope)) place.textContent = total.toLocaleString(root.lang)
    for (const bar of all("[data-selection-bar]", scope)) {
      bar.hidden = !total
      for (const button of all("button", bar)) button.disabled = !total
    }
  }
  on("click", ({ target, shiftKey }) => {
    if (target.type !== "checkbox") return
    const scope = target.closest("form, table") || document
    const head = all("[data-check-all]", scope).find(head => head === target || head.dataset.checkAll === target.name)
    if (head === target) for (const box of rows(head)) box.checked = head.checked
    else if (head) {
      const boxes = rows(head)
      const ends = [boxes.indexOf(last), boxes.indexOf(target)].sort((a, b) => a - b)
      if (shiftKey && ends[0] >= 0) for (const box of boxes.slice(ends[0], ends[1])) box.checked = target.checked
      last = target
    }
    all("[data-check-all]", scope).forEach(count)
  })

  // Copy
  onClick("[data-copy], [data-copy-target]", async button => {
    const text = button.dataset.copy ?? one(button.dataset.copyTarget).textContent.trim()
    try { await navigator.clipboard.writeText(text) } catch { return say(message("CopyFailed")) }
    say(message("Copied"))
    button.toggleAttribute("data-copied", true)
    setTimeout(() => button.removeAttribute("data-copied"), 1500)
  })

  // Keys
  on("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, [contenteditable], dialog[open]") || one("dialog[open]")) return
    const search = event.key === "/" && one("[data-search]")
    if (search) {
      event.preventDefault()
      search.focus()
    }
    if (event.key === "?") one("#help")?.showModal()
  })

  // Theme
  const nameTheme = () => {
    for (const button of all("[data-theme-toggle]")) one("span", button).textContent = button.dataset[root.dataset.theme || "auto"]
  }
  onClick("[data-theme-toggle]", () => {
    const next = { undefined: "light", light: "dark", dark: "" }[root.dataset.theme]
    if (next) root.dataset.theme = next
    else delete root.dataset.theme
    try { localStorage.setItem("theme", next) } catch { /* kept for this page only */ }
    nameTheme()
  })

  // Whatever arrives, at first and by a swap
  const settle = within => {
    for (const time of all("time[data-local]", within)) {
      const at = new Date(time.dateTime)
      time.title = at.toISOString().slice(0, 19).replace("T", " ") + " UTC"
      time.textContent = at.toLocaleString(root.lang, { dateStyle: "medium", timeStyle: time.dataset.local || "short" })
      time.removeAttribute("data-local")
    }
    all("[data-check-all]").forEach(count)
    nameTheme()
  }
  on("htmx:afterSwap", ({ detail }) => {
    settle(document)
    if (detail.target.id === "dialog-body" && detail.target.children.length) openDialog(detail.target)
  })
  on("htmx:oobAfterSwap", () => settle(document))
  on("htmx:afterSettle", ({ target, detail }) => {
    if (!detail.requestConfig?.triggeringEvent) return  // polls and loads do not move the reader
    const found = target.matches("[data-focus]") ? target : one("[data-focus]", target)
    found?.focus()
  })
  settle(document)
  addEventListener("pageshow", () => settle(document))
})()
