// The figure of a project page: the explorer's canvas without a kernel. What can be chosen, the images and the answers are in
// the page; the slider stops only where an answer was computed, so that nothing shown is interpolated.

import { colourMap, Composer } from "./composer.js";
import { make, select, slider, write } from "./controls.js";
import { asPixels, barLegend, PhotographPanel, ResultPanel } from "./results.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";

const PER_ROW = 8;
// Scenes on backgrounds whose layers stay decoded, a few megabytes each.
const COMPOSERS_KEPT = 8;
// The address follows the slider at this pace: browsers refuse to change it more often than about three times a second.
const ADDRESS_MS = 350;
// After so long without a change the answer is announced to screen readers.
const ANNOUNCED_MS = 700;

/** @param {string} text base64 @returns {Uint8Array} */
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// Images of the page: decoded when they are first needed.
class StoredImages {
  /** @param {string[]} texts WebP as base64 @param {number} size side in pixels */
  constructor(texts, size) {
    Object.assign(this, { texts, size, planes: new Map() });
    this.canvas = make("canvas", { width: size, height: size });
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
  }

  bitmap(place) {
    const blob = new Blob([bytesOf(this.texts[place])], { type: "image/webp" });
    return createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  }

  /** Red, green and blue planes, one after the other. @param {number} place @returns {Promise<Uint8Array>} */
  decoded(place) {
    if (!this.planes.has(place)) this.planes.set(place, this.decode(place));
    return this.planes.get(place);
  }

  async decode(place) {
    const bitmap = await this.bitmap(place), area = this.size * this.size;
    this.pen.drawImage(bitmap, 0, 0);
    bitmap.close();
    const { data } = this.pen.getImageData(0, 0, this.size, this.size);
    const planes = new Uint8Array(3 * area);
    for (let i = 0; i < area; i++) for (let channel = 0; channel < 3; channel++) planes[channel * area + i] = data[4 * i + channel];
    return planes;
  }

  // A sheet of thumbnails, for a strip.
  async sheet(places, side) {
    const canvas = make("canvas", { width: PER_ROW * side, height: Math.ceil(places.length / PER_ROW) * side });
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    await Promise.all(places.map(async (place, i) => {
      const bitmap = await this.bitmap(place);
      pen.drawImage(bitmap, (i % PER_ROW) * side, Math.floor(i / PER_ROW) * side, side, side);
      bitmap.close();
    }));
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
  }
}

// Turns a stored row into a result as the kernel's messages have it.
const resultOf = (data, model, [shown, top, prediction, correct, captured, share]) => {
  const native = data.native[model], isNine = data.nine.length > 0;
  return {
    nine: isNine ? shown : null,
    own: isNine ? null : shown?.map(([label, ...values]) => [label, data.own[label] ?? data.rest, ...values]) ?? null,
    top: top.map(([index, ...values]) => [index, native[index], ...values]),
    is_comparable: data.is_comparable[model], no_map: data.no_map[model], prediction, correct, captured, share,
  };
};

class Figure {
  constructor(data, root) {
    Object.assign(this, { data, root, frame: 0, composers: new Map(), maps: new Map(), table: Uint8Array.from(data.colour_map) });
    this.images = new StoredImages(data.images, data.size);
    this.placeOf = {
      scene: new Map(data.scenes.map(({ id }, i) => [id, i])),
      background: new Map(data.backgrounds.map(({ key }, i) => [key, i])),
    };
    const { scene, background, mix, saliency_opacity: opacity, model } = data.state;
    this.state = { scene: this.placeOf.scene.get(scene), background: this.placeOf.background.get(background), step: this.nearest(mix), opacity, model };
    Object.assign(this.state, this.asked());
    this.build();
    this.show();
    window.addEventListener("hashchange", () => {
      Object.assign(this.state, this.asked());
      this.show();
    });
  }

  // ---- parts

  build() {
    const { data } = this, steps = data.mixes.length - 1;
    this.stage = new Stage(data.size);
    const strip = (label, sheet, choose) => new Strip({
      label, side: data.thumb, perSheet: data.backgrounds.length, perRow: PER_ROW, choose,
      needSheet: async (name) => strips[label].showSheet(name, await this.images.sheet(sheet(name), data.thumb)),
    });
    const layersOf = (scene) => data.pairs[scene].map(({ layers }) => layers.at(-1));
    const strips = {};
    strips.Images = strip("Images", () => data.pairs.map(([{ layers }]) => layers[0]), (id) => this.change({ scene: this.placeOf.scene.get(id) }));
    strips.Backgrounds = strip("Backgrounds", (scene) => layersOf(scene), (key) => this.change({ background: this.placeOf.background.get(key) }));
    [this.scenes, this.plates] = [strips.Images, strips.Backgrounds];
    this.scenes.fill(data.scenes.map(({ id, words }, i) => ({ value: id, label: words, sheet: "images", place: i })));
    this.mix = slider("mix", { low: 0, high: steps, step: 1, label: "Mix", unit: (step) => `${Number((100 * data.mixes[step]).toFixed(1))} %` },
      (step) => this.change({ step }), () => {});
    this.mix.input.disabled = !steps;
    this.opacity = slider("saliency_opacity", data.opacity, (opacity) => this.change({ opacity }), () => {});
    this.model = select("Classifier", data.models.map((name, i) => [String(i), name]), (model) => this.change({ model: Number(model) }));
    this.photograph = new PhotographPanel(data.size);
    this.panels = data.models.map((name) => new ResultPanel(name, data));
    this.chosen = make("p", { class: "bglab-chosen" });
    this.error = make("div", { class: "bglab-error", role: "alert", hidden: true });
    this.status = make("div", { class: "bglab-spoken", role: "status", "aria-live": "polite" });
    const row = (title, chooser, items) => make("div", { class: "bglab-pick", hidden: items.length < 2 }, make("h2", {}, title), chooser.element);
    const models = make("label", { class: "bglab-slider", hidden: data.models.length < 2 }, make("span", {}, "Classifier"), this.model);
    this.root.replaceChildren(make("figure", { class: "bglab-explorer" },
      row("Image", this.scenes, data.scenes), row("Background", this.plates, data.backgrounds), models,
      make("div", { class: "bglab-main", "data-count": 1 },
        make("div", { class: "bglab-left" }, this.stage.element, this.mix.element, this.opacity.element, this.legend()),
        make("div", { class: "bglab-beside" }, this.photograph.element, make("div", { class: "bglab-capture", hidden: true })),
        make("div", { class: "bglab-results" }, this.chosen, ...this.panels.map(({ element }) => element), barLegend())),
      this.error, this.status));
  }

  legend() {
    const stops = [0, 64, 128, 192, 255].map((i) => `rgb(${this.table.slice(3 * i, 3 * i + 3)})`);
    const bar = make("span", { class: "bglab-scale" });
    bar.style.background = `linear-gradient(to right, ${stops})`;
    this.scale = make("div", { class: "bglab-legend" }, "Grad-CAM: 0", bar, "maximum of this map");
    return this.scale;
  }

  // ---- state

  nearest(mix) {
    const distances = this.data.mixes.map((stop) => Math.abs(stop - mix));
    return distances.indexOf(Math.min(...distances));
  }

  get pair() {
    return this.data.pairs[this.state.scene][this.state.background];
  }

  // A choice of the reader, which the address follows.
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
      this.error.textContent = `This browser cannot show the images of the page: ${problem.message}`;
      this.error.hidden = false;
    }
  }

  // What is behind an object may differ from scene to scene, and so do the thumbnails.
  fillBackgrounds(scene) {
    this.filledFor = scene;
    this.plates.fill(this.data.backgrounds.map(({ key, words }, i) => ({ value: key, label: words, sheet: String(scene), place: i })));
  }

  // Decodes the layers of a scene on a background, unless they are.
  async compose(key) {
    const { images, composers, data } = this, { layers } = this.pair;
    if (composers.has(key)) return;
    const [image, front, mask, plate] = await Promise.all(layers.map((place) => images.decoded(place)));
    const alpha = mask.subarray(0, data.size * data.size).map((level) => Number(level > 127));
    composers.set(key, new Composer(data.size, { image, front, alpha, plate }));
    if (composers.size > COMPOSERS_KEPT) composers.delete(composers.keys().next().value);
  }

  // ---- what is shown

  // Canvas, answer and map change in one frame, and belong to one another.
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      const { data, state, pair } = this, { scene, step, opacity, model } = state;
      const composer = this.composers.get(`${scene} ${state.background}`);
      if (!composer) return; // its layers are being decoded, and it is drawn when they are
      this.stage.draw(composer.compose({ ...data.settings, mix: data.mixes[step] }));
      const answers = pair.answers[model], { truth, originals } = data.scenes[scene];
      const result = resultOf(data, model, answers.rows[step]), original = resultOf(data, model, originals[model]);
      this.panels.forEach(({ element }, i) => { element.hidden = i !== model; });
      this.panels[model].show(result, original, truth, pair.donor_label);
      if (this.drawnScene !== scene) this.photograph.draw(asPixels(composer.image, data.size), false);
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

  heat({ map, maps }, step) {
    if (!map) return null;
    if (!this.maps.has(maps)) this.maps.set(maps, bytesOf(maps));
    const area = map[0] * map[1];
    return colourMap(this.maps.get(maps).subarray(step * area, (step + 1) * area), ...map, this.data.size, this.table);
  }

  get words() {
    const { scene, background } = this.state, { donor } = this.pair, { key, words } = this.data.backgrounds[background];
    const lender = !donor ? "" : key.startsWith("scene:") ? donor.slice(key.length - 6) : `, the background of ${donor}`;
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
    const { scene, background, step, opacity, model } = this.state, { scenes, backgrounds, mixes, models } = this.data;
    return { scene: scenes[scene].id, background: backgrounds[background].key, mix: mixes[step], saliency_opacity: opacity,
      ...(models.length > 1 ? { model } : {}) };
  }

  showAddress() {
    this.addressing ??= setTimeout(() => {
      this.addressing = null;
      try {
        history.replaceState(null, "", `#${new URLSearchParams(this.address)}`);
      } catch {
        // in a frame without an address of its own
      }
    }, ADDRESS_MS);
  }

  // What the address asks for, as far as the page has it.
  asked() {
    const wanted = new URLSearchParams(location.hash.slice(1)), asked = {};
    for (const [name, places] of Object.entries(this.placeOf)) {
      const place = places.get(wanted.get(name));
      if (place !== undefined) asked[name] = place;
    }
    const number = (name, high) => (wanted.get(name)?.trim() ? Math.min(Math.max(Number(wanted.get(name)), 0), high) : NaN);
    const mix = number("mix", 1), opacity = number("saliency_opacity", 1), model = number("model", this.data.models.length - 1);
    if (!Number.isNaN(mix)) asked.step = this.nearest(mix);
    if (!Number.isNaN(opacity)) asked.opacity = opacity;
    if (Number.isInteger(model)) asked.model = model;
    return asked;
  }
}

// The accents of the style sheet follow JupyterLab's theme; on a page they follow the reader's.
const dark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => { document.body.dataset.jpThemeLight = String(!dark.matches); };
dark.addEventListener("change", followTheme);
followTheme();
new Figure(JSON.parse(document.getElementById("bglab-data").textContent), document.getElementById("bglab-figure"));
