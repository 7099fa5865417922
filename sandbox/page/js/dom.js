// Elements are made here and only here: text goes in as text nodes, so message data can never become markup.

const SVG = "http://www.w3.org/2000/svg";

function append(node, child) {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) {
    for (const item of child) append(node, item);
    return;
  }
  node.append(child instanceof Node ? child : document.createTextNode(String(child)));
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on") {
    for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
  } else if (name === "data") {
    Object.assign(node.dataset, value);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** An element with attributes (`on` holds listeners, `data` the dataset) and children; null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(node, name, value);
  append(node, children);
  return node;
}

/** The same in the SVG namespace. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) set(node, name, value);
  append(node, children);
  return node;
}

/** Replaces what is inside a node. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** A real button (never a submit). `label` is what a screen reader says when the content is an icon. */
export function button(className, label, content, click, attributes = {}) {
  const named = label ? { "aria-label": label, title: label } : {};
  return h("button", { type: "button", class: className, ...named, ...attributes, on: { click } }, content);
}

export const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
export const isNarrow = () => matchMedia("(max-width: 759px)").matches;
