// Not a module: it runs before the first paint, so that a dark page does not flash.
try {
  const chosen = localStorage.getItem("edgepose-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the page follows the system.
}
