// The settings that the explorer shows, as state.py of this folder has them.

/**
 * @typedef {object} State Settings of the explorer; `State` of state.py says what each means
 * @property {string} scene
 * @property {string} background Its kind, and after a colon which one of the kind
 * @property {number} mix
 * @property {number} background_blur
 * @property {number} brightness
 * @property {number} feather
 * @property {number} grow
 * @property {number} dx
 * @property {number} dy
 * @property {number} scale
 * @property {boolean} flip
 * @property {number} saliency_opacity
 * @property {string} target
 * @property {number} model
 */

/** @typedef {keyof State} Setting */
/** @typedef {"own" | "scene" | "variant" | "colour" | "texture" | "noise" | "image"} BackgroundKind */
/** @typedef {"mix" | "background_blur" | "brightness" | "feather" | "grow" | "dx" | "dy" | "scale" | "saliency_opacity"} SliderName */

/** What a drag of the object changes. @type {Setting[]} */
export const PLACED = ["dx", "dy", "scale", "flip"];

/** Settings that change the image; the others only change what is shown about it. @type {Setting[]} */
export const PICTURED = [
  "scene",
  "background",
  "mix",
  "background_blur",
  "brightness",
  "feather",
  "grow",
  "dx",
  "dy",
  "scale",
  "flip",
];

/**
 * The settings of some names.
 *
 * @param {State} state
 * @param {Setting[]} names
 * @returns {Partial<State>}
 */
export const settingsOf = (state, names) => Object.fromEntries(names.map((name) => [name, state[name]]));

/**
 * The kind of a background such as `scene:ID`.
 *
 * @param {string} background
 */
export const kindOf = (background) => /** @type {BackgroundKind} */ (background.split(":")[0]);

/**
 * A movement of the object: shares of the image's side, a factor, and whether it is mirrored.
 *
 * @typedef {{ dx?: number, dy?: number, scale?: number, flip?: boolean }} Movement
 */

/**
 * The placement of a state after a movement, within the ranges of the sliders.
 *
 * @param {State} state
 * @param {Movement} movement
 * @param {Record<"dx" | "dy" | "scale", { low: number, high: number }>} ranges
 */
export const movedBy = (state, { dx = 0, dy = 0, scale = 1, flip = false }, ranges) => {
  /** @type {(name: "dx" | "dy" | "scale", value: number) => number} */
  const clamped = (name, value) => Math.min(Math.max(value, ranges[name].low), ranges[name].high);
  return {
    dx: clamped("dx", state.dx + dx),
    dy: clamped("dy", state.dy + dy),
    scale: clamped("scale", state.scale * scale),
    flip: flip ? !state.flip : state.flip,
  };
};
