// Row selection: <input data-check-all="name"> in a table's head checks all row checkboxes of that name and reflects
// their state; shift-click checks a range; [data-selected-count] and [data-selection-bar] in the form show the count.
(() => {
  const all = (query, within = document) => [...within.querySelectorAll(query)]
  const boxes = head => all(`[name="${head.dataset.checkAll}"]:enabled`, head.closest("form, table"))

  const count = head => {
    const form = head.closest("form") || document
    const rows = boxes(head)
    const checked = rows.filter(box => box.checked).length
    const matching = form.querySelector("[data-check-matching]:checked")  // all rows that match the filter, on every page
    const total = matching ? Number(matching.dataset.checkMatching) : checked
    head.checked = checked > 0 && checked === rows.length
    head.indeterminate = checked > 0 && checked < rows.length
    for (const place of all("[data-selected-count]", form)) place.textContent = total.toLocaleString(document.documentElement.lang)
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
})()
