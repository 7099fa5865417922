// Photos, voice, files and the small things people send: stickers, places, polls, dice.

import { fileUrl } from "./api.js";
import { button, fill, h, svg } from "./dom.js";
import { duration, size } from "./format.js";
import { icon } from "./icons.js";
import { starsLabel } from "./pay.js";
import { serviceText } from "./service.js";
import { t } from "./words.js";

const WAVE_BARS = 34;
const PHOTO_WIDTH_MAX = 300;
const PHOTO_HEIGHT_MAX = 320;

let playing = null;

/** A number made of a string: for colours and shapes that stay the same. */
export function hash(text) {
  let value = 2166136261;
  for (const char of String(text)) value = Math.imul(value ^ char.codePointAt(0), 16777619) >>> 0;
  return value;
}

function photo(message, ctx, inAlbum) {
  const largest = message.photo.reduce((best, item) => (item.width > best.width ? item : best));
  const url = fileUrl(largest.file_id);
  const image = h("img", { alt: message.caption || t("photo"), src: url, decoding: "async" });
  if (!inAlbum) {
    const scale = Math.min(1, PHOTO_WIDTH_MAX / largest.width, PHOTO_HEIGHT_MAX / largest.height);
    const grown = Math.max(scale, Math.min(160 / largest.width, PHOTO_HEIGHT_MAX / largest.height));
    image.width = Math.round(largest.width * grown);
    image.height = Math.round(largest.height * grown);
  }
  const frame = button("photo", t("viewPhoto"), image, () => ctx.viewPhoto(url, image.alt));
  image.addEventListener("error", () =>
    fill(frame, h("span", { class: "photo-none" }, icon("photo", 28), t("noBytes"))),
  );
  return frame;
}

/** Several photos of one album as a grid. */
export const album = (messages, ctx) =>
  h(
    "div",
    { class: `album of-${Math.min(messages.length, 4)}` },
    messages.map((message) => photo(message, ctx, true)),
  );

function wave(seed) {
  let value = hash(seed) || 1;
  const bars = [];
  for (let at = 0; at < WAVE_BARS; at += 1) {
    value ^= value << 13;
    value ^= value >>> 17;
    value ^= value << 5;
    const swell = 0.45 + 0.55 * Math.sin((at / WAVE_BARS) * Math.PI);
    const tall = 4 + (((value >>> 0) % 1000) / 1000) * 16 * swell;
    bars.push(svg("rect", { x: at * 4.4, y: (24 - tall) / 2, width: 2.4, height: tall, rx: 1.2 }));
  }
  return {
    bars,
    node: svg("svg", { class: "wave", viewBox: `0 0 ${WAVE_BARS * 4.4} 24`, "aria-hidden": "true" }, bars),
  };
}

/** A player for voice and audio; only one plays at a time. */
function sound(file, label) {
  const shape = wave(file.file_unique_id);
  const time = h("span", { class: "sound-time" }, duration(file.duration || 0));
  const toggle = button("sound-play", t("playVoice"), icon("play", 18), press);
  let audio = null;

  function show(on) {
    fill(toggle, icon(on ? "pause" : "play", 18));
    toggle.setAttribute("aria-label", t(on ? "pauseVoice" : "playVoice"));
  }
  function paint() {
    const length = Number.isFinite(audio.duration) ? audio.duration : file.duration || 0;
    const done = length ? audio.currentTime / length : 0;
    shape.bars.forEach((bar, at) => bar.classList.toggle("on", at / WAVE_BARS < done));
    time.textContent = duration(audio.paused && !audio.currentTime ? length : audio.currentTime);
  }
  function follow(source) {
    audio = source;
    audio.addEventListener("timeupdate", paint);
    audio.addEventListener("pause", () => show(false));
    audio.addEventListener("play", () => show(true));
    audio.addEventListener("ended", () => {
      audio.currentTime = 0;
      paint();
    });
    audio.addEventListener("error", () => {
      toggle.disabled = true;
      time.textContent = t("noBytes");
    });
  }
  function press() {
    if (!audio) follow(new Audio(fileUrl(file.file_id)));
    if (!audio.paused) {
      audio.pause();
      return;
    }
    if (playing && playing !== audio) playing.pause();
    playing = audio;
    audio.play().catch(() => show(false));
  }
  if (playing && !playing.paused && playing.src.endsWith(fileUrl(file.file_id))) {
    follow(playing); // the message is drawn anew while it plays
    show(true);
  }
  return h(
    "div",
    { class: "sound", role: "group", "aria-label": label },
    toggle,
    h("div", { class: "sound-side" }, shape.node, time),
  );
}

function documentCard(file, label) {
  const words = h(
    "span",
    { class: "doc-words" },
    h("strong", {}, file.file_name || label),
    h("small", {}, size(file.file_size || 0)),
  );
  const href = fileUrl(file.file_id);
  return h(
    "a",
    { class: "doc", href, download: file.file_name || "file" },
    h("span", { class: "doc-icon" }, icon("file", 22)),
    words,
  );
}

function video(file) {
  return h("video", { class: "video", controls: true, preload: "metadata", src: fileUrl(file.file_id) });
}

function place(location) {
  const label = `${location.latitude.toFixed(4)}, ${location.longitude.toFixed(4)}`;
  const map = svg(
    "svg",
    { class: "place-map", viewBox: "0 0 240 110", "aria-hidden": "true", preserveAspectRatio: "xMidYMid slice" },
    svg("path", { class: "place-water", d: "M0 78c40-14 70 12 120-2s80-30 120-14v48H0z" }),
    svg("path", { class: "place-road", d: "M-5 30L245 62M70-5l34 120M168-5l-22 120M-5 96L245 12" }),
  );
  return h(
    "div",
    { class: "place" },
    map,
    h("span", { class: "place-pin" }, icon("pin", 30)),
    h("div", { class: "place-words" }, h("strong", {}, t("sentLocation")), h("small", {}, label)),
  );
}

function poll(item) {
  const options = item.options.map((option) => h("li", {}, h("span", { class: "poll-dot" }), option.text));
  return h(
    "div",
    { class: "poll" },
    h("strong", {}, item.question),
    h("small", {}, t("anonymousPoll")),
    h("ul", {}, options),
  );
}

function invoiceCard(message) {
  const { title, description, total_amount: amount } = message.invoice;
  return h(
    "div",
    { class: "invoice" },
    h("div", { class: "invoice-head" }, h("strong", {}, title), starsLabel(amount)),
    h("p", {}, description),
  );
}

/** The part of a message that is not text, or null. */
export function media(message, ctx) {
  if (message.photo) return photo(message, ctx, false);
  if (message.voice) return sound(message.voice, t("voice"));
  if (message.audio) return sound(message.audio, message.audio.file_name || t("audio"));
  if (message.video) return video(message.video);
  if (message.document) return documentCard(message.document, t("file"));
  if (message.sticker)
    return h("div", { class: "sticker", role: "img", "aria-label": t("sticker") }, message.sticker.emoji || "🙂");
  if (message.dice) return h("div", { class: "sticker" }, message.dice.emoji, h("small", {}, message.dice.value));
  if (message.location) return place(message.location);
  if (message.contact) {
    const words = h(
      "span",
      { class: "doc-words" },
      h("strong", {}, message.contact.first_name),
      h("small", {}, message.contact.phone_number),
    );
    return h("div", { class: "doc" }, h("span", { class: "doc-icon" }, icon("person", 22)), words);
  }
  if (message.poll) return poll(message.poll);
  if (message.invoice) return invoiceCard(message);
  return null;
}

const KINDS = [
  "photo",
  "voice",
  "audio",
  "video",
  "document",
  "sticker",
  "dice",
  "location",
  "contact",
  "poll",
  "invoice",
];
const WORDS = { document: "file" };

/** One line that stands for a message: in the list of chats and in replies. */
export function summary(message) {
  if (!message) return "";
  const service = serviceText(message);
  if (service) return service;
  const text = message.text || message.caption || message.sandbox?.plain || "";
  const kind = KINDS.find((name) => message[name]);
  const words = kind ? t(WORDS[kind] || kind) : "";
  if (kind === "sticker") return `${message.sticker.emoji || ""} ${words}`;
  return text && kind ? `${words}: ${text}` : text || words || t("serviceOther");
}
