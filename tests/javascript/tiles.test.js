// Items of a list box, by their places and values.

import assert from "node:assert/strict";
import { test } from "node:test";
import { listed } from "../../bglab/widgets/tiles.js";

test("listed items are found by place and by value", () => {
  const items = ["b", "a", "c"].map((value) => ({ value, label: value.toUpperCase() }));
  const { length, at, placeOf } = listed(items);
  assert.equal(length, 3);
  assert.deepEqual(
    items.map(({ value }) => at(placeOf(value)).value),
    ["b", "a", "c"],
  );
  assert.equal(placeOf("d"), undefined);
  assert.equal(placeOf(null), undefined);
});
