// What the explorer shows to choose from, and what follows from a choice.

import { chipsOf, filteredScenes, firstBackground, thumbnailOf, usableScenes } from "./greeting.js";
import { ExplorerLayout } from "./layout.js";
import { kindOf, movedBy } from "./state.js";

/** @import { ExplorerView } from "./explorer.js" */
/** @import { Correctness, SceneRow } from "./greeting.js" */
/** @import { Tool } from "./stage.js" */
/** @import { BackgroundKind, Movement, Setting, State } from "./state.js" */

// `ExplorerView` draws what is chosen, and asks the kernel about it.
export class ExplorerChoices extends ExplorerLayout {
  /** What is shown. @type {State} */
  state;
  /** By the scene's place; unknown until someone asks for it. @type {Correctness[] | undefined} */
  correctness;

  fillScenes() {
    const { config, correctness } = this;
    const usable = usableScenes(config);
    const shown = filteredScenes(usable, this.classFilter.value, this.correctnessFilter.value, correctness);
    /** @param {SceneRow} scene */
    const marked = (scene) => ({ ...thumbnailOf(config, scene), mark: correctness?.[scene[2]] });
    const uploads = config.uploads.map(([id, place]) => ({ value: id, label: id, sheet: `upload${place}`, place: 0 }));
    this.scenes.fill([...uploads, ...shown.map(marked)]);
    this.plates.fill(usable.filter(([, , , lends]) => lends).map((scene) => thumbnailOf(config, scene)));
    this.scenes.select(this.state.scene);
  }

  /**
   * Shows a kind of background and chooses the first of it. Where there is none yet, the background stays until one is
   * uploaded.
   *
   * @this {ExplorerView}
   * @param {BackgroundKind} kind
   */
  pickKind(kind) {
    const first = firstBackground(kind, this.config, this.state.scene);
    this.showKind(kind);
    if (first && kindOf(this.state.background) !== kind) this.choose({ background: first });
  }

  /** @param {BackgroundKind} kind */
  showKind(kind) {
    const { config } = this;
    for (const radio of this.kinds) {
      const isChosen = radio.dataset.kind === kind;
      radio.setAttribute("aria-checked", String(isChosen));
      radio.tabIndex = isChosen ? 0 : -1;
    }
    const asks = kind === "image" && !config.backgrounds.length;
    const chips = chipsOf(kind, config, this.state.scene);
    this.plates.element.hidden = kind !== "scene";
    this.chips.element.hidden = asks || !chips;
    this.colour.hidden = kind !== "colour";
    this.upload.hidden = kind !== "image";
    this.hint.hidden = !asks && kind !== "own";
    this.hint.textContent = asks
      ? "Upload a picture to use as the background. Until then the background stays as it is."
      : "The object stands where it was photographed.";
    if (chips) this.chips.fill(chips);
    this.showChosen();
  }

  showChosen() {
    const { background, scene, target, model } = this.state;
    this.scenes.select(scene);
    this.chips.select(background);
    this.plates.select(background.startsWith("scene:") ? background.slice(6) : null);
    this.setSliders(/** @type {Setting[]} */ (Object.keys(this.sliders)));
    this.target.value = target;
    this.modelPick.value = String(model);
    const upload = this.config.uploads.find(([id]) => id === scene);
    this.uploadLabel.hidden = !upload;
    if (upload) this.uploadLabel.value = String(upload[2]);
    this.showScale();
  }

  /** @param {Setting[]} names */
  setSliders(names) {
    for (const name of names) this.sliders[name]?.set(Number(this.state[name]));
  }

  get overlay() {
    return this.stage.mode === "move" ? this.state.saliency_opacity : 0;
  }

  // Without an overlay its scale is invisible, but keeps its place.
  showScale() {
    this.scale.style.visibility = this.state.saliency_opacity ? "" : "hidden";
  }

  /**
   * A final choice, which the kernel's traits take over as well.
   *
   * @this {ExplorerView}
   * @param {Partial<State>} changes
   */
  choose(changes) {
    this.change(changes);
    this.settle(/** @type {Setting[]} */ (Object.keys(changes)));
  }

  /**
   * @this {ExplorerView}
   * @param {Partial<State>} changes
   */
  change(changes) {
    const before = this.state;
    this.state = { ...before, ...changes };
    const names = /** @type {Setting[]} */ (Object.keys(changes));
    // a dragged slider must change nothing else in the page
    this.setSliders(names);
    const kind = kindOf(this.state.background);
    if (changes.background || (kind === "texture" && changes.scene)) this.showKind(kind);
    else if (["scene", "target", "model"].some((name) => name in changes)) this.showChosen();
    this.showScale();
    this.capture.follow(this.state);
    const isElsewhere = before.scene !== this.state.scene || before.background !== this.state.background;
    if (isElsewhere) this.needLayers();
    else this.draw();
    if (before.scene !== this.state.scene) this.useMode("move");
    if (names.some((name) => name !== "saliency_opacity") && !isElsewhere) this.inspect();
  }

  /** @param {Setting[]} names */
  settle(names) {
    for (const name of names) this.model.set(name, this.state[name]);
    this.model.save_changes();
  }

  /**
   * Takes over a trait that code in a cell or another view has set.
   *
   * @this {ExplorerView}
   * @param {Setting} name
   */
  follow(name) {
    const value = this.model.get(name);
    if (this.state[name] !== value) this.change({ [name]: value });
  }

  /**
   * @this {ExplorerView}
   * @param {Movement} movement
   */
  move(movement) {
    this.change(movedBy(this.state, movement, this.config.sliders));
  }

  /**
   * @this {ExplorerView}
   * @param {Tool} mode
   */
  useMode(mode) {
    for (const each of this.modes) each.setAttribute("aria-pressed", String(each.dataset.mode === mode));
    this.brushControls.hidden = mode !== "brush";
    this.useStage(mode);
    this.draw();
  }

  /**
   * @this {ExplorerView}
   * @param {Tool | "show"} mode
   */
  useStage(mode) {
    this.stage.use(mode, mode === "brush" && this.composer ? this.composer.mask : null);
  }
}
