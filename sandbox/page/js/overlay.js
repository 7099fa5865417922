// What lies over the page: sheets, menus, short notes, questions.

import { button, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./words.js";

const TOAST_MS = 3600;
const FOCUSABLE = "button:not([disabled]), [href], input:not([disabled]), select, textarea, [tabindex='0']";

function keepInside(event, box) {
  if (event.key !== "Tab") return;
  const stops = [...box.querySelectorAll(FOCUSABLE)].filter((node) => node.offsetParent !== null);
  if (!stops.length) return;
  const edge = event.shiftKey ? stops[0] : stops.at(-1);
  if (document.activeElement !== edge) return;
  event.preventDefault();
  (event.shiftKey ? stops.at(-1) : stops[0]).focus();
}

/**
 * A dialog over `host` (a phone, or the whole page). Answers {box, body, close}; Escape, the cross and a press beside
 * it close it, unless `locked()` says that something is under way.
 */
export function openSheet(host, { title, content, onClose, locked = () => false, wide = false }) {
  const before = document.activeElement;
  const body = h("div", { class: "sheet-body" });
  const layer = h("div", { class: "sheet-layer" });
  const others = [...host.children].filter((node) => !node.inert);
  let open = true;

  function close() {
    if (!open) return;
    open = false;
    layer.remove();
    for (const node of others) node.inert = false;
    // What opened it may have been drawn anew meanwhile: the keyboard goes on in the chat.
    const back = before?.isConnected ? before : host.querySelector(".scroll");
    back?.focus({ preventScroll: true });
    onClose?.();
  }
  const tryClose = () => {
    if (!locked()) close();
  };

  const cross = button("icon-button", t("close"), icon("close"), tryClose);
  const head = h("header", { class: "sheet-head" }, h("h2", {}, title), cross);
  const box = h(
    "section",
    { class: wide ? "sheet wide" : "sheet", role: "dialog", "aria-modal": "true", "aria-label": title },
    head,
    body,
  );
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      tryClose();
    } else {
      keepInside(event, box);
    }
  });
  layer.addEventListener("pointerdown", (event) => {
    if (event.target === layer) tryClose();
  });
  fill(body, content);
  layer.append(box);
  hush(host);
  host.append(layer);
  for (const node of others) node.inert = true;
  (body.querySelector("[data-first]") || body.querySelector(FOCUSABLE) || cross).focus({ preventScroll: true });
  return { box, body, close };
}

/** A question with one button that does it. */
export function confirm(host, { title, text, action, danger = false, act, extra = null }) {
  const yes = h(
    "button",
    { type: "button", class: danger ? "button danger" : "button primary", data: { first: "1" } },
    action,
  );
  const no = h("button", { type: "button", class: "button" }, t("cancel"));
  const content = [h("p", { class: "sheet-text" }, text), extra, h("div", { class: "sheet-actions" }, no, yes)];
  const sheet = openSheet(host, { title, content });
  no.addEventListener("click", sheet.close);
  yes.addEventListener("click", () => {
    sheet.close();
    act();
  });
}

const hush = (host) => {
  for (const old of host.querySelectorAll(":scope > .toast")) old.remove();
};

/** A note that goes away by itself. It covers neither the line below a chat nor the buttons of a sheet. */
export function toast(host, text) {
  hush(host);
  const note = h("div", { class: "toast", role: "status" }, text);
  host.append(note);
  setTimeout(() => note.remove(), TOAST_MS);
  if (host === document.body) return;
  const below = host.querySelector(":scope > .sheet-layer .sheet") || host.querySelector(":scope > .foot");
  const space = host.clientHeight - note.offsetHeight - 28;
  if (below) note.style.bottom = `${Math.min(below.offsetHeight, space) + 14}px`;
}

/** What answerCallbackQuery shows with show_alert: stays until it is closed. `links`: buttons that lead elsewhere. */
export function alertBox(host, title, text, links = [], open = null) {
  const leads = links.map((item) => h("button", { type: "button", class: "button" }, item.text));
  const ok = h("button", { type: "button", class: "button primary", data: { first: "1" } }, t("ok"));
  const sheet = openSheet(host, {
    title,
    content: [h("p", { class: "sheet-text" }, text), h("div", { class: "sheet-actions" }, leads, ok)],
  });
  ok.addEventListener("click", sheet.close);
  leads.forEach((lead, index) => {
    lead.addEventListener("click", () => {
      sheet.close();
      open(links[index].url, false);
    });
  });
}

let openedMenu = null;

export function closeMenu() {
  openedMenu?.();
}

function put(box, { x, y, anchor }) {
  const { width, height } = box.getBoundingClientRect();
  const around = anchor ? anchor.getBoundingClientRect() : { left: x, right: x, top: y, bottom: y };
  let left = anchor && around.left + width > innerWidth - 8 ? around.right - width : around.left;
  left = Math.max(8, Math.min(left, innerWidth - width - 8));
  const below = around.bottom + 6;
  const top = below + height > innerHeight - 8 ? around.top - height - 6 : below;
  box.style.left = `${left}px`;
  box.style.top = `${Math.max(8, Math.min(top, innerHeight - height - 8))}px`;
}

/**
 * A menu at `where` ({anchor} or {x, y}). An item is {label, icon, act, danger, checked, hint} or {node}, which stands
 * there as it is.
 */
export function openMenu(where, items, label) {
  closeMenu();
  const before = document.activeElement;
  const box = h("div", { class: "menu", role: "menu", "aria-label": label });
  const close = (refocus) => {
    box.remove();
    document.removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", close);
    openedMenu = null;
    if (refocus === true && before?.isConnected) before.focus({ preventScroll: true });
  };
  const outside = (event) => {
    if (!box.contains(event.target)) close();
  };
  for (const item of items.filter(Boolean)) {
    if (item.node) {
      box.append(item.node);
      continue;
    }
    const words = h("span", { class: "menu-words" }, item.label, item.hint ? h("small", {}, item.hint) : null);
    const mark = item.checked ? icon("check", 18) : null;
    const attributes = { role: "menuitem", tabindex: "-1" };
    const entry = button(
      item.danger ? "menu-item danger" : "menu-item",
      null,
      [item.icon ? icon(item.icon, 18) : null, words, mark],
      () => {
        close(true);
        item.act();
      },
      attributes,
    );
    box.append(entry);
  }
  box.addEventListener("keydown", (event) => {
    const entries = [...box.querySelectorAll("button")];
    const at = entries.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) entries[(at + step + entries.length) % entries.length].focus();
    else if (event.key === "Escape" || event.key === "Tab") close(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(box);
  put(box, where);
  openedMenu = close;
  document.addEventListener("pointerdown", outside, true);
  addEventListener("resize", close, { once: true });
  box.querySelector("button")?.focus({ preventScroll: true });
}
