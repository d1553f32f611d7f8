// Where tiles are in a row or grid that scrolls, and where keys lead.

import assert from "node:assert/strict";
import { test } from "node:test";
import { columnsIn, placeByKey, visibleTiles } from "../../bglab/widgets/tile_places.js";

const PITCH = 68; // tiles of 64 pixels, and gaps of 4
const ROW = { isGrid: false, columns: 1000, pitch: PITCH, count: 1000 };
const GRID = { isGrid: true, columns: 10, pitch: PITCH, count: 1003 };

test("as many columns as fit, whose last needs no gap behind it", () => {
  // ten tiles and nine gaps are 676 pixels, and the padding 4
  assert.deepEqual(
    [680, 679, 748, 747, 10, 0].map((width) => columnsIn(width, PITCH)),
    [10, 9, 11, 10, 1, 1],
  );
});

const slowlyVisible = ({ isGrid, columns, pitch, count }, start, length, margin) =>
  Array.from({ length: count }, (_, i) => i).filter((i) => {
    const top = (isGrid ? Math.floor(i / columns) : i) * pitch;
    return top + pitch > start - margin && top < start + length + margin;
  });

test("every tile in sight is among the visible ones, with few around them", () => {
  for (const arrangement of [ROW, GRID])
    for (const start of [0, 1, 67, 68, 500, 5000, 6500])
      for (const length of [1, 64, 300, 900]) {
        const [from, to] = visibleTiles(arrangement, start, length);
        const seen = slowlyVisible(arrangement, start, length, 0);
        const around = slowlyVisible(arrangement, start, length, 4 * PITCH);
        for (const i of seen) assert.ok(from <= i && i < to, `${i} of ${from} to ${to}`);
        for (let i = from; i < to; i++) assert.ok(around.includes(i), `${i} at ${start}`);
      }
});

test("nothing is visible where there is no room, or no tile", () => {
  assert.deepEqual(visibleTiles(GRID, 0, 0), [0, 0]);
  const [from, to] = visibleTiles({ ...GRID, count: 0 }, 0, 300);
  assert.equal(Math.max(0, to - from), 0);
});

test("arrows lead to neighbours, in a grid down by a row", () => {
  const lead = (arrangement, at) =>
    ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((key) => placeByKey(arrangement, key, at, 400));
  assert.deepEqual(lead(GRID, 55), [54, 56, 45, 65]);
  assert.deepEqual(lead(ROW, 55), [54, 56, 54, 56]);
  assert.deepEqual(lead(GRID, 0), [-1, 1, -10, 10]); // beyond the ends there is no tile
});

test("pages are as long as what is visible, less the row that stays", () => {
  // 400 pixels show five whole rows or tiles
  assert.equal(placeByKey(GRID, "PageDown", 3, 400), 43);
  assert.equal(placeByKey(GRID, "PageUp", 43, 400), 3);
  assert.equal(placeByKey(ROW, "PageDown", 3, 400), 8);
  assert.equal(placeByKey(GRID, "PageDown", 3, 40), 13); // one row at least
  assert.equal(placeByKey(GRID, "PageDown", 1000, 400), 1002);
  assert.equal(placeByKey(GRID, "PageUp", 7, 400), 0);
});

test("Home and End lead to the ends, and other keys nowhere", () => {
  assert.equal(placeByKey(GRID, "Home", 500, 400), 0);
  assert.equal(placeByKey(GRID, "End", 500, 400), 1002);
  for (const key of ["Enter", "Tab", "a"]) assert.equal(placeByKey(GRID, key, 5, 400), undefined);
});
