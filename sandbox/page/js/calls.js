// The log of what the bot called, newest first, followed while it is open.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { seconds } from "./format.js";
import { keep, prefs } from "./prefs.js";
import { watch } from "./store.js";
import { t } from "./words.js";

const AT_FIRST = 400; // looked back at when it opens
const SHOWN_MAX = 200;
const READ_MS = 250;

const pretty = (value) => JSON.stringify(value, null, 2);

/** A view of the log; `close` ends following. */
export class CallLog {
  constructor() {
    this.since = null;
    this.calls = [];
    this.filter = h("input", {
      type: "search",
      class: "calls-filter",
      placeholder: t("callsFilter"),
      "aria-label": t("callsFilter"),
      spellcheck: "false",
      on: { input: () => this.redraw() },
    });
    this.polls = h("input", {
      type: "checkbox",
      checked: prefs.showPolls,
      on: {
        change: () => {
          prefs.showPolls = this.polls.checked;
          keep();
          this.redraw();
        },
      },
    });
    this.list = h("ol", { class: "calls" });
    this.node = h(
      "div",
      { class: "calls-part" },
      h("div", { class: "calls-tools" }, this.filter, h("label", { class: "choice" }, this.polls, t("callsPolls"))),
      this.list,
    );
    this.end = watch("call", () => this.soon());
    this.read();
  }

  close() {
    this.end();
    clearTimeout(this.timer);
  }

  soon() {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.read();
    }, READ_MS);
  }

  async read() {
    if (this.reading) return;
    this.reading = true;
    try {
      if (this.since === null) this.since = Math.max(0, (await get("calls?limit=0")).last_seq - AT_FIRST);
      const { calls } = await get(`calls?since=${this.since}&limit=${AT_FIRST}`);
      if (calls.length) this.since = calls.at(-1).seq;
      this.calls = [...this.calls, ...calls].slice(-2 * AT_FIRST);
      if (calls.length) this.add(calls);
      if (calls.length === AT_FIRST) this.soon();
    } catch {
      this.since = null;
    }
    this.reading = false;
    this.sayEmpty();
  }

  wanted(call) {
    if (!this.polls.checked && call.method === "getUpdates") return false;
    return call.method.toLowerCase().includes(this.filter.value.trim().toLowerCase());
  }

  add(calls) {
    this.list.querySelector(".calls-none")?.remove();
    for (const call of calls) if (this.wanted(call)) this.list.prepend(this.entry(call));
    while (this.list.childElementCount > SHOWN_MAX) this.list.lastElementChild.remove();
  }

  redraw() {
    fill(this.list);
    this.add(this.calls);
    this.sayEmpty();
  }

  sayEmpty() {
    if (!this.list.childElementCount) this.list.append(h("li", { class: "calls-none" }, t("callsEmpty")));
  }

  entry(call) {
    const result = call.ok
      ? h("span", { class: "call-ok" }, "200")
      : h("span", { class: "call-bad" }, call.error?.error_code ?? "—");
    const details = h(
      "details",
      { class: call.ok ? "call" : "call failed" },
      h(
        "summary",
        {},
        result,
        h("span", { class: "call-method" }, call.method),
        call.fault ? h("span", { class: "call-fault" }, call.fault) : null,
        h("span", { class: "call-time" }, seconds(call.at)),
      ),
    );
    details.addEventListener("toggle", () => {
      if (!details.open || details.querySelector(".json")) return;
      const part = (title, value) => [h("h4", {}, title), h("pre", { class: "json", tabindex: "0" }, pretty(value))];
      details.append(
        h(
          "div",
          { class: "call-body" },
          part(t("request"), call.params),
          part(t("response"), call.ok ? call.result : call.error),
        ),
      );
    });
    return h("li", {}, details);
  }
}
