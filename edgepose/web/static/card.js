/** The card of one camera in the overview. */

import * as api from "./api.js";
import { isFresh, isWatched, statusText } from "./camera_status.js";
import { el, set, write } from "./dom.js";
import { nameOf } from "./friendly_names.js";
import { CameraCanvas } from "./camera_canvas.js";
import { leftOut, number, people, person, sentence } from "./format.js";

const MOODS = { online: "good", starting: "", ended: "", offline: "bad" };

export class Card {
  /** `page` holds `live` and `config`. */
  constructor(page, camera) {
    Object.assign(this, { page, id: camera });
    this.#build();
    this.screen = new CameraCanvas(this.canvas, page.live, camera, () => this.#look());
    this.show();
  }

  close() {
    this.screen.close();
  }

  #build() {
    const title = `camera-${this.id}`;
    this.state = el("span", { class: "pill" });
    this.count = el("span", { class: "count" });
    this.canvas = el("canvas", { role: "img", "aria-label": `Skeletons seen by ${this.id}, live` });
    this.reason = el("p", { class: "reason", hidden: true });
    this.badge = el("p", { class: "badge", hidden: !this.page.live.hello?.picture }, "Camera picture");
    this.seen = el("ul", { class: "visually-hidden", "aria-label": `People in view of ${this.id}` });
    this.zones = el("ul", { class: "chips", "aria-label": "Zones" });
    this.numbers = {};
    this.leftOut = el("p", { class: "left-out" });
    this.pause = el("button", { type: "button", class: "quiet", onclick: () => this.#pause() });
    this.refusal = el("p", { class: "problem", role: "alert" });
    this.element = el(
      "article",
      { class: "card", "aria-labelledby": title },
      el(
        "header", {},
        this.title = el("h2", { id: title }, this.id), this.state, this.count,
        el(
          "div", { class: "row" }, this.pause,
          el("a", { class: "button", href: `#/edit/${encodeURIComponent(this.id)}` }, "Edit"),
        ),
      ),
      el("div", { class: "stage" }, this.canvas, this.reason),
      this.badge,
      this.seen,
      this.zones,
      el("dl", { class: "numbers" }, this.#number("Rate"), this.#number("Latency"), this.#number("Dropped")),
      this.leftOut,
      this.refusal,
    );
  }

  #number(name) {
    this.numbers[name] = el("dd", {}, "–");
    return el("div", {}, el("dt", {}, name), this.numbers[name]);
  }

  get #told() {
    return this.page.live.states.get(this.id) ?? null;
  }

  get #isWatched() {
    return isWatched(this.page.live, this.id);
  }

  get #config() {
    return this.page.config?.cameras.find(({ id }) => id === this.id) ?? null;
  }

  #look() {
    const { pose } = this.page.config ?? {};
    const minScore = this.#told?.settings?.min_keypoint_score ?? pose?.min_keypoint_score ?? 0.3;
    const occupied = Object.entries(this.#told?.zones ?? {}).filter(([, zone]) => zone.occupied);
    return {
      zones: this.#config?.zones ?? [], lines: this.#config?.lines ?? [], occupied: new Set(occupied.map(([id]) => id)), minScore,
      ...(this.#isWatched ? {} : { message: null }), // the last poses are outdated
    };
  }

  /** Update everything; called a few times a second. */
  show() {
    const { live } = this.page;
    write(this.title, nameOf(this.#config ?? { id: this.id }));
    this.#showState(live.status?.cameras[this.id]?.state ?? "starting");
    this.#showReason();
    if (!this.#isWatched) this.screen.refresh();
    this.#showPeople();
    this.#showZones();
    this.#showNumbers();
    set(this.badge, "class", this.#isWatched && live.pictures.has(this.id) ? "badge" : "badge absent");
  }

  #showState(state) {
    const paused = this.#told?.paused ?? false;
    const { fall = false, long_lie: longLie = false } = this.#told ?? {};
    const alarm = fall ? "fall" : longLie ? "long lie" : "";
    write(this.state, alarm || (paused ? "paused" : state));
    this.state.dataset.mood = alarm ? "bad" : paused ? "warn" : (MOODS[state] ?? "");
    set(this.element, "data-fall", Boolean(alarm));
    const count = this.#told?.count ?? 0;
    const there = count ? people(count) : "nobody";
    write(this.count, this.#isWatched ? there : "");
    write(this.pause, paused ? "Resume" : "Pause");
    set(this.pause, "aria-label", `${paused ? "Resume" : "Pause"}: ${this.id}`);
  }

  #showReason() {
    const text = statusText(this.page.live, this.id);
    write(this.reason, text);
    this.reason.hidden = !text;
  }

  /** The content of the canvas as text for screen readers. */
  #showPeople() {
    const poses = this.#isWatched ? this.page.live.newest(this.id)?.poses : null;
    const lines = (poses ?? []).map(person);
    const items = this.seen.children;
    while (items.length > lines.length) items[items.length - 1].remove();
    while (items.length < lines.length) this.seen.append(el("li"));
    lines.forEach((line, index) => write(items[index], line));
  }

  #showZones() {
    const zones = this.#config?.zones ?? [];
    const told = (this.#isWatched && this.#told?.zones) || {};
    const known = JSON.stringify(zones.map(({ id, name, kind }) => [id, name, kind]));
    if (this.zones.dataset.zones !== known) {
      this.zones.replaceChildren(...zones.map((zone) => el("li", { "data-zone": zone.id, "data-kind": zone.kind })));
      this.zones.dataset.zones = known;
    }
    for (const [index, chip] of [...this.zones.children].entries()) {
      const { occupied = false, count = 0 } = told[chip.dataset.zone] ?? {};
      set(chip, "data-occupied", occupied);
      const inside = occupied ? people(count) : "empty";
      const name = nameOf(zones[index]);
      write(chip, this.#isWatched ? `${name}: ${inside}` : name);
    }
  }

  #showNumbers() {
    const { live } = this.page;
    const frameRate = live.frameRate(this.id);
    const stats = live.stats?.cameras[this.id];
    const now = this.#isWatched && isFresh(live, this.id);
    write(this.numbers.Rate, number(now ? (frameRate.fps ?? stats?.fps) : null, 1, " fps"));
    write(this.numbers.Latency, number(now ? frameRate.latency : null, 0, " ms"));
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
