// The explorer's front end: composes at once, and has the kernel classify the latest state, one request at a time.

const BACKGROUNDS = [
  ["own", "Original"], ["scene", "Other scene"], ["variant", "Variant"], ["colour", "Colour"],
  ["texture", "Texture"], ["noise", "Noise"], ["image", "Your image"],
];
const SWATCHES = ["#ffffff", "#000000", "#808080", "#008000", "#ffff00", "#0072b2", "#d55e00"];
const PLACED = ["dx", "dy", "scale", "flip"];
const SETTLED_MS = 1200;
// Shortest time between two requests of a drag: nobody reads faster, and a smooth canvas needs the processor's time.
const PACE_MS = 100;

class ExplorerView extends View {
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

  // ---- controls

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
    const strip = (label, kind, choose) => new Strip({
      label, side: config.thumb, perSheet: config.per_sheet, perRow: config.per_row, choose,
      needSheet: (sheet) => this.send({ type: "thumbs", kind, sheet }),
    });
    this.scenes = strip("Images", "scene", (scene) => this.choose({ scene }));
    this.plates = strip("Backgrounds of other scenes", "plate", (id) => this.choose({ background: `scene:${id}` }));
    this.chips = strip("Backgrounds", "texture", (background) => this.choose({ background }));
    this.capture = new CapturePanel(config.size, (state) => this.choose(state));
    this.panels = config.models.map((name) => new ResultPanel(name, config.nine, config.colours));
    this.root.replaceChildren(
      make("div", { class: "bglab-explorer" },
        make("div", { class: "bglab-row" }, make("h2", {}, "Image"), ...this.sceneControls()),
        this.scenes.element,
        make("div", { class: "bglab-row" }, make("h2", {}, "Background"), ...this.backgroundControls()),
        this.plates.element, this.chips.element, this.error,
        make("div", { class: "bglab-main" },
          make("div", { class: "bglab-left" }, this.stage.element, this.legend(), this.maskControls(), this.sliderPanel()),
          make("div", { class: "bglab-results" }, this.capture.element, ...this.panels.map((panel) => panel.element),
            make("div", { class: "bglab-note" }, "The line in each bar marks the original photograph; ± is the change from it, in percentage points."))),
        make("div", { class: "bglab-row bglab-foot" }, ...this.exportControls(), this.status)));
  }

  sceneControls() {
    const { config } = this;
    const shown = new Set(config.scenes.map(([, label]) => label));
    const classes = [["", "all classes"], ...config.class_names.map((name, i) => [String(i), name]).filter((_, i) => shown.has(i))];
    this.classFilter = select("Filter images by class", classes, () => this.fillScenes());
    this.correctnessFilter = select("Filter images by prediction", [["", "all predictions"], ["correct", "correct"], ["incorrect", "incorrect"]], (wanted) => {
      if (wanted && !this.correctness) this.work({ type: "correctness" }, "Classifying all images…");
      this.fillScenes();
    }, { hidden: !config.has_in9_labels });
    this.uploadLabel = select("Class of your image", [["-1", "unknown class"], ...config.nine.slice(0, 9).map((name, i) => [String(i), name])],
      (label) => this.work({ type: "label", scene: this.state.scene, label: Number(label) }), { hidden: true });
    return [this.classFilter, this.correctnessFilter, make("span", { class: "bglab-space" }), this.uploadLabel,
      fileButton("Upload image…", "image/*", (name, bytes) => this.work({ type: "upload", name }, "Uploading…", [bytes]),
        { title: "Upload your own image, draw a box around its object, then correct the mask" })];
  }

  backgroundControls() {
    this.kinds = make("div", { class: "bglab-kinds", role: "radiogroup", "aria-label": "Kind of background" },
      ...BACKGROUNDS.map(([kind, text]) => button(text, () => this.pickKind(kind), { role: "radio", "data-kind": kind })));
    this.kinds.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const all = [...this.kinds.children];
      const next = step && all[(all.indexOf(event.target) + step + all.length) % all.length];
      if (next) { next.focus(); next.click(); event.preventDefault(); event.stopPropagation(); }
    });
    this.colour = make("input", { type: "color", "aria-label": "Background colour", value: "#3366cc", hidden: true, ...QUIET,
      oninput: () => this.choose({ background: `colour:${this.colour.value}` }) });
    this.upload = fileButton("Upload background…", "image/*", (name, bytes) =>
      this.work({ type: "upload_background", name }, "Uploading…", [bytes]));
    this.upload.hidden = true;
    return [this.kinds, this.colour, this.upload, make("span", { class: "bglab-space" }), this.captureButton()];
  }

  legend() {
    const stops = [0, 64, 128, 192, 255].map((i) => `rgb(${this.table.slice(3 * i, 3 * i + 3)})`);
    const bar = make("span", { class: "bglab-scale" });
    bar.style.background = `linear-gradient(to right, ${stops})`;
    this.scale = make("div", { class: "bglab-legend" }, "Grad-CAM: 0", bar, "maximum of this map");
    return this.scale;
  }

  maskControls() {
    const modes = [["move", "Move", "Drag the object"], ["box", "Box", "Draw a box around the object, which GrabCut segments"], ["brush", "Brush", "Correct the mask with a brush"]];
    this.modes = modes.map(([mode, text, title]) => button(text, () => this.useMode(mode), { "data-mode": mode, title, "aria-pressed": String(mode === "move") }));
    const brush = slider("brush", { low: 0.01, high: 0.2, step: 0.005, label: "Brush size", unit: "%" }, (value) => { this.stage.brush = value; }, () => {});
    brush.set(this.stage.brush);
    const side = select("Brush mode", [["add", "add to mask"], ["remove", "remove from mask"]], (value) => { this.stage.erase = value === "remove"; });
    this.brushControls = make("div", { class: "bglab-brush", hidden: true }, brush.element, side, button("Undo", () => this.stage.undo()));
    const flip = button("Flip", () => { this.move({ flip: true }); this.settle(PLACED); }, { title: "Mirror the object left to right" });
    const reset = button("Reset", () => this.choose(this.neutral()), { title: "Reset every slider" });
    return make("div", {}, make("div", { class: "bglab-row", role: "toolbar", "aria-label": "Tools" }, ...this.modes, flip, reset), this.brushControls);
  }

  sliderPanel() {
    const groups = [["mix", "background_blur", "brightness"], ["feather", "grow", "scale"], ["dx", "dy", "saliency_opacity"]];
    const panel = make("div", { class: "bglab-sliders" });
    for (const name of groups.flat()) {
      const made = slider(name, this.config.sliders[name], (value) => this.change({ [name]: value }), () => this.settle([name]));
      made.input.addEventListener("reset", () => { this.change({ [name]: this.config.defaults[name] }); this.settle([name]); });
      this.sliders[name] = made;
      panel.append(made.element);
    }
    this.target = select("Class that the saliency map explains", [["predicted", "predicted class"], ["true", "true class"], ["background", "background's class"]],
      (target) => this.choose({ target }));
    this.modelPick = select("Classifier whose saliency map is shown", this.config.models.map((name, i) => [String(i), name]), (model) => this.choose({ model: Number(model) }),
      { hidden: this.config.models.length < 2 });
    panel.append(make("label", { class: "bglab-slider" }, make("span", {}, "Saliency for"), this.target, this.modelPick));
    return panel;
  }

  exportControls() {
    const venue = select("Venue whose column width and fonts the figure has", this.config.venues.map((name) => [name, name]), () => {});
    const save = (format) => () => this.work({ type: "export", format, venue: venue.value }, "Exporting…");
    return [make("span", { class: "bglab-note" }, "Export"), venue,
      ...["pdf", "svg", "png"].map((format) => button(format.toUpperCase(), save(format), { "aria-label": `Figure as ${format.toUpperCase()}` })),
      button("CSV", save("csv"), { "aria-label": "Numbers as CSV", title: "Every number shown, as CSV" }),
      button("Cut-out", save("cutout"), { title: "The object on a transparent background, as PNG" }),
      button("Code", () => this.work({ type: "code" }), { title: "Copy code that reproduces this view" })];
  }

  // ---- choices

  fillScenes() {
    const { config } = this;
    const wantedClass = this.classFilter.value, wanted = this.correctnessFilter.value;
    const unusable = new Set(config.unusable);
    const usable = config.scenes.filter(([id]) => !unusable.has(id));
    const shown = usable.filter(([, label, place]) =>
      (wantedClass === "" || String(label) === wantedClass) && (!wanted || !this.correctness || this.correctness[place] === wanted));
    const thumbnail = ([id, label, place]) => ({
      value: id, label: `${config.class_names[label] ?? "unknown class"} · ${id}`, sheet: String(Math.floor(place / config.per_sheet)),
      place: place % config.per_sheet,
    });
    const marked = (scene) => ({ ...thumbnail(scene), mark: this.correctness?.[scene[2]] });
    const uploads = config.uploads.map(([id, place]) => ({ value: id, label: id, sheet: `upload${place}`, place: 0 }));
    this.scenes.fill([...uploads, ...shown.map(marked)]);
    this.plates.fill(usable.filter(([, , , lends]) => lends).map(thumbnail));
    this.scenes.select(this.state.scene);
  }

  pickKind(kind) {
    const first = { own: "own", colour: "colour:#ffffff", noise: "noise:gaussian", variant: "variant:only_fg",
      texture: `texture:${this.config.textures[0]}`, image: this.config.backgrounds.length ? `image:${this.config.backgrounds[0]}` : null,
      scene: `scene:${(this.config.scenes.find(([id, , , lends]) => lends && id !== this.state.scene && !this.config.unusable.includes(id)) ?? [this.state.scene])[0]}` }[kind];
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
    this.plates.element.hidden = kind !== "scene";
    this.chips.element.hidden = !["variant", "colour", "texture", "noise", "image"].includes(kind);
    this.colour.hidden = kind !== "colour";
    this.upload.hidden = kind !== "image";
    const chips = {
      variant: config.variants.map(([name, title, text]) => ({ value: `variant:${name}`, label: text, text: title })),
      colour: SWATCHES.map((colour) => ({ value: `colour:${colour}`, label: colour, colour })),
      texture: config.textures.map((name, i) => ({ value: `texture:${name}`, label: name, sheet: "0", place: i })),
      noise: ["gaussian", "uniform"].map((name) => ({ value: `noise:${name}`, label: `${name} noise`, text: name })),
      image: config.backgrounds.map((name) => ({ value: `image:${name}`, label: name, text: name })),
    }[kind];
    if (chips) this.chips.fill(chips, "No background uploaded yet");
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
    this.scale.hidden = !this.state.saliency_opacity;
  }

  neutral() {
    return Object.fromEntries(Object.keys(this.config.sliders).map((name) => [name, this.config.defaults[name]]).concat([["flip", false]]));
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
    if (changes.background) this.showKind(changes.background.split(":")[0]);
    else if (["scene", "target", "model"].some((name) => name in changes)) this.showChosen();
    this.scale.hidden = !this.state.saliency_opacity;
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
      dx: clamped("dx", s.dx + dx), dy: clamped("dy", s.dy + dy), scale: clamped("scale", s.scale * scale), flip: flip ? !s.flip : s.flip,
    });
  }

  useMode(mode) {
    for (const each of this.modes) each.setAttribute("aria-pressed", String(each.dataset.mode === mode));
    this.brushControls.hidden = mode !== "brush";
    // box and brush work on the unchanged photograph
    if (mode !== "move") this.choose({ ...this.neutral(), background: "own" });
    this.stage.use(mode, mode === "brush" && this.composer ? this.composer.mask : null);
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
      this.stage.draw(this.composer.compose(this.state));
      this.stage.drawHeat(null, this.state.saliency_opacity);
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
    this.paced = setTimeout(() => { this.paced = 0; this.pump(); }, this.sentAt + PACE_MS - performance.now());
  }

  on_result({ seq, state, results, originals, ms, forwards }, maps) {
    this.landed(seq);
    if (state.scene !== this.state.scene) return;
    results.forEach((result, i) => this.panels[i].show(result, originals[i], this.truth, this.donorLabel));
    const shape = (results[this.state.model] ?? results[0]).map, map = maps[this.state.model];
    if (shape && map?.byteLength) {
      const values = new Float32Array(map.slice().buffer);
      this.stage.drawHeat(colourMap(values, ...shape, this.config.size, this.table), this.state.saliency_opacity);
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
    this.code ??= make("pre", { class: "bglab-code", tabindex: 0, "aria-label": "Code that reproduces this view", ...QUIET });
    this.code.textContent = code;
    this.root.firstChild.append(this.code);
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
