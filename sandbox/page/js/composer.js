// The input line: writing, editing, answering, commands, files, voice, the bot's reply keyboard.

import { act, get } from "./api.js";
import { canRecord, quickSends, record, Tray } from "./attachments.js";
import { button, fill, h, isNarrow } from "./dom.js";
import { icon } from "./icons.js";
import { summary } from "./media.js";
import { isOwn, senderName } from "./message.js";
import { openMenu } from "./overlay.js";
import { ReplyKeyboard } from "./reply_keyboard.js";
import { t } from "./words.js";

const FIELD_PX_MAX = 160;
const COMMANDS_SHOWN_MAX = 100;
let lists = 0;
const unsent = new Map(); // what was typed and not sent, by person and chat

/** The line below a chat. `title` is the chat's name, for screen readers. */
export class Composer {
  constructor(ctx, title) {
    this.ctx = ctx;
    this.key = `${ctx.person}:${ctx.chat}`;
    this.commands = [];
    this.replied = null;
    this.edited = null;
    this.sending = false;
    lists += 1;
    this.listId = `commands-${lists}`;
    this.field = h("textarea", {
      class: "field",
      "aria-autocomplete": "list",
      "aria-controls": this.listId,
      rows: "1",
      placeholder: t("message"),
      "aria-label": t("messageTo", { chat: title }),
      enterkeyhint: "send",
      autocomplete: "off",
      "data-testid": "composer",
    });
    this.files = h("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-hidden": "true" });
    this.tray = new Tray(ctx, () => this.refresh());
    this.bar = h("div", { class: "context-bar", hidden: true });
    this.list = h("div", {
      class: "commands",
      id: this.listId,
      role: "listbox",
      "aria-label": t("commands"),
      hidden: true,
    });
    this.keyboard = new ReplyKeyboard(ctx);
    this.clip = button("icon-button", t("attach"), icon("attach", 22), () => this.openAttach(), {
      "aria-haspopup": "menu",
    });
    this.slash = button("icon-button slash", t("commands"), icon("slash", 22), () => this.toggleCommands(), {
      "aria-expanded": "false",
    });
    this.main = h("button", { type: "button", class: "send-button", on: { click: () => this.pressMain() } });
    this.line = h(
      "div",
      { class: "composer-line" },
      this.clip,
      h("div", { class: "field-frame" }, this.field, this.keyboard.toggle, this.slash),
      this.main,
    );
    this.node = h(
      "footer",
      { class: "composer" },
      this.list,
      this.bar,
      this.tray.node,
      this.line,
      this.keyboard.node,
      this.files,
    );
    this.listen();
    this.field.value = unsent.get(this.key) || "";
    this.refresh();
    this.readCommands();
  }

  listen() {
    this.field.addEventListener("input", () => {
      unsent.set(this.key, this.field.value);
      this.refresh();
      this.filterCommands();
    });
    this.field.addEventListener("keydown", (event) => this.typed(event));
    this.field.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.tray.add(event.clipboardData.files);
    });
    this.field.addEventListener("blur", () =>
      setTimeout(() => {
        if (!this.node.contains(document.activeElement)) this.showCommands([]);
      }, 150),
    );
    this.files.addEventListener("change", () => {
      this.tray.add(this.files.files, this.wanted);
      this.files.value = "";
      this.field.focus();
    });
  }

  async readCommands() {
    try {
      this.commands = (await get(`commands?person=${this.ctx.person}&chat_id=${this.ctx.chat}`)).commands;
    } catch {
      this.commands = [];
    }
    this.refresh();
  }

  refresh() {
    const empty = !this.field.value.trim() && this.tray.empty;
    const voice = empty && !this.edited && canRecord();
    const label = t(voice ? "recordVoice" : "send");
    if (this.main.dataset.kind !== label) {
      fill(this.main, icon(voice ? "mic" : "send", 22));
      this.main.dataset.kind = label;
      this.main.setAttribute("aria-label", label);
      this.main.title = label;
    }
    this.voice = voice;
    this.main.disabled = empty && !voice;
    this.slash.hidden = !this.commands.length || Boolean(this.field.value) || Boolean(this.edited);
    this.clip.disabled = Boolean(this.edited);
    this.field.placeholder = t(this.tray.empty ? "message" : "caption");
    this.field.style.height = "auto";
    if (this.field.scrollHeight) this.field.style.height = `${Math.min(this.field.scrollHeight, FIELD_PX_MAX)}px`;
  }

  typed(event) {
    if (!this.list.hidden && this.stepCommands(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    } else if (event.key === "Escape" && (this.edited || this.replied)) {
      this.clearContext();
    } else if (event.key === "ArrowUp" && !this.field.value) {
      const own = this.ctx
        .messages()
        .findLast((message) => isOwn(message, this.ctx.person) && message.text !== undefined);
      if (!own) return;
      event.preventDefault();
      this.edit(own);
    }
  }

  pressMain() {
    if (!this.voice) {
      this.send();
      return;
    }
    this.line.hidden = true;
    record(this.ctx, this.node, () => {
      this.line.hidden = false;
    });
  }

  async send() {
    const text = this.field.value;
    if (this.sending || (!text.trim() && this.tray.empty)) return;
    this.sending = true;
    this.setText("");
    this.showCommands([]);
    try {
      if (this.edited) {
        await act(this.ctx.person, "edit", { message_id: this.edited.message_id, chat_id: this.ctx.chat, text });
      } else if (!this.tray.empty) {
        await this.tray.send(text.trim());
      } else {
        await this.ctx.sendText(text, this.replied?.message_id, true);
      }
      this.clearContext();
    } catch (error) {
      if (!this.field.value) this.setText(text);
      this.ctx.fail(error);
    } finally {
      this.sending = false;
      this.refresh();
    }
  }

  setText(text) {
    this.field.value = text;
    unsent.set(this.key, text);
    this.refresh();
  }

  focus() {
    if (!isNarrow()) this.field.focus({ preventScroll: true });
  }

  reply(message) {
    this.clearContext();
    this.replied = message;
    this.showContext("reply", t("replyTo", { name: senderName(message) }), summary(message));
  }

  edit(message) {
    this.clearContext();
    this.edited = message;
    const text = message.text ?? message.caption ?? "";
    this.setText(text);
    this.showContext("edit", t("editing"), text);
    this.field.setSelectionRange(text.length, text.length);
  }

  showContext(sign, title, text) {
    const drop = button("icon-button", t("cancel"), icon("close", 18), () => this.clearContext());
    fill(
      this.bar,
      icon(sign, 20),
      h("div", { class: "context-words" }, h("strong", {}, title), h("span", {}, text)),
      drop,
    );
    this.bar.hidden = false;
    this.field.focus();
  }

  clearContext() {
    if (this.edited) this.setText("");
    this.edited = null;
    this.replied = null;
    this.bar.hidden = true;
    this.refresh();
  }

  openAttach() {
    const pick = (accept, kind) => () => {
      this.files.accept = accept;
      this.wanted = kind;
      this.files.click();
    };
    openMenu(
      { anchor: this.clip },
      [
        { label: t("photo"), icon: "photo", act: pick("image/png,image/jpeg,image/gif", null) },
        { label: t("file"), icon: "file", act: pick("", "document") },
        { label: t("voiceFile"), icon: "voice", act: pick("audio/*", "voice") },
        ...quickSends(this.ctx),
      ],
      t("attach"),
    );
  }

  toggleCommands() {
    if (this.list.hidden) {
      this.readCommands().then(() => this.showCommands(this.commands));
      this.field.focus();
    } else {
      this.showCommands([]);
    }
  }

  filterCommands() {
    const typed = /^\/(\w*)$/.exec(this.field.value);
    const found = typed ? this.commands.filter((item) => item.command.startsWith(typed[1].toLowerCase())) : [];
    this.showCommands(found);
  }

  showCommands(items) {
    this.list.hidden = !items.length;
    this.slash.setAttribute("aria-expanded", String(!this.list.hidden));
    fill(
      this.list,
      items.slice(0, COMMANDS_SHOWN_MAX).map((item, at) => {
        const attributes = { role: "option", id: `${this.listId}-${at}`, tabindex: "-1" };
        const content = [h("strong", {}, `/${item.command}`), h("span", {}, item.description)];
        return button("command", null, content, () => this.sendCommand(item.command), attributes);
      }),
    );
    this.choose(this.list.firstElementChild);
  }

  /** Marks the command that Enter sends, for the eye and for a screen reader; the keyboard stays in the field. */
  choose(chosen) {
    for (const item of this.list.children) item.setAttribute("aria-selected", String(item === chosen));
    if (chosen) this.field.setAttribute("aria-activedescendant", chosen.id);
    else this.field.removeAttribute("aria-activedescendant");
  }

  sendCommand(name) {
    this.setText("");
    this.showCommands([]);
    this.field.focus();
    this.ctx.sendText(`/${name}`);
  }

  stepCommands(event) {
    const items = [...this.list.children];
    const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const next = items[(at + step + items.length) % items.length];
      this.choose(next);
      next.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" || event.key === "Tab") {
      items[at].click();
    } else if (event.key === "Escape") {
      this.showCommands([]);
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }
}
