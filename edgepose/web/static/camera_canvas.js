/** A canvas that shows one camera live. */

import { render } from "./render.js";

export class CameraCanvas {
  #pending = 0;
  #stop = new AbortController();

  /** `look` returns the drawing options of a frame: zones, occupied, minScore, from and to. */
  constructor(canvas, live, camera, look) {
    Object.assign(this, { canvas, live, camera, look });
    const mine = ({ detail }) => {
      if (detail.camera === camera) this.refresh();
    };
    for (const type of ["poses", "picture", "state"]) {
      live.addEventListener(type, mine, { signal: this.#stop.signal });
    }
    new ResizeObserver(() => this.refresh()).observe(canvas);
  }

  /** Draw at the next screen refresh, once even if called several times. */
  refresh() {
    if (this.#pending || this.#stop.signal.aborted) return;
    this.#pending = requestAnimationFrame(() => {
      this.#pending = 0;
      render(this.canvas, { ...this.#newest(), ...this.look(), ...names(this.live.hello) });
    });
  }

  /** The latest poses; if there is a picture, those of its frame. */
  #newest() {
    const picture = this.live.pictures.get(this.camera) ?? null;
    const known = this.live.poses.get(this.camera) ?? [];
    const same = picture && known.find(({ seq }) => seq === picture.seq);
    return { message: same ?? known.at(-1) ?? null, picture: picture?.bitmap ?? null };
  }

  close() {
    this.#stop.abort();
    cancelAnimationFrame(this.#pending);
  }
}

const names = (hello) => ({ skeleton: hello?.skeleton ?? [], names: hello?.keypoints ?? [] });
