// Not a module: it runs before the first paint, so that no light page flashes in a dark room.
try {
  const chosen = localStorage.getItem("edgepose-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing follows the system.
}
