// The live search's front end: a growing grid of tried backgrounds, and the worst so far next to the original.

import { colourMap } from "./composer.js";
import { button, make, QUIET, select } from "./controls.js";
import { describe, namesOf, percent } from "./results.js";
import { Strip } from "./strip.js";
import { View } from "./view.js";

class SearchView extends View {
  constructor(model, root) {
    super(model, root);
    Object.assign(this, { urls: [], items: new Map(), shown: null });
  }

  on_hello(config) {
    this.config = config;
    this.table = Uint8Array.from(config.colour_map);
    this.scenes = new Strip({
      label: "Foregrounds",
      side: config.thumb,
      perSheet: config.per_sheet,
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
    this.go = button("Start", () => this.send({ type: this.running ? "cancel" : "start" }), {
      class: "bglab-button bglab-go",
    });
    this.refine = button("Refine the worst", () => this.refineWorst(), {
      title:
        "Search over position, scale and mix of the object, starting from the worst backgrounds, for the most certain error",
    });
    this.gauge = make("div");
    this.whisker = make("span", { hidden: true });
    this.status = make("span", { class: "bglab-note", role: "status" }, "No background tried yet");
    this.note = make("div", { class: "bglab-note bglab-refinement", role: "status", hidden: true });
    this.found = make("div", { class: "bglab-found", role: "group", "aria-label": "Tried backgrounds, worst first" });
    this.panels = {
      original: this.panel("Original"),
      candidate: this.panel("Worst so far"),
      refined: this.panel("Refined: moved, scaled, mixed"),
    };
    this.panels.refined.element.hidden = true;
    this.root.replaceChildren(
      make(
        "div",
        { class: "bglab-explorer bglab-search" },
        make(
          "div",
          { class: "bglab-row" },
          make("h2", {}, "Foreground"),
          make("span", { class: "bglab-space" }),
          make("label", { class: "bglab-note" }, "Target ", this.target),
          this.go,
          this.refine,
        ),
        this.scenes.element,
        this.error,
        make(
          "div",
          { class: "bglab-row" },
          make("h2", {}, "Fooled"),
          make("div", { class: "bglab-gauge" }, this.gauge, this.whisker),
          this.status,
        ),
        this.note,
        this.found,
        make("div", { class: "bglab-panels" }, ...Object.values(this.panels).map((panel) => panel.element)),
        make(
          "div",
          { class: "bglab-note" },
          "Click a background to enlarge it; open it in the explorer to change it by hand. Overlay: Grad-CAM of the predicted class, scaled to the maximum of each map.",
        ),
      ),
    );
    this.scenes.fill(
      config.scenes.map(([id, label, place]) => ({
        value: id,
        label: `${config.class_names[label] ?? ""} · ${id}`,
        sheet: String(Math.floor(place / config.per_sheet)),
        place: place % config.per_sheet,
      })),
    );
    this.scenes.select(config.state.scene);
    this.listen("change:scene", () => this.choose({ scene: this.model.get("scene") }, true));
  }

  panel(title) {
    const size = this.config.size;
    const image = make("canvas", { class: "bglab-image", width: size, height: size, role: "img", "aria-label": title });
    const heat = make("canvas", { class: "bglab-heat", width: size, height: size, "aria-hidden": "true" });
    heat.style.opacity = 0.45;
    const outcome = make("div", { class: "bglab-outcome" });
    const open = button("Open in the explorer", () => this.send({ type: "open", state: open.state }), { hidden: true });
    const element = make(
      "section",
      { class: "bglab-panel", "aria-label": title },
      make("h3", {}, title),
      make("div", { class: "bglab-stage" }, image, heat),
      outcome,
      open,
    );
    return { element, image, heat, outcome, open };
  }

  choose(changes, isEcho = false) {
    if (changes.scene) {
      if (isEcho && this.scenes.chosen === changes.scene) return;
      this.scenes.select(changes.scene);
      for (const { outcome, image, heat } of Object.values(this.panels)) {
        outcome.textContent = "";
        for (const canvas of [image, heat]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
      }
    }
    this.panels.refined.element.hidden = true;
    if (this.refining) this.send({ type: "cancel_refine" });
    this.setRefining((this.wantsRefined = false));
    this.say("");
    this.send({ type: "choose", ...changes });
  }

  on_clear() {
    this.items.clear();
    this.found.replaceChildren();
    this.shown = this.picked = null;
    this.dropUrls();
  }

  on_progress({ tried, total, running, share }) {
    this.running = running;
    this.go.textContent = running ? "Stop" : tried === 0 ? "Start" : tried < total ? "Continue" : "Done";
    this.go.disabled = !running && tried > 0 && tried >= total;
    const percent = (value) => `${(100 * value).toFixed(0)} %`;
    this.gauge.style.width = share ? `${100 * share[0]}%` : 0;
    this.whisker.hidden = !share;
    if (share)
      Object.assign(this.whisker.style, { left: `${100 * share[1]}%`, width: `${100 * (share[2] - share[1])}%` });
    this.status.textContent = share
      ? `${percent(share[0])} of ${tried} tried (95 % interval ${percent(share[1])} to ${percent(share[2])}), ${total - tried} left`
      : "No background tried yet";
    this.root.dataset.progress = JSON.stringify({ tried, total, running, share });
    if (!running && tried) this.send({ type: "idle" });
  }

  on_items({ items, scene }, [sprite]) {
    if (scene !== this.scenes.chosen) return;
    const url = URL.createObjectURL(new Blob([sprite], { type: "image/jpeg" }));
    this.urls.push(url);
    items.forEach((item, i) => {
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
      const x = i % this.config.per_row,
        y = Math.floor(i / this.config.per_row);
      element.style.background = `url(${url}) ${-64 * x}px ${-64 * y}px`;
      this.items.set(item.id, { ...item, element });
    });
    const sorted = [...this.items.values()].sort((a, b) => b.fooled - a.fooled || b.score - a.score);
    this.found.replaceChildren(...sorted.map((item) => item.element));
    if (!this.picked && sorted.length && sorted[0].id !== this.shown) this.show(sorted[0].id);
  }

  // A background that the user picked stays; until then the worst so far is shown.
  show(id, byHand = false) {
    this.shown = id;
    if (byHand) this.picked = id;
    for (const item of this.items.values()) item.element.setAttribute("aria-pressed", String(item.id === id));
    this.send({ type: "show", background: id, seq: ++this.seq });
  }

  refineWorst() {
    if (this.refining) return this.send({ type: "cancel_refine" });
    this.setRefining((this.wantsRefined = true));
    this.say("Trying positions, scales and mixes…");
    this.send({ type: "refine" });
  }

  // The share of the backgrounds that fool stays in its line, whatever is said here.
  say(words) {
    this.note.textContent = words;
    this.note.hidden = !words;
  }

  setRefining(isRunning) {
    this.refining = isRunning;
    this.refine.textContent = isRunning ? "Stop refining" : "Refine the worst";
  }

  on_refined({ running, forwards, budget, of, before, now, hit, hit_before }) {
    if (!this.wantsRefined) return; // something else was chosen since
    this.setRefining(running);
    const percent = (value) => `${(100 * value).toFixed(1)} %`;
    const change = `probability of ${of} ${percent(before)} → ${percent(now)}`;
    const outcome = hit_before ? "fooled before and after" : hit ? "now fooled" : "still not fooled";
    this.say(
      running
        ? `Refining: ${forwards} of ${budget} images, ${change}`
        : `Refined with ${forwards} images: ${change}; ${outcome}`,
    );
    this.root.dataset.refined = JSON.stringify({ running, forwards, before, now, hit });
  }

  on_error(message) {
    this.setRefining(false);
    this.say("");
    super.on_error(message);
  }

  async on_shown(message, [original, image, originalMap, map]) {
    if (message.state.scene !== this.scenes.chosen || (message.place === "refined" && !this.wantsRefined)) return;
    const { place, state } = message;
    const panel = this.panels[place];
    panel.element.hidden = false;
    if (place === "candidate")
      panel.element.querySelector("h3").textContent = this.picked ? "Selected background" : "Worst so far";
    await this.draw(this.panels.original, original, message.originals[0], originalMap);
    await this.draw(panel, image, message.results[0], map);
    if (place === "refined") {
      const moved = `mix ${Math.round(100 * state.mix)} %, moved ${Math.round(100 * state.dx)} % right and ${Math.round(100 * state.dy)} % down, scaled to ${Math.round(100 * state.scale)} %${state.flip ? ", mirrored" : ""}`;
      panel.outcome.append(make("div", { class: "bglab-note" }, moved[0].toUpperCase() + moved.slice(1)));
    }
    panel.open.hidden = false;
    panel.open.state = state;
    this.root.dataset.shown = JSON.stringify({ place, background: state.background });
  }

  async draw({ image, heat, outcome }, png, result, map) {
    const bitmap = await createImageBitmap(new Blob([png], { type: "image/png" }));
    image.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    if (result.map && map.byteLength) {
      const values = new Float32Array(map.slice().buffer);
      heat
        .getContext("2d")
        .putImageData(
          new ImageData(
            colourMap(values, ...result.map, this.config.size, this.table),
            this.config.size,
            this.config.size,
          ),
          0,
          0,
        );
    }
    const { tone, words, predicted } = describe(result, namesOf(this.config));
    outcome.replaceChildren(make("b", { class: `bglab-${tone}` }, words), ` · ${predicted}`);
    image.setAttribute("aria-label", outcome.textContent);
  }

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

export default {
  render({ model, el }) {
    const view = new SearchView(model, el);
    return () => view.close();
  },
};
