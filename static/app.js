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

  // A cookie remembers the theme, so that the server sends the page with it; "" follows the system
  const remember = (name, value) => {
    document.cookie = `iotda_admin_${name}=${value};path=/;max-age=31536000;samesite=lax${location.protocol === "https:" ? ";secure" : ""}`
  }
  click("[data-theme-toggle]", () => {
    const { dataset } = document.documentElement
    dataset.theme = { "": "light", light: "dark", dark: "" }[dataset.theme]
    remember("theme", dataset.theme)
  })

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

  // Drop empty filters from the URLs of lists. A link with hx-get and no URL there loads its href.
  on("htmx:configRequest", ({ detail }) => {
    const { verb, formData, elt } = detail
    if (verb === "get") for (const [name, value] of [...formData]) if (!value) formData.delete(name)
    if (elt.getAttribute("hx-get") === "") detail.path = elt.getAttribute("href")
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
  remember("zone", Intl.DateTimeFormat().resolvedOptions().timeZone)

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

  // A selector that finds an element again after its region or row was replaced
  const selectorOf = element => {
    const { id, localName, classList, dataset: { copy } } = element
    const row = element.closest("tr[id]")
    if (id) return `#${CSS.escape(id)}`
    if (row) return `#${CSS.escape(row.id)} ${classList.length ? `.${classList[0]}` : localName}`
    if (copy) return `[data-copy="${CSS.escape(copy)}"]`
    return localName === "a" && `a[href="${CSS.escape(element.getAttribute("href"))}"]`
  }

  // Dialogs
  let opener
  const close = dialog => dialog.close()
  const open = body => {
    const dialog = one("#dialog")
    if (!dialog.open) {
      opener = selectorOf(document.activeElement)
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
    if (document.activeElement === document.body) ((opener && one(opener)) || one("#main")).focus()
  }))

  // Copy buttons. Each row of a long list gets its own from here, because without a script it does nothing.
  const addCopyButtons = () => {
    const button = one("#copy-button")?.content.firstElementChild
    for (const id of button ? all("tr .id:not(:has(.copy))") : []) {
      const copy = id.appendChild(button.cloneNode(true))
      copy.dataset.copy = one("code", id).textContent
      copy.ariaLabel = copy.ariaLabel.replace("{name}", one("bdi", id.parentElement).textContent)
    }
  }
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
    addCopyButtons()
    if (target?.id === "dialog-body" && target.children.length) open(target)
  })
  on("htmx:oobAfterSwap", showAges)
  on("htmx:afterSettle", ({ target, detail }) => {  // polls and loads have no triggering event: keep the focus
    if (!detail.requestConfig?.triggeringEvent) return
    const wrong = detail.requestConfig.triggeringEvent.type === "submit" && one("[aria-invalid=true]", target)
    ;(wrong || target.closest("[data-focus]") || one("[data-focus]", target))?.focus()
  })
  showAges()
  addCopyButtons()

  // A poll keeps open folds open and the focus where it is
  let folds = new Map(), focused
  on("htmx:beforeSwap", ({ detail: { target } }) => {
    folds = new Map(all("details[id]", target).map(fold => [fold.id, fold.open]))
    focused = target.contains(document.activeElement) && selectorOf(document.activeElement)
  })
  on("htmx:afterSwap", () => {
    for (const [id, open] of folds) {
      const fold = document.getElementById(id)
      if (fold) fold.open = open || (fold.open && !fold.closest("[data-changed]"))
    }
    if (focused && document.activeElement === document.body) one(focused)?.focus({ preventScroll: true })
    focused = undefined
  })

  // A refresh never replaces what a person works on. Polls and syncs swap the regions <… id data-changed="message">. If one
  // is in use, the page shows the message and offers to reload; ticks and text that was typed meanwhile stay.
  {
    const FIELDS = "input:not([type=hidden], [type=file]), textarea, select"
    const isBox = field => ["checkbox", "radio"].includes(field.type)
    const stateOf = field => isBox(field) ? field.checked : field.value
    const keyOf = field => isBox(field) ? `${field.name}=${field.value}` : field.id || field.name
    const initialState = field => {
      if (isBox(field)) return field.defaultChecked
      if (!field.options) return field.defaultValue
      return ([...field.options].find(option => option.defaultSelected) ?? field.options[0])?.value
    }
    const isChanged = field => stateOf(field) !== initialState(field)
    const states = () => new Map(all(FIELDS).map(field => [keyOf(field), stateOf(field)]))

    const isInUse = region => {
      const selection = getSelection()
      return all(FIELDS, region).some(field => isChanged(field) || field === document.activeElement)
        || (!selection.isCollapsed && selection.containsNode(region, true))
        || all("dialog[open] [hx-target]").some(form => region.querySelector(form.getAttribute("hx-target")))
    }

    // What a reader sees, without what scripts change
    const contentOf = region => {
      const copy = region.cloneNode(true)
      for (const time of all("time", copy)) time.replaceWith(time.dateTime)
      for (const count of all("[data-selected-count]", copy)) count.remove()
      return copy.textContent.replace(/\s+/g, " ")
    }
    const differs = (region, html) => {
      const next = new DOMParser().parseFromString(html, "text/html").getElementById(region.id)
      return !next || contentOf(next) !== contentOf(region)
    }

    let stale
    const offer = region => {
      const message = region?.dataset.changed ?? ""
      const place = document.querySelector("#changed")
      if (place.textContent !== message) place.textContent = message
      stale = region?.id
    }
    on("click", ({ target }) => target.closest("[data-reload]") && htmx.trigger(`#${stale}`, "reload"))

    const isAutomatic = ({ requestConfig: { triggeringEvent } }) => !triggeringEvent || /^(inventory|platform):/.test(triggeringEvent.type)

    // The end of a session leads to the sign-in page. A poll leaves what was typed, and a search that sends only a part of
    // its form sends all of it, so that the server keeps it.
    on("htmx:beforeOnLoad", event => {
      const { detail } = event
      if (!detail.xhr.getResponseHeader("HX-Redirect")) return
      if (isAutomatic(detail) && all(FIELDS).some(isChanged)) {
        document.querySelector("#alert").textContent = document.body.dataset.msgSessionEnded
      } else if (detail.elt.matches("form [hx-params]")) {
        detail.elt.form.submit()
      } else return
      event.preventDefault()
    })

    // A page in the background does not poll IoTDA's state; it does so when it is seen again
    on("htmx:beforeRequest", event => event.detail.elt.id === "platform" && document.hidden && event.preventDefault())
    // Its warning keeps its height, so that the page stays where it is
    on("htmx:beforeSwap", ({ target }) => {
      if (target.matches("main > #platform")) target.style.minHeight = `${target.getBoundingClientRect().height}px`
    })

    let kept = new Map()
    on("htmx:beforeRequest", ({ detail: { xhr } }) => { xhr.statesBefore = states() })
    on("htmx:beforeSwap", ({ detail }) => {
      const { target, xhr } = detail
      const region = target.closest("[data-changed]")
      kept = new Map()
      if (!detail.shouldSwap) return
      if (region === target && isAutomatic(detail) && isInUse(region)) {
        detail.shouldSwap = false
        return differs(region, detail.serverResponse) && offer(region)
      }
      if (region === target) offer()
      for (const field of all(FIELDS, target)) {
        const typedMeanwhile = stateOf(field) !== xhr.statesBefore?.get(keyOf(field))
        if (typedMeanwhile || (region && isBox(field) && isChanged(field))) kept.set(keyOf(field), stateOf(field))
      }
    })
    on("htmx:afterSwap", () => {
      for (const field of kept.size ? all(FIELDS) : []) {
        if (kept.has(keyOf(field))) field[isBox(field) ? "checked" : "value"] = kept.get(keyOf(field))
      }
    })
  }

  // Row selection: <input data-check-all="name"> in a table's head checks all row checkboxes of that name and reflects
  // their state; shift-click checks a range; [data-selected-count] and [data-selection-bar] in the form show the count.
  {
    const boxes = head => all(`[name="${head.dataset.checkAll}"]:enabled`, head.closest("form, table"))

    const count = head => {
      const form = head.closest("form") || document
      const rows = boxes(head)
      const checked = rows.filter(box => box.checked).length
      const matching = form.querySelector("[data-check-matching]:checked")  // all rows that match the filter, on every page
      const total = matching ? Number(matching.dataset.checkMatching) : checked
      head.checked = checked > 0 && checked === rows.length
      head.indeterminate = checked > 0 && checked < rows.length
      const shown = total.toLocaleString(document.documentElement.lang) + (matching?.dataset.more || "")
      for (const place of all("[data-selected-count]", form)) place.textContent = shown
      for (const bar of all("[data-selection-bar]", form)) {
        bar.hidden = total === 0
        for (const button of all("button", bar)) button.disabled = total === 0
      }
    }

    let last
    document.addEventListener("click", ({ target, shiftKey }) => {
      if (target.type !== "checkbox") return
      for (const head of all("[data-check-all]", target.closest("form, table") || document)) {
        const rows = boxes(head)
        const [from, to] = [rows.indexOf(last), rows.indexOf(target)].sort((a, b) => a - b)
        if (head === target) for (const box of rows) box.checked = head.checked
        else if (shiftKey && from >= 0) for (const box of rows.slice(from, to)) box.checked = target.checked
        count(head)
      }
      last = target
    })

    const recount = () => all("[data-check-all]").forEach(count)
    for (const type of ["htmx:afterSwap", "htmx:oobAfterSwap"]) document.addEventListener(type, recount)
    addEventListener("pageshow", recount)  // the browser restores checkboxes when the user goes back
  }
})()
