// One phone: a person, the chat they look at, and everything they can do there.

import { act } from "./api.js";
import { Composer } from "./composer.js";
import { button, fill, h } from "./dom.js";
import { count, initials, personName } from "./format.js";
import { icon } from "./icons.js";
import { openLink } from "./links.js";
import { avatar, copy } from "./message.js";
import { alertBox, confirm, openMenu, openSheet, toast } from "./overlay.js";
import { openWallet } from "./pay.js";
import { openEditPerson } from "./people.js";
import { groupsOf, inLanguage, isMember, openChat, standing, store, watch } from "./store.js";
import { Timeline } from "./timeline.js";
import { plural, t } from "./words.js";

const ACTION_MS = 5000;
const ACTIONS = {
  record_voice: "recording",
  upload_voice: "uploading",
  upload_photo: "uploading",
  upload_document: "uploading",
};

/** A phone for {person, chat}. `frame` is the page: openColumn, closeColumn, showList, chooseColumn. */
export class Column {
  constructor(person, chat, frame) {
    this.frame = frame;
    this.key = `${person}:${chat}`;
    this.phone = h("div", { class: "phone" });
    this.ctx = this.makeContext(person, chat);
    this.timeline = new Timeline(this.ctx);
    this.composer = null;
    this.footer = h("div", { class: "foot" });
    this.who = h("header", { class: "who" });
    this.head = h("header", { class: "chat-head" });
    this.status = h("span", { class: "chat-status" });
    this.intro = h("div", { class: "intro", hidden: true });
    this.drop = h("div", { class: "drop", hidden: true }, h("span", {}, icon("attach", 26), t("dropHere")));
    this.timeline.node.prepend(this.intro);
    this.phone.append(this.head, this.timeline.node, this.footer, this.drop);
    this.node = h(
      "section",
      { class: "column", data: { key: this.key }, on: { focusin: () => frame.activate(this.key) } },
      this.who,
      this.phone,
    );
    this.ends = [
      watch("persons", (changed) => changed.id === person && this.refresh()),
      watch("groups", () => this.refresh()),
      watch("bot", () => this.refresh()),
      watch("answer", (event) => this.answered(event)),
      watch(`chat:${chat}`, (detail) => this.changed(detail)),
    ];
    this.listenDrops();
    this.chat = openChat(chat);
    this.refresh();
    if (this.chat.loaded) this.changed({ kind: "loaded" });
  }

  makeContext(person, chat) {
    const ctx = {
      person,
      chat,
      host: this.phone,
      anonymous: false,
      messages: () => this.chat.messages,
      fail: (error) =>
        toast(this.phone, t("failed", { words: error.status === 0 ? t("noConnection") : error.message })),
      copy: (text) => copy(this.phone, text),
      openLink: (url, ask) => openLink(ctx, url, ask),
      openPrivate: () => this.frame.openColumn(person, person),
      reply: (message) => this.composer?.reply(message),
      edit: (message) => this.composer?.edit(message),
      jump: (id) => this.timeline.jump(id),
      viewPhoto: (url, words) => this.viewPhoto(url, words),
      sendText: (text, replyTo, throwing) => this.sendText(text, replyTo, throwing),
    };
    return ctx;
  }

  get person() {
    return store.persons.get(this.ctx.person);
  }

  get group() {
    return this.ctx.chat < 0 ? store.groups.get(this.ctx.chat) : null;
  }

  get title() {
    return this.ctx.chat < 0 ? this.group?.title || "" : store.bot.first_name;
  }

  close() {
    for (const end of this.ends) end();
    clearTimeout(this.actionTimer);
    this.timeline.close();
    this.node.remove();
  }

  async sendText(text, replyTo, throwing) {
    const body = { text, chat_id: this.ctx.chat };
    if (replyTo) body.reply_to_message_id = replyTo;
    if (this.ctx.anonymous) body.anonymous = true;
    try {
      await act(this.ctx.person, "send", body);
    } catch (error) {
      if (throwing) throw error;
      this.ctx.fail(error);
    }
  }

  answered(event) {
    if (event.person_id !== this.ctx.person || event.chat_id !== this.ctx.chat) return;
    if (event.url) openLink(this.ctx, event.url, false);
    if (!event.text) return;
    if (event.show_alert) alertBox(this.phone, this.title, event.text, event.links, this.ctx.openLink);
    else toast(this.phone, event.text);
  }

  changed(detail) {
    if (detail.kind === "loaded") {
      this.timeline.redraw(this.chat);
      this.showAction();
      this.refresh();
    } else if (detail.kind === "action") {
      this.showAction();
      return;
    } else {
      this.timeline.change(detail);
    }
    if (detail.kind === "message" || detail.kind === "deleted") this.refresh();
    if (detail.kind === "draft" || detail.kind === "message") this.showAction();
    this.composer?.keyboard.refresh(this.chat.messages);
    this.frame.read(this.key, this.chat.messages.at(-1)?.message_id);
  }

  showAction() {
    clearTimeout(this.actionTimer);
    const action = this.chat.action;
    if (action) {
      this.status.textContent = t(ACTIONS[action] || "typing");
      this.status.classList.add("busy");
      this.actionTimer = setTimeout(() => {
        this.chat.action = null;
        this.showAction();
      }, ACTION_MS);
      return;
    }
    this.status.classList.remove("busy");
    if (this.group)
      this.status.textContent = plural(
        "nMembers",
        this.group.members.filter((member) => isMember(this.group, member.id)).length,
      );
    else this.status.textContent = t(this.person?.blocked ? "blockedBot" : "bot");
  }

  refresh() {
    if (!this.person) return;
    this.showFoot();
    this.showAction();
    this.showIntro();
    const shape = JSON.stringify([this.person, this.title, groupsOf(this.ctx.person).length]);
    if (shape === this.shape) return; // what has the focus is not drawn anew without need
    this.shape = shape;
    this.node.setAttribute("aria-label", `${personName(this.person)} · ${this.title}`);
    this.showWho();
    this.showHead();
  }

  showWho() {
    const { person } = this;
    const name = personName(person);
    const language = person.language_code
      ? h("span", { class: "lang", title: t("language") }, person.language_code.toUpperCase())
      : null;
    fill(
      this.who,
      button("icon-button narrow-only", t("openList"), icon("menu", 22), () => this.frame.showList()),
      button(
        "who-name",
        t("switchPerson"),
        [avatar(person.id, name, "small"), h("strong", {}, name), language, icon("down", 16)],
        (event) => this.frame.chooseColumn(event.currentTarget),
        { "aria-haspopup": "menu", "aria-label": `${name}: ${t("switchPerson")}` },
      ),
      h("span", { class: "who-gap" }),
      h("span", { class: "badge narrow-only", title: t("simulatedLong") }, t("simulated")),
      button(
        "stars-pill",
        t("starsAndSubs"),
        [icon("star", 15), h("span", { class: "stars-count" }, count(person.stars))],
        () => openWallet(this.ctx),
      ),
      button("icon-button small wide-only", t("closeColumn"), icon("close", 16), () =>
        this.frame.closeColumn(this.key),
      ),
    );
  }

  showHead() {
    const picture = this.group
      ? h("span", { class: "avatar group", "aria-hidden": "true" }, initials(this.title))
      : avatar(store.bot.id, this.title);
    const several = groupsOf(this.ctx.person).length > 0;
    const words = h(
      "span",
      { class: "chat-words" },
      h("strong", {}, this.title, several ? icon("down", 15) : null),
      this.status,
    );
    const switcher = several
      ? button("chat-title", null, [picture, words], (event) => this.openChats(event.currentTarget), {
          "aria-haspopup": "menu",
        })
      : h("div", { class: "chat-title" }, picture, words);
    const menu = button("icon-button", t("personMenu"), icon("more", 22), () => this.openMenu(menu), {
      "aria-haspopup": "menu",
    });
    fill(this.head, switcher, menu);
  }

  showIntro() {
    const private_ = !this.group;
    this.intro.hidden = !(this.chat.loaded && !this.chat.messages.length);
    if (this.intro.hidden) return;
    const words = private_ ? inLanguage(store.bot.descriptions, this.person) : "";
    fill(
      this.intro,
      h(
        "div",
        { class: "intro-card" },
        private_ ? avatar(store.bot.id, "", "large") : null,
        h("strong", {}, words ? t("whatCan") : t("emptyChat")),
        words ? h("p", {}, words) : null,
      ),
    );
  }

  showFoot() {
    const { person, group } = this;
    let kind = "write";
    if (group && !isMember(group, person.id)) kind = "outside";
    else if (!group && person.blocked) kind = "blocked";
    else if (!group && this.chat.loaded && !this.chat.messages.length && !person.started) kind = "start";
    if (this.footKind === kind) return;
    this.footKind = kind;
    if (kind === "write") {
      this.composer = new Composer(this.ctx, this.title);
      fill(this.footer, this.composer.node);
      this.composer.keyboard.refresh(this.chat.messages);
      return;
    }
    this.composer = null;
    const wide = (label, name, look) =>
      h("button", { type: "button", class: `button large ${look}`, on: { click: () => this.do(name) } }, label);
    if (kind === "start")
      fill(this.footer, h("div", { class: "foot-bar" }, wide(t("start"), "start", "primary start-button")));
    if (kind === "blocked")
      fill(
        this.footer,
        h("div", { class: "foot-bar" }, h("span", {}, t("youBlocked")), wide(t("unblock"), "unblock", "")),
      );
    if (kind === "outside") fill(this.footer, h("div", { class: "foot-bar" }, h("span", {}, t("notMember"))));
  }

  async do(name, body = {}) {
    try {
      await act(this.ctx.person, name, body);
      if (name === "start") requestAnimationFrame(() => this.composer?.focus());
    } catch (error) {
      this.ctx.fail(error);
    }
  }

  openChats(anchor) {
    const open = (chat) => () => this.frame.replaceColumn(this.key, this.ctx.person, chat);
    openMenu(
      { anchor },
      [
        {
          label: store.bot.first_name,
          hint: t("bot"),
          icon: "person",
          checked: this.ctx.chat > 0,
          act: open(this.ctx.person),
        },
        ...groupsOf(this.ctx.person).map((group) => ({
          label: group.title,
          hint: t("groupWord"),
          icon: "group",
          checked: this.ctx.chat === group.id,
          act: open(group.id),
        })),
      ],
      t("openList"),
    );
  }

  openMenu(anchor) {
    const isAdmin = this.group && ["creator", "administrator"].includes(standing(this.group, this.ctx.person));
    openMenu(
      { anchor },
      [
        { label: t("editPerson"), icon: "person", act: () => openEditPerson(this.ctx) },
        { label: t("starsAndSubs"), icon: "star", act: () => openWallet(this.ctx) },
        isAdmin && {
          label: t("asGroup"),
          icon: "group",
          checked: this.ctx.anonymous,
          act: () => {
            this.ctx.anonymous = !this.ctx.anonymous;
            toast(this.phone, t(this.ctx.anonymous ? "asGroup" : "asSelf"));
          },
        },
        !this.group && { label: t("deepLink"), icon: "link", act: () => this.askPayload() },
        !this.group && {
          label: t(this.person.blocked ? "unblock" : "block"),
          icon: "block",
          act: () => this.do(this.person.blocked ? "unblock" : "block"),
        },
        !this.group && {
          label: t("deleteChat"),
          icon: "trash",
          danger: true,
          act: () =>
            confirm(this.phone, {
              title: t("deleteChat"),
              text: t("deleteChatAsk"),
              action: t("deleteChat"),
              danger: true,
              act: () => this.do("delete_chat"),
            }),
        },
      ],
      t("personMenu"),
    );
  }

  askPayload() {
    const field = h("input", {
      type: "text",
      maxlength: "64",
      pattern: "[A-Za-z0-9_-]*",
      placeholder: "ref_abc",
      data: { first: "1" },
      "aria-label": t("deepLink"),
      autocomplete: "off",
      spellcheck: "false",
    });
    const form = h(
      "form",
      { class: "form" },
      h("p", { class: "sheet-text" }, t("deepLinkText", { bot: store.bot.username })),
      field,
      h("div", { class: "sheet-actions" }, h("button", { type: "submit", class: "button primary large" }, t("open"))),
    );
    const sheet = openSheet(this.phone, { title: t("deepLink"), content: form });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      sheet.close();
      this.do("start", { payload: field.value.trim() });
    });
  }

  viewPhoto(url, words) {
    openSheet(document.body, {
      title: t("photo"),
      content: h("img", { class: "photo-large", src: url, alt: words }),
      wide: true,
    });
  }

  listenDrops() {
    let depth = 0;
    const show = (on) => {
      this.drop.hidden = !on || !this.composer;
    };
    const withFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
    this.phone.addEventListener("dragenter", (event) => {
      if (!withFiles(event)) return;
      depth += 1;
      show(true);
    });
    this.phone.addEventListener("dragleave", () => {
      depth = Math.max(0, depth - 1);
      if (!depth) show(false);
    });
    this.phone.addEventListener("dragover", (event) => event.preventDefault());
    this.phone.addEventListener("drop", (event) => {
      event.preventDefault();
      depth = 0;
      show(false);
      if (!this.composer || !event.dataTransfer.files.length) return;
      this.composer.tray.add(event.dataTransfer.files);
      this.composer.focus();
    });
  }
}
