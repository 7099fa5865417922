// Rich messages (Bot API 10.3): blocks and rich texts as nodes.

import { h } from "./dom.js";
import { command, dateTime, expandableQuote, link, pre, spoiler } from "./entities.js";
import { richButtons } from "./buttons.js";
import { math } from "./math.js";
import { t } from "./words.js";

const DEPTH_MAX = 20;
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
const MENTIONS = new Set([
  "mention",
  "text_mention",
  "hashtag",
  "cashtag",
  "reference",
  "reference_link",
  "anchor_link",
]);

/** The words of a rich text or block without any style. */
export function plain(value) {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(plain).join("");
  if (!value || typeof value !== "object") return "";
  return value.expression ?? value.alternative_text ?? plain(value.text ?? value.button?.text ?? "");
}

/** A rich text: a string, a list, or an object with a type. */
export function richText(value, ctx, depth = 0) {
  if (typeof value === "string") return [document.createTextNode(value)];
  if (Array.isArray(value)) return value.flatMap((item) => richText(item, ctx, depth));
  if (!value || typeof value !== "object" || depth > DEPTH_MAX) return [];
  const inner = () => richText(value.text ?? "", ctx, depth + 1);
  const type = value.type;
  if (PLAIN[type]) return [h(PLAIN[type], {}, inner())];
  if (MENTIONS.has(type)) return [h("span", { class: "mention" }, inner())];
  switch (type) {
    case "spoiler":
      return [spoiler(inner())];
    case "url":
      return [link(inner(), value.url, ctx, plain(value.text) !== value.url)];
    case "email_address":
      return [link(inner(), `mailto:${value.email_address}`, ctx, false)];
    case "phone_number":
      return [link(inner(), `tel:${value.phone_number}`, ctx, false)];
    case "bot_command":
      return [command(inner(), value.bot_command || plain(value.text), ctx)];
    case "mathematical_expression":
      return [math(value.expression, false)];
    case "date_time":
      return [dateTime(inner(), value.unix_time, value.date_time_format)];
    case "custom_emoji":
      return [document.createTextNode(value.alternative_text || "")];
    case "button":
      return [richButtons([value.button], ctx, "inline-buttons")];
    default:
      return inner();
  }
}

const credit = (block, ctx) => (block.credit ? h("footer", { class: "credit" }, richText(block.credit, ctx)) : null);

function listBlock(block, ctx, depth) {
  const items = block.items.map((item) => {
    const label = item.has_checkbox
      ? h("span", {
          class: item.is_checked ? "tick on" : "tick",
          role: "img",
          "aria-label": t(item.is_checked ? "isDone" : "notDone"),
        })
      : h("span", { class: "rich-label", "aria-hidden": "true" }, item.label);
    return h("li", {}, label, h("div", { class: "rich-item" }, richBlocks(item.blocks, ctx, depth + 1)));
  });
  const ordered = block.items.some((item) => item.value !== undefined || /\d/.test(item.label || ""));
  return h(ordered ? "ol" : "ul", { class: "rich-list" }, items);
}

const ALIGNS = new Set(["left", "center", "right"]);

function tableBlock(block, ctx) {
  const rows = block.cells.map((row) =>
    h(
      "tr",
      {},
      row.map((cell) => {
        const classes = [`al-${ALIGNS.has(cell.align) ? cell.align : "left"}`];
        if (/^\s*[-+−]?[\d\s.,]+\s*%?\s*$/.test(plain(cell.text))) classes.push("numeric");
        const spans = {
          colspan: cell.colspan > 1 ? cell.colspan : null,
          rowspan: cell.rowspan > 1 ? cell.rowspan : null,
        };
        const attributes = { class: classes.join(" "), scope: cell.is_header ? "col" : null, ...spans };
        return h(cell.is_header ? "th" : "td", attributes, richText(cell.text ?? "", ctx));
      }),
    ),
  );
  const classes = ["rich-table", block.is_striped && "striped", block.is_compact && "compact"]
    .filter(Boolean)
    .join(" ");
  const caption = block.caption ? h("caption", {}, richText(block.caption, ctx)) : null;
  const table = h("table", { class: classes }, caption, h("tbody", {}, rows));
  return h("div", { class: "table-frame", tabindex: "0", role: "group", "aria-label": t("tableScroll") }, table);
}

function detailsBlock(block, ctx, depth) {
  const body = h("div", { class: "rich-details-body" }, richBlocks(block.blocks, ctx, depth + 1));
  return h(
    "details",
    { class: "rich-details", open: block.is_open === true },
    h("summary", {}, richText(block.summary, ctx)),
    body,
  );
}

const MAKERS = {
  paragraph: (block, ctx) => h("p", {}, richText(block.text, ctx)),
  heading: (block, ctx) => {
    const size = Math.min(6, Math.max(1, block.size || 1));
    return h(
      "div",
      { class: `rich-heading size-${size}`, role: "heading", "aria-level": size + 2 },
      richText(block.text, ctx),
    );
  },
  pre: (block, ctx) => pre(richText(block.text, ctx), block.language, plain(block.text), ctx),
  footer: (block, ctx) => h("p", { class: "rich-footer" }, richText(block.text, ctx)),
  divider: () => h("hr", { class: "rich-divider" }),
  mathematical_expression: (block) => math(block.expression, true),
  list: listBlock,
  blockquote: (block, ctx, depth) =>
    h(
      "blockquote",
      { class: "quote" },
      h("div", { class: "quote-text" }, richBlocks(block.blocks, ctx, depth + 1)),
      credit(block, ctx),
    ),
  expandable_blockquote: (block, ctx) =>
    expandableQuote([richText(block.text, ctx), credit(block, ctx)], plain(block.text)),
  pullquote: (block, ctx) => h("blockquote", { class: "pullquote" }, richText(block.text, ctx), credit(block, ctx)),
  table: tableBlock,
  details: detailsBlock,
  thinking: (block, ctx) => h("p", { class: "rich-thinking" }, richText(block.text, ctx)),
  buttons: (block, ctx) => richButtons(block.buttons, ctx, "block-buttons"),
  anchor: () => null,
};

/** Blocks as nodes; a kind that is not known here shows its words. */
export function richBlocks(blocks, ctx, depth = 0) {
  if (depth > DEPTH_MAX) return [];
  return blocks.map((block) => {
    const maker = MAKERS[block.type];
    if (maker) return maker(block, ctx, depth);
    return h("p", { class: "rich-unknown" }, plain(block.text ?? block.caption ?? "") || block.type);
  });
}

/** A whole rich message. */
export const richMessage = (message, ctx) =>
  h("div", { class: "rich", dir: message.is_rtl ? "rtl" : null }, richBlocks(message.blocks, ctx));

/** What a client without rich messages shows in its place. */
export const placeholder = () => h("p", { class: "unsupported" }, t("unsupported"));
