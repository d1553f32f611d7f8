// Which keys on a control go to the notebook's front end: shortcuts with Ctrl or Cmd and the like, but never plain keys,
// with which JupyterLab would move between cells, insert and delete them.

const EDITING = new Set([
  "a",
  "c",
  "v",
  "x",
  "y",
  "z",
  "backspace",
  "delete",
  "home",
  "end",
  "arrowleft",
  "arrowright",
]);

/** @param {EventTarget | null} element */
const isText = (element) =>
  /** @type {Partial<Element> | null} */ (element)?.matches?.(
    "input:not([type]), input[type=text], input[type=search], input[type=number], textarea",
  );

/** @param {Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey" | "target">} event */
export const isShortcut = ({ key, ctrlKey, metaKey, altKey, shiftKey, target }) => {
  if (key === "Escape" || /^F\d+$/.test(key)) return true;
  if (key === "Enter") return ctrlKey || metaKey || altKey || shiftKey;
  if (!ctrlKey && !metaKey) return false;
  return !(isText(target) && EDITING.has(key.toLowerCase()));
};

/**
 * JupyterLab ignores keys on elements with the attribute of QUIET. It must be absent while a shortcut is handled, whether
 * the front end listens in the capturing phase (JupyterLab 4.0) or the bubbling one (since 4.1), hence the window.
 *
 * @param {HTMLElement} root
 * @returns {() => void} Stops it
 */
export const passShortcuts = (root) => {
  /** @param {KeyboardEvent} event */
  const pass = (event) => {
    const control = /** @type {HTMLElement} */ (event.target);
    if (!root.contains(control) || control.dataset?.lmSuppressShortcuts !== "true" || !isShortcut(event)) return;
    control.removeAttribute("data-lm-suppress-shortcuts");
    setTimeout(() => control.setAttribute("data-lm-suppress-shortcuts", "true"));
  };
  window.addEventListener("keydown", pass, true);
  return () => window.removeEventListener("keydown", pass, true);
};
