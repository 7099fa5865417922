// The drawer of tools: time, faults, the log of calls, starting over.

import { get, patch, post, remove } from "./api.js";
import { CallLog } from "./calls.js";
import { button, fill, h } from "./dom.js";
import { moment } from "./format.js";
import { icon } from "./icons.js";
import { confirm, toast } from "./overlay.js";
import { store, watch } from "./store.js";
import { plural, t } from "./words.js";

const HOUR_S = 3600;
const DAY_S = 86400;
const CLOCK_MS = 10_000;
const FAULTS_MS = 3000;
const AHEAD_S_MIN = 60;

const PRESETS = [
  ["fault429", { method: "*", kind: "rate_limit", retry_after_s: 3, count: 3 }],
  ["fault500", { method: "*", kind: "http_500", count: 3 }],
  ["faultDelay", { method: "*", kind: "delay", delay_s: 2 }],
  ["faultDrop", { method: "send*", kind: "drop_response", probability: 0.2 }],
  ["faultReset", { method: "*", kind: "reset", probability: 0.2 }],
  ["faultTwice", { method: "getUpdates", kind: "duplicate" }],
];

const part = (title, hint, ...content) =>
  h(
    "section",
    { class: "tools-part" },
    h("h3", {}, title),
    hint ? h("p", { class: "tools-hint" }, hint) : null,
    content,
  );

/** The drawer; `closed()` is called by its cross. */
export class Tools {
  constructor(closed) {
    this.time = h("strong", { class: "tools-clock" });
    this.ahead = h("span", { class: "tools-ahead" });
    this.faults = h("ul", { class: "faults" });
    this.limits = h("input", { type: "checkbox", role: "switch", on: { change: () => this.setLimits() } });
    this.calls = new CallLog();
    const cross = button("icon-button", t("close"), icon("close", 20), closed);
    this.node = h(
      "aside",
      { class: "tools", "aria-label": t("settings") },
      h(
        "header",
        { class: "tools-head" },
        h("h2", {}, t("settings")),
        h("span", { class: "badge" }, t("simulated")),
        cross,
      ),
      h(
        "div",
        { class: "tools-scroll" },
        this.clockPart(),
        this.faultsPart(),
        part(t("callsTitle"), null, this.calls.node),
        this.resetPart(),
      ),
    );
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape") closed();
    });
    this.ends = [watch("clock", () => this.showClock())];
    this.timers = [setInterval(() => this.showClock(), CLOCK_MS), setInterval(() => this.readFaults(), FAULTS_MS)];
    this.showClock();
    this.readFaults();
    get("limits").then(
      (limits) => {
        this.limits.checked = limits.enabled;
      },
      () => {},
    );
  }

  close() {
    for (const end of this.ends) end();
    for (const timer of this.timers) clearInterval(timer);
    this.calls.close();
    this.node.remove();
  }

  fail = (error) => toast(this.node, t("failed", { words: error.message }));

  clockPart() {
    const step = (label, advance) =>
      h(
        "button",
        { type: "button", class: "chip", on: { click: () => post("clock", { advance_s: advance }).catch(this.fail) } },
        label,
      );
    return part(
      t("clockTitle"),
      t("clockHint"),
      h("div", { class: "tools-now" }, this.time, this.ahead),
      h(
        "div",
        { class: "chips" },
        step(t("plusHour"), HOUR_S),
        step(t("plusDay"), DAY_S),
        step(t("plus30"), 30 * DAY_S),
      ),
    );
  }

  showClock() {
    this.time.textContent = moment(store.now());
    const offset = store.clockOffset;
    const whole = Math.round(offset / HOUR_S);
    const [days, hours] = [Math.floor(whole / 24), whole % 24];
    const time = [days && plural("nDays", days), hours && plural("nHours", hours)].filter(Boolean).join(" ");
    this.ahead.textContent = offset > AHEAD_S_MIN && time ? t("clockAhead", { time }) : "";
  }

  faultsPart() {
    const chips = PRESETS.map(([name, fault]) => {
      const add = () => post("faults", fault).then(() => this.readFaults(), this.fail);
      return h("button", { type: "button", class: "chip", on: { click: add } }, t(name));
    });
    const limits = h(
      "label",
      { class: "switch", title: t("limitsHint") },
      h("span", {}, t("limitsOn"), h("small", {}, t("limitsHint"))),
      this.limits,
    );
    return part(t("faultsTitle"), t("faultsHint"), h("div", { class: "chips" }, chips), this.faults, limits);
  }

  setLimits() {
    patch("limits", { enabled: this.limits.checked }).catch(this.fail);
  }

  async readFaults() {
    let faults;
    try {
      ({ faults } = await get("faults"));
    } catch {
      return;
    }
    const shape = JSON.stringify(faults);
    if (shape === this.shape) return;
    this.shape = shape;
    const drop = (path) => remove(path).then(() => this.readFaults(), this.fail);
    fill(
      this.faults,
      faults.map((fault) => {
        const name = PRESETS.find(([, item]) => item.kind === fault.kind)?.[0];
        const used = fault.count
          ? t("faultLeft", { n: fault.hits, of: fault.count })
          : t("faultHits", { n: fault.hits });
        const spent = fault.count && fault.hits >= fault.count;
        const label = name ? t(name) : fault.kind;
        const where = fault.method === "*" ? t("faultEverywhere") : fault.method;
        return h(
          "li",
          { class: spent ? "fault spent" : "fault" },
          h("span", {}, label, h("small", {}, `${where} · ${used}`)),
          button("icon-button small", t("removeFile", { name: label }), icon("close", 14), () =>
            drop(`faults/${fault.id}`),
          ),
        );
      }),
      faults.length > 1
        ? h(
            "li",
            {},
            h("button", { type: "button", class: "ghost", on: { click: () => drop("faults") } }, t("faultsClear")),
          )
        : null,
    );
  }

  resetPart() {
    const people = h("input", { type: "checkbox", checked: true });
    const ask = () =>
      confirm(document.body, {
        title: t("resetTitle"),
        text: t("resetAsk"),
        action: t("erase"),
        danger: true,
        extra: h("label", { class: "choice" }, people, t("keepPeople")),
        act: () => this.reset(people.checked),
      });
    return part(
      t("resetTitle"),
      null,
      h("button", { type: "button", class: "button danger-quiet", on: { click: ask } }, t("resetButton")),
    );
  }

  /** Erases everything; people and groups are made again under the same ids if they are to stay. */
  async reset(keepPeople) {
    try {
      const { persons, groups, bot } = await get("state");
      await post("reset");
      if (!keepPeople) return;
      for (const { started: _, blocked: __, ...person } of persons) await post("persons", person);
      for (const group of groups.filter((item) => !item.migrated_to)) {
        const users = group.members.filter(
          (member) => member.id !== bot.id && ["creator", "administrator", "member"].includes(member.status),
        );
        const own = group.members.find((member) => member.id === bot.id);
        await post("groups", {
          id: group.id,
          title: group.title,
          kind: group.kind,
          bot: own?.status ?? "left",
          members: users.map((member) => member.id),
          admins: users.filter((member) => member.status !== "member").map((member) => member.id),
        });
      }
    } catch (error) {
      this.fail(error);
    }
  }
}
