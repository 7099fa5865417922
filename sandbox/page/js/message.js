// One row of the chat: a message, an album, or a service line, with everything that hangs on it.

import { act } from "./api.js";
import { button, h } from "./dom.js";
import { textNodes } from "./entities.js";
import { clock, day, exact, initials, personName } from "./format.js";
import { icon, mark } from "./icons.js";
import { inlineKeyboard } from "./buttons.js";
import { album, hash, media, summary } from "./media.js";
import { closeMenu, openMenu, openSheet, toast } from "./overlay.js";
import { prefs } from "./prefs.js";
import { placeholder, richMessage } from "./rich.js";
import { serviceText } from "./service.js";
import { store } from "./store.js";
import { t } from "./words.js";

const QUICK = ["👍", "👎", "❤️", "🔥", "👏", "🤔", "😁", "👀"];
const EMOJI_ONLY =
  /^(?:\p{Extended_Pictographic}(?:\uFE0F|\u200D\p{Extended_Pictographic}|\p{Emoji_Modifier})*){1,3}$/u;
const LONG_PRESS_MS = 480;
const TINTS = 8;

/** Whether this person wrote the message; what is written as the group is nobody's own. */
export const isOwn = (message, person) => message.from?.id === person && !message.sender_chat;

export const senderName = (message) => message.sender_chat?.title || (message.from ? personName(message.from) : "");

/** A round picture: Forma's mark for the bot, letters on a colour for everybody else. */
export function avatar(id, name, className = "") {
  if (store.bot && id === store.bot.id)
    return h("span", { class: `avatar bot ${className}`, "aria-hidden": "true" }, mark(40));
  return h("span", { class: `avatar tint-${hash(id) % TINTS} ${className}`, "aria-hidden": "true" }, initials(name));
}

function quoteOf(message, ctx) {
  const original = message.reply_to_message;
  if (!original) return null;
  const jump = () => ctx.jump(original.message_id);
  const words = [h("strong", {}, senderName(original)), h("span", {}, summary(original) || t("message"))];
  return h("button", { type: "button", class: "reply-quote", on: { click: jump } }, words);
}

function words(message, ctx) {
  if (message.rich_message) {
    return prefs.oldClient
      ? placeholder()
      : richMessage(message.rich_message, { ...ctx, messageId: message.message_id });
  }
  const text = message.text ?? message.caption;
  if (!text) return null;
  const big = message.text && !message.entities?.length && EMOJI_ONLY.test(text.trim());
  const nodes = textNodes(text, message.entities || message.caption_entities, ctx);
  return h("div", { class: big ? "text big" : "text" }, nodes);
}

function meta(message) {
  const byButtons = message.reply_markup && message.from?.id === store.bot?.id; // clients keep quiet about these
  const edited = message.sandbox?.edited && !byButtons;
  return h(
    "span",
    { class: "meta" },
    edited ? h("span", {}, t("edited")) : null,
    h(
      "time",
      { datetime: new Date(message.date * 1000).toISOString(), title: exact(message.date) },
      clock(message.date),
    ),
  );
}

async function react(message, ctx, emoji) {
  const mine = message.sandbox.reactions.find((item) => item.user_id === ctx.person)?.emoji;
  try {
    await act(ctx.person, "react", {
      message_id: message.message_id,
      chat_id: ctx.chat,
      emoji: mine === emoji ? null : emoji,
    });
  } catch (error) {
    ctx.fail(error);
  }
}

function reactions(message, ctx) {
  const list = message.sandbox?.reactions || [];
  if (!list.length) return null;
  const groups = new Map();
  for (const item of list) groups.set(item.emoji, [...(groups.get(item.emoji) || []), item.user_id]);
  const chips = [...groups].map(([emoji, ids]) => {
    const mine = ids.includes(ctx.person);
    const attributes = { "aria-pressed": String(mine), "aria-label": t("react", { emoji }) };
    const number = ids.length > 1 ? h("span", {}, ids.length) : null;
    return button(
      mine ? "reaction mine" : "reaction",
      null,
      [emoji, number],
      () => react(message, ctx, emoji),
      attributes,
    );
  });
  return h("div", { class: "reactions" }, chips);
}

function showJson(message) {
  const { sandbox: _, ...seen } = message;
  const content = h("pre", { class: "json", tabindex: "0" }, JSON.stringify(seen, null, 2));
  openSheet(document.body, { title: t("showJson"), content, wide: true });
}

function openActions(message, ctx, where) {
  const quick = h(
    "div",
    { class: "menu-emoji" },
    QUICK.map((emoji) =>
      button(
        "emoji",
        t("react", { emoji }),
        emoji,
        () => {
          closeMenu();
          react(message, ctx, emoji);
        },
        { role: "menuitem" },
      ),
    ),
  );
  const own = isOwn(message, ctx.person);
  const editable = own && (message.text !== undefined || message.caption !== undefined);
  const text = message.text ?? message.caption ?? message.sandbox?.plain;
  openMenu(
    where,
    [
      { node: quick },
      { label: t("reply"), icon: "reply", act: () => ctx.reply(message) },
      editable && { label: t("edit"), icon: "edit", act: () => ctx.edit(message) },
      text && { label: t("copyText"), icon: "copy", act: () => ctx.copy(text) },
      { label: t("showJson"), icon: "code", act: () => showJson(message) },
    ],
    t("actions"),
  );
}

function withActions(bubble, message, ctx) {
  const more = button("row-more", t("actions"), icon("more", 18), () => openActions(message, ctx, { anchor: more }), {
    "aria-haspopup": "menu",
  });
  bubble.addEventListener("contextmenu", (event) => {
    if (event.target.closest("a, img, input")) return;
    event.preventDefault();
    openActions(message, ctx, { x: event.clientX, y: event.clientY });
  });
  let timer = 0;
  bubble.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch" || event.target.closest("button, a, summary, .table-frame")) return;
    timer = setTimeout(() => openActions(message, ctx, { x: event.clientX, y: event.clientY }), LONG_PRESS_MS);
  });
  for (const name of ["pointerup", "pointercancel", "pointermove"])
    bubble.addEventListener(name, () => clearTimeout(timer));
  return more;
}

/** Kinds that stand without a bubble around them. */
const bare = (message) => Boolean(message.sticker || message.dice);

/**
 * A row for one message, or for all messages of an album. `flags`: `day` puts the date above, `first` begins the run of
 * one sender, `fresh` lets it come in gently.
 */
export function messageRow(messages, ctx, flags) {
  const message = messages[0];
  const row = h("div", { class: "row", data: { id: message.message_id } });
  if (flags.day) row.append(h("div", { class: "day" }, h("span", {}, day(message.date))));
  if (flags.fresh) row.classList.add("fresh");
  const service = serviceText(message);
  if (service !== null) {
    row.classList.add("service");
    row.append(h("div", { class: "service-line" }, h("span", {}, service)));
    return row;
  }
  const own = isOwn(message, ctx.person);
  row.classList.add(own ? "own" : "peer");
  if (flags.first) row.classList.add("first");
  const inGroup = ctx.chat < 0;
  const sender = inGroup && !own ? senderName(message) : null;
  const senderId = message.sender_chat?.id ?? message.from?.id;
  const captioned = messages.find((item) => item.caption);
  const photoOnly = message.photo && !captioned && !message.sandbox?.reactions.length;
  const body = messages.length > 1 ? album(messages, ctx) : media(message, ctx);
  const text = words(captioned || message, ctx);
  const content = [
    sender && flags.first ? h("div", { class: `sender ink-${hash(senderId) % TINTS}` }, sender) : null,
    quoteOf(message, ctx),
    body,
    text || (body ? null : h("p", { class: "unsupported" }, t("serviceOther"))),
    meta(messages.at(-1)),
    reactions(message, ctx),
  ];
  const classes = [
    "bubble",
    bare(message) && "bare",
    message.photo && "with-photo",
    photoOnly && "photo-only",
    message.rich_message && "with-rich",
  ];
  const bubble = h("div", { class: classes.filter(Boolean).join(" ") }, content);
  const block = h(
    "div",
    { class: "block" },
    h("div", { class: "line" }, bubble, withActions(bubble, message, ctx)),
    inlineKeyboard(message, ctx),
  );
  const side = inGroup && !own ? h("div", { class: "row-side" }, flags.first ? avatar(senderId, sender) : null) : null;
  row.append(h("div", { class: "row-line" }, side, block));
  return row;
}

/** Copies to the clipboard and says so; a page that is not served from localhost or https has to ask the old way. */
export async function copy(host, text) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    const field = h("textarea", { class: "offscreen", "aria-hidden": "true" }, text);
    document.body.append(field);
    field.select();
    done = document.execCommand("copy");
    field.remove();
  }
  toast(host, t(done ? "copied" : "notCopied"));
}
