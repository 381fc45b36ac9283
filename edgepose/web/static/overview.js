/** The view of all cameras, with device status and events. */

import { Card } from "./card.js";
import { alarm, el, recall, remember, write } from "./dom.js";
import { nameOf } from "./friendly_names.js";
import { EVENTS_KEPT } from "./live.js";
import { alarming, clock, duration, happened, number, sentence } from "./format.js";

const SHOW_EVERY_MS = 250; // numbers that change faster cannot be read

export class Overview {
  #cards = [];
  #stop = new AbortController();

  constructor(main, page) {
    Object.assign(this, { main, page });
    this.#build();
    const { signal } = this.#stop;
    page.live.addEventListener("event", ({ detail }) => this.#happened(detail.message), { signal });
    page.live.addEventListener("clip", ({ detail }) => this.#addClip(detail), { signal });
    page.live.addEventListener("hello", () => this.#listEvents(), { signal });
    this.timer = setInterval(() => this.#show(), SHOW_EVERY_MS);
    this.#show();
  }

  leave() {
    return true;
  }

  close() {
    clearInterval(this.timer);
    this.#stop.abort();
    this.#cards.forEach((card) => card.close());
  }

  get #cameras() {
    const known = this.page.config?.cameras.map(({ id }) => id) ?? [];
    return [...new Set([...known, ...Object.keys(this.page.live.status?.cameras ?? {})])];
  }

  #build() {
    this.cards = el("div", { class: "cards" });
    this.facts = {};
    const names = ["Broker", "Model", "Runs on", "Processor", "Memory", "Up"];
    const list = el("dl", { class: "facts" }, ...names.map((name) => this.#fact(name)));
    this.events = el("ol", { class: "events", tabindex: 0, "aria-label": "Last events, newest first" });
    this.main.replaceChildren(
      el("h1", { class: "visually-hidden" }, "Live"),
      el("section", { "aria-label": "Device" }, list),
      this.#privacy(),
      el(
        "div", { class: "sides" },
        el("section", { "aria-label": "Cameras" }, this.cards),
        el("section", { class: "event-panel", "aria-labelledby": "events-title" },
          el("h2", { id: "events-title" }, "Events"), this.events),
      ),
    );
    this.#buildCards();
    this.#listEvents();
  }

  #fact(name) {
    this.facts[name] = { value: el("strong", {}, "–"), why: el("span", {}) };
    return el("div", {}, el("dt", {}, name), el("dd", {}, this.facts[name].value, this.facts[name].why));
  }

  #buildCards() {
    this.#cards.forEach((card) => card.close());
    this.#cards = this.#cameras.map((id) => new Card(this.page, id));
    this.cards.replaceChildren(...this.#cards.map((card) => card.element));
  }

  /** Create the notice that states whether camera pictures are shown. */
  #privacy() {
    if (!this.page.live.hello?.picture) {
      return el("p", { class: "privacy" }, "Skeletons only: camera pictures are not sent to this page.");
    }
    const box = el("input", { type: "checkbox", onchange: () => this.#picture(box.checked) });
    box.checked = wantsPicture();
    return el(
      "p", { class: "privacy shown" },
      el("span", {}, "Camera pictures are shown here because ", el("code", {}, "web.picture"), " is on."),
      el("label", { class: "check" }, box, "Show them"),
    );
  }

  #picture(wanted) {
    remember("picture", wanted ? null : "no");
    this.page.watch();
  }

  /** Handle a changed configuration: cameras and zones may differ. */
  reconfigured() {
    this.#buildCards();
    this.page.watch();
  }

  #show() {
    const { live } = this.page;
    if (this.#cameras.join() !== this.#cards.map((card) => card.id).join()) this.#buildCards();
    this.#cards.forEach((card) => card.show());
    const { status, stats } = live;
    const broker = live.broker ?? "unknown";
    const fine = broker === "connected";
    this.#tell("Broker", fine ? "connected" : "not connected", fine ? "" : sentence(broker));
    this.facts.Broker.value.dataset.mood = fine ? "good" : "bad";
    this.#tell("Model", status?.model ?? "–", status?.model_reason);
    this.#tell("Runs on", status?.delegate.name ?? "–", status ? running(status) : "");
    this.#tell("Processor", number(stats?.cpu_percent, 0, " %"), warmth(stats));
    this.#tell("Memory", number(stats?.memory_mb, 0, " MB"));
    this.#tell("Up", stats ? duration(stats.uptime_s) : "–", status ? `version ${status.version}` : "");
  }

  #tell(name, value, why = "") {
    write(this.facts[name].value, value);
    write(this.facts[name].why, why ?? "");
  }

  // Events

  #listEvents() {
    this.events.replaceChildren(...this.page.live.events.map((event) => this.#item(event)).reverse());
    this.#orNothing();
  }

  #happened(event) {
    this.events.querySelector(".none")?.remove();
    this.events.prepend(this.#item(event));
    while (this.events.children.length > EVENTS_KEPT) this.events.lastChild.remove();
    if (alarming(event)) alarm(`${event.camera}: ${happened(event)}`);
  }

  #item(event) {
    const camera = this.page.config?.cameras.find(({ id }) => id === event.camera) ?? { id: event.camera };
    const where = this.#cameras.length > 1 ? el("span", { class: "where" }, nameOf(camera)) : null;
    return el(
      "li", { "data-type": event.type, "data-alarming": alarming(event), "data-event": event.id },
      el("time", { datetime: event.at }, clock(event.at)), el("span", {}, happened(event, camera)), where,
      this.#clip(event.id),
    );
  }

  /** The link to the clip of an event; null if it has none. */
  #clip(event) {
    const number = this.page.live.clips.get(event);
    if (number === undefined) return null;
    return el("a", { class: "clip", href: `api/clips/${number}`, target: "_blank" }, "Clip");
  }

  /** Add the link to an event whose clip has come. */
  #addClip({ event }) {
    const item = this.events.querySelector(`[data-event="${CSS.escape(event)}"]`);
    item?.querySelector(".clip")?.remove();
    if (item) item.append(this.#clip(event));
  }

  #orNothing() {
    if (!this.events.children.length) this.events.append(el("li", { class: "none" }, "Nothing yet."));
  }
}

/** Temperature, and whether a Pi is throttled by heat or a weak power supply. */
function warmth(stats) {
  const degrees = stats?.temperature_c;
  const warm = degrees === null || degrees === undefined ? "of one core" : `${degrees.toFixed(0)} °C`;
  return stats?.throttled ? `${warm}, slowed down` : warm;
}

/** Why the delegate is used, and which arrangement of interpreters and threads runs and why. */
function running({ delegate, arrangement, arrangement_reason: why }) {
  const arranged = why ? `${arrangement}, ${why}` : arrangement;
  return `${delegate.reason}; interpreters x threads: ${arranged}`;
}

/** Whether the user wants pictures, if they are allowed. */
export const wantsPicture = () => recall("picture") !== "no";
