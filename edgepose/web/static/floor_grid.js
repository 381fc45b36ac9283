/** The metres of a floor, drawn as a grid in the camera's frame. */

const MOST_LINES = 40;
const STEPS = 24; // pieces of a grid line, each of which is in front of the camera or left out
const STEPS_M = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500];

/** The places of a floor's four points in metres. */
export function places({ metres, size: [width, depth] }) {
  return metres.length ? metres : [[0, 0], [width, 0], [width, depth], [0, depth]];
}

/**
 * The grid of a floor as polylines in parts of the frame, and the metres between its lines.
 *
 * It reaches half the size of the marked area beyond it. Null if the points lie on a line.
 */
export function floorGrid(floor) {
  const there = places(floor);
  const project = homography(there, floor.points);
  if (!project) return null;
  const [x, y] = [0, 1].map((axis) => reach(there.map((place) => place[axis])));
  const step = STEPS_M.find((one) => (x[1] - x[0] + y[1] - y[0]) / one < MOST_LINES) ?? 1000;
  const lines = [
    ...marks(x, step).map((at) => piece(project, [at, y[0]], [at, y[1]])),
    ...marks(y, step).map((at) => piece(project, [x[0], at], [x[1], at])),
  ];
  return { step, lines: lines.flat() };
}

function reach(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return [low - (high - low) / 2, high + (high - low) / 2];
}

function marks([low, high], step) {
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
}

/** A line of the grid; several polylines where parts of it are behind the camera. */
function piece(project, from, to) {
  const found = [[]];
  for (let i = 0; i <= STEPS; i += 1) {
    const at = project(from.map((part, axis) => part + ((to[axis] - part) * i) / STEPS));
    if (at) found.at(-1).push(at);
    else if (found.at(-1).length) found.push([]);
  }
  return found.filter((line) => line.length > 1);
}

/** The function from metres to the frame; it returns null for places behind the camera. */
function homography(metres, points) {
  const rows = metres.flatMap(([x, y], i) => {
    const [u, v] = points[i];
    return [[x, y, 1, 0, 0, 0, -u * x, -u * y, u], [0, 0, 0, x, y, 1, -v * x, -v * y, v]];
  });
  const h = solved(rows);
  if (!h) return null;
  const depth = ([x, y]) => h[6] * x + h[7] * y + 1;
  // The four points are in front of the camera.
  const front = Math.sign(depth(metres[0]));
  return ([x, y]) => {
    const w = depth([x, y]);
    if (w * front < 0.05 * Math.abs(depth(metres[0]))) return null;
    return [(h[0] * x + h[1] * y + h[2]) / w, (h[3] * x + h[4] * y + h[5]) / w];
  };
}

/** Solve linear equations, each a row of factors and the result; null if there is no solution. */
function solved(rows) {
  const table = rows.map((row) => [...row]);
  const size = table.length;
  for (let at = 0; at < size; at += 1) {
    const best = table.reduce((top, row, i) => (i >= at && Math.abs(row[at]) > Math.abs(table[top][at]) ? i : top), at);
    [table[at], table[best]] = [table[best], table[at]];
    if (Math.abs(table[at][at]) < 1e-9) return null;
    for (let i = 0; i < size; i += 1) {
      if (i === at) continue;
      const factor = table[i][at] / table[at][at];
      table[i] = table[i].map((value, j) => value - factor * table[at][j]);
    }
  }
  return table.map((row, i) => row[size] / row[i]);
}
