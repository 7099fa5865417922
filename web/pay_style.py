"""How the payment page looks: one style sheet and a few signs, in the page itself, so that nothing else is asked for.

Colours are those of the chat page. The style's hash stands in the page's policy: no other style applies.
"""

import base64
import hashlib
from html import escape
from typing import Final

_SIGNS: Final = {
    "check": ("M5 12.5l4.6 4.6L19 7.5",),
    "cross": ("M7 7l10 10", "M17 7L7 17"),
    "clock": ("M12 3.2a8.8 8.8 0 1 0 0 17.6 8.8 8.8 0 0 0 0-17.6z", "M12 7.4v5l3.2 1.9"),
    "back": ("M14.5 6L8.5 12l6 6",),
    "lock": ("M6.5 10.5h11v9h-11z", "M9 10.5V7.8a3 3 0 0 1 6 0v2.7"),
}

STYLE: Final = """
:root{color-scheme:light dark;--paper:#efede8;--wall:#f7f6f2;--card:#fffefb;--ink:#1d2528;--ink-2:#5b666b;
--line:#e2dfd7;--field:#8f8a7d;--hover:rgb(29 37 40/6%);--accent:#12687f;--accent-deep:#0d5467;--on-accent:#fff;
--note:#7a4f06;--note-soft:#f8eed9;--good:#2c7a45;--good-soft:#dff0e4;--danger:#b23a2c;--danger-soft:#f9e5e1;
--shadow:0 1px 2px rgb(38 44 46/7%),0 14px 44px rgb(38 44 46/10%);
--font:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",Ubuntu,Cantarell,"Helvetica Neue",sans-serif}
@media(prefers-color-scheme:dark){:root{--paper:#0f1315;--wall:#171d20;--card:#1d2428;--ink:#e6ebec;--ink-2:#9aa6ab;
--line:#293236;--field:#6d7a80;--hover:rgb(230 235 236/7%);--accent:#6fc3d8;--accent-deep:#8ad2e4;--on-accent:#08222a;
--note:#e8b95a;--note-soft:#37301f;--good:#74c78f;--good-soft:#1d3a27;--danger:#f0897b;--danger-soft:#3d2420;
--shadow:0 1px 2px rgb(0 0 0/30%),0 14px 44px rgb(0 0 0/32%)}}
*{box-sizing:border-box}html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;min-height:100vh;min-height:100dvh;background:var(--paper);color:var(--ink);font:16px/1.45 var(--font)}
h1,h2,p{margin:0}svg{display:block;flex:none}a{color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
main{display:grid;align-content:center;justify-items:center;gap:16px;min-height:100vh;min-height:100dvh;
padding:24px 16px}
main>*{width:min(480px,100%)}
.brand{display:flex;align-items:center;gap:10px;font-weight:620}
h1{font-size:24px;line-height:1.2;font-weight:670;letter-spacing:-.01em;text-wrap:balance}
h2{font-size:17px;font-weight:600;line-height:1.3}
.dim{color:var(--ink-2);font-size:14px}
.card{border-radius:24px;background:var(--card);box-shadow:var(--shadow);overflow:hidden}
.about,.step{padding:28px}.about{background:var(--wall);border-bottom:1px solid var(--line)}
.about h1,.about h2{font-size:17px;font-weight:600;letter-spacing:0}
.price{font-size:38px;font-weight:680;line-height:1.15;letter-spacing:-.02em;margin:6px 0;
font-variant-numeric:tabular-nums}
.about p:last-child{color:var(--ink-2);text-wrap:pretty}
.offers{display:grid;gap:12px}
.offer{display:grid;grid-template-columns:1fr auto;gap:4px 16px;align-items:center;padding:20px}
.offer .price{font-size:20px;margin:0;white-space:nowrap}.offer p{grid-column:1/-1;color:var(--ink-2);font-size:15px}
.offer .price{grid-column:2;color:inherit}.offer .go{grid-column:1/-1;margin-top:10px}
label{display:grid;gap:6px;font-size:14px;color:var(--ink-2);margin-bottom:18px}
input[type=email]{width:100%;min-height:50px;padding:10px 14px;font:inherit;font-size:17px;color:var(--ink);
background:var(--card);border:1px solid var(--field);border-radius:14px}
input[type=email]:focus{outline:2px solid var(--accent);outline-offset:1px;border-color:var(--accent)}
label.tick{display:flex;align-items:flex-start;gap:11px;padding:12px 14px;border:1px solid var(--line);
border-radius:14px;color:var(--ink);font-size:15px;cursor:pointer}
.tick input{flex:none;width:20px;height:20px;margin:1px 0 0;accent-color:var(--accent)}
.go,.back{display:flex;align-items:center;justify-content:center;gap:8px;width:100%;min-height:50px;padding:10px 18px;
border:0;border-radius:15px;font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer;
transition:background-color .15s}
.go{background:var(--accent);color:var(--on-accent)}.go:hover{background:var(--accent-deep)}
.quiet{background:var(--hover);color:var(--ink)}.quiet:hover{background:color-mix(in srgb,var(--ink) 11%,transparent)}
.back{width:auto;min-height:44px;color:var(--accent);font-weight:560}.back:hover{text-decoration:underline}
form .dim{display:flex;gap:10px;margin-top:18px;text-wrap:pretty}
.note{display:flex;gap:14px;padding:16px 18px;border-radius:18px;background:var(--danger-soft)}
.note svg{color:var(--danger);margin-top:1px}.note strong{display:block;font-weight:620}
.state{display:grid;justify-items:center;gap:8px;padding:36px 28px 28px;text-align:center}
.state p{color:var(--ink-2);max-width:36ch;text-wrap:pretty}.state .go,.state form{width:100%;margin-top:18px}
.state form .go{margin-top:0}
.seal{display:grid;place-items:center;width:72px;height:72px;margin-bottom:10px;border-radius:50%;
background:var(--danger-soft);color:var(--danger)}
.seal.good{background:var(--good-soft);color:var(--good)}.seal.wait{background:var(--note-soft);color:var(--note)}
.seal.wait svg{animation:breathe 2s ease-in-out infinite}@keyframes breathe{50%{opacity:.45}}
@media(max-width:520px){main{align-content:start;padding:max(14px,env(safe-area-inset-top)) 12px 24px;gap:12px}
.brand,main>h1{padding:0 8px}.card{border-radius:20px}.about,.step{padding:20px}.state{padding:32px 20px 20px}
.price{font-size:34px}h1{font-size:22px}}
@media(prefers-reduced-motion:reduce){*{animation:none!important;transition:none!important}}
@media(forced-colors:active){.card,.note{border:1px solid}}
""".strip().replace("\n", "")
STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

MARK: Final = (
    '<svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true"><rect width="32" height="32" rx="9" '
    'fill="#12687f"/><path d="M10 24V8.6h12.5M10 16.2h8.6" fill="none" stroke="#fff" stroke-width="3.2" '
    'stroke-linecap="round" stroke-linejoin="round"/><circle cx="22" cy="22.4" r="2.3" fill="#f2c66d"/></svg>'
)


def sign(name: str, size: int = 20) -> str:
    """Return a sign as SVG; words beside it say the same."""
    lines = "".join(f'<path d="{line}"/>' for line in _SIGNS[name])
    return (
        f'<svg viewBox="0 0 24 24" width="{size}" height="{size}" fill="none" stroke="currentColor" stroke-width="1.9"'
        f' stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{lines}</svg>'
    )


def heading_and_rest(words: str) -> tuple[str, str]:
    """Return the first line of a text and, as paragraphs, those after it; both escaped."""
    first, *rest = [escape(line) for line in words.splitlines() if line.strip()] or [""]
    return first, "".join(f"<p>{line}</p>" for line in rest)
