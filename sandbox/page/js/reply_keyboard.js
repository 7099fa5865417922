// The bot's reply keyboard below the input line.

import { act } from "./api.js";
import { button, fill, h } from "./dom.js";
import { personName } from "./format.js";
import { icon } from "./icons.js";
import { openSheet } from "./overlay.js";
import { store } from "./store.js";
import { t } from "./words.js";

/** The keyboard that holds now: the newest message that brings one or takes it away decides. */
function current(messages) {
  const markup = messages.findLast((message) => message.sandbox?.keyboard)?.sandbox.keyboard;
  return markup?.keyboard ? markup : null;
}

/** Shows rows of keys; `refresh` after every message. */
export class ReplyKeyboard {
  constructor(ctx) {
    this.ctx = ctx;
    this.markup = null;
    this.node = h("div", { class: "reply-keys", hidden: true });
    this.toggle = button(
      "icon-button keys-toggle",
      t("botKeyboard"),
      icon("keyboard", 22),
      () => this.show(this.node.hidden),
      { hidden: true, "aria-expanded": "false" },
    );
  }

  show(on) {
    this.node.hidden = !on;
    this.toggle.setAttribute("aria-expanded", String(on));
  }

  refresh(messages) {
    const markup = current(messages);
    if (markup === this.markup) return;
    this.markup = markup;
    this.toggle.hidden = !markup;
    this.show(Boolean(markup));
    fill(
      this.node,
      markup
        ? markup.keyboard.map((row) =>
            h(
              "div",
              { class: "keys-row" },
              row.map((item) => this.key(item)),
            ),
          )
        : null,
    );
  }

  key(item) {
    const words = typeof item === "string" ? item : item.text;
    return button("reply-key", null, words, () => {
      this.press(item, words);
      if (this.markup?.one_time_keyboard) this.show(false);
    });
  }

  press(item, words) {
    const attach = (body) => act(this.ctx.person, "attach", { chat_id: this.ctx.chat, ...body }).catch(this.ctx.fail);
    if (item.request_users) this.chooseUsers(item.request_users, attach);
    else if (item.request_contact) attach({ kind: "contact" });
    else if (item.request_location) attach({ kind: "location" });
    else if (item.request_poll) attach({ kind: "poll" });
    else if (item.request_chat) {
      const group = [...store.groups.values()].find((other) => !other.migrated_to);
      attach({ kind: "chat_shared", request_id: item.request_chat.request_id, shared_chat_id: group?.id ?? 0 });
    } else this.ctx.sendText(words);
  }

  chooseUsers(wanted, attach) {
    const most = wanted.max_quantity || 1;
    const others = [...store.persons.values()].filter((person) => person.id !== this.ctx.person);
    const boxes = others.map((person) => {
      const box = h("input", { type: most > 1 ? "checkbox" : "radio", name: "share", value: person.id });
      return h("label", { class: "choice" }, box, personName(person));
    });
    const share = h("button", { type: "button", class: "button primary large", disabled: true }, t("share"));
    const list = h("div", { class: "choices" }, boxes);
    const chosen = () => [...list.querySelectorAll("input:checked")].map((box) => Number(box.value));
    list.addEventListener("change", () => {
      share.disabled = !chosen().length || chosen().length > most;
    });
    const sheet = openSheet(this.ctx.host, {
      title: t("chooseUsers"),
      content: [list, h("div", { class: "sheet-actions stacked" }, share)],
    });
    share.addEventListener("click", () => {
      attach({ kind: "users_shared", request_id: wanted.request_id, user_ids: chosen() });
      sheet.close();
    });
  }
}
