/**
 * The drawing area: shapes over the live view, edited by mouse, touch or keyboard.
 *
 * It does not own the shapes: `show` sets them, and each change is requested by an event:
 * `select` {key}, `change` {key, polygon, tag}, `remove` {key}, `drawn` {polygon, byHand},
 * `cancel`. Each action is announced to screen readers.
 */

import { say, svg, set, write } from "./dom.js";
import { floorGrid } from "./floor_grid.js";
import {
  besides, inserted, isOpen, least, middle, most, moved, rectangle, shifted, spoken, stretched, tidy, without,
} from "./shapes.js";

const STEP = 0.01; // fraction of the frame per press of an arrow key
const LONG_STEP = 0.05; // the same with Shift
const DRAG_PX = 8; // a shorter movement is a click
const NEAR_PX = 12; // a click within this distance selects a corner
const ASIDE_PX = 16; // from a line to the words at its sides
const EDGE_PX = 8; // a point within this distance of the frame's edge snaps to it

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class ShapeEditor extends EventTarget {
  #host;
  #svg;
  #layers;
  #parts = new Map(); // elements by name, reused so that they keep the focus
  #shapes = [];
  #selected = null;
  #drawing = null; // {corners, cursor, start, at}
  #drag = null; // {key, tag, act}
  #drags = 0;

  constructor(host) {
    super();
    this.#host = host;
    this.#layers = Object.fromEntries(
      ["shade", "grid", "shapes", "names", "handles", "pen"].map((name) => [name, svg("g")]),
    );
    this.#svg = svg(
      "svg",
      {
        class: "drawing", role: "application", "aria-label": "Drawing area",
        "aria-describedby": "drawing-help", tabindex: -1,
        onpointerdown: (event) => this.#down(event),
        onpointermove: (event) => this.#move(event),
        onpointerup: (event) => this.#up(event),
        onpointercancel: () => this.#let(),
        onkeydown: (event) => this.#key(event),
        onfocusin: ({ target }) => this.#focused(target),
      },
      hatching(),
      ...Object.values(this.#layers),
    );
    host.append(this.#svg);
    new ResizeObserver(() => this.#draw()).observe(host);
  }

  /** Show these shapes; one of them may be selected. */
  show(shapes, selected) {
    this.#shapes = shapes;
    this.#selected = selected;
    this.#draw();
  }

  get drawing() {
    return this.#drawing !== null;
  }

  /** Whether the new shape has enough corners. */
  get complete() {
    return this.#drawing !== null && this.#drawing.corners.length >= least(this.#drawing.kind);
  }

  /** Begin a new shape; arrow keys move a crosshair, which starts in the middle. */
  begin(what) {
    this.#drawing = { kind: what, corners: [], cursor: [0.5, 0.5], start: null, at: null };
    set(this.#svg, "tabindex", 0);
    this.#draw();
    this.#svg.focus({ preventScroll: true });
    this.#host.scrollIntoView({ block: "nearest" });
    say(`Drawing a ${what}. Arrow keys move the cross, Enter sets a corner.`);
  }

  /** Finish the new shape if it is complete; `byHand`: with a pointer, not the keyboard. */
  finish(byHand = false) {
    if (!this.complete) return;
    const polygon = this.#drawing.corners;
    this.stop();
    this.#tell("drawn", { polygon, byHand });
  }

  /** Stop drawing. */
  stop() {
    this.#drawing = null;
    set(this.#svg, "tabindex", -1);
    this.#draw();
  }

  /** Focus a shape. */
  focus(key) {
    this.#parts.get(`shape ${key}`)?.focus({ preventScroll: true });
    this.#host.scrollIntoView({ block: "nearest" });
  }

  #tell(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #shape(key) {
    return this.#shapes.find((shape) => shape.key === key);
  }

  #change(key, polygon, tag) {
    this.#tell("change", { key, polygon, tag });
  }

  // Positions

  get #size() {
    return [this.#host.clientWidth || 1, this.#host.clientHeight || 1];
  }

  #at(event) {
    const box = this.#svg.getBoundingClientRect();
    const point = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return tidy(point.map((part, axis) => this.#snapped(part, EDGE_PX / this.#size[axis])));
  }

  #snapped(part, near) {
    if (part < near) return 0;
    return part > 1 - near ? 1 : part;
  }

  #px(point) {
    return point.map((part, axis) => part * this.#size[axis]);
  }

  #apart(a, b) {
    const [[x0, y0], [x1, y1]] = [this.#px(a), this.#px(b)];
    return Math.hypot(x1 - x0, y1 - y0);
  }

  // Mouse and touch

  #down(event) {
    if (event.button !== 0) return;
    const at = this.#at(event);
    if (this.#drawing) {
      Object.assign(this.#drawing, { start: at, at });
    } else {
      this.#grab(event.target.dataset, at);
    }
    if (this.#drawing || this.#drag) {
      // The drag continues when the pointer leaves the picture.
      this.#svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    }
  }

  #grab({ part, key, index }, at) {
    if (!part) {
      this.#tell("select", { key: null });
      return;
    }
    const tag = `drag ${(this.#drags += 1)}`;
    const { polygon, kind } = this.#shape(key);
    const place = Number(index);
    const acts = {
      corner: (to) => this.#cornerTo(kind, polygon, place, to),
      middle: (to) => inserted(polygon, place + 1, to),
      shape: (to) => shifted(polygon, to[0] - at[0], to[1] - at[1]),
    };
    this.#drag = { key, tag, part, from: at, act: acts[part], moving: false };
    this.#tell("select", { key });
    const name = part === "shape" ? `shape ${key}` : `${part} ${index} ${key}`;
    this.#parts.get(name)?.focus({ preventScroll: true });
  }

  #cornerTo(kind, polygon, index, to) {
    return kind === "region" ? stretched(polygon, index, to, STEP) : moved(polygon, index, to);
  }

  #move(event) {
    const at = this.#at(event);
    if (this.#drawing) {
      this.#drawing.at = at;
      this.#draw();
    } else if (this.#drag) {
      this.#drag.moving ||= this.#apart(at, this.#drag.from) > DRAG_PX / 4;
      if (this.#drag.moving) this.#change(this.#drag.key, this.#drag.act(at), this.#drag.tag);
    }
  }

  #up(event) {
    if (this.#drag) this.#drop();
    const { start } = this.#drawing ?? {};
    if (!start) return;
    const at = this.#at(event);
    this.#drawing.start = null;
    if (!this.#drawing.corners.length && this.#apart(start, at) > DRAG_PX) {
      this.#drawing.corners = isOpen(this.#drawing.kind) ? [tidy(start), tidy(at)] : rectangle(start, at);
      this.finish(true);
    } else {
      this.#add(at, true);
    }
  }

  /** A click on the middle of an edge adds a corner there, without a drag. */
  #drop() {
    const { key, tag, part, from, act, moving } = this.#drag;
    this.#drag = null;
    if (part === "middle" && !moving) this.#change(key, act(from), tag);
  }

  #let() {
    this.#drag = null;
    if (this.#drawing) this.#drawing.start = null;
  }

  /** Set a corner; on the first or the last one, finish the shape. */
  #add(at, byHand) {
    const { corners, kind } = this.#drawing;
    const again = [corners[0], corners.at(-1)].some(
      (corner) => corner && this.#apart(corner, at) < NEAR_PX,
    );
    if (again) {
      this.finish(byHand);
      return;
    }
    this.#drawing.corners = [...corners, tidy(at)];
    this.#drawing.cursor = at;
    this.#draw();
    this.#tell("corner");
    const count = this.#drawing.corners.length;
    if (count === most(kind)) {
      this.finish(byHand);
      return;
    }
    const more = count < least(kind) ? "" : ". Enter again here, or on the first corner, finishes";
    say(`Corner ${count}: ${spoken(at)}${more}`);
  }

  // Keyboard

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const done = this.#drawing ? this.#keyWhileDrawing(event) : this.#keyOnPart(event);
    if (!done) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #keyWhileDrawing({ key, shiftKey }) {
    if (ARROWS[key]) {
      this.#drawing.cursor = nudged(this.#drawing.cursor, key, shiftKey);
      this.#drawing.at = null;
      this.#draw();
      say(spoken(this.#drawing.cursor));
    } else if (key === "Enter" || key === " ") {
      this.#add(this.#drawing.cursor, false);
    } else if (key === "Backspace" || key === "Delete") {
      this.#drawing.corners = this.#drawing.corners.slice(0, -1);
      this.#draw();
      this.#tell("corner");
      say(`Last corner removed, ${this.#drawing.corners.length} left`);
    } else if (key === "Escape") {
      this.stop();
      this.#tell("cancel");
    } else {
      return false;
    }
    return true;
  }

  #keyOnPart({ key: pressed, shiftKey, target }) {
    const { part, key, index } = target.dataset;
    const shape = part && this.#shape(key);
    if (!shape) return false;
    const keys = { shape: this.#keyOnShape, corner: this.#keyOnCorner, middle: this.#keyOnMiddle };
    return keys[part].call(this, shape, pressed, shiftKey, Number(index));
  }

  #keyOnShape({ key, polygon, title }, pressed, shiftKey) {
    if (ARROWS[pressed]) {
      const by = nudge(pressed, shiftKey);
      const there = shifted(polygon, ...by);
      this.#change(key, there, `nudge ${key}`);
      say(`${title}: first corner ${spoken(there[0])}`);
    } else if (pressed === "Delete" || pressed === "Backspace") {
      this.#tell("remove", { key });
    } else if (pressed === "Enter" || pressed === " ") {
      this.#parts.get(`corner 0 ${key}`)?.focus({ preventScroll: true });
    } else if (pressed === "Escape") {
      this.#tell("select", { key: null });
    } else {
      return false;
    }
    return true;
  }

  #keyOnCorner({ key, polygon, kind }, pressed, shiftKey, index) {
    if (ARROWS[pressed]) {
      const there = this.#cornerTo(kind, polygon, index, nudged(polygon[index], pressed, shiftKey));
      this.#change(key, there, `nudge ${index} ${key}`);
      say(spoken(there[index]));
    } else if (pressed === "Delete" || pressed === "Backspace") {
      this.#takeOut(key, polygon, kind, index);
    } else if (pressed === "Escape") {
      this.focus(key);
    } else {
      return false;
    }
    return true;
  }

  #takeOut(key, polygon, kind, index) {
    if (kind === "region" || kind === "floor") {
      say("It keeps its four corners");
    } else if (polygon.length === least(kind)) {
      say(`It needs ${least(kind)} corners. Delete on the shape removes all of it`);
    } else {
      this.#change(key, without(polygon, index), null);
      this.#parts.get(`corner ${Math.max(0, index - 1)} ${key}`)?.focus({ preventScroll: true });
      say(`Corner removed, ${polygon.length - 1} left`);
    }
  }

  #keyOnMiddle({ key, polygon }, pressed, _shift, index) {
    if (pressed !== "Enter" && pressed !== " ") return false;
    this.#change(key, inserted(polygon, index + 1, middle(polygon, index)), null);
    this.#parts.get(`corner ${index + 1} ${key}`)?.focus({ preventScroll: true });
    say(`Corner added, ${polygon.length + 1} now`);
    return true;
  }

  #focused({ dataset: { part, key } }) {
    if (part && key !== this.#selected) this.#tell("select", { key });
  }

  // Drawing

  #draw() {
    const [width, height] = this.#size;
    set(this.#svg, "viewBox", `0 0 ${width} ${height}`);
    set(this.#svg, "class", this.#drawing ? "drawing busy" : "drawing");
    const used = new Set();
    const draw = (layer, name, tag, attributes, text) => {
      used.add(name);
      this.#part(layer, name, tag, attributes, text);
    };
    for (const shape of this.#shapes) this.#drawShape(shape, draw);
    const chosen = this.#drawing ? null : this.#shape(this.#selected);
    if (chosen) this.#drawHandles(chosen, draw);
    if (this.#drawing) this.#drawPen(draw);
    for (const [name, element] of this.#parts) {
      if (used.has(name)) continue;
      element.remove();
      this.#parts.delete(name);
    }
  }

  #part(layer, name, tag, attributes, text) {
    let element = this.#parts.get(name);
    if (!element) {
      element = svg(tag);
      this.#parts.set(name, element);
      this.#layers[layer].append(element);
    }
    for (const [key, value] of Object.entries(attributes)) set(element, key, value);
    if (text !== undefined) write(element, text);
  }

  #drawShape(shape, draw) {
    const { key, kind, title, polygon } = shape;
    const selected = key === this.#selected;
    if (kind === "floor") this.#drawGrid(shape, draw);
    if (kind === "line") this.#drawSides(shape, draw);
    if (kind === "region") {
      const [width, height] = this.#size;
      const around = `M0 0H${width}V${height}H0Z${this.#path(polygon)}`;
      draw("shade", `shade ${key}`, "path", { d: around, class: "shade", "fill-rule": "evenodd" });
    }
    draw("shapes", `shape ${key}`, "path", {
      d: this.#path(polygon, isOpen(kind)),
      class: `shape ${look(kind)}${selected ? " selected" : ""}`,
      role: "button",
      tabindex: this.#drawing ? -1 : 0,
      "aria-label": `${title}, ${polygon.length} corners`,
      "aria-pressed": selected ? "true" : "false",
      "data-part": "shape",
      "data-key": key,
    });
    const [x, y] = [0, 1].map((axis) => polygon.map((corner) => this.#px(corner)[axis]));
    const name = { x: (Math.min(...x) + Math.max(...x)) / 2, y: Math.max(...y) - 8 };
    const words = shape.word ?? (kind === "mask" ? title : "");
    draw("names", `name ${key}`, "text", { ...name, class: `name ${look(kind)}`, "aria-hidden": "true" }, words);
  }

  #path(polygon, open = false) {
    const corners = polygon.map((corner) => this.#px(corner).map((px) => px.toFixed(1)).join(" "));
    return `M${corners.join("L")}${open ? "" : "Z"}`;
  }

  /** Draw the metres of a floor. */
  #drawGrid({ floor }, draw) {
    const grid = floorGrid(floor);
    const d = grid?.lines.map((line) => this.#path(line, true)).join("") ?? "";
    draw("grid", "grid", "path", { d, class: "grid", "aria-hidden": "true" });
    const words = grid ? `grid of ${grid.step} m` : "";
    const [x, y] = this.#px(floor.points[0]);
    draw("names", "grid step", "text", { x, y: y - 8, class: "name floor", "aria-hidden": "true" }, words);
  }

  /** Draw a wide invisible line to click on, and the words at both sides. */
  #drawSides({ key, polygon, sides }, draw) {
    draw("shapes", `hit ${key}`, "path", {
      d: this.#path(polygon, true), class: "hit", "aria-hidden": "true", "data-part": "shape", "data-key": key,
    });
    const [width, height] = this.#size;
    besides(polygon, width / height, ASIDE_PX / height).forEach((point, side) => {
      const [x, y] = this.#px(point);
      draw("names", `side ${side} ${key}`, "text", { x, y: y + 4, class: "name side", "aria-hidden": "true" }, sides[side]);
    });
  }

  #drawHandles({ key, kind, title, polygon }, draw) {
    polygon.forEach((corner, index) => {
      if (kind === "region" || kind === "floor" || (isOpen(kind) && index === polygon.length - 1)) return;
      this.#handle(draw, "middle", key, index, middle(polygon, index), {
        "aria-label": `${title}, add a corner after corner ${index + 1}`,
      });
    });
    polygon.forEach((corner, index) => {
      this.#handle(draw, "corner", key, index, corner, {
        "aria-label": `${title}, corner ${index + 1} of ${polygon.length}, ${spoken(corner)}`,
      });
    });
  }

  #handle(draw, part, key, index, point, words) {
    const [cx, cy] = this.#px(point);
    draw("handles", `dot ${part} ${index} ${key}`, "circle", {
      cx, cy, r: part === "corner" ? 6 : 4, class: `dot ${part}`, "aria-hidden": "true",
    });
    draw("handles", `${part} ${index} ${key}`, "circle", {
      cx, cy, r: part === "corner" ? 16 : 12, class: `handle ${part}`,
      role: "button", tabindex: 0, "data-part": part, "data-key": key, "data-index": index, ...words,
    });
  }

  #drawPen(draw) {
    const { corners, cursor, kind, start, at } = this.#drawing;
    const end = at ?? cursor;
    const box = start && !corners.length && this.#apart(start, end) > DRAG_PX;
    const line = box && !isOpen(kind) ? [...rectangle(start, end), tidy(start)] : [...(box ? [start] : corners), end];
    const points = line.map((point) => this.#px(point).join(",")).join(" ");
    draw("pen", "line", "polyline", { points, class: "line", "aria-hidden": "true" });
    corners.forEach((corner, index) => {
      const [cx, cy] = this.#px(corner);
      draw("pen", `pen ${index}`, "circle", { cx, cy, r: 5, class: "dot corner", "aria-hidden": "true" });
    });
    const [x, y] = this.#px(end);
    const d = `M${x - 12} ${y}H${x + 12}M${x} ${y - 12}V${y + 12}`;
    draw("pen", "cross", "path", { d, class: "cross", "aria-hidden": "true" });
  }
}

const nudge = (arrow, long) => ARROWS[arrow].map((way) => way * (long ? LONG_STEP : STEP));

function nudged(point, arrow, long) {
  const [dx, dy] = nudge(arrow, long);
  return tidy([point[0] + dx, point[1] + dy]);
}

/** The class of a kind of shape. */
const look = (kind) => (isOpen(kind) ? "crossing" : kind);

/** The hatch pattern of masks, and the frame's edges, beyond which no grid is drawn. */
function hatching() {
  const line = svg("path", { d: "M0 8 8 0", class: "hatch" });
  const size = { width: 8, height: 8, patternUnits: "userSpaceOnUse" };
  const frame = svg("clipPath", { id: "frame" }, svg("rect", { width: "100%", height: "100%" }));
  return svg("defs", {}, svg("pattern", { id: "hatch", ...size }, line), frame);
}
