// Which tables and figures the desk's list shows, and how far a run is, in words.

import { counted, matching } from "./strip.js";

/** @typedef {{ id: string, paper: string, place: string, title: string }} Listed A table or figure of a paper */

/**
 * @typedef {object} Step A step of a run, as `Step` of desk_run.py has it
 * @property {string} title
 * @property {number} done Those of earlier runs included
 * @property {number | null} total Null if unknown
 * @property {string} unit What is counted
 * @property {number | null} rate Items per second; null before the first
 * @property {number | null} seconds_left Null if unknown
 */

/**
 * A duration as people say it.
 *
 * @param {number} seconds
 */
export const lasting = (seconds) => {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};

/**
 * How far a step is: items, speed, and the time left.
 *
 * @param {Pick<Step, "done" | "total" | "unit" | "rate" | "seconds_left">} step
 */
export const stepText = ({ done, total, unit, rate, seconds_left: left }) => {
  const items = total === null ? `${counted(done)} ${unit}s` : `${counted(done)} of ${counted(total)} ${unit}s`;
  if (total !== null && done >= total) return `${items}, done`;
  const speed = rate ? `${Number(rate.toPrecision(3))} ${unit}s/s` : "";
  return [items, speed, left ? `${lasting(left)} left` : ""].filter((part) => part).join(", ");
};

/**
 * Those that have all words of a search in their id, place or title, and the wanted state.
 *
 * @param {Listed[]} artefacts
 * @param {string} search
 * @param {string} wanted "" stands for every state
 * @param {(id: string) => string} stateOf
 * @returns {Listed[]}
 */
export const filtered = (artefacts, search, wanted, stateOf) => {
  const worded = artefacts.map((each) => ({ ...each, words: `${each.id} ${each.place} ${each.title}`.toLowerCase() }));
  return matching(worded, search).filter(({ id }) => !wanted || stateOf(id) === wanted);
};
