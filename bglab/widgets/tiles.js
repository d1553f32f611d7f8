// A list box of tiles in one row or in a grid. Of many tiles only those that are visible are in the page.

import { make, QUIET } from "./controls.js";
import { columnsIn, GAP_PX, placeByKey, visibleTiles } from "./tile_places.js";

/** @import { SheetLoader } from "./sheet_loader.js" */
/** @import { StripItem } from "./strip.js" */
/** @import { Arrangement } from "./tile_places.js" */

/** @typedef {HTMLDivElement & { place: number, url?: string }} Tile Knows its place, and the URL of the sheet that it shows */
/** @typedef {(value: string | null, how: "click" | "enter" | "move" | "escape") => void} Press Takes the value of a tile; null for none */

/**
 * Items by their places. Thousands need not be made before they are shown.
 *
 * @typedef {object} Items
 * @property {number} length
 * @property {(place: number) => StripItem} at
 * @property {(value: string | null) => number | undefined} placeOf
 */

/**
 * @param {StripItem[]} items
 * @returns {Items}
 */
export const listed = (items) => {
  const places = new Map(items.map(({ value }, i) => [value, i]));
  return {
    length: items.length,
    at: (place) => items[place],
    placeOf: (value) => (value === null ? undefined : places.get(value)),
  };
};

// Up to so many tiles are all in the page, and need no search.
export const FEW = 48;

export class Tiles {
  /** Sheets that are visible. @type {Set<string>} */
  wanted = new Set();
  /** Whether there are too many for all to be in the page. */
  isVirtual = false;
  /** Requested animation frame. @type {number | null} */
  frame = null;

  /**
   * @param {object} given
   * @param {string} given.label
   * @param {boolean} given.isGrid
   * @param {number} given.side Side of a thumbnail in pixels
   * @param {number} given.perRow Thumbnails in a row of a sheet
   * @param {SheetLoader} given.sheets
   * @param {(tiles: Tiles, sheets: Set<string>) => void} given.seen Takes the sheets that are visible
   * @param {Press} given.press
   */
  constructor({ label, isGrid, side, perRow, sheets, seen, press }) {
    this.isGrid = isGrid;
    this.side = side;
    this.perRow = perRow;
    this.sheets = sheets;
    this.seen = seen;
    this.pitch = side + GAP_PX;
    this.items = listed([]);
    /** Tiles by their places. @type {Map<number, Tile>} */
    this.inPage = new Map();
    /** @type {string | null} */
    this.chosen = null;
    this.active = 0;
    this.inside = make("div", { class: "bglab-tiles", role: "presentation" });
    this.element = make("div", {
      class: isGrid ? "bglab-grid" : "bglab-strip",
      role: "listbox",
      "aria-label": label,
      "aria-orientation": isGrid ? null : "horizontal",
    });
    this.element.addEventListener("keydown", (event) => this.onKey(event, press));
    this.element.addEventListener("click", (event) => {
      /** @type {HTMLElement | null} */
      const tile = /** @type {Element} */ (event.target).closest("[role=option]");
      if (tile) press(tile.dataset.value ?? null, "click");
    });
    this.element.addEventListener(
      "scroll",
      () => {
        this.frame ??= requestAnimationFrame(() => this.layOut());
      },
      { passive: true },
    );
    this.resized = new ResizeObserver(() => this.layOut());
    this.resized.observe(this.element);
  }

  /**
   * @param {StripItem[] | Items} items
   * @param {string} emptyText What is shown where there are none
   */
  fill(items, emptyText) {
    this.items = Array.isArray(items) ? listed(items) : items;
    this.inPage.clear();
    this.isVirtual = items.length > FEW;
    this.inside.replaceChildren();
    this.active = Math.max(0, this.items.placeOf(this.chosen) ?? 0);
    if (!items.length) this.element.replaceChildren(make("span", { class: "bglab-note" }, emptyText));
    else if (this.isVirtual) this.element.replaceChildren(this.inside);
    else
      this.element.replaceChildren(...Array.from({ length: items.length }, (_, i) => this.tile(this.items.at(i), i)));
    this.layOut();
  }

  get columns() {
    return this.isGrid ? columnsIn(this.element.clientWidth, this.pitch) : Math.max(1, this.items.length);
  }

  /** @returns {Arrangement} */
  get arrangement() {
    return { isGrid: this.isGrid, columns: this.columns, pitch: this.pitch, count: this.items.length };
  }

  // Pixels of the visible part, in the direction in which it scrolls.
  get length() {
    return this.isGrid ? this.element.clientHeight : this.element.clientWidth;
  }

  layOut() {
    this.frame = null;
    const start = this.isGrid ? this.element.scrollTop : this.element.scrollLeft;
    const [from, to] = visibleTiles(this.arrangement, start, this.length);
    if (this.isVirtual) this.renew(from, to);
    this.repaint();
    /** @type {Set<string>} */
    const sheets = new Set();
    for (let i = from; i < to; i++) {
      const { sheet } = this.items.at(i);
      if (sheet) sheets.add(sheet);
    }
    this.seen(this, sheets);
  }

  /**
   * Puts the tiles of a range into the page, and takes others out except the one that can have the focus.
   *
   * @param {number} from
   * @param {number} to
   */
  renew(from, to) {
    const { columns, pitch, isGrid, inside } = this;
    Object.assign(
      inside.style,
      isGrid
        ? { height: `${Math.ceil(this.items.length / columns) * pitch - GAP_PX}px`, width: "100%" }
        : { width: `${this.items.length * pitch - GAP_PX}px`, height: `${this.side}px` },
    );
    const wanted = Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
    if (this.active < from) wanted.unshift(this.active);
    else if (this.active >= to && this.active < this.items.length) wanted.push(this.active);
    const keep = new Set(wanted);
    for (const [i, tile] of this.inPage) {
      if (keep.has(i)) continue;
      tile.remove();
      this.inPage.delete(i);
    }
    let next = inside.firstChild;
    for (const i of wanted) {
      const tile = this.inPage.get(i) ?? this.tile(this.items.at(i), i);
      tile.style.left = `${(i % columns) * pitch}px`;
      tile.style.top = `${isGrid ? Math.floor(i / columns) * pitch : 0}px`;
      if (tile === next) next = next.nextSibling;
      else inside.insertBefore(tile, next);
    }
  }

  /**
   * @param {StripItem} item
   * @param {number} i Its place
   */
  tile(item, i) {
    const isChosen = item.value === this.chosen;
    const element = make(
      "div",
      {
        role: "option",
        class: `bglab-${item.kind ?? (item.text || item.colour ? "chip" : "thumb")}`,
        title: item.label,
        "aria-label": item.label,
        "data-value": item.value,
        "aria-selected": String(isChosen),
        tabindex: i === this.active ? 0 : -1,
        "aria-posinset": i + 1,
        "aria-setsize": this.items.length,
        "data-mark": item.mark,
        ...QUIET,
      },
      item.text ?? null,
    );
    if (item.colour) element.style.background = item.colour;
    const tile = Object.assign(element, { place: i });
    this.inPage.set(i, tile);
    return tile;
  }

  repaint() {
    for (const [i, tile] of this.inPage) this.paint(this.items.at(i), tile);
  }

  /**
   * @param {StripItem} item
   * @param {Tile} tile
   */
  paint({ sheet, place = 0 }, tile) {
    const url = sheet && this.sheets.urls.get(sheet);
    if (!url || tile.url === url) return;
    tile.url = url;
    const left = (place % this.perRow) * this.side;
    const top = Math.floor(place / this.perRow) * this.side;
    tile.style.background = `url(${url}) ${-left}px ${-top}px`;
  }

  /**
   * @param {string | null} value
   * @param {boolean} scroll Whether to scroll to it
   */
  select(value, scroll) {
    if (value !== this.chosen) {
      this.tileOf(this.chosen)?.setAttribute("aria-selected", "false");
      this.chosen = value;
      this.tileOf(value)?.setAttribute("aria-selected", "true");
    }
    const at = this.items.placeOf(value);
    this.activate(at ?? 0);
    if (at !== undefined && scroll) this.reveal(at);
  }

  /** @param {string | null} value */
  tileOf(value) {
    return this.inPage.get(this.items.placeOf(value) ?? -1);
  }

  /**
   * The one tile that the tabulator key reaches, and that stays in the page wherever it is.
   *
   * @param {number} at
   */
  activate(at) {
    this.inPage.get(this.active)?.setAttribute("tabindex", "-1");
    this.active = at;
    this.inPage.get(at)?.setAttribute("tabindex", "0");
  }

  /**
   * Scrolls to a tile, and nothing else: `scrollIntoView` would scroll the notebook, too.
   *
   * @param {number} at
   */
  reveal(at) {
    const { element, pitch, side } = this;
    if (this.isGrid) {
      const top = Math.floor(at / this.columns) * pitch;
      const lowest = Math.max(element.scrollTop, top + side - element.clientHeight + 2 * GAP_PX);
      element.scrollTop = Math.min(lowest, Math.max(0, top - GAP_PX));
    } else if (this.isVirtual) element.scrollLeft = at * pitch + side / 2 - element.clientWidth / 2;
    else {
      const tile = this.inPage.get(at);
      if (tile)
        element.scrollLeft = tile.offsetLeft - element.offsetLeft + tile.offsetWidth / 2 - element.clientWidth / 2;
    }
  }

  /** @param {number} at */
  focus(at) {
    this.activate(at);
    this.reveal(at);
    this.layOut();
    this.inPage.get(at)?.focus({ preventScroll: true });
  }

  /**
   * @param {KeyboardEvent} event
   * @param {Press} press
   */
  onKey(event, press) {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter")) return;
    const tile = /** @type {Tile} */ (event.target);
    const to = placeByKey(this.arrangement, event.key, tile.place, this.length);
    if (event.key === "Enter" || event.key === " ") press(tile.dataset.value ?? null, "enter");
    else if (event.key === "Escape" && this.isGrid) press(null, "escape");
    else if (to === undefined) return;
    else if (to >= 0 && to < this.items.length) {
      this.focus(to);
      press(this.items.at(to).value, "move");
    }
    event.preventDefault();
    event.stopPropagation();
  }

  close() {
    if (this.frame !== null) cancelAnimationFrame(this.frame);
    this.resized.disconnect();
  }
}
