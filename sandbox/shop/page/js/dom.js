// Elements are made here and only here: text goes in as text nodes, so a merchant's words can never become markup.

const SVG = "http://www.w3.org/2000/svg";

function append(node, child) {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) {
    for (const item of child) append(node, item);
    return;
  }
  node.append(child instanceof Node ? child : document.createTextNode(String(child)));
}

/** An element with attributes (`on` holds listeners) and children; null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  append(node, children);
  return node;
}

/** Replaces what is inside a node. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

const PATHS = {
  info: ["M12 11v5.5", "M12 7.6v.1"],
  card: ["M3 10h18", "M5 5.5h14a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-9a2 2 0 0 1 2-2z"],
  phone: ["M8 3h8a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2z", "M11 17.8h2"],
  bag: ["M6 8h12l1 12H5L6 8z", "M9 8V7a3 3 0 0 1 6 0v1"],
  check: ["M5 12.5l4.6 4.6L19 7.5"],
  cross: ["M7 7l10 10", "M17 7L7 17"],
  clock: ["M12 7v5.2l3.4 2"],
  down: ["M6 9.5l6 6 6-6"],
  shield: ["M12 3.2l7 2.6v5.4c0 4.4-2.9 7.9-7 9.6-4.1-1.7-7-5.2-7-9.6V5.8z", "M9 12l2.2 2.2L15.3 10"],
};
const RINGED = new Set(["info", "clock"]);

/** A line icon by name. */
export function icon(name, size = 20) {
  const node = document.createElementNS(SVG, "svg");
  const attributes = {
    viewBox: "0 0 24 24",
    width: size,
    height: size,
    fill: "none",
    stroke: "currentColor",
    "stroke-width": "1.9",
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
    "aria-hidden": "true",
  };
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (RINGED.has(name)) {
    const ring = document.createElementNS(SVG, "circle");
    for (const [key, value] of Object.entries({ cx: 12, cy: 12, r: 9 })) ring.setAttribute(key, value);
    node.append(ring);
  }
  for (const path of PATHS[name]) {
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("d", path);
    node.append(line);
  }
  return node;
}
