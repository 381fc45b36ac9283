/** The page: signs in, keeps the line to the daemon, and shows the view that the address names. */

import * as api from "./api.js";
import { h, recall, remember, say, set, write } from "./dom.js";
import { Live } from "./live.js";
import * as login from "./login.js";
import { Watch, wantsPicture } from "./watch.js";

const main = document.getElementById("main");
const live = new Live();

const THEMES = { system: "as the system", light: "light", dark: "dark" };

const STATUS_MS = 1000; // a daemon that has just begun has no status yet
const EDITOR_MS = 1000; // after the first view, which does not need it

/** What all views share. */
const page = {
  live,
  config: null,

  async refresh() {
    page.config = await api.configuration();
  },

  /** Ask for what is seen now: one camera or all, nothing behind another window. */
  watch() {
    const all = page.config?.cameras.map(({ id }) => id) ?? [];
    const seen = view?.id ? [view.id] : all;
    live.watch(document.hidden ? [] : seen, wantsPicture() && Boolean(live.hello?.picture));
  },
};

let view = null;
let shown = null; // the address of the view
let Aim = null; // the editor: half of the page, which the first view mostly does without

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

/** Show the view that the address names. */
function route() {
  if (!live.hello || !page.config) return;
  const [, name, coded = ""] = location.hash.split("/");
  const camera = decoded(coded);
  const aims = name === "aim" && page.config.cameras.some(({ id }) => id === camera);
  if (aims && !Aim) {
    loadEditor().then(() => location.hash === shown || route());
    return;
  }
  view?.close();
  view = aims ? new Aim(main, page, camera) : new Watch(main, page);
  if (name === "aim" && !aims) main.prepend(nobody(camera));
  shown = location.hash;
  document.title = `${aims ? camera : live.hello.device.name} · edgepose`;
  page.watch();
  setTimeout(loadEditor, EDITOR_MS);
}

const nobody = (camera) =>
  h("p", { class: "notice", role: "alert" }, `There is no camera "${camera}". These are all there are.`);

async function loadEditor() {
  try {
    ({ Aim } = await import("./aim.js"));
  } catch {
    location.hash = "#/"; // the daemon has gone, which the line tells
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // half of a code, which is nobody's name
  }
}

async function moved() {
  if (location.hash === shown) return;
  const wanted = location.hash;
  // What is not saved keeps the user here until that is decided.
  history.replaceState(null, "", shown || "#/");
  if (view && !(await view.leave())) return;
  history.replaceState(null, "", wanted || "#/");
  route();
}

let greeted = ""; // what the daemon said of itself when the view was made

live.addEventListener("hello", () => {
  const before = greeted;
  greeted = JSON.stringify(live.hello);
  write(document.getElementById("device"), live.hello.device.name);
  if (!view) {
    // The status comes at once, and what it says needs its room from the beginning.
    setTimeout(() => view ?? route(), STATUS_MS);
  } else if (before !== greeted && view instanceof Watch) {
    route();
  } else {
    page.watch();
    reconfigured(); // it may have been changed while there was no line
  }
});

live.addEventListener("config", reconfigured);

/** Read the configuration anew if it is another one, and tell the view. */
async function reconfigured() {
  if (!page.config || live.revision === page.config.revision) return;
  const before = page.config.revision;
  await page.refresh().catch(() => null); // a daemon that has gone is told by the line
  if (page.config.revision !== before) view?.reconfigured();
}

live.addEventListener("status", () => view ?? route());

function showLine() {
  const line = document.getElementById("line");
  const broker = live.broker === null || live.broker === "connected";
  const words = broker ? "live" : "live, but no broker";
  write(line, live.connected ? words : "no line to the daemon");
  line.dataset.mood = live.connected ? (broker ? "good" : "warn") : "bad";
}

live.addEventListener("link", showLine);
live.addEventListener("line", async () => {
  showLine();
  if (live.connected) return;
  // A line that is refused may mean that the session has ended.
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
      h("p", { class: "notice", role: "alert" }, `This page cannot start: ${refused.message}.`),
      h("button", { type: "button", onclick: begin }, "Try again"),
    );
  }
}

document.getElementById("theme").addEventListener("click", nextTheme);
document.getElementById("sign-out").addEventListener("click", signOut);
document.addEventListener("visibilitychange", () => page.watch());
window.addEventListener("hashchange", moved);
showTheme();
begin();
