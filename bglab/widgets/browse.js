// The browser of predictions: a grid of all rows that a filter selects, and the number that it is about. The kernel filters
// and computes; the page has the columns of all rows, and makes a tile of a row when it comes into view.

import { BrowseLayout } from "./browse_layout.js";
import { heatOf } from "./canvases.js";
import { codeBlock, copied, download, write } from "./controls.js";
import { Pump } from "./pump.js";
import { widgetOf } from "./view.js";

// The snapshot for the saved notebook is drawn when nobody seems to be filtering.
const SETTLED_MS = 2500;
// Height of the grid; the matrix beside it needs the least.
const HEIGHT_PX = { least: 310, most: 412 };
const STOPPED_MS = 80;
// Tiles that are kept ready beyond those in view.
const ITEMS_KEPT = 4000;

/** @import { BrowseGreeting, Filter, RowsMessage, ShownRow } from "./browse_layout.js" */
/** @import { StripItem } from "./strip.js" */
/** @import { Bytes, Model } from "./view.js" */

export class BrowseView extends BrowseLayout {
  /** Selected rows, in order. @type {Uint32Array} */
  order = new Uint32Array(0);
  /** Number of the selection that is shown. */
  version = 0;
  /** Items that have been made, by their places. @type {Map<number, StripItem>} */
  made = new Map();
  /** What the page knows of every row, by name. @type {Record<string, Int32Array | Float32Array>} */
  columns = {};
  /** Rows by their positions in the table of predictions. @type {Map<number, number>} */
  places = new Map();
  /** Row that is shown in detail. @type {number | null} */
  place = null;
  filling = 0;
  idling = 0;
  following = 0;
  seeing = 0;
  /** How far the grid was scrolled. */
  scrolled = 0;
  /** @type {HTMLPreElement | undefined} */
  code;

  /**
   * @param {Model} model
   * @param {HTMLElement} root
   */
  constructor(model, root) {
    super(model, root);
    /** @type {Pump<Filter>} */
    this.pump = new Pump({
      number: () => ++this.seq,
      send: (seq, state) => this.send({ type: "filter", seq, state }),
    });
  }

  /**
   * @param {BrowseGreeting} config
   * @param {Bytes[]} buffers
   */
  on_hello(config, buffers) {
    this.config = config;
    this.table = Uint8Array.from(config.colour_map);
    // buffers start anywhere, and typed arrays at whole numbers of theirs
    this.columns = Object.fromEntries(
      config.names.map((name, i) => [
        name.slice(2),
        new (name[0] === "f" ? Float32Array : Int32Array)(buffers[i].slice().buffer),
      ]),
    );
    const { row, ...state } = config.state;
    this.state = state;
    this.classNames = [...config.classes, config.outside];
    this.places = new Map([...this.columns.row].map((position, place) => [position, place]));
    this.build();
    this.showState();
    this.ask();
    for (const name of Object.keys(state)) this.listen(`change:${name}`, () => this.followLater());
    this.listen("change:row", () => this.followRow());
    if (row >= 0) this.open(this.places.get(row));
  }

  // ---- filters

  // What a control changes. Traits follow, so that code sees what is shown.
  /** @param {Partial<Filter>} changes */
  change(changes) {
    const next = { ...this.state, ...changes };
    if (!next.compared_with && this.config.flips.includes(next.outcome)) next.outcome = "";
    this.take(next);
    for (const [name, value] of Object.entries(next)) this.model.set(name, value);
    this.model.save_changes();
  }

  /** @param {Filter} next */
  take(next) {
    this.state = next;
    this.showState();
    this.ask();
  }

  // Code sets several traits one after the other; what they are together is asked for once.
  followLater() {
    clearTimeout(this.following);
    this.following = setTimeout(() => {
      const names = Object.keys(this.state);
      const next = /** @type {Filter} */ (Object.fromEntries(names.map((name) => [name, this.model.get(name)])));
      if (JSON.stringify(next) !== JSON.stringify(this.state)) this.take(next);
    });
  }

  followRow() {
    const place = this.places.get(/** @type {number} */ (this.model.get("row"))) ?? null;
    if (place !== this.place) this.open(place);
  }

  ask() {
    this.pump.push(this.state);
  }

  /**
   * @param {RowsMessage} message
   * @param {Bytes[]} buffers
   */
  on_rows(message, [order]) {
    this.pump.landed(message.seq);
    if (this.pump.waiting !== null) return; // a later one follows
    this.showNumber(message);
    this.matrix.show(message, message.state.true_class, message.state.predicted_class);
    this.order = new Uint32Array(order.slice().buffer);
    this.version = message.seq;
    this.root.dataset.answered = JSON.stringify({
      state: message.state,
      n: message.n,
      hits: message.hits,
      rows: this.order.length,
    });
    // the number is painted first
    cancelAnimationFrame(this.filling);
    this.filling = requestAnimationFrame(() => {
      this.filling = requestAnimationFrame(() => this.fill());
    });
    clearTimeout(this.idling);
    this.idling = setTimeout(() => this.send({ type: "idle" }), SETTLED_MS);
  }

  // ---- tiles

  fill() {
    this.loader.clear();
    this.made = new Map();
    const { order } = this;
    this.tiles.element.scrollTop = 0;
    const rows = Math.ceil(order.length / this.tiles.columns);
    this.tiles.element.style.height = `${Math.min(HEIGHT_PX.most, Math.max(HEIGHT_PX.least, rows * this.tiles.pitch + 6))}px`;
    this.tiles.fill(
      { length: order.length, at: (at) => this.item(at), placeOf: (value) => this.placeOf(value) },
      "No such rows. Reset the filters, or widen them.",
    );
    this.tiles.select(this.place === null ? null : String(this.place), false);
    this.root.dataset.filled = String(this.version);
  }

  /** @param {string | null} value */
  placeOf(value) {
    const at = value === null ? -1 : this.order.indexOf(Number(value));
    return at < 0 ? undefined : at;
  }

  /** @param {number} at */
  item(at) {
    let made = this.made.get(at);
    if (!made) {
      if (this.made.size > ITEMS_KEPT) this.made.clear();
      made = this.makeItem(at);
      this.made.set(at, made);
    }
    return made;
  }

  /** @param {number} at @returns {StripItem} */
  makeItem(at) {
    const { columns, config } = this,
      row = this.order[at];
    const scene = config.values.scene[columns.scene[row]];
    const predicted = this.classNames.at(columns.answer[row]);
    const label = this.describe(row);
    const mark = columns.correct[row] ? "correct" : "incorrect";
    if (columns.missing[row] >= 0)
      return { value: String(row), label, mark, kind: "cell", text: `${scene}\n${predicted}` };
    return {
      value: String(row),
      label,
      mark,
      sheet: `${this.version}/${Math.floor(at / config.per_sheet)}`,
      place: at % config.per_sheet,
    };
  }

  /** @param {number} row */
  describe(row) {
    const { columns, config } = this;
    const confidence = columns.confidence[row];
    const model = config.values.model.length > 1 ? `${config.values.model[columns.model[row]]}, ` : "";
    const sure = Number.isNaN(confidence) ? "" : `, confidence ${Math.round(100 * confidence)} %`;
    return `${config.values.scene[columns.scene[row]]} · ${config.titles[columns.variant[row]]} · ${model}true ${config.classes[columns.truth[row]]}, predicted ${this.classNames.at(columns.answer[row])}${sure}`;
  }

  /**
   * Requests the sheets in view; while they rush past, the processor's time is the scrolling's.
   *
   * @param {Set<string>} sheets
   */
  see(sheets) {
    const { tiles } = this,
      top = tiles.element.scrollTop;
    const isFast = Math.abs(top - this.scrolled) > tiles.pitch / 2;
    this.scrolled = top;
    clearTimeout(this.seeing);
    if (isFast) this.seeing = setTimeout(() => this.see(sheets), STOPPED_MS);
    else this.loader.want(sheets);
  }

  /** @param {string} sheet */
  needSheet(sheet) {
    const first = Number(sheet.split("/")[1]) * this.config.per_sheet;
    this.send({ type: "thumbs", sheet, rows: [...this.order.slice(first, first + this.config.per_sheet)] });
  }

  /**
   * @param {{ sheet: string, failed: [row: number, reason: number][], reasons?: string[] }} message
   * @param {Bytes[]} buffers
   */
  on_thumbs({ sheet, failed, reasons }, [bytes]) {
    if (reasons) this.config.reasons = reasons;
    const isOld = sheet.split("/")[0] !== String(this.version);
    const news = failed.filter(([row]) => this.columns.missing[row] < 0);
    for (const [row, reason] of news) this.columns.missing[row] = reason;
    if (isOld) return;
    this.loader.take(sheet, bytes);
    if (news.length) {
      this.made.clear();
      const top = this.tiles.element.scrollTop;
      this.tiles.fill(this.tiles.items, "");
      this.tiles.element.scrollTop = top;
      write(this.failed, `${news.length} more could not be rendered: ${this.config.reasons.at(-1)}`);
    }
    this.tiles.repaint();
  }

  // ---- one row in detail

  /** @type {import("./tiles.js").Press} */
  press(value, how) {
    if (how === "move") return;
    this.open(value === null ? null : Number(value));
    this.model.set("row", this.place === null ? -1 : this.columns.row[this.place]);
    this.model.save_changes();
  }

  /** @param {number | null | undefined} place */
  open(place) {
    this.place = place ?? null;
    this.tiles.select(this.place === null ? null : String(place), false);
    this.detail.element.hidden = this.place === null;
    if (place == null) return;
    this.detail.wait(this.describe(place));
    this.send({ type: "show", place, compared_with: this.state.compared_with });
  }

  /**
   * @param {ShownRow} message
   * @param {Bytes[]} buffers
   */
  async on_shown(message, buffers) {
    if (message.place !== this.place) return;
    const map = buffers.at(-1);
    const heat = heatOf(map, message.map, this.config.size, this.table);
    await this.detail.show(message, buffers.slice(0, -1), heat);
    this.root.dataset.shown = JSON.stringify({ place: message.place, scene: message.scene });
  }

  openInExplorer() {
    this.status.textContent = "Opening…";
    this.send({ type: "open", place: this.place });
  }

  /** @param {{ note: string }} message */
  on_opened({ note }) {
    this.status.textContent = `Opened in the explorer below. ${note}`.trim();
  }

  // ---- exports

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
    this.code ??= codeBlock("Code that selects these rows");
    this.code.textContent = code;
    this.status.parentElement?.after(this.code);
    this.status.textContent = (await copied(code))
      ? "Code copied; paste it into a cell"
      : "Copy the code below into a cell";
  }

  /** @param {{ text: string, seq?: number | null }} message */
  on_error(message) {
    this.pump.landed(message.seq);
    this.status.textContent = "";
    super.on_error(message);
  }

  close() {
    super.close();
    this.pump.close();
    cancelAnimationFrame(this.filling);
    clearTimeout(this.idling);
    clearTimeout(this.following);
    clearTimeout(this.seeing);
    this.tiles?.close();
    this.loader?.clear();
  }
}

export default widgetOf(BrowseView);
