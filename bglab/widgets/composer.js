// The kernel's compositing in the browser, so that the canvas follows a drag without delay. It mirrors compositing.py and
// placement.py of bglab/images, and bglab/variants/adjustments.py, and rounds to grey levels wherever they do:
// a Uint8ClampedArray rounds ties to even, as torch does.
// Planes are stored one after the other: red, green, blue.

/** @import { Bytes } from "./view.js" */
/** @import { State } from "./state.js" */

/** @typedef {Float32Array | Uint8ClampedArray} Planes Square planes, of values or of grey levels */

/**
 * @typedef {object} Layers What the kernel composes a scene and a background of, as grey levels
 * @property {Bytes} image The photograph
 * @property {Bytes} front Colours of the object
 * @property {Bytes} alpha The mask, of 0 and 1
 * @property {Bytes} plate The background
 */

/** @typedef {Omit<State, "scene" | "background" | "saliency_opacity" | "target" | "model">} Adjustment */
/** @typedef {{ low: number, high: number, weight: number }} Sample Two neighbours, and the weight of the second */

/** @type {(sigma: number, size: number) => Float32Array} */
const kernelOf = (sigma, size) => {
  const reach = Math.min(Math.round(3 * sigma), size - 1);
  const weights = new Float32Array(reach + 1);
  let total = 0;
  for (let i = 0; i <= reach; i++) {
    weights[i] = Math.exp(-0.5 * (i / sigma) ** 2);
    total += i ? 2 * weights[i] : weights[i];
  }
  return weights.map((weight) => weight / total);
};

/**
 * Blur one line of pixels `start + i * step`, reflecting at both ends.
 *
 * @param {Planes} source
 * @param {Planes} target
 * @param {number} start
 * @param {number} step
 * @param {number} size Pixels of the line
 * @param {Float32Array} weights Of the kernel, from its centre on
 * @param {Float32Array} line Room for the line, and for as much as the kernel reaches beyond either end
 */
const blurLine = (source, target, start, step, size, weights, line) => {
  const reach = weights.length - 1;
  for (let i = -reach; i < size + reach; i++) {
    const inside = i < 0 ? -i : i >= size ? 2 * size - 2 - i : i;
    line[i + reach] = source[start + inside * step];
  }
  for (let i = 0; i < size; i++) {
    const centre = i + reach;
    let sum = weights[0] * line[centre];
    for (let j = 1; j <= reach; j++) sum += weights[j] * (line[centre - j] + line[centre + j]);
    target[start + i * step] = sum;
  }
};

/**
 * @template {Planes} Kind
 * @param {Kind} planes
 * @param {number} size
 * @param {number} sigma In pixels
 * @returns {Kind}
 */
export const blurPlanes = (planes, size, sigma) => {
  if (sigma <= 0) return planes;
  const weights = kernelOf(sigma, size);
  const line = new Float32Array(size + 2 * (weights.length - 1));
  const rows = new Float32Array(planes.length);
  const both = new Float32Array(planes.length);
  for (let plane = 0; plane < planes.length; plane += size * size) {
    for (let y = 0; y < size; y++) blurLine(planes, rows, plane + y * size, 1, size, weights, line);
    for (let x = 0; x < size; x++) blurLine(rows, both, plane + x, size, size, weights, line);
  }
  return /** @type {Kind} */ (planes instanceof Float32Array ? both : new Uint8ClampedArray(both));
};

/** @type {(planes: Uint8ClampedArray, factor: number) => Uint8ClampedArray} */
export const brightenPlanes = (planes, factor) => {
  if (factor === 1) return planes;
  const levels = new Uint8ClampedArray(256);
  for (let level = 0; level < 256; level++) levels[level] = level * factor;
  return planes.map((level) => levels[level]);
};

/**
 * Dilate by a disc of `radius` pixels, or erode if it is negative; the image border does not erode.
 *
 * @param {Float32Array} mask Of 0 and 1
 * @param {number} size
 * @param {number} radius In whole pixels
 */
export const growMask = (mask, size, radius) => {
  if (!radius) return mask;
  const reach = Math.abs(radius);
  const wanted = radius > 0 ? 1 : 0;
  const grown = new Float32Array(mask);
  for (let dy = -reach; dy <= reach; dy++) {
    const dx = Math.floor(Math.sqrt(reach * reach - dy * dy) + 1e-9);
    for (let y = 0; y < size; y++) {
      if (y + dy < 0 || y + dy >= size) continue;
      for (let x = 0; x < size; x++) {
        if (mask[y * size + x] !== wanted) continue;
        const row = (y + dy) * size;
        grown.fill(wanted, row + Math.max(0, x - dx), row + Math.min(size, x + dx + 1));
      }
    }
  }
  return grown;
};

/**
 * The source of each column or row of the moved image.
 *
 * @param {number} size
 * @param {number} shift As a share of the side
 * @param {number} scale
 * @param {boolean} flip
 */
const pointsOf = (size, shift, scale, flip) => {
  /** @type {Sample[]} */
  const points = [];
  for (let i = 0; i < size; i++) {
    const at = (i + 0.5 - size / 2 - shift * size) / scale + size / 2 - 0.5;
    const low = Math.floor(at);
    /** @param {number} j */
    const mirror = (j) => (flip ? size - 1 - j : j);
    points.push({ low: mirror(low), high: mirror(low + 1), weight: at - low });
  }
  return points;
};

/**
 * @template {Planes} Kind
 * @param {Planes} source
 * @param {Kind} target
 * @param {number} size
 * @param {Sample[]} columns
 * @param {Sample[]} rows
 * @param {boolean} border Whether the border is repeated outside; it is 0 there otherwise
 * @returns {Kind} The target
 */
const sampled = (source, target, size, columns, rows, border) => {
  /** @param {number} i */
  const clamp = (i) => Math.min(Math.max(i, 0), size - 1);
  /** @type {(plane: number, y: number, x: number) => number} */
  const get = (plane, y, x) =>
    border
      ? source[plane + clamp(y) * size + clamp(x)]
      : y < 0 || x < 0 || y >= size || x >= size
        ? 0
        : source[plane + y * size + x];
  for (let plane = 0; plane < source.length; plane += size * size) {
    for (let y = 0; y < size; y++) {
      const row = rows[y];
      for (let x = 0; x < size; x++) {
        const column = columns[x];
        const above =
          get(plane, row.low, column.low) * (1 - column.weight) + get(plane, row.low, column.high) * column.weight;
        const below =
          get(plane, row.high, column.low) * (1 - column.weight) + get(plane, row.high, column.high) * column.weight;
        target[plane + y * size + x] = above * (1 - row.weight) + below * row.weight;
      }
    }
  }
  return target;
};

/** @param {Adjustment} s */
const isPlaced = (s) => s.dx !== 0 || s.dy !== 0 || s.scale !== 1 || s.flip;

// Rounds a number of moderate size as a Uint8ClampedArray does, ties to even: doubles of this size have no fractions.
const HALF_EVEN = 1.5 * 2 ** 52;

// Composes states of one scene and background; each stage is cached until something that it depends on changes.
export class Composer {
  /**
   * @param {number} size Side in pixels
   * @param {Layers} layers
   */
  constructor(size, { image, front, alpha, plate }) {
    // arrays of one type: loops over them are compiled once
    /** @param {Bytes} plane */
    const levels = (plane) => new Uint8ClampedArray(plane.buffer, plane.byteOffset, plane.length);
    this.size = size;
    this.image = levels(image);
    this.front = levels(front);
    this.plate = levels(plate);
    this.mask = Float32Array.from(alpha);
    /** @type {Map<string, { key: string, value: Planes }>} */
    this.cache = new Map();
    this.composed = new Uint8ClampedArray(4 * size * size).fill(255);
  }

  /**
   * @template {Planes} Kind
   * @param {string} name
   * @param {string} key What the stage depends on
   * @param {() => Kind} compute
   * @returns {Kind}
   */
  stage(name, key, compute) {
    const cached = this.cache.get(name);
    if (cached?.key === key) return /** @type {Kind} */ (cached.value);
    const value = compute();
    this.cache.set(name, { key, value });
    return value;
  }

  /** @param {Adjustment} s */
  alpha(s) {
    const soft = this.stage("soft", `${s.grow} ${s.feather}`, () =>
      blurPlanes(growMask(this.mask, this.size, s.grow), this.size, s.feather),
    );
    if (!isPlaced(s)) return soft;
    return this.stage("alpha", `${s.grow} ${s.feather} ${s.dx} ${s.dy} ${s.scale} ${s.flip}`, () =>
      sampled(soft, new Float32Array(soft.length), this.size, ...this.points(s), false),
    );
  }

  /**
   * @param {Adjustment} s
   * @returns {[columns: Sample[], rows: Sample[]]}
   */
  points(s) {
    return [pointsOf(this.size, s.dx, s.scale, s.flip), pointsOf(this.size, s.dy, s.scale, false)];
  }

  /** @param {Adjustment} s */
  colours(s) {
    if (!isPlaced(s)) return this.front;
    return this.stage("front", `${s.dx} ${s.dy} ${s.scale} ${s.flip}`, () =>
      sampled(this.front, new Uint8ClampedArray(this.front.length), this.size, ...this.points(s), true),
    );
  }

  /**
   * Returns the state as RGBA, in an array that the next call overwrites.
   *
   * @param {Adjustment} s
   */
  compose(s) {
    const { size, image, composed } = this;
    const blurred = this.stage("blurred", `${s.background_blur}`, () =>
      blurPlanes(this.plate, size, s.background_blur),
    );
    const lit = this.stage("lit", `${s.background_blur} ${s.brightness}`, () => brightenPlanes(blurred, s.brightness));
    const alpha = this.alpha(s);
    const front = this.colours(s);
    const area = size * size;
    const { mix } = s;
    for (let channel = 0, at = 0; channel < 3; channel++) {
      for (let i = 0, j = channel; i < area; i++, j += 4, at++) {
        // either layer is mixed with the photograph; almost every pixel shows only one of them
        const a = alpha[i];
        const own = image[at];
        const back = a === 1 ? 0 : own + mix * (lit[at] - own) + HALF_EVEN - HALF_EVEN;
        const fore = a === 0 ? 0 : own + mix * (front[at] - own) + HALF_EVEN - HALF_EVEN;
        composed[j] = a === 0 ? back : a === 1 ? fore : back + a * (fore - back);
      }
    }
    return composed;
  }
}

/**
 * Places of `size` pixels between `count` values: the neighbours before and after, and the weight of the second.
 *
 * @param {number} count
 * @param {number} size
 */
const between = (count, size) => {
  const low = new Uint16Array(size);
  const high = new Uint16Array(size);
  const weight = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const place = Math.min(Math.max(((i + 0.5) * count) / size - 0.5, 0), count - 1);
    low[i] = Math.floor(place);
    high[i] = Math.min(low[i] + 1, count - 1);
    weight[i] = place - low[i];
  }
  return { low, high, weight };
};

/**
 * Returns a saliency map as RGBA: upsampled bilinearly, scaled to its maximum, coloured by a table.
 *
 * @param {Float32Array} map Values that are not negative, row by row
 * @param {number} height
 * @param {number} width
 * @param {number} size Side in pixels of what is returned
 * @param {ArrayLike<number>} table Red, green and blue of 256 colours
 */
export const colourMap = (map, height, width, size, table) => {
  const top = map.reduce((most, value) => Math.max(most, value), 0) || 1;
  const colours = new Uint32Array(256);
  for (let level = 0; level < 256; level++) {
    // the less salient, the more transparent
    const alpha = Math.round(255 * Math.sqrt(level / 255));
    colours[level] = (alpha << 24) | (table[3 * level + 2] << 16) | (table[3 * level + 1] << 8) | table[3 * level];
  }
  const columns = between(width, size);
  const rows = between(height, size);
  const coloured = new Uint32Array(size * size);
  const line = new Float32Array(width);
  for (let y = 0; y < size; y++) {
    const above = rows.low[y] * width;
    const below = rows.high[y] * width;
    const b = rows.weight[y];
    for (let x = 0; x < width; x++) line[x] = (255 / top) * (map[above + x] * (1 - b) + map[below + x] * b);
    for (let x = 0; x < size; x++) {
      const a = columns.weight[x];
      // levels are not negative, so that adding one half and truncating rounds them
      coloured[y * size + x] = colours[(line[columns.low[x]] * (1 - a) + line[columns.high[x]] * a + 0.5) | 0];
    }
  }
  return new Uint8ClampedArray(coloured.buffer);
};
