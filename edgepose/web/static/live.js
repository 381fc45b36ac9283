/** The WebSocket to the daemon, and the latest message of each kind. */

import { FrameRate } from "./frame_rate.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
export const EVENTS_KEPT = 50;
const POSES_KEPT = 12; // a picture arrives slightly after the poses of its frame

/**
 * The connection to the daemon. Fires an event of each message's type (`poses`, `state`, …) after
 * storing it, and `line` when the connection opens or closes.
 */
export class Live extends EventTarget {
  connected = false;
  hello = null;
  status = null;
  stats = null;
  broker = null;
  revision = null;
  events = [];
  clips = new Map(); // event -> the number of its clip
  states = new Map();
  poses = new Map(); // camera -> its latest messages, oldest first
  frameRates = new Map();
  pictures = new Map();

  #socket = null;
  #wait = FIRST_WAIT_MS;
  #wanted = null;
  #shown = false; // whether the cameras' pictures are wanted
  #retry = null;

  /** Connect; retry until the daemon answers. */
  open() {
    clearTimeout(this.#retry);
    const where = new URL("api/live", document.baseURI);
    where.protocol = where.protocol.replace("http", "ws");
    this.#socket = new WebSocket(where);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => this.#take(data);
    this.#socket.onclose = () => this.#lost();
  }

  /** Disconnect without events. */
  close() {
    clearTimeout(this.#retry);
    if (this.#socket) this.#socket.onclose = null;
    this.#socket?.close();
    this.#socket = null;
    this.hello = null;
    this.connected = false;
  }

  /** Set the visible cameras, and whether their pictures are shown. */
  watch(cameras, picture) {
    this.#wanted = JSON.stringify({ type: "watch", cameras, picture });
    this.#shown = picture;
    if (!picture) this.#forget();
    if (this.connected) this.#socket.send(this.#wanted);
  }

  /** The latest poses of a camera, or null. */
  newest(camera) {
    return this.poses.get(camera)?.at(-1) ?? null;
  }

  frameRate(camera) {
    if (!this.frameRates.has(camera)) this.frameRates.set(camera, new FrameRate());
    return this.frameRates.get(camera);
  }

  #lost() {
    this.connected = false;
    this.#fire("line");
    this.#retry = setTimeout(() => this.open(), this.#wait * (0.5 + Math.random() / 2));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
  }

  #take(data) {
    if (typeof data !== "string") {
      this.#picture(data);
      return;
    }
    const said = JSON.parse(data);
    this.#note[said.type]?.(said);
    this.#fire(said.type, said);
  }

  #fire(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #note = {
    hello: (said) => {
      this.hello = said;
      this.revision = null; // that of the previous connection
      this.events = [];
      this.clips = new Map();
      this.#wait = FIRST_WAIT_MS;
      this.connected = true;
      this.#fire("line");
      if (this.#wanted) this.#socket.send(this.#wanted);
    },
    status: ({ message }) => (this.status = message),
    stats: ({ message }) => (this.stats = message),
    link: ({ broker }) => (this.broker = broker),
    config: ({ revision }) => (this.revision = revision),
    clip: ({ event, number }) => this.clips.set(event, number),
    state: ({ camera, message }) => this.states.set(camera, message),
    event: ({ message }) => (this.events = [...this.events, message].slice(-EVENTS_KEPT)),
    poses: ({ camera, message }) => {
      const before = this.poses.get(camera) ?? [];
      this.poses.set(camera, [...before, message].slice(-POSES_KEPT));
      this.frameRate(camera).note(message);
    },
  };

  /** Handle a picture: four bytes with the header's length, the header as JSON, a JPEG. */
  async #picture(data) {
    const length = new DataView(data).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const jpeg = new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" });
    const bitmap = await createImageBitmap(jpeg);
    // Pictures may have been turned off meanwhile.
    if (!this.#shown) {
      bitmap.close();
      return;
    }
    this.pictures.get(header.camera)?.bitmap.close();
    this.pictures.set(header.camera, { seq: header.seq, bitmap });
    this.#fire("picture", header);
  }

  #forget() {
    for (const { bitmap } of this.pictures.values()) bitmap.close();
    this.pictures.clear();
  }
}
