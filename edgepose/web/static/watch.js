/** The view of all cameras: who is there, how it runs, what happened. */

import { Card } from "./card.js";
import { alarm, h, recall, remember, write } from "./dom.js";
import { EVENTS_KEPT } from "./live.js";
import { alarming, clock, duration, happened, number, sentence } from "./words.js";

const SHOW_EVERY_MS = 250; // numbers that change faster cannot be read

export class Watch {
  #cards = [];
  #stop = new AbortController();

  constructor(main, page) {
    Object.assign(this, { main, page });
    this.#build();
    const { signal } = this.#stop;
    page.live.addEventListener("event", ({ detail }) => this.#happened(detail.message), { signal });
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
    this.cards = h("div", { class: "cards" });
    this.facts = {};
    const names = ["Broker", "Model", "Runs on", "Processor", "Memory", "Up"];
    const list = h("dl", { class: "facts" }, ...names.map((name) => this.#fact(name)));
    this.events = h("ol", { class: "events", tabindex: 0, "aria-label": "Last events, newest first" });
    this.main.replaceChildren(
      h("h1", { class: "unseen" }, "Live"),
      h("section", { "aria-label": "Device" }, list),
      this.#privacy(),
      h(
        "div", { class: "sides" },
        h("section", { "aria-label": "Cameras" }, this.cards),
        h("section", { class: "happened", "aria-labelledby": "events-title" },
          h("h2", { id: "events-title" }, "Events"), this.events),
      ),
    );
    this.#buildCards();
    this.#listEvents();
  }

  #fact(name) {
    this.facts[name] = { value: h("strong", {}, "–"), why: h("span", {}) };
    return h("div", {}, h("dt", {}, name), h("dd", {}, this.facts[name].value, this.facts[name].why));
  }

  #buildCards() {
    this.#cards.forEach((card) => card.close());
    this.#cards = this.#cameras.map((id) => new Card(this.page, id));
    this.cards.replaceChildren(...this.#cards.map((card) => card.element));
  }

  /** Whether anybody's picture can be seen here is nothing to be in doubt about. */
  #privacy() {
    if (!this.page.live.hello?.picture) {
      return h("p", { class: "privacy" }, "Skeletons only: this page gets no picture of any camera.");
    }
    const box = h("input", { type: "checkbox", onchange: () => this.#picture(box.checked) });
    box.checked = wantsPicture();
    return h(
      "p", { class: "privacy shown" },
      h("span", {}, "The cameras' pictures can be seen here, because ", h("code", {}, "web.picture"), " is on."),
      h("label", { class: "check" }, box, "Show them"),
    );
  }

  #picture(wanted) {
    remember("picture", wanted ? null : "no");
    this.page.watch();
  }

  /** The configuration has changed: there may be other cameras and zones. */
  reconfigured() {
    this.#buildCards();
    this.page.watch();
  }

  #show() {
    const { live } = this.page;
    if (this.#cameras.join() !== this.#cards.map((card) => card.id).join()) this.#buildCards();
    this.#cards.forEach((card) => card.show());
    const { status, stats } = live;
    const broker = live.broker ?? "not known yet";
    const fine = broker === "connected";
    this.#tell("Broker", fine ? "connected" : "not connected", fine ? "" : sentence(broker));
    this.facts.Broker.value.dataset.mood = fine ? "good" : "bad";
    this.#tell("Model", status?.model ?? "–", status?.model_reason);
    this.#tell("Runs on", status?.delegate.name ?? "–", status?.delegate.reason);
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
    const where = this.#cameras.length > 1 ? h("span", { class: "where" }, event.camera) : null;
    return h(
      "li", { "data-type": event.type, "data-alarming": alarming(event) },
      h("time", { datetime: event.at }, clock(event.at)), h("span", {}, happened(event)), where,
    );
  }

  #orNothing() {
    if (!this.events.children.length) this.events.append(h("li", { class: "none" }, "Nothing yet."));
  }
}

/** How the processor is: a Pi that is too hot or has too little power slows down. */
function warmth(stats) {
  const degrees = stats?.temperature_c;
  const warm = degrees === null || degrees === undefined ? "of one core" : `${degrees.toFixed(0)} °C`;
  return stats?.throttled ? `${warm}, slowed down` : warm;
}

/** Whether the user wants pictures where there may be some. */
export const wantsPicture = () => recall("picture") !== "no";
