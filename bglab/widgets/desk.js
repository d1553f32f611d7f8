// The desk's front end: the list of tables and figures, one of them in detail, and the run that makes them.

import { button, codeBlock, copied, download, make, QUIET, select, write } from "./controls.js";
import { DeskChoices } from "./desk_choices.js";
import { stepText } from "./desk_list.js";
import { chipOf, headedTables, outcomeLine, remarksOf } from "./desk_tables.js";
import { thumbnailOf } from "./greeting.js";
import { Strip } from "./strip.js";
import { widgetOf } from "./view.js";

/** @import { DeskGreeting, Readiness, Status } from "./desk_choices.js" */
/** @import { Step } from "./desk_list.js" */
/** @import { Artefact } from "./desk_tables.js" */
/** @import { Greeting, Pictured } from "./greeting.js" */
/** @import { Bytes, Reply } from "./view.js" */

/** @typedef {Pick<Greeting, "class_names" | "thumb" | "per_sheet" | "per_row"> & { scenes: Pictured[] }} DeskImages */

/** Steps of a run that are shown, the latest ones. */
const SHOWN_STEPS = 6;

/** @param {Step} step */
const stepRow = (step) =>
  make(
    "div",
    { class: "bglab-desk-step" },
    make("span", { title: step.title }, step.title),
    make("progress", { max: step.total ?? 1, value: step.total ? step.done : null, "aria-label": step.title }),
    make("span", { class: "bglab-note" }, stepText(step)),
  );

class DeskView extends DeskChoices {
  /** URLs of figures. @type {string[]} */
  urls = [];
  /** Id of the one that is in view, which is the chosen one once the kernel has replied. */
  viewed = "";
  follows = false;
  /** Formats that are not exported. @type {Set<string>} */
  dropped = new Set();
  /** Width of the next export. @type {string | undefined} */
  width;
  /** Venue of the next export. @type {string | undefined} */
  venue;
  /** The test images. @type {Strip | null} */
  strip = null;
  images = make("div", { class: "bglab-desk-images" });
  data = make("div", { class: "bglab-note", role: "status" });
  detail = make("div");
  lacking = make("div", { class: "bglab-desk-state" });
  go = button("Run", () => this.run([this.viewed]), { class: "bglab-button bglab-go" });
  code = codeBlock("Code that makes the same");
  making = make("h3");
  // stays while a run goes on, since a press that begins on one button and ends on its successor is none
  stop = button("Stop", () => this.stopRun(), { title: "What is done stays stored; Resume goes on from there" });
  steps = make("div");
  progress = make(
    "div",
    { class: "bglab-desk-progress", hidden: true },
    make("div", { class: "bglab-row" }, this.making, make("span", { class: "bglab-space" }), this.stop),
    this.steps,
  );

  /**
   * What all views are told about a run may come before this one's greeting, which holds the same.
   *
   * @param {Reply} reply
   * @param {(ArrayBufferView<ArrayBuffer> | ArrayBuffer)[]} buffers
   */
  receive(reply, buffers) {
    if (this.config || ["hello", "pong", "error"].includes(reply.type)) super.receive(reply, buffers);
  }

  // ---- building

  /** @param {DeskGreeting} config */
  on_hello(config) {
    this.config = config;
    this.chosen = config.state.artefact;
    this.states = {};
    this.strip?.close();
    this.strip = null;
    for (const part of [this.detail, this.images, this.status]) part.replaceChildren();
    this.progress.hidden = true;
    this.data.textContent = "Opening the scenes…";
    this.words.value = this.wanted.value = "";
    this.root.replaceChildren(this.arrange());
    this.fill();
    this.send({ type: "select", id: this.chosen });
    this.send({ type: "states" });
    if (!this.follows) this.listen("change:artefact", () => this.pick(String(this.model.get("artefact")), true));
    this.follows = true;
  }

  arrange() {
    const detail = { class: "bglab-desk-detail", "aria-label": "The chosen table or figure" };
    return make(
      "div",
      { class: "bglab-explorer bglab-desk" },
      this.settingsRow(),
      this.data,
      this.error,
      make("div", { class: "bglab-desk-main" }, this.side(), make("section", detail, this.detail, this.progress)),
      make("div", { class: "bglab-row bglab-foot" }, this.status),
    );
  }

  /** @param {{ states: Record<string, Readiness>, data: string }} message */
  on_states({ states, data }) {
    this.states = states;
    write(this.data, `${data} · results in ${this.config.settings.out}`);
    this.fill();
    this.showState();
  }

  /** @param {{ statuses: Record<string, Status> }} message */
  on_statuses({ statuses }) {
    this.statuses = statuses;
    this.fill();
    this.showState();
    this.root.dataset.statuses = JSON.stringify(statuses);
  }

  // ---- one artefact

  /**
   * @param {Artefact} artefact
   * @param {Bytes[]} buffers
   */
  on_artefact(artefact, [picture]) {
    const { id, place, title, paper, about, status, n, predictions, tables, notes, contradictions } = artefact;
    if (id !== this.chosen) return;
    this.viewed = id;
    this.code.hidden = true;
    this.dropUrls();
    const code = button("Copy code", () => this.send({ type: "code", id }), {
      title: "The cell, and the command, that make the same",
    });
    const images = button("Test images", () => this.showImages(), {
      title: "The test images; each opens in the explorer",
    });
    const behind = button("Images behind it", () => this.browse(id), {
      disabled: predictions === null,
      hidden: predictions === 0,
      title: predictions
        ? `The ${predictions.toLocaleString("en")} predictions that it was made from, as images`
        : "The predictions that it is made from, as images; run it first",
    });
    /** @type {(Node | null)[]} */
    const parts = [
      make("h2", {}, `${place}: ${title}`),
      make("div", { class: "bglab-note" }, `${paper} · ${id}`),
      make("p", {}, about),
      this.lacking,
      make("div", { class: "bglab-row" }, this.go, code, behind, images),
      this.code,
      outcomeLine(artefact),
      picture ? this.figureOf(picture, title) : null,
      ...headedTables(tables),
      ...remarksOf("Notes", notes),
      ...remarksOf("Contradictions within the paper", contradictions),
      this.exportRow(artefact),
      this.images,
    ];
    this.detail.replaceChildren(...parts.filter((part) => part !== null));
    this.root.dataset.shown = JSON.stringify({ id, status, n });
    this.showState();
  }

  /**
   * @param {Bytes} png
   * @param {string} title
   */
  figureOf(png, title) {
    const url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    this.urls.push(url);
    return make("img", { class: "bglab-desk-figure", src: url, alt: `Our figure: ${title}` });
  }

  /** @param {Pick<Artefact, "id" | "status">} artefact */
  exportRow({ id, status }) {
    const { venues, widths, formats, state } = this.config;
    const venue = select(
      "Venue",
      venues.map((name) => [name, name]),
      (chosen) => {
        this.venue = chosen;
      },
    );
    venue.value = this.venue ??= state.venue;
    const width = select(
      "Width",
      widths.map((name) => [name, `${name} width`]),
      (chosen) => {
        this.width = chosen;
      },
    );
    width.value = this.width ??= widths[0];
    const boxes = formats.map((name) => {
      const change = () => (box.checked ? this.dropped.delete(name) : this.dropped.add(name));
      const box = make("input", { type: "checkbox", name, ...QUIET, onchange: change });
      box.checked = !this.dropped.has(name);
      return make("label", { class: "bglab-desk-format" }, box, name.toUpperCase());
    });
    const press = () => {
      this.status.textContent = "Exporting…";
      const chosen = formats.filter((name) => !this.dropped.has(name));
      this.send({ type: "export", id, venue: venue.value, width: width.value, formats: chosen });
    };
    const exporter = button("Export", press, {
      disabled: !status || status === "stopped",
      title: "Make it at the venue's width, from stored results, and save the files",
    });
    const heading = make("h3", {}, "Export");
    return make("div", { class: "bglab-row bglab-desk-export" }, heading, venue, width, ...boxes, exporter);
  }

  // Whether the chosen artefact can be run, is running, or goes on.
  showState() {
    const { state, reason, command } = this.states[this.chosen] ?? { state: "", reason: "", command: "" };
    const now = this.stateOf(this.chosen);
    const isBegun = now === "stopped" || now === "done";
    this.lacking.replaceChildren();
    if (state && state !== "ready" && now !== "done") {
      this.lacking.append(chipOf(state, state), ` ${reason}`, command ? make("code", {}, command) : "");
    }
    this.go.textContent = now === "stopped" ? "Resume" : now === "done" ? "Run again" : "Run";
    this.go.disabled = Boolean(this.running) || (state !== "ready" && !isBegun);
    this.runAll.disabled = Boolean(this.running);
  }

  // ---- a run

  /** @param {{ id: string, running: boolean, steps: Step[] }} message */
  on_progress({ id, running, steps }) {
    const { running: before } = this;
    this.running = running ? id : "";
    this.progress.hidden = !running;
    if (!before) this.stop.textContent = "Stop";
    if (running) this.showSteps(id, steps);
    else if (before) this.send({ type: "idle" });
    this.mark();
    this.showState();
    this.root.dataset.progress = JSON.stringify({ id, running, steps });
  }

  /**
   * @param {string} id
   * @param {Step[]} steps
   */
  showSteps(id, steps) {
    const listed = this.config.artefacts.find((each) => each.id === id);
    const earlier = steps.length - SHOWN_STEPS;
    const note = earlier > 0 ? `${earlier} more steps done` : steps.length ? "" : "Opening data and networks…";
    write(this.making, `Making ${listed?.place ?? id}`);
    this.steps.replaceChildren(
      ...(note ? [make("div", { class: "bglab-note" }, note)] : []),
      ...steps.slice(-SHOWN_STEPS).map(stepRow),
    );
  }

  stopRun() {
    this.stop.textContent = "Stopping…";
    this.send({ type: "stop" });
  }

  on_stopping() {
    this.status.textContent = "Stopping; what is done stays stored";
  }

  // ---- files, code, images

  /**
   * @param {{ folder: string, files: string[], mimes: string[] }} message
   * @param {Bytes[]} contents
   */
  on_files({ folder, files, mimes }, contents) {
    write(this.status, `Saved ${files.join(", ")} in ${folder}`);
    for (const [i, name] of files.entries()) download(name, mimes[i], contents[i]);
    this.root.dataset.files = JSON.stringify(files);
  }

  /** @param {{ code: string }} message */
  async on_code({ code }) {
    this.code.textContent = code;
    this.code.hidden = false;
    const isCopied = await copied(code);
    this.status.textContent = isCopied ? "Code copied; paste it into a cell" : "Copy the code above into a cell";
  }

  /** @param {string} id */
  browse(id) {
    this.status.textContent = "Opening the predictions…";
    this.send({ type: "browse", id });
  }

  on_browsed() {
    this.status.textContent = "The predictions are below";
  }

  showImages() {
    this.status.textContent = "Opening images…";
    this.send({ type: "images" });
  }

  /** @param {DeskImages} message */
  on_images(message) {
    this.status.textContent = "";
    this.strip?.close();
    const strip = new Strip({
      label: "Test images",
      side: message.thumb,
      perRow: message.per_row,
      needSheet: (sheet) => this.send({ type: "thumbs", sheet }),
      choose: (scene) => {
        strip.select(scene);
        this.status.textContent = `Opening ${scene} in the explorer below…`;
        this.send({ type: "open", state: { scene } });
      },
    });
    this.strip = strip;
    const heading = make("h3", {}, "Test images: click one to open it in the explorer");
    this.images.replaceChildren(heading, strip.element);
    strip.fill(message.scenes.map((scene) => thumbnailOf(message, scene)));
  }

  /**
   * @param {{ sheet: string }} message
   * @param {Bytes[]} buffers
   */
  on_thumbs({ sheet }, [bytes]) {
    this.strip?.showSheet(sheet, bytes);
  }

  on_opened() {
    this.status.textContent = "Opened in the explorer below";
  }

  /** @param {{ text: string, seq?: number | null }} message */
  on_error(message) {
    this.status.textContent = "";
    super.on_error(message);
  }

  dropUrls() {
    for (const url of this.urls.splice(0)) URL.revokeObjectURL(url);
  }

  close() {
    super.close();
    this.strip?.close();
    this.dropUrls();
  }
}

export default widgetOf(DeskView);
