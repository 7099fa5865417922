// Buttons under messages and in rich messages, and what a press does.

import { act } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { toast } from "./overlay.js";
import { openPayment } from "./pay.js";
import { store, watch } from "./store.js";
import { t } from "./words.js";

const ANSWER_WAIT_MS = 30_000; // as long as the bot may answer
const STYLES = new Set(["primary", "success", "danger"]);

/** Until the bot answers the press, or 30 s; an answer may overtake the press itself. */
function wait(queryId, done) {
  if (store.answers.has(queryId)) {
    done();
    return;
  }
  const finish = (answered) => {
    clearTimeout(timer);
    end();
    done(answered);
  };
  const timer = setTimeout(() => finish(false), ANSWER_WAIT_MS);
  const end = watch("answer", (event) => {
    if (event.query_id === queryId) finish(true);
  });
}

async function callback(node, ctx, body) {
  if (node.classList.contains("busy")) return;
  node.classList.add("busy");
  try {
    const pressed = await act(ctx.person, "press", { chat_id: ctx.chat, ...body });
    if (!pressed.query_id) {
      node.classList.remove("busy");
      return;
    }
    wait(pressed.query_id, (answered) => {
      node.classList.remove("busy");
      if (answered === false && node.isConnected) toast(ctx.host, t("buttonWaits"));
    });
  } catch (error) {
    node.classList.remove("busy");
    ctx.fail(error);
  }
}

function press(node, item, ctx, body) {
  if (item.callback_data !== undefined) callback(node, ctx, body);
  else if (item.url) ctx.openLink(item.url, !/^https?:\/\/t\.me\//.test(item.url));
  else if (item.copy_text) ctx.copy(item.copy_text.text);
  else if (item.pay) openPayment(ctx, { message_id: body.message_id, chat_id: ctx.chat });
  else toast(ctx.host, t("buttonNotSimulated"));
}

function mark(item) {
  if (item.url && !/^https?:\/\/t\.me\//.test(item.url)) return icon("link", 14);
  if (item.copy_text) return icon("copy", 14);
  return null;
}

function make(item, label, ctx, body) {
  const classes = ["key", STYLES.has(item.style) && `key-${item.style}`, item.pay && "key-pay"].filter(Boolean);
  const off = item.disabled !== undefined && item.disabled !== null;
  const node = h(
    "button",
    { type: "button", class: classes.join(" "), disabled: off },
    h("span", { class: "key-label" }, label),
    mark(item),
  );
  if (!off) node.addEventListener("click", () => press(node, item, ctx, body));
  return node;
}

/** The inline keyboard of a message, or null. */
export function inlineKeyboard(message, ctx) {
  const rows = message.reply_markup?.inline_keyboard;
  if (!rows?.length) return null;
  let index = 0;
  const paid = message.sandbox?.paid_by?.includes(ctx.person);
  const lines = rows.map((row) =>
    h(
      "div",
      { class: "keys-row" },
      row.map((item) => {
        const body = { message_id: message.message_id, button: index };
        index += 1;
        const label = item.pay && paid ? `✓ ${t("paid")}` : item.text;
        return make(item, label, ctx, body);
      }),
    ),
  );
  return h("div", { class: "keys" }, lines);
}

/** Buttons inside a rich message; they are pressed by their data, having no place in a keyboard. */
export function richButtons(items, ctx, className) {
  const label = (value) =>
    typeof value === "string"
      ? value
      : [value]
          .flat()
          .map((part) => part.text ?? part)
          .join("");
  const nodes = items.map((item) =>
    make(item, label(item.text), ctx, { message_id: ctx.messageId, data: item.callback_data }),
  );
  return h("span", { class: className }, nodes);
}
