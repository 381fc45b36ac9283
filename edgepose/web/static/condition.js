/** How a camera is, in words. */

import { sentence } from "./words.js";

const SILENT_MS = 4000;
const SILENT_FRAMES = 3; // of a camera that is slow on purpose

/** Whether a camera's frames come as fast as they should. */
export function fresh(live, camera) {
  const fps = live.states.get(camera)?.settings?.fps ?? 1;
  return live.pace(camera).silence < Math.max(SILENT_MS, (SILENT_FRAMES * 1000) / fps);
}

/** Whether a camera is looked at; else what it last said of people is long past. */
export function looking(live, camera) {
  const online = live.status?.cameras[camera]?.state === "online";
  return live.connected && online && !live.states.get(camera)?.paused;
}

/** Why a camera shows nothing; empty where it does. */
export function trouble(live, camera) {
  const { state, error } = live.status?.cameras[camera] ?? { state: "starting" };
  if (!live.connected) return "No line to the daemon. Trying again.";
  if (live.states.get(camera)?.paused) return "Paused: nobody looks at this camera.";
  if (error) return `${sentence(error)}.`;
  if (state === "starting") return "Starting.";
  if (state === "ended") return "The video has ended.";
  if (state !== "online") return `The camera is ${state}.`;
  return fresh(live, camera) ? "" : "Waiting for the next frame.";
}
