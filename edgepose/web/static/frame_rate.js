/** Frame rate and latency of a camera, from its poses messages. */

const WINDOW_MS = 3000;

export class FrameRate {
  #noted = [];

  /** Add a poses message. */
  note({ seq, captured_at, latency_ms }) {
    const at = Date.parse(captured_at);
    const last = this.#noted.at(-1);
    // A restarted daemon counts from 1, and clocks may jump.
    if (last && (seq <= last.seq || at < last.at)) this.#noted = [];
    this.#noted.push({ seq, at, latency_ms, heard: performance.now() });
    this.#noted = this.#noted.filter((one) => one.at > at - WINDOW_MS);
  }

  /** Frames per second processed by the daemon, including those that this browser skipped. */
  get fps() {
    const [first, last] = [this.#noted[0], this.#noted.at(-1)];
    if (!first || last.at === first.at) return null;
    return ((last.seq - first.seq) * 1000) / (last.at - first.at);
  }

  /** Median of the last latencies in milliseconds. */
  get latency() {
    if (!this.#noted.length) return null;
    const ordered = this.#noted.map((one) => one.latency_ms).sort((a, b) => a - b);
    return ordered[ordered.length >> 1];
  }

  /** Milliseconds since the last message; Infinity before the first. */
  get silence() {
    return this.#noted.length ? performance.now() - this.#noted.at(-1).heard : Infinity;
  }
}
