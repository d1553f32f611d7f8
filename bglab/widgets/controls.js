// Labelled controls, whose key presses never reach the notebook.

// JupyterLab looks for this attribute on the focused element only, so every control needs it.
const QUIET = { "data-lm-suppress-shortcuts": "true" };

export const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
};

// Writes a text only if it differs, since writing the same text again makes the browser lay out the page again.
export const write = (element, words) => {
  if (element.textContent !== words) element.textContent = words;
};

export const button = (text, press, attributes = {}) =>
  make("button", { type: "button", class: "bglab-button", onclick: press, ...QUIET, ...attributes }, text);

export const select = (label, options, choose, attributes = {}) => {
  const control = make("select", { "aria-label": label, title: label, onchange: () => choose(control.value), ...QUIET, ...attributes });
  control.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  return control;
};

export const formatted = (value, unit) =>
  unit === "%" ? `${Math.round(100 * value)} %` : `${Number(value.toFixed(1))}${unit ? ` ${unit}` : ""}`;

// A slider calls `drag` on every movement and `settle` when it is released.
export const slider = (name, { low, high, step, label, unit }, drag, settle) => {
  const readout = make("output", { class: "bglab-readout" });
  const input = make("input", {
    type: "range", min: low, max: high, step, name, "aria-label": label, ...QUIET,
    oninput: () => { show(); drag(Number(input.value)); },
    onchange: () => settle(),
    ondblclick: () => input.dispatchEvent(new CustomEvent("reset", { bubbles: true })),
  });
  const show = () => {
    const words = formatted(Number(input.value), unit);
    if (readout.value === words) return;
    readout.value = words;
    input.setAttribute("aria-valuetext", words);
  };
  const element = make("label", { class: "bglab-slider" }, make("span", {}, label), input, readout);
  return { element, input, set: (value) => { if (Number(input.value) !== value) input.value = value; show(); } };
};

// Servers close a connection that sends more than about ten megabytes at once.
const shrunk = async (file) => {
  if (file.size < 6e6) return file;
  const image = await createImageBitmap(file);
  const share = Math.min(1, 1600 / Math.max(image.width, image.height));
  const canvas = make("canvas", { width: Math.round(share * image.width), height: Math.round(share * image.height) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return new Promise((done) => canvas.toBlob(done, "image/png"));
};

// A button that opens a file; its name and bytes are passed to `take`.
export const fileButton = (text, accept, take, attributes = {}) => {
  const input = make("input", { type: "file", accept, hidden: true, "aria-hidden": "true", tabindex: -1 });
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (file) take(file.name.replace(/\.[^.]*$/, ""), await (await shrunk(file)).arrayBuffer());
    input.value = "";
  });
  return make("span", {}, button(text, () => input.click(), attributes), input);
};

export const download = (name, mime, bytes) => {
  const url = URL.createObjectURL(new Blob([bytes], { type: mime }));
  const link = make("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};

// A row of thumbnails to choose from with the mouse or arrow keys. They come in sheets that are requested when they
// scroll into view, so that a set of thousands costs no more than what is visible of it.
export class Strip {
  constructor({ label, side, perSheet, perRow, needSheet, choose }) {
    Object.assign(this, { side, perSheet, perRow, needSheet, choose, sheets: new Map(), items: [], chosen: null });
    this.element = make("div", { class: "bglab-strip", role: "listbox", "aria-label": label, "aria-orientation": "horizontal" });
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.element.addEventListener("click", (event) => {
      const item = event.target.closest("[role=option]");
      if (item) this.choose(item.dataset.value);
    });
    this.seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) this.showThumbnail(target);
    }, { root: this.element, rootMargin: "0px 200px" });
  }

  // Items: {value, label, sheet, place} for a thumbnail, or {value, label, text, colour} for a chip.
  fill(items, emptyText = "No such images") {
    this.seen.disconnect();
    this.items = items.map((item) => {
      const element = make("div", {
        role: "option", class: item.text || item.colour ? "bglab-chip" : "bglab-thumb", title: item.label, "aria-label": item.label,
        "data-value": item.value, tabindex: -1, "aria-selected": "false", ...QUIET,
      }, item.text);
      if (item.colour) element.style.background = item.colour;
      if (item.mark) element.dataset.mark = item.mark;
      if (item.sheet != null) Object.assign(element.dataset, { sheet: item.sheet, place: item.place });
      return element;
    });
    this.element.replaceChildren(...(this.items.length ? this.items : [make("span", { class: "bglab-note" }, emptyText)]));
    for (const element of this.items) if (element.dataset.sheet) this.seen.observe(element);
    this.select(this.chosen, false);
  }

  showThumbnail(element) {
    const { sheet, place } = element.dataset;
    const url = this.sheets.get(sheet);
    if (url === undefined) {
      this.sheets.set(sheet, null);
      this.needSheet(sheet);
    } else if (url) {
      const x = place % this.perRow, y = Math.floor(place / this.perRow);
      element.style.background = `url(${url}) ${-x * this.side}px ${-y * this.side}px`;
      this.seen.unobserve(element);
    }
  }

  showSheet(sheet, bytes) {
    if (this.sheets.get(sheet)) URL.revokeObjectURL(this.sheets.get(sheet));
    this.sheets.set(sheet, URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
    for (const element of this.items) if (element.dataset.sheet === sheet) this.showThumbnail(element);
  }

  select(value, scroll = true) {
    this.chosen = value;
    let found = false;
    for (const element of this.items) {
      const isChosen = element.dataset.value === value;
      element.setAttribute("aria-selected", String(isChosen));
      element.tabIndex = isChosen ? 0 : -1;
      if (isChosen) found = element;
    }
    if (!found && this.items.length) this.items[0].tabIndex = 0;
    if (found && scroll) this.reveal(found);
  }

  // `scrollIntoView` would scroll the notebook, too
  reveal(element) {
    const middle = element.offsetLeft - this.element.offsetLeft + element.offsetWidth / 2;
    this.element.scrollLeft = middle - this.element.clientWidth / 2;
  }

  onKey(event) {
    const at = this.items.indexOf(event.target);
    const last = this.items.length - 1;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
    if (event.key === "Enter" || event.key === " ") this.choose(event.target.dataset.value);
    else if (to === undefined) return;
    else if (this.items[to]) {
      this.items[to].focus({ preventScroll: true });
      this.reveal(this.items[to]);
      this.choose(this.items[to].dataset.value);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  close() {
    this.seen.disconnect();
    for (const url of this.sheets.values()) if (url) URL.revokeObjectURL(url);
    this.sheets.clear();
  }
}
