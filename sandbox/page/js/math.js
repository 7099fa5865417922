// LaTeX as readable text: fractions, roots, powers, Greek and the usual signs. What it does not know stays as written.

import { h } from "./dom.js";

const SIGNS = {
  alpha: "α",
  beta: "β",
  gamma: "γ",
  delta: "δ",
  epsilon: "ε",
  varepsilon: "ε",
  zeta: "ζ",
  eta: "η",
  theta: "θ",
  iota: "ι",
  kappa: "κ",
  lambda: "λ",
  mu: "μ",
  nu: "ν",
  xi: "ξ",
  pi: "π",
  rho: "ρ",
  sigma: "σ",
  tau: "τ",
  phi: "φ",
  varphi: "φ",
  chi: "χ",
  psi: "ψ",
  omega: "ω",
  Gamma: "Γ",
  Delta: "Δ",
  Theta: "Θ",
  Lambda: "Λ",
  Pi: "Π",
  Sigma: "Σ",
  Phi: "Φ",
  Psi: "Ψ",
  Omega: "Ω",
  times: " × ",
  cdot: " · ",
  div: " ÷ ",
  pm: " ± ",
  mp: " ∓ ",
  le: " ≤ ",
  leq: " ≤ ",
  ge: " ≥ ",
  geq: " ≥ ",
  ne: " ≠ ",
  neq: " ≠ ",
  approx: " ≈ ",
  sim: " ∼ ",
  equiv: " ≡ ",
  propto: " ∝ ",
  infty: "∞",
  sum: "∑",
  prod: "∏",
  int: "∫",
  partial: "∂",
  nabla: "∇",
  to: " → ",
  rightarrow: " → ",
  leftarrow: " ← ",
  Rightarrow: " ⇒ ",
  leftrightarrow: " ↔ ",
  in: " ∈ ",
  notin: " ∉ ",
  subset: " ⊂ ",
  cup: " ∪ ",
  cap: " ∩ ",
  forall: "∀",
  exists: "∃",
  degree: "°",
  circ: "°",
  percent: "%",
  ldots: "…",
  dots: "…",
  cdots: "⋯",
  ll: " ≪ ",
  gg: " ≫ ",
  prime: "′",
  quad: "  ",
  qquad: "    ",
  langle: "⟨",
  rangle: "⟩",
  lvert: "|",
  rvert: "|",
  mid: " | ",
};
const WORD_SIGNS = new Set(["log", "ln", "lg", "exp", "sin", "cos", "tan", "min", "max", "lim", "gcd", "det", "arg"]);
const TEXTS = new Set(["text", "mathrm", "textrm", "operatorname", "mathbf", "textbf", "mathit", "textit", "mbox"]);
const SKIPPED = new Set(["left", "right", "big", "Big", "bigl", "bigr", "displaystyle", "limits", "nolimits"]);
const TOKEN = /\\([A-Za-z]+|.)|([{}^_])|(\s+)|([^\\{}^_\s])/gsu;
const DEPTH_MAX = 24;

function tokens(source) {
  const list = [];
  for (const [, command, mark, space, char] of source.matchAll(TOKEN)) {
    if (command) list.push({ command });
    else if (mark) list.push({ mark });
    else if (space) list.push({ space });
    else list.push({ char });
  }
  return list;
}

const OPERATOR = /[=<>+−×·÷≈≤≥(,[]\s*$/;

// A sign between two terms stands apart, a sign before one does not.
function spaced(char, before) {
  if (/[=<>≈≤≥]/.test(char)) return ` ${char} `;
  if (char !== "+" && char !== "-") return char;
  const sign = char === "-" ? "−" : "+";
  const alone = !before || (typeof before === "string" && OPERATOR.test(before));
  return alone ? sign : ` ${sign} `;
}

class Reader {
  constructor(source) {
    this.list = tokens(source);
    this.at = 0;
    this.depth = 0;
  }

  skipSpace() {
    while (this.list[this.at]?.space) this.at += 1;
  }

  /** What an argument is: a group in braces, or the next sign. */
  argument() {
    this.skipSpace();
    if (this.list[this.at]?.mark === "{" && this.depth < DEPTH_MAX) {
      this.at += 1;
      this.depth += 1;
      const inside = this.sequence();
      this.depth -= 1;
      return inside;
    }
    return [this.one()].flat().filter((node) => node !== null);
  }

  /** The characters of a group as they are. */
  verbatim() {
    this.skipSpace();
    if (this.list[this.at]?.mark !== "{") return this.argument();
    let text = "";
    for (this.at += 1; this.at < this.list.length; this.at += 1) {
      const token = this.list[this.at];
      if (token.mark === "}") break;
      text +=
        token.char || token.space || token.mark || (token.command.length === 1 ? token.command : `\\${token.command}`);
    }
    this.at += 1;
    return [h("span", { class: "math-text" }, text)];
  }

  sequence() {
    const nodes = [];
    while (this.at < this.list.length) {
      if (this.list[this.at].mark === "}") {
        this.at += 1;
        break;
      }
      const node = this.one(nodes.at(-1));
      if (node !== null) nodes.push(...[node].flat());
    }
    return nodes;
  }

  one(before = null) {
    const token = this.list[this.at];
    this.at += 1;
    if (!token) return null;
    if (token.space) return null;
    if (token.mark === "^") return h("sup", {}, this.argument());
    if (token.mark === "_") return h("sub", {}, this.argument());
    if (token.mark === "{") {
      this.at -= 1;
      return this.argument();
    }
    if (token.mark) return token.mark;
    if (token.char) return /\p{L}/u.test(token.char) ? h("i", {}, token.char) : spaced(token.char, before);
    return this.command(token.command);
  }

  command(name) {
    if (name === "frac" || name === "dfrac" || name === "tfrac") {
      const [above, below] = [this.argument(), this.argument()];
      const bar = h("span", { class: "math-over" }, "/");
      return h("span", { class: "frac" }, h("span", { class: "num" }, above), bar, h("span", { class: "den" }, below));
    }
    if (name === "sqrt") return h("span", { class: "root" }, "√", h("span", { class: "radicand" }, this.argument()));
    if (name === "overline" || name === "bar") return h("span", { class: "radicand" }, this.argument());
    if (TEXTS.has(name)) return this.verbatim();
    if (SIGNS[name]) return SIGNS[name];
    if (WORD_SIGNS.has(name)) return `${name} `;
    if (SKIPPED.has(name)) return null;
    if (name === "\\") return document.createElement("br");
    if (/^[,;:! ]$/.test(name)) return " ";
    if (/^[^A-Za-z]$/.test(name)) return name;
    return `\\${name}`;
  }
}

/** A formula, on a line of its own where `block`; its source is what a screen reader and a tooltip say. */
export function math(expression, block) {
  const attributes = {
    class: block ? "math math-block" : "math",
    role: "math",
    "aria-label": expression,
    title: expression,
  };
  return h(block ? "div" : "span", attributes, new Reader(expression).sequence());
}
