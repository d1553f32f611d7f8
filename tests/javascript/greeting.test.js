// What there is to choose from, by what the kernel tells a view once.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  chipsOf,
  filteredScenes,
  firstBackground,
  SWATCHES,
  thumbnailOf,
  usableScenes,
} from "../../bglab/widgets/greeting.js";

const CONFIG = {
  class_names: ["dog", "bird"],
  per_sheet: 48,
  scenes: [
    ["a", 0, 0, true],
    ["b", 1, 1, false],
    ["c", 1, 2, true],
    ["d", -1, 3, true],
  ],
  unusable: [],
  backgrounds: [],
  textures: ["checks", "stripes"],
  variants: [["only_fg", "Only-FG", "object; black"]],
};
const ids = (scenes) => scenes.map(([id]) => id);

test("a thumbnail is on the sheet of its place", () => {
  const at = (place) => {
    const { sheet, place: onSheet } = thumbnailOf(CONFIG, ["a", 0, place, true]);
    return [sheet, onSheet];
  };
  assert.deepEqual([0, 47, 48, 4049].map(at), [
    ["0", 0],
    ["0", 47],
    ["1", 0],
    ["84", 17],
  ]);
});

test("a thumbnail is found by its class and id", () => {
  assert.equal(thumbnailOf(CONFIG, ["b", 1, 1, true]).label, "bird · b");
  assert.equal(thumbnailOf(CONFIG, ["d", -1, 3, true]).label, "unknown class · d");
});

test("scenes without a usable object are left out", () => {
  assert.deepEqual(ids(usableScenes({ ...CONFIG, unusable: ["b", "d"] })), ["a", "c"]);
});

test("filters hold together, and one by correctness waits until that is known", () => {
  const correctness = ["correct", "incorrect", "correct", null];
  const filtered = (label, wanted, known = correctness) => ids(filteredScenes(CONFIG.scenes, label, wanted, known));
  assert.deepEqual(filtered("", ""), ["a", "b", "c", "d"]);
  assert.deepEqual(filtered("1", ""), ["b", "c"]);
  assert.deepEqual(filtered("", "correct"), ["a", "c"]);
  assert.deepEqual(filtered("1", "correct"), ["c"]);
  assert.deepEqual(filtered("0", "incorrect"), []);
  assert.deepEqual(filteredScenes(CONFIG.scenes, "1", "correct", undefined).length, 2);
});

test("the first background of a kind needs nobody to choose", () => {
  const first = (kind, changes = {}, scene = "a") => firstBackground(kind, { ...CONFIG, ...changes }, scene);
  assert.equal(first("own"), "own");
  assert.equal(first("variant"), "variant:only_fg");
  assert.equal(first("texture"), "texture:checks");
  assert.equal(first("image"), null);
  assert.equal(first("image", { backgrounds: ["sea", "sky"] }), "image:sea");
});

test("the first donor is another scene that is usable and lends its background", () => {
  const donor = (scene, unusable = []) => firstBackground("scene", { ...CONFIG, unusable }, scene);
  assert.equal(donor("a"), "scene:c");
  assert.equal(donor("c"), "scene:a");
  assert.equal(donor("a", ["c"]), "scene:d");
  assert.equal(donor("a", ["c", "d"]), "scene:a");
});

test("every kind but scenes and the own background has chips, whose values are backgrounds of it", () => {
  const config = { ...CONFIG, backgrounds: ["sea"] };
  for (const kind of ["variant", "colour", "texture", "noise", "image"]) {
    const chips = chipsOf(kind, config, "a");
    assert.ok(chips.length > 0);
    for (const { value, label } of chips) {
      assert.ok(value.startsWith(`${kind}:`));
      assert.ok(label);
    }
  }
  assert.equal(chipsOf("own", config, "a"), null);
  assert.equal(chipsOf("scene", config, "a"), null);
  assert.deepEqual(
    chipsOf("colour", config, "a").map(({ colour }) => colour),
    SWATCHES,
  );
});

test("thumbnails of textures are those of the shown scene", () => {
  const chips = chipsOf("texture", CONFIG, "c");
  assert.deepEqual(
    chips.map(({ sheet, place }) => [sheet, place]),
    [
      ["c", 0],
      ["c", 1],
    ],
  );
});
