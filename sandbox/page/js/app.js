// The page: a rail of people, phones side by side, a drawer of tools.

import { Column } from "./column.js";
import { fill, h, isNarrow } from "./dom.js";
import { personName } from "./format.js";
import { icon, mark } from "./icons.js";
import { live } from "./live.js";
import { closeMenu, openMenu } from "./overlay.js";
import { addPerson, openAddPerson, personForm } from "./people.js";
import { keep, prefs } from "./prefs.js";
import { Rail } from "./rail.js";
import { groupsOf, isMember, store, watch } from "./store.js";
import { Tools } from "./tools.js";
import { t } from "./words.js";

const COLUMNS_MAX = 8;
const LOST_MS = 10_000;
const root = document.getElementById("app");
const keyOf = ({ person, chat }) => `${person}:${chat}`;

let columns = []; // [{person, chat}], as they stand from left to right
let lost = []; // how they stood before a reset, which may make the same people again
let lostAt = 0;
let active = "";
let shown = new Map(); // key → Column
let rail = null;
let tools = null;
let stage = null;

const exists = ({ person, chat }) =>
  store.persons.has(person) && (person === chat || isMember(store.groups.get(chat), person));

/** Where a phone goes on when its group became a supergroup. */
function successor(item) {
  const next = store.groups.get(store.groups.get(item.chat)?.migrated_to); // it may be heard of a moment later
  return next && isMember(next, item.person) ? { person: item.person, chat: next.id } : item;
}

function remember() {
  prefs.columns = columns;
  prefs.active = Math.max(
    0,
    columns.findIndex((item) => keyOf(item) === active),
  );
  keep();
  const current = columns[prefs.active];
  const hash = current ? `#person=${current.person}&chat=${current.chat}` : "";
  if (location.hash !== hash) history.replaceState(null, "", hash || location.pathname);
}

function fromHash() {
  const values = new URLSearchParams(location.hash.slice(1));
  const person = Number(values.get("person"));
  return person ? { person, chat: Number(values.get("chat")) || person } : null;
}

/** Whom a newcomer sees first: a person of their language, and beside them who runs the admin group. */
function firstColumns() {
  const persons = [...store.persons.values()];
  const guests = persons.filter((person) => !groupsOf(person.id).length);
  const first = guests.find((person) => person.language_code === prefs.lang) || guests[0] || persons[0];
  if (!first) return [];
  const operator = persons.find((person) => groupsOf(person.id).length);
  const chosen = [{ person: first.id, chat: first.id }];
  if (operator && !isNarrow()) chosen.push({ person: operator.id, chat: groupsOf(operator.id)[0].id });
  return chosen;
}

export const frame = {
  isOpen: (key) => (isNarrow() ? key === active : shown.has(key)),
  isActive: (key) => key === active,
  openColumn(person, chat) {
    const key = keyOf({ person, chat });
    if (!columns.some((item) => keyOf(item) === key)) columns = [...columns, { person, chat }].slice(-COLUMNS_MAX);
    frame.hideList();
    frame.activate(key);
    arrange();
    shown.get(key)?.node.scrollIntoView({ inline: "nearest", block: "nearest" });
    shown.get(key)?.composer?.focus();
  },
  closeColumn(key) {
    columns = columns.filter((item) => keyOf(item) !== key);
    if (active === key) active = columns.length ? keyOf(columns.at(-1)) : "";
    arrange();
  },
  replaceColumn(key, person, chat) {
    const next = { person, chat };
    const there = columns.some((item) => keyOf(item) === keyOf(next));
    columns = there ? columns : columns.map((item) => (keyOf(item) === key ? next : item));
    active = keyOf(next);
    arrange();
    shown.get(active)?.composer?.focus();
  },
  activate(key) {
    if (active === key) return;
    active = key;
    for (const [name, column] of shown) column.node.classList.toggle("active", name === key);
    remember();
    rail?.soon();
  },
  read(key, id) {
    if (!id || !frame.isOpen(key) || document.hidden || prefs.seen[key] === id) return;
    prefs.seen[key] = id;
    keep();
  },
  chooseColumn(anchor) {
    const people = [...store.persons.values()].map((person) => ({
      label: personName(person),
      hint: person.language_code?.toUpperCase(),
      icon: "person",
      checked: active.startsWith(`${person.id}:`),
      act: () => frame.openColumn(person.id, person.id),
    }));
    const add = {
      label: t("addPerson"),
      icon: "plus",
      act: () => openAddPerson(document.body, (person) => frame.openColumn(person.id, person.id)),
    };
    openMenu({ anchor }, [...people, add], t("switchPerson"));
  },
  showList() {
    root.classList.add("list-open");
    rail.node.querySelector(".entry")?.focus();
  },
  hideList: () => root.classList.remove("list-open"),
  toggleTools() {
    frame.hideList();
    if (tools) {
      tools.close();
      tools = null;
      rail.node.querySelector(".tools-button")?.focus();
    } else {
      tools = new Tools(frame.toggleTools);
      root.append(tools.node);
      tools.node.querySelector("button").focus();
    }
    root.classList.toggle("tools-open", Boolean(tools));
  },
  setLanguage(lang) {
    prefs.lang = lang;
    keep();
    rebuild();
  },
  redraw() {
    for (const column of shown.values()) if (column.chat.loaded) column.timeline.redraw(column.chat);
  },
};

function welcome() {
  const form = personForm(null, t("add"), (fields) =>
    addPerson(fields, (person) => frame.openColumn(person.id, person.id), document.body),
  );
  return h(
    "div",
    { class: "welcome" },
    mark(56),
    h("h2", {}, t("welcomeTitle")),
    h("p", {}, t("welcomeText")),
    h("p", { class: "welcome-note" }, t("simulatedLong")),
    form,
  );
}

function nothingOpen() {
  const list = h(
    "button",
    { type: "button", class: "button primary narrow-only", on: { click: frame.showList } },
    t("openList"),
  );
  return h(
    "div",
    { class: "welcome quiet" },
    icon("group", 40),
    h("h2", {}, t("pickTitle")),
    h("p", {}, t("pickText")),
    list,
  );
}

/** Brings the phones on screen to what `columns` says, keeping those that stay. */
function arrange() {
  const moved = columns.map(successor);
  active = keyOf(moved.find((_, at) => keyOf(columns[at]) === active) || { person: 0, chat: 0 });
  columns = moved.filter((item, at) => moved.findIndex((other) => keyOf(other) === keyOf(item)) === at);
  if (columns.length && !columns.every(exists)) [lost, lostAt] = [columns, performance.now()];
  columns = columns.filter(exists);
  if (!columns.some((item) => keyOf(item) === active)) active = columns.length ? keyOf(columns[0]) : "";
  const wanted = new Set(columns.map(keyOf));
  for (const [key, column] of shown) {
    if (wanted.has(key)) continue;
    column.close();
    shown.delete(key);
  }
  stage.querySelector(".welcome")?.remove();
  columns.forEach((item, at) => {
    const key = keyOf(item);
    if (!shown.has(key)) shown.set(key, new Column(item.person, item.chat, frame));
    const { node } = shown.get(key);
    node.classList.toggle("active", key === active);
    if (stage.children[at] !== node) stage.insertBefore(node, stage.children[at] || null);
    shown.get(key).timeline.stick(false);
  });
  if (!columns.length) stage.append(store.persons.size ? nothingOpen() : welcome());
  for (const [key, column] of shown) frame.read(key, column.chat.messages.at(-1)?.message_id);
  remember();
  rail.soon();
}

/** Draws everything anew: at first, in another language, after a reset. */
function rebuild() {
  closeMenu();
  const withTools = Boolean(tools);
  tools?.close();
  tools = null;
  rail?.close();
  for (const column of shown.values()) column.close();
  shown = new Map();
  document.documentElement.lang = prefs.lang;
  rail = new Rail(frame);
  stage = h("main", { class: "stage" });
  const offline = h(
    "div",
    { class: "offline", role: "status", hidden: store.connected },
    h("span", { class: "spinner" }),
    t("unreachable"),
  );
  const veil = h("div", { class: "veil", on: { click: frame.hideList } });
  fill(root, rail.node, stage, veil, offline);
  arrange();
  if (withTools) frame.toggleTools();
}

function readAnew() {
  const linked = fromHash();
  if (!columns.length) {
    columns = (prefs.columns || []).filter((item) => item && exists(item));
    if (!columns.length && !(linked && exists(linked))) columns = firstColumns();
    active = columns.length ? keyOf(columns[Math.min(prefs.active, columns.length - 1)]) : "";
  }
  if (linked && exists(linked)) {
    if (!columns.some((item) => keyOf(item) === keyOf(linked))) columns = [...columns, linked];
    active = keyOf(linked);
  }
  rebuild();
}

watch("all", readAnew);
watch("connection", () => {
  const offline = root.querySelector(".offline");
  if (offline) offline.hidden = store.connected;
});

/** People or groups turned up: phones that a reset took away come back; on an empty page the first one opens. */
function someoneCame() {
  if (!stage) return;
  const back = performance.now() - lostAt < LOST_MS ? lost.filter(exists) : [];
  if (back.length > columns.length) columns = back;
  else if (!columns.length) columns = firstColumns();
  else if (columns.every((item) => successor(item) === item)) return;
  arrange();
}
watch("persons", someoneCame);
watch("groups", someoneCame);
addEventListener("hashchange", () => {
  const linked = fromHash();
  if (linked && exists(linked)) frame.openColumn(linked.person, linked.chat);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const [key, column] of shown) frame.read(key, column.chat.messages.at(-1)?.message_id);
});

document.documentElement.lang = prefs.lang;
fill(root, h("div", { class: "offline", role: "status" }, h("span", { class: "spinner" }), t("unreachable")));
live();
