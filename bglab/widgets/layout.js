// The explorer's parts and their arrangement: everything that the view is built from once.

import { CapturePanel } from "./capture.js";
import { button, fileButton, make, QUIET, select, slider } from "./controls.js";
import { isShortcut } from "./keys.js";
import { barLegend, namesOf, PhotographPanel, ResultPanel } from "./results.js";
import { Stage } from "./stage.js";
import { PLACED } from "./state.js";
import { Strip } from "./strip.js";
import { View } from "./view.js";

/** @import { Option, Slider } from "./controls.js" */
/** @import { ExplorerView } from "./explorer.js" */
/** @import { Greeting } from "./greeting.js" */
/** @import { Tool } from "./stage.js" */
/** @import { BackgroundKind, SliderName } from "./state.js" */

/** @type {[BackgroundKind, text: string][]} */
const BACKGROUNDS = [
  ["own", "As photographed"],
  ["scene", "Other scene"],
  ["variant", "Variant"],
  ["colour", "Colour"],
  ["texture", "Texture"],
  ["noise", "Noise"],
  ["image", "Own picture"],
];

/**
 * @param {string[]} names
 * @returns {Option[]} Their places as values
 */
const numbered = (names) => names.map((name, i) => [String(i), name]);

// What `ExplorerView` is made of; the methods that it calls on a choice are there.
export class ExplorerLayout extends View {
  /** @type {Greeting & { beginning: Greeting["state"] }} */
  config;
  /** Red, green and blue of 256 colours. @type {Uint8Array} */
  table;
  /** @type {Stage} */
  stage;
  /** @type {Strip} */
  scenes;
  /** @type {Strip} */
  plates;
  /** @type {Strip} */
  chips;
  /** @type {PhotographPanel} */
  photograph;
  /** @type {CapturePanel} */
  capture;
  /** @type {ResultPanel[]} */
  panels = [];
  /** @type {HTMLSelectElement} */
  classFilter;
  /** @type {HTMLSelectElement} */
  correctnessFilter;
  /** @type {HTMLSelectElement} */
  uploadLabel;
  /** @type {HTMLButtonElement[]} */
  kinds = [];
  /** @type {HTMLInputElement} */
  colour;
  /** @type {HTMLElement} */
  upload;
  /** @type {HTMLElement} */
  hint;
  /** @type {HTMLElement} */
  scale;
  /** @type {HTMLButtonElement[]} */
  modes = [];
  /** @type {HTMLElement} */
  brushControls;
  /** @type {Partial<Record<string, Slider>>} */
  sliders = {};
  /** @type {HTMLSelectElement} */
  target;
  /** @type {HTMLSelectElement} */
  modelPick;
  status = make("div", { class: "bglab-status", role: "status", "aria-live": "polite" });

  /** @this {ExplorerView} */
  build() {
    const { config } = this;
    this.stage = new Stage(config.size, {
      moved: (changes) => this.move(changes),
      settled: () => this.settle(PLACED),
      boxed: (box) => this.work({ type: "cut", scene: this.state.scene, box }, "Segmenting the object…"),
      brushed: (mask) => {
        this.isBrushing = true;
        this.work({ type: "edit_mask", scene: this.state.scene }, "", [mask.slice().buffer]);
      },
    });
    /** @type {(label: string, kind: string, choose: (value: string) => void) => Strip} */
    const strip = (label, kind, choose) =>
      new Strip({
        label,
        side: config.thumb,
        perRow: config.per_row,
        choose,
        needSheet: (sheet) => this.send({ type: "thumbs", kind, sheet }),
      });
    this.scenes = strip("Images", "scene", (scene) => this.choose({ scene }));
    this.plates = strip("Backgrounds of other scenes", "plate", (id) => this.choose({ background: `scene:${id}` }));
    this.chips = strip("Backgrounds", "texture", (background) => this.choose({ background }));
    this.photograph = new PhotographPanel(config.size);
    this.capture = new CapturePanel(config.size, {
      choose: (state) => this.choose(state),
      find: () => this.findCapture(),
      stop: () => this.send({ type: "stop_capture" }),
    });
    this.panels = config.models.map((name) => new ResultPanel(name, config));
    this.root.replaceChildren(
      make(
        "div",
        { class: "bglab-explorer" },
        make("div", { class: "bglab-row" }, make("h2", {}, "Image"), ...this.sceneControls()),
        this.scenes.element,
        make("div", { class: "bglab-row" }, make("h2", {}, "Background"), ...this.backgroundControls()),
        make(
          "div",
          { class: "bglab-choices" },
          this.colour,
          this.upload,
          this.hint,
          this.plates.element,
          this.chips.element,
        ),
        make(
          "div",
          { class: "bglab-main", "data-count": this.panels.length },
          make("div", { class: "bglab-left" }, this.stage.element, this.legend(), this.maskControls()),
          make("div", { class: "bglab-beside" }, this.photograph.element, this.capture.element),
          make("div", { class: "bglab-results" }, ...this.panels.map((panel) => panel.element), barLegend()),
          this.sliderPanel(),
        ),
        this.error,
        make("div", { class: "bglab-row bglab-foot" }, ...this.exportControls(), this.status),
      ),
    );
  }

  /** @this {ExplorerView} */
  sceneControls() {
    const { config } = this;
    const shown = new Set(config.scenes.map(([, label]) => label));
    /** @type {Option[]} */
    const classes = [["", "all classes"], ...numbered(config.class_names).filter((_, i) => shown.has(i))];
    this.classFilter = select("Filter images by class", classes, () => this.fillScenes());
    this.correctnessFilter = select(
      "Filter images by prediction",
      [
        ["", "all predictions"],
        ["correct", "correct"],
        ["incorrect", "incorrect"],
      ],
      (wanted) => {
        if (wanted && !this.correctness) this.work({ type: "correctness" }, "Classifying all images…");
        this.fillScenes();
      },
      { hidden: !config.has_labels },
    );
    this.uploadLabel = select(
      "Class of your image",
      [["-1", "unknown class"], ...numbered(namesOf(config).slice(0, config.nine.length ? -1 : undefined))],
      (label) => this.work({ type: "label", scene: this.state.scene, label: Number(label) }),
      { hidden: true },
    );
    return [
      this.classFilter,
      this.correctnessFilter,
      make("span", { class: "bglab-space" }),
      this.uploadLabel,
      fileButton(
        "Upload image…",
        "image/*",
        (name, bytes) => this.work({ type: "upload", name }, "Uploading…", [bytes]),
        { title: "Upload your own image, draw a box around its object, then correct the mask" },
      ),
    ];
  }

  /** @this {ExplorerView} */
  backgroundControls() {
    this.kinds = BACKGROUNDS.map(([kind, text]) =>
      button(text, () => this.pickKind(kind), { role: "radio", "data-kind": kind }),
    );
    /** @param {KeyboardEvent} event */
    const onkeydown = (event) => {
      if (isShortcut(event)) return;
      const { kinds } = this;
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const at = kinds.indexOf(/** @type {HTMLButtonElement} */ (event.target));
      if (!step) return;
      const next = kinds[(at + step + kinds.length) % kinds.length];
      next.focus();
      next.click();
      event.preventDefault();
      event.stopPropagation();
    };
    const kinds = make(
      "div",
      { class: "bglab-kinds", role: "radiogroup", "aria-label": "Kind of background", onkeydown },
      ...this.kinds,
    );
    this.colour = make("input", {
      type: "color",
      "aria-label": "Background colour",
      value: "#3366cc",
      hidden: true,
      ...QUIET,
      oninput: () => this.choose({ background: `colour:${this.colour.value}` }),
    });
    this.upload = fileButton(
      "Upload…",
      "image/*",
      (name, bytes) => this.work({ type: "upload_background", name }, "Uploading…", [bytes]),
      { title: "Upload a picture to use as the background" },
    );
    this.upload.hidden = true;
    this.hint = make("span", { class: "bglab-note bglab-hint" });
    return [kinds, make("span", { class: "bglab-space" }), this.capture.find];
  }

  /** @this {ExplorerView} */
  legend() {
    const stops = [0, 64, 128, 192, 255].map((i) => `rgb(${this.table.slice(3 * i, 3 * i + 3)})`);
    const bar = make("span", { class: "bglab-scale" });
    bar.style.background = `linear-gradient(to right, ${stops})`;
    this.scale = make("div", { class: "bglab-legend" }, "Grad-CAM: 0", bar, "maximum of this map");
    return this.scale;
  }

  /** @this {ExplorerView} */
  maskControls() {
    /** @type {[Tool, text: string, title: string][]} */
    const modes = [
      ["move", "Move", "Drag the object"],
      ["box", "Box", "Draw a box around the object, which GrabCut segments"],
      ["brush", "Brush", "Correct the mask with a brush"],
    ];
    this.modes = modes.map(([mode, text, title]) =>
      button(text, () => this.useMode(mode), { "data-mode": mode, title, "aria-pressed": String(mode === "move") }),
    );
    const brush = slider(
      "brush",
      { low: 0.01, high: 0.2, step: 0.005, label: "Brush size", unit: "%" },
      (value) => {
        this.stage.brush = value;
      },
      () => {},
    );
    brush.set(this.stage.brush);
    const side = select(
      "Brush mode",
      [
        ["add", "add to mask"],
        ["remove", "remove from mask"],
      ],
      (value) => {
        this.stage.erase = value === "remove";
      },
    );
    this.brushControls = make(
      "div",
      { class: "bglab-brush", hidden: true },
      brush.element,
      side,
      button("Undo", () => this.stage.undo()),
    );
    const flip = button(
      "Flip",
      () => {
        this.move({ flip: true });
        this.settle(PLACED);
      },
      { title: "Mirror the object left to right" },
    );
    const reset = button("Reset", () => this.choose({ ...this.config.beginning }), {
      title: "Back to the image, background and settings that this began with",
    });
    return make(
      "div",
      { class: "bglab-tools" },
      make("div", { class: "bglab-row", role: "toolbar", "aria-label": "Tools" }, ...this.modes, flip, reset),
      this.brushControls,
    );
  }

  /** @this {ExplorerView} */
  sliderPanel() {
    // three to a row
    /** @type {SliderName[]} */
    const names = ["mix", "background_blur", "brightness", "feather", "grow", "scale", "dx", "dy", "saliency_opacity"];
    const panel = make("div", { class: "bglab-sliders" });
    for (const name of names) {
      const made = slider(
        name,
        this.config.sliders[name],
        (value) => this.change({ [name]: value }),
        () => this.settle([name]),
      );
      made.input.addEventListener("reset", () => {
        this.change({ [name]: this.config.beginning[name] });
        this.settle([name]);
      });
      this.sliders[name] = made;
      panel.append(made.element);
    }
    this.target = select(
      "Class that the saliency map explains",
      [
        ["predicted", "predicted class"],
        ["true", "true class"],
        ["background", "background's class"],
      ],
      (target) => this.choose({ target }),
    );
    this.modelPick = select("Classifier whose saliency map is shown", numbered(this.config.models), (model) =>
      this.choose({ model: Number(model) }),
    );
    panel.append(make("label", { class: "bglab-slider" }, make("span", {}, "Saliency for"), this.target));
    if (this.config.models.length > 1)
      panel.append(make("label", { class: "bglab-slider" }, make("span", {}, "Saliency of"), this.modelPick));
    return panel;
  }

  /** @this {ExplorerView} */
  exportControls() {
    const venue = select(
      "Venue whose column width and fonts the figure has",
      this.config.venues.map((name) => [name, name]),
      () => {},
    );
    /** @param {string} format */
    const save = (format) => () => this.work({ type: "export", format, venue: venue.value }, "Exporting…");
    return [
      make("span", { class: "bglab-note" }, "Export"),
      venue,
      ...["pdf", "svg", "png"].map((format) =>
        button(format.toUpperCase(), save(format), { "aria-label": `Figure as ${format.toUpperCase()}` }),
      ),
      button("CSV", save("csv"), { "aria-label": "Numbers as CSV", title: "Every number shown, as CSV" }),
      button("Web page", save("html"), {
        title: "What is shown, as a page in which readers drag the mix; for more images, see export_html",
      }),
      button("Cut-out", save("cutout"), { title: "The object on a transparent background, as PNG" }),
      button("Code", () => this.work({ type: "code" }), { title: "Copy code that reproduces this view" }),
    ];
  }
}
