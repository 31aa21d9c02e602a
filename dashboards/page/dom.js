// Making and updating elements. Text goes in as text nodes only, so no label can become markup; a fresh tree is
// merged into the one on the screen, so a refresh moves nothing and keeps focus, scroll position and open folds.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** An HTML element. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function mergeAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    const kept = old.nodeName === "DETAILS" && name === "open";
    if (!kept && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

/** Makes the children of `old` those of `fresh`, reusing nodes with the same `data-key` or the same place. */
export function mergeChildren(old, fresh) {
  const keyed = new Map([...old.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = keyOf(next);
    let match = key === null ? at : keyed.get(key);
    if (match && alike(match, next)) {
      if (match !== at) old.insertBefore(match, at);
      else at = at.nextSibling;
      if (match.nodeType === Node.TEXT_NODE) {
        if (match.data !== next.data) match.data = next.data;
      } else {
        mergeAttributes(match, next);
        mergeChildren(match, next);
      }
    } else {
      old.insertBefore(next, at);
    }
  }
  while (at) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

/** Shows `children` in `host`. */
export function show(host, ...children) {
  const fresh = document.createElement("div");
  fill(fresh, {}, children);
  mergeChildren(host, fresh);
}
