// The explorer's front end: composes at once, and has the kernel classify the latest state, one request at a time.

import { heatOf } from "./canvases.js";
import { ExplorerChoices } from "./choices.js";
import { Composer } from "./composer.js";
import { codeBlock, copied, download } from "./controls.js";
import { Pump } from "./pump.js";
import { asPixels } from "./results.js";
import { kindOf, PICTURED, settingsOf } from "./state.js";
import { widgetOf } from "./view.js";

/** @import { Capture } from "./capture.js" */
/** @import { Correctness, Greeting } from "./greeting.js" */
/** @import { Result } from "./results.js" */
/** @import { Tool } from "./stage.js" */
/** @import { Setting, State } from "./state.js" */
/** @import { Bytes, Model, Request } from "./view.js" */

const SETTLED_MS = 1200;
const SLOW_MS = 300;

export class ExplorerView extends ExplorerChoices {
  /** Composes the scene and background whose layers have come last. @type {Composer | null} */
  composer = null;
  /** Its photograph as RGBA. */
  pixels = new Uint8ClampedArray();
  truth = -1;
  donorLabel = -1;
  /** The last choice that could be shown. @type {Pick<State, "scene" | "background"> | null} */
  usable = null;
  /** Whether `usable` is being chosen again. */
  isReturning = false;
  /** Whether a stroke of the brush is on its way to the kernel. */
  isBrushing = false;
  wantedLayers = 0;
  frame = 0;
  slow = 0;
  idling = 0;
  /** @type {HTMLPreElement | undefined} */
  code;

  /**
   * @param {Model} model
   * @param {HTMLElement} root
   */
  constructor(model, root) {
    super(model, root);
    /** @type {Pump<State>} */
    this.pump = new Pump({
      number: () => ++this.seq,
      send: (seq, state) => {
        this.send({ type: "inspect", seq, state });
        this.dimLater();
      },
    });
  }

  /** @param {Greeting & { beginning: State }} config */
  on_hello(config) {
    this.config = config;
    this.state = { ...config.state };
    this.table = Uint8Array.from(config.colour_map);
    this.build();
    this.fillScenes();
    this.showKind(kindOf(this.state.background));
    this.needLayers();
    for (const name of /** @type {Setting[]} */ (Object.keys(this.state)))
      this.listen(`change:${name}`, () => this.follow(name));
  }

  needLayers() {
    const { scene, background } = this.state;
    this.wantedLayers = ++this.seq;
    this.dimLater(); // the object of a photograph may have to be cut out first
    this.send({ type: "layers", seq: this.wantedLayers, scene, background });
  }

  /**
   * @param {{ seq: number, truth: number, donor_label: number }} message
   * @param {Bytes[]} planes
   */
  on_layers(message, [image, front, alpha, plate]) {
    if (message.seq !== this.wantedLayers) return;
    this.usable = { scene: this.state.scene, background: this.state.background };
    this.composer = new Composer(this.config.size, { image, front, alpha, plate });
    this.pixels = asPixels(image, this.config.size);
    // after a stroke the canvas already has the newer mask, and what can be undone
    if (!this.isBrushing) this.useStage(this.stage.mode);
    this.isBrushing = false;
    this.truth = message.truth;
    this.donorLabel = message.donor_label;
    if (!this.isReturning) this.hideError();
    this.isReturning = false;
    this.draw();
    this.inspect();
  }

  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.composer) return;
      const composed = this.composer.compose(this.state);
      // box and brush work on the photograph, and the composite is shown beside it
      const isEdited = this.stage.mode !== "move";
      this.stage.draw(isEdited ? this.pixels : composed);
      this.stage.drawHeat(null, this.overlay);
      if (isEdited) this.photograph.draw(composed, true);
      else if (this.photograph.shown !== this.composer) this.photograph.draw(this.pixels, false);
      this.photograph.shown = isEdited ? null : this.composer;
    });
  }

  inspect() {
    this.pump.push(this.state);
  }

  // Results that belong to an earlier image fade when the next takes its time.
  dimLater() {
    clearTimeout(this.slow);
    this.slow = setTimeout(() => this.dim(true), SLOW_MS);
  }

  /** @param {boolean} isOld */
  dim(isOld) {
    for (const panel of this.panels) panel.dim(isOld);
  }

  /** @param {number | null | undefined} seq */
  landed(seq) {
    if (!this.pump.landed(seq)) return;
    clearTimeout(this.slow);
    this.dim(false);
  }

  /**
   * @param {{ seq: number, state: State, results: Result[], originals: Result[], ms: number, forwards: number }} message
   * @param {Bytes[]} maps
   */
  on_result({ seq, state, results, originals, ms, forwards }, maps) {
    this.landed(seq);
    if (state.scene !== this.state.scene) return;
    for (const [i, result] of results.entries()) this.panels[i].show(result, originals[i], this.truth, this.donorLabel);
    this.photograph.show(originals, this.panels);
    const { model } = this.state;
    const heat = heatOf(maps[model], (results[model] ?? results[0]).map, this.config.size, this.table);
    this.stage.drawHeat(heat, heat ? this.overlay : 0);
    this.root.dataset.answered = JSON.stringify({ ...state, ms, forwards, nine: results[0].nine });
    clearTimeout(this.idling);
    this.idling = setTimeout(() => this.idle(), SETTLED_MS);
  }

  // Nothing has changed for a while: announce the result to screen readers, and update the saved notebook's snapshot.
  idle() {
    const { scene, background } = this.state;
    const summary = this.panels.map((panel) => panel.spoken).join("; ");
    this.stage.canvas.setAttribute("aria-label", `${scene} on background ${background}. ${summary}`);
    this.status.textContent = summary;
    this.send({ type: "idle" });
  }

  /**
   * Sends a request that takes a moment and must not be dropped.
   *
   * @param {Request} message
   * @param {string} status
   * @param {BufferSource[]} buffers
   */
  work(message, status = "", buffers = []) {
    this.status.textContent = status;
    this.send(message, buffers);
  }

  /**
   * @param {{ kind: "scene" | "plate" | "texture", sheet: string }} message
   * @param {Bytes[]} buffers
   */
  on_thumbs({ kind, sheet }, [bytes]) {
    ({ scene: this.scenes, plate: this.plates, texture: this.chips })[kind].showSheet(sheet, bytes);
  }

  findCapture() {
    this.hideError();
    this.capture.setHunting(true);
    this.work({ type: "find_capture", state: this.state }, "Searching…");
  }

  /** @param {{ text: string, running: boolean }} message */
  on_capture_progress({ text, running }) {
    this.capture.setHunting(running);
    this.status.textContent = text;
  }

  /**
   * @param {Capture} found
   * @param {Bytes[]} images
   */
  on_capture(found, images) {
    if (found.captured && !found.again) this.change(settingsOf(found.state, PICTURED));
    this.capture.show(found, images, this.state);
    this.root.dataset.capture = JSON.stringify({ ...found, type: undefined });
  }

  /**
   * @param {Pick<Greeting, "uploads" | "backgrounds"> & { state: Partial<State> | null, mode: Tool | "" }} message What
   *   was uploaded, and settings and a tool to change to
   */
  on_uploads({ uploads, backgrounds, state, mode }) {
    Object.assign(this.config, { uploads, backgrounds });
    for (const [, place] of uploads) this.scenes.forget(`upload${place}`);
    this.fillScenes();
    this.status.textContent = "";
    if (state) {
      this.state = { ...this.state, ...state };
      this.showKind(kindOf(this.state.background));
      this.settle(/** @type {Setting[]} */ (Object.keys(state)));
      this.needLayers();
      if (mode) this.useMode(mode);
    }
  }

  /** @param {{ correctness: Correctness[], done: number, total: number }} message */
  on_correctness({ correctness, done, total }) {
    this.status.textContent = done < total ? `Classified ${done} of ${total} images` : "";
    this.correctness = correctness;
    if (done >= total) this.fillScenes();
  }

  /**
   * @param {{ name: string, mime: string }} message
   * @param {Bytes[]} buffers
   */
  on_file({ name, mime }, [bytes]) {
    this.status.textContent = `Saved ${name}`;
    download(name, mime, bytes);
  }

  /** @param {{ code: string }} message */
  async on_code({ code }) {
    this.code ??= codeBlock("Code that reproduces this view");
    this.code.textContent = code;
    this.status.parentElement?.after(this.code);
    const isCopied = await copied(code);
    this.status.textContent = isCopied ? "Code copied; paste it into a cell" : "Copy the code below into a cell";
  }

  /** @param {{ scenes: string[] }} message */
  on_unusable({ scenes }) {
    this.config.unusable = scenes;
    this.fillScenes();
  }

  /** @param {{ text: string, seq?: number | null }} message */
  on_error(message) {
    this.landed(message.seq);
    this.capture?.setHunting(false); // an error of the greeting comes before anything is built
    this.status.textContent = "";
    // what cannot be shown is not chosen: the last choice that could be shown stays
    const isRefused = message.seq != null && message.seq === this.wantedLayers && !this.isReturning;
    const instead = isRefused ? this.usable : null;
    this.isReturning = instead !== null;
    if (instead) this.choose(instead);
    super.on_error(message);
  }

  close() {
    super.close();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.slow);
    clearTimeout(this.idling);
    this.pump.close();
    for (const strip of [this.scenes, this.plates, this.chips]) strip?.close();
  }
}

export default widgetOf(ExplorerView);
