// Which tables and figures the desk lists, and how far a run is, in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { filtered, lasting, stepText } from "../../bglab/widgets/desk_list.js";

test("a duration is in seconds, minutes, or hours and minutes", () => {
  assert.equal(lasting(0.4), "0 s");
  assert.equal(lasting(59.6), "60 s");
  assert.equal(lasting(89.9), "90 s");
  assert.equal(lasting(90), "2 min");
  assert.equal(lasting(149), "2 min");
  assert.equal(lasting(151), "3 min");
  assert.equal(lasting(7100), "118 min");
  assert.equal(lasting(7200), "2 h 0 min");
  assert.equal(lasting(9000), "2 h 30 min");
  assert.equal(lasting(90_061), "25 h 1 min");
});

const step = { done: 1200, total: 4050, unit: "image", rate: 48.216, seconds_left: 59.1 };

test("a step says its items, its speed, and the time left", () => {
  assert.equal(stepText(step), "1,200 of 4,050 images, 48.2 images/s, 59 s left");
  assert.equal(
    stepText({ ...step, rate: 0.01234, seconds_left: 9000 }),
    "1,200 of 4,050 images, 0.0123 images/s, 2 h 30 min left",
  );
});

test("a step leaves out what is unknown", () => {
  assert.equal(stepText({ ...step, done: 0, rate: null, seconds_left: null }), "0 of 4,050 images");
  assert.equal(stepText({ ...step, total: null, unit: "epoch", seconds_left: null }), "1,200 epochs, 48.2 epochs/s");
});

test("a step that is complete has neither speed nor time left", () => {
  assert.equal(stepText({ ...step, done: 4050 }), "4,050 of 4,050 images, done");
  assert.equal(stepText({ ...step, done: 0, total: 0 }), "0 of 0 images, done");
});

const ARTEFACTS = [
  { id: "nos-table-2", paper: "nos", place: "Table 2", title: "Accuracy and BG-Gap of many networks" },
  { id: "nos-figure-5", paper: "nos", place: "Figure 5", title: "Adversarial backgrounds" },
  { id: "tbc-table-1", paper: "tbc", place: "Table 1", title: "Background Check of many networks" },
];
const STATES = { "nos-table-2": "ready", "nos-figure-5": "needs data", "tbc-table-1": "done" };
const found = (search, wanted = "") => filtered(ARTEFACTS, search, wanted, (id) => STATES[id]).map(({ id }) => id);

test("the list has those with all words in id, place or title, in any order and case", () => {
  assert.deepEqual(found(""), ["nos-table-2", "nos-figure-5", "tbc-table-1"]);
  assert.deepEqual(found("  MANY table "), ["nos-table-2", "tbc-table-1"]);
  assert.deepEqual(found("many nos"), ["nos-table-2"]);
  assert.deepEqual(found("figure 5"), ["nos-figure-5"]);
  assert.deepEqual(found("many figure"), []);
});

test("the list has those of the wanted state among those with the words", () => {
  assert.deepEqual(found("", "needs data"), ["nos-figure-5"]);
  assert.deepEqual(found("many", "ready"), ["nos-table-2"]);
  assert.deepEqual(found("background", "ready"), []);
  assert.deepEqual(found("", "needs training"), []);
});
