"""The page on which roubles are paid, as HTML made on the server: our words, no script, nothing from elsewhere."""

import base64
import hashlib
from html import escape
from typing import Any, Final

from app.rouble_payments import REASON_WORDS, REFUSED
from app.rouble_purchase import Choice, Sheet
from billing.catalog import Plan
from kit.errors import Rejected
from kit.words import Words

DAY_S: Final = 86_400
# While an outcome is awaited the page looks again by itself.
REFRESH_S: Final = 4

_STYLE: Final = """
:root{color-scheme:light dark;--back:#f4f5f7;--card:#fff;--text:#15181d;--dim:#5c6570;--line:#d9dde3;--go:#1769e0}
@media(prefers-color-scheme:dark){:root{--back:#14161a;--card:#1e2127;--text:#eef0f3;--dim:#9aa4b0;--line:#343a43;
--go:#3d8bff}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--text);font:17px/1.45 system-ui,sans-serif}
main{max-width:26rem;margin:0 auto;padding:1.25rem 1rem 3rem}
h1{font-size:1.35rem;margin:.25rem 0 1rem}h2{font-size:1.1rem;margin:0 0 .25rem}p{margin:.5rem 0}
.brand,.dim{color:var(--dim);font-size:.9rem}.price{font-size:1.7rem;font-weight:600;margin:.25rem 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:1rem;margin:0 0 1rem}
label{display:block;font-size:.9rem;margin:.75rem 0 .25rem}
input[type=email]{width:100%;padding:.7rem;font:inherit;border:1px solid var(--line);border-radius:10px;
background:var(--back);color:inherit}
.go{display:block;width:100%;padding:.85rem;margin:1rem 0 0;border:0;border-radius:12px;background:var(--go);color:#fff;
font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer}
.back{display:block;text-align:center;margin-top:1rem;color:var(--go)}.note{border-left:4px solid var(--go)}
""".strip().replace("\n", "")
STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def document(say: Words, title: str, body: str, *, refresh: bool = False) -> str:
    """Return a whole page; `body` is HTML whose texts are escaped."""
    again = f'<meta http-equiv="refresh" content="{REFRESH_S}">' if refresh else ""
    return (
        f'<!doctype html><html lang="{say.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"{again}<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f'<body><main><p class="brand">Forma</p>{body}</main></body></html>'
    )


def refusal(say: Words, rejected: Rejected) -> str:
    """Return the page that says why a link leads nowhere."""
    words = say.say(rejected.code, **rejected.params)
    return document(say, say.say("pay-title"), f"<h1>{escape(say.say('pay-title'))}</h1>{_card(words)}")


def page(say: Words, shown: Sheet, rule: dict[str, int], problem: Rejected | None = None) -> str:
    """Return what a link leads to: the offers, a product with its button, or how its payment stands."""
    title, refresh = say.say("pay-title"), False
    parts = [f"<h1>{escape(title)}</h1>"]
    if problem is not None:
        parts.append(_card(say.say(problem.code, **problem.params), "note"))
    status = shown.payment.status if shown.payment else None
    if status in ("succeeded", "partially_refunded", "refunded", "charged_back"):
        parts.append(_card(say.say("pay-done" if status == "succeeded" else "pay-returned")))
    elif status in ("sent", "unknown"):
        refresh = True
        parts.append(_card(say.say("pay-unknown"), "note"))
        parts.append(_form(say, shown, say.say("pay-go-on")))
    elif status == "pending":
        refresh = True
        parts.append(_pending(say, shown))
    else:
        if status == "canceled" and shown.payment is not None:
            parts.append(_card(declined(say, shown.payment.reason or ""), "note"))
        parts.append(_offer(say, shown, rule) if shown.fresh else _card(say.say("error-link-expired")))
    parts.append(f'<a class="back" href="{escape(shown.link.back_url)}">{escape(say.say("pay-back"))}</a>')
    return document(say, title, "".join(parts), refresh=refresh)


def declined(say: Words, reason: str) -> str:
    """Return why a payment did not come through and what helps."""
    if reason == REFUSED:
        return say.say("pay-refused")
    return say.say("pay-declined", reason=REASON_WORDS.get(reason, "other"))


def chosen(form: Any) -> Choice:
    """Read what the page's form sent; whatever it is not, it is not believed."""
    kopecks = str(form.get("kopecks", ""))
    return Choice(
        product_id=str(form.get("product", ""))[:64],
        kopecks=int(kopecks) if kopecks.isdecimal() and len(kopecks) <= 12 else 0,
        email=str(form.get("email", ""))[:255],
    )


def _offer(say: Words, shown: Sheet, rule: dict[str, int]) -> str:
    if shown.product is not None:
        about = _product(say, shown.product, price=shown.price) + _beforehand(say, shown)
        return f"{about}{_form(say, shown, say.say('pay-button', kopecks=shown.price), rule)}"
    if not shown.offers:
        return _card(say.say("buying-off"))
    return "".join(_product(say, plan, link=f"?product={plan.id}") for plan in shown.offers)


def _product(say: Words, plan: Plan, *, price: int | None = None, link: str = "") -> str:
    tokens = plan.terms.tokens
    if plan.kind == "subscription":
        brings = say.say("pay-brings-month", tokens=tokens)
    elif plan.kind == "once":
        brings = say.say("once-before-paying", months=plan.terms.period_months or 1, tokens=tokens)
    else:
        brings = say.say("pay-brings", tokens=tokens, lasts_s=(plan.terms.tokens_days or 0) * DAY_S)
    shown = escape(say.roubles(plan.price("RUB") or 0 if price is None else price))
    more = f'<a class="go" href="{escape(link)}">{escape(say.say("pay-choose"))}</a>' if link else ""
    return (
        f'<section class="card"><h2>{escape(plan.titles[say.language])}</h2><p class="price">{shown}</p>'
        f"<p>{escape(brings)}</p>{more}</section>"
    )


def _beforehand(say: Words, shown: Sheet) -> str:
    """What is to be known before paying beside what one has: nobody pays twice unawares."""
    lines = []
    if shown.begins is not None:
        lines.append(say.say("once-begins-later", day=shown.begins))
    if shown.renewing is not None:
        title = shown.renewing.titles[say.language]
        lines.append(say.say("once-beside-renewal", plan=title, day=shown.renewing.until, stars=shown.renewing.amount))
    return _card("\n".join(lines), "note") if lines else ""


def _form(say: Words, shown: Sheet, label: str, rule: dict[str, int] | None = None) -> str:
    """The button that pays, with what a receipt needs; without `rule` it only goes on with what was begun."""
    product = shown.product.id if shown.product else ""
    fields = (
        f'<input type="hidden" name="product" value="{escape(product)}">'
        f'<input type="hidden" name="kopecks" value="{shown.price}">'
    )
    below = ""
    if rule is not None:
        if shown.email_needed:
            hint = escape(say.say("pay-email"))
            fields += (
                f'<label for="email">{hint}</label><input id="email" type="email" name="email" required maxlength="254"'
                f' autocomplete="email" value="{escape(shown.email)}">'
            )
        below = f'<p class="dim">{escape(say.say("pay-rule", **rule))}</p>'
    return (
        f'<form method="post" action="{escape(shown.token)}">{fields}'
        f'<button class="go">{escape(label)}</button>{below}</form>'
    )


def _pending(say: Words, shown: Sheet) -> str:
    assert shown.payment is not None
    text = _card(say.say("pay-pending", kopecks=shown.payment.amount), "note")
    url = shown.payment.confirmation_url
    if not url:
        return text
    return f'{text}<a class="go" rel="noreferrer" href="{escape(url)}">{escape(say.say("pay-continue"))}</a>'


def _card(words: str, extra: str = "") -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in words.splitlines() if line.strip())
    return f'<section class="card {extra}">{lines}</section>'
