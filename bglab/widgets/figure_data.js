// What the figure of a project page has in it: images, decoded when they are first needed, and answers by row.

import { penOf, square } from "./canvases.js";
import { make } from "./controls.js";

/** @import { Adjustment } from "./composer.js" */
/** @import { SliderRange } from "./controls.js" */
/** @import { ClassRow, Result } from "./results.js" */
/** @import { Bytes } from "./view.js" */

/** @typedef {[label: number, now: number, before: number]} StoredClass */
/** @typedef {[shown: any[] | null, top: StoredClass[], prediction: number, correct: boolean | null, captured: boolean, share: number | null]} StoredRow See StoredAnswers in stored_answers.py */
/** @typedef {{ rows: StoredRow[], map: [height: number, width: number] | null, maps: string }} StoredSeries One classifier's answers over all mixes */
/** @typedef {{ layers: number[], donor: string, donor_label: number, answers: StoredSeries[] }} StoredPair */

/**
 * @typedef {object} FigureData What `build_page` of web_page.py stores
 * @property {number} size Side of the images in pixels
 * @property {number} thumb Side of the thumbnails in pixels
 * @property {number[]} mixes
 * @property {Adjustment} settings
 * @property {{ scene: string, background: string, mix: number, saliency_opacity: number, model: number }} state
 * @property {SliderRange} opacity
 * @property {string[]} nine
 * @property {string[]} own
 * @property {string[]} own_rows
 * @property {string} rest
 * @property {number[]} colour_map
 * @property {string[]} models
 * @property {Record<number, string>[]} native Names of classes, for each classifier
 * @property {string[]} no_map
 * @property {boolean[]} is_comparable
 * @property {{ id: string, words: string, truth: number, originals: StoredRow[] }[]} scenes
 * @property {{ key: string, words: string }[]} backgrounds
 * @property {StoredPair[][]} pairs
 * @property {string[]} images
 */

export const SHEET_COLUMNS = 8;

/**
 * @param {string} text Of base64
 * @returns {Bytes}
 */
export const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// Images of the page: decoded when they are first needed.
export class StoredImages {
  /**
   * @param {string[]} texts WebP as base64
   * @param {number} size Side in pixels
   */
  constructor(texts, size) {
    this.texts = texts;
    this.size = size;
    /** @type {Map<number, Promise<Bytes>>} */
    this.planes = new Map();
    this.pen = penOf(square(size, {}), { willReadFrequently: true });
  }

  /** @param {number} place */
  bitmap(place) {
    const blob = new Blob([bytesOf(this.texts[place])], { type: "image/webp" });
    return createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  }

  /**
   * Red, green and blue planes, one after the other.
   *
   * @param {number} place
   */
  decoded(place) {
    const planes = this.planes.get(place) ?? this.decode(place);
    this.planes.set(place, planes);
    return planes;
  }

  /** @param {number} place */
  async decode(place) {
    const bitmap = await this.bitmap(place);
    const area = this.size * this.size;
    this.pen.drawImage(bitmap, 0, 0);
    bitmap.close();
    const { data } = this.pen.getImageData(0, 0, this.size, this.size);
    const planes = new Uint8Array(3 * area);
    for (let i = 0; i < area; i++) {
      for (let channel = 0; channel < 3; channel++) planes[channel * area + i] = data[4 * i + channel];
    }
    return planes;
  }

  /**
   * A sheet of thumbnails, for a strip.
   *
   * @param {number[]} places
   * @param {number} side In pixels
   * @returns {Promise<Bytes>}
   */
  async sheet(places, side) {
    const height = Math.ceil(places.length / SHEET_COLUMNS) * side;
    const canvas = make("canvas", { width: SHEET_COLUMNS * side, height });
    const pen = penOf(canvas);
    pen.imageSmoothingQuality = "high";
    const draw = async (/** @type {number} */ place, /** @type {number} */ i) => {
      const bitmap = await this.bitmap(place);
      pen.drawImage(bitmap, (i % SHEET_COLUMNS) * side, Math.floor(i / SHEET_COLUMNS) * side, side, side);
      bitmap.close();
    };
    await Promise.all(places.map(draw));
    /** @type {Blob | null} */
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
    return new Uint8Array((await blob?.arrayBuffer()) ?? new ArrayBuffer(0));
  }
}

/**
 * Turns a stored row into a result as the kernel's messages have it.
 *
 * @param {FigureData} data
 * @param {number} model
 * @param {StoredRow} row
 * @returns {Result}
 */
export const resultOf = (data, model, [shown, top, prediction, correct, captured, share]) => {
  const isNine = data.nine.length > 0;
  /** @type {(name: (label: number) => string) => (stored: StoredClass) => ClassRow} */
  const named =
    (name) =>
    ([label, now, before]) => [label, name(label), now, before];
  return {
    nine: isNine ? shown : null,
    own: isNine || !shown ? null : shown.map(named((label) => data.own[label] ?? data.rest)),
    top: top.map(named((label) => data.native[model][label])),
    is_comparable: data.is_comparable[model],
    no_map: data.no_map[model] || null,
    map: null,
    prediction,
    correct,
    captured,
    share,
  };
};
