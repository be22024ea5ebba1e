// Not deferred: the reader's theme is set before the first paint.
try {
  const theme = localStorage.getItem("theme")
  if (theme) document.documentElement.dataset.theme = theme
} catch { /* storage is blocked: follow the system */ }
