// The scrolling part of a chat. Shows the newest messages first and earlier ones as they are scrolled to.

import { carryFocus, carryOpen } from "./carry.js";
import { button, fill, h, isNarrow } from "./dom.js";
import { DraftRow } from "./draft.js";
import { dayKey } from "./format.js";
import { icon } from "./icons.js";
import { messageRow } from "./message.js";
import { serviceText } from "./service.js";
import { openWhole, store } from "./store.js";
import { t } from "./words.js";

const STEP = 80; // messages that are added at a time
const ROWS_MAX = 240; // rows kept while the reader stays at the end
const NEAR_TOP_PX = 500;
const NEAR_END_PX = 70;
const RUN_S = 300;
const SENT_WAIT_MS = 400; // a draft that became a message leaves when the message comes

const sameSender = (a, b) => a.from?.id === b.from?.id && a.sender_chat?.id === b.sender_chat?.id;

/** Messages of one chat as rows; `redraw` for all, `change` for one event of the store. */
export class Timeline {
  constructor(ctx) {
    this.ctx = ctx;
    this.chat = null;
    this.from = 0; // index of the first message that is shown
    this.rows = new Map(); // id of each message → its row {node, messages}
    this.stuck = true;
    this.lastTop = 0;
    this.missed = 0;
    this.lane = h("div", { class: "lane", role: "log", "aria-live": "polite", "aria-relevant": "additions" });
    this.tail = h("div", { class: "tail" });
    this.column = h("div", { class: "lane-column" }, this.lane, this.tail);
    this.scroll = h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": t("messages") }, this.column);
    this.badge = h("span", { class: "to-end-count", hidden: true });
    this.toEnd = button("to-end", t("toEnd"), [icon("down", 22), this.badge], () => this.stick(true), { hidden: true });
    this.node = h("div", { class: "timeline" }, this.scroll, this.toEnd);
    this.scroll.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.sizes = new ResizeObserver(() => {
      if (this.stuck) this.scroll.scrollTop = this.scroll.scrollHeight;
    });
    this.sizes.observe(this.column);
    this.sizes.observe(this.scroll);
  }

  close() {
    this.sizes.disconnect();
    this.dropDraft();
  }

  stick(smooth) {
    this.stuck = true;
    this.missed = 0;
    this.scroll.scrollTo({ top: this.scroll.scrollHeight, behavior: smooth ? "smooth" : "instant" });
    this.showEnd();
  }

  showEnd() {
    this.toEnd.hidden = this.stuck;
    this.badge.hidden = !this.missed;
    this.badge.textContent = this.missed;
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    // Growth moves the end away without a step back: only the reader's own step back lets go of it.
    if (atEnd) this.stuck = true;
    else if (scrollTop < this.lastTop - 1) this.stuck = false;
    this.lastTop = scrollTop;
    if (this.stuck) this.missed = 0;
    this.showEnd();
    if (scrollTop < NEAR_TOP_PX) this.earlier();
  }

  /** Shows the chat from its end. */
  redraw(chat) {
    this.chat = chat;
    this.rows.clear();
    this.lane.replaceChildren();
    this.from = Math.max(0, chat.messages.length - STEP);
    for (let at = this.from; at < chat.messages.length; at += 1) this.append(at, false);
    this.showDraft();
    this.stick(false);
  }

  /** Adds what came before, and keeps the reader where they are. */
  earlier() {
    if (!this.chat || this.filling) return;
    if (this.from === 0) {
      if (!this.chat.whole) openWhole(this.chat);
      return;
    }
    this.filling = true;
    const before = this.scroll.scrollHeight;
    const start = Math.max(0, this.from - STEP);
    const rows = this.rowsBetween(start, this.from);
    this.from = start;
    this.lane.prepend(...rows.map((row) => row.node));
    this.scroll.scrollTop += this.scroll.scrollHeight - before;
    this.filling = false;
  }

  rowsBetween(start, end) {
    const rows = [];
    const { messages } = this.chat;
    let at = start;
    while (at < end) {
      let until = at + 1;
      while (until < end && this.isAlbum(messages[at], messages[until])) until += 1;
      rows.push(this.make(messages.slice(at, until), messages[at - 1], false));
      at = until;
    }
    return rows;
  }

  isAlbum = (a, b) => Boolean(a.media_group_id && a.photo && b.photo && a.media_group_id === b.media_group_id);

  make(messages, before, fresh) {
    const first = messages[0];
    const newDay = !before || dayKey(before.date) !== dayKey(first.date);
    const run =
      before &&
      !newDay &&
      sameSender(before, first) &&
      first.date - before.date < RUN_S &&
      serviceText(before) === null;
    const row = { messages, node: messageRow(messages, this.ctx, { day: newDay, first: !run, fresh }) };
    for (const message of messages) this.rows.set(message.message_id, row);
    return row;
  }

  append(at, fresh) {
    const { messages } = this.chat;
    const message = messages[at];
    const before = messages[at - 1];
    const last = before && this.rows.get(before.message_id);
    if (last && this.isAlbum(before, message)) {
      this.replace(last, [...last.messages, message]);
      return;
    }
    this.lane.append(this.make([message], before, fresh).node);
  }

  replace(row, messages) {
    const at = this.chat.messages.indexOf(messages[0]);
    const made = this.make(messages, this.chat.messages[at - 1], false);
    carryOpen(row.node, made.node);
    const focus = carryFocus(row.node, made.node);
    row.node.replaceWith(made.node);
    focus();
  }

  /** One change of the chat. */
  change(detail) {
    const { kind, message } = detail;
    if (kind === "earlier") {
      const shown = this.lane.querySelector(".row")?.dataset.id;
      this.from = shown
        ? this.chat.messages.findIndex((item) => item.message_id === Number(shown))
        : this.chat.messages.length;
      this.earlier();
    } else if (kind === "message") {
      this.added(message);
    } else if (kind === "changed") {
      this.changed(message);
    } else if (kind === "deleted") {
      this.deleted(detail.id);
    } else if (kind === "draft") {
      this.draftChanged(detail.reason);
    }
  }

  added(message) {
    const { messages } = this.chat;
    if (messages.at(-1) !== message) {
      this.redraw(this.chat); // something earlier turned up
      return;
    }
    const fromBot = message.from?.id === store.bot.id;
    const follows = fromBot && this.draft;
    if (fromBot) this.dropDraft();
    this.append(messages.length - 1, !follows && !document.hidden);
    if (message.from?.id === this.ctx.person) this.stick(false);
    else if (this.stuck) this.trim();
    else {
      this.missed += 1;
      this.showEnd();
    }
  }

  trim() {
    let spare = this.lane.childElementCount - ROWS_MAX;
    if (spare < STEP) return;
    for (; spare > 0; spare -= 1) {
      const node = this.lane.firstElementChild;
      const row = this.rows.get(Number(node.dataset.id));
      for (const message of row.messages) this.rows.delete(message.message_id);
      this.from += row.messages.length;
      node.remove();
    }
  }

  changed(message) {
    const row = this.rows.get(message.message_id);
    if (!row) return;
    this.replace(
      row,
      row.messages.map((item) => (item.message_id === message.message_id ? message : item)),
    );
  }

  deleted(id) {
    const row = this.rows.get(id);
    this.rows.delete(id);
    if (!row) {
      if (this.from > 0) this.from -= 1;
      return;
    }
    const left = row.messages.filter((item) => item.message_id !== id);
    if (left.length) {
      this.replace(row, left);
      return;
    }
    const next = row.node.nextElementSibling;
    row.node.remove();
    const following = next && this.rows.get(Number(next.dataset.id));
    if (following) this.replace(following, following.messages);
  }

  showDraft() {
    const { draft } = this.chat;
    if (!draft) {
      this.dropDraft();
      return;
    }
    clearTimeout(this.leaving);
    if (this.draft && this.draft.id !== draft.draft_id) this.dropDraft();
    if (!this.draft) {
      this.draft = new DraftRow(this.ctx, () => this.dropDraft());
      fill(this.tail, this.draft.node);
    }
    this.draft.update(draft);
  }

  draftChanged(reason) {
    if (this.chat.draft) this.showDraft();
    else if (reason === "sent") this.leaving = setTimeout(() => this.dropDraft(), SENT_WAIT_MS);
    else this.dropDraft();
  }

  dropDraft() {
    clearTimeout(this.leaving);
    this.draft?.end();
    this.draft = null;
  }

  /** Scrolls to a message and lights it up for a moment. */
  jump(id) {
    while (!this.rows.has(id) && this.from > 0) this.earlier();
    const row = this.rows.get(id);
    if (!row) return;
    row.node.scrollIntoView({ block: "center", behavior: isNarrow() ? "instant" : "smooth" });
    row.node.classList.remove("lit");
    requestAnimationFrame(() => row.node.classList.add("lit"));
  }
}
