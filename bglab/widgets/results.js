// One classifier's result: correctness, probabilities of the classes shown and the top native ones, saliency on the object.

import { putLevels, square } from "./canvases.js";
import { make, write } from "./controls.js";

/** @import { Composer } from "./composer.js" */
/** @import { Greeting } from "./greeting.js" */
/** @import { Bytes } from "./view.js" */

/** @typedef {[label: number, name: string, now: number, before: number]} ClassRow A class, its probability, and that for the photograph */

/**
 * @typedef {object} Result What one classifier predicts for an image, as `result_message` of messages.py writes it
 * @property {number[] | null} nine Probabilities of the nine classes
 * @property {ClassRow[] | null} own Rows of the scenes' own classes, where these are not the nine
 * @property {boolean} [is_comparable] False if it predicts classes that do not map to those of the scenes
 * @property {ClassRow[]} top Most probable native classes
 * @property {number} prediction Position of the predicted class among the nine
 * @property {boolean | null} correct Null if the true class is unknown
 * @property {boolean} captured Whether the background's class is predicted
 * @property {number | null} share Share of the saliency on the object
 * @property {[height: number, width: number] | null} map Shape of the saliency map
 * @property {string | null} no_map Why there is none
 */

/** @typedef {"" | "true" | "background"} ClassRole */

/** @param {number} value Share */
export const percent = (value) => `${Math.round(100 * value)}`;
/**
 * A change in points, with its sign; "" if it rounds to nothing.
 *
 * @param {number} change Of a share
 */
export const signed = (change) => {
  const points = Math.round(100 * change);
  return points === 0 ? "" : points > 0 ? `+${points}` : `−${-points}`;
};

// Rows are told apart by their names. Colour and shape mark what matters in a row instead: the true class, and the
// background's. Nine colours could not all contrast with the track, and not in both themes.
class Bar {
  /** @param {string} label */
  constructor(label) {
    this.fill = make("div", { class: "bglab-fill" });
    this.mark = make("div", { class: "bglab-before", title: "As photographed" });
    this.label = make("span", { class: "bglab-name" }, label);
    this.value = make("span", { class: "bglab-value" });
    this.change = make("span", { class: "bglab-change" });
    const track = make("div", { class: "bglab-track" }, this.fill, this.mark);
    this.element = make("div", { class: "bglab-bar" }, this.label, track, this.value, this.change);
  }

  /** @param {string} words */
  name(words) {
    if (this.label.title === words) return;
    this.label.textContent = words;
    this.label.title = words;
  }

  /**
   * Marks the row of the "true" class or that of the "background".
   *
   * @param {ClassRole} role
   */
  mean(role) {
    if (this.element.dataset.role === role) return;
    this.element.dataset.role = role;
    this.element.title = { "": "", true: "True class", background: "Class of the background" }[role];
  }

  /**
   * @param {number} now Probability
   * @param {number} before That for the photograph
   */
  show(now, before) {
    this.fill.style.width = `${(100 * now).toFixed(1)}%`;
    this.mark.style.left = `${100 * before}%`;
    write(this.value, percent(now));
    write(this.change, signed(now - before));
  }
}

/** For each outcome, the suffix of its CSS class and its text. @type {Record<string, [tone: string, words: string]>} */
const OUTCOMES = {
  correct: ["correct", "✓ correct"],
  captured: ["incorrect", "✗ incorrect: the background's class"],
  incorrect: ["incorrect", "✗ incorrect"],
  unknown: ["unknown", "true class unknown"],
  foreign: ["unknown", "not comparable: predicts other classes"],
};

/** @param {Pick<Result, "correct" | "captured" | "is_comparable">} result */
export const outcomeOf = ({ correct, captured, is_comparable: isComparable }) =>
  OUTCOMES[
    isComparable === false
      ? "foreign"
      : correct === null
        ? "unknown"
        : correct
          ? "correct"
          : captured
            ? "captured"
            : "incorrect"
  ];

const UNSURE = 0.2;
// Letters of a reason that is said at once; a longer one is the title of what it explains.
const SHORT = 100;

/**
 * The most probable native class, in words that say so if it is hardly probable.
 *
 * @param {ClassRow} row
 */
const topAnswer = ([, name, probability]) =>
  probability < UNSURE
    ? `top answer only ${percent(probability)}\u00a0%: ${name}`
    : `${name}, ${percent(probability)}\u00a0%`;

/**
 * Names of the nine classes and of everything outside them, or of the scenes' own classes.
 *
 * @param {Pick<Greeting, "nine" | "own">} config
 */
export const namesOf = ({ nine, own }) => (own.length ? own : nine);

/**
 * A result in words: outcome, predicted class, and in parentheses the most probable native class where these are others.
 *
 * @param {Pick<Result, "correct" | "captured" | "is_comparable" | "nine" | "prediction" | "top">} result
 * @param {string[]} names Of the nine classes
 */
export const describe = (result, names) => {
  const [tone, words] = outcomeOf(result);
  const predicted = result.nine ? names.at(result.prediction) : "";
  const top = topAnswer(result.top[0]);
  return { tone, words, predicted: predicted ? `${predicted} (${top})` : top };
};

const OWN_ROWS =
  "The true class, the background's, and the most probable classes of the photograph, in the order of their probability there";

export class ResultPanel {
  /** What is read out about it. */
  spoken = "";

  /**
   * @param {string} model Id of the classifier
   * @param {Pick<Greeting, "nine" | "own" | "own_rows">} config
   */
  constructor(model, { nine, own, own_rows: ownRows }) {
    this.names = namesOf({ nine, own });
    this.model = model.replace(/^[a-z]+:/, "");
    this.mark = make("b");
    this.predicted = make("span");
    this.outcome = make("div", { class: "bglab-outcome" }, this.mark, this.predicted);
    this.bars = [...nine, ...ownRows].map((name) => new Bar(name));
    this.top = Array.from({ length: 5 }, () => new Bar(""));
    this.share = make("div", { class: "bglab-share" });
    const isPart = ownRows[0] === "";
    const title = nine.length ? "ImageNet-9 classes, %" : isPart ? "Most probable as photographed, %" : "Classes, %";
    this.shown = make(
      "div",
      { class: `bglab-bars${own.length ? " bglab-own" : ""}` },
      make("h4", { title: isPart && OWN_ROWS }, title),
      ...this.bars.map((bar) => bar.element),
    );
    this.nativeTitle = make("h4", {}, "Native classes (top 5), %");
    this.native = make(
      "div",
      { class: "bglab-bars bglab-native" },
      this.nativeTitle,
      ...this.top.map((bar) => bar.element),
    );
    this.isPart = isPart;
    this.element = make(
      "section",
      { class: "bglab-result", "aria-label": `Prediction of ${model}` },
      make("div", { class: "bglab-head" }, make("h3", { title: model }, this.model), this.share),
      this.outcome,
      make("div", { class: "bglab-both" }, this.shown, this.native),
    );
  }

  /**
   * @param {Result} result
   * @param {Result} original That for the photograph
   * @param {number} truth Label of the true class
   * @param {number} donor Label of the background's class; negative if it has none
   */
  show(result, original, truth, donor) {
    const { tone, words, predicted } = describe(result, this.names);
    this.mark.className = `bglab-${tone}`;
    write(this.mark, words);
    write(this.predicted, ` · ${predicted}`);
    const { nine: before } = original;
    /** @type {[label: number, name: string | null, now: number, before: number][] | undefined} */
    const rows = result.own ?? result.nine?.map((now, i) => [i, null, now, before?.[i] ?? now]);
    this.shown.hidden = !rows;
    // a classifier of the scenes' own classes has them all in the bars, or the likeliest of them in both lists
    this.native.hidden = Boolean(result.own) && !this.isPart;
    if (result.own) write(this.nativeTitle, "Most probable now (top 5), %");
    /** @type {(label: number) => ClassRole} */
    const roleOf = (label) => (label < 0 ? "" : label === truth ? "true" : label === donor ? "background" : "");
    rows?.forEach(([label, name, now, before], i) => {
      const bar = this.bars[i];
      if (name !== null) bar.name(name);
      bar.show(now, before);
      bar.mean(roleOf(label));
    });
    this.top.forEach((bar, i) => {
      const [label, name, now, before] = result.top[i] ?? [-1, "", 0, 0];
      bar.element.hidden = !result.top[i];
      bar.name(name);
      bar.show(now, before);
      if (result.own) bar.mean(roleOf(label));
    });
    const change =
      result.share === null || original.share === null ? "" : ` (${signed(result.share - original.share) || "±0"})`;
    this.share.title = result.no_map ?? "";
    const reason = result.no_map && result.no_map.length <= SHORT ? `: ${result.no_map}` : "";
    write(
      this.share,
      result.no_map
        ? `No saliency map${reason}`
        : result.share === null
          ? "Saliency on object: –"
          : `Saliency on object: ${percent(result.share)} %${change}`,
    );
    this.spoken = `${words.replace(/[✓✗] /, "")}, predicted ${predicted}`;
  }

  /** @param {boolean} isOld */
  dim(isOld) {
    this.element.classList.toggle("bglab-old", isOld);
  }
}

// What the marks of the bars mean, once for all panels.
export const barLegend = () =>
  make(
    "div",
    { class: "bglab-key" },
    ...[
      ["true", "true class"],
      ["background", "background's class"],
    ].map(([role, text]) => make("span", { "data-role": role }, text)),
    make("span", { class: "bglab-key-before" }, "as photographed"),
    make("span", {}, "± change since then, points"),
  );

// The photograph beside the composite, and what the classifiers predict for it. While the mask is edited on the large
// canvas, the two change places.
export class PhotographPanel {
  /** Whose photograph the canvas shows, so that it is not drawn again. @type {Composer | null} */
  shown = null;

  /** @param {number} size Side in pixels */
  constructor(size) {
    this.canvas = square(size, { class: "bglab-original", role: "img", "aria-label": "As photographed" });
    this.title = make("h4", {}, "As photographed");
    this.outcomes = make("div", { class: "bglab-outcomes" });
    this.element = make(
      "figure",
      { class: "bglab-photograph" },
      this.canvas,
      make("figcaption", {}, this.title, this.outcomes),
    );
  }

  /**
   * @param {Uint8ClampedArray<ArrayBuffer>} levels RGBA
   * @param {boolean} isComposite
   */
  draw(levels, isComposite) {
    putLevels(this.canvas, levels);
    const title = isComposite ? "On the chosen background" : "As photographed";
    write(this.title, title);
    this.canvas.setAttribute("aria-label", title);
  }

  /**
   * @param {Result[]} originals
   * @param {ResultPanel[]} panels
   */
  show(originals, panels) {
    const lines = originals.map((original, i) => {
      const { tone, words, predicted } = describe(original, panels[i].names);
      const model = originals.length > 1 ? make("span", { class: "bglab-note" }, `${panels[i].model}: `) : null;
      return make(
        "div",
        {},
        model,
        make("b", { class: `bglab-${tone}`, title: words }, words.match(/^[✓✗]/)?.[0] ?? ""),
        ` ${predicted}`,
      );
    });
    if (this.outcomes.textContent !== lines.map((line) => line.textContent).join(""))
      this.outcomes.replaceChildren(...lines);
  }
}

/**
 * A photograph's three planes as RGBA.
 *
 * @param {Bytes} planes
 * @param {number} size Side in pixels
 */
export const asPixels = (planes, size) => {
  const area = size * size;
  const pixels = new Uint8ClampedArray(4 * area).fill(255);
  for (let i = 0; i < area; i++)
    for (let channel = 0; channel < 3; channel++) pixels[4 * i + channel] = planes[channel * area + i];
  return pixels;
};
