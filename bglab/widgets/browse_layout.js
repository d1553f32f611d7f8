// The parts of the browser of predictions: filters, the number, the grid, the confusion matrix, and the panel of one row.

import { ConfusionMatrix } from "./confusion.js";
import { button, make, select, slider, write } from "./controls.js";
import { percent } from "./results.js";
import { SheetLoader, Tiles } from "./strip.js";
import { View } from "./view.js";

const named = (label, control) => make("label", { class: "bglab-filter" }, make("span", {}, label), control);

// What the view is made of; the methods that it calls on a choice are in `BrowseView`.
export class BrowseLayout extends View {
  build() {
    const { config } = this;
    this.loader = new SheetLoader((sheet) => this.needSheet(sheet));
    this.tiles = new Tiles({
      label: "Selected rows", isGrid: true, side: config.thumb, perRow: config.per_row, sheets: this.loader,
      seen: (_tiles, sheets) => this.see(sheets), press: (value, how) => this.press(value, how),
    });
    this.matrix = new ConfusionMatrix(this.classNames, (truth, predicted) => this.change({ true_class: truth, predicted_class: predicted }));
    this.detail = new DetailPanel(config, () => this.openInExplorer(), () => this.press(null, "escape"));
    this.failed = make("span");
    this.missing = make("div", { class: "bglab-note bglab-missing" });
    this.root.replaceChildren(
      make("div", { class: "bglab-explorer bglab-browse" },
        make("div", { class: "bglab-filters", role: "group", "aria-label": "Filters" }, ...this.filters()),
        this.error,
        this.numberPanel(),
        make("div", { class: "bglab-around" }, make("div", { class: "bglab-selected" }, this.tiles.element, this.missing), this.matrix.element),
        this.detail.element,
        ...config.notes.map((note) => make("div", { class: "bglab-note" }, note)),
        make("div", { class: "bglab-row bglab-foot" }, ...this.exportControls(), this.status)));
  }

  filters() {
    const { config } = this;
    const { dataset, variant, model } = config.values;
    const titled = variant.map((name, i) => [name, config.titles[i]]);
    const plain = (names) => names.map((name) => [name, name]);
    const pick = (name, label, options) => select(label, options, (value) => this.change({ [name]: value }));
    const classes = (labels) => labels.map((label) => this.classNames.at(label)).map((name) => [name, name]);
    this.picks = {
      dataset: pick("dataset", "Data set", [["", "all data sets"], ...plain(dataset)]),
      variant: pick("variant", "Variant", [["", "all variants"], ...titled]),
      model: pick("model", "Model", [["", "all models"], ...plain(model)]),
      compared_with: pick("compared_with", "Compared with", [["", "nothing"], ...config.references]),
      outcome: pick("outcome", "Outcome", config.outcomes),
      true_class: pick("true_class", "True class", [["", "all"], ...classes(config.present)]),
      predicted_class: pick("predicted_class", "Predicted class", [["", "all"], ...classes(config.answers.filter((label) => label >= 0)), [config.outside, config.outside]]),
      order: pick("order", "Sorted by", config.orders),
    };
    const range = (name, label, other, clash) => {
      const made = slider(name, { low: 0, high: 1, step: 0.01, label, unit: "%" },
        (value) => this.change({ [name]: value, ...(clash(value, this.state[other]) ? { [other]: value } : {}) }), () => {});
      this.ranges[name] = made;
      return made.element;
    };
    this.ranges = {};
    const shown = Object.entries(this.picks).filter(([name]) =>
      !(name === "dataset" && dataset.length < 2) && !(name === "model" && model.length < 2) && !(name === "compared_with" && !config.references.length));
    const labels = { dataset: "Data set", variant: "Variant", model: "Model", compared_with: "Compared with", outcome: "Outcome",
      true_class: "True class", predicted_class: "Predicted", order: "Sorted by" };
    return [...shown.map(([name, control]) => named(labels[name], control)),
      range("least_confidence", "Confidence from", "most_confidence", (value, most) => value > most),
      range("most_confidence", "Confidence to", "least_confidence", (value, least) => value < least),
      button("Reset", () => this.change({ ...config.cleared }), { title: "Show all rows" })];
  }

  showState() {
    const { state, config } = this;
    for (const [name, control] of Object.entries(this.picks)) if (control.value !== state[name]) control.value = state[name];
    for (const [name, { set }] of Object.entries(this.ranges)) set(state[name]);
    for (const option of this.picks.outcome.options) {
      option.disabled = config.flips.includes(option.value) && !state.compared_with;
      option.title = option.disabled ? "Choose what to compare with first" : "";
    }
  }

  numberPanel() {
    this.head = make("b");
    this.value = make("span", { class: "bglab-value-text" });
    this.bar = make("div", { class: "bglab-part" });
    this.whisker = make("div", { class: "bglab-whisker" });
    this.compared = make("div", { class: "bglab-compared", hidden: true });
    this.about = make("div", { class: "bglab-note" });
    this.how = make("div", { class: "bglab-note" });
    return make("section", { class: "bglab-number", "aria-label": "Metric of the selected rows" },
      make("div", { class: "bglab-headline", role: "status", "aria-live": "polite" }, this.head, " ", this.value),
      make("div", { class: "bglab-scale-of-share", "aria-hidden": "true" }, this.bar, this.whisker),
      this.compared, this.about, this.how);
  }

  showNumber({ said, share, missing, undecided, state }) {
    write(this.head, said.head);
    write(this.value, said.value);
    write(this.compared, said.compared);
    this.compared.hidden = !said.compared;
    write(this.about, said.rows);
    write(this.how, said.how);
    this.bar.style.width = share ? `${100 * share[0]}%` : 0;
    this.whisker.hidden = !share;
    if (share) Object.assign(this.whisker.style, { left: `${100 * share[1]}%`, width: `${100 * (share[2] - share[1])}%` });
    const count = (n) => n.toLocaleString("en");
    const parts = this.config.size ? missing.map(({ reason, rows: n, example }) => `${count(n)} rows ${reason} (such as ${example})`) : [];
    const unsure = undecided && ["margin", "narrow"].includes(state.order) ? `${count(undecided)} rows have no margin, since the table lacks the probability of their prediction; they come last.` : "";
    write(this.failed, "");
    this.missing.replaceChildren(parts.length ? `Shown as text: ${parts.join("; ")}. ` : "", unsure, this.failed);
  }

  exportControls() {
    return [
      button("Copy selection as code", () => this.send({ type: "code", state: this.state }), { title: "The pandas code that selects these rows" }),
      button("CSV", () => { this.status.textContent = "Exporting…"; this.send({ type: "export" }); }, { "aria-label": "Selected rows as CSV", title: "The selected rows as CSV" }),
    ];
  }
}

// The panel of one row: photograph, variant, donor and saliency, and what is predicted.
class DetailPanel {
  constructor(config, open, shut) {
    this.config = config;
    this.title = make("h3");
    this.images = make("div", { class: "bglab-images" });
    this.words = make("div", { class: "bglab-words" });
    this.opener = button("Open in the explorer", open, {
      hidden: !config.size, disabled: !config.has_explorer,
      title: config.has_explorer ? "Change the image and its background by hand" : "Needs a classifier: bglab.browse(…, classifier=…)",
    });
    this.element = make("section", { class: "bglab-detail", "aria-label": "Selected image", hidden: true },
      make("div", { class: "bglab-row" }, this.title, make("span", { class: "bglab-space" }), this.opener,
        button("×", shut, { "aria-label": "Close the detail" })),
      make("div", { class: "bglab-shown" }, this.images, this.words));
  }

  wait(label) {
    write(this.title, label);
    this.element.setAttribute("aria-busy", "true");
  }

  async show(message, pngs, heat) {
    const bitmaps = await Promise.all(pngs.map((png) => createImageBitmap(new Blob([png], { type: "image/png" }))));
    const figures = bitmaps.map((bitmap, i) => this.figure(message.images[i], (pen) => pen.drawImage(bitmap, 0, 0)));
    if (heat && bitmaps[1]) {
      const share = message.share === null ? "" : `, ${percent(message.share)} % on object`;
      figures.splice(2, 0, this.figure(`Grad-CAM${share}`, (pen) => pen.drawImage(bitmaps[1], 0, 0), heat));
    }
    for (const bitmap of bitmaps) bitmap.close();
    this.images.replaceChildren(...figures);
    this.images.hidden = !figures.length;
    this.opener.disabled = !this.config.has_explorer || !figures.length;
    const tone = message.correct ? "correct" : "incorrect";
    const line = (words) => words ? make("div", {}, words) : null;
    const top = message.top.map(([name, p]) => `${name} ${percent(p)} %`).join(", ");
    this.words.replaceChildren(...[
      make("div", {}, make("b", { class: `bglab-${tone}` }, message.correct ? "✓ correct" : "✗ incorrect"), ` · true ${message.truth}, predicted ${message.predicted}`),
      line(message.margin[0].toUpperCase() + message.margin.slice(1)),
      line(`In the table: ${message.stored.join(", ")}`),
      line(top && `The classifier now: ${top}`),
      line(message.compared),
      line(this.config.values.model.length > 1 ? message.model : ""),
      message.note ? make("div", { class: "bglab-note" }, message.note) : null,
    ].filter((each) => each));
    this.element.removeAttribute("aria-busy");
  }

  figure(title, draw, heat) {
    const { size } = this.config;
    const image = make("canvas", { width: size, height: size, role: "img", "aria-label": title });
    draw(image.getContext("2d"));
    const over = heat ? make("canvas", { class: "bglab-over", width: size, height: size, "aria-hidden": "true" }) : null;
    over?.getContext("2d").putImageData(new ImageData(heat, size, size), 0, 0);
    return make("figure", {}, make("div", { class: "bglab-frame" }, image, over), make("figcaption", {}, title));
  }
}
