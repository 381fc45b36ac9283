/**
 * The edited settings of a camera. Each shape has a key that does not change when it is renamed or
 * moved.
 */

import { nameOf, plainId, unusedId } from "./friendly_names.js";
import { between } from "./orientation.js";
import { corners, isWhole, region, same, tidy } from "./shapes.js";

export const REGION = "region";
export const FLOOR = "floor";

const SIDES = ["left", "right"];

let made = 0;
const fresh = () => `shape-${(made += 1)}`;

/** Create a draft from a camera of the configuration and the current thresholds. */
export function draft(camera, pose) {
  return {
    name: camera.name,
    rotate: camera.rotate,
    mirror: camera.mirror,
    roi: camera.roi,
    masks: camera.masks.map((polygon) => ({ key: fresh(), polygon })),
    zones: camera.zones.map((zone) => ({ key: fresh(), ...zone, label: nameOf(zone) })),
    lines: camera.lines.map(({ points, ...line }) => (
      { key: fresh(), ...line, polygon: points, label: nameOf(line), words: line.sides }
    )),
    floor: camera.floor,
    pose,
  };
}

const view = ({ rotate, mirror }) => ({ rotate, mirror });

/** Rotate or mirror the picture with all shapes; their positions in the room are unchanged. */
export function turned(value, { rotate, mirror }) {
  const to = { rotate, mirror };
  if (same(view(value), to)) return value;
  const turn = between(value, to);
  const carried = (shape) => ({ ...shape, polygon: shape.polygon.map((at) => tidy(turn(at))) });
  return {
    ...value,
    ...to,
    roi: region(corners(value.roi).map(turn).map(tidy)),
    masks: value.masks.map(carried),
    zones: value.zones.map(carried),
    lines: value.lines.map(carried).map((line) => (mirror === value.mirror ? line : reversed(line))),
    floor: { ...value.floor, points: value.floor.points.map((at) => tidy(turn(at))) },
  };
}

/** The same line from its other end: in a mirrored picture this keeps its sides. */
const reversed = (line) => ({ ...line, polygon: line.polygon.toReversed() });

/** Add a shape of a kind ("zone", "line", "mask" or "floor"); return the new draft and its key. */
export function added(value, kind, polygon) {
  const key = fresh();
  if (kind === FLOOR) return [{ ...value, floor: { ...value.floor, points: polygon } }, FLOOR];
  if (kind === "mask") return [{ ...value, masks: [...value.masks, { key, polygon }] }, key];
  const list = `${kind}s`;
  const id = unusedId("", kind, value[list].map((one) => one.id));
  const more = kind === "zone" ? { kind: "area" } : { sides: SIDES, words: SIDES };
  const shape = { key, id, name: "", label: id, made: true, polygon, ...more };
  return [{ ...value, [list]: [...value[list], shape] }, key];
}

/** Change some fields of one shape. */
export function changed(value, key, fields) {
  if (key === REGION) return { ...value, roi: region(fields.polygon) };
  if (key === FLOOR) return { ...value, floor: { ...value.floor, points: fields.polygon } };
  const apply = (shape) => (shape.key === key ? { ...shape, ...fields } : shape);
  return {
    ...value,
    masks: value.masks.map(apply), zones: value.zones.map(apply), lines: value.lines.map(apply),
  };
}

/** Rename a zone or line. The id stays, except of one that was drawn here: it is made anew. */
export function renamed(value, list, key, label) {
  const shape = value[list].find((one) => one.key === key);
  const others = value[list].filter((one) => one !== shape).map((one) => one.id);
  const id = shape.made ? unusedId(label, list.slice(0, -1), others) : shape.id;
  const name = label.trim() === id ? "" : label.trim();
  return changed(value, key, { id, name, label });
}

/** Name the sides of a line; their ids are made from the words. */
export function sided(value, key, words) {
  return changed(value, key, { words, sides: words.map(plainId) });
}

/** Remove one shape. */
export function removed(value, key) {
  if (key === REGION) return { ...value, roi: [0, 0, 1, 1] };
  if (key === FLOOR) return { ...value, floor: { ...value.floor, points: [], metres: [] } };
  const others = (shape) => shape.key !== key;
  return {
    ...value,
    masks: value.masks.filter(others), zones: value.zones.filter(others), lines: value.lines.filter(others),
  };
}

/** All shapes in drawing order, each with a title. */
export function shapes(value, shown) {
  const whole = isWhole(value.roi) && shown !== REGION;
  const part = { key: REGION, kind: "region", title: "Region", polygon: corners(value.roi) };
  const masks = value.masks.map((mask, index) => ({
    ...mask,
    kind: "mask",
    title: `Mask ${index + 1}`,
  }));
  const zones = value.zones.map(({ kind, ...zone }) => ({
    ...zone,
    kind: kind === "rest" ? "rest" : "zone",
    title: `Zone ${nameOf(zone)}`,
    word: nameOf(zone),
  }));
  const lines = value.lines.map((line) => ({
    ...line,
    kind: "line",
    title: `Line ${nameOf(line)}`,
    word: nameOf(line),
  }));
  const floor = value.floor.points.length
    ? [{ key: FLOOR, kind: "floor", title: "Floor", polygon: value.floor.points, floor: value.floor }]
    : [];
  return [...(whole ? [] : [part]), ...floor, ...masks, ...zones, ...lines];
}

/** The draft in the format of the file. */
export function plain(value) {
  return {
    name: value.name.trim(),
    rotate: value.rotate,
    mirror: value.mirror,
    roi: value.roi,
    masks: value.masks.map((mask) => mask.polygon),
    zones: value.zones.map(({ id, name, polygon, kind }) => ({ id, name, polygon, kind })),
    lines: value.lines.map(({ id, name, polygon, sides }) => ({ id, name, points: polygon, sides })),
    floor: { points: value.floor.points, size: value.floor.size, metres: value.floor.metres },
  };
}

/** The changes from one draft to another, in the format of `PUT api/config`. */
export function changes(camera, before, after) {
  const settings = differing(plain(before), plain(after));
  const pose = differing(before.pose, after.pose);
  return {
    ...(Object.keys(pose).length ? { pose } : {}),
    ...(Object.keys(settings).length ? { cameras: { [camera]: settings } } : {}),
  };
}

function differing(before, after) {
  return Object.fromEntries(
    Object.entries(after).filter(([key, value]) => !same(value, before[key])),
  );
}

const NAMES = {
  name: "the name",
  rotate: "the rotation",
  mirror: "the mirroring",
  roi: "the region",
  masks: "the masks",
  zones: "the zones",
  lines: "the lines",
  floor: "the floor",
  min_pose_score: "the threshold for people",
  min_keypoint_score: "the threshold for keypoints",
};

/** Names of the changed settings, without shapes that were only rotated with the picture. */
function touched(before, after) {
  const along = turned(before, after);
  return [
    ...Object.keys(differing(view(before), view(after))),
    ...Object.keys(differing(plain(along), plain(after))),
    ...Object.keys(differing(before.pose, after.pose)),
  ];
}

/** The differences between two drafts as text. */
export const differences = (before, after) => touched(before, after).map((key) => NAMES[key]);

/**
 * Apply the changes made here to a draft that was changed elsewhere from the same base.
 *
 * Shapes keep their positions in the room, even if the picture was rotated.
 */
export function merged(before, mine, theirs) {
  const keys = new Set(touched(before, mine));
  const seen = view(keys.has("rotate") || keys.has("mirror") ? mine : theirs);
  const [ours, others] = [turned(mine, seen), turned(theirs, seen)];
  const kept = ["name", "roi", "masks", "zones", "lines", "floor"].filter((key) => keys.has(key));
  const pose = Object.entries(mine.pose).filter(([name]) => keys.has(name));
  return {
    ...others,
    ...Object.fromEntries(kept.map((key) => [key, ours[key]])),
    pose: { ...theirs.pose, ...Object.fromEntries(pose) },
  };
}

/** The field of a problem: `{key, field, text}`; key is null for settings of the camera itself. */
export function located(value, camera, { where, text }) {
  const path = where.split(".");
  if (path[0] === "pose") return { key: null, field: path[1], text };
  if (path[0] !== "camera" || path[1] !== camera) return { key: null, field: null, text };
  if (path[2] === "zone" || path[2] === "line") {
    const places = value[`${path[2]}s`];
    const place = places.find(({ id }) => id === path[3]) ?? places[Number(path[3])];
    const field = path[4] === "points" ? "polygon" : (path[4] ?? "id");
    return { key: place?.key ?? null, field: place ? field : null, text };
  }
  if (path[2] === "masks") {
    const mask = value.masks[Number(path[3])];
    return { key: mask?.key ?? null, field: mask ? "polygon" : null, text };
  }
  const field = path[2] === "floor" ? `floor ${path[3] ?? "points"}` : (path[2] ?? null);
  return { key: null, field, text };
}

/** The value of a field with a problem, to detect when it changes. */
export function subject(value, { key, field }) {
  const shape = [...value.masks, ...value.zones, ...value.lines].find((one) => one.key === key);
  return shape ?? value.pose[field] ?? value[field?.split(" ")[0]] ?? null;
}
