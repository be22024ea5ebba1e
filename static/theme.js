// Loaded in the head and not deferred, to set the theme before the first paint. "" follows the system.
(() => {
  const page = document.documentElement.dataset
  try { page.theme = localStorage.theme ?? "" } catch { page.theme = "" }
  document.addEventListener("click", ({ target }) => {
    if (!target.closest("[data-theme-toggle]")) return
    page.theme = { "": "light", light: "dark", dark: "" }[page.theme]
    try { localStorage.theme = page.theme } catch { /* storage is blocked: keep the theme for this page only */ }
  })
})()
