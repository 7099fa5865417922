// What streams in: grows smoothly towards the last text that came, and shows the native stop button.

import { act } from "./api.js";
import { fill, h, reducedMotion } from "./dom.js";
import { textNodes } from "./entities.js";
import { icon } from "./icons.js";
import { prefs } from "./prefs.js";
import { placeholder, richMessage } from "./rich.js";
import { t } from "./words.js";

const CATCH_UP_S = 0.9; // the text reaches what came within about this time
const UNITS_PER_S_MIN = 45;
const LATE_MS = 1500; // after its life: the server says so itself, unless the line is down

const isHigh = (unit) => unit >= 0xd800 && unit < 0xdc00;

/** The row of a draft; `update` with each draft, `end` when it is gone. */
export class DraftRow {
  constructor(ctx, gone) {
    this.ctx = ctx;
    this.gone = gone;
    this.text = "";
    this.entities = [];
    this.shown = 0;
    this.frame = 0;
    this.body = h("div", { class: "draft-body" });
    this.stop = h(
      "button",
      { type: "button", class: "stop", hidden: true, on: { click: () => this.pressStop() } },
      icon("stop", 16),
      h("span", {}, t("stopAnswer")),
    );
    const bubble = h("div", { class: "bubble draft", "aria-busy": "true" }, this.body);
    const block = h("div", { class: "block" }, h("div", { class: "line" }, bubble), this.stop);
    this.node = h("div", { class: "row peer first draft-row fresh" }, h("div", { class: "row-line" }, block));
  }

  update(draft) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.gone(), draft.expires_in_s * 1000 + LATE_MS);
    this.id = draft.draft_id;
    this.stop.hidden = !draft.can_stop || draft.stopped;
    this.stop.disabled = false;
    this.node.classList.toggle("stopped", draft.stopped);
    if (draft.rich_message) {
      this.target("", []);
      fill(this.body, prefs.oldClient ? placeholder() : richMessage(draft.rich_message, this.ctx));
      return;
    }
    if (!draft.text) {
      this.target("", []);
      const dots = h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
      fill(this.body, h("div", { class: "thinking", role: "status" }, t("thinking"), dots));
      return;
    }
    this.target(draft.text, draft.entities || []);
    this.grow();
  }

  target(text, entities) {
    let same = 0;
    const most = Math.min(this.shown, text.length);
    while (same < most && text.charCodeAt(same) === this.text.charCodeAt(same)) same += 1;
    this.shown = same;
    this.text = text;
    this.entities = entities;
  }

  grow() {
    cancelAnimationFrame(this.frame);
    if (reducedMotion() || document.hidden) this.shown = this.text.length;
    this.paint();
    const speed = Math.max(UNITS_PER_S_MIN, (this.text.length - this.shown) / CATCH_UP_S);
    let before = performance.now();
    const step = (now) => {
      const passed = Math.max(0, now - before); // a frame's time may lie before the draft came
      this.shown = Math.min(this.text.length, this.shown + (passed / 1000) * speed);
      before = now;
      this.paint();
      if (this.shown < this.text.length) this.frame = requestAnimationFrame(step);
    };
    if (this.shown < this.text.length) this.frame = requestAnimationFrame(step);
  }

  paint() {
    let end = Math.floor(this.shown);
    if (end < this.text.length && isHigh(this.text.charCodeAt(end - 1))) end -= 1;
    const caret = h("span", { class: "caret", "aria-hidden": "true" });
    fill(
      this.body,
      h("div", { class: "text" }, textNodes(this.text, this.entities, this.ctx, end), caret),
    );
  }

  async pressStop() {
    this.stop.disabled = true;
    try {
      await act(this.ctx.person, "stop", { draft_id: this.id });
    } catch (error) {
      this.stop.disabled = false;
      if (error.status !== 409) this.ctx.fail(error); // 409: it has just ended
    }
  }

  end() {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.node.remove();
  }
}
