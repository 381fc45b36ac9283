/** Skeletons, zones and the camera's picture on a canvas. */

import { nameOf } from "./friendly_names.js";
import { between, swaps } from "./orientation.js";

// Okabe and Ito, "Color Universal Design", 2008: distinguishable by colour-blind people. The daemon's
// own pictures use the same; the person's own left is lighter, the right darker.
const COLOURS = [
  [230, 159, 0],
  [86, 180, 233],
  [0, 158, 115],
  [240, 228, 66],
  [64, 134, 214],
  [213, 94, 0],
  [204, 121, 167],
];
const LEFT_TONE = 0.4;
const RIGHT_TONE = 0.3;

export const AREA = "#4fb3bf";
export const REST = "#c58af9";
export const LINE = "#ff8ad8";

const AS_IT_IS = { rotate: 0, mirror: false };

/**
 * Draw a frame of one camera.
 *
 * `message` are its poses or null, `picture` a bitmap or null, `zones` polygons with an id and a
 * kind, `occupied` the ids of the occupied ones, `lines` points with an id, `minScore` the minimum
 * score of drawn keypoints. People and picture have the orientation `from` and are shown in `to`;
 * zones are drawn unchanged. `skeleton` are pairs of keypoints, `names` the keypoints' names.
 */
export function render(canvas, moment) {
  const pen = ready(canvas);
  const { message, picture, from = AS_IT_IS, to = AS_IT_IS } = moment;
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (!message) return;
  const frame = placed(canvas, message, swaps(from, to));
  const turn = between(from, to);
  if (picture) renderPicture(pen, picture, frame, turn);
  for (const zone of moment.zones) renderZone(pen, zone, frame, moment.occupied.has(zone.id));
  for (const line of moment.lines ?? []) renderLine(pen, line, frame);
  const people = message.poses.map((person, index) => ({
    ...person,
    colour: COLOURS[(person.id ?? index) % COLOURS.length],
    joints: person.keypoints.map(([x, y, score]) => ({
      at: frame.at(turn([(x + 0.5) / message.width, (y + 0.5) / message.height])),
      seen: score >= moment.minScore,
    })),
  }));
  for (const person of people) renderPerson(pen, person, moment, frame);
  for (const person of people) label(pen, person, frame, canvas);
}

/** The smallest readable font size in canvas pixels. */
const least = () => 11 * (window.devicePixelRatio || 1);

/** Size the canvas in device pixels and return its context. */
function ready(canvas) {
  const density = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) =>
    Math.max(1, Math.round(side * density)),
  );
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  return canvas.getContext("2d");
}

/** Fit the frame into the middle of the canvas. */
function placed(canvas, message, swapped) {
  const [wide, high] = swapped ? [message.height, message.width] : [message.width, message.height];
  const scale = Math.min(canvas.width / wide, canvas.height / high);
  const [width, height] = [wide * scale, high * scale];
  const [left, top] = [(canvas.width - width) / 2, (canvas.height - height) / 2];
  return {
    at: ([x, y]) => [left + x * width, top + y * height],
    unit: Math.max(1, Math.min(width, height) / 240),
  };
}

function renderPicture(pen, picture, frame, turn) {
  const [origin, right, down] = [[0, 0], [1, 0], [0, 1]].map((corner) => frame.at(turn(corner)));
  pen.save();
  pen.transform(
    (right[0] - origin[0]) / picture.width,
    (right[1] - origin[1]) / picture.width,
    (down[0] - origin[0]) / picture.height,
    (down[1] - origin[1]) / picture.height,
    ...origin,
  );
  pen.drawImage(picture, 0, 0);
  pen.restore();
}

function renderLine(pen, { points, ...line }, frame) {
  const corners = points.map(frame.at);
  pen.save();
  trace(pen, corners);
  pen.strokeStyle = LINE;
  pen.lineWidth = frame.unit * 1.6;
  pen.stroke();
  write(pen, nameOf(line), lowest(corners), frame, LINE);
  pen.restore();
}

function renderZone(pen, { polygon, kind, ...zone }, frame, occupied) {
  const corners = polygon.map(frame.at);
  const colour = kind === "rest" ? REST : AREA;
  pen.save();
  trace(pen, corners);
  pen.closePath();
  pen.fillStyle = colour;
  pen.globalAlpha = occupied ? 0.34 : 0.13;
  pen.fill();
  pen.globalAlpha = occupied ? 1 : 0.65;
  pen.strokeStyle = colour;
  pen.lineWidth = frame.unit * (occupied ? 1.6 : 1);
  pen.setLineDash(occupied ? [] : [frame.unit * 5, frame.unit * 4]);
  pen.stroke();
  pen.globalAlpha = 1;
  pen.setLineDash([]);
  write(pen, nameOf(zone), lowest(corners), frame, colour);
  pen.restore();
}

/** Position of a zone's name: at its lower edge, where people rarely cover it. */
function lowest(corners) {
  const [x, y] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  return [(Math.min(...x) + Math.max(...x)) / 2, Math.max(...y)];
}

function write(pen, text, [x, y], frame, colour) {
  const size = Math.max(frame.unit * 8, least());
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "bottom";
  pen.lineJoin = "round";
  pen.lineWidth = frame.unit * 3;
  pen.strokeStyle = "rgba(0, 0, 0, 0.75)";
  pen.strokeText(text, x, y - size / 3);
  pen.fillStyle = colour;
  pen.fillText(text, x, y - size / 3);
}

function trace(pen, points) {
  pen.beginPath();
  for (const point of points) pen.lineTo(...point);
}

function renderPerson(pen, { colour, joints }, { skeleton, names }, frame) {
  pen.lineCap = "round";
  for (const [start, end] of skeleton) {
    if (!joints[start]?.seen || !joints[end]?.seen) continue;
    trace(pen, [joints[start].at, joints[end].at]);
    pen.strokeStyle = tone(colour, [names[start], names[end]]);
    pen.lineWidth = frame.unit * 2.6;
    pen.stroke();
  }
  joints.forEach(({ at, seen }, joint) => {
    if (!seen) return;
    pen.beginPath();
    pen.arc(...at, frame.unit * 2.3, 0, 2 * Math.PI);
    pen.fillStyle = tone(colour, [names[joint]]);
    pen.fill();
  });
}

function tone(colour, joints) {
  const sides = new Set(joints.map((name) => name.split("_")[0]));
  if (sides.size > 1) return css(colour);
  if (sides.has("left")) return css(mixed(colour, 255, LEFT_TONE));
  if (sides.has("right")) return css(mixed(colour, 0, RIGHT_TONE));
  return css(colour);
}

const css = (colour) => `rgb(${colour.join(" ")})`;
const mixed = (colour, other, part) => colour.map((one) => Math.round(one + (other - one) * part));

/** Write id, posture and score above a person's highest joint, within the picture. */
function label(pen, { id, posture, posture_detail: detail, score, colour, joints }, frame, canvas) {
  const seen = joints.filter((joint) => joint.seen).map((joint) => joint.at);
  if (!seen.length) return;
  const body = detail?.replaceAll("_", " ") ?? posture;
  const words = [id, body === "unknown" ? null : body, score.toFixed(2)];
  const text = words.filter((word) => word !== null).join("  ");
  const size = Math.max(frame.unit * 9, least());
  pen.font = `600 ${size}px system-ui, sans-serif`;
  const [width, height] = [pen.measureText(text).width + size, size * 1.6];
  const top = seen.reduce((best, at) => (at[1] < best[1] ? at : best));
  const x = inside(top[0] - width / 2, canvas.width - width);
  const y = inside(top[1] - height - size * 0.8, canvas.height - height);
  pen.fillStyle = "rgba(8, 12, 16, 0.72)";
  pen.beginPath();
  pen.roundRect(x, y, width, height, height / 2);
  pen.fill();
  pen.fillStyle = css(mixed(colour, 255, LEFT_TONE));
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(text, x + size / 2, y + height / 2);
}

const inside = (value, most) => Math.max(0, Math.min(value, most));
