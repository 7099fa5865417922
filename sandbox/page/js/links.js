// Links: invoices and links to the bot stay inside, everything else opens in a tab of its own, after a question if it
// hides where it leads.

import { act } from "./api.js";
import { h } from "./dom.js";
import { confirm, toast } from "./overlay.js";
import { openPayment } from "./pay.js";
import { store } from "./store.js";
import { t } from "./words.js";

const INVOICE = /^https?:\/\/t\.me\/(?:\$|invoice\/)[\w-]+$/;
const START = /^https?:\/\/t\.me\/(\w+)(?:\?start=([\w-]{0,64}))?$/;

/** Opens a checked address for the person of `ctx`. */
export function openLink(ctx, url, ask) {
  if (INVOICE.test(url)) {
    openPayment(ctx, { link: url });
    return;
  }
  const start = START.exec(url);
  if (start && start[1].toLowerCase() === store.bot.username.toLowerCase()) {
    if (start[2] === undefined) ctx.openPrivate();
    else act(ctx.person, "start", { payload: start[2] }).catch(ctx.fail);
    return;
  }
  if (!/^(https?|mailto|tel):/i.test(url)) {
    toast(ctx.host, t("linkNotOpened"));
    return;
  }
  const open = () => window.open(url, "_blank", "noopener,noreferrer");
  if (!ask) {
    open();
    return;
  }
  confirm(ctx.host, {
    title: t("openLinkTitle"),
    text: h("span", { class: "address" }, url),
    action: t("open"),
    act: open,
  });
}
