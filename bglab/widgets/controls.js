// Labelled controls, whose key presses never reach the notebook.

/** @import { Bytes } from "./view.js" */

// JupyterLab looks for this attribute on the focused element only, so every control needs it.
export const QUIET = { "data-lm-suppress-shortcuts": "true" };

/**
 * Attributes of an element; those whose names begin with "on" are listeners.
 *
 * @typedef {{
 *   onclick?: (event: MouseEvent) => void,
 *   oninput?: (event: Event) => void,
 *   onchange?: (event: Event) => void,
 *   onkeydown?: (event: KeyboardEvent) => void,
 *   [name: string]: string | number | boolean | null | undefined | ((event: never) => void),
 * }} Attributes
 */

/**
 * Makes an element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes True stands for an attribute without a value; false, null and undefined for none
 * @param {(Node | string | null | undefined)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function")
      element.addEventListener(name.slice(2), /** @type {(event: Event) => void} */ (value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
};

/**
 * Writes a text only if it differs, since writing the same text again makes the browser lay out the page again.
 *
 * @param {HTMLElement} element
 * @param {string} words
 */
export const write = (element, words) => {
  if (element.textContent !== words) element.textContent = words;
};

/**
 * @param {string} text
 * @param {(event: MouseEvent) => void} press
 * @param {Attributes} attributes
 */
export const button = (text, press, attributes = {}) =>
  make("button", { type: "button", class: "bglab-button", onclick: press, ...QUIET, ...attributes }, text);

/** @typedef {[value: string, text: string]} Option */

/**
 * @param {string} label
 * @param {Option[]} options
 * @param {(value: string) => void} choose
 * @param {Attributes} attributes
 */
export const select = (label, options, choose, attributes = {}) => {
  const control = make("select", {
    "aria-label": label,
    title: label,
    onchange: () => choose(control.value),
    ...QUIET,
    ...attributes,
  });
  control.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  return control;
};

/** @typedef {string | ((value: number) => string)} Unit Stands behind a number, or turns it into words; "%" is for shares */

/**
 * A number as a slider shows it.
 *
 * @param {number} value
 * @param {Unit} unit
 */
export const formatted = (value, unit) => {
  if (typeof unit === "function") return unit(value);
  if (unit === "%") return `${Math.round(100 * value)} %`;
  return `${Number(value.toFixed(1))}${unit ? ` ${unit}` : ""}`;
};

/** @typedef {{ low: number, high: number, step: number, label: string, unit: Unit }} SliderRange */
/** @typedef {{ element: HTMLElement, input: HTMLInputElement, set: (value: number) => void }} Slider */

/**
 * A slider, which a double click resets.
 *
 * @param {string} name
 * @param {SliderRange} range
 * @param {(value: number) => void} drag Called on every movement
 * @param {() => void} settle Called when it is released
 * @returns {Slider}
 */
export const slider = (name, { low, high, step, label, unit }, drag, settle) => {
  const readout = make("output", { class: "bglab-readout" });
  const input = make("input", {
    type: "range",
    min: low,
    max: high,
    step,
    name,
    "aria-label": label,
    ...QUIET,
    oninput: () => {
      show();
      drag(Number(input.value));
    },
    onchange: () => settle(),
    ondblclick: () => input.dispatchEvent(new CustomEvent("reset", { bubbles: true })),
  });
  const show = () => {
    const words = formatted(Number(input.value), unit);
    if (readout.value === words) return;
    readout.value = words;
    input.setAttribute("aria-valuetext", words);
  };
  const element = make("label", { class: "bglab-slider" }, make("span", {}, label), input, readout);
  /** @param {number} value */
  const set = (value) => {
    if (Number(input.value) !== value) input.value = String(value);
    show();
  };
  return { element, input, set };
};

/**
 * Copies a text, where the page may; returns whether it did.
 *
 * @param {string} text
 */
export const copied = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
};

/**
 * A place for code that can be selected.
 *
 * @param {string} label
 */
export const codeBlock = (label) => make("pre", { class: "bglab-code", tabindex: 0, "aria-label": label, ...QUIET });

/**
 * Servers close a connection that sends more than about ten megabytes at once.
 *
 * @param {File} file
 * @returns {Promise<Blob>}
 */
const shrunk = async (file) => {
  if (file.size < 6e6) return file;
  const image = await createImageBitmap(file);
  const share = Math.min(1, 1600 / Math.max(image.width, image.height));
  const canvas = make("canvas", { width: Math.round(share * image.width), height: Math.round(share * image.height) });
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return new Promise((done, failed) =>
    canvas.toBlob(
      (blob) => (blob ? done(blob) : failed(new Error(`${file.name} cannot be made smaller`))),
      "image/png",
    ),
  );
};

/**
 * A button that opens a file.
 *
 * @param {string} text
 * @param {string} accept Types of files
 * @param {(name: string, bytes: ArrayBuffer) => void} take Takes the file's name without its suffix, and its bytes
 * @param {Attributes} attributes
 */
export const fileButton = (text, accept, take, attributes = {}) => {
  const input = make("input", { type: "file", accept, hidden: true, "aria-hidden": "true", tabindex: -1 });
  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    if (file) take(file.name.replace(/\.[^.]*$/, ""), await (await shrunk(file)).arrayBuffer());
    input.value = "";
  });
  return make(
    "span",
    {},
    button(text, () => input.click(), attributes),
    input,
  );
};

/**
 * @param {string} name
 * @param {string} mime
 * @param {Bytes} bytes
 */
export const download = (name, mime, bytes) => {
  const url = URL.createObjectURL(new Blob([bytes], { type: mime }));
  const link = make("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};
