// The first step: a card or SBP, whether to save it, and the test cards to pick from.

import { fill, h, icon } from "./dom.js";
import { moneyWords, reasonWords, t } from "./words.js";

const groups = (digits) => digits.replace(/(\d{4})(?=\d)/g, "$1 ");
const onlyDigits = (text, most) => text.replace(/\D/g, "").slice(0, most);
const nextYear = () => String((new Date().getFullYear() + 2) % 100);

/** Keeps the caret behind the digit it was behind while the text around it is laid out anew. */
function laidOut(input, most, layOut) {
  input.addEventListener("input", () => {
    const before = onlyDigits(input.value.slice(0, input.selectionStart), most).length;
    input.value = layOut(onlyDigits(input.value, most));
    let caret = 0;
    for (let seen = 0; caret < input.value.length && seen < before; caret += 1) seen += /\d/.test(input.value[caret]);
    if (caret === input.value.length - 1 && !/\d/.test(input.value[caret])) caret += 1;
    input.setSelectionRange(caret, caret);
    input.removeAttribute("aria-invalid");
  });
}

function field(name, label, attributes, wide = false) {
  const problem = h("p", { class: "problem", id: `${name}-problem`, role: "alert", hidden: true });
  const input = h("input", {
    name,
    id: name,
    required: true,
    inputmode: "numeric",
    "aria-describedby": `${name}-problem`,
    ...attributes,
  });
  return {
    node: h("label", { class: wide ? "field wide" : "field" }, h("span", {}, label), input, problem),
    input,
    problem,
  };
}

function show(part, words) {
  fill(part.problem, words ?? "");
  part.problem.hidden = !words;
  if (words) part.input.setAttribute("aria-invalid", "true");
  else part.input.removeAttribute("aria-invalid");
}

function cardWords(card) {
  if (card.decline) return [reasonWords(card.decline)[0], "declines"];
  if (card.later) return [t("cardLater"), "asks"];
  return card.asks_3ds ? [t("cardAsks"), "asks"] : [t("cardPays"), ""];
}

function testCards(cards, pick) {
  const rows = cards.map((card) => {
    const [words, tone] = cardWords(card);
    const row = h(
      "button",
      { type: "button", on: { click: () => pick(card) } },
      h("i", { class: `dot ${tone}` }),
      h("span", {}, words),
      h("small", {}, groups(card.number)),
    );
    return h("li", {}, row);
  });
  return h("details", { class: "tests" }, h("summary", {}, t("testCards"), icon("down")), h("ul", {}, rows));
}

function keepBox(state, type) {
  if (state.kind !== "payment" || !state.save) return { node: null, wanted: () => state.kind === "binding" };
  const box = h("input", { type: "checkbox", checked: true });
  const words = h("span", {}, t(type === "sbp" ? "keepSbp" : "keep"), h("small", {}, t("keepText")));
  return { node: h("label", { class: "keep" }, box, words), wanted: () => box.checked };
}

const backButton = (state) =>
  h("button", { type: "button", class: "button", on: { click: () => location.assign(state.return_url) } }, t("back"));

/** The form of a card; `send` gets what the customer chose and answers the field that is wrong, or null. */
function cardForm(state, send) {
  const number = field("number", t("number"), { autocomplete: "off", placeholder: "0000 0000 0000 0000" }, true);
  const expiry = field("expiry", t("expiry"), { autocomplete: "off", placeholder: t("expiryShape") });
  const csc = field("csc", t("csc"), { autocomplete: "off", placeholder: "000", maxlength: 3 });
  laidOut(number.input, 16, groups);
  laidOut(expiry.input, 4, (digits) => (digits.length > 2 ? `${digits.slice(0, 2)}/${digits.slice(2)}` : digits));
  laidOut(csc.input, 3, (digits) => digits);
  const keep = keepBox(state, "bank_card");
  const label = state.kind === "binding" ? t("link") : t("pay", { amount: moneyWords(state.amount) });
  const press = h("button", { type: "submit", class: "button primary" }, label);
  const pick = (card) => {
    number.input.value = groups(card.number);
    expiry.input.value = `12/${nextYear()}`;
    csc.input.value = "123";
    for (const part of [number, expiry, csc]) show(part);
    press.scrollIntoView({ block: "nearest" });
    press.focus({ preventScroll: true });
  };
  const problems = {
    card: [number, t("badCard")],
    expiry: [expiry, t("badExpiry", { year: nextYear() })],
    csc: [csc, t("badCsc")],
  };
  const tests = testCards(state.cards, pick);
  const submit = async (event) => {
    event.preventDefault();
    for (const part of [number, expiry, csc]) show(part);
    press.disabled = true;
    fill(press, h("span", { class: "spinner" }), label);
    const [month, year] = expiry.input.value.split("/");
    const wrong = await send({
      method: "bank_card",
      card: onlyDigits(number.input.value, 16),
      month,
      year: `20${year ?? ""}`,
      csc: csc.input.value,
      save: keep.wanted(),
    });
    press.disabled = false;
    fill(press, label);
    if (!problems[wrong]) return;
    show(...problems[wrong]);
    if (wrong === "card") tests.open = true;
    problems[wrong][0].input.focus();
  };
  return h(
    "form",
    { novalidate: true, on: { submit } },
    h("div", { class: "fields" }, number.node, expiry.node, csc.node),
    keep.node,
    h("div", { class: "buttons" }, press, backButton(state)),
    tests,
  );
}

function sbpForm(state, send) {
  const keep = keepBox(state, "sbp");
  const press = (name, words, more) =>
    h(
      "button",
      { type: "button", class: name, on: { click: () => send({ method: "sbp", save: keep.wanted(), ...more }) } },
      words,
    );
  return h(
    "div",
    {},
    h("p", { class: "lead" }, t("sbpText")),
    keep.node,
    h(
      "div",
      { class: "buttons" },
      press("button primary", t("sbpPay"), {}),
      press("button", t("sbpDecline"), { decline: "insufficient_funds" }),
      backButton(state),
    ),
  );
}

/** The step where the customer chooses and pays. */
export function payStep(state, send) {
  const body = h("div", {});
  const forms = { bank_card: cardForm, sbp: sbpForm };
  const ways = { bank_card: ["card", t("card")], sbp: ["phone", t("sbp")] };
  const tabs = state.methods.map((type) =>
    h("button", { type: "button", on: { click: () => choose(type) } }, icon(ways[type][0]), ways[type][1]),
  );
  function choose(type) {
    tabs.forEach((tab, index) => tab.setAttribute("aria-pressed", String(state.methods[index] === type)));
    fill(body, forms[type](state, send));
  }
  choose(state.methods[0]);
  const title = state.kind === "payment" ? "payTitle" : state.methods[0] === "sbp" ? "linkSbpTitle" : "linkTitle";
  return h(
    "section",
    { class: "step" },
    h("h1", {}, t(title)),
    tabs.length > 1 ? h("div", { class: "ways", role: "group", "aria-label": t("payTitle") }, tabs) : null,
    body,
  );
}
