// The search for a background that captures the shown object: its button, and the controls of what it finds.

import { drawPng, square } from "./canvases.js";
import { button, make } from "./controls.js";
import { PICTURED, settingsOf } from "./state.js";

/** @import { State } from "./state.js" */
/** @import { Bytes } from "./view.js" */

/**
 * @typedef {object} Capture What the kernel has found
 * @property {State} state
 * @property {string} text
 * @property {boolean} clear Whether the object is recognised on all controls
 * @property {boolean} captured
 * @property {boolean} [again] Whether it was found earlier, and is repeated for a view that has just opened
 * @property {{ name: string, correct: boolean, words: string }[]} controls
 */

const FIND = "Find a background that captures this";

/**
 * Keeps a number and its unit in one line.
 *
 * @param {string} words
 */
export const unbroken = (words) => words.replaceAll(" %", "\u00a0%");

// What was found, in a sentence, and the same object at the same place on the backgrounds of the controls.
export class CapturePanel {
  /** What is shown. @type {Capture | null} */
  found = null;
  isHunting = false;
  isElsewhere = false;

  /**
   * @param {number} size Side of an image in pixels
   * @param {object} on
   * @param {(changes: Partial<State>) => void} on.choose Shows a state in the explorer
   * @param {() => void} on.find
   * @param {() => void} on.stop
   */
  constructor(size, { choose, find, stop }) {
    this.size = size;
    this.find = button(FIND, () => (this.isHunting ? stop() : find()), {
      class: "bglab-button bglab-find",
      title:
        "Search the backgrounds of other classes, then other positions and scales, until the classifier predicts the background's class",
    });
    this.sentence = make("div", { class: "bglab-capture-text", role: "status" });
    const again = () => {
      if (this.found) choose(settingsOf(this.found.state, PICTURED));
    };
    this.again = button("Show it", again, { hidden: true });
    this.figures = make("div", { class: "bglab-capture-figures" });
    this.element = make(
      "section",
      { class: "bglab-capture", "aria-label": "Control of the found background", hidden: true },
      this.figures,
      make("div", {}, this.sentence, this.again),
    );
  }

  /** @param {boolean} isHunting Whether a search is running, which the button then stops */
  setHunting(isHunting) {
    this.isHunting = isHunting;
    this.find.textContent = isHunting ? "Stop" : FIND;
  }

  /**
   * @param {Capture} found
   * @param {Bytes[]} images Of the controls, as PNG
   * @param {State} current What the explorer shows
   */
  async show(found, images, current) {
    this.found = found;
    const { text, clear, captured, controls } = found;
    this.element.setAttribute(
      "aria-label",
      captured ? "Control of the found background" : "Control of the closest background",
    );
    this.sentence.textContent = unbroken(text);
    this.sentence.classList.toggle("bglab-clear", clear);
    const canvases = controls.map(({ name, words }) =>
      square(this.size, { role: "img", "aria-label": `The object on ${name}: ${words}` }),
    );
    const figures = controls.map(({ name, correct, words }, i) => {
      const verdict = make("b", { class: correct ? "bglab-correct" : "bglab-incorrect" }, correct ? "✓" : "✗");
      const caption = make("figcaption", {}, verdict, ` ${unbroken(words)}`, make("span", {}, `on ${name}`));
      return make("figure", {}, canvases[i], caption);
    });
    this.figures.replaceChildren(...figures);
    this.element.hidden = false;
    this.follow(current);
    await Promise.all(canvases.map((canvas, i) => drawPng(canvas, images[i])));
  }

  /**
   * The controls belong to one state: they turn grey while another one is shown, and go with the object.
   *
   * @param {State} current
   */
  follow(current) {
    if (!this.found || this.element.hidden) return;
    const { state, captured } = this.found;
    if (current.scene !== state.scene) {
      this.element.hidden = true;
      return;
    }
    const isElsewhere = PICTURED.some((name) => current[name] !== state[name]);
    if (isElsewhere === this.isElsewhere) return;
    this.isElsewhere = isElsewhere;
    this.figures.classList.toggle("bglab-old", isElsewhere);
    this.again.hidden = !isElsewhere;
    this.again.textContent = captured ? "Show it again" : "Show it";
  }
}
