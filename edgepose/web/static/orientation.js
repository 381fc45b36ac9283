/**
 * Orientation of a camera's picture: `rotate` degrees clockwise, then mirrored, as in the daemon.
 * Points are fractions of the frame: [0, 0] is its top left, [1, 1] its bottom right.
 */

const CLOCKWISE = {
  0: ([x, y]) => [x, y],
  90: ([x, y]) => [1 - y, x],
  180: ([x, y]) => [1 - x, 1 - y],
  270: ([x, y]) => [y, 1 - x],
};

const flip = ([x, y]) => [1 - x, y];

/** Return a function that maps points of one orientation to another. */
export function between(from, to) {
  const back = CLOCKWISE[(360 - from.rotate) % 360];
  const there = CLOCKWISE[to.rotate];
  return (point) => {
    const raw = back(from.mirror ? flip(point) : point);
    const turned = there(raw);
    return to.mirror ? flip(turned) : turned;
  };
}

/** Whether width and height are swapped between two orientations. */
export function swaps(from, to) {
  return (from.rotate - to.rotate) % 180 !== 0;
}
