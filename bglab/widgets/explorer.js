// The explorer's front end: composes at once, asks the kernel for answers, one request in flight, the latest wins.

const BACKGROUNDS = [
  ["own", "Own"], ["scene", "Another scene"], ["variant", "Variant"], ["colour", "Colour"],
  ["texture", "Texture"], ["noise", "Noise"], ["image", "Own image"],
];
const SWATCHES = ["#ffffff", "#000000", "#808080", "#008000", "#ffff00", "#0072b2", "#d55e00"];
const PLACED = ["dx", "dy", "scale", "flip"];
const SETTLED_MS = 1200;
// Answers come at most this often: the eye reads no faster, and the image needs the processor's time to be smooth.
const PACE_MS = 100;

class ExplorerView {
  constructor(model, root) {
    Object.assign(this, { model, root, view: `${Date.now()}-${Math.random()}`, seq: 0, flying: null, waiting: null });
    Object.assign(this, { frame: 0, state: {}, sliders: {}, listeners: [] });
    this.listen("msg:custom", (message, buffers) => this.receive(message, buffers));
    root.classList.add("bglab");
    root.replaceChildren(make("div", { class: "bglab-note", role: "status" }, "loading…"));
    this.send({ type: "hello" });
  }

  listen(event, callback) {
    this.model.on(event, callback);
    this.listeners.push([event, callback]);
  }

  send(message, buffers = []) {
    this.model.send({ ...message, view: this.view }, undefined, buffers);
  }

  receive(message, buffers) {
    if (message.view && message.view !== this.view) return;
    const bytes = buffers.map((buffer) => new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength));
    this[`on_${message.type}`]?.(message, bytes);
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

  // ---- what is drawn once

  build() {
    const { config } = this;
    this.stage = new Stage(config.size, {
      moved: (changes) => this.move(changes),
      settled: () => this.settle(PLACED),
      boxed: (box) => this.work({ type: "cut", scene: this.state.scene, box }, "cutting out…"),
      brushed: (mask) => {
        this.mending = true;
        this.work({ type: "mend", scene: this.state.scene }, "", [mask.slice().buffer]);
      },
    });
    const strip = (label, kind, choose) => new Strip({
      label, side: config.thumb, perSheet: config.per_sheet, perRow: config.per_row, choose,
      needSheet: (sheet) => this.send({ type: "thumbs", kind, sheet }),
    });
    this.scenes = strip("Images", "scene", (scene) => this.choose({ scene }));
    this.plates = strip("Backgrounds of other scenes", "plate", (id) => this.choose({ background: `scene:${id}` }));
    this.chips = strip("Backgrounds", "texture", (background) => this.choose({ background }));
    this.panels = config.models.map((name) => new AnswerPanel(name, config.nine, config.colours));
    this.status = make("div", { class: "bglab-status", role: "status", "aria-live": "polite" });
    this.error = make("div", { class: "bglab-error", role: "alert", hidden: true });
    this.root.replaceChildren(
      make("div", { class: "bglab-explorer" },
        make("div", { class: "bglab-row" }, make("h2", {}, "Image"), ...this.sceneControls()),
        this.scenes.element,
        make("div", { class: "bglab-row" }, make("h2", {}, "Background"), ...this.backgroundControls()),
        this.plates.element, this.chips.element, this.error,
        make("div", { class: "bglab-main" },
          make("div", { class: "bglab-left" }, this.stage.element, this.legend(), this.maskControls(), this.sliderPanel()),
          make("div", { class: "bglab-answers" }, ...this.panels.map((panel) => panel.element),
            make("div", { class: "bglab-note" }, "Line in a bar, and ±: compared with the photograph itself."))),
        make("div", { class: "bglab-row bglab-foot" }, ...this.keepControls(), this.status)));
  }

  sceneControls() {
    const { config } = this;
    const classes = [["", "all classes"], ...config.class_names.map((name, i) => [String(i), name])];
    this.classFilter = select("Show images of a class", classes, () => this.fillScenes());
    this.answerFilter = select("Show images by answer", [["", "all answers"], ["right", "answered right"], ["wrong", "answered wrong"]], (wanted) => {
      if (wanted && !this.verdicts) this.work({ type: "verdicts" }, "classifying all images…");
      this.fillScenes();
    }, { hidden: !config.truth_is_known });
    this.ownLabel = select("Class of one's own image", [["-1", "class not given"], ...config.nine.slice(0, 9).map((name, i) => [String(i), name])],
      (label) => this.work({ type: "label", scene: this.state.scene, label: Number(label) }), { hidden: true });
    return [this.classFilter, this.answerFilter, make("span", { class: "bglab-space" }), this.ownLabel,
      fileButton("Open an image…", "image/*", (name, bytes) => this.work({ type: "upload", name }, "opening…", [bytes]),
        { title: "An image of your own: draw a box around its object, then mend the mask" })];
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
    this.colour = make("input", { type: "color", "aria-label": "Any colour", value: "#3366cc", hidden: true, ...QUIET,
      oninput: () => this.choose({ background: `colour:${this.colour.value}` }) });
    this.upload = fileButton("Open a background…", "image/*", (name, bytes) =>
      this.work({ type: "upload_background", name }, "opening…", [bytes]));
    this.upload.hidden = true;
    return [this.kinds, this.colour, this.upload];
  }

  legend() {
    const stops = [0, 64, 128, 192, 255].map((i) => `rgb(${this.table.slice(3 * i, 3 * i + 3)})`);
    const bar = make("span", { class: "bglab-scale" });
    bar.style.background = `linear-gradient(to right, ${stops})`;
    this.scale = make("div", { class: "bglab-legend" }, "0", bar, "this map's maximum");
    return this.scale;
  }

  maskControls() {
    const modes = [["move", "Move", "Drag the object"], ["box", "Box", "Draw a box; GrabCut cuts the object out"], ["brush", "Brush", "Mend the mask"]];
    this.modes = modes.map(([mode, text, title]) => button(text, () => this.useMode(mode), { "data-mode": mode, title, "aria-pressed": String(mode === "move") }));
    const brush = slider("brush", { low: 0.01, high: 0.2, step: 0.005, label: "Brush", unit: "%" }, (value) => { this.stage.brush = value; }, () => {});
    brush.set(this.stage.brush);
    const side = select("Brush adds or removes", [["add", "adds"], ["remove", "removes"]], (value) => { this.stage.erase = value === "remove"; });
    this.brushControls = make("div", { class: "bglab-brush", hidden: true }, brush.element, side, button("Undo", () => this.stage.undo()));
    const flip = button("Flip", () => { this.move({ flip: true }); this.settle(PLACED); }, { title: "Mirror the object" });
    const reset = button("Reset", () => this.choose(this.neutral()), { title: "Back to where every slider began" });
    return make("div", {}, make("div", { class: "bglab-row", role: "toolbar", "aria-label": "Mouse on the image" }, ...this.modes, flip, reset), this.brushControls);
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
    this.target = select("Saliency explains", [["predicted", "the answer"], ["true", "the true class"], ["background", "the background's class"]],
      (target) => this.choose({ target }));
    this.modelPick = select("Saliency of", this.config.models.map((name, i) => [String(i), name]), (model) => this.choose({ model: Number(model) }),
      { hidden: this.config.models.length < 2 });
    panel.append(make("label", { class: "bglab-slider" }, make("span", {}, "Explains"), this.target, this.modelPick));
    return panel;
  }

  keepControls() {
    const venue = select("Width and fonts of the figure", this.config.venues.map((name) => [name, name]), () => {});
    const keep = (format) => () => this.work({ type: "keep", format, venue: venue.value }, "drawing…");
    return [make("span", { class: "bglab-note" }, "Keep"), venue,
      ...["pdf", "svg", "png"].map((format) => button(format.toUpperCase(), keep(format), { "aria-label": `Figure as ${format.toUpperCase()}` })),
      button("Numbers", keep("csv"), { title: "Every probability shown, as CSV" }),
      button("Cut-out", keep("cutout"), { title: "The object with transparency, as PNG" }),
      button("Code", () => this.work({ type: "code" }), { title: "The cell that shows this again, to the clipboard" })];
  }

  // ---- what is chosen

  fillScenes() {
    const { config } = this;
    const wantedClass = this.classFilter.value, wanted = this.answerFilter.value;
    const shown = config.scenes.filter(([, label], i) =>
      (wantedClass === "" || String(label) === wantedClass) && (!wanted || !this.verdicts || this.verdicts[i] === wanted));
    const thumb = (prefix) => ([id, label, place]) => ({
      value: id, label: `${config.class_names[label] ?? "class not given"} · ${id}`, sheet: `${prefix}${Math.floor(place / config.per_sheet)}`,
      place: place % config.per_sheet, mark: prefix ? "" : this.verdicts?.[place],
    });
    const own = config.own.map(([id, place]) => ({ value: id, label: id, sheet: `own${place}`, place: 0 }));
    this.scenes.fill([...own, ...shown.map(thumb(""))]);
    this.plates.fill(config.scenes.filter(([, , , lends]) => lends).map(thumb("")));
    this.scenes.select(this.state.scene);
  }

  pickKind(kind) {
    const first = { own: "own", colour: "colour:#ffffff", noise: "noise:gaussian", variant: "variant:only_fg",
      texture: `texture:${this.config.textures[0]}`, image: this.config.images.length ? `image:${this.config.images[0]}` : null,
      scene: `scene:${(this.config.scenes.find(([id, , , lends]) => lends && id !== this.state.scene) ?? [this.state.scene])[0]}` }[kind];
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
      image: config.images.map((name) => ({ value: `image:${name}`, label: name, text: name })),
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
    const own = this.config.own.find(([id]) => id === scene);
    this.ownLabel.hidden = !own;
    if (own) this.ownLabel.value = String(own[2]);
    this.scale.hidden = !this.state.saliency_opacity;
  }

  neutral() {
    return Object.fromEntries(Object.keys(this.config.sliders).map((name) => [name, this.config.defaults[name]]).concat([["flip", false]]));
  }

  // A choice that stands: kept in the kernel's traits as well.
  choose(changes) {
    this.change(changes);
    this.settle(Object.keys(changes));
  }

  change(changes) {
    const before = this.state;
    this.state = { ...before, ...changes };
    // a dragged slider must touch nothing but itself
    for (const name of Object.keys(changes)) this.sliders[name]?.set(this.state[name]);
    if (changes.background) this.showKind(changes.background.split(":")[0]);
    else if (["scene", "target", "model"].some((name) => name in changes)) this.showChosen();
    this.scale.hidden = !this.state.saliency_opacity;
    const isElsewhere = before.scene !== this.state.scene || before.background !== this.state.background;
    if (isElsewhere) this.needLayers();
    else this.draw();
    if (before.scene !== this.state.scene) this.useMode("move");
    if (Object.keys(changes).some((name) => name !== "saliency_opacity") && !isElsewhere) this.ask();
  }

  settle(names) {
    for (const name of names) this.model.set(name, this.state[name]);
    this.model.save_changes();
  }

  // A trait that code in a cell, or another view, has set.
  follow(name) {
    const value = this.model.get(name);
    if (this.state[name] !== value) this.change({ [name]: value });
  }

  move({ dx = 0, dy = 0, scale = 1, flip = false }) {
    const { sliders } = this.config;
    const held = (name, value) => Math.min(Math.max(value, sliders[name].low), sliders[name].high);
    const s = this.state;
    this.change({ dx: held("dx", s.dx + dx), dy: held("dy", s.dy + dy), scale: held("scale", s.scale * scale), flip: flip ? !s.flip : s.flip });
  }

  useMode(mode) {
    for (const each of this.modes) each.setAttribute("aria-pressed", String(each.dataset.mode === mode));
    this.brushControls.hidden = mode !== "brush";
    // box and brush work on the photograph as it is
    if (mode !== "move") this.choose({ ...this.neutral(), background: "own" });
    this.stage.use(mode, mode === "brush" && this.composer ? this.composer.mask : null);
  }

  // ---- what the kernel is asked for

  needLayers() {
    const { scene, background } = this.state;
    this.wantedLayers = ++this.seq;
    this.send({ type: "layers", seq: this.wantedLayers, scene, background });
  }

  on_layers(message, [image, front, alpha, plate]) {
    if (message.seq !== this.wantedLayers) return;
    this.composer = new Composer(this.config.size, { image, front, alpha, plate });
    this.donor = message.donor;
    // while the brush is at work its own mask is newer, and keeps what can be undone
    if (!this.mending) this.stage.use(this.stage.mode, this.stage.mode === "brush" ? this.composer.mask : null);
    this.mending = false;
    this.truth = message.truth;
    this.donorLabel = message.donor_label;
    this.hideError();
    this.draw();
    this.ask();
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

  ask() {
    this.waiting = this.state;
    this.pump();
  }

  pump() {
    if (this.flying || this.paced || !this.waiting) return;
    this.flying = ++this.seq;
    this.paced = setTimeout(() => { this.paced = 0; this.pump(); }, PACE_MS);
    this.send({ type: "ask", seq: this.flying, state: this.waiting });
    this.waiting = null;
    clearTimeout(this.slow);
    this.slow = setTimeout(() => this.panels.forEach((panel) => panel.dim(true)), 300);
  }

  landed(seq) {
    if (seq !== this.flying) return;
    this.flying = null;
    clearTimeout(this.slow);
    this.panels.forEach((panel) => panel.dim(false));
    this.pump();
  }

  on_answer(message, maps) {
    this.landed(message.seq);
    if (message.state.scene !== this.state.scene) return;
    message.answers.forEach((answer, i) => this.panels[i].show(answer, message.original[i], this.truth, this.donorLabel));
    this.answered = message.state;
    const answer = message.answers[this.state.model] ?? message.answers[0];
    const map = maps[this.state.model];
    if (answer.map && map?.byteLength) {
      const values = new Float32Array(map.slice().buffer);
      this.stage.drawHeat(colourMap(values, ...answer.map, this.config.size, this.table), this.state.saliency_opacity);
    } else this.stage.drawHeat(null, 0);
    this.root.dataset.answered = JSON.stringify({ ...message.state, ms: message.ms, forwards: message.forwards, nine: message.answers[0].nine });
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => this.rest(), SETTLED_MS);
  }

  // Nothing has moved for a while: say the result aloud, and have the kernel keep an image of it.
  rest() {
    const { scene, background } = this.state;
    const said = this.panels.map((panel) => panel.spoken).join("; ");
    this.stage.canvas.setAttribute("aria-label", `${scene} on background ${background}. ${said}`);
    this.status.textContent = said;
    this.send({ type: "rest" });
  }

  // Work that takes a moment and cannot be dropped.
  work(message, words = "", buffers = []) {
    this.status.textContent = words;
    this.send(message, buffers);
  }

  on_thumbs({ kind, sheet }, [bytes]) {
    ({ scene: this.scenes, plate: this.plates, texture: this.chips })[kind].showSheet(sheet, bytes);
  }

  on_images({ own, images, state, mode }) {
    Object.assign(this.config, { own, images });
    for (const [, place] of own) this.scenes.sheets.delete(`own${place}`);
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

  on_verdicts({ verdicts, done, total }) {
    this.status.textContent = done < total ? `classified ${done} of ${total} images` : "";
    this.verdicts = verdicts;
    if (done >= total) this.fillScenes();
  }

  on_file({ name, mime }, [bytes]) {
    this.status.textContent = `kept ${name}`;
    download(name, mime, bytes);
  }

  async on_code({ code }) {
    this.code ??= make("pre", { class: "bglab-code", tabindex: 0, "aria-label": "Code of this state", ...QUIET });
    this.code.textContent = code;
    this.root.firstChild.append(this.code);
    try {
      await navigator.clipboard.writeText(code);
      this.status.textContent = "copied; paste it into a cell";
    } catch {
      this.status.textContent = "select the code and copy it into a cell";
    }
  }

  on_error({ text, seq }) {
    this.landed(seq);
    this.status.textContent = "";
    if (!this.error) return this.root.replaceChildren(make("div", { class: "bglab-error", role: "alert" }, text));
    this.error.replaceChildren(text, button("×", () => this.hideError(), { "aria-label": "Close the message" }));
    this.error.hidden = false;
  }

  hideError() {
    this.error.hidden = true;
  }

  close() {
    for (const [event, callback] of this.listeners) this.model.off(event, callback);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.slow);
    clearTimeout(this.quiet);
    clearTimeout(this.paced);
    for (const strip of [this.scenes, this.plates, this.chips]) strip?.close();
  }
}

export default {
  render({ model, el }) {
    const view = new ExplorerView(model, el);
    return () => view.close();
  },
};
