// Icons drawn for this page: 24 × 24, one stroke, the colour of the text.

import { svg } from "./dom.js";

const PATHS = {
  menu: "M4 7h16M4 12h16M4 17h10",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  more: "M12 5.5v.01M12 12v.01M12 18.5v.01",
  send: "M12 19V5.5M6 11l6-6 6 6",
  attach: "M19.5 11.6l-7.6 7.5a5 5 0 0 1-7-7l7.9-7.9a3.3 3.3 0 0 1 4.7 4.7l-7.9 7.8a1.7 1.7 0 0 1-2.4-2.3l7-7",
  mic: "M12 3.5a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0v-5a3 3 0 0 1 3-3zM5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3",
  slash: "M15 5L9 19",
  stop: "M8 8h8v8H8z",
  reply: "M9.5 6L4 11.5 9.5 17M4 11.5h9.5a6.5 6.5 0 0 1 6.5 6.5",
  edit: "M4.5 19.5l1-4.2L16.2 4.6l3.2 3.2L8.7 18.5zM14 6.8l3.2 3.2",
  copy: "M9 9h10v11H9zM15 9V4.5H5V15h4",
  code: "M8.5 7.5L4 12l4.5 4.5M15.5 7.5L20 12l-4.5 4.5",
  down: "M6 9.5l6 6 6-6",
  right: "M9.5 6l6 6-6 6",
  check: "M5 12.5l4.5 4.5L19 7",
  clock: "M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17zM12 7.5V12l3 2",
  sliders: "M4 7.5h9M17.5 7.5H20M4 16.5h2.5M11 16.5h9M15.2 5.3v4.4M8.8 14.3v4.4",
  photo: "M4 5.5h16v13H4zM4 15l4.5-4 4 3.5 3-2.5 4.5 3.5M15.5 9.2v.01",
  file: "M6 3.5h8l4.5 4.5v12.5H6zM14 3.5V8h4.5",
  voice: "M5 10v4M9 6.5v11M13 9v6M17 5v14M21 10.5v3",
  smile: "M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17zM8.5 14a4.3 4.3 0 0 0 7 0M9 9.5v.01M15 9.5v.01",
  pin: "M12 21s6.5-6.2 6.5-11a6.5 6.5 0 0 0-13 0c0 4.8 6.5 11 6.5 11zM12 12.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z",
  poll: "M5 19V11M12 19V5M19 19v-5.5",
  dice: "M5 5h14v14H5zM9 9v.01M15 15v.01M15 9v.01M9 15v.01",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c.8-4 3.8-6 7.5-6s6.7 2 7.5 6",
  group:
    "M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 19.5c.6-3.5 3.2-5.2 6.5-5.2s5.9 1.7 6.5 5.2M16 5a3.3 3.3 0 0 1 0 6.3M18 14.7c2 .7 3.2 2.3 3.6 4.8",
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8.5 6v12M15.5 6v12",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  star: "M12 3.8l2.5 5.2 5.7.8-4.1 4 1 5.7-5.1-2.7-5.1 2.7 1-5.7-4.1-4 5.7-.8z",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l.8 13h8.4L17 7",
  block: "M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17zM6 6l12 12",
  repeat: "M5 11V9.5a3 3 0 0 1 3-3h10.5L15.5 3.5M19 13v1.5a3 3 0 0 1-3 3H5.5l3 3",
  keyboard: "M3.5 6.5h17v11h-17zM7 10v.01M10.3 10v.01M13.7 10v.01M17 10v.01M8 14h8",
};

const FILLED = new Set(["star", "play", "stop"]);

/** The icon as an SVG element, hidden from screen readers: the control around it has the name. */
export function icon(name, size = 20) {
  const shape = svg("path", {
    d: PATHS[name],
    fill: FILLED.has(name) ? "currentColor" : "none",
    stroke: "currentColor",
    "stroke-width": name === "more" ? 2.6 : 1.8,
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
  });
  const attributes = { viewBox: "0 0 24 24", width: size, height: size, class: `icon icon-${name}` };
  return svg("svg", { ...attributes, "aria-hidden": "true", focusable: "false" }, shape);
}

/** Forma's mark, as in icon.svg. */
export function mark(size = 32) {
  return svg(
    "svg",
    { viewBox: "0 0 32 32", width: size, height: size, class: "mark", "aria-hidden": "true", focusable: "false" },
    svg("rect", { width: 32, height: 32, rx: 9, class: "mark-ground" }),
    svg("path", {
      d: "M10 24V8.6h12.5M10 16.2h8.6",
      fill: "none",
      stroke: "#fff",
      "stroke-width": 3.2,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
    svg("circle", { cx: 22, cy: 22.4, r: 2.3, fill: "#f2c66d" }),
  );
}
