/** Thresholds that are in force while they are tried, and as before if they are not saved. */

import * as api from "./api.js";

const SET_EVERY_MS = 200;

export class Trial {
  #told = null; // the thresholds that were asked for last
  #timer = 0;

  /** `failed` is told why, where the camera does not take them. */
  constructor(camera, failed) {
    Object.assign(this, { camera, failed });
  }

  /** Put thresholds into force soon; `before` are those that were, `file` those of the file. */
  follow(pose, before, file) {
    if (same(pose, this.#told ?? before)) return;
    this.#told = pose;
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#send(differing(this.#told, file));
    }, SET_EVERY_MS);
  }

  /** Go back at once. */
  restore(before, file) {
    if (this.#told !== null && !same(this.#told, before)) this.#send(differing(before, file));
    this.#end();
  }

  /** They were saved: let the camera follow the file in these. */
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

/** Null is "what the file says": a setting that says the same would outlive the file's next change. */
function differing(pose, file) {
  const entries = Object.entries(pose);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value === file[name] ? null : value]),
  );
}
