/** Undo and redo over immutable values. */

import { same } from "./shapes.js";

export class UndoHistory {
  #past = [];
  #future = [];
  #tag = null;

  constructor(value) {
    this.base = value;
    this.value = value;
  }

  /** Set a new value. Consecutive changes with the same tag, such as a drag, form one step. */
  take(value, tag = null) {
    if (same(value, this.value)) return;
    if (tag === null || tag !== this.#tag) this.#past.push(this.value);
    this.#tag = tag;
    this.#future = [];
    this.value = value;
  }

  undo() {
    this.#step(this.#past, this.#future);
  }

  redo() {
    this.#step(this.#future, this.#past);
  }

  #step(from, to) {
    if (!from.length) return;
    to.push(this.value);
    this.value = from.pop();
    this.#tag = null;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /** Whether the value differs from the saved one. */
  get dirty() {
    return !same(this.value, this.base);
  }
}
