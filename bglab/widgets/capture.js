// The search for a background that captures the shown object: its button, and the controls of what it finds.

import { button, make } from "./controls.js";

// Settings that change the image; the others only change what is shown about it.
const PICTURED = [
  "scene",
  "background",
  "mix",
  "background_blur",
  "brightness",
  "feather",
  "grow",
  "dx",
  "dy",
  "scale",
  "flip",
];

// Keeps a number and its unit in one line.
const unbroken = (words) => words.replaceAll(" %", "\u00a0%");

// What was found, in a sentence, and the same object at the same place on the backgrounds of the controls.
export class CapturePanel {
  // `choose(state)` shows a state in the explorer.
  constructor(size, choose) {
    this.size = size;
    this.sentence = make("div", { class: "bglab-capture-text", role: "status" });
    this.again = button("Show it", () => choose(Object.fromEntries(PICTURED.map((name) => [name, this.state[name]]))), {
      hidden: true,
    });
    this.figures = make("div", { class: "bglab-capture-figures" });
    this.element = make(
      "section",
      { class: "bglab-capture", "aria-label": "Control of the found background", hidden: true },
      this.figures,
      make("div", {}, this.sentence, this.again),
    );
  }

  async show({ state, text, clear, captured, controls }, images, current) {
    this.state = state;
    this.captured = captured;
    this.element.setAttribute(
      "aria-label",
      captured ? "Control of the found background" : "Control of the closest background",
    );
    this.sentence.textContent = unbroken(text);
    this.sentence.classList.toggle("bglab-clear", clear);
    const figures = controls.map(({ name, correct, words }) => {
      const canvas = make("canvas", {
        width: this.size,
        height: this.size,
        role: "img",
        "aria-label": `The object on ${name}: ${words}`,
      });
      const verdict = make("b", { class: correct ? "bglab-correct" : "bglab-incorrect" }, correct ? "✓" : "✗");
      return make(
        "figure",
        {},
        canvas,
        make("figcaption", {}, verdict, ` ${unbroken(words)}`, make("span", {}, `on ${name}`)),
      );
    });
    this.figures.replaceChildren(...figures);
    this.element.hidden = false;
    this.follow(current);
    await Promise.all(
      figures.map(async (figure, i) => {
        const bitmap = await createImageBitmap(new Blob([images[i]], { type: "image/png" }));
        figure.firstChild.getContext("2d").drawImage(bitmap, 0, 0);
        bitmap.close();
      }),
    );
  }

  // The controls belong to one state: they turn grey while another one is shown, and go with the object.
  follow(current) {
    if (!this.state || this.element.hidden) return;
    if (current.scene !== this.state.scene) {
      this.element.hidden = true;
      return;
    }
    const isElsewhere = PICTURED.some((name) => current[name] !== this.state[name]);
    if (isElsewhere === this.isElsewhere) return;
    this.isElsewhere = isElsewhere;
    this.figures.classList.toggle("bglab-old", isElsewhere);
    this.again.hidden = !isElsewhere;
    this.again.textContent = this.captured ? "Show it again" : "Show it";
  }
}

// Methods of the explorer's view.
export const CAPTURE_HANDLERS = {
  captureButton() {
    this.find = button("Find a background that captures this", () => this.findCapture(), {
      class: "bglab-button bglab-find",
      title:
        "Search the backgrounds of other classes, then other positions and scales, until the classifier predicts the background's class",
    });
    return this.find;
  },

  findCapture() {
    if (this.isHunting) return this.send({ type: "stop_capture" });
    this.hideError();
    this.setHunting(true);
    this.work({ type: "find_capture", state: this.state }, "Searching…");
  },

  setHunting(isHunting) {
    this.isHunting = isHunting;
    this.find.textContent = isHunting ? "Stop" : "Find a background that captures this";
  },

  on_capture_progress({ text, running }) {
    this.setHunting(running);
    this.status.textContent = text;
  },

  on_capture(message, images) {
    if (message.captured && !message.again)
      this.change(Object.fromEntries(PICTURED.map((name) => [name, message.state[name]])));
    this.capture.show(message, images, this.state);
    this.root.dataset.capture = JSON.stringify({ ...message, type: undefined });
  },
};
