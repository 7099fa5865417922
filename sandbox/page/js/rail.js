// The list of people and their chats, and the tools of the page.

import { button, fill, h } from "./dom.js";
import { brief, initials, personName } from "./format.js";
import { icon, mark } from "./icons.js";
import { summary } from "./media.js";
import { avatar } from "./message.js";
import { openAddGroup, openAddPerson } from "./people.js";
import { keep, prefs } from "./prefs.js";
import { groupsOf, store, watch } from "./store.js";
import { t } from "./words.js";

/** Draws the rail into `node`; `frame` is the page. */
export class Rail {
  constructor(frame) {
    this.frame = frame;
    this.list = h("nav", { class: "rail-list", "aria-label": t("openList") });
    this.node = h("aside", { class: "rail" }, this.brand(), this.list, this.adders(), this.tools());
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape") frame.hideList();
    });
    this.ends = ["persons", "groups", "bot", "preview"].map((topic) => watch(topic, () => this.soon()));
    this.show();
  }

  close() {
    for (const end of this.ends) end();
  }

  // Many events may come in one go; the list is drawn once for all of them.
  soon() {
    if (this.waiting) return;
    this.waiting = true;
    setTimeout(() => {
      this.waiting = false;
      this.show();
    }, 60);
  }

  brand() {
    return h(
      "div",
      { class: "brand" },
      mark(34),
      h(
        "div",
        { class: "brand-words" },
        h("h1", {}, "Forma"),
        h("span", { class: "badge", title: t("simulatedLong"), tabindex: "0" }, t("simulated")),
      ),
      button("icon-button narrow-only", t("close"), icon("close", 20), () => this.frame.hideList()),
    );
  }

  adders() {
    const host = document.body;
    const add = () => openAddPerson(host, (person) => this.frame.openColumn(person.id, person.id));
    const addGroup = () =>
      openAddGroup(host, (group) => {
        const first = group.members.find((member) => store.persons.has(member.id));
        if (first) this.frame.openColumn(first.id, group.id);
      });
    return h(
      "div",
      { class: "rail-add" },
      h("button", { type: "button", class: "ghost", on: { click: add } }, icon("plus", 18), t("addPerson")),
      button("icon-button small", t("addGroup"), icon("group", 18), addGroup),
    );
  }

  tools() {
    const lang = (code, label) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(prefs.lang === code),
          on: { click: () => this.frame.setLanguage(code) },
        },
        label,
      );
    const old = h("input", {
      type: "checkbox",
      role: "switch",
      checked: prefs.oldClient,
      on: {
        change: () => {
          prefs.oldClient = old.checked;
          keep();
          this.frame.redraw();
        },
      },
    });
    return h(
      "div",
      { class: "rail-tools" },
      h("label", { class: "switch", title: t("oldClientHint") }, h("span", {}, t("oldClient")), old),
      h(
        "div",
        { class: "rail-row" },
        h(
          "div",
          { class: "segments", role: "group", "aria-label": t("language") },
          lang("ru", "Рус"),
          lang("en", "Eng"),
        ),
        h(
          "button",
          { type: "button", class: "ghost tools-button", on: { click: () => this.frame.toggleTools() } },
          icon("sliders", 18),
          t("settings"),
        ),
      ),
    );
  }

  show() {
    const entries = [...store.persons.values()].flatMap((person) => [
      this.entry(person, person.id, false),
      ...groupsOf(person.id).map((group) => this.entry(person, group.id, true, group)),
    ]);
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    fill(this.list, h("h2", { class: "rail-title" }, t("people")), entries);
    if (focused) entries.find((entry) => entry.dataset.key === focused)?.focus();
  }

  entry(person, chat, isGroup, group) {
    const key = `${person.id}:${chat}`;
    const name = isGroup ? group.title : personName(person);
    const last = store.last.get(chat);
    const unread =
      last && last.from?.id !== person.id && last.message_id > (prefs.seen[key] || 0) && !this.frame.isOpen(key);
    const classes = [
      "entry",
      isGroup && "entry-group",
      this.frame.isOpen(key) && "open",
      this.frame.isActive(key) && "active",
      unread && "unread",
    ];
    const language =
      !isGroup && person.language_code ? h("span", { class: "lang" }, person.language_code.toUpperCase()) : null;
    const picture = isGroup
      ? h("span", { class: "avatar group small", "aria-hidden": "true" }, initials(name))
      : avatar(person.id, name, "small");
    const label = t("openChat", { chat: isGroup ? name : store.bot.first_name, person: personName(person) });
    return button(
      classes.filter(Boolean).join(" "),
      null,
      [
        picture,
        h(
          "span",
          { class: "entry-words" },
          h(
            "span",
            { class: "entry-top" },
            h("strong", {}, name),
            language,
            h("span", { class: "entry-gap" }),
            last ? h("time", {}, brief(last.date)) : null,
          ),
          h("span", { class: "entry-last" }, summary(last) || (isGroup ? t("groupWord") : t("emptyChat"))),
        ),
        unread ? h("span", { class: "unread-dot", "aria-hidden": "true" }) : null,
      ],
      () => this.frame.openColumn(person.id, chat),
      { "aria-label": label, "aria-current": this.frame.isOpen(key) ? "true" : null, data: { key } },
    );
  }
}
