// Labelled controls, whose key presses never reach the notebook.

// JupyterLab looks for this attribute on the focused element only, so every control needs it.
export const QUIET = { "data-lm-suppress-shortcuts": "true" };

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
  const control = make("select", {
    "aria-label": label,
    title: label,
    onchange: () => choose(control.value),
    ...QUIET,
    ...attributes,
  });
  control.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  return control;
};

export const formatted = (value, unit) =>
  unit === "%" ? `${Math.round(100 * value)} %` : `${Number(value.toFixed(1))}${unit ? ` ${unit}` : ""}`;

// A slider calls `drag` on every movement and `settle` when it is released.
export const slider = (name, { low, high, step, label, unit }, drag, settle) => {
  const readout = make("output", { class: "bglab-readout" });
  const input = make("input", {
    type: "range",
    min: low,
    max: high,
    step,
    name,
    "aria-label": label,
    ...QUIET,
    oninput: () => {
      show();
      drag(Number(input.value));
    },
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
  return {
    element,
    input,
    set: (value) => {
      if (Number(input.value) !== value) input.value = value;
      show();
    },
  };
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
  return make(
    "span",
    {},
    button(text, () => input.click(), attributes),
    input,
  );
};

export const download = (name, mime, bytes) => {
  const url = URL.createObjectURL(new Blob([bytes], { type: mime }));
  const link = make("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};
