/** The page: signs in, connects to the daemon, and shows the view of the URL. */

import * as api from "./api.js";
import { el, recall, remember, say, set, write } from "./dom.js";
import { Live } from "./live.js";
import * as login from "./login.js";
import { Overview, wantsPicture } from "./overview.js";

const main = document.getElementById("main");
const live = new Live();

const THEMES = { system: "as the system", light: "light", dark: "dark" };

const STATUS_MS = 1000; // a daemon that has just started has no status yet
const EDITOR_MS = 1000; // delay of loading the editor, which the first view does not need

/** Shared by all views. */
const page = {
  live,
  config: null,

  async refresh() {
    page.config = await api.configuration();
  },

  /** Watch the visible cameras: one or all, none in a hidden tab. */
  watch() {
    const all = page.config?.cameras.map(({ id }) => id) ?? [];
    const seen = view?.id ? [view.id] : all;
    live.watch(document.hidden ? [] : seen, wantsPicture() && Boolean(live.hello?.picture));
  },
};

let view = null;
let shown = null; // URL hash of the current view
let Editor = null; // loaded later: half of the code, not needed by the first view

async function start() {
  const { signed_in: signedIn, token_needed: needed } = await api.session();
  document.getElementById("sign-out").hidden = !needed || !signedIn;
  if (needed && !signedIn) {
    leaveAll();
    login.show(main, begin);
    return;
  }
  live.open();
  await page.refresh();
  if (live.status) view ?? route();
}

function leaveAll() {
  live.close();
  view?.close();
  view = null;
  shown = null;
  write(document.getElementById("line"), "");
}

/** Show the view of the URL. */
function route() {
  if (!live.hello || !page.config) return;
  const [, name, coded = ""] = location.hash.split("/");
  const camera = decoded(coded);
  const edits = name === "edit" && page.config.cameras.some(({ id }) => id === camera);
  if (edits && !Editor) {
    loadEditor().then(() => location.hash === shown || route());
    return;
  }
  view?.close();
  view = edits ? new Editor(main, page, camera) : new Overview(main, page);
  if (name === "edit" && !edits) main.prepend(unknown(camera));
  shown = location.hash;
  document.title = `${edits ? camera : live.hello.device.name} · edgepose`;
  page.watch();
  setTimeout(loadEditor, EDITOR_MS);
}

const unknown = (camera) =>
  el("p", { class: "notice", role: "alert" }, `There is no camera "${camera}".`);

async function loadEditor() {
  try {
    ({ Editor } = await import("./editor.js"));
  } catch {
    location.hash = "#/"; // the daemon has ended; the connection status shows it
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // malformed; matches no camera
  }
}

async function moved() {
  if (location.hash === shown) return;
  const wanted = location.hash;
  // Stay until the user has decided about unsaved changes.
  history.replaceState(null, "", shown || "#/");
  if (view && !(await view.leave())) return;
  history.replaceState(null, "", wanted || "#/");
  route();
}

let greeted = ""; // the hello message for which the view was created

live.addEventListener("hello", () => {
  const before = greeted;
  greeted = JSON.stringify(live.hello);
  write(document.getElementById("device"), live.hello.device.name);
  if (!view) {
    // The status follows at once; waiting for it avoids a layout shift.
    setTimeout(() => view ?? route(), STATUS_MS);
  } else if (before !== greeted && view instanceof Overview) {
    route();
  } else {
    page.watch();
    reconfigured(); // the file may have changed while disconnected
  }
});

live.addEventListener("config", reconfigured);

/** Read the configuration again if its revision changed, and update the view. */
async function reconfigured() {
  if (!page.config || live.revision === page.config.revision) return;
  const before = page.config.revision;
  await page.refresh().catch(() => null); // the connection status shows that the daemon has ended
  if (page.config.revision !== before) view?.reconfigured();
}

live.addEventListener("status", () => view ?? route());

function showLine() {
  const line = document.getElementById("line");
  const broker = live.broker === null || live.broker === "connected";
  const words = broker ? "live" : "live, broker not connected";
  write(line, live.connected ? words : "not connected");
  line.dataset.mood = live.connected ? (broker ? "good" : "warn") : "bad";
}

live.addEventListener("link", showLine);
live.addEventListener("line", async () => {
  showLine();
  if (live.connected) return;
  // A refused connection may mean that the session has ended.
  const told = await api.session().catch(() => null);
  if (told?.token_needed && !told.signed_in) begin();
});

function showTheme() {
  const theme = recall("theme") ?? "system";
  set(document.documentElement, "data-theme", theme === "system" ? null : theme);
  const button = document.getElementById("theme");
  write(button.querySelector("span"), `Colours: ${THEMES[theme]}`);
  set(button, "aria-label", `Colours: ${THEMES[theme]}`);
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(recall("theme") ?? "system") + 1) % names.length];
  remember("theme", next === "system" ? null : next);
  showTheme();
  say(`Colours: ${THEMES[next]}`);
}

async function signOut() {
  if (view && !(await view.leave())) return;
  await api.logout();
  begin();
}

async function begin() {
  try {
    await start();
  } catch (refused) {
    main.replaceChildren(
      el("p", { class: "notice", role: "alert" }, `This page cannot start: ${refused.message}.`),
      el("button", { type: "button", onclick: begin }, "Try again"),
    );
  }
}

document.getElementById("theme").addEventListener("click", nextTheme);
document.getElementById("sign-out").addEventListener("click", signOut);
document.addEventListener("visibilitychange", () => page.watch());
window.addEventListener("hashchange", moved);
showTheme();
begin();
