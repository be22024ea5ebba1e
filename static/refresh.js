// A refresh never replaces what a person works on. Polls and syncs swap the regions <… id data-changed="message">. If one
// is in use, the page shows the message and offers to reload; ticks and text that was typed meanwhile stay.
(() => {
  const all = (query, within = document) => [...within.querySelectorAll(query)]
  const on = (type, act) => document.addEventListener(type, act, true)
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
})()
