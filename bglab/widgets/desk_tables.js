// What the desk shows of one table or figure: what came of it, ours beside the paper's, and remarks.

import { make, QUIET } from "./controls.js";
import { counted } from "./strip.js";

/**
 * @typedef {object} Cells A table in words, as `Cells` of the kernel has it
 * @property {string[]} columns
 * @property {string[][]} rows
 * @property {boolean[]} right Columns that are aligned to the right
 * @property {boolean[][]} bold By row and column
 */

/**
 * @typedef {object} Artefact What `artefact_message` of desk_messages.py says of a table or figure
 * @property {string} id
 * @property {string} title
 * @property {string} place
 * @property {string} paper Title of the paper
 * @property {string} about
 * @property {string} status "" if it was not made
 * @property {string} chip The status in a word or two
 * @property {string} reason
 * @property {string} data
 * @property {[least: number, most: number] | null} n Images that a number in it is of
 * @property {string[]} models
 * @property {number | null} predictions Predictions of single images that it was made from; null before it is made
 * @property {string[]} notes
 * @property {string[]} contradictions
 * @property {Record<string, Cells | null>} tables By name; null where there is none to show
 */

/** @type {Record<string, string | undefined>} */
const HEADINGS = { ours: "Ours", published: "The paper prints", compared: "Ours and the paper's, number by number" };

/**
 * The parts of a cell's text: an interval is set smaller than its estimate.
 *
 * @param {string} text
 * @returns {[value: string, interval: string | null]}
 */
const partsOfCell = (text) => {
  const found = /^(.*?)( \[[^\]]*\])$/.exec(text);
  return found ? [found[1], found[2]] : [text, null];
};

/**
 * @param {Cells} cells
 * @param {string} label
 */
const tableOf = ({ columns, rows, right, bold }, label) => {
  /** @param {number} i */
  const side = (i) => (right[i] ? "bglab-number" : null);
  /** @type {(text: string, i: number, isBold: boolean) => HTMLElement} */
  const cell = (text, i, isBold) => {
    const [value, interval] = partsOfCell(text);
    const small = interval ? make("small", {}, interval) : null;
    return make("td", { class: side(i) }, make(isBold ? "b" : "span", {}, value), small);
  };
  const names = columns.map((name, i) => make("th", { class: side(i), scope: "col" }, name));
  const lines = rows.map((row, r) => make("tr", {}, ...row.map((text, i) => cell(text, i, bold[r]?.[i] ?? false))));
  return make(
    "div",
    { class: "bglab-wide", tabindex: 0, role: "region", "aria-label": label, ...QUIET },
    make("table", {}, make("thead", {}, make("tr", {}, ...names)), make("tbody", {}, ...lines)),
  );
};

/**
 * Ours, the paper's, both compared, and then the tests of ours, each with its heading.
 *
 * @param {Artefact["tables"]} tables
 */
export const headedTables = (tables) => {
  const others = Object.keys(tables).filter((name) => !(name in HEADINGS));
  return ["ours", "published", "compared", ...others].flatMap((name) => {
    const cells = tables[name];
    const heading = HEADINGS[name] ?? name;
    return cells ? [make("h3", {}, heading), tableOf(cells, heading)] : [];
  });
};

/**
 * A list of sentences with its heading; nothing where there are none.
 *
 * @param {string} heading
 * @param {string[]} sentences
 */
export const remarksOf = (heading, sentences) => {
  const items = sentences.map((each) => make("li", {}, each));
  return items.length ? [make("h3", {}, heading), make("ul", {}, ...items)] : [];
};

/**
 * A state or status, in its colour.
 *
 * @param {string} state
 * @param {string} words
 */
export const chipOf = (state, words) => make("span", { class: "bglab-desk-chip", "data-state": state }, words);

/**
 * What came of it, and from which images and models; null if it was not made.
 *
 * @param {Artefact} artefact
 */
export const outcomeLine = ({ status, chip, reason, data, n, models }) => {
  if (!status) return null;
  const range = [...new Set(n ?? [])].map(counted).join(" to ");
  const facts = [data, range ? `n = ${range}` : "", models.join(", ")].filter((fact) => fact).join(" · ");
  return make(
    "div",
    { class: "bglab-desk-outcome" },
    chipOf(status, chip),
    ` ${reason}`,
    make("div", { class: "bglab-note" }, facts),
  );
};
