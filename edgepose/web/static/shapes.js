/** Polygons in fractions of the frame: [0, 0] is its top left, [1, 1] its bottom right. */

const DECIMALS = 1e4; // 0.1 px in a picture 1000 px wide

/** The numbers of corners that a kind of shape may have. */
export const LEAST = { line: 2, floor: 4 };
export const MOST = { floor: 4 };
export const least = (kind) => LEAST[kind] ?? 3;
export const most = (kind) => MOST[kind] ?? Infinity;

/** Whether a shape is a path with two ends. */
export const isOpen = (kind) => kind === "line";

const rounded = (value) => Math.round(Math.min(1, Math.max(0, value)) * DECIMALS) / DECIMALS;

/** Clamp a point to the frame and round it for the file. */
export const tidy = ([x, y]) => [rounded(x), rounded(y)];

export const rectangle = ([x0, y0], [x1, y1]) => {
  const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)];
  const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)];
  return [[left, top], [right, top], [right, bottom], [left, bottom]].map(tidy);
};

export const moved = (polygon, index, point) =>
  polygon.map((corner, i) => (i === index ? tidy(point) : corner));

export const inserted = (polygon, index, point) => polygon.toSpliced(index, 0, tidy(point));

export const without = (polygon, index) => polygon.toSpliced(index, 1);

/** Shift a whole polygon, at most to the edge of the frame. */
export function shifted(polygon, dx, dy) {
  const [x, y] = [dx, dy].map((by, axis) => {
    const values = polygon.map((corner) => corner[axis]);
    return Math.max(-Math.min(...values), Math.min(by, 1 - Math.max(...values)));
  });
  return polygon.map((corner) => tidy([corner[0] + x, corner[1] + y]));
}

/** Positions left and right of the middle of a line, looking along it; the frame is `ratio` wide. */
export function besides(points, ratio, distance) {
  const index = Math.floor((points.length - 2) / 2);
  const [from, to] = [points[index], points[index + 1]];
  const [x, y] = middle(points, index);
  const [dx, dy] = [(to[0] - from[0]) * ratio, to[1] - from[1]];
  const length = Math.hypot(dx, dy) || 1;
  const [aside, down] = [(dy / length) * (distance / ratio), (-dx / length) * distance];
  return [[x + aside, y + down], [x - aside, y - down]];
}

/** The middle of the edge after a corner. */
export function middle(polygon, index) {
  const [a, b] = [polygon[index], polygon[(index + 1) % polygon.length]];
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}

/** Move one corner of an upright rectangle with its neighbours; keeps a minimum size. */
export function stretched(corners, index, point, least) {
  const there = rectangle(tidy(point), corners[(index + 2) % corners.length]);
  const [, , width, height] = region(there);
  return Math.min(width, height) < least ? corners : there;
}

export const WHOLE = [0, 0, 1, 1];

/** The corners of a region [x, y, width, height]. */
export const corners = ([x, y, width, height]) => rectangle([x, y], [x + width, y + height]);

/** The region that an upright rectangle encloses. */
export function region(polygon) {
  const [x, y] = [0, 1].map((axis) => polygon.map((corner) => corner[axis]));
  const [left, top] = [Math.min(...x), Math.min(...y)];
  return [left, top, rounded(Math.max(...x) - left), rounded(Math.max(...y) - top)];
}

export const isWhole = (roi) => same(roi, WHOLE);

/** Whether plain data is equal. */
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** A point as text for screen readers. */
export const spoken = ([x, y]) =>
  `${Math.round(x * 100)} percent from the left, ${Math.round(y * 100)} percent from the top`;
