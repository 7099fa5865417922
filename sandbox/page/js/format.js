// Numbers, times and names as people read them, in the language of the page.

import { prefs } from "./prefs.js";
import { store } from "./store.js";

const cache = new Map();

// The reader's own region where it goes with the language of the page: en-GB has no "AM".
const locale = () => navigator.languages.find((item) => item.startsWith(prefs.lang)) || prefs.lang;

function formatter(kind, options) {
  const key = `${prefs.lang}|${kind.name}|${JSON.stringify(options)}`;
  if (!cache.has(key)) cache.set(key, new kind(locale(), options));
  return cache.get(key);
}

const when = (unix, options) => formatter(Intl.DateTimeFormat, options).format(new Date(unix * 1000));

export const count = (value) => formatter(Intl.NumberFormat, {}).format(value);
export const clock = (unix) => when(unix, { hour: "2-digit", minute: "2-digit" });
export const dayAndTime = (unix) => when(unix, { day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" });
export const fullDate = (unix) => when(unix, { day: "numeric", month: "long", year: "numeric" });
export const moment = (unix) =>
  when(unix, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
export const exact = (unix) => when(unix, { dateStyle: "full", timeStyle: "medium" });
export const seconds = (unix) => when(unix, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Calendar day of an instant in the reader's time zone, for comparing. */
export const dayKey = (unix) => new Date(unix * 1000).toDateString();

/** "Today", "Yesterday", or the date. */
export function day(unix) {
  const distance = [0, -1].find((days) => dayKey(store.now() + days * 86400) === dayKey(unix));
  if (distance !== undefined) {
    const word = formatter(Intl.RelativeTimeFormat, { numeric: "auto" }).format(distance, "day");
    return word.charAt(0).toUpperCase() + word.slice(1);
  }
  const sameYear = new Date(unix * 1000).getFullYear() === new Date(store.now() * 1000).getFullYear();
  return sameYear ? when(unix, { day: "numeric", month: "long" }) : fullDate(unix);
}

/** Time for today's message, short date for an older one. */
export const brief = (unix) =>
  dayKey(unix) === dayKey(store.now()) ? clock(unix) : when(unix, { day: "numeric", month: "short" });

const UNITS = [
  ["year", 31536000],
  ["month", 2592000],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** "in 5 hours", by the sandbox's clock. */
export function relative(unix) {
  const delta = unix - store.now();
  const [unit, size] = UNITS.find(([, length]) => Math.abs(delta) >= length) || UNITS[5];
  return formatter(Intl.RelativeTimeFormat, { numeric: "auto" }).format(Math.round(delta / size), unit);
}

/** A date_time entity: `r` is relative; w, d or D, t or T are weekday, short or long date, short or long time. */
export function byPattern(unix, pattern, otherwise) {
  if (!pattern) return otherwise;
  if (pattern === "r") return relative(unix);
  if (!/^w?[dD]?[tT]?$/.test(pattern)) return otherwise;
  const options = {};
  if (pattern.includes("w")) options.weekday = "long";
  if (pattern.includes("d")) Object.assign(options, { day: "numeric", month: "numeric", year: "2-digit" });
  if (pattern.includes("D")) Object.assign(options, { day: "numeric", month: "long", year: "numeric" });
  if (/[tT]/.test(pattern)) Object.assign(options, { hour: "2-digit", minute: "2-digit" });
  if (pattern.includes("T")) options.second = "2-digit";
  return when(unix, options);
}

/** 83 → 1:23. */
export const duration = (total) => `${Math.floor(total / 60)}:${String(Math.floor(total % 60)).padStart(2, "0")}`;

const SIZES = { ru: ["Б", "КБ", "МБ", "ГБ"], en: ["B", "KB", "MB", "GB"] };

/** Bytes with one digit after the comma at most. */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < 3) {
    value /= 1024;
    unit += 1;
  }
  return `${formatter(Intl.NumberFormat, { maximumFractionDigits: 1 }).format(value)} ${SIZES[prefs.lang][unit]}`;
}

/** The name of a language in the language of the page. */
export function languageName(code) {
  try {
    const name = formatter(Intl.DisplayNames, { type: "language" }).of(code);
    return name.charAt(0).toUpperCase() + name.slice(1);
  } catch {
    return code;
  }
}

export const personName = (person) => [person.first_name, person.last_name].filter(Boolean).join(" ");

/** One or two letters for an avatar. */
export function initials(name) {
  const words = name.split(/[\s:·,]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  return (
    words
      .slice(0, 2)
      .map((word) => [...word][0].toUpperCase())
      .join("") || "?"
  );
}
