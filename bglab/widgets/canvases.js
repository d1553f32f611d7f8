// Square canvases, and what is drawn on them.

import { colourMap } from "./composer.js";
import { make } from "./controls.js";

/** @import { Attributes } from "./controls.js" */
/** @import { Bytes } from "./view.js" */

/**
 * @param {number} size Side in pixels
 * @param {Attributes} attributes
 */
export const square = (size, attributes) => make("canvas", { width: size, height: size, ...attributes });

/**
 * A canvas that nobody has asked for another kind of context has this one.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} [settings]
 */
export const penOf = (canvas, settings) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", settings));

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8ClampedArray<ArrayBuffer>} levels RGBA
 */
export const putLevels = (canvas, levels) =>
  penOf(canvas).putImageData(new ImageData(levels, canvas.width, canvas.height), 0, 0);

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Bytes} png
 */
export const drawPng = async (canvas, png) => {
  const bitmap = await createImageBitmap(new Blob([png], { type: "image/png" }));
  penOf(canvas).drawImage(bitmap, 0, 0);
  bitmap.close();
};

/**
 * A saliency map of the kernel as RGBA; null if there is none.
 *
 * @param {Bytes | undefined} bytes Of float32
 * @param {[height: number, width: number] | null | undefined} shape
 * @param {number} size Side in pixels
 * @param {ArrayLike<number>} table Red, green and blue of 256 colours
 */
export const heatOf = (bytes, shape, size, table) =>
  shape && bytes?.byteLength ? colourMap(new Float32Array(bytes.slice().buffer), ...shape, size, table) : null;
