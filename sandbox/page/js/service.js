// Service messages as one line: who joined, what was paid, how the group changed.

import { personName } from "./format.js";
import { store } from "./store.js";
import { plural, t } from "./words.js";

const stars = (payment) => plural("nStars", payment.total_amount);

const names = (users) => users.map(personName).join(", ");

function shared(item) {
  const known = item.users.map(({ user_id: id }) => store.persons.get(id)).filter(Boolean);
  return t("serviceShared", {
    names: known.length ? names(known) : item.users.map(({ user_id: id }) => id).join(", "),
  });
}

const MAKERS = {
  successful_payment: (item) => t("servicePaidPlain", { amount: stars(item) }),
  refunded_payment: (item) => t("serviceRefunded", { amount: stars(item) }),
  new_chat_members: (item) => t("serviceJoined", { name: names(item) }),
  left_chat_member: (item) => t("serviceLeft", { name: personName(item) }),
  new_chat_title: (item) => t("serviceTitle", { title: item }),
  migrate_to_chat_id: () => t("serviceMigrated"),
  migrate_from_chat_id: () => t("serviceMigrated"),
  group_chat_created: () => t("serviceCreated"),
  supergroup_chat_created: () => t("serviceCreated"),
  pinned_message: () => t("servicePinned"),
  users_shared: shared,
  chat_shared: () => t("serviceShared", { names: t("groupWord") }),
};

/** The line, or null for a message that people wrote. */
export function serviceText(message) {
  const name = Object.keys(MAKERS).find((key) => message[key] !== undefined);
  return name ? MAKERS[name](message[name]) : null;
}
