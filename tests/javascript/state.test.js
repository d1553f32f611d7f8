// Settings of the explorer: movements within the ranges of the sliders, and kinds of background.

import assert from "node:assert/strict";
import { test } from "node:test";
import { kindOf, movedBy, PICTURED, PLACED, settingsOf } from "../../bglab/widgets/state.js";

const RANGES = { dx: { low: -1, high: 1 }, dy: { low: -0.5, high: 0.5 }, scale: { low: 0.2, high: 3 } };
const STATE = { scene: "dog", background: "own", dx: 0.25, dy: -0.25, scale: 1.5, flip: false, target: "true" };

test("a movement adds to the place and multiplies the scale", () => {
  assert.deepEqual(movedBy(STATE, { dx: 0.5, dy: 0.125, scale: 2 }, RANGES), {
    dx: 0.75,
    dy: -0.125,
    scale: 3,
    flip: false,
  });
});

test("no movement changes nothing", () => {
  assert.deepEqual(movedBy(STATE, {}, RANGES), { dx: 0.25, dy: -0.25, scale: 1.5, flip: false });
});

test("a movement ends at the ranges of the sliders, each at its own", () => {
  assert.deepEqual(movedBy(STATE, { dx: 9, dy: 9, scale: 9 }, RANGES), { dx: 1, dy: 0.5, scale: 3, flip: false });
  assert.deepEqual(movedBy(STATE, { dx: -9, dy: -9, scale: 0 }, RANGES), { dx: -1, dy: -0.5, scale: 0.2, flip: false });
});

test("two flips are none", () => {
  const once = { ...STATE, ...movedBy(STATE, { flip: true }, RANGES) };
  assert.equal(once.flip, true);
  assert.equal(movedBy(once, { flip: true }, RANGES).flip, false);
});

test("the kind of a background is what stands before its first colon", () => {
  assert.deepEqual(["own", "scene:n02:7", "colour:#ffffff"].map(kindOf), ["own", "scene", "colour"]);
});

test("settings are taken by their names", () => {
  assert.deepEqual(settingsOf(STATE, ["dx", "flip"]), { dx: 0.25, flip: false });
  for (const name of PLACED) assert.ok(PICTURED.includes(name));
  for (const name of ["target", "model", "saliency_opacity"]) assert.ok(!PICTURED.includes(name));
});
