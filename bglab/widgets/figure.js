// The figure of a project page: the explorer's canvas without a kernel. What can be chosen, the images and the answers are
// in the page; the slider stops only where an answer was computed, so that nothing shown is interpolated.

import { Composer, colourMap } from "./composer.js";
import { make, select, slider, write } from "./controls.js";
import { bytesOf, resultOf, SHEET_COLUMNS, StoredImages } from "./figure_data.js";
import { asPixels, barLegend, PhotographPanel, ResultPanel } from "./results.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";

/** @import { Slider } from "./controls.js" */
/** @import { FigureData, StoredSeries } from "./figure_data.js" */
/** @import { Bytes } from "./view.js" */

/** @typedef {{ scene: number, background: number, step: number, opacity: number, model: number }} Choice Positions in the data of the page */

// Scenes on backgrounds whose layers stay decoded, a few megabytes each.
const COMPOSERS_KEPT = 8;
// The address follows the slider at this pace: browsers refuse to change it more often than about three times a second.
const ADDRESS_MS = 350;
// After so long without a change the answer is announced to screen readers.
const ANNOUNCED_MS = 700;

class Figure {
  /** @type {Stage} */
  stage;
  /** @type {Strip} */
  scenes;
  /** @type {Strip} */
  plates;
  /** @type {Slider} */
  mix;
  /** @type {Slider} */
  opacity;
  /** @type {HTMLSelectElement} */
  model;
  /** @type {PhotographPanel} */
  photograph;
  /** @type {HTMLElement} */
  chosen;
  /** @type {HTMLElement} */
  error;
  /** @type {HTMLElement} */
  status;
  /** @type {HTMLElement} */
  scale;
  /** @type {ResultPanel[]} */
  panels = [];
  frame = 0;
  idling = 0;
  addressing = 0;
  filledFor = -1;
  drawnScene = -1;

  /**
   * @param {FigureData} data
   * @param {HTMLElement} root
   */
  constructor(data, root) {
    this.data = data;
    this.root = root;
    /** @type {Map<string, Composer>} */
    this.composers = new Map();
    /** @type {Map<string, Bytes>} */
    this.maps = new Map();
    this.table = Uint8Array.from(data.colour_map);
    this.images = new StoredImages(data.images, data.size);
    this.places = {
      scene: new Map(data.scenes.map(({ id }, i) => [id, i])),
      background: new Map(data.backgrounds.map(({ key }, i) => [key, i])),
    };
    const { scene, background, mix, saliency_opacity: opacity, model } = data.state;
    /** @type {Choice} */
    this.state = {
      scene: this.places.scene.get(scene) ?? 0,
      background: this.places.background.get(background) ?? 0,
      step: this.nearest(mix),
      opacity,
      model,
      ...this.asked(),
    };
    this.build();
    this.show();
    window.addEventListener("hashchange", () => {
      Object.assign(this.state, this.asked());
      this.show();
    });
  }

  // ---- parts

  build() {
    const { data } = this;
    const steps = data.mixes.length - 1;
    this.stage = new Stage(data.size);
    this.scenes = new Strip({
      label: "Images",
      side: data.thumb,
      perRow: SHEET_COLUMNS,
      choose: (id) => this.change({ scene: this.places.scene.get(id) }),
      needSheet: (name) =>
        this.showSheet(
          this.scenes,
          name,
          data.pairs.map(([{ layers }]) => layers[0]),
        ),
    });
    this.plates = new Strip({
      label: "Backgrounds",
      side: data.thumb,
      perRow: SHEET_COLUMNS,
      choose: (key) => this.change({ background: this.places.background.get(key) }),
      needSheet: (name) =>
        this.showSheet(
          this.plates,
          name,
          data.pairs[Number(name)].map(({ layers }) => layers[3]),
        ),
    });
    this.scenes.fill(data.scenes.map(({ id, words }, i) => ({ value: id, label: words, sheet: "images", place: i })));
    /** @param {number} step */
    const percentage = (step) => `${Number((100 * data.mixes[step]).toFixed(1))} %`;
    const range = { low: 0, high: steps, step: 1, label: "Mix", unit: percentage };
    this.mix = slider(
      "mix",
      range,
      (step) => this.change({ step }),
      () => {},
    );
    this.mix.input.disabled = !steps;
    this.opacity = slider(
      "saliency_opacity",
      data.opacity,
      (opacity) => this.change({ opacity }),
      () => {},
    );
    this.model = select(
      "Classifier",
      data.models.map((name, i) => [String(i), name]),
      (model) => this.change({ model: Number(model) }),
    );
    this.photograph = new PhotographPanel(data.size);
    this.panels = data.models.map((name) => new ResultPanel(name, data));
    this.chosen = make("p", { class: "bglab-chosen" });
    this.error = make("div", { class: "bglab-error", role: "alert", hidden: true });
    this.status = make("div", { class: "bglab-spoken", role: "status", "aria-live": "polite" });
    const hidden = make("div", { class: "bglab-capture", hidden: true });
    this.root.replaceChildren(
      make(
        "figure",
        { class: "bglab-explorer" },
        make(
          "div",
          { class: "bglab-pick", hidden: data.scenes.length < 2 },
          make("h2", {}, "Image"),
          this.scenes.element,
        ),
        make(
          "div",
          { class: "bglab-pick", hidden: data.backgrounds.length < 2 },
          make("h2", {}, "Background"),
          this.plates.element,
        ),
        make(
          "label",
          { class: "bglab-slider", hidden: data.models.length < 2 },
          make("span", {}, "Classifier"),
          this.model,
        ),
        make(
          "div",
          { class: "bglab-main", "data-count": 1 },
          make(
            "div",
            { class: "bglab-left" },
            this.stage.element,
            this.mix.element,
            this.opacity.element,
            this.legend(),
          ),
          make("div", { class: "bglab-beside" }, this.photograph.element, hidden),
          make(
            "div",
            { class: "bglab-results" },
            this.chosen,
            ...this.panels.map(({ element }) => element),
            barLegend(),
          ),
        ),
        this.error,
        this.status,
      ),
    );
  }

  legend() {
    const stops = [0, 64, 128, 192, 255].map((i) => `rgb(${this.table.slice(3 * i, 3 * i + 3)})`);
    const bar = make("span", { class: "bglab-scale" });
    bar.style.background = `linear-gradient(to right, ${stops})`;
    this.scale = make("div", { class: "bglab-legend" }, "Grad-CAM: 0", bar, "maximum of this map");
    return this.scale;
  }

  /**
   * @param {Strip} strip
   * @param {string} name
   * @param {number[]} places
   */
  async showSheet(strip, name, places) {
    strip.showSheet(name, await this.images.sheet(places, this.data.thumb));
  }

  // ---- state

  /** @param {number} mix */
  nearest(mix) {
    const distances = this.data.mixes.map((stop) => Math.abs(stop - mix));
    return distances.indexOf(Math.min(...distances));
  }

  get pair() {
    return this.data.pairs[this.state.scene][this.state.background];
  }

  /**
   * A choice of the reader, which the address follows.
   *
   * @param {Partial<Choice>} changes
   */
  change(changes) {
    Object.assign(this.state, changes);
    this.showAddress();
    this.show();
  }

  async show() {
    const { scene, background, step, opacity, model } = this.state;
    this.mix.set(step);
    this.opacity.set(opacity);
    this.model.value = String(model);
    if (this.filledFor !== scene) this.fillBackgrounds(scene);
    this.scenes.select(this.data.scenes[scene].id);
    this.plates.select(this.data.backgrounds[background].key);
    try {
      await this.compose(`${scene} ${background}`);
      this.draw();
    } catch (problem) {
      this.error.textContent = `This browser cannot show the images of the page: ${problem}`;
      this.error.hidden = false;
    }
  }

  /**
   * What is behind an object may differ from scene to scene, and so do the thumbnails.
   *
   * @param {number} scene
   */
  fillBackgrounds(scene) {
    this.filledFor = scene;
    const sheet = String(scene);
    this.plates.fill(
      this.data.backgrounds.map(({ key, words }, place) => ({ value: key, label: words, sheet, place })),
    );
  }

  /**
   * Decodes the layers of the chosen scene on its background, unless they are.
   *
   * @param {string} key Of both
   */
  async compose(key) {
    const { images, composers, data } = this;
    if (composers.has(key)) return;
    const planes = await Promise.all(this.pair.layers.map((place) => images.decoded(place)));
    const [image, front, mask, plate] = planes;
    const alpha = mask.slice(0, data.size * data.size).map((level) => Number(level > 127));
    composers.set(key, new Composer(data.size, { image, front, alpha, plate }));
    const [oldest] = composers.keys();
    if (composers.size > COMPOSERS_KEPT) composers.delete(oldest);
  }

  // ---- what is shown

  // Canvas, answer and map change in one frame, and belong to one another.
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      const { data, state, pair } = this;
      const { scene, step, opacity, model } = state;
      const composer = this.composers.get(`${scene} ${state.background}`);
      if (!composer) return; // its layers are being decoded, and it is drawn when they are
      this.stage.draw(composer.compose({ ...data.settings, mix: data.mixes[step] }));
      const answers = pair.answers[model];
      const { truth, originals } = data.scenes[scene];
      const original = resultOf(data, model, originals[model]);
      this.panels.forEach(({ element }, i) => {
        element.hidden = i !== model;
      });
      this.panels[model].show(resultOf(data, model, answers.rows[step]), original, truth, pair.donor_label);
      if (this.drawnScene !== scene)
        this.photograph.draw(asPixels(new Uint8Array(composer.image.buffer), data.size), false);
      this.drawnScene = scene;
      this.photograph.show([original], [this.panels[model]]);
      this.stage.drawHeat(opacity ? this.heat(answers, step) : null, answers.map ? opacity : 0);
      this.scale.style.visibility = opacity && answers.map ? "" : "hidden";
      write(this.chosen, this.words);
      this.root.dataset.shown = JSON.stringify({ ...this.address, answer: answers.rows[step] });
      clearTimeout(this.idling);
      this.idling = setTimeout(() => this.announce(), ANNOUNCED_MS);
    });
  }

  /**
   * @param {StoredSeries} series
   * @param {number} step
   */
  heat({ map, maps }, step) {
    if (!map) return null;
    const levels = this.maps.get(maps) ?? bytesOf(maps);
    this.maps.set(maps, levels);
    const area = map[0] * map[1];
    const values = Float32Array.from(levels.subarray(step * area, (step + 1) * area));
    return colourMap(values, ...map, this.data.size, this.table);
  }

  get words() {
    const { scene, background } = this.state;
    const { donor } = this.pair;
    const { key, words } = this.data.backgrounds[background];
    const isNamed = key.startsWith("scene:");
    const lender = !donor ? "" : isNamed ? donor.slice(key.length - "scene:".length) : `, the background of ${donor}`;
    return `${this.data.scenes[scene].words}, ${words}${lender}`;
  }

  announce() {
    const { spoken } = this.panels[this.state.model];
    const summary = `${this.words}, mix ${this.mix.input.getAttribute("aria-valuetext")}: ${spoken}`;
    this.stage.canvas.setAttribute("aria-label", summary);
    write(this.status, summary);
  }

  // ---- the address, by which a state can be linked to

  get address() {
    const { scene, background, step, opacity, model } = this.state;
    const { scenes, backgrounds, mixes, models } = this.data;
    return {
      scene: scenes[scene].id,
      background: backgrounds[background].key,
      mix: mixes[step],
      saliency_opacity: opacity,
      ...(models.length > 1 ? { model } : {}),
    };
  }

  showAddress() {
    this.addressing ||= setTimeout(() => {
      this.addressing = 0;
      const words = Object.entries(this.address).map(([name, value]) => [name, String(value)]);
      try {
        history.replaceState(null, "", `#${new URLSearchParams(words)}`);
      } catch {
        // in a frame without an address of its own
      }
    }, ADDRESS_MS);
  }

  // What the address asks for, as far as the page has it.
  asked() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    /** @type {Partial<Choice>} */
    const asked = {};
    const scene = this.places.scene.get(wanted.get("scene") ?? "");
    const background = this.places.background.get(wanted.get("background") ?? "");
    if (scene !== undefined) asked.scene = scene;
    if (background !== undefined) asked.background = background;
    /** @type {(name: string, high: number) => number} */
    const number = (name, high) => {
      const text = wanted.get(name)?.trim();
      return text ? Math.min(Math.max(Number(text), 0), high) : Number.NaN;
    };
    const mix = number("mix", 1);
    const opacity = number("saliency_opacity", 1);
    const model = number("model", this.data.models.length - 1);
    if (!Number.isNaN(mix)) asked.step = this.nearest(mix);
    if (!Number.isNaN(opacity)) asked.opacity = opacity;
    if (Number.isInteger(model)) asked.model = model;
    return asked;
  }
}

// The accents of the style sheet follow JupyterLab's theme; on a page they follow the reader's.
const dark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => {
  document.body.dataset.jpThemeLight = String(!dark.matches);
};
dark.addEventListener("change", followTheme);
followTheme();
const [stored, place] = ["bglab-data", "bglab-figure"].map((id) => document.getElementById(id));
if (stored && place) new Figure(JSON.parse(stored.textContent ?? ""), place);
