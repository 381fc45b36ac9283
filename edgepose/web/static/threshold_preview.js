/** Applies thresholds while they are edited, and restores them unless they are saved. */

import * as api from "./api.js";

const SET_EVERY_MS = 200;

export class ThresholdPreview {
  #told = null; // the thresholds requested last
  #timer = 0;

  /** `failed` is called with the reason if the camera refuses the thresholds. */
  constructor(camera, failed) {
    Object.assign(this, { camera, failed });
  }

  /** Apply thresholds soon; `before` are the previous ones, `file` those of the file. */
  follow(pose, before, file) {
    if (same(pose, this.#told ?? before)) return;
    this.#told = pose;
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#send(differing(this.#told, file));
    }, SET_EVERY_MS);
  }

  /** Restore the previous thresholds at once. */
  restore(before, file) {
    if (this.#told !== null && !same(this.#told, before)) this.#send(differing(before, file));
    this.#end();
  }

  /** After saving: let these thresholds follow the file again. */
  async settle(names) {
    this.#end();
    if (names.length) await this.#send(Object.fromEntries(names.map((name) => [name, null])));
  }

  #end() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#told = null;
  }

  async #send(values) {
    try {
      await api.settings(this.camera, values);
    } catch (refused) {
      this.failed(refused.message);
    }
  }
}

const same = (a, b) => Object.keys(a).every((name) => a[name] === b[name]);

/** Null stands for the file's value; the number itself would override later changes of the file. */
function differing(pose, file) {
  const entries = Object.entries(pose);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value === file[name] ? null : value]),
  );
}
