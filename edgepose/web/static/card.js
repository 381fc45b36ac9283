/** One camera in the view of all. */

import * as api from "./api.js";
import { fresh, looking, trouble } from "./condition.js";
import { h, set, write } from "./dom.js";
import { Screen } from "./screen.js";
import { leftOut, number, people, person, sentence } from "./words.js";

const MOODS = { online: "good", starting: "", ended: "", offline: "bad" };

export class Card {
  /** `page` holds `live` and `config`. */
  constructor(page, camera) {
    Object.assign(this, { page, id: camera });
    this.#build();
    this.screen = new Screen(this.canvas, page.live, camera, () => this.#look());
    this.show();
  }

  close() {
    this.screen.close();
  }

  #build() {
    const title = `camera-${this.id}`;
    this.state = h("span", { class: "pill" });
    this.count = h("span", { class: "count" });
    this.canvas = h("canvas", { role: "img", "aria-label": `Skeletons seen by ${this.id}, live` });
    this.reason = h("p", { class: "reason", hidden: true });
    this.badge = h("p", { class: "badge", hidden: !this.page.live.hello?.picture }, "Camera picture");
    this.seen = h("ul", { class: "unseen", "aria-label": `People in view of ${this.id}` });
    this.zones = h("ul", { class: "chips", "aria-label": "Zones" });
    this.numbers = {};
    this.leftOut = h("p", { class: "left-out" });
    this.pause = h("button", { type: "button", class: "quiet", onclick: () => this.#pause() });
    this.refusal = h("p", { class: "problem", role: "alert" });
    this.element = h(
      "article",
      { class: "card", "aria-labelledby": title },
      h(
        "header", {},
        h("h2", { id: title }, this.id), this.state, this.count,
        h(
          "div", { class: "row" }, this.pause,
          h("a", { class: "button", href: `#/aim/${encodeURIComponent(this.id)}` }, "Aim and draw"),
        ),
      ),
      h("div", { class: "stage" }, this.canvas, this.reason),
      this.badge,
      this.seen,
      this.zones,
      h("dl", { class: "numbers" }, this.#number("Rate"), this.#number("Latency"), this.#number("Dropped")),
      this.leftOut,
      this.refusal,
    );
  }

  #number(name) {
    this.numbers[name] = h("dd", {}, "–");
    return h("div", {}, h("dt", {}, name), this.numbers[name]);
  }

  get #told() {
    return this.page.live.states.get(this.id) ?? null;
  }

  get #looking() {
    return looking(this.page.live, this.id);
  }

  get #aim() {
    return this.page.config?.cameras.find(({ id }) => id === this.id) ?? null;
  }

  #look() {
    const { pose } = this.page.config ?? {};
    const minScore = this.#told?.settings?.min_keypoint_score ?? pose?.min_keypoint_score ?? 0.3;
    const occupied = Object.entries(this.#told?.zones ?? {}).filter(([, zone]) => zone.occupied);
    return {
      zones: this.#aim?.zones ?? [], occupied: new Set(occupied.map(([id]) => id)), minScore,
      ...(this.#looking ? {} : { message: null }), // those of before are no longer there
    };
  }

  /** Show the newest; called a few times a second. */
  show() {
    const { live } = this.page;
    this.#showState(live.status?.cameras[this.id]?.state ?? "starting");
    this.#showReason();
    if (!this.#looking) this.screen.refresh();
    this.#showPeople();
    this.#showZones();
    this.#showNumbers();
    set(this.badge, "class", this.#looking && live.pictures.has(this.id) ? "badge" : "badge absent");
  }

  #showState(state) {
    const paused = this.#told?.paused ?? false;
    const fallen = this.#told?.fall ?? false;
    write(this.state, fallen ? "fall" : paused ? "paused" : state);
    this.state.dataset.mood = fallen ? "bad" : paused ? "warn" : (MOODS[state] ?? "");
    set(this.element, "data-fall", fallen);
    const count = this.#told?.count ?? 0;
    const there = count ? people(count) : "nobody";
    write(this.count, this.#looking ? there : "");
    write(this.pause, paused ? "Go on" : "Pause");
    set(this.pause, "aria-label", `${paused ? "Go on" : "Pause"}: ${this.id}`);
  }

  #showReason() {
    const text = trouble(this.page.live, this.id);
    write(this.reason, text);
    this.reason.hidden = !text;
  }

  /** The same as the picture, for those who do not see it. */
  #showPeople() {
    const poses = this.#looking ? this.page.live.newest(this.id)?.poses : null;
    const lines = (poses ?? []).map(person);
    const items = this.seen.children;
    while (items.length > lines.length) items[items.length - 1].remove();
    while (items.length < lines.length) this.seen.append(h("li"));
    lines.forEach((line, index) => write(items[index], line));
  }

  #showZones() {
    const zones = this.#aim?.zones ?? [];
    const told = (this.#looking && this.#told?.zones) || {};
    if (this.zones.dataset.zones !== zones.map(({ id, kind }) => `${id} ${kind}`).join()) {
      this.zones.replaceChildren(...zones.map(({ id, kind }) => h("li", { "data-zone": id, "data-kind": kind }, id)));
      this.zones.dataset.zones = zones.map(({ id, kind }) => `${id} ${kind}`).join();
    }
    for (const chip of this.zones.children) {
      const { occupied = false, count = 0 } = told[chip.dataset.zone] ?? {};
      set(chip, "data-occupied", occupied);
      const inside = occupied ? people(count) : "empty";
      write(chip, this.#looking ? `${chip.dataset.zone}: ${inside}` : chip.dataset.zone);
    }
  }

  #showNumbers() {
    const { live } = this.page;
    const pace = live.pace(this.id);
    const stats = live.stats?.cameras[this.id];
    const now = this.#looking && fresh(live, this.id);
    write(this.numbers.Rate, number(now ? (pace.fps ?? stats?.fps) : null, 1, " fps"));
    write(this.numbers.Latency, number(now ? pace.latency : null, 0, " ms"));
    write(this.numbers.Dropped, number(stats?.dropped));
    write(this.leftOut, leftOut(stats?.left_out));
  }

  async #pause() {
    write(this.refusal, "");
    try {
      await api.settings(this.id, { paused: !this.#told?.paused });
    } catch (refused) {
      write(this.refusal, `${sentence(refused.message)}.`);
    }
  }
}
