"""The page on which roubles are paid, as HTML made on the server: our words, no script, nothing from elsewhere."""

from collections.abc import Mapping
from html import escape
from typing import Final

from app.pay_sheet import Sheet
from app.rouble_payments import REASON_WORDS, REFUSED
from app.rouble_purchase import Choice
from billing.catalog import Plan
from billing.checkout_links import LinkExpired
from kit.errors import Rejected
from kit.words import Words
from web.pay_style import MARK, STYLE, heading_and_rest, sign

DAY_S: Final = 86_400
# While an outcome is awaited the page looks again by itself.
REFRESH_S: Final = 4


def document(say: Words, title: str, body: str, *, refresh: bool = False) -> str:
    """Return a whole page; `body` is HTML whose texts are escaped."""
    again = f'<meta http-equiv="refresh" content="{REFRESH_S}">' if refresh else ""
    return (
        f'<!doctype html><html lang="{say.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1,viewport-fit=cover">'
        '<meta name="robots" content="noindex"><meta name="color-scheme" content="light dark">'
        f"{again}<title>{escape(title)} · Forma</title><style>{STYLE}</style></head>"
        f'<body><main><p class="brand">{MARK}Forma</p>{body}</main></body></html>'
    )


def refusal(say: Words, rejected: Rejected) -> str:
    """Return the page that says why a link leads nowhere."""
    return document(say, say.say("pay-title"), _state("cross", "", say.say(rejected.code, **rejected.params)))


def page(say: Words, shown: Sheet, rule: dict[str, int], problem: Rejected | None = None) -> str:
    """Return what a link leads to: the offers, a product with its button, or how its payment stands."""
    # What has expired says so in its own place below.
    noted = problem if not isinstance(problem, LinkExpired) else None
    parts = [_note(say.say(noted.code, **noted.params))] if noted else []
    status = shown.payment.status if shown.payment else None
    refresh = status in ("sent", "unknown", "pending")
    if status in ("succeeded", "partially_refunded"):
        parts.append(_state("check", "good", say.say("pay-done"), _to_chat(say, shown)))
        return document(say, say.say("pay-title"), "".join(parts))
    if status in ("refunded", "charged_back"):
        parts.append(_state("back", "wait", say.say("pay-returned")))
    elif status in ("sent", "unknown"):
        parts.append(_state("clock", "wait", say.say("pay-unknown"), _form(say, shown, say.say("pay-go-on"))))
    elif status == "pending":
        parts.append(_pending(say, shown))
    else:
        if status == "canceled" and shown.payment is not None:
            parts.append(_note(declined(say, shown.payment.reason or "")))
        parts.append(_offer(say, shown, rule) if shown.fresh else _state("clock", "", say.say("error-link-expired")))
    back = f'<a class="back" href="{escape(shown.link.back_url)}">{sign("back")}{escape(say.say("pay-back"))}</a>'
    return document(say, say.say("pay-title"), "".join([*parts, back]), refresh=refresh)


def declined(say: Words, reason: str) -> str:
    """Return why a payment did not come through and what helps."""
    if reason == REFUSED:
        return say.say("pay-refused")
    return say.say("pay-declined", reason=REASON_WORDS.get(reason, "other"))


def chosen(form: Mapping[str, str]) -> Choice:
    """Read what the page's form sent; whatever it is not, it is not believed."""
    keep = form.get("keep") == "yes"
    kopecks = form.get("kopecks_monthly" if keep else "kopecks", "")
    return Choice(
        product_id=form.get("product", "")[:64],
        kopecks=int(kopecks) if kopecks.isdecimal() and len(kopecks) <= 12 else 0,
        email=form.get("email", "")[:255],
        keep=keep,
    )


def _offer(say: Words, shown: Sheet, rule: dict[str, int]) -> str:
    if shown.month is not None:
        return _month(say, shown, rule)
    if shown.product is not None:
        may_renew = shown.price_renewing is not None
        about = _product(say, shown.product, price=shown.price, known=_beforehand(say, shown), may_renew=may_renew)
        # Where the two prices differ, the button cannot name the one that the tick will choose.
        same = shown.price_renewing in (None, shown.price)
        label = say.say("pay-button", kopecks=shown.price) if same else say.say("pay-button-plain")
        pay = _form(say, shown, label, rule)
        return f'<section class="card">{about}<div class="step">{pay}</div></section>'
    if not shown.offers:
        return _state("cross", "", say.say("buying-off"))
    offers = "".join(_choice(say, plan) for plan in shown.offers)
    return f'<h1>{escape(say.say("pay-choice"))}</h1><div class="offers">{offers}</div>'


def _month(say: Words, shown: Sheet, rule: dict[str, int]) -> str:
    """The next month of what the person has."""
    assert shown.month is not None
    mine = shown.month.subscription
    if not shown.month.open:
        return _state("check", "good", say.say("error-month-paid"), _to_chat(say, shown))
    brings = say.say("pay-next-month", day=shown.month.starts_at)
    about = (
        f'<div class="about"><h1>{escape(mine.titles[say.language])}</h1>'
        f'<p class="price">{escape(say.roubles(shown.price))}</p><p>{escape(brings)}</p></div>'
    )
    pay = _form(say, shown, say.say("pay-button", kopecks=shown.price), rule)
    return f'<section class="card">{about}<div class="step">{pay}</div></section>'


def _keep(say: Words, shown: Sheet) -> str:
    """The tick by which a person lets their card be kept: never set beforehand. "" where nothing would renew."""
    monthly = shown.price if shown.month is not None else shown.price_renewing
    if monthly is None:
        return ""
    if shown.month is not None and shown.month.card:
        label = say.say("pay-keep-instead", kopecks=monthly, card=shown.month.card)
    elif shown.month is None and monthly != shown.price:
        label = say.say("pay-keep-without-percent", kopecks=monthly)
    else:
        label = say.say("pay-keep", kopecks=monthly)
    return (
        f'<input type="hidden" name="kopecks_monthly" value="{monthly}">'
        f'<label class="tick"><input type="checkbox" name="keep" value="yes"><span>{escape(label)}</span></label>'
    )


def _words_of(say: Words, plan: Plan, *, may_renew: bool = False) -> tuple[str, str]:
    """Return the title and what the plan brings, escaped."""
    tokens = plan.terms.tokens
    match plan.kind:
        case "subscription" if may_renew:
            brings = say.say("pay-brings-months", tokens=tokens)
        case "subscription":
            brings = say.say("pay-brings-month", tokens=tokens)
        case "once":
            brings = say.say("once-before-paying", months=plan.terms.period_months or 1, tokens=tokens)
        case _:
            brings = say.say("pay-brings", tokens=tokens, lasts_s=(plan.terms.tokens_days or 0) * DAY_S)
    return escape(plan.titles[say.language]), escape(brings)


def _product(say: Words, plan: Plan, *, price: int, known: str, may_renew: bool) -> str:
    """What is about to be paid, at the price of this person: the upper half of the card."""
    title, brings = _words_of(say, plan, may_renew=may_renew)
    return (
        f'<div class="about"><h1>{title}</h1><p class="price">{escape(say.roubles(price))}</p>'
        f"<p>{brings}</p>{known}</div>"
    )


def _choice(say: Words, plan: Plan) -> str:
    """One of several products, with the button that leads to it."""
    title, brings = _words_of(say, plan)
    price = escape(say.roubles(plan.price("RUB") or 0))
    label = f"{say.say('pay-choose')}: {plan.titles[say.language]}"
    return (
        f'<section class="card offer"><h2>{title}</h2><p class="price">{price}</p><p>{brings}</p>'
        f'<a class="go" href="?product={escape(plan.id)}" aria-label="{escape(label)}">'
        f"{escape(say.say('pay-choose'))}</a></section>"
    )


def _beforehand(say: Words, shown: Sheet) -> str:
    """What is to be known before paying beside what one has: nobody pays twice unawares."""
    lines = []
    if shown.begins is not None:
        lines.append(say.say("once-begins-later", day=shown.begins))
    if shown.renewing is not None:
        title = shown.renewing.titles[say.language]
        what = {"amount": shown.renewing.amount, "currency": shown.renewing.currency}
        lines.append(say.say("once-beside-renewal", plan=title, day=shown.renewing.until, **what))
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _form(say: Words, shown: Sheet, label: str, rule: dict[str, int] | None = None) -> str:
    """The button that pays, with what a receipt needs; without `rule` it only goes on with what was begun."""
    product = shown.product.id if shown.product else ""
    fields = (
        f'<input type="hidden" name="product" value="{escape(product)}">'
        f'<input type="hidden" name="kopecks" value="{shown.price}">'
    )
    below = ""
    if rule is not None:
        fields += _keep(say, shown)
        if shown.email_needed:
            fields += (
                f'<label for="email">{escape(say.say("pay-email"))}<input id="email" type="email" name="email" required'
                f' maxlength="254" autocomplete="email" inputmode="email" value="{escape(shown.email)}"></label>'
            )
        below = f'<p class="dim">{sign("lock")}<span>{escape(say.say("pay-rule", **rule))}</span></p>'
    return (
        f'<form method="post" action="{escape(shown.token)}">{fields}'
        f'<button class="go">{escape(label)}</button>{below}</form>'
    )


def _pending(say: Words, shown: Sheet) -> str:
    assert shown.payment is not None
    url, more = shown.payment.confirmation_url, ""
    if url:
        more = f'<a class="go" rel="noreferrer" href="{escape(url)}">{escape(say.say("pay-continue"))}</a>'
    return _state("clock", "wait", say.say("pay-pending", kopecks=shown.payment.amount), more)


def _to_chat(say: Words, shown: Sheet) -> str:
    return f'<a class="go" href="{escape(shown.link.back_url)}">{escape(say.say("pay-back"))}</a>'


def _state(seal: str, tone: str, words: str, more: str = "") -> str:
    """How something stands: a sign, the first line as its heading, and what can be done."""
    heading, rest = heading_and_rest(words)
    return (
        f'<section class="card state" role="status"><div class="seal {tone}">{sign(seal, 36)}</div>'
        f"<h1>{heading}</h1>{rest}{more}</section>"
    )


def _note(words: str) -> str:
    """What went wrong, above what can be done about it."""
    heading, rest = heading_and_rest(words)
    return f'<section class="note" role="alert">{sign("cross")}<div><strong>{heading}</strong>{rest}</div></section>'
