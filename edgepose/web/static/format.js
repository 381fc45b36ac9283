/** Texts, numbers and times for display. */

const GESTURES = {
  hand_raised: "raised a hand",
  wave: "waved",
  both_hands_up: "raised both hands",
  t_pose: "stretched out both arms",
  pointing_left: "pointed left",
  pointing_right: "pointed right",
};

const EVENTS = {
  person_appeared: () => "came into view",
  person_left: ({ stayed_s }) => `left${after(stayed_s)}`,
  zone_entered: ({ zone }) => `entered ${zone}`,
  zone_left: ({ zone, dwell_s }) => `left ${zone}${after(dwell_s)}`,
  posture_changed: ({ posture, before }) =>
    before && before !== "unknown" ? `is ${posture}, was ${before}` : `is ${posture}`,
  fall_suspected: () => "may have fallen",
  fall_confirmed: () => "has fallen",
  fall_recovered: ({ gone }) => (gone ? "is no longer in view after a fall" : "is up again"),
  gesture: ({ gesture }) => GESTURES[gesture] ?? `made the gesture ${gesture}`,
};

const FALLS = new Set(["fall_suspected", "fall_confirmed"]);

/** An event as a sentence. */
export function happened({ type, person, data }) {
  const who = person === null ? "Somebody" : `Person ${person}`;
  return `${who} ${EVENTS[type]?.(data ?? {}) ?? type.replaceAll("_", " ")}`;
}

/** Whether an event is about a fall. */
export const alarming = ({ type }) => FALLS.has(type);

function after(seconds) {
  return typeof seconds === "number" ? ` after ${duration(seconds)}` : "";
}

/** 8 s, 3 min, 2 h. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** The time of day, with the date if it is not today. */
export function clock(text) {
  const at = new Date(text);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const today = at.toDateString() === new Date().toDateString();
  return today ? time : `${at.toLocaleDateString()} ${time}`;
}

/** A number with this many decimals; a dash for no number. */
export function number(value, decimals = 0, unit = "") {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return `${value.toFixed(decimals)}${unit}`;
}

const PURPOSES = { limit: "above its fps", still: "nothing moved", paused: "paused" };

/** Frames skipped on purpose, by reason; empty if there are none. */
export function leftOut(counts) {
  const short = new Intl.NumberFormat("en", { notation: "compact" });
  const some = Object.keys(PURPOSES).filter((reason) => counts?.[reason]);
  const words = some.map((reason) => `${short.format(counts[reason])} (${PURPOSES[reason]})`);
  return words.length ? `Skipped on purpose: ${words.join(", ")}` : "";
}

export const people = (count) => (count === 1 ? "1 person" : `${count} people`);

/** One person of a frame as a line of text. */
export function person({ id, posture, zones, score }) {
  const where = zones.length ? ` in ${zones.join(", ")}` : "";
  const how = posture === "unknown" ? "" : `, ${posture}`;
  return `Person ${id ?? "?"}${how}${where}, score ${score.toFixed(2)}`;
}

/** a, b and c. */
export function listed(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Capitalise a message of the daemon, which begins in lower case. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
