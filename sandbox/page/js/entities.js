// A text with Telegram's entities as nodes. Offsets are UTF-16 units, which is what JavaScript counts in.

import { h } from "./dom.js";
import { byPattern, exact } from "./format.js";
import { t } from "./words.js";

const BLOCKS = new Set(["pre", "blockquote", "expandable_blockquote"]);
const QUOTE_FOLDED_LINES = 3;
const QUOTE_FOLDED_CHARS = 160;

const PLAIN = {
  bold: "strong",
  italic: "em",
  underline: "u",
  strikethrough: "s",
  code: "code",
  marked: "mark",
  subscript: "sub",
  superscript: "sup",
};

/** The address if a browser may open it, else null: a link never runs a script. */
export function safeUrl(raw) {
  const text = /^[a-z][a-z0-9+.-]*:/i.test(raw) ? raw : `https://${raw}`;
  try {
    const url = new URL(text);
    return ["https:", "http:", "mailto:", "tel:", "tg:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** A link that asks before it leads elsewhere than it says; text alone if the address is not safe. */
export function link(content, raw, ctx, ask) {
  const url = safeUrl(raw);
  if (!url) return h("span", {}, content);
  const click = (event) => {
    event.preventDefault();
    ctx.openLink(url, ask);
  };
  const attributes = { href: url, title: url, target: "_blank", rel: "noopener noreferrer nofollow" };
  return h("a", { ...attributes, on: { click } }, content);
}

/** Text that stays covered until it is pressed. */
export function spoiler(content) {
  const node = h("span", { class: "spoiler", role: "button", tabindex: "0", "aria-label": t("spoiler") });
  node.append(h("span", { class: "spoiler-text" }, content));
  const reveal = (event) => {
    if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    node.classList.add("open");
    for (const name of ["role", "tabindex", "aria-label"]) node.removeAttribute(name);
  };
  node.addEventListener("click", reveal, { once: true });
  node.addEventListener("keydown", reveal);
  return node;
}

/** Code with its language and a button that copies it. */
export function pre(content, language, source, ctx) {
  const copy = h("button", { type: "button", class: "pre-copy", on: { click: () => ctx.copy(source) } }, t("copyCode"));
  const head = h("figcaption", { class: "pre-head" }, h("span", {}, language || ""), copy);
  return h("figure", { class: "pre" }, head, h("pre", { tabindex: "0" }, h("code", {}, content)));
}

/** A quote that opens when it is pressed, if it is long. */
export function expandableQuote(content, source) {
  const quote = h("blockquote", { class: "quote" }, h("div", { class: "quote-text" }, content));
  const long = source.length > QUOTE_FOLDED_CHARS || source.split("\n").length > QUOTE_FOLDED_LINES;
  if (!long) return quote;
  quote.classList.add("folded");
  const toggle = h("button", { type: "button", class: "quote-toggle", "aria-expanded": "false" }, t("expand"));
  toggle.addEventListener("click", () => {
    const folded = quote.classList.toggle("folded");
    toggle.textContent = t(folded ? "expand" : "collapse");
    toggle.setAttribute("aria-expanded", String(!folded));
  });
  quote.append(toggle);
  return quote;
}

export const dateTime = (content, unix, pattern) =>
  h(
    "time",
    { class: "moment", datetime: new Date(unix * 1000).toISOString(), title: exact(unix) },
    byPattern(unix, pattern, null) ?? content,
  );

export function command(content, text, ctx) {
  const send = () => ctx.sendText(text);
  return h("button", { type: "button", class: "inline-link", on: { click: send } }, content);
}

function wrap(entity, content, source, ctx) {
  const type = entity.type;
  if (PLAIN[type]) return h(PLAIN[type], {}, content);
  switch (type) {
    case "spoiler":
      return spoiler(content);
    case "pre":
      return pre(content, entity.language, source, ctx);
    case "blockquote":
      return h("blockquote", { class: "quote" }, h("div", { class: "quote-text" }, content));
    case "expandable_blockquote":
      return expandableQuote(content, source);
    case "url":
      return link(content, source, ctx, false);
    case "text_link":
      return link(content, entity.url, ctx, source !== entity.url);
    case "email":
      return link(content, `mailto:${source}`, ctx, false);
    case "phone_number":
      return link(content, `tel:${source.replace(/[^\d+]/g, "")}`, ctx, false);
    case "bot_command":
      return command(content, source, ctx);
    case "date_time":
      return dateTime(content, entity.unix_time, entity.date_time_format);
    case "mention":
    case "text_mention":
    case "hashtag":
    case "cashtag":
      return h("span", { class: "mention" }, content);
    default:
      return h("span", {}, content);
  }
}

const inOrder = (a, b) => a.start - b.start || b.end - a.end;

// Entities nest; where two overlap, the second is cut at the end of the first and goes on behind it.
function build(text, list, start, end, ctx) {
  const nodes = [];
  let at = start;
  let waiting = list;
  while (waiting.length) {
    const [entity, ...others] = waiting;
    waiting = others;
    const from = Math.max(entity.start, at);
    const to = Math.min(entity.end, end);
    if (to <= from) continue;
    const inner = [];
    const later = [];
    for (const other of waiting) {
      if (other.start >= to) later.push(other);
      else if (other.end <= to) inner.push(other);
      else {
        inner.push({ ...other, end: to });
        later.push({ ...other, start: to });
      }
    }
    waiting = later.sort(inOrder);
    const isBlock = BLOCKS.has(entity.type);
    let before = text.slice(at, from);
    if (isBlock && before.endsWith("\n")) before = before.slice(0, -1); // the block begins a line by itself
    if (before) nodes.push(document.createTextNode(before));
    nodes.push(wrap(entity, build(text, inner, from, to, ctx), text.slice(from, to), ctx));
    at = to;
    if (isBlock && text[at] === "\n") at += 1;
  }
  if (at < end) nodes.push(document.createTextNode(text.slice(at, end)));
  return nodes;
}

/** Nodes of the first `end` units of the text. */
export function textNodes(text, entities, ctx, end = text.length) {
  if (!entities?.length) return [document.createTextNode(text.slice(0, end))];
  const ranges = entities
    .map((entity) => ({ ...entity, start: entity.offset, end: entity.offset + entity.length }))
    .filter((entity) => entity.start < end)
    .sort(inOrder);
  return build(text, ranges, 0, end, ctx);
}
