// Enhances pages that also work without scripts. Listeners are on the document, so swapped content needs no set-up.
// Messages come from <body data-msg-…>, translated with the page.
(() => {
  const one = (query, within = document) => within.querySelector(query)
  const all = (query, within = document) => [...within.querySelectorAll(query)]
  const on = (type, act) => document.addEventListener(type, act, true)
  const click = (query, act) => on("click", event => {
    const found = event.target.closest(query)
    if (found) act(found, event)
  })
  const showMessage = (region, name, status) => {
    const text = document.body.dataset["msg" + name].replace("{status}", status)
    if (one(region).textContent !== text) one(region).textContent = text
  }

  // A status message leaves after 6 seconds, unless it may be unread or is in use
  let leaving
  const isKept = () => document.hidden || one(".notice:is(:hover, :focus-within) > #status")
  const leaveLater = seconds => {
    clearTimeout(leaving)
    leaving = setTimeout(() => isKept() ? leaveLater(2) : one("#status").replaceChildren(), seconds * 1000)
  }
  on("htmx:oobAfterSwap", ({ detail }) => detail.target.id === "status" && leaveLater(6))

  // Mark the new address in the menu after a swap that changed it
  on("htmx:pushedIntoHistory", () => {
    const [overview, ...links] = all(".nav a")
    const here = links.find(link => location.pathname.startsWith(link.pathname)) ?? overview
    for (const link of [overview, ...links]) link.toggleAttribute("aria-current", false)
    here.setAttribute("aria-current", "page")
  })

  // Drop empty filters from the URLs of lists
  on("htmx:configRequest", ({ detail: { verb, formData } }) => {
    if (verb === "get") for (const [name, value] of [...formData]) if (!value) formData.delete(name)
  })

  // Wait with a search until the input method has the whole text
  let composing
  on("compositionstart", ({ target }) => { composing = target })
  on("input", event => event.isComposing && event.stopPropagation())
  on("compositionend", ({ target }) => {
    composing = undefined
    target.dispatchEvent(new Event("input", { bubbles: true }))
  })
  on("htmx:configRequest", event => composing && event.detail.elt.contains(composing) && event.preventDefault())

  // In a form that replaces the URL while one types, the choice of a filter adds to the history
  on("input", ({ target }) => {
    const form = target.closest("form[hx-replace-url]")
    if (form) form.setAttribute("hx-push-url", target.matches("select"))
  })

  // Tell the server the reader's time zone, for times in downloads and filters
  document.cookie = `iotda_admin_zone=${Intl.DateTimeFormat().resolvedOptions().timeZone};path=/;max-age=31536000;samesite=lax${location.protocol === "https:" ? ";secure" : ""}`

  // The button of a form names what is chosen
  on("change", ({ target: { form, dataset } }) => {
    if (dataset.action) one("[data-action-text]", form).textContent = dataset.action
  })

  // Let the browser send what is downloaded
  on("submit", event => event.submitter?.matches("[data-download]") && event.stopPropagation())

  // Network errors
  // (the poll of IoTDA's state simply tries again)
  for (const type of ["htmx:sendError", "htmx:timeout"]) {
    on(type, ({ detail: { elt } }) => elt.id === "platform" || showMessage("#alert", "SendError"))
  }
  on("htmx:beforeSwap", ({ detail }) => { detail.xhr.shown = detail.shouldSwap })
  on("htmx:responseError", ({ detail: { xhr } }) => xhr.shown || showMessage("#alert", "ResponseError", xhr.status))
  click("[data-dismiss]", button => one(button.dataset.dismiss).replaceChildren())

  // Dialogs
  let opener
  const close = dialog => dialog.close()
  const open = body => {
    const dialog = one("#dialog")
    if (!dialog.open) {
      opener = document.activeElement.id
      dialog.showModal()
      dialog.append(one(".notices"))  // content outside a modal dialog is inert
    }
    for (const query of ["[aria-invalid=true]", "[autofocus]", "input:not([type=hidden]), select, textarea"]) {
      const field = one(query, body)
      if (field) return field.focus()
    }
  }
  click("[data-close-dialog]", button => close(button.closest("dialog")))
  on("dialog:close", () => close(one("#dialog")))
  on("mousedown", ({ target }) => {  // a click on the backdrop closes the dialog, unless a field was changed
    if (target.matches("dialog") && all("input, textarea", target).every(field => field.value === field.defaultValue)) close(target)
  })
  on("close", ({ target }) => setTimeout(() => {  // wait for the swap that closed it
    if (target.id !== "dialog" || target.open) return
    document.body.append(one(".notices"))
    one("#dialog-body").replaceChildren()
    if (document.activeElement === document.body) (document.getElementById(opener) || one("#main")).focus()
  }))

  // Copy buttons
  click("[data-copy], [data-copy-target]", async ({ dataset }) => {
    try {
      await navigator.clipboard.writeText(dataset.copy ?? one(dataset.copyTarget).textContent.trim())
      showMessage("#status", "Copied")
      dataset.copied = ""
      setTimeout(() => { delete dataset.copied }, 2500)
    } catch { showMessage("#status", "CopyFailed") }
    leaveLater(6)
  })

  // Keyboard shortcuts
  on("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea") || one("dialog[open]")) return
    if (event.key === "?") one("#help")?.showModal()
    if (event.key === "/" && one("[data-search]")) {
      event.preventDefault()
      one("[data-search]").focus()
    }
  })

  // Recent times say how long ago they were, and keep that right; the title has the exact time
  const ago = new Intl.RelativeTimeFormat(document.documentElement.lang)
  const ageOf = minutes => minutes < 60 ? ago.format(-minutes, "minute") : ago.format(-Math.floor(minutes / 60), "hour")
  const showAges = () => {
    for (const time of all("time[data-age]")) {
      time.dataset.age ||= time.textContent
      const minutes = Math.floor((Date.now() - new Date(time.dateTime)) / 60000)
      const recent = minutes > -5 && minutes < 24 * 60  // clocks differ
      const text = !recent ? time.dataset.age : minutes > 0 ? ageOf(minutes) : document.body.dataset.msgJustNow
      if (time.textContent !== text) time.textContent = text
    }
  }
  setInterval(showAges, 30000)
  addEventListener("beforeprint", () => { for (const time of all("time[data-age]")) time.textContent = time.dataset.age })
  addEventListener("afterprint", showAges)

  // Ages and focus, on load and after each swap
  on("htmx:afterSwap", ({ detail: { target } }) => {
    showAges()
    if (target?.id === "dialog-body" && target.children.length) open(target)
  })
  on("htmx:oobAfterSwap", showAges)
  on("htmx:afterSettle", ({ target, detail }) => {  // polls and loads have no triggering event: keep the focus
    if (!detail.requestConfig?.triggeringEvent) return
    const wrong = detail.requestConfig.triggeringEvent.type === "submit" && one("[aria-invalid=true]", target)
    ;(wrong || target.closest("[data-focus]") || one("[data-focus]", target))?.focus()
  })
  showAges()

  // A poll keeps open folds open and the focus where it is
  let folds = new Map(), focused
  on("htmx:beforeSwap", ({ detail: { target } }) => {
    folds = new Map(all("details[id]", target).map(fold => [fold.id, fold.open]))
    const link = target.contains(document.activeElement) && document.activeElement
    focused = link && !link.id && (link.dataset.copy ? `[data-copy="${CSS.escape(link.dataset.copy)}"]` : link.matches("a") && `a[href="${CSS.escape(link.getAttribute("href"))}"]`)
  })
  on("htmx:afterSwap", () => {
    for (const [id, open] of folds) {
      const fold = document.getElementById(id)
      if (fold) fold.open = open || (fold.open && !fold.closest("[data-changed]"))
    }
    if (focused && document.activeElement === document.body) one(focused)?.focus({ preventScroll: true })
    focused = undefined
  })
})()
