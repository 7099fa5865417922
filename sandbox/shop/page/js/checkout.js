// The page: reads what is to be paid, shows the step it is at, and brings the customer back to the shop.

import { fill, h, icon } from "./dom.js";
import { payStep } from "./form.js";
import { LANG, moneyWords, reasonWords, t } from "./words.js";

const RETURN_AFTER_MS = 3000;
const LOOK_EVERY_MS = 2000;
const HERE = `/checkout/${encodeURIComponent(location.pathname.split("/")[2] ?? "")}`;
const root = document.getElementById("checkout");
let shownAt = "";
let countdown = 0;

async function call(path, body) {
  const options = body
    ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }
    : {};
  const response = await fetch(HERE + path, options);
  const answer = await response.json();
  return { ok: response.ok, answer };
}

const button = (name, words, click) => h("button", { type: "button", class: name, on: { click } }, words);
const goBack = (state) => location.assign(state.return_url);

function banner() {
  return h(
    "p",
    { class: "simulation" },
    icon("info", 19),
    h("span", {}, h("strong", {}, t("simulation")), " ", t("simulationMore")),
  );
}

function timeLeft(words, seconds) {
  const node = h("p", { class: "left", role: "timer" });
  const end = performance.now() + seconds * 1000;
  const tick = () => {
    const left = Math.max(0, Math.round((end - performance.now()) / 1000));
    fill(node, t(words, { time: `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` }));
  };
  tick();
  clearInterval(countdown);
  countdown = setInterval(tick, 1000);
  return node;
}

function summary(state) {
  const binding = state.kind === "binding";
  const big = binding ? t(state.methods[0] === "sbp" ? "bindingSbp" : "binding") : moneyWords(state.amount);
  return h(
    "section",
    { class: "summary" },
    h(
      "div",
      { class: "shop" },
      h("span", { class: "shop-mark" }, icon("bag", 22)),
      h("span", {}, t("shop"), h("small", {}, t("shopNumber", { id: state.shop_id }))),
    ),
    h(
      "div",
      {},
      h("p", { class: binding ? "amount words" : "amount" }, big),
      h("p", { class: "what" }, binding ? t("bindingText") : state.description),
    ),
    state.status === "pending" ? timeLeft(binding ? "leftToLink" : "leftMinutes", state.expires_in_s) : null,
  );
}

function secureStep(state, send) {
  const answer = (ok) =>
    button(ok ? "button primary" : "button", t(ok ? "confirm" : "refuse"), () => send({ ok }, "/3ds"));
  return h(
    "section",
    { class: "step" },
    h("h1", {}, t("secureTitle")),
    h("p", { class: "lead" }, t("secureText")),
    h(
      "div",
      { class: "bank" },
      icon("shield", 30),
      h(
        "div",
        {},
        h("strong", {}, t("sandboxBank")),
        h("small", {}, [t("cardEnding", { last4: state.last4 }), state.amount ? ` · ${moneyWords(state.amount)}` : ""]),
      ),
    ),
    h("div", { class: "buttons" }, answer(true), answer(false)),
  );
}

function result(sign, tone, title, text, ...more) {
  const body = h(
    "div",
    { class: "result", role: "status" },
    h("div", { class: `seal ${tone}` }, icon(sign, 36)),
    h("h1", {}, title),
    h("p", {}, text),
    more,
  );
  return h("section", { class: "step" }, body);
}

function endStep(state) {
  const back = h(
    "div",
    { class: "buttons" },
    button("button primary", t("back"), () => goBack(state)),
  );
  const saved =
    state.saved && state.kind === "payment" ? h("span", { class: "saved" }, icon("check", 17), t("savedChip")) : null;
  if (state.status === "succeeded")
    return result("check", "good", t("paid"), t("paidText", { amount: moneyWords(state.amount) }), saved, back);
  if (state.status === "waiting_for_capture") return result("clock", "wait", t("held"), t("heldText"), saved, back);
  if (state.status === "active")
    return result("check", "good", t(state.methods[0] === "sbp" ? "linkedSbp" : "linked"), t("linkedText"), back);
  if (state.status === "inactive") return result("cross", "", t("notLinked"), t("notLinkedText"), back);
  const [title, advice] = reasonWords(state.reason);
  return result(
    "cross",
    "",
    title,
    advice,
    h("p", {}, t("notTaken")),
    h("p", { class: "machine" }, state.reason),
    back,
  );
}

const isGood = (state) => ["succeeded", "waiting_for_capture", "active"].includes(state.status);

function render(state) {
  const at = `${state.status}:${state.asks_3ds}`;
  if (at === shownAt) return;
  const first = shownAt === "";
  shownAt = at;
  clearInterval(countdown);
  let step;
  if (state.status !== "pending") step = endStep(state);
  else if (state.asks_3ds) step = secureStep(state, send);
  else step = payStep(state, send);
  fill(root, banner(), h("div", { class: "sheet" }, summary(state), step));
  root.removeAttribute("aria-busy");
  if (!first) scrollTo({ top: 0 });
  if (isGood(state)) setTimeout(() => goBack(state), RETURN_AFTER_MS);
}

function renderProblem(title, text) {
  shownAt = "problem";
  clearInterval(countdown);
  fill(
    root,
    banner(),
    h(
      "div",
      { class: "sheet alone" },
      result(
        "cross",
        "",
        t(title),
        t(text),
        h(
          "div",
          { class: "buttons" },
          button("button primary", t("again"), () => location.reload()),
        ),
      ),
    ),
  );
  root.removeAttribute("aria-busy");
}

/** Sends a choice; answers the name of the field that is wrong, or null. */
async function send(body, path = "/pay") {
  try {
    const { ok, answer } = await call(path, body);
    if (ok && answer.wrong) return answer.wrong;
    if (ok) render(answer);
    else await look();
  } catch {
    renderProblem("unreachable", "unreachableText");
  }
  return null;
}

/** Shows the payment as it is; one that ended elsewhere is shown as ended. */
async function look() {
  try {
    const { ok, answer } = await call("/state");
    if (ok) render(answer);
    else renderProblem("nothingHere", "nothingHereText");
  } catch {
    // What was typed stays while a shop that was just there is away for a moment.
    if (!shownAt) renderProblem("unreachable", "unreachableText");
  }
}

document.documentElement.lang = LANG;
document.title = t("pageTitle");
look();
setInterval(() => {
  if (!document.hidden && shownAt.startsWith("pending")) look();
}, LOOK_EVERY_MS);
