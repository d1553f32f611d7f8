// The explorer's front end: composes at once, and has the kernel classify the latest state, one request at a time.

import { CAPTURE_HANDLERS } from "./capture.js";
import { colourMap, Composer } from "./composer.js";
import { download, make, QUIET } from "./controls.js";
import { ExplorerLayout, SWATCHES } from "./layout.js";
import { asPixels } from "./results.js";

const SETTLED_MS = 1200;
// Shortest time between two requests of a drag: nobody reads faster, and a smooth canvas needs the processor's time.
const PACE_MS = 100;

class ExplorerView extends ExplorerLayout {
  constructor(model, root) {
    super(model, root);
    Object.assign(this, { inFlight: null, waiting: null, frame: 0, state: {}, sliders: {} });
    this.status = make("div", { class: "bglab-status", role: "status", "aria-live": "polite" });
  }

  on_hello(config) {
    this.config = config;
    this.state = { ...config.state };
    this.table = Uint8Array.from(config.colour_map);
    this.build();
    this.fillScenes();
    this.showKind(this.state.background.split(":")[0]);
    this.needLayers();
    for (const name of Object.keys(this.state)) this.listen(`change:${name}`, () => this.follow(name));
  }

  // ---- choices

  fillScenes() {
    const { config } = this;
    const wantedClass = this.classFilter.value,
      wanted = this.correctnessFilter.value;
    const unusable = new Set(config.unusable);
    const usable = config.scenes.filter(([id]) => !unusable.has(id));
    const shown = usable.filter(
      ([, label, place]) =>
        (wantedClass === "" || String(label) === wantedClass) &&
        (!wanted || !this.correctness || this.correctness[place] === wanted),
    );
    const thumbnail = ([id, label, place]) => ({
      value: id,
      label: `${config.class_names[label] ?? "unknown class"} · ${id}`,
      sheet: String(Math.floor(place / config.per_sheet)),
      place: place % config.per_sheet,
    });
    const marked = (scene) => ({ ...thumbnail(scene), mark: this.correctness?.[scene[2]] });
    const uploads = config.uploads.map(([id, place]) => ({ value: id, label: id, sheet: `upload${place}`, place: 0 }));
    this.scenes.fill([...uploads, ...shown.map(marked)]);
    this.plates.fill(usable.filter(([, , , lends]) => lends).map(thumbnail));
    this.scenes.select(this.state.scene);
  }

  // Shows a kind of background and chooses the first of it. Where there is none yet, the background stays until one is uploaded.
  pickKind(kind) {
    const first = {
      own: "own",
      colour: "colour:#ffffff",
      noise: "noise:gaussian",
      variant: "variant:only_fg",
      texture: `texture:${this.config.textures[0]}`,
      image: this.config.backgrounds.length ? `image:${this.config.backgrounds[0]}` : null,
      scene: `scene:${(this.config.scenes.find(([id, , , lends]) => lends && id !== this.state.scene && !this.config.unusable.includes(id)) ?? [this.state.scene])[0]}`,
    }[kind];
    this.showKind(kind);
    if (first && this.state.background.split(":")[0] !== kind) this.choose({ background: first });
  }

  showKind(kind) {
    const { config } = this;
    for (const radio of this.kinds.children) {
      const isChosen = radio.dataset.kind === kind;
      radio.setAttribute("aria-checked", String(isChosen));
      radio.tabIndex = isChosen ? 0 : -1;
    }
    const asks = kind === "image" && !config.backgrounds.length;
    this.plates.element.hidden = kind !== "scene";
    this.chips.element.hidden = asks || !["variant", "colour", "texture", "noise", "image"].includes(kind);
    this.colour.hidden = kind !== "colour";
    this.upload.hidden = kind !== "image";
    this.hint.hidden = !asks && kind !== "own";
    this.hint.textContent = asks
      ? "Upload a picture to use as the background. Until then the background stays as it is."
      : "The object stands where it was photographed.";
    const chips = {
      variant: config.variants.map(([name, title, text]) => ({ value: `variant:${name}`, label: text, text: title })),
      colour: SWATCHES.map((colour) => ({ value: `colour:${colour}`, label: colour, colour })),
      // a texture is drawn anew for each image, and so are its thumbnails
      texture: config.textures.map((name, i) => ({
        value: `texture:${name}`,
        label: name,
        sheet: this.state.scene,
        place: i,
      })),
      noise: ["gaussian", "uniform"].map((name) => ({ value: `noise:${name}`, label: `${name} noise`, text: name })),
      image: config.backgrounds.map((name) => ({ value: `image:${name}`, label: name, text: name })),
    }[kind];
    if (chips) this.chips.fill(chips);
    this.showChosen();
  }

  showChosen() {
    const { background, scene, target, model } = this.state;
    this.scenes.select(scene);
    this.chips.select(background);
    this.plates.select(background.startsWith("scene:") ? background.slice(6) : null);
    for (const [name, { set }] of Object.entries(this.sliders)) set(this.state[name]);
    this.target.value = target;
    this.modelPick.value = String(model);
    const upload = this.config.uploads.find(([id]) => id === scene);
    this.uploadLabel.hidden = !upload;
    if (upload) this.uploadLabel.value = String(upload[2]);
    this.showScale();
  }

  get overlay() {
    return this.stage.mode === "move" ? this.state.saliency_opacity : 0;
  }

  // Without an overlay its scale is invisible, but keeps its place.
  showScale() {
    this.scale.style.visibility = this.state.saliency_opacity ? "" : "hidden";
  }

  // A final choice, which the kernel's traits take over as well.
  choose(changes) {
    this.change(changes);
    this.settle(Object.keys(changes));
  }

  change(changes) {
    const before = this.state;
    this.state = { ...before, ...changes };
    // a dragged slider must change nothing else in the page
    for (const name of Object.keys(changes)) this.sliders[name]?.set(this.state[name]);
    const kind = this.state.background.split(":")[0];
    if (changes.background || (kind === "texture" && changes.scene)) this.showKind(kind);
    else if (["scene", "target", "model"].some((name) => name in changes)) this.showChosen();
    this.showScale();
    this.capture.follow(this.state);
    const isElsewhere = before.scene !== this.state.scene || before.background !== this.state.background;
    if (isElsewhere) this.needLayers();
    else this.draw();
    if (before.scene !== this.state.scene) this.useMode("move");
    if (Object.keys(changes).some((name) => name !== "saliency_opacity") && !isElsewhere) this.inspect();
  }

  settle(names) {
    for (const name of names) this.model.set(name, this.state[name]);
    this.model.save_changes();
  }

  // Takes over a trait that code in a cell or another view has set.
  follow(name) {
    const value = this.model.get(name);
    if (this.state[name] !== value) this.change({ [name]: value });
  }

  move({ dx = 0, dy = 0, scale = 1, flip = false }) {
    const { sliders } = this.config;
    const clamped = (name, value) => Math.min(Math.max(value, sliders[name].low), sliders[name].high);
    const s = this.state;
    this.change({
      dx: clamped("dx", s.dx + dx),
      dy: clamped("dy", s.dy + dy),
      scale: clamped("scale", s.scale * scale),
      flip: flip ? !s.flip : s.flip,
    });
  }

  useMode(mode) {
    for (const each of this.modes) each.setAttribute("aria-pressed", String(each.dataset.mode === mode));
    this.brushControls.hidden = mode !== "brush";
    this.stage.use(mode, mode === "brush" && this.composer ? this.composer.mask : null);
    this.draw();
  }

  // ---- requests to the kernel, and its replies

  needLayers() {
    const { scene, background } = this.state;
    this.wantedLayers = ++this.seq;
    this.dimLater(); // the object of a photograph may have to be cut out first
    this.send({ type: "layers", seq: this.wantedLayers, scene, background });
  }

  on_layers(message, [image, front, alpha, plate]) {
    if (message.seq !== this.wantedLayers) return;
    this.usable = { scene: this.state.scene, background: this.state.background };
    this.composer = new Composer(this.config.size, { image, front, alpha, plate });
    this.composer.pixels = asPixels(image, this.config.size);
    this.donor = message.donor;
    // after a stroke the canvas already has the newer mask, and what can be undone
    if (!this.isBrushing) this.stage.use(this.stage.mode, this.stage.mode === "brush" ? this.composer.mask : null);
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
      this.stage.draw(isEdited ? this.composer.pixels : composed);
      this.stage.drawHeat(null, this.overlay);
      if (isEdited) this.photograph.draw(composed, true);
      else if (this.photograph.shown !== this.composer) this.photograph.draw(this.composer.pixels, false);
      this.photograph.shown = isEdited ? null : this.composer;
    });
  }

  inspect() {
    this.waiting = this.state;
    this.pump();
  }

  pump() {
    if (this.inFlight || this.paced || !this.waiting) return;
    this.inFlight = ++this.seq;
    this.sentAt = performance.now();
    this.send({ type: "inspect", seq: this.inFlight, state: this.waiting });
    this.waiting = null;
    this.dimLater();
  }

  // Results that belong to an earlier image fade when the next takes its time.
  dimLater() {
    clearTimeout(this.slow);
    this.slow = setTimeout(() => this.panels.forEach((panel) => panel.dim(true)), 300);
  }

  landed(seq) {
    if (seq == null || seq !== this.inFlight) return;
    this.inFlight = null;
    clearTimeout(this.slow);
    this.panels.forEach((panel) => panel.dim(false));
    if (!this.waiting) return;
    // the state changed before its answer came, so it is being dragged; a single step is never delayed
    this.paced = setTimeout(
      () => {
        this.paced = 0;
        this.pump();
      },
      this.sentAt + PACE_MS - performance.now(),
    );
  }

  on_result({ seq, state, results, originals, ms, forwards }, maps) {
    this.landed(seq);
    if (state.scene !== this.state.scene) return;
    results.forEach((result, i) => this.panels[i].show(result, originals[i], this.truth, this.donorLabel));
    this.photograph.show(originals, this.panels);
    const shape = (results[this.state.model] ?? results[0]).map,
      map = maps[this.state.model];
    if (shape && map?.byteLength) {
      const values = new Float32Array(map.slice().buffer);
      this.stage.drawHeat(colourMap(values, ...shape, this.config.size, this.table), this.overlay);
    } else this.stage.drawHeat(null, 0);
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

  // Sends a request that takes a moment and must not be dropped.
  work(message, status = "", buffers = []) {
    this.status.textContent = status;
    this.send(message, buffers);
  }

  on_thumbs({ kind, sheet }, [bytes]) {
    ({ scene: this.scenes, plate: this.plates, texture: this.chips })[kind].showSheet(sheet, bytes);
  }

  on_uploads({ uploads, backgrounds, state, mode }) {
    Object.assign(this.config, { uploads, backgrounds });
    for (const [, place] of uploads) this.scenes.forget(`upload${place}`);
    this.fillScenes();
    this.status.textContent = "";
    if (state) {
      this.state = { ...this.state, ...state };
      this.showKind(this.state.background.split(":")[0]);
      this.settle(Object.keys(state));
      this.needLayers();
      if (mode) this.useMode(mode);
    }
  }

  on_correctness({ correctness, done, total }) {
    this.status.textContent = done < total ? `Classified ${done} of ${total} images` : "";
    this.correctness = correctness;
    if (done >= total) this.fillScenes();
  }

  on_file({ name, mime }, [bytes]) {
    this.status.textContent = `Saved ${name}`;
    download(name, mime, bytes);
  }

  async on_code({ code }) {
    this.code ??= make("pre", {
      class: "bglab-code",
      tabindex: 0,
      "aria-label": "Code that reproduces this view",
      ...QUIET,
    });
    this.code.textContent = code;
    this.status.parentElement.after(this.code);
    try {
      await navigator.clipboard.writeText(code);
      this.status.textContent = "Code copied; paste it into a cell";
    } catch {
      this.status.textContent = "Copy the code below into a cell";
    }
  }

  on_unusable({ scenes }) {
    this.config.unusable = scenes;
    this.fillScenes();
  }

  on_error(message) {
    this.landed(message.seq);
    this.setHunting(false);
    this.status.textContent = "";
    // what cannot be shown is not chosen: the last choice that could be shown stays
    const isRefused = message.seq != null && message.seq === this.wantedLayers && this.usable && !this.isReturning;
    this.isReturning = isRefused;
    if (isRefused) this.choose(this.usable);
    super.on_error(message);
  }

  close() {
    super.close();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.slow);
    clearTimeout(this.idling);
    clearTimeout(this.paced);
    for (const strip of [this.scenes, this.plates, this.chips]) strip?.close();
  }
}

Object.assign(ExplorerView.prototype, CAPTURE_HANDLERS);

export default {
  render({ model, el }) {
    const view = new ExplorerView(model, el);
    return () => view.close();
  },
};
