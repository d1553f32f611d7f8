// Masks and boxes as they are drawn by hand; points are shares of the image's side, from the left and from the top.

/** @typedef {[x: number, y: number]} Point */
/** @typedef {[x0: number, y0: number, x1: number, y1: number]} DrawnBox */

/** @type {(value: number, low: number, high: number) => number} */
export const within = (value, low, high) => Math.min(Math.max(value, low), high);

// A box with a side that is shorter was a click.
const SMALLEST = 0.02;

/**
 * The box between two corners, inside the image; null if it is too small to be meant.
 *
 * @param {Point} from
 * @param {Point} to
 * @returns {DrawnBox | null}
 */
export const boxBetween = (from, to) => {
  const [x0, x1] = [from[0], to[0]].sort((a, b) => a - b).map((value) => within(value, 0, 1));
  const [y0, y1] = [from[1], to[1]].sort((a, b) => a - b).map((value) => within(value, 0, 1));
  return x1 - x0 > SMALLEST && y1 - y0 > SMALLEST ? [x0, y0, x1, y1] : null;
};

/**
 * Sets every pixel of a mask that a round brush touches on a straight way, in place.
 *
 * @param {Uint8Array} mask
 * @param {number} size Side of the mask in pixels
 * @param {Point} from
 * @param {Point} to
 * @param {number} brush Radius, as a share of the side
 * @param {0 | 1} value
 */
export const brushMask = (mask, size, [fromX, fromY], [toX, toY], brush, value) => {
  const radius = brush * size;
  const steps = Math.max(1, Math.ceil((Math.hypot(toX - fromX, toY - fromY) * size) / Math.max(1, radius / 2)));
  for (let step = 1; step <= steps; step++) {
    const cx = (fromX + ((toX - fromX) * step) / steps) * size;
    const cy = (fromY + ((toY - fromY) * step) / steps) * size;
    for (let row = Math.max(0, Math.floor(cy - radius)); row < Math.min(size, cy + radius); row++) {
      for (let column = Math.max(0, Math.floor(cx - radius)); column < Math.min(size, cx + radius); column++) {
        if (Math.hypot(column + 0.5 - cx, row + 0.5 - cy) <= radius) mask[row * size + column] = value;
      }
    }
  }
};
