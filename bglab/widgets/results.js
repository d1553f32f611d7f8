// One classifier's result: correctness, probabilities of the classes shown and the top native ones, saliency on the object.

import { make, write } from "./controls.js";

export const percent = (value) => `${Math.round(100 * value)}`;
const signed = (change) => {
  const points = Math.round(100 * change);
  return points === 0 ? "" : points > 0 ? `+${points}` : `−${-points}`;
};

// Rows are told apart by their names. Colour and shape mark what matters in a row instead: the true class, and the
// background's. Nine colours could not all contrast with the track, and not in both themes.
class Bar {
  constructor(label) {
    this.fill = make("div", { class: "bglab-fill" });
    this.mark = make("div", { class: "bglab-before", title: "As photographed" });
    this.label = make("span", { class: "bglab-name" }, label);
    this.value = make("span", { class: "bglab-value" });
    this.change = make("span", { class: "bglab-change" });
    const track = make("div", { class: "bglab-track" }, this.fill, this.mark);
    this.element = make("div", { class: "bglab-bar" }, this.label, track, this.value, this.change);
  }

  name(words) {
    if (this.label.title === words) return;
    this.label.textContent = words;
    this.label.title = words;
  }

  // Marks the row of the "true" class or that of the "background".
  mean(role) {
    if (this.element.dataset.role === role) return;
    this.element.dataset.role = role;
    this.element.title = role && { true: "True class", background: "Class of the background" }[role];
  }

  show(now, before) {
    this.fill.style.width = `${(100 * now).toFixed(1)}%`;
    this.mark.style.left = `${100 * before}%`;
    write(this.value, percent(now));
    write(this.change, signed(now - before));
  }
}

// For each outcome, the suffix of its CSS class and its text.
const OUTCOMES = {
  correct: ["correct", "✓ correct"],
  captured: ["incorrect", "✗ incorrect: the background's class"],
  incorrect: ["incorrect", "✗ incorrect"],
  unknown: ["unknown", "true class unknown"],
  foreign: ["unknown", "not comparable: predicts other classes"],
};

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

// The most probable native class, in words that say so if it is hardly probable.
const topAnswer = ([, name, probability]) =>
  probability < UNSURE
    ? `top answer only ${percent(probability)}\u00a0%: ${name}`
    : `${name}, ${percent(probability)}\u00a0%`;

// Names of the nine classes and of everything outside them, or of the scenes' own classes.
export const namesOf = ({ nine, own }) => (own.length ? own : nine);

// A result in words: outcome, predicted class, and in parentheses the most probable native class where these are others.
export const describe = (result, names) => {
  const [tone, words] = outcomeOf(result);
  const predicted = result.nine ? names.at(result.prediction) : "";
  const top = topAnswer(result.top[0]);
  return { tone, words, predicted: predicted ? `${predicted} (${top})` : top };
};

const OWN_ROWS =
  "The true class, the background's, and the most probable classes of the photograph, in the order of their probability there";

export class ResultPanel {
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
    this.native = make(
      "div",
      { class: "bglab-bars bglab-native" },
      (this.nativeTitle = make("h4", {}, "Native classes (top 5), %")),
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

  show(result, original, truth, donor) {
    const { tone, words, predicted } = describe(result, this.names);
    this.mark.className = `bglab-${tone}`;
    write(this.mark, words);
    write(this.predicted, ` · ${predicted}`);
    const rows = result.own ?? result.nine?.map((now, i) => [i, null, now, original.nine[i]]);
    this.shown.hidden = !rows;
    // a classifier of the scenes' own classes has them all in the bars, or the likeliest of them in both lists
    this.native.hidden = Boolean(result.own) && !this.isPart;
    if (result.own) write(this.nativeTitle, "Most probable now (top 5), %");
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
    const reason = result.no_map?.length <= SHORT ? `: ${result.no_map}` : "";
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
  constructor(size) {
    this.size = size;
    this.canvas = make("canvas", {
      class: "bglab-original",
      width: size,
      height: size,
      role: "img",
      "aria-label": "As photographed",
    });
    this.title = make("h4", {}, "As photographed");
    this.outcomes = make("div", { class: "bglab-outcomes" });
    this.element = make(
      "figure",
      { class: "bglab-photograph" },
      this.canvas,
      make("figcaption", {}, this.title, this.outcomes),
    );
  }

  draw(levels, isComposite) {
    this.canvas.getContext("2d").putImageData(new ImageData(levels, this.size, this.size), 0, 0);
    const title = isComposite ? "On the chosen background" : "As photographed";
    write(this.title, title);
    this.canvas.setAttribute("aria-label", title);
  }

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

// A photograph's three planes as RGBA.
export const asPixels = (planes, size) => {
  const area = size * size,
    pixels = new Uint8ClampedArray(4 * area).fill(255);
  for (let i = 0; i < area; i++)
    for (let channel = 0; channel < 3; channel++) pixels[4 * i + channel] = planes[channel * area + i];
  return pixels;
};
