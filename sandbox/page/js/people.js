// Sheets about persons and groups: add, change.

import { patch, post } from "./api.js";
import { h } from "./dom.js";
import { languageName, personName } from "./format.js";
import { openSheet, toast } from "./overlay.js";
import { prefs } from "./prefs.js";
import { store } from "./store.js";
import { t } from "./words.js";

const LANGUAGES = ["ru", "en", "uk", "kk", "de", "es", "fr", "it", "pt", "tr", "ar", "zh"];
const STARS_AT_FIRST = 1000;
const NAMES = { ru: ["Алина", "Марат", "Вера", "Тимур", "Лида"], en: ["Alex", "Sam", "Robin", "Kim", "Jo"] };

const labelled = (label, control, hint) =>
  h("label", { class: "form-line" }, h("span", {}, label, hint ? h("small", {}, ` · ${hint}`) : null), control);

function freeName() {
  const taken = new Set([...store.persons.values()].map((person) => person.first_name));
  return NAMES[prefs.lang].find((name) => !taken.has(name)) || "";
}

/** Fields of a person in a form; `read()` gives them as the control API wants them. */
export function personForm(person, action, done) {
  const name = h("input", {
    type: "text",
    required: true,
    maxlength: "64",
    value: person ? personName(person) : freeName(),
    autocomplete: "off",
    data: { first: "1" },
  });
  const username = h("input", {
    type: "text",
    maxlength: "32",
    pattern: "[A-Za-z0-9_]{4,32}",
    value: person?.username || "",
    autocomplete: "off",
    spellcheck: "false",
  });
  const chosen = person ? person.language_code || "" : prefs.lang;
  const codes = LANGUAGES.includes(chosen) || !chosen ? LANGUAGES : [chosen, ...LANGUAGES];
  const options = codes.map((code) => h("option", { value: code, selected: code === chosen }, languageName(code)));
  const language = h("select", {}, options, h("option", { value: "", selected: chosen === "" }, t("noLanguage")));
  const stars = h("input", {
    type: "number",
    min: "0",
    max: "10000000",
    step: "1",
    value: person ? person.stars : STARS_AT_FIRST,
    inputmode: "numeric",
  });
  const form = h(
    "form",
    { class: "form" },
    labelled(t("name"), name),
    labelled(t("language"), language),
    labelled(t("stars"), stars),
    labelled(t("username"), username, t("optional")),
    h("div", { class: "sheet-actions" }, h("button", { type: "submit", class: "button primary large" }, action)),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [first, ...rest] = name.value.trim().split(/\s+/);
    done({
      first_name: first,
      last_name: rest.join(" ") || null,
      username: username.value || null,
      language_code: language.value || null,
      stars: Math.max(0, Math.round(Number(stars.value) || 0)),
    });
  });
  return form;
}

/** Adds a person and hands them to `opened`. */
export async function addPerson(fields, opened, host) {
  try {
    const person = await post("persons", fields);
    store.persons.set(person.id, person);
    opened(person);
  } catch (error) {
    toast(host, t("failed", { words: error.message }));
  }
}

export function openAddPerson(host, opened) {
  const form = personForm(null, t("add"), (fields) => {
    sheet.close();
    addPerson(fields, opened, host);
  });
  const sheet = openSheet(host, { title: t("addPerson"), content: form });
}

export function openEditPerson(ctx) {
  const form = personForm(store.persons.get(ctx.person), t("save"), async (fields) => {
    sheet.close();
    try {
      await patch(`persons/${ctx.person}`, fields);
    } catch (error) {
      ctx.fail(error);
    }
  });
  const sheet = openSheet(ctx.host, { title: t("editPerson"), content: form });
}

export function openAddGroup(host, opened) {
  const title = h("input", {
    type: "text",
    required: true,
    maxlength: "128",
    autocomplete: "off",
    data: { first: "1" },
  });
  const people = [...store.persons.values()].map((person) =>
    h(
      "label",
      { class: "choice" },
      h("input", { type: "checkbox", value: person.id, checked: true }),
      personName(person),
    ),
  );
  const form = h(
    "form",
    { class: "form" },
    labelled(t("title"), title),
    h("fieldset", { class: "choices" }, h("legend", {}, t("members")), people),
    h("div", { class: "sheet-actions" }, h("button", { type: "submit", class: "button primary large" }, t("create"))),
  );
  const sheet = openSheet(host, { title: t("addGroup"), content: form });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const members = [...form.querySelectorAll("input:checked")].map((box) => Number(box.value));
    if (!members.length) return;
    sheet.close();
    try {
      opened(
        await post("groups", { title: title.value.trim(), members, admins: members.slice(0, 1), bot: "administrator" }),
      );
    } catch (error) {
      toast(host, t("failed", { words: error.message }));
    }
  });
}
