/**
 * The edited settings of a camera. Each shape has a key that does not change when it is renamed or
 * moved.
 */

import { between } from "./orientation.js";
import { corners, isWhole, region, same, tidy } from "./shapes.js";

export const REGION = "region";

let made = 0;
const fresh = () => `shape-${(made += 1)}`;

/** Create a draft from a camera of the configuration and the current thresholds. */
export function draft(camera, pose) {
  return {
    rotate: camera.rotate,
    mirror: camera.mirror,
    roi: camera.roi,
    masks: camera.masks.map((polygon) => ({ key: fresh(), polygon })),
    zones: camera.zones.map((zone) => ({ key: fresh(), ...zone })),
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
  };
}

/** Add a shape of a kind ("zone" or "mask"); return the new draft and the shape's key. */
export function added(value, kind, polygon) {
  const key = fresh();
  if (kind === "mask") return [{ ...value, masks: [...value.masks, { key, polygon }] }, key];
  const zone = { key, id: unused(value.zones), polygon, kind: "area" };
  return [{ ...value, zones: [...value.zones, zone] }, key];
}

function unused(zones) {
  const taken = new Set(zones.map((zone) => zone.id));
  for (let number = 1; ; number += 1) {
    if (!taken.has(`zone-${number}`)) return `zone-${number}`;
  }
}

/** Change some fields of one shape. */
export function changed(value, key, fields) {
  if (key === REGION) return { ...value, roi: region(fields.polygon) };
  const apply = (shape) => (shape.key === key ? { ...shape, ...fields } : shape);
  return { ...value, masks: value.masks.map(apply), zones: value.zones.map(apply) };
}

/** Remove one shape. */
export function removed(value, key) {
  const others = (shape) => shape.key !== key;
  return { ...value, masks: value.masks.filter(others), zones: value.zones.filter(others) };
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
    title: `Zone ${zone.id || "without a name"}`,
  }));
  return [...(whole ? [] : [part]), ...masks, ...zones];
}

/** The draft in the format of the file. */
export function plain(value) {
  return {
    rotate: value.rotate,
    mirror: value.mirror,
    roi: value.roi,
    masks: value.masks.map((mask) => mask.polygon),
    zones: value.zones.map(({ id, polygon, kind }) => ({ id, polygon, kind })),
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
  rotate: "the rotation",
  mirror: "the mirroring",
  roi: "the region",
  masks: "the masks",
  zones: "the zones",
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
  const kept = ["roi", "masks", "zones"].filter((key) => keys.has(key));
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
  if (path[2] === "zone") {
    const zone = value.zones.find(({ id }) => id === path[3]) ?? value.zones[Number(path[3])];
    return { key: zone?.key ?? null, field: zone ? (path[4] ?? "id") : null, text };
  }
  if (path[2] === "masks") {
    const mask = value.masks[Number(path[3])];
    return { key: mask?.key ?? null, field: mask ? "polygon" : null, text };
  }
  return { key: null, field: path[2] ?? null, text };
}

/** The value of a field with a problem, to detect when it changes. */
export function subject(value, { key, field }) {
  const shape = [...value.masks, ...value.zones].find((one) => one.key === key);
  return shape ?? value.pose[field] ?? value[field] ?? null;
}
