// As much of a page as a view needs that shows nothing but words.

class Element extends EventTarget {
  constructor(tag) {
    super();
    Object.assign(this, { tag, children: [], dataset: {}, hidden: false, disabled: false, words: "" });
    this.classList = { add: () => {} };
  }

  get textContent() {
    return this.words + this.children.map((child) => child.textContent ?? child).join("");
  }

  set textContent(words) {
    this.words = words;
    this.children = [];
  }

  get firstElementChild() {
    return this.children[0];
  }

  get all() {
    return [this, ...this.children.flatMap((child) => child.all ?? [])];
  }

  setAttribute(name, value) {
    this[name] = name === "hidden" || value;
  }

  append(...children) {
    this.children = [...this.children.filter((child) => !children.includes(child)), ...children];
    for (const child of children) if (child instanceof Element) child.parentElement = this;
  }

  replaceChildren(...children) {
    this.words = "";
    this.children = [];
    this.append(...children);
  }

  contains(element) {
    return this.all.includes(element);
  }

  querySelectorAll(tags) {
    return this.all.filter(({ tag }) => tags.split(", ").includes(tag));
  }
}

export const openPage = () => {
  globalThis.window = new EventTarget();
  globalThis.document = { createElement: (tag) => new Element(tag) };
  return new Element("div");
};

export const closePage = () => {
  delete globalThis.window;
  delete globalThis.document;
};
