// What the browser remembers of this page: language, open columns, what was read.

const KEY = "forma.sandbox.page";
const SEEN_MAX = 500;

const kept = (() => {
  try {
    return JSON.parse(localStorage.getItem(KEY)) || {};
  } catch {
    return {};
  }
})();

export const prefs = {
  lang:
    kept.lang === "ru" || kept.lang === "en" ? kept.lang : /^(ru|be|kk|uk)\b/i.test(navigator.language) ? "ru" : "en",
  columns: Array.isArray(kept.columns) ? kept.columns : null,
  active: Number(kept.active) || 0,
  oldClient: kept.oldClient === true,
  showPolls: kept.showPolls === true,
  seen: kept.seen && typeof kept.seen === "object" ? kept.seen : {},
};

/** Writes them down; a browser that forbids storage just forgets. */
export function keep() {
  const names = Object.keys(prefs.seen);
  for (const name of names.slice(0, Math.max(0, names.length - SEEN_MAX))) delete prefs.seen[name];
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs));
  } catch {
    // Storage is full or forbidden.
  }
}
