// Thumbnails to choose from: a row, which opens into a grid where there are many, with a search field.

import { button, make, QUIET, write } from "./controls.js";
import { SheetLoader } from "./sheet_loader.js";
import { GAP_PX } from "./tile_places.js";
import { FEW, Tiles } from "./tiles.js";

/** @import { Press } from "./tiles.js" */
/** @import { Bytes } from "./view.js" */

/**
 * @typedef {object} StripItem A thumbnail, which has a sheet and its place there, or a chip, which has a text or colour
 * @property {string} value
 * @property {string} label
 * @property {string} [sheet]
 * @property {number} [place]
 * @property {string | null} [mark] "correct" or "incorrect"
 * @property {string} [text]
 * @property {string} [colour]
 * @property {string} [kind] Suffix of its CSS class, where that is neither "thumb" nor "chip"
 */

const GRID_PX = { least: 220, most: 490 };

/**
 * The items that have all words of a search in their label.
 *
 * @template {{ words: string }} Item
 * @param {Item[]} items With the words of the label in lower case
 * @param {string} search
 */
export const matching = (items, search) => {
  const words = search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word);
  return words.length ? items.filter((item) => words.every((word) => item.words.includes(word))) : items;
};

/** @param {number} n */
export const counted = (n) => n.toLocaleString("en");

// A row of thumbnails or chips to choose from, with the mouse or arrow keys. Where there are more than a few dozen, it has
// a search field and opens into a grid that lies over what is below it, so that nothing in the page moves.
export class Strip {
  /** Pixels that the open grid may be high. */
  room = 0;

  /**
   * @param {object} given
   * @param {string} given.label
   * @param {number} given.side Side of a thumbnail in pixels
   * @param {number} given.perRow Thumbnails in a row of a sheet
   * @param {(sheet: string) => void} given.needSheet Requests a sheet, which `showSheet` takes
   * @param {(value: string) => void} given.choose
   */
  constructor({ label, side, perRow, needSheet, choose }) {
    this.choose = choose;
    /** @type {(StripItem & { words: string })[]} */
    this.all = [];
    this.found = this.all;
    this.emptyText = "";
    this.loader = new SheetLoader(needSheet);
    /** @type {(tiles: Tiles, sheets: Set<string>) => void} */
    const seen = (tiles, sheets) => this.see(tiles, sheets);
    const shared = { side, perRow, sheets: this.loader, seen };
    this.row = new Tiles({
      ...shared,
      label,
      isGrid: false,
      press: (value) => {
        if (value !== null) this.choose(value);
      },
    });
    this.grid = new Tiles({
      ...shared,
      label: `${label}, all`,
      isGrid: true,
      press: (value, how) => this.pressInGrid(value, how),
    });
    this.search = make("input", {
      type: "search",
      class: "bglab-search-field",
      placeholder: "Search…",
      "aria-label": `Search ${label.toLowerCase()}`,
      title: "Words of the name or class",
      spellcheck: "false",
      autocomplete: "off",
      ...QUIET,
      oninput: () => this.look(),
      onkeydown: (event) => this.onSearchKey(event),
    });
    this.count = make("span", { class: "bglab-note", role: "status" });
    this.opener = button("Grid ▾", () => (this.isOpen ? this.shut() : this.open()), {
      "aria-haspopup": "listbox",
      "aria-expanded": "false",
      title: "Show all of them",
    });
    this.finder = make(
      "div",
      { class: "bglab-finder", hidden: true },
      this.search,
      make("div", {}, this.opener, this.count),
    );
    this.panel = make("div", { class: "bglab-grid-panel", hidden: true }, this.grid.element);
    this.element = make("div", { class: "bglab-chooser" }, this.finder, this.row.element, this.panel);
    /** @param {Event} event */
    this.outside = (event) => {
      if (!this.element.contains(/** @type {Node} */ (event.target))) this.shut();
    };
  }

  get chosen() {
    return this.row.chosen;
  }

  get isOpen() {
    return !this.panel.hidden;
  }

  /**
   * @param {StripItem[]} items
   * @param {string} emptyText What is shown where a search finds none
   */
  fill(items, emptyText = "No such images") {
    this.all = items.map((item) => ({ ...item, words: item.label.toLowerCase() }));
    this.emptyText = emptyText;
    if (items.length > FEW) this.finder.hidden = false; // and stays, since a filter must not move the row
    this.filter();
    this.row.select(this.chosen, false);
  }

  // Shows the items that have all words of the search field in their name or class.
  filter() {
    const found = matching(this.all, this.search.value);
    const all = counted(this.all.length);
    write(this.count, this.search.value.trim() ? `${counted(found.length)} of ${all}` : all);
    this.row.fill(found, this.emptyText);
    this.found = found;
    if (this.isOpen) this.fillGrid();
  }

  // The grid is as high as its rows need, within what there is room for.
  fillGrid() {
    const { grid, found } = this;
    grid.element.style.height = `${Math.min(this.room, Math.max(1, Math.ceil(found.length / grid.columns)) * grid.pitch + 2 * GAP_PX)}px`;
    grid.fill(found, this.emptyText);
  }

  look() {
    this.filter();
    this.row.element.scrollLeft = this.grid.element.scrollTop = 0;
  }

  /** @param {KeyboardEvent} event */
  onSearchKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === "ArrowDown") this.open();
    else if (event.key === "Escape" && this.isOpen) this.shut();
    else if (event.key === "Escape") {
      this.search.value = "";
      this.look();
    } else return event.stopPropagation();
    event.preventDefault();
    event.stopPropagation();
  }

  open() {
    const around = (this.element.closest(".bglab-explorer") ?? this.element).getBoundingClientRect();
    const rest = around.bottom - this.element.getBoundingClientRect().bottom - 12;
    this.room = Math.min(Math.max(rest, GRID_PX.least), GRID_PX.most);
    this.panel.hidden = false;
    this.opener.setAttribute("aria-expanded", "true");
    this.fillGrid();
    this.grid.select(this.chosen, false);
    if (this.grid.items.length) this.grid.focus(this.grid.active);
    document.addEventListener("pointerdown", this.outside, true);
  }

  shut() {
    const hadFocus = this.panel.contains(document.activeElement);
    this.panel.hidden = true;
    this.grid.fill([], "");
    this.opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", this.outside, true);
    if (hadFocus) this.opener.focus({ preventScroll: true });
  }

  /** @type {Press} */
  pressInGrid(value, how) {
    if (how === "move") return;
    this.shut();
    if (value !== null) this.choose(value);
  }

  /**
   * @param {Tiles} tiles
   * @param {Set<string>} sheets
   */
  see(tiles, sheets) {
    tiles.wanted = sheets;
    // the grid lies over what else may be visible, so its thumbnails come first
    this.loader.want(new Set([...(this.isOpen ? this.grid.wanted : []), ...this.row.wanted]));
  }

  /**
   * @param {string} sheet
   * @param {Bytes} bytes JPEG
   */
  showSheet(sheet, bytes) {
    this.loader.take(sheet, bytes);
    for (const tiles of [this.row, this.grid]) tiles.repaint();
  }

  /**
   * Has a sheet requested again, since its image has changed.
   *
   * @param {string} sheet
   */
  forget(sheet) {
    this.loader.forget(sheet);
  }

  /**
   * @param {string | null} value
   * @param {boolean} scroll Whether the row scrolls to it
   */
  select(value, scroll = true) {
    this.row.select(value, scroll);
    if (this.isOpen) this.grid.select(value, false);
  }

  close() {
    document.removeEventListener("pointerdown", this.outside, true);
    for (const tiles of [this.row, this.grid]) tiles.close();
    this.loader.close();
  }
}
