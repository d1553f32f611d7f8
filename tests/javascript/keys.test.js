// Which keys belong to the notebook's front end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isShortcut, passShortcuts } from "../../bglab/widgets/keys.js";
import { Clock } from "./clock.js";

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

// A control of a view: what JupyterLab reads of it, and nothing else.
const control = (suppressed) => ({
  ...slider,
  dataset: { lmSuppressShortcuts: suppressed },
  removeAttribute() {
    delete this.dataset.lmSuppressShortcuts;
  },
  setAttribute(_name, value) {
    this.dataset.lmSuppressShortcuts = value;
  },
});

test("a control hides its attribute while a shortcut is handled, and only then", async () => {
  const clock = new Clock();
  const listeners = [];
  globalThis.window = {
    addEventListener: (...added) => listeners.push(added),
    removeEventListener: (...removed) => {
      const at = listeners.findIndex((added) => added.every((part, i) => part === removed[i]));
      listeners.splice(at, at < 0 ? 0 : 1);
    },
  };
  try {
    const [quiet, loud, outside] = [control("true"), control(undefined), control("true")];
    const stop = passShortcuts({ contains: (element) => element !== outside });
    const [[kind, pass, isCapturing]] = listeners;
    assert.deepEqual([kind, isCapturing], ["keydown", true]);
    const press = (key, target) => pass({ key, ctrlKey: true, metaKey: false, altKey: false, shiftKey: false, target });
    const seen = (target) => target.dataset.lmSuppressShortcuts;
    press("s", quiet);
    assert.equal(seen(quiet), undefined);
    await clock.pass(1);
    assert.equal(seen(quiet), "true");
    pass({ key: "b", ctrlKey: false, metaKey: false, target: quiet });
    assert.equal(seen(quiet), "true");
    press("s", outside);
    press("s", loud);
    assert.deepEqual([seen(outside), seen(loud)], ["true", undefined]);
    await clock.pass(1);
    assert.equal(seen(loud), undefined);
    stop();
    assert.equal(listeners.length, 0);
  } finally {
    delete globalThis.window;
    clock.restore();
  }
});
