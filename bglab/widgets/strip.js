// Thumbnails to choose from: a row, which opens into a grid where there are many, with a search field.

import { button, make, QUIET, write } from "./controls.js";

// Up to so many thumbnails are all in the page, and need no search.
const FEW = 48;
const GAP_PX = 4;
// Thumbnails so far outside of the visible part are in the page, too.
const MARGIN_PX = 204;
const GRID_PX = { least: 220, most: 490 };
const SHEETS_AT_ONCE = 2;
// A request without a reply for so long does not hold up others.
const GIVE_UP_MS = 5000;
// Sheets that are kept: about twenty megabytes.
const SHEETS_KEPT = 200;

// Sheets of thumbnails, requested for what is visible. What is scrolled past before its turn is never requested.
class SheetLoader {
  constructor(need) {
    Object.assign(this, { need, urls: new Map(), asked: new Map(), wanted: [] });
  }

  // Takes the sheets that are visible now; those that have come into view last are requested first.
  want(sheets) {
    const earlier = this.wanted.filter((sheet) => sheets.has(sheet));
    this.wanted = [...[...sheets].filter((sheet) => !earlier.includes(sheet)), ...earlier];
    this.request();
  }

  request() {
    const now = performance.now();
    for (const [sheet, since] of this.asked) if (now - since > GIVE_UP_MS) this.asked.delete(sheet);
    for (const sheet of this.wanted) {
      if (this.asked.size >= SHEETS_AT_ONCE) return;
      if (this.urls.has(sheet) || this.asked.has(sheet)) continue;
      this.asked.set(sheet, now);
      this.need(sheet);
    }
  }

  take(sheet, bytes) {
    this.forget(sheet);
    this.urls.set(sheet, URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
    this.asked.delete(sheet);
    for (const old of this.urls.keys()) {
      if (this.urls.size <= SHEETS_KEPT) break;
      if (old !== sheet && !this.wanted.includes(old)) this.forget(old);
    }
    this.request();
  }

  forget(sheet) {
    if (this.urls.has(sheet)) URL.revokeObjectURL(this.urls.get(sheet));
    this.urls.delete(sheet);
  }
}

// A list box of items in one row or in a grid. Of many items only those that are visible are in the page.
class Tiles {
  constructor({ label, isGrid, side, perRow, sheets, seen, press }) {
    Object.assign(this, {
      isGrid,
      side,
      perRow,
      sheets,
      seen,
      pitch: side + GAP_PX,
      items: [],
      inPage: new Map(),
      places: new Map(),
      chosen: null,
      active: 0,
    });
    this.inside = make("div", { class: "bglab-tiles", role: "presentation" });
    this.element = make("div", {
      class: isGrid ? "bglab-grid" : "bglab-strip",
      role: "listbox",
      "aria-label": label,
      "aria-orientation": isGrid ? null : "horizontal",
    });
    this.element.addEventListener("keydown", (event) => this.onKey(event, press));
    this.element.addEventListener("click", (event) => {
      const item = event.target.closest("[role=option]");
      if (item) press(item.dataset.value, "click");
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

  fill(items, emptyText) {
    this.items = items;
    this.places = new Map(items.map(({ value }, i) => [value, i]));
    this.inPage.clear();
    this.isVirtual = items.length > FEW;
    this.inside.replaceChildren();
    if (!items.length) this.element.replaceChildren(make("span", { class: "bglab-note" }, emptyText));
    else if (this.isVirtual) this.element.replaceChildren(this.inside);
    else this.element.replaceChildren(...items.map((item, i) => this.tile(item, i)));
    this.active = Math.max(0, this.places.get(this.chosen) ?? 0);
    this.layOut();
  }

  get columns() {
    return this.isGrid
      ? Math.max(1, Math.floor((this.element.clientWidth - 4 + GAP_PX) / this.pitch))
      : Math.max(1, this.items.length);
  }

  // The items from the first to the last that are visible, with some more around them.
  visible() {
    const { element, pitch, items, isGrid } = this;
    const [start, length] = isGrid
      ? [element.scrollTop, element.clientHeight]
      : [element.scrollLeft, element.clientWidth];
    const each = isGrid ? this.columns : 1;
    const from = each * Math.max(0, Math.floor((start - MARGIN_PX) / pitch));
    return length ? [from, Math.min(items.length, each * Math.ceil((start + length + MARGIN_PX) / pitch))] : [0, 0];
  }

  layOut() {
    this.frame = null;
    const [from, to] = this.visible();
    if (this.isVirtual) this.renew(from, to);
    for (const [i, element] of this.inPage) this.paint(this.items[i], element);
    const sheets = new Set(this.items.slice(from, to).map(({ sheet }) => sheet));
    sheets.delete(undefined);
    this.seen(this, sheets);
  }

  // Puts the items of a range into the page, and takes others out except the one that can have the focus.
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
    for (const [i, element] of this.inPage)
      if (!keep.has(i)) {
        element.remove();
        this.inPage.delete(i);
      }
    let next = inside.firstChild;
    for (const i of wanted) {
      const element = this.inPage.get(i) ?? this.tile(this.items[i], i);
      element.style.left = `${(i % columns) * pitch}px`;
      element.style.top = `${isGrid ? Math.floor(i / columns) * pitch : 0}px`;
      if (element === next) next = next.nextSibling;
      else inside.insertBefore(element, next);
    }
  }

  tile(item, i) {
    const isChosen = item.value === this.chosen;
    const element = make(
      "div",
      {
        role: "option",
        class: item.text || item.colour ? "bglab-chip" : "bglab-thumb",
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
    element.place = i;
    this.inPage.set(i, element);
    return element;
  }

  paint({ sheet, place }, element) {
    const url = this.sheets.urls.get(sheet);
    if (!url || element.url === url) return;
    element.url = url;
    element.style.background = `url(${url}) ${-(place % this.perRow) * this.side}px ${-Math.floor(place / this.perRow) * this.side}px`;
  }

  select(value, scroll) {
    if (value !== this.chosen) {
      this.inPage.get(this.places.get(this.chosen))?.setAttribute("aria-selected", "false");
      this.chosen = value;
      this.inPage.get(this.places.get(value))?.setAttribute("aria-selected", "true");
    }
    const at = this.places.get(value);
    this.activate(at ?? 0);
    if (at !== undefined && scroll) this.reveal(at);
  }

  // The one item that the tabulator key reaches, and that stays in the page wherever it is.
  activate(at) {
    this.inPage.get(this.active)?.setAttribute("tabindex", "-1");
    this.active = at;
    this.inPage.get(at)?.setAttribute("tabindex", "0");
  }

  // `scrollIntoView` would scroll the notebook, too
  reveal(at) {
    const { element, pitch, side } = this;
    if (this.isGrid) {
      const top = Math.floor(at / this.columns) * pitch;
      element.scrollTop = Math.min(
        Math.max(element.scrollTop, top + side - element.clientHeight + 2 * GAP_PX),
        Math.max(0, top - GAP_PX),
      );
    } else if (this.isVirtual) element.scrollLeft = at * pitch + side / 2 - element.clientWidth / 2;
    else {
      const item = this.inPage.get(at);
      element.scrollLeft = item.offsetLeft - element.offsetLeft + item.offsetWidth / 2 - element.clientWidth / 2;
    }
  }

  focus(at) {
    this.activate(at);
    this.reveal(at);
    this.layOut();
    this.inPage.get(at)?.focus({ preventScroll: true });
  }

  onKey(event, press) {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter")) return;
    const at = event.target.place,
      last = this.items.length - 1,
      across = this.isGrid ? this.columns : 1;
    const page = this.isGrid
      ? across * Math.max(1, Math.floor(this.element.clientHeight / this.pitch) - 1)
      : Math.max(1, Math.floor(this.element.clientWidth / this.pitch));
    const to = {
      ArrowRight: at + 1,
      ArrowLeft: at - 1,
      ArrowDown: at + across,
      ArrowUp: at - across,
      Home: 0,
      End: last,
      PageDown: Math.min(at + page, last),
      PageUp: Math.max(at - page, 0),
    }[event.key];
    if (event.key === "Enter" || event.key === " ") press(event.target.dataset.value, "enter");
    else if (event.key === "Escape" && this.isGrid) press(null, "escape");
    else if (to === undefined) return;
    else if (this.items[to]) {
      this.focus(to);
      press(this.items[to].value, "move");
    }
    event.preventDefault();
    event.stopPropagation();
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.resized.disconnect();
  }
}

// A row of thumbnails or chips to choose from, with the mouse or arrow keys. Where there are more than a few dozen, it has
// a search field and opens into a grid that lies over what is below it, so that nothing in the page moves.
export class Strip {
  constructor({ label, side, perSheet, perRow, needSheet, choose }) {
    Object.assign(this, { label, perSheet, choose, all: [], emptyText: "" });
    this.loader = new SheetLoader(needSheet);
    const shared = { side, perRow, sheets: this.loader, seen: (tiles, sheets) => this.see(tiles, sheets) };
    this.row = new Tiles({ ...shared, label, isGrid: false, press: (value) => this.choose(value) });
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
    this.outside = (event) => {
      if (!this.element.contains(event.target)) this.shut();
    };
  }

  get chosen() {
    return this.row.chosen;
  }

  get isOpen() {
    return !this.panel.hidden;
  }

  // Items: {value, label, sheet, place, mark} for a thumbnail, or {value, label, text, colour} for a chip.
  fill(items, emptyText = "No such images") {
    Object.assign(this, { all: items.map((item) => ({ ...item, words: item.label.toLowerCase() })), emptyText });
    if (items.length > FEW) this.finder.hidden = false; // and stays, since a filter must not move the row
    this.filter();
    this.row.select(this.chosen, false);
  }

  // Shows the items that have all words of the search field in their name or class.
  filter() {
    const words = this.search.value
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word);
    const found = words.length ? this.all.filter((item) => words.every((word) => item.words.includes(word))) : this.all;
    const count = (n) => n.toLocaleString("en");
    write(
      this.count,
      words.length ? `${count(found.length)} of ${count(this.all.length)}` : `${count(this.all.length)}`,
    );
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

  pressInGrid(value, how) {
    if (how === "move") return;
    this.shut();
    if (value !== null) this.choose(value);
  }

  see(tiles, sheets) {
    tiles.wanted = sheets;
    // the grid lies over what else may be visible, so its thumbnails come first
    this.loader.want(new Set([...(this.isOpen ? (this.grid.wanted ?? []) : []), ...(this.row.wanted ?? [])]));
  }

  showSheet(sheet, bytes) {
    this.loader.take(sheet, bytes);
    for (const tiles of [this.row, this.grid])
      for (const [i, element] of tiles.inPage) tiles.paint(tiles.items[i], element);
  }

  // Has a sheet requested again, since its image has changed.
  forget(sheet) {
    this.loader.forget(sheet);
  }

  select(value, scroll = true) {
    this.row.select(value, scroll);
    if (this.isOpen) this.grid.select(value, false);
  }

  close() {
    document.removeEventListener("pointerdown", this.outside, true);
    for (const tiles of [this.row, this.grid]) tiles.close();
    for (const sheet of [...this.loader.urls.keys()]) this.loader.forget(sheet);
  }
}
