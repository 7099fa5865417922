// Files that wait above the input line, and the recorder of voice messages.

import { act, post } from "./api.js";
import { button, fill, h } from "./dom.js";
import { duration, size } from "./format.js";
import { icon } from "./icons.js";
import { toast } from "./overlay.js";
import { t } from "./words.js";

const FILES_MAX = 10; // as many as an album has
const RECORDING_S_MAX = 600;

const kindOf = (file) => {
  if (/^image\/(png|jpeg|gif)$/.test(file.type)) return "photo";
  if (file.type.startsWith("video/")) return "video";
  return "document";
};

/** How long a sound or video lasts, in whole seconds; 0 when the browser cannot tell. */
function lengthOf(file) {
  return new Promise((done) => {
    const probe = document.createElement("audio");
    const url = URL.createObjectURL(file);
    const finish = (value) => {
      clearTimeout(timer);
      URL.revokeObjectURL(url);
      done(Number.isFinite(value) ? Math.round(value) : 0);
    };
    const timer = setTimeout(() => finish(0), 2000);
    probe.addEventListener("loadedmetadata", () => finish(probe.duration));
    probe.addEventListener("error", () => finish(0));
    probe.src = url;
  });
}

/** Sends one file or an album of one kind. */
export async function upload(ctx, kind, files, caption, seconds) {
  const form = new FormData();
  form.append("kind", kind);
  form.append("chat_id", ctx.chat);
  if (caption) form.append("caption", caption);
  if (ctx.anonymous) form.append("anonymous", "1");
  if (kind === "voice" || kind === "audio" || kind === "video") {
    form.append("duration", seconds ?? (await lengthOf(files[0])));
  }
  for (const file of files) form.append("file", file, file.name || "voice.ogg");
  await post(`persons/${ctx.person}/upload`, form);
}

/** The strip of files to be sent. `changed()` is called whenever it becomes empty or not. */
export class Tray {
  constructor(ctx, changed) {
    this.ctx = ctx;
    this.changed = changed;
    this.items = [];
    this.list = h("ul", { class: "tray-list" });
    this.asPhotos = h("input", { type: "checkbox", checked: true, on: { change: () => this.show() } });
    this.option = h("label", { class: "tray-option", hidden: true }, this.asPhotos, t("asPhotos"));
    this.node = h("div", { class: "tray", hidden: true }, this.list, this.option);
  }

  add(files, kind = null) {
    for (const file of [...files].slice(0, FILES_MAX - this.items.length)) {
      const found = kind || kindOf(file);
      this.items.push({ file, kind: found, url: kindOf(file) === "photo" ? URL.createObjectURL(file) : null });
    }
    this.show();
  }

  show() {
    fill(
      this.list,
      this.items.map((item) => this.card(item)),
    );
    this.node.hidden = !this.items.length;
    this.option.hidden = !this.items.some((item) => item.kind === "photo");
    this.changed();
  }

  card(item) {
    const asPhoto = item.kind === "photo" && this.asPhotos.checked;
    const picture = asPhoto
      ? h("img", { src: item.url, alt: "" })
      : h("span", { class: "tray-icon" }, icon(item.kind === "voice" ? "voice" : "file", 22));
    const words = h(
      "span",
      { class: "tray-words" },
      h("strong", {}, item.file.name || t("voice")),
      h("small", {}, size(item.file.size)),
    );
    const drop = button("tray-remove", t("removeFile", { name: item.file.name }), icon("close", 14), () => {
      if (item.url) URL.revokeObjectURL(item.url);
      this.items = this.items.filter((other) => other !== item);
      this.show();
    });
    return h("li", { class: asPhoto ? "tray-item as-photo" : "tray-item" }, picture, asPhoto ? null : words, drop);
  }

  get empty() {
    return !this.items.length;
  }

  /** Sends what waits, kind by kind; the caption goes with the first. What fails stays. */
  async send(caption) {
    let words = caption;
    while (this.items.length) {
      const real = (item) => (item.kind === "photo" && !this.asPhotos.checked ? "document" : item.kind);
      const kind = real(this.items[0]);
      const alone = kind === "voice";
      const batch = alone ? [this.items[0]] : this.items.filter((item) => real(item) === kind);
      await upload(
        this.ctx,
        kind,
        batch.map((item) => item.file),
        words,
      );
      words = "";
      for (const item of batch) if (item.url) URL.revokeObjectURL(item.url);
      this.items = this.items.filter((item) => !batch.includes(item));
      this.show();
    }
  }
}

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder);

/** Records a voice message in the place of the input line; `ended()` gives the place back. */
export async function record(ctx, host, ended) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    toast(ctx.host, t("noMicrophone"));
    ended();
    return;
  }
  const wanted = ["audio/ogg;codecs=opus", "audio/webm;codecs=opus", "audio/mp4"].find((type) =>
    MediaRecorder.isTypeSupported(type),
  );
  const recorder = new MediaRecorder(stream, wanted ? { mimeType: wanted } : undefined);
  const parts = [];
  const began = performance.now();
  const passed = () => (performance.now() - began) / 1000;
  const time = h("span", { class: "record-time" }, duration(0));
  let keep = false;
  const finish = (send) => {
    keep = send;
    if (recorder.state !== "inactive") recorder.stop();
  };
  const timer = setInterval(() => {
    time.textContent = duration(passed());
    if (passed() > RECORDING_S_MAX) finish(true);
  }, 250);
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", async () => {
    clearInterval(timer);
    for (const track of stream.getTracks()) track.stop();
    bar.remove();
    ended();
    if (!keep) return;
    const type = recorder.mimeType.split(";")[0];
    const file = new File(parts, `voice.${type.split("/")[1]}`, { type });
    try {
      await upload(ctx, "voice", [file], "", Math.max(1, Math.round(passed())));
    } catch (error) {
      ctx.fail(error);
    }
  });
  const bar = h(
    "div",
    { class: "record-bar", role: "group", "aria-label": t("recordingNow") },
    button("icon-button", t("cancel"), icon("trash"), () => finish(false)),
    h("span", { class: "record-dot", "aria-hidden": "true" }),
    time,
    h("span", { class: "record-words" }, t("recordingNow")),
    button("send-button", t("send"), icon("send", 22), () => finish(true)),
  );
  host.append(bar);
  recorder.start();
  bar.querySelector(".send-button").focus();
}

const SMALL = [
  ["sticker", "smile", () => ({ emoji: "💪" })],
  ["location", "pin"],
  ["contact", "person"],
  ["poll", "poll", () => ({ question: t("pollQuestion"), options: [t("pollMorning"), t("pollEvening")] })],
  ["dice", "dice"],
];

/** Menu entries of what is sent with one press. */
export const quickSends = (ctx) =>
  SMALL.map(([kind, sign, more]) => ({
    label: t(kind),
    icon: sign,
    act: () => act(ctx.person, "attach", { kind, chat_id: ctx.chat, ...more?.() }).catch(ctx.fail),
  }));
