/** The view that edits one camera. */

import * as api from "./api.js";
import { statusText } from "./camera_status.js";
import { ask } from "./dialog.js";
import { el, remember, recall, say, set, write } from "./dom.js";
import {
  added, changed, changes, differences, draft, located, merged, REGION, removed, shapes, subject,
} from "./camera_draft.js";
import { nameOf } from "./friendly_names.js";
import { UndoHistory } from "./undo_history.js";
import { swaps } from "./orientation.js";
import { SettingsForm } from "./settings_form.js";
import { CameraCanvas } from "./camera_canvas.js";
import { isWhole, region, rectangle, same } from "./shapes.js";
import { ShapeEditor } from "./shape_editor.js";
import { ThresholdPreview } from "./threshold_preview.js";
import { listed, sentence } from "./format.js";

const REASON_EVERY_MS = 500;

/** Help for pointers and for keyboards. */
const HELP = {
  idle: [
    "Select a shape to edit it: drag the shape, its corners, or the small dots between them.",
    "By keyboard: Tab selects a shape, Enter its corners, arrows move, Delete removes.",
  ],
  draw: [
    "Click to set corners, and the first one again to finish; or drag a rectangle.",
    "By keyboard: arrows move the cross, Enter sets a corner, Escape cancels.",
  ],
  line: [
    "Click to set points, and the last one again to finish; or drag from end to end.",
    "By keyboard: arrows move the cross, Enter sets a point, Escape cancels.",
  ],
  floor: [
    "Click four points on the floor whose distances you know, one after the other around.",
    "By keyboard: arrows move the cross, Enter sets a point, Escape cancels.",
  ],
};

const DRAWN = {
  zone: "Zone drawn. Give it a name", line: "Line drawn. Give it a name", mask: "Mask drawn",
  floor: "Floor marked. Give its lengths in metres",
};

export class Editor {
  #selected = null;
  #kind = null; // kind of the shape being drawn
  #problems = [];
  #saving = false;
  #stop = new AbortController();

  /** `page` holds `live`, `config` and `refresh()`, which reads the configuration again. */
  constructor(main, page, camera) {
    Object.assign(this, { page, id: camera });
    this.preview = new ThresholdPreview(camera, (why) =>
      this.#tell(`The threshold was not applied: ${why}.`, "bad"));
    this.#begin();
    this.#build(main);
    this.#listen();
    this.#show();
  }

  get dirty() {
    return this.history.dirty;
  }

  /** Ask about unsaved changes; return whether the view may be left. */
  async leave() {
    if (!this.dirty) return true;
    const answer = await ask(
      "Leave without saving?",
      [`${sentence(listed(this.#mine()))} of ${this.id} will be lost.`],
      [["save", "Save and leave"], ["discard", "Leave without saving"], ["stay", "Stay"]],
    );
    if (answer === "save") return this.#save();
    if (answer === "discard") this.#discard();
    return answer === "discard";
  }

  close() {
    this.#stop.abort();
    this.screen.close();
  }

  // Edited values

  #begin(pose = this.#inForce()) {
    this.config = this.page.config;
    this.camera = this.config.cameras.find(({ id }) => id === this.id);
    this.history = new UndoHistory(draft(this.camera, pose));
    this.#problems = [];
  }

  /** The camera's current configuration, which may have been changed elsewhere. */
  get #running() {
    return this.page.config.cameras.find(({ id }) => id === this.id) ?? this.camera;
  }

  /** The camera's current thresholds, which may have been set over MQTT. */
  #inForce() {
    const told = this.page.live.states.get(this.id)?.settings ?? {};
    const { pose } = this.page.config;
    const entries = Object.keys(pose).map((name) => [name, told[name] ?? pose[name]]);
    return Object.fromEntries(entries);
  }

  #mine() {
    return differences(this.history.base, this.history.value);
  }

  #take(value, tag = null) {
    this.history.take(value, tag);
    this.#changed();
  }

  #changed() {
    const { value, base } = this.history;
    const refused = this.#problems.length;
    this.#problems = this.#problems.filter((one) => same(one.about, subject(value, one)));
    if (refused && !this.#problems.length) this.#tell("");
    this.preview.follow(value.pose, base.pose, this.config.pose);
    this.#show();
  }

  #undo(way) {
    this.history[way]();
    this.#changed();
    say(way === "undo" ? "Undone" : "Redone");
  }

  #discard() {
    this.history.take(this.history.base);
    this.#problems = [];
    this.#changed();
  }

  #select(key, focus = false) {
    this.#selected = key;
    this.#show();
    if (focus) this.shapeEditor.focus(key);
  }

  #remove(key) {
    const { value } = this.history;
    const { title } = shapes(value, key).find((shape) => shape.key === key);
    this.#selected = null;
    this.#take(removed(value, key));
    this.undo.focus();
    say(`${title} deleted. Undo brings it back`);
  }

  // Drawing

  #draw(kind) {
    if (kind === REGION) {
      this.#choosePart();
      return;
    }
    this.#kind = kind;
    this.shapeEditor.begin(kind);
    this.#show();
  }

  /** Add a region: a rectangle that exists at once and is then edited. */
  #choosePart() {
    const { value } = this.history;
    if (isWhole(value.roi)) {
      this.#take({ ...value, roi: region(rectangle([0.1, 0.1], [0.9, 0.9])) });
    }
    this.#select(REGION, true);
  }

  #drawn({ polygon, byHand }) {
    const [value, key] = added(this.history.value, this.#kind, polygon);
    const isNamed = ["zone", "line"].includes(this.#kind);
    say(DRAWN[this.#kind]);
    this.#kind = null;
    this.#selected = key;
    this.#take(value);
    // On a touch screen the keyboard would hide the new shape.
    if (isNamed && !(byHand && matchMedia("(pointer: coarse)").matches)) this.form.focusName(key);
    else this.shapeEditor.focus(key);
  }

  #cancel() {
    this.shapeEditor.stop();
    this.#kind = null;
    this.#show();
    say("Drawing cancelled");
  }

  // Saving

  async #save() {
    this.#tell("Saving…");
    this.#busy(true);
    try {
      return await this.#put(this.history.base, this.config.revision);
    } catch (refused) {
      this.#busy(false); // a field of an inert form cannot be focused
      this.#refused(refused);
      return false;
    } finally {
      this.#busy(false);
    }
  }

  #busy(saving) {
    this.#saving = saving;
    this.#showBar();
  }

  /** Save the differences from `base`, the content of the file at `revision`. */
  async #put(base, revision) {
    const body = changes(this.id, base, this.history.value);
    try {
      const { reload } = await api.save(body, revision);
      await this.#saved(body, reload);
      return true;
    } catch (refused) {
      if (refused.status !== 409) throw refused;
      return this.#conflict();
    }
  }

  async #saved(body, reload) {
    const { pose } = this.history.value;
    await this.preview.settle(Object.keys(body.pose ?? {}));
    await this.page.refresh();
    // The daemon's latest state is older than what was saved.
    this.#begin(pose);
    this.#show();
    if (reload) this.#tell(`Saved, but not applied: ${reload}.`, "bad");
    else this.#tell("Saved and applied.", "good");
  }

  #refused({ message, problems = [] }) {
    const { value } = this.history;
    this.#problems = problems
      .map((problem) => ({ ...problem, ...located(value, this.id, problem) }))
      .map((problem) => ({ ...problem, about: subject(value, problem) }));
    this.#show();
    const count = problems.length === 1 ? "One value was refused" : `${problems.length} values were refused`;
    const homeless = this.#problems
      .filter(({ field }) => !field)
      .map(({ where, text }) => `${where}: ${text}`);
    const words = problems.length ? [`${count}; nothing was saved.`, ...homeless] : [`Not saved: ${message}.`];
    this.#tell(words.join(" "), "bad");
    this.form.focusProblem();
  }

  /** Handle a conflict: show what has changed in the file, and let the user decide. */
  async #conflict() {
    await this.page.refresh();
    const { cameras, pose } = this.page.config;
    const camera = cameras.find(({ id }) => id === this.id);
    if (!camera) throw new Error(`the camera ${this.id} is no longer in the file`);
    const theirs = draft(camera, pose);
    const answer = await this.#whose(differences(draft(this.camera, this.config.pose), theirs));
    if (answer === "mine") {
      this.history.take(merged(this.history.base, this.history.value, theirs));
      return this.#put(theirs, this.page.config.revision);
    }
    if (answer === "theirs") {
      this.preview.restore(this.history.base.pose, this.config.pose);
      this.#begin(pose);
      this.#show();
      this.#tell("These are the values of the file.");
    } else {
      this.#tell("Not saved yet. The file was changed meanwhile.", "bad");
    }
    return false;
  }

  #whose(theirs) {
    const mine = this.#mine();
    const both = mine.filter((name) => theirs.includes(name));
    const there = theirs.length ? listed(theirs) : "nothing";
    return ask(
      "The file was changed meanwhile",
      [
        `Changed in the file: ${there} of ${this.id}. Changed here: ${listed(mine)}.`,
        both.length
          ? `Saving replaces ${listed(both)} in the file. The old file is kept as a backup.`
          : "Saving keeps the changes in the file.",
      ],
      [["mine", "Save mine"], ["theirs", "Use the file's"], ["later", "Cancel"]],
    );
  }

  /** Handle a change of the file by another browser or by hand. */
  reconfigured() {
    if (this.#saving || this.page.config.revision === this.config.revision) return;
    if (this.dirty) {
      this.#tell("The file was changed meanwhile. You will be asked when you save.", "bad");
      return;
    }
    if (!this.page.config.cameras.some(({ id }) => id === this.id)) return;
    this.#begin();
    this.#show();
    this.#tell("The file was changed; this is its content now.");
  }

  // The view

  #build(main) {
    this.canvas = el("canvas", { role: "img", "aria-label": `Skeletons seen by ${this.id}, live` });
    this.reason = el("p", { class: "aside" });
    this.host = el("div", { class: "stage" }, this.canvas);
    this.shapeEditor = new ShapeEditor(this.host);
    this.form = new SettingsForm();
    this.byHand = el("span");
    this.byKeys = el("span", { class: "keys" });
    this.help = el("p", { class: "hint", id: "drawing-help" }, this.byHand, " ", this.byKeys);
    this.finish = this.#button("Finish", () => this.shapeEditor.finish());
    this.cancel = this.#button("Cancel", () => this.#cancel());
    this.undo = this.#button("Undo", () => this.#undo("undo"));
    this.redo = this.#button("Redo", () => this.#undo("redo"));
    this.note = el("p", { class: "save-status", role: "status" });
    this.discard = this.#button("Discard", () => this.#discard());
    this.saver = this.#button("Save", () => this.#save(), "main");
    const title = el("h1", { tabindex: -1 }, `Edit: ${nameOf(this.camera)}`);
    main.replaceChildren(
      el("div", { class: "heading" }, el("a", { href: "#/", class: "back" }, "All cameras"), title),
      ...this.#warnings(),
      this.layout = el(
        "div", { class: "editor-layout" },
        el(
          "section", { class: "canvas-area", "aria-label": "Live view" },
          el("div", { class: "frame" }, this.reason, this.host),
          el("div", { class: "under" }, this.help, el("div", { class: "row" }, this.finish, this.cancel)),
        ),
        this.form.element,
      ),
      el(
        "div", { class: "bar", role: "group", "aria-label": "Changes" },
        el("div", { class: "row" }, this.undo, this.redo), this.note,
        el("div", { class: "row" }, this.discard, this.saver),
      ),
    );
    this.screen = new CameraCanvas(this.canvas, this.page.live, this.id, () => this.#look());
    title.focus({ preventScroll: true });
  }

  #button(text, onclick, kind = "") {
    const click = () => button.hasAttribute("aria-disabled") || onclick();
    const button = el("button", { type: "button", class: kind, onclick: click }, text);
    return button;
  }

  #warnings() {
    if (this.config.editable) return [];
    const why = this.config.why_not ? `: ${this.config.why_not}` : "";
    return [el("p", { class: "notice" }, `Changes cannot be saved${why}.`)];
  }

  #listen() {
    const { signal } = this.#stop;
    const on = (target, type, act) =>
      target.addEventListener(type, ({ detail }) => act(detail), { signal });
    on(this.shapeEditor, "select", ({ key }) => this.#select(key));
    on(this.shapeEditor, "change", ({ key, polygon, tag }) =>
      this.#take(changed(this.history.value, key, { polygon }), tag));
    on(this.shapeEditor, "remove", ({ key }) => this.#remove(key));
    on(this.shapeEditor, "corner", () => this.#showTools());
    on(this.shapeEditor, "drawn", (drawn) => this.#drawn(drawn));
    on(this.shapeEditor, "cancel", () => this.#cancel());
    on(this.form, "take", ({ value, tag }) => this.#take(value, tag));
    on(this.form, "select", ({ key, focus }) => this.#select(key, focus));
    on(this.form, "remove", ({ key }) => this.#remove(key));
    on(this.form, "draw", ({ kind }) => this.#draw(kind));
    on(this.page.live, "poses", ({ camera }) => camera === this.id && this.#shape());
    const timer = setInterval(() => this.#showReason(), REASON_EVERY_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
    document.addEventListener("keydown", (event) => this.#shortcut(event), { signal });
    const restore = () => this.preview.restore(this.history.base.pose, this.config.pose);
    window.addEventListener("pagehide", restore, { signal });
    window.addEventListener("beforeunload", (event) => this.dirty && event.preventDefault(), { signal });
  }

  #shortcut(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    if (event.target.matches("input[type=text]")) return;
    const key = event.key.toLowerCase();
    const way = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" && "undo";
    if (!way) return;
    event.preventDefault();
    this.#undo(way);
  }

  #look() {
    const { value } = this.history;
    return {
      zones: [], occupied: new Set(), minScore: value.pose.min_keypoint_score,
      from: this.#running, to: value,
    };
  }

  #show() {
    const { value } = this.history;
    const all = shapes(value, this.#selected);
    if (!all.some(({ key }) => key === this.#selected)) this.#selected = null;
    this.shapeEditor.show(all, this.#selected);
    this.form.show(value, this.#selected, this.#problems);
    this.#shape();
    this.#showTools();
    this.#showBar();
    this.screen.refresh();
  }

  /** Set the aspect ratio of the drawing area to that of the frame with the edited settings. */
  #shape() {
    const newest = this.page.live.newest(this.id);
    const known = newest && newest.width / newest.height;
    if (known) remember(`shape-${this.id}`, String(known));
    const now = known ?? (Number(recall(`shape-${this.id}`)) || 16 / 9);
    const ratio = swaps(this.#running, this.history.value) ? 1 / now : now;
    this.host.style.setProperty("--shape", ratio.toFixed(4));
  }

  #showReason() {
    const { live } = this.page;
    const what = live.pictures.has(this.id) ? "Camera picture" : "";
    write(this.reason, statusText(live, this.id) || what);
  }

  #showTools() {
    const { drawing } = this.shapeEditor;
    const [byHand, byKeys] = drawing ? (HELP[this.#kind] ?? HELP.draw) : HELP.idle;
    write(this.byHand, byHand);
    write(this.byKeys, byKeys);
    enable(this.finish, this.shapeEditor.complete);
    for (const button of [this.finish, this.cancel]) set(button, "class", drawing ? "" : "absent");
  }

  #showBar() {
    const { canUndo, canRedo, dirty } = this.history;
    const idle = !this.#saving;
    enable(this.undo, idle && canUndo);
    enable(this.redo, idle && canRedo);
    enable(this.discard, idle && dirty);
    enable(this.saver, idle && dirty && this.config.editable);
    // Nothing may be edited while saving.
    this.layout.inert = this.#saving;
    const { mood } = this.note.dataset;
    if (dirty && idle && mood !== "bad") this.#tell("Not saved yet.", "open");
    if (!dirty && mood === "open") this.#tell("");
  }

  #tell(text, mood = "") {
    write(this.note, text);
    this.note.dataset.mood = mood;
  }
}

/** Unlike a disabled button, one with aria-disabled keeps the focus. */
const enable = (button, can) => set(button, "aria-disabled", can ? null : "true");
