// Which keys belong to the notebook's front end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isShortcut } from "../../bglab/widgets/keys.js";

const slider = { matches: () => false };
const field = { matches: (selector) => selector.includes("input[type=search]") };

const pressed = (words, target = slider) => {
  const keys = words.split("+");
  return Boolean(
    isShortcut({
      key: keys.at(-1),
      ctrlKey: keys.includes("Ctrl"),
      metaKey: keys.includes("Cmd"),
      altKey: keys.includes("Alt"),
      shiftKey: keys.includes("Shift"),
      target,
    }),
  );
};

test("keys with Ctrl or Cmd are shortcuts, and plain ones are not", () => {
  for (const words of ["Ctrl+s", "Cmd+s", "Ctrl+Shift+C", "Cmd+Shift+p", "Ctrl+b"]) assert.ok(pressed(words), words);
  for (const words of ["a", "b", "d", "M", "Shift+M", "Alt+x", "ArrowDown", "Shift+ArrowDown", "0", " ", "Tab"])
    assert.ok(!pressed(words), words);
});

test("Enter runs a cell with any other key, and not alone", () => {
  for (const words of ["Shift+Enter", "Ctrl+Enter", "Cmd+Enter", "Alt+Enter"]) assert.ok(pressed(words), words);
  assert.ok(!pressed("Enter"));
});

test("Escape and the function keys are the front end's", () => {
  for (const words of ["Escape", "F1", "F5", "F12", "Shift+F10"]) assert.ok(pressed(words), words);
  for (const words of ["F", "f", "Shift+F"]) assert.ok(!pressed(words), words);
});

test("a text field keeps the keys that edit it", () => {
  for (const key of [
    "a",
    "c",
    "v",
    "x",
    "y",
    "z",
    "Z",
    "Backspace",
    "Delete",
    "Home",
    "End",
    "ArrowLeft",
    "ArrowRight",
  ]) {
    assert.ok(!pressed(`Ctrl+${key}`, field), key);
    assert.ok(!pressed(`Cmd+${key}`, field), key);
    assert.ok(pressed(`Ctrl+${key}`, slider), key);
  }
  assert.ok(pressed("Ctrl+s", field));
  assert.ok(pressed("Ctrl+ArrowUp", field));
});

test("a target that is no element, such as a document, is no text field", () => {
  for (const target of [{}, null]) {
    assert.ok(pressed("Ctrl+c", target));
    assert.ok(!pressed("c", target));
  }
});
