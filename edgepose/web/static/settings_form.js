/** The form beside the drawing area: each setting with its name, hint and problems. */

import { changed, FLOOR, REGION, renamed, sided, turned } from "./camera_draft.js";
import { places } from "./floor_grid.js";
import { el, set, write } from "./dom.js";
import { isWhole, WHOLE } from "./shapes.js";

const TURNS = [0, 90, 180, 270];

const THRESHOLDS = {
  min_pose_score: ["People", "Minimum score to start tracking a person."],
  min_keypoint_score: [
    "Keypoints", "Minimum score of keypoints for posture, zones and events.",
  ],
};

/**
 * Fires `take` {value, tag} with a changed draft, and requests `select` {key}, `remove` {key} and
 * `draw` {kind}.
 */
export class SettingsForm extends EventTarget {
  #value = null;
  #rows = new Map(); // shape's key -> its row
  #problems = new Map(); // "key field" -> element of its message, and the refused value

  constructor() {
    super();
    this.element = el(
      "form",
      { class: "panel settings", "aria-label": "Settings", onsubmit: (event) => event.preventDefault() },
      this.#picture(), this.#zones(), this.#lines(), this.#masks(), this.#region(), this.#floor(),
      this.#thresholds(),
    );
  }

  /** Show a draft, the selected shape and the problems: `{key, field, text}`. */
  show(value, selected, problems) {
    this.#value = value;
    for (const radio of this.turns) radio.checked = Number(radio.value) === value.rotate;
    this.mirror.checked = value.mirror;
    if (this.name.value !== value.name) this.name.value = value.name;
    this.#list(this.zones, value.zones, (zone) => this.#zoneRow(zone));
    this.#list(this.masks, value.masks, (mask) => this.#maskRow(mask));
    this.#list(this.lines, value.lines, (line) => this.#lineRow(line));
    value.zones.forEach((zone) => this.#rows.get(zone.key).show(zone));
    value.lines.forEach((line) => this.#rows.get(line.key).show(line));
    value.masks.forEach((mask, index) => this.#rows.get(mask.key).show(mask, index));
    for (const [key, { row }] of this.#rows) set(row, "data-selected", key === selected);
    this.#showRegion(value.roi);
    this.#showFloor(value.floor);
    for (const [name, slider] of Object.entries(this.sliders)) slider.show(value.pose[name]);
    this.#showProblems(problems);
  }

  /** Focus the first refused value; return whether there is one. */
  focusProblem() {
    const wrong = this.element.querySelector("[data-wrong]");
    wrong?.focus();
    return wrong !== null;
  }

  /** Focus a zone's name. */
  focusName(key) {
    const { input } = this.#rows.get(key) ?? {};
    input?.focus();
    input?.select();
  }

  #take(value, tag = null) {
    this.dispatchEvent(new CustomEvent("take", { detail: { value, tag } }));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // Parts of the form

  #picture() {
    this.turns = TURNS.map((degrees) =>
      el("input", {
        type: "radio", name: "rotate", value: degrees, id: `rotate-${degrees}`,
        onchange: () => this.#turn({ rotate: degrees, mirror: this.#value.mirror }),
      }),
    );
    this.mirror = el("input", {
      type: "checkbox", id: "mirror",
      onchange: () => this.#turn({ rotate: this.#value.rotate, mirror: this.mirror.checked }),
    });
    const choices = this.turns.map((radio, index) =>
      el("span", {}, radio, el("label", { for: radio.id }, `${TURNS[index]}°`)),
    );
    this.name = el("input", {
      type: "text", id: "camera-name", maxlength: 64, autocomplete: "off", "aria-describedby": "camera-name-hint",
      oninput: () => this.#take({ ...this.#value, name: this.name.value }, "camera name"),
    });
    return el(
      "fieldset", {},
      el("legend", {}, "Camera"),
      el("div", { class: "line" }, el("label", { for: "camera-name" }, "Camera name"), this.name),
      el("p", { class: "hint", id: "camera-name-hint" }, "Any letters. Empty: made from the id."),
      this.#problem(null, "name", this.name),
      el("div", { class: "choice", role: "radiogroup", "aria-label": "Rotate clockwise" }, ...choices),
      this.#problem(null, "rotate", this.turns[0]),
      el("label", { class: "check" }, this.mirror, "Mirror: swap left and right"),
      this.#problem(null, "mirror", this.mirror),
    );
  }

  #turn(view) {
    this.#take(turned(this.#value, view));
  }

  #zones() {
    this.zones = el("ul", { class: "rows" });
    return el(
      "fieldset", {},
      el("legend", {}, "Zones"),
      el("p", { class: "hint" }, "Areas on the floor. A person is where the feet are."),
      this.zones,
      this.#button("Draw a zone", () => this.#tell("draw", { kind: "zone" })),
    );
  }

  /** A field for the display name of a zone or line. */
  #nameField(list, key) {
    const name = el("input", {
      type: "text", id: `name-${key}`, maxlength: 64, autocomplete: "off",
      oninput: () => this.#take(renamed(this.#value, list, key, name.value), `name ${key}`),
      onfocus: () => this.#tell("select", { key }),
    });
    return name;
  }

  #zoneRow({ key }) {
    const name = this.#nameField("zones", key);
    const rest = el("input", {
      type: "checkbox",
      onchange: () =>
        this.#take(changed(this.#value, key, { kind: rest.checked ? "rest" : "area" })),
    });
    const away = this.#remove(key);
    const id = el("p", { class: "hint" });
    const row = el(
      "li", {},
      el("div", { class: "line" }, el("label", { for: name.id }, "Name"), name, away),
      id,
      this.#problem(key, "id", name),
      el("label", { class: "check" }, rest, "Resting place: lying here is not a fall"),
      this.#problem(key, "kind", rest),
      this.#problem(key, "polygon", name),
    );
    const show = (zone) => {
      if (name.value !== zone.label) name.value = zone.label;
      write(id, `In messages: ${zone.id}`);
      rest.checked = zone.kind === "rest";
      set(away, "aria-label", `Delete zone ${zone.label}`);
    };
    return { row, show, input: name };
  }

  #lines() {
    this.lines = el("ul", { class: "rows" });
    return el(
      "fieldset", {},
      el("legend", {}, "Lines"),
      el("p", { class: "hint" }, "People who cross a line on the floor are counted in each direction."),
      this.lines,
      this.#button("Draw a line", () => this.#tell("draw", { kind: "line" })),
    );
  }

  #lineRow({ key }) {
    const name = this.#nameField("lines", key);
    const away = this.#remove(key);
    const id = el("p", { class: "hint" });
    const sides = ["Left side", "Right side"].map((title, side) => {
      const input = el("input", {
        type: "text", id: `side-${side}-${key}`, maxlength: 64, autocomplete: "off",
        oninput: () => this.#take(sided(this.#value, key, words()), `side ${side} ${key}`),
        onfocus: () => this.#tell("select", { key }),
      });
      return { input, row: el("div", { class: "line" }, el("label", { for: input.id }, title), input) };
    });
    const words = () => sides.map(({ input }) => input.value);
    const row = el(
      "li", {},
      el("div", { class: "line" }, el("label", { for: name.id }, "Name"), name, away),
      id,
      this.#problem(key, "id", name),
      ...sides.map((side) => side.row),
      this.#problem(key, "sides", sides[0].input),
      this.#problem(key, "polygon", name),
    );
    const show = (line) => {
      if (name.value !== line.label) name.value = line.label;
      write(id, `In messages: ${line.id}, from ${line.sides.join(" to ")}`);
      sides.forEach(({ input }, side) => {
        if (input.value !== line.words[side]) input.value = line.words[side];
      });
      set(away, "aria-label", `Delete line ${line.label}`);
    };
    return { row, show, input: name };
  }

  #floor() {
    const metres = (title, act) => {
      const input = el("input", {
        type: "number", min: 0, max: 1000, step: "any", inputmode: "decimal", "aria-label": title,
        oninput: () => input.value !== "" && act(Number(input.value)),
      });
      return input;
    };
    this.size = ["First to second point, metres", "Second to third point, metres"].map((title, side) =>
      metres(title, (value) => this.#floorTo({ size: this.#value.floor.size.with(side, value) }, `size ${side}`)));
    this.places = [0, 1, 2, 3].map((index) =>
      ["x", "y"].map((name, axis) =>
        metres(`Point ${index + 1}, ${name} in metres`, (value) => {
          const all = places(this.#value.floor);
          this.#floorTo({ metres: all.with(index, all[index].with(axis, value)) }, `place ${index} ${axis}`);
        })));
    for (const input of this.places.flat()) set(input, "min", -1000);
    this.skewed = el("input", {
      type: "checkbox",
      onchange: () => this.#floorTo({ metres: this.skewed.checked ? places(this.#value.floor) : [] }),
    });
    this.mark = this.#button("Mark the floor", () => this.#tell("draw", { kind: FLOOR }));
    this.unmark = this.#button("Delete", () => this.#tell("remove", { key: FLOOR }), "quiet");
    set(this.unmark, "aria-label", "Delete the floor");
    this.sizes = el("div", { class: "metres" }, ...this.size.map((input, side) =>
      el("label", {}, ["Points 1 to 2", "Points 2 to 3"][side], input, "m")));
    this.free = el("div", { class: "metres" }, ...this.places.map((pair, index) =>
      el("div", {}, `Point ${index + 1}`, ...pair, "m")));
    this.known = el(
      "div", {},
      this.sizes, this.free,
      el("label", { class: "check" }, this.skewed, "The points are not the corners of a rectangle"),
    );
    return el(
      "fieldset", {},
      el("legend", {}, "Floor in metres"),
      el("p", { class: "hint" },
        "Mark four points on the floor whose distances you know, such as a carpet's corners, one after the other around it. Positions and speeds are then in metres."),
      this.known,
      ...["points", "size", "metres"].map((field) => this.#problem(null, `floor ${field}`, this.mark)),
      el("div", { class: "row" }, this.mark, this.unmark),
    );
  }

  #floorTo(fields, tag = null) {
    this.#take({ ...this.#value, floor: { ...this.#value.floor, ...fields } }, tag);
  }

  #showFloor(floor) {
    const marked = floor.points.length > 0;
    const free = floor.metres.length > 0;
    this.known.hidden = !marked;
    this.sizes.hidden = free;
    this.free.hidden = !free;
    this.skewed.checked = free;
    this.unmark.hidden = !marked;
    write(this.mark, marked ? "Mark it again" : "Mark the floor");
    const fill = (input, value) => {
      if (input.value === "" || Number(input.value) !== value) input.value = value;
    };
    this.size.forEach((input, side) => document.activeElement === input || fill(input, floor.size[side]));
    const all = places(floor);
    this.places.forEach((pair, index) =>
      pair.forEach((input, axis) => document.activeElement === input || fill(input, all[index][axis])));
  }

  #masks() {
    this.masks = el("ul", { class: "rows" });
    return el(
      "fieldset", {},
      el("legend", {}, "Privacy masks"),
      el("p", { class: "hint" }, "Blacked out before the picture is processed."),
      this.masks,
      this.#button("Draw a mask", () => this.#tell("draw", { kind: "mask" })),
    );
  }

  #maskRow({ key }) {
    const name = this.#button("", () => this.#tell("select", { key, focus: true }), "link");
    const away = this.#remove(key);
    const row = el(
      "li", {}, el("div", { class: "line" }, name, away), this.#problem(key, "polygon", name),
    );
    const show = (_mask, index) => {
      write(name, `Mask ${index + 1}`);
      set(away, "aria-label", `Delete mask ${index + 1}`);
    };
    return { row, show };
  }

  #region() {
    this.region = el("p", { class: "hint" });
    this.part = this.#button("Select a region", () => this.#tell("draw", { kind: REGION }));
    this.whole = this.#button("Whole picture", () => this.#take({ ...this.#value, roi: WHOLE }));
    return el(
      "fieldset", {},
      el("legend", {}, "Region"),
      this.region,
      this.#problem(null, "roi", this.part),
      el("div", { class: "row" }, this.part, this.whole),
    );
  }

  #showRegion(roi) {
    const [x, y, width, height] = roi.map((part) => Math.round(part * 100));
    const words = isWhole(roi)
      ? "The whole picture is processed."
      : `Only ${width} % × ${height} % from ${x} %, ${y} % is processed.`;
    write(this.region, words);
    write(this.part, isWhole(roi) ? "Select a region" : "Edit the region");
    this.whole.disabled = isWhole(roi);
  }

  #thresholds() {
    this.sliders = {};
    const fields = Object.entries(THRESHOLDS).map(([name, words]) => this.#slider(name, ...words));
    return el(
      "fieldset", {},
      el("legend", {}, "Thresholds"),
      el("p", { class: "hint" }, "Applied to this camera at once, and to all cameras when saved."),
      ...fields,
    );
  }

  #slider(name, title, hint) {
    const shown = el("span", { class: "value", "aria-hidden": "true" }); // the slider has the value
    const input = el("input", {
      type: "range", id: name, min: 0, max: 1, step: 0.01, "aria-describedby": `${name}-hint`,
      oninput: () => this.#pose(name, Number(input.value), `slide ${name}`),
    });
    this.sliders[name] = {
      show: (value) => {
        if (Number(input.value) !== value) input.value = value;
        write(shown, value.toFixed(2));
      },
    };
    return el(
      "div", { class: "slider" },
      el("div", { class: "line" }, el("label", { for: name }, title), shown),
      input,
      el("p", { class: "hint", id: `${name}-hint` }, hint),
      this.#problem(null, name, input),
    );
  }

  #pose(name, value, tag) {
    this.#take({ ...this.#value, pose: { ...this.#value.pose, [name]: value } }, tag);
  }

  #button(text, onclick, kind = "") {
    return el("button", { type: "button", class: kind, onclick }, text);
  }

  #remove(key) {
    return this.#button("Delete", () => this.#tell("remove", { key }), "quiet");
  }

  /** Add and remove rows so that each shape has one; existing rows keep the focus. */
  #list(list, shapes, make) {
    const keys = new Set(shapes.map((shape) => shape.key));
    for (const shape of shapes) {
      if (!this.#rows.has(shape.key)) this.#rows.set(shape.key, { ...make(shape), list });
    }
    for (const [key, { row, list: home }] of this.#rows) {
      if (home !== list || keys.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
      for (const field of ["id", "kind", "sides", "polygon"]) this.#problems.delete(`${key} ${field}`);
    }
    shapes.forEach(({ key }, index) => {
      const { row } = this.#rows.get(key);
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
    });
  }

  // Problems

  /** Create the element that shows the problem of a field. */
  #problem(key, field, input) {
    const id = `problem-${key ?? "camera"}-${field}`;
    const place = el("p", { class: "problem", id, hidden: true });
    const described = input.getAttribute("aria-describedby");
    set(input, "aria-describedby", described ? `${described} ${id}` : id);
    this.#problems.set(`${key} ${field}`, { place, input });
    return place;
  }

  #showProblems(problems) {
    const texts = new Map(problems.map(({ key, field, text }) => [`${key} ${field}`, text]));
    const wrong = new Set();
    for (const [name, { place, input }] of this.#problems) {
      const text = texts.get(name) ?? "";
      write(place, text);
      place.hidden = !text;
      if (text) wrong.add(input);
    }
    for (const { input } of this.#problems.values()) {
      set(input, "data-wrong", wrong.has(input));
      if (input.matches("input:not([type=radio])")) {
        set(input, "aria-invalid", wrong.has(input) ? "true" : null);
      }
    }
  }
}
