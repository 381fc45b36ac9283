/** Texts, numbers and times for display. */

import { nameOf } from "./friendly_names.js";

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
  posture_detail_changed: ({ posture_detail: detail, before }) =>
    `${detail ? "is" : "is no longer"} ${(detail ?? before).replaceAll("_", " ")}`,
  person_still: ({ still_s }) => `has not moved for ${duration(still_s)}`,
  person_moved: ({ still_s }) => `moved again${after(still_s)}`,
  fall_suspected: () => "may have fallen",
  fall_confirmed: () => "has fallen",
  fall_recovered: ({ gone }) => (gone ? "is no longer in view after a fall" : "is up again"),
  long_lie: () => "has been lying for a long time",
  zone_dwelling: ({ zone, dwell_s }) => `is still in ${zone}${after(dwell_s)}`,
  line_crossed: ({ line, to }) => `crossed ${line} to ${to}`,
  gesture: ({ gesture }) => GESTURES[gesture] ?? `made the gesture ${gesture}`,
};

const ALARMING = new Set(["fall_suspected", "fall_confirmed", "long_lie"]);

/** An event as a sentence, with the names of places: `camera` is that of the configuration. */
export function happened({ type, person, data }, camera = null) {
  const who = person === null ? "Somebody" : `Person ${person}`;
  return `${who} ${EVENTS[type]?.(named(data ?? {}, camera)) ?? type.replaceAll("_", " ")}`;
}

/** The data of an event with display names instead of the ids of zone and line. */
function named(data, camera) {
  const name = (places, id) => nameOf(places?.find((place) => place.id === id) ?? { id });
  return { ...data, zone: name(camera?.zones, data.zone), line: name(camera?.lines, data.line) };
}

/** Whether an event is about a fall or a long lie. */
export const alarming = ({ type }) => ALARMING.has(type);

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
export function person({ id, posture, posture_detail: detail, zones, score }) {
  const where = zones.length ? ` in ${zones.join(", ")}` : "";
  const body = detail?.replaceAll("_", " ") ?? posture;
  const how = body === "unknown" ? "" : `, ${body}`;
  return `Person ${id ?? "?"}${how}${where}, score ${score.toFixed(2)}`;
}

/** a, b and c. */
export function listed(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Capitalise a message of the daemon, which begins in lower case. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
