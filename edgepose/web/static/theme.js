// Not a module: it must run before the first paint, so that a dark page does not flash white.
try {
  const chosen = localStorage.getItem("edgepose-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the page uses the theme of the system.
}
