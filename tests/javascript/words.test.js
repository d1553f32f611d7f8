// Numbers and results in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { unbroken } from "../../bglab/widgets/capture.js";
import { formatted } from "../../bglab/widgets/controls.js";
import { asPixels, describe, namesOf, outcomeOf, percent, signed } from "../../bglab/widgets/results.js";
import { goWords, placementWords, progressWords, refinedWords, worseFirst } from "../../bglab/widgets/search.js";
import { matching } from "../../bglab/widgets/strip.js";

test("shares are whole percents, and changes have a sign unless they round to nothing", () => {
  assert.deepEqual([0, 0.004, 0.005, 0.126, 1].map(percent), ["0", "0", "1", "13", "100"]);
  assert.deepEqual([0.12, -0.12, 0.004, -0.004, 0].map(signed), ["+12", "−12", "", "", ""]);
});

test("a slider shows its value with its unit", () => {
  assert.equal(formatted(0.37, "%"), "37 %");
  assert.equal(formatted(2.04, "px"), "2 px");
  assert.equal(formatted(-2.25, ""), "-2.3");
  assert.equal(formatted(0, "px"), "0 px");
  assert.equal(
    formatted(2, (step) => `step ${step}`),
    "step 2",
  );
});

test("a number and its percent sign stay in one line", () => {
  assert.equal(unbroken("dog (12 %), bird (3 %)"), "dog (12\u00a0%), bird (3\u00a0%)");
});

test("the outcome of a result is one of five", () => {
  const outcome = (correct, captured, isComparable = true) =>
    outcomeOf({ correct, captured, is_comparable: isComparable })[1];
  assert.equal(outcome(true, false), "✓ correct");
  assert.equal(outcome(false, false), "✗ incorrect");
  assert.equal(outcome(false, true), "✗ incorrect: the background's class");
  assert.equal(outcome(null, false), "true class unknown");
  assert.equal(outcome(true, false, false), "not comparable: predicts other classes");
});

test("a result names the predicted class, and says if the native one is unsure", () => {
  const result = { correct: false, captured: false, nine: [0.1, 0.9], prediction: 1 };
  const words = (top) => describe({ ...result, top: [[207, "retriever", top, 0]] }, ["dog", "bird"]).predicted;
  assert.equal(words(0.83), "bird (retriever, 83\u00a0%)");
  assert.equal(words(0.2), "bird (retriever, 20\u00a0%)");
  assert.equal(words(0.19), "bird (top answer only 19\u00a0%: retriever)");
  const own = describe({ ...result, nine: null, top: [[0, "cat", 0.5, 0]] }, ["dog", "bird"]);
  assert.deepEqual(own, { tone: "incorrect", words: "✗ incorrect", predicted: "cat, 50\u00a0%" });
});

test("planes become pixels, none of them transparent", () => {
  const planes = Uint8Array.from([1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24]);
  assert.deepEqual([...asPixels(planes, 2)], [1, 11, 21, 255, 2, 12, 22, 255, 3, 13, 23, 255, 4, 14, 24, 255]);
});

test("names are the scenes' own where these are not the nine", () => {
  assert.deepEqual(namesOf({ nine: ["dog", "other"], own: [] }), ["dog", "other"]);
  assert.deepEqual(namesOf({ nine: [], own: ["cat"] }), ["cat"]);
});

test("the progress of a search is a share with its interval", () => {
  const progress = { tried: 40, total: 50, running: false, share: [0.25, 0.142, 0.402] };
  assert.equal(progressWords(progress), "25 % of 40 tried (95 % interval 14 % to 40 %), 10 left");
  assert.equal(progressWords({ ...progress, share: null }), "No background tried yet");
});

test("the button of a search says what it does next", () => {
  const go = (tried, running) => goWords({ tried, total: 50, running, share: null });
  assert.deepEqual(
    [go(0, false), go(0, true), go(9, true), go(9, false), go(50, false)],
    ["Start", "Stop", "Stop", "Continue", "Done"],
  );
});

test("a refinement says how a probability changed, and whether that fools", () => {
  const refined = { running: true, forwards: 32, budget: 200, of: "the object's own class", before: 0.4149, now: 0.05 };
  const change = "probability of the object's own class 41.5 % → 5.0 %";
  assert.equal(refinedWords(refined), `Refining: 32 of 200 images, ${change}`);
  const ended = (hit, before) => refinedWords({ ...refined, running: false, hit, hit_before: before });
  assert.equal(ended(true, true), `Refined with 32 images: ${change}; fooled before and after`);
  assert.equal(ended(true, false), `Refined with 32 images: ${change}; now fooled`);
  assert.equal(ended(false, false), `Refined with 32 images: ${change}; still not fooled`);
});

test("a placement is described in percents of the image's side", () => {
  const state = { mix: 0.8, dx: -0.1, dy: 0.25, scale: 1.5, flip: false };
  assert.equal(placementWords(state), "Mix 80 %, moved -10 % right and 25 % down, scaled to 150 %");
  assert.ok(placementWords({ ...state, flip: true }).endsWith("scaled to 150 %, mirrored"));
});

test("backgrounds that fool come first, and among equals the likelier ones", () => {
  const tried = [
    { id: "a", fooled: false, score: 0.9 },
    { id: "b", fooled: true, score: 0.2 },
    { id: "c", fooled: true, score: 0.7 },
    { id: "d", fooled: false, score: 0.1 },
  ];
  assert.deepEqual(
    tried.toSorted(worseFirst).map(({ id }) => id),
    ["c", "b", "a", "d"],
  );
});

test("a search finds what has all its words, in any order and case", () => {
  const items = ["dog · n01", "bird · n02", "wheeled vehicle · n03"].map((words) => ({ words }));
  const found = (search) => matching(items, search).map(({ words }) => words.slice(-1));
  assert.deepEqual(found(""), ["1", "2", "3"]);
  assert.deepEqual(found("  "), ["1", "2", "3"]);
  assert.deepEqual(found("N0"), ["1", "2", "3"]);
  assert.deepEqual(found("n03 Vehicle"), ["3"]);
  assert.deepEqual(found("dog bird"), []);
});
