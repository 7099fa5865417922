// What the page knows: persons, groups, chats that were opened. Fed by live.js, watched by what is on screen.

import { get, getNumbered } from "./api.js";

const FIRST_PAGE = 100;
const WHOLE_CHAT = 2000; // the sandbox keeps no more in one chat
const ANSWERS_MAX = 200;

const PRESENT = new Set(["creator", "administrator", "member"]);

const watchers = new Map();

export const store = {
  bot: null,
  persons: new Map(),
  groups: new Map(),
  chats: new Map(),
  last: new Map(), // chat id → its last message
  answers: new Map(), // query id → the bot's answer to a press, for answers that overtake the press
  clockOffset: 0,
  connected: false,
  now: () => Date.now() / 1000 + store.clockOffset,
};

/** Calls `listener(detail)` whenever the topic changes; answers a function that ends it. */
export function watch(topic, listener) {
  if (!watchers.has(topic)) watchers.set(topic, new Set());
  watchers.get(topic).add(listener);
  return () => watchers.get(topic).delete(listener);
}

export function tell(topic, detail) {
  for (const listener of [...(watchers.get(topic) || [])]) listener(detail);
}

/** Messages of a chat in order of id, and what streams into it. */
function emptyChat(id) {
  return { id, messages: [], draft: null, action: null, loading: null, loaded: false, whole: false, early: [] };
}

export function place(chat, id) {
  let low = 0;
  let high = chat.messages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (chat.messages[middle].message_id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function messageOf(chat, id) {
  const found = chat.messages[place(chat, id)];
  return found && found.message_id === id ? found : null;
}

/** The chat, read from the server on first use. */
export function openChat(id) {
  let chat = store.chats.get(id);
  if (!chat) {
    chat = emptyChat(id);
    store.chats.set(id, chat);
  }
  if (!chat.loaded && !chat.loading) chat.loading = load(chat, FIRST_PAGE);
  return chat;
}

/** Reads all that the server kept of the chat. */
export function openWhole(chat) {
  if (!chat.whole && chat.loaded && !chat.loading) chat.loading = load(chat, WHOLE_CHAT);
  return chat.loading;
}

async function load(chat, limit) {
  try {
    const { answer, seq } = await getNumbered(`chats/${chat.id}/messages?limit=${limit}`);
    chat.messages = answer.messages;
    chat.draft = answer.draft;
    chat.action = answer.action;
    chat.whole = answer.messages.length < limit || limit === WHOLE_CHAT;
    chat.loading = null;
    const first = !chat.loaded;
    chat.loaded = true;
    const early = chat.early.splice(0);
    tell(`chat:${chat.id}`, { kind: first ? "loaded" : "earlier" });
    for (const event of early) if (event.seq > seq) apply(event);
  } catch {
    chat.loading = null; // live.js reads everything anew when the server is back
  }
}

function putMessage(chat, message, kind) {
  const at = place(chat, message.message_id);
  const exists = chat.messages[at]?.message_id === message.message_id;
  if (exists) chat.messages[at] = message;
  else if (kind === "message_edited") return;
  else chat.messages.splice(at, 0, message);
  tell(`chat:${chat.id}`, { kind: exists ? "changed" : "message", message });
}

const inChat = {
  message(chat, event) {
    if (event.message.from?.id === store.bot.id) chat.action = null;
    putMessage(chat, event.message, event.type);
  },
  message_edited: (chat, event) => putMessage(chat, event.message, event.type),
  message_deleted(chat, event) {
    const at = place(chat, event.message_id);
    if (chat.messages[at]?.message_id !== event.message_id) return;
    chat.messages.splice(at, 1);
    tell(`chat:${chat.id}`, { kind: "deleted", id: event.message_id });
  },
  draft(chat, event) {
    chat.draft = event.draft;
    chat.action = null;
    tell(`chat:${chat.id}`, { kind: "draft" });
  },
  draft_gone(chat, event) {
    if (chat.draft && chat.draft.draft_id !== event.draft_id) return;
    chat.draft = null;
    tell(`chat:${chat.id}`, { kind: "draft", reason: event.reason });
  },
  chat_action(chat, event) {
    chat.action = event.action;
    tell(`chat:${chat.id}`, { kind: "action" });
  },
  reaction(chat, event) {
    const message = messageOf(chat, event.message_id);
    if (!message) return;
    message.sandbox.reactions = event.reactions;
    tell(`chat:${chat.id}`, { kind: "changed", message });
  },
};

const outside = {
  person(event) {
    store.persons.set(event.person.id, event.person);
    tell("persons", event.person);
  },
  group(event) {
    store.groups.set(event.group.id, event.group);
    tell("groups", event.group);
  },
  bot(event) {
    store.bot = event.bot;
    tell("bot");
  },
  clock(event) {
    store.clockOffset = event.now - Date.now() / 1000;
    tell("clock");
  },
  callback_answer(event) {
    store.answers.set(event.query_id, event);
    if (store.answers.size > ANSWERS_MAX) store.answers.delete(store.answers.keys().next().value);
    tell("answer", event);
  },
  // What one person alone is told in a group: no chat keeps it, so it is shown as the answer to a button is.
  ephemeral({ user_id: person_id, chat_id, message }) {
    const links = message.reply_markup?.inline_keyboard.flat().filter((item) => item.url);
    tell("answer", { person_id, chat_id, text: message.text, show_alert: true, links });
  },
  subscription: (event) => tell("subscriptions", event.subscription),
  refund: () => tell("subscriptions"),
  call: (event) => tell("call", event),
};

/** Applies one event of the sandbox. */
export function apply(event) {
  if (event.type === "message") preview(event.chat_id, event.message);
  if (event.type === "message_edited") {
    const known = store.last.get(event.chat_id);
    if (known?.message_id === event.message.message_id) preview(event.chat_id, event.message);
  }
  const chat = event.chat_id === undefined ? null : store.chats.get(event.chat_id);
  if (chat && inChat[event.type]) {
    if (chat.loading) chat.early.push(event);
    else if (chat.loaded) inChat[event.type](chat, event);
  }
  if (event.type === "message_deleted" && store.last.get(event.chat_id)?.message_id === event.message_id) {
    preview(event.chat_id, chat?.messages.at(-1) || null);
  }
  outside[event.type]?.(event);
}

function preview(chatId, message) {
  if (message) store.last.set(chatId, message);
  else store.last.delete(chatId);
  tell("preview", chatId);
}

/** Reads everything anew; answers the number of the last event that it contains. */
export async function readAll() {
  const [state, { chats }] = await Promise.all([get("state"), get("chats")]);
  store.bot = state.bot;
  store.persons = new Map(state.persons.map((person) => [person.id, person]));
  store.groups = new Map(state.groups.map((group) => [group.id, group]));
  store.last = new Map(chats.filter((item) => item.last_message).map((item) => [item.chat.id, item.last_message]));
  store.clockOffset = state.clock.offset_s;
  store.chats.clear();
  tell("all");
  return state.last_seq;
}

/** Groups that a person is in, those that became supergroups left out. */
export function groupsOf(personId) {
  return [...store.groups.values()].filter((group) => !group.migrated_to && isMember(group, personId));
}

/** Whether the person is in the group (which may be unknown). */
export const isMember = (group, personId) => Boolean(group) && PRESENT.has(standing(group, personId));

export const standing = (group, userId) => group.members.find((member) => member.id === userId)?.status || "left";

/** The bot's words in a person's language: {"ru": …, "": …}. */
export const inLanguage = (table, person) => table?.[(person?.language_code || "").slice(0, 2)] ?? table?.[""] ?? "";
