// What a reader had opened, and where the keyboard was, when a message is drawn anew.

const OPENABLE = "details, .spoiler, .quote";
const STOPS = "button, a, summary, [tabindex='0']";

const pairs = (before, after, selector) => {
  const now = [...after.querySelectorAll(selector)];
  return [...before.querySelectorAll(selector)].map((node, at) => [node, now[at]]);
};

const isOpen = (node) =>
  node.open || node.classList.contains("open") || Boolean(node.querySelector(":scope > .quote-toggle[aria-expanded=true]"));

function open(node) {
  if (node.matches("details")) node.open = true;
  else if (node.matches(".spoiler")) node.click();
  else node.querySelector(":scope > .quote-toggle")?.click();
}

/** Opens in `after` what was open in `before`, where the same words stand. */
export function carryOpen(before, after) {
  for (const [was, is] of pairs(before, after, OPENABLE)) {
    if (is && isOpen(was) && !isOpen(is) && was.tagName === is.tagName) open(is);
  }
}

/** Gives the focus of `before`, which is about to go, to its like in `after`. Answers what to call once it stands. */
export function carryFocus(before, after) {
  const held = document.activeElement;
  if (!before.contains(held)) return () => {};
  const [, like] = pairs(before, after, STOPS).find(([was]) => was === held) || [];
  return () => (like && !like.disabled ? like : after.closest(".scroll"))?.focus({ preventScroll: true });
}
