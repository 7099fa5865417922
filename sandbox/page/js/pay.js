// The payment sheet, and the sheet of Stars and subscriptions.

import { act, get, patch, post } from "./api.js";
import { fill, h } from "./dom.js";
import { count, fullDate } from "./format.js";
import { icon } from "./icons.js";
import { openSheet, toast } from "./overlay.js";
import { store, watch } from "./store.js";
import { plural, t } from "./words.js";

const GIFTS = [100, 500, 2500];
const DAY_S = 86400;

/** "⭐ 300" with the number grouped. */
export const starsLabel = (amount) => h("span", { class: "stars" }, icon("star", 15), count(amount));

const balance = (ctx) => store.persons.get(ctx.person)?.stars ?? 0;

/** Gives the person Stars: they are free in the sandbox. */
export async function addStars(ctx, amount) {
  try {
    const person = await patch(`persons/${ctx.person}`, { stars: balance(ctx) + amount });
    store.persons.set(person.id, person);
  } catch (error) {
    ctx.fail(error);
  }
}

function giftRow(ctx, after) {
  const buttons = GIFTS.map((amount) => {
    const give = async () => {
      await addStars(ctx, amount);
      after?.();
    };
    return h("button", { type: "button", class: "chip", on: { click: give } }, `+${count(amount)}`);
  });
  return h("div", { class: "gifts" }, h("span", { class: "gifts-label" }, t("addStars")), buttons);
}

function period(invoice) {
  if (!invoice.subscription_period) return t("oneOff");
  const days = Math.round(invoice.subscription_period / DAY_S);
  return days === 30 ? t("every30") : t("everyN", { days });
}

function offer(ctx, invoice, sheet, payNow, again) {
  const have = balance(ctx);
  const short = invoice.amount - have;
  const pay = h(
    "button",
    { type: "button", class: "button primary large", disabled: short > 0, data: { first: "1" }, on: { click: payNow } },
    h("span", {}, t("pay")),
    starsLabel(invoice.amount),
  );
  const cancel = h("button", { type: "button", class: "button large", on: { click: sheet.close } }, t("cancel"));
  fill(
    sheet.body,
    h(
      "div",
      { class: "pay-hero" },
      h("div", { class: "pay-seal" }, icon("star", 30)),
      h("h3", {}, invoice.title),
      h("p", {}, invoice.description),
    ),
    h(
      "dl",
      { class: "pay-lines" },
      h(
        "div",
        {},
        h("dt", {}, t("toPay")),
        h("dd", {}, starsLabel(invoice.amount), invoice.subscription_period ? h("small", {}, t("per30")) : null),
      ),
      h("div", {}, h("dt", {}, t("charged")), h("dd", { class: "quiet" }, period(invoice))),
      h("div", { class: short > 0 ? "short" : "" }, h("dt", {}, t("starsFrom")), h("dd", {}, starsLabel(have))),
    ),
    invoice.subscription_period ? h("p", { class: "pay-note" }, t("renews")) : null,
    short > 0
      ? [
          h("p", { class: "pay-short", role: "status" }, t("notEnough", { amount: plural("nStars", short) })),
          giftRow(ctx, again),
        ]
      : null,
    h("div", { class: "sheet-actions stacked" }, pay, cancel),
  );
  (short > 0 ? sheet.body.querySelector(".chip") : pay).focus({ preventScroll: true });
}

function outcome(sheet, invoice, result, again) {
  const looks = {
    paid: [
      "check",
      "good",
      t("paidTitle"),
      t("paidText", { title: invoice.title, amount: plural("nStars", invoice.amount) }),
    ],
    already_paid: ["check", "good", t("alreadyTitle"), t("alreadyText")],
    refused: ["close", "bad", t("refusedTitle"), result.error || t("notCharged")],
    timeout: ["clock", "bad", t("timeoutTitle"), t("notCharged")],
  };
  const [sign, tone, title, text] = looks[result.state] || ["close", "bad", t("failed", { words: result.state }), ""];
  const done = h(
    "button",
    { type: "button", class: "button primary large", data: { first: "1" }, on: { click: sheet.close } },
    t("done"),
  );
  const retry =
    tone === "bad" ? h("button", { type: "button", class: "button large", on: { click: again } }, t("tryAgain")) : null;
  fill(
    sheet.body,
    h(
      "div",
      { class: `pay-result ${tone}`, role: "status" },
      h("div", { class: "pay-seal" }, icon(sign, 30)),
      h("h3", {}, title),
      h("p", {}, text),
    ),
    h("div", { class: "sheet-actions stacked" }, done, retry),
  );
  done.focus({ preventScroll: true });
}

/** Opens the sheet for `what`: {message_id, chat_id} or {link}. */
export async function openPayment(ctx, what) {
  let invoice;
  try {
    invoice = await act(ctx.person, "invoice", what);
  } catch (error) {
    ctx.fail(error);
    return;
  }
  let busy = false;
  let settled = false;
  const end = watch("persons", (person) => {
    if (person.id === ctx.person && !busy && !settled) show();
  });
  const onClose = () => {
    end();
    if (!settled) act(ctx.person, "pay", { ...what, cancel: true }).catch(() => {});
  };
  const sheet = openSheet(ctx.host, { title: t("invoice"), content: null, onClose, locked: () => busy });
  const show = () => {
    settled = false;
    offer(ctx, invoice, sheet, payNow, show);
  };

  async function payNow() {
    busy = true;
    const wait = h(
      "div",
      { class: "pay-wait", role: "status", tabindex: "-1" },
      h("span", { class: "spinner" }),
      h("p", {}, t("paying")),
    );
    fill(sheet.body, wait);
    wait.focus({ preventScroll: true });
    try {
      const result = await act(ctx.person, "pay", what);
      settled = true;
      busy = false;
      if (result.state === "insufficient") show();
      else outcome(sheet, invoice, result, show);
    } catch (error) {
      busy = false;
      ctx.fail(error);
      show();
    }
  }

  show();
}

const ENDED = new Set(["expired", "refunded"]);

function subscriptionState(sub) {
  const date = fullDate(sub.expires_at);
  const words = {
    active: "subActive",
    canceled: "subCanceled",
    failed: "subFailed",
    expired: "subExpired",
    refunded: "subRefunded",
  };
  const by = sub.state === "canceled" && sub.canceled_by === "bot" ? `, ${t("byBot")}` : "";
  return t(words[sub.state], { date }) + by;
}

function subscriptionCard(ctx, sub, again) {
  const change = async (verb) => {
    try {
      await post(`persons/${ctx.person}/subscriptions/${encodeURIComponent(sub.id)}/${verb}`);
      await again();
    } catch (error) {
      ctx.fail(error);
    }
  };
  let action = null;
  if (sub.state === "active" || sub.state === "failed") {
    action = h(
      "button",
      { type: "button", class: "button small", on: { click: () => change("cancel") } },
      t("cancelSub"),
    );
  } else if (sub.state === "canceled" && sub.canceled_by !== "bot") {
    action = h(
      "button",
      { type: "button", class: "button small primary", on: { click: () => change("resume") } },
      t("resumeSub"),
    );
  }
  return h(
    "li",
    { class: `sub sub-${sub.state}` },
    h(
      "div",
      { class: "sub-words" },
      h("strong", {}, sub.title),
      h("span", { class: "sub-price" }, starsLabel(sub.amount), t("per30")),
      h("small", {}, subscriptionState(sub)),
    ),
    action,
  );
}

/** The person's balance, ways to more, and subscriptions to cancel or resume. */
export async function openWallet(ctx) {
  const list = h("ul", { class: "subs" });
  const total = h("strong", { class: "wallet-total", "aria-live": "polite" });
  const refresh = async () => {
    fill(total, starsLabel(balance(ctx)));
    try {
      const { subscriptions } = await get(`persons/${ctx.person}/subscriptions`);
      const ordered = [...subscriptions].reverse().sort((a, b) => ENDED.has(a.state) - ENDED.has(b.state));
      fill(
        list,
        ordered.map((sub) => subscriptionCard(ctx, sub, refresh)),
      );
      if (!ordered.length) list.append(h("li", { class: "subs-none" }, t("noSubscriptions")));
    } catch (error) {
      toast(ctx.host, t("failed", { words: error.message }));
    }
  };
  const ends = [watch("subscriptions", refresh), watch("persons", refresh)];
  openSheet(ctx.host, {
    title: t("starsAndSubs"),
    content: [
      h("div", { class: "wallet" }, h("span", {}, t("starsFrom")), total),
      giftRow(ctx, refresh),
      h("p", { class: "pay-note" }, t("addStarsFree")),
      h("h3", { class: "sheet-part" }, t("subscriptions")),
      list,
    ],
    onClose: () => ends.forEach((end) => end()),
  });
  await refresh();
}
