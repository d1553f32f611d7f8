// The parts of the browser of predictions: filters, the number, the grid, the confusion matrix, and the panel of one row.

import { penOf, putLevels, square } from "./canvases.js";
import { ConfusionMatrix } from "./confusion.js";
import { button, make, select, slider, write } from "./controls.js";
import { percent } from "./results.js";
import { SheetLoader } from "./sheet_loader.js";
import { Tiles } from "./tiles.js";
import { View } from "./view.js";

/** @import { Confusion } from "./confusion.js" */
/** @import { Option, Slider } from "./controls.js" */
/** @import { Press } from "./tiles.js" */
/** @import { Bytes } from "./view.js" */

/**
 * @typedef {object} Filter The fields of `bglab.analysis.RowFilter`
 * @property {string} dataset
 * @property {string} variant
 * @property {string} model
 * @property {string} outcome
 * @property {string} compared_with
 * @property {string} true_class
 * @property {string} predicted_class
 * @property {number} least_confidence
 * @property {number} most_confidence
 * @property {string} order
 */

/** @typedef {"least_confidence" | "most_confidence"} Limit */
/** @typedef {Exclude<keyof Filter, Limit>} Picked */

/**
 * @typedef {object} BrowseGreeting
 * @property {Filter & { row: number }} state
 * @property {Filter} cleared The filter that selects all rows
 * @property {{ dataset: string[], variant: string[], model: string[], scene: string[] }} values By the codes of the columns
 * @property {string[]} titles Of the variants
 * @property {string[]} classes By label
 * @property {number[]} present Labels of true classes
 * @property {number[]} answers Labels of predicted classes
 * @property {string} outside
 * @property {Option[]} outcomes
 * @property {string[]} flips
 * @property {Option[]} references
 * @property {Option[]} orders
 * @property {string[]} reasons Why rows have no image
 * @property {string[]} notes
 * @property {boolean} has_explorer
 * @property {number[]} colour_map
 * @property {number} size Side of the images in pixels; 0 without scenes
 * @property {number} thumb
 * @property {number} per_sheet
 * @property {number} per_row
 * @property {string[]} names Of the columns, after a letter for their type
 */

/**
 * @typedef {object} Metric
 * @property {number} seq
 * @property {Filter} state
 * @property {{ head: string, value: string, rows: string, how: string, compared: string }} said
 * @property {[value: number, low: number, high: number] | null} share
 * @property {number} hits
 * @property {number} n
 * @property {{ reason: string, rows: number, example: string }[]} missing Selected rows without an image
 * @property {number} undecided Selected rows without a margin
 */

/** @typedef {Metric & Confusion} RowsMessage */

/**
 * @typedef {object} ShownRow
 * @property {number} place
 * @property {string} scene
 * @property {string} model
 * @property {string} truth
 * @property {string} predicted
 * @property {boolean} correct
 * @property {string[]} stored
 * @property {string} margin
 * @property {string} compared
 * @property {string[]} images Titles of the images
 * @property {[height: number, width: number] | null} map
 * @property {number | null} [share] Of the saliency on the object
 * @property {[name: string, probability: number][]} top
 * @property {string} note
 */

/** @param {string} label @param {HTMLElement} control */
const named = (label, control) => make("label", { class: "bglab-filter" }, make("span", {}, label), control);

// What the view is made of; the methods that it calls on a choice are in `BrowseView`.
export class BrowseLayout extends View {
  status = make("div", { class: "bglab-status", role: "status", "aria-live": "polite" });
  /** @type {BrowseGreeting} */
  config;
  /** @type {Filter} */
  state;
  /** Names of the classes by label, and last of predictions outside them. @type {string[]} */
  classNames = [];
  /** @type {Uint8Array} */
  table = new Uint8Array();
  /** @type {Record<Picked, HTMLSelectElement>} */
  picks;
  /** @type {Record<Limit, Slider>} */
  ranges;
  /** @type {SheetLoader} */
  loader;
  /** @type {Tiles} */
  tiles;
  /** @type {ConfusionMatrix} */
  matrix;
  /** @type {DetailPanel} */
  detail;
  head = make("b");
  value = make("span", { class: "bglab-value-text" });
  bar = make("div", { class: "bglab-part" });
  whisker = make("div", { class: "bglab-whisker" });
  compared = make("div", { class: "bglab-compared", hidden: true });
  about = make("div", { class: "bglab-note" });
  how = make("div", { class: "bglab-note" });
  failed = make("span");
  missing = make("div", { class: "bglab-note bglab-missing" });

  /** @param {Partial<Filter>} _changes */
  change(_changes) {}

  /** @type {Press} */
  press(_value, _how) {}

  /** @param {Set<string>} _sheets */
  see(_sheets) {}

  /** @param {string} _sheet */
  needSheet(_sheet) {}

  openInExplorer() {}

  build() {
    const { config } = this;
    this.loader = new SheetLoader((sheet) => this.needSheet(sheet));
    this.tiles = new Tiles({
      label: "Selected rows",
      isGrid: true,
      side: config.thumb,
      perRow: config.per_row,
      sheets: this.loader,
      seen: (_tiles, sheets) => this.see(sheets),
      press: (value, how) => this.press(value, how),
    });
    this.matrix = new ConfusionMatrix(this.classNames, (truth, predicted) =>
      this.change({ true_class: truth, predicted_class: predicted }),
    );
    this.detail = new DetailPanel(
      config,
      () => this.openInExplorer(),
      () => this.press(null, "escape"),
    );
    this.root.replaceChildren(
      make(
        "div",
        { class: "bglab-explorer bglab-browse" },
        make("div", { class: "bglab-filters", role: "group", "aria-label": "Filters" }, ...this.filters()),
        this.error,
        this.numberPanel(),
        make(
          "div",
          { class: "bglab-around" },
          make("div", { class: "bglab-selected" }, this.tiles.element, this.missing),
          this.matrix.element,
        ),
        this.detail.element,
        ...config.notes.map((note) => make("div", { class: "bglab-note" }, note)),
        make("div", { class: "bglab-row bglab-foot" }, ...this.exportControls(), this.status),
      ),
    );
  }

  filters() {
    const { config } = this;
    const { dataset, variant, model } = config.values;
    /** @type {Option[]} */
    const titled = variant.map((name, i) => [name, config.titles[i]]);
    /** @type {Option[]} */
    /** @type {(names: string[]) => Option[]} */
    const plain = (names) => names.map((name) => [name, name]);
    /** @type {(name: Picked, label: string, options: Option[]) => HTMLSelectElement} */
    const pick = (name, label, options) => select(label, options, (value) => this.change({ [name]: value }));
    /** @type {(labels: number[]) => Option[]} */
    const classes = (labels) => plain(labels.map((label) => this.classNames[label]));
    this.picks = {
      dataset: pick("dataset", "Data set", [["", "all data sets"], ...plain(dataset)]),
      variant: pick("variant", "Variant", [["", "all variants"], ...titled]),
      model: pick("model", "Model", [["", "all models"], ...plain(model)]),
      compared_with: pick("compared_with", "Compared with", [["", "nothing"], ...config.references]),
      outcome: pick("outcome", "Outcome", config.outcomes),
      true_class: pick("true_class", "True class", [["", "all"], ...classes(config.present)]),
      predicted_class: pick("predicted_class", "Predicted class", [
        ["", "all"],
        ...classes(config.answers.filter((label) => label >= 0)),
        [config.outside, config.outside],
      ]),
      order: pick("order", "Sorted by", config.orders),
    };
    /** @type {(name: Limit, label: string, other: Limit, clash: (value: number, other: number) => boolean) => Slider} */
    const range = (name, label, other, clash) =>
      slider(
        name,
        { low: 0, high: 1, step: 0.01, label, unit: "%" },
        (value) => this.change({ [name]: value, ...(clash(value, this.state[other]) ? { [other]: value } : {}) }),
        () => {},
      );
    this.ranges = {
      least_confidence: range("least_confidence", "Confidence from", "most_confidence", (value, most) => value > most),
      most_confidence: range("most_confidence", "Confidence to", "least_confidence", (value, least) => value < least),
    };
    const shown = Object.entries(this.picks).filter(
      ([name]) =>
        !(name === "dataset" && dataset.length < 2) &&
        !(name === "model" && model.length < 2) &&
        !(name === "compared_with" && !config.references.length),
    );
    /** @type {Record<string, string>} */
    const labels = {
      dataset: "Data set",
      variant: "Variant",
      model: "Model",
      compared_with: "Compared with",
      outcome: "Outcome",
      true_class: "True class",
      predicted_class: "Predicted",
      order: "Sorted by",
    };
    return [
      ...shown.map(([name, control]) => named(labels[name], control)),
      this.ranges.least_confidence.element,
      this.ranges.most_confidence.element,
      button("Reset", () => this.change({ ...config.cleared }), { title: "Show all rows" }),
    ];
  }

  showState() {
    const { state, config } = this;
    for (const [name, control] of Object.entries(this.picks)) {
      const value = state[/** @type {Picked} */ (name)];
      if (control.value !== value) control.value = value;
    }
    for (const [name, { set }] of Object.entries(this.ranges)) set(state[/** @type {Limit} */ (name)]);
    for (const option of this.picks.outcome.options) {
      option.disabled = config.flips.includes(option.value) && !state.compared_with;
      option.title = option.disabled ? "Choose what to compare with first" : "";
    }
  }

  numberPanel() {
    return make(
      "section",
      { class: "bglab-number", "aria-label": "Metric of the selected rows" },
      make("div", { class: "bglab-headline", role: "status", "aria-live": "polite" }, this.head, " ", this.value),
      make("div", { class: "bglab-scale-of-share", "aria-hidden": "true" }, this.bar, this.whisker),
      this.compared,
      this.about,
      this.how,
    );
  }

  /** @param {Metric} metric */
  showNumber({ said, share, missing, undecided, state }) {
    write(this.head, said.head);
    write(this.value, said.value);
    write(this.compared, said.compared);
    this.compared.hidden = !said.compared;
    write(this.about, said.rows);
    write(this.how, said.how);
    this.bar.style.width = share ? `${100 * share[0]}%` : "0";
    this.whisker.hidden = !share;
    if (share)
      Object.assign(this.whisker.style, { left: `${100 * share[1]}%`, width: `${100 * (share[2] - share[1])}%` });
    /** @param {number} n */
    const count = (n) => n.toLocaleString("en");
    const parts = this.config.size
      ? missing.map(({ reason, rows: n, example }) => `${count(n)} rows ${reason} (such as ${example})`)
      : [];
    const unsure =
      undecided && ["margin", "narrow"].includes(state.order)
        ? `${count(undecided)} rows have no margin, since the table lacks the probability of their prediction; they come last.`
        : "";
    write(this.failed, "");
    this.missing.replaceChildren(parts.length ? `Shown as text: ${parts.join("; ")}. ` : "", unsure, this.failed);
  }

  exportControls() {
    return [
      button("Copy selection as code", () => this.send({ type: "code", state: this.state }), {
        title: "The pandas code that selects these rows",
      }),
      button(
        "CSV",
        () => {
          this.status.textContent = "Exporting…";
          this.send({ type: "export" });
        },
        { "aria-label": "Selected rows as CSV", title: "The selected rows as CSV" },
      ),
    ];
  }
}

// The panel of one row: photograph, variant, donor and saliency, and what is predicted.
class DetailPanel {
  /**
   * @param {BrowseGreeting} config
   * @param {() => void} open Opens the image in the explorer
   * @param {() => void} shut
   */
  constructor(config, open, shut) {
    this.config = config;
    this.title = make("h3");
    this.images = make("div", { class: "bglab-images" });
    this.words = make("div", { class: "bglab-words" });
    this.opener = button("Open in the explorer", open, {
      hidden: !config.size,
      disabled: !config.has_explorer,
      title: config.has_explorer
        ? "Change the image and its background by hand"
        : "Needs a classifier: bglab.browse(…, classifier=…)",
    });
    this.element = make(
      "section",
      { class: "bglab-detail", "aria-label": "Selected image", hidden: true },
      make(
        "div",
        { class: "bglab-row" },
        this.title,
        make("span", { class: "bglab-space" }),
        this.opener,
        button("×", shut, { "aria-label": "Close the detail" }),
      ),
      make("div", { class: "bglab-shown" }, this.images, this.words),
    );
  }

  /** @param {string} label */
  wait(label) {
    write(this.title, label);
    this.element.setAttribute("aria-busy", "true");
  }

  /**
   * @param {ShownRow} message
   * @param {Bytes[]} pngs
   * @param {Uint8ClampedArray<ArrayBuffer> | null} heat RGBA
   */
  async show(message, pngs, heat) {
    const bitmaps = await Promise.all(pngs.map((png) => createImageBitmap(new Blob([png], { type: "image/png" }))));
    const figures = bitmaps.map((bitmap, i) => this.figure(message.images[i], (pen) => pen.drawImage(bitmap, 0, 0)));
    if (heat && bitmaps[1]) {
      const share = message.share == null ? "" : `, ${percent(message.share)} % on object`;
      figures.splice(
        2,
        0,
        this.figure(`Grad-CAM${share}`, (pen) => pen.drawImage(bitmaps[1], 0, 0), heat),
      );
    }
    for (const bitmap of bitmaps) bitmap.close();
    this.images.replaceChildren(...figures);
    this.images.hidden = !figures.length;
    this.opener.disabled = !this.config.has_explorer || !figures.length;
    const tone = message.correct ? "correct" : "incorrect";
    /** @param {string} words */
    const line = (words) => (words ? make("div", {}, words) : null);
    const top = message.top.map(([name, p]) => `${name} ${percent(p)} %`).join(", ");
    this.words.replaceChildren(
      ...[
        make(
          "div",
          {},
          make("b", { class: `bglab-${tone}` }, message.correct ? "✓ correct" : "✗ incorrect"),
          ` · true ${message.truth}, predicted ${message.predicted}`,
        ),
        line(message.margin[0].toUpperCase() + message.margin.slice(1)),
        line(`In the table: ${message.stored.join(", ")}`),
        line(top && `The classifier now: ${top}`),
        line(message.compared),
        line(this.config.values.model.length > 1 ? message.model : ""),
        message.note ? make("div", { class: "bglab-note" }, message.note) : null,
      ].filter((each) => each !== null),
    );
    this.element.removeAttribute("aria-busy");
  }

  /**
   * @param {string} title
   * @param {(pen: CanvasRenderingContext2D) => void} draw
   * @param {Uint8ClampedArray<ArrayBuffer> | null} heat RGBA
   */
  figure(title, draw, heat = null) {
    const { size } = this.config;
    const image = square(size, { role: "img", "aria-label": title });
    draw(penOf(image));
    const over = heat ? square(size, { class: "bglab-over", "aria-hidden": "true" }) : null;
    if (heat && over) putLevels(over, heat);
    return make("figure", {}, make("div", { class: "bglab-frame" }, image, over), make("figcaption", {}, title));
  }
}
