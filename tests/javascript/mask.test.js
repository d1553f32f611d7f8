// Boxes and strokes drawn by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { boxBetween, brushMask, within } from "../../bglab/widgets/mask.js";
import { noise } from "./random.js";

test("a box has its corners in order, whichever way it was drawn", () => {
  for (const [from, to] of [
    [
      [0.1, 0.2],
      [0.5, 0.9],
    ],
    [
      [0.5, 0.2],
      [0.1, 0.9],
    ],
    [
      [0.5, 0.9],
      [0.1, 0.2],
    ],
  ])
    assert.deepEqual(boxBetween(from, to), [0.1, 0.2, 0.5, 0.9]);
});

test("a box ends at the image, and one that is hardly there was a click", () => {
  assert.deepEqual(boxBetween([-0.5, 0.25], [0.5, 7]), [0, 0.25, 0.5, 1]);
  assert.equal(boxBetween([0.5, 0.5], [0.5, 0.5]), null);
  assert.equal(boxBetween([0.25, 0.25], [0.26, 0.9]), null);
  assert.equal(boxBetween([0.25, 0.5], [0.9, 0.51]), null);
  assert.equal(boxBetween([1.2, 0.1], [1.9, 0.9]), null); // wholly outside
});

test("a value stays within its bounds", () => {
  assert.deepEqual(
    [-1, 0.25, 2].map((value) => within(value, 0, 1)),
    [0, 0.25, 1],
  );
});

const SIZE = 40;

const distance = ([x, y], [x0, y0], [x1, y1]) => {
  const length = (x1 - x0) ** 2 + (y1 - y0) ** 2;
  const along = length ? Math.min(Math.max(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0), 1) : 0;
  return Math.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0));
};

// Distance of each pixel's centre from the way of the brush, in pixels.
const distances = (from, to) => {
  const [start, end] = [from, to].map((point) => point.map((share) => share * SIZE));
  return Array.from({ length: SIZE * SIZE }, (_, i) =>
    distance([(i % SIZE) + 0.5, Math.floor(i / SIZE) + 0.5], start, end),
  );
};

test("a dab is a disc about its point", () => {
  const mask = new Uint8Array(SIZE * SIZE);
  const point = [0.3, 0.6];
  brushMask(mask, SIZE, point, point, 0.125, 1);
  assert.deepEqual(
    [...mask],
    distances(point, point).map((away) => Number(away <= 5)),
  );
});

test("a stroke covers its way without gaps, and nothing else", () => {
  const next = noise(3);
  for (let i = 0; i < 20; i++) {
    const [from, to] = [
      [next(), next()],
      [next(), next()],
    ];
    const radius = 2 + 4 * next();
    const mask = new Uint8Array(SIZE * SIZE);
    brushMask(mask, SIZE, from, to, radius / SIZE, 1);
    distances(from, to).forEach((away, at) => {
      // discs at most half a radius apart leave notches of 1 − √(15/16) of the radius, or 3 %, and their first one begins
      // where the stroke before has ended
      if (away > radius + 1e-9) assert.equal(mask[at], 0);
      else if (away <= 0.96 * radius && distances(from, from)[at] > radius) assert.equal(mask[at], 1);
    });
  }
});

test("a stroke erases where it is told to, and one outside the image changes nothing", () => {
  const mask = new Uint8Array(SIZE * SIZE).fill(1);
  brushMask(mask, SIZE, [0.5, 0.5], [0.5, 0.5], 0.1, 0);
  assert.equal(mask[20 * SIZE + 20], 0);
  assert.equal(mask[0], 1);
  const before = mask.slice();
  brushMask(mask, SIZE, [1.5, -0.5], [1.6, -0.4], 0.05, 0);
  assert.deepEqual(mask, before);
});
