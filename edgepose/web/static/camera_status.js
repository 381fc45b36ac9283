/** The status of a camera as text. */

import { sentence } from "./format.js";

const SILENT_MS = 4000;
const SILENT_FRAMES = 3; // frame intervals until a camera with a low fps counts as silent

/** Whether frames of a camera arrive at its rate. */
export function isFresh(live, camera) {
  const fps = live.states.get(camera)?.settings?.fps ?? 1;
  return live.frameRate(camera).silence < Math.max(SILENT_MS, (SILENT_FRAMES * 1000) / fps);
}

/** Whether frames of a camera are processed; otherwise its last poses are outdated. */
export function isWatched(live, camera) {
  const online = live.status?.cameras[camera]?.state === "online";
  return live.connected && online && !live.states.get(camera)?.paused;
}

/** Why a camera shows no frames; empty if it shows frames. */
export function statusText(live, camera) {
  const { state, error } = live.status?.cameras[camera] ?? { state: "starting" };
  if (!live.connected) return "Not connected to the daemon. Retrying.";
  if (live.states.get(camera)?.paused) return "Paused: frames of this camera are not processed.";
  if (error) return `${sentence(error)}.`;
  if (state === "starting") return "Starting.";
  if (state === "ended") return "The video has ended.";
  if (state !== "online") return `The camera is ${state}.`;
  return isFresh(live, camera) ? "" : "Waiting for the next frame.";
}
