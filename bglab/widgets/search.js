// The live search's front end: a growing grid of tried backgrounds, and the worst so far next to the original.

import { drawPng, heatOf, penOf, putLevels, square } from "./canvases.js";
import { button, make, QUIET, select } from "./controls.js";
import { thumbnailOf } from "./greeting.js";
import { describe, namesOf, percent } from "./results.js";
import { Strip } from "./strip.js";
import { View, widgetOf } from "./view.js";

/** @import { Greeting } from "./greeting.js" */
/** @import { Result } from "./results.js" */
/** @import { State } from "./state.js" */
/** @import { Bytes } from "./view.js" */

/** @typedef {Greeting & { state: { scene: string, target: string }, targets: string[] }} SearchGreeting */

/**
 * @typedef {object} Tried A background that was tried
 * @property {string} id
 * @property {number} score Probability of the target
 * @property {boolean} fooled
 * @property {string} predicted
 * @property {string} class Of the background
 */

/**
 * @typedef {object} Progress
 * @property {number} tried
 * @property {number} total
 * @property {boolean} running
 * @property {[share: number, low: number, high: number] | null} share Of those tried that fool, and its 95 % interval
 */

/**
 * @typedef {object} Refined How far the refinement is, with the probability that it changes
 * @property {boolean} running
 * @property {number} forwards
 * @property {number} budget
 * @property {string} of
 * @property {number} before
 * @property {number} now
 * @property {boolean} hit
 * @property {boolean} hit_before
 */

/** @typedef {"original" | "candidate" | "refined"} PanelName */

/** @param {Progress} progress */
export const progressWords = ({ tried, total, share }) =>
  share
    ? `${percent(share[0])} % of ${tried} tried (95 % interval ${percent(share[1])} % to ${percent(share[2])} %), ${total - tried} left`
    : "No background tried yet";

/** @param {Progress} progress */
export const goWords = ({ tried, total, running }) =>
  running ? "Stop" : tried === 0 ? "Start" : tried < total ? "Continue" : "Done";

/** @param {Refined} refined */
export const refinedWords = ({ running, forwards, budget, of, before, now, hit, hit_before: hitBefore }) => {
  /** @param {number} value */
  const exactly = (value) => `${(100 * value).toFixed(1)} %`;
  const change = `probability of ${of} ${exactly(before)} → ${exactly(now)}`;
  const outcome = hitBefore ? "fooled before and after" : hit ? "now fooled" : "still not fooled";
  return running
    ? `Refining: ${forwards} of ${budget} images, ${change}`
    : `Refined with ${forwards} images: ${change}; ${outcome}`;
};

/** @param {Pick<State, "mix" | "dx" | "dy" | "scale" | "flip">} state */
export const placementWords = ({ mix, dx, dy, scale, flip }) =>
  `Mix ${percent(mix)} %, moved ${percent(dx)} % right and ${percent(dy)} % down, scaled to ${percent(scale)} %${flip ? ", mirrored" : ""}`;

/**
 * The worst first: those that fool, and then by the target's probability.
 *
 * @param {Pick<Tried, "fooled" | "score">} a
 * @param {Pick<Tried, "fooled" | "score">} b
 */
export const worseFirst = (a, b) => Number(b.fooled) - Number(a.fooled) || b.score - a.score;

// An image with its saliency map and prediction.
class SearchPanel {
  /** @type {State | null} */
  state = null;

  /**
   * @param {string} title
   * @param {number} size Side of an image in pixels
   * @param {(state: State) => void} explore Opens a state in the explorer
   */
  constructor(title, size, explore) {
    this.title = make("h3", {}, title);
    this.image = square(size, { class: "bglab-image", role: "img", "aria-label": title });
    this.heat = square(size, { class: "bglab-heat", "aria-hidden": "true" });
    this.heat.style.opacity = "0.45";
    this.outcome = make("div", { class: "bglab-outcome" });
    const open = () => {
      if (this.state) explore(this.state);
    };
    this.open = button("Open in the explorer", open, { hidden: true });
    const stage = make("div", { class: "bglab-stage" }, this.image, this.heat);
    this.element = make("section", { class: "bglab-panel", "aria-label": title }, this.title, stage);
    this.element.append(this.outcome, this.open);
  }

  clear() {
    this.outcome.textContent = "";
    for (const canvas of [this.image, this.heat]) penOf(canvas).clearRect(0, 0, canvas.width, canvas.height);
  }

  /**
   * @param {Bytes} png
   * @param {Uint8ClampedArray<ArrayBuffer> | null} heat RGBA
   * @param {ReturnType<typeof describe>} described
   */
  async draw(png, heat, { tone, words, predicted }) {
    await drawPng(this.image, png);
    if (heat) putLevels(this.heat, heat);
    this.outcome.replaceChildren(make("b", { class: `bglab-${tone}` }, words), ` · ${predicted}`);
    this.image.setAttribute("aria-label", this.outcome.textContent ?? "");
  }

  /** @param {State} state What it shows */
  offer(state) {
    this.state = state;
    this.open.hidden = false;
  }
}

class SearchView extends View {
  /** URLs of sheets of thumbnails. @type {string[]} */
  urls = [];
  /** @type {Map<string, Tried & { element: HTMLElement }>} */
  items = new Map();
  /** Background that is shown. @type {string | null} */
  shown = null;
  /** Background that the user picked. @type {string | null} */
  picked = null;
  isRunning = false;
  isRefining = false;
  /** Whether what is being refined is still wanted. */
  wantsRefined = false;
  /** @type {SearchGreeting} */
  config;
  /** Red, green and blue of 256 colours. @type {Uint8Array} */
  table;
  /** @type {Strip} */
  scenes;
  /** @type {HTMLSelectElement} */
  target;
  /** @type {Record<PanelName, SearchPanel>} */
  panels;
  go = button("Start", () => this.send({ type: this.isRunning ? "cancel" : "start" }), {
    class: "bglab-button bglab-go",
  });
  refine = button("Refine the worst", () => this.refineWorst(), {
    title:
      "Search over position, scale and mix of the object, starting from the worst backgrounds, for the most certain error",
  });
  gauge = make("div");
  whisker = make("span", { hidden: true });
  status = make("span", { class: "bglab-note", role: "status" }, "No background tried yet");
  note = make("div", { class: "bglab-note bglab-refinement", role: "status", hidden: true });
  found = make("div", { class: "bglab-found", role: "group", "aria-label": "Tried backgrounds, worst first" });

  /** @param {SearchGreeting} config */
  on_hello(config) {
    this.config = config;
    this.table = Uint8Array.from(config.colour_map);
    this.scenes = new Strip({
      label: "Foregrounds",
      side: config.thumb,
      perRow: config.per_row,
      choose: (scene) => this.choose({ scene }),
      needSheet: (sheet) => this.send({ type: "thumbs", sheet }),
    });
    this.target = select(
      "Target of the search",
      config.targets.map((name) => [name, name]),
      (target) => this.choose({ target }),
    );
    this.target.value = config.state.target;
    /** @param {string} title */
    const panel = (title) => new SearchPanel(title, config.size, (state) => this.send({ type: "open", state }));
    this.panels = {
      original: panel("Original"),
      candidate: panel("Worst so far"),
      refined: panel("Refined: moved, scaled, mixed"),
    };
    this.panels.refined.element.hidden = true;
    this.root.replaceChildren(this.arrange());
    this.scenes.fill(config.scenes.map((scene) => thumbnailOf(config, scene)));
    this.scenes.select(config.state.scene);
    this.listen("change:scene", () => this.choose({ scene: String(this.model.get("scene")) }, true));
  }

  arrange() {
    const space = make("span", { class: "bglab-space" });
    const target = make("label", { class: "bglab-note" }, "Target ", this.target);
    const gauge = make("div", { class: "bglab-gauge" }, this.gauge, this.whisker);
    return make(
      "div",
      { class: "bglab-explorer bglab-search" },
      make("div", { class: "bglab-row" }, make("h2", {}, "Foreground"), space, target, this.go, this.refine),
      this.scenes.element,
      this.error,
      make("div", { class: "bglab-row" }, make("h2", {}, "Fooled"), gauge, this.status),
      this.note,
      this.found,
      make("div", { class: "bglab-panels" }, ...Object.values(this.panels).map((panel) => panel.element)),
      make(
        "div",
        { class: "bglab-note" },
        "Click a background to enlarge it; open it in the explorer to change it by hand. Overlay: Grad-CAM of the predicted class, scaled to the maximum of each map.",
      ),
    );
  }

  /**
   * @param {{ scene?: string, target?: string }} changes
   * @param {boolean} isEcho Whether the kernel said so
   */
  choose(changes, isEcho = false) {
    if (changes.scene) {
      if (isEcho && this.scenes.chosen === changes.scene) return;
      this.scenes.select(changes.scene);
      for (const panel of Object.values(this.panels)) panel.clear();
    }
    this.panels.refined.element.hidden = true;
    if (this.isRefining) this.send({ type: "cancel_refine" });
    this.wantsRefined = false;
    this.setRefining(false);
    this.say("");
    this.send({ type: "choose", ...changes });
  }

  on_clear() {
    this.items.clear();
    this.found.replaceChildren();
    this.shown = null;
    this.picked = null;
    this.dropUrls();
  }

  /** @param {Progress} progress */
  on_progress(progress) {
    const { tried, total, running, share } = progress;
    this.isRunning = running;
    this.go.textContent = goWords(progress);
    this.go.disabled = !running && tried > 0 && tried >= total;
    this.gauge.style.width = share ? `${100 * share[0]}%` : "0";
    this.whisker.hidden = !share;
    if (share)
      Object.assign(this.whisker.style, { left: `${100 * share[1]}%`, width: `${100 * (share[2] - share[1])}%` });
    this.status.textContent = progressWords(progress);
    this.root.dataset.progress = JSON.stringify({ tried, total, running, share });
    if (!running && tried) this.send({ type: "idle" });
  }

  /**
   * @param {{ items: Tried[], scene: string }} message
   * @param {Bytes[]} buffers
   */
  on_items({ items, scene }, [sprite]) {
    if (scene !== this.scenes.chosen) return;
    const url = URL.createObjectURL(new Blob([sprite], { type: "image/jpeg" }));
    this.urls.push(url);
    const { thumb, per_row: perRow } = this.config;
    for (const [i, item] of items.entries()) {
      const label = `background of ${item.class} · ${item.id}: predicted ${item.predicted}`;
      const element = make("button", {
        type: "button",
        class: "bglab-thumb",
        title: label,
        "aria-label": label,
        "aria-pressed": "false",
        "data-fooled": item.fooled ? "true" : null,
        ...QUIET,
        onclick: () => this.show(item.id, true),
      });
      element.style.background = `url(${url}) ${-thumb * (i % perRow)}px ${-thumb * Math.floor(i / perRow)}px`;
      this.items.set(item.id, { ...item, element });
    }
    const sorted = [...this.items.values()].sort(worseFirst);
    this.found.replaceChildren(...sorted.map((item) => item.element));
    if (!this.picked && sorted.length && sorted[0].id !== this.shown) this.show(sorted[0].id);
  }

  /**
   * A background that the user picked stays; until then the worst so far is shown.
   *
   * @param {string} id
   * @param {boolean} byHand
   */
  show(id, byHand = false) {
    this.shown = id;
    if (byHand) this.picked = id;
    for (const item of this.items.values()) item.element.setAttribute("aria-pressed", String(item.id === id));
    this.send({ type: "show", background: id, seq: ++this.seq });
  }

  refineWorst() {
    if (this.isRefining) return this.send({ type: "cancel_refine" });
    this.wantsRefined = true;
    this.setRefining(true);
    this.say("Trying positions, scales and mixes…");
    this.send({ type: "refine" });
  }

  /**
   * The share of the backgrounds that fool stays in its line, whatever is said here.
   *
   * @param {string} words
   */
  say(words) {
    this.note.textContent = words;
    this.note.hidden = !words;
  }

  /** @param {boolean} isRefining */
  setRefining(isRefining) {
    this.isRefining = isRefining;
    this.refine.textContent = isRefining ? "Stop refining" : "Refine the worst";
  }

  /** @param {Refined} refined */
  on_refined(refined) {
    if (!this.wantsRefined) return; // something else was chosen since
    this.setRefining(refined.running);
    this.say(refinedWords(refined));
    const { running, forwards, before, now, hit } = refined;
    this.root.dataset.refined = JSON.stringify({ running, forwards, before, now, hit });
  }

  /** @param {{ text: string, seq?: number | null }} message */
  on_error(message) {
    this.setRefining(false);
    this.say("");
    super.on_error(message);
  }

  /**
   * @param {{ place: PanelName, state: State, results: Result[], originals: Result[] }} message
   * @param {Bytes[]} buffers
   */
  async on_shown({ place, state, results, originals }, [original, image, originalMap, map]) {
    if (state.scene !== this.scenes.chosen || (place === "refined" && !this.wantsRefined)) return;
    const panel = this.panels[place];
    panel.element.hidden = false;
    if (place === "candidate") panel.title.textContent = this.picked ? "Selected background" : "Worst so far";
    /** @type {(drawn: SearchPanel, png: Bytes, result: Result, heat: Bytes) => Promise<void>} */
    const draw = (drawn, png, result, heat) => {
      const levels = heatOf(heat, result.map, this.config.size, this.table);
      return drawn.draw(png, levels, describe(result, namesOf(this.config)));
    };
    await draw(this.panels.original, original, originals[0], originalMap);
    await draw(panel, image, results[0], map);
    if (place === "refined") panel.outcome.append(make("div", { class: "bglab-note" }, placementWords(state)));
    panel.offer(state);
    this.root.dataset.shown = JSON.stringify({ place, background: state.background });
  }

  /**
   * @param {{ sheet: string }} message
   * @param {Bytes[]} buffers
   */
  on_thumbs({ sheet }, [bytes]) {
    this.scenes.showSheet(sheet, bytes);
  }

  on_opened() {
    this.say("Opened in the explorer below");
  }

  dropUrls() {
    for (const url of this.urls.splice(0)) URL.revokeObjectURL(url);
  }

  close() {
    super.close();
    this.scenes?.close();
    this.dropUrls();
  }
}

export default widgetOf(SearchView);
