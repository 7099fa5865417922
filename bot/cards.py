"""Cards: reports put into lines of words, for the admin group."""

from app.diagnosis import Part
from app.reports import Card, Source, Stats, Subscribers
from billing.balance import Balance
from billing.house_access import HOUSE
from inference.queue.ticket import Snapshot
from kit.words import Words


def stats(say: Words, spans: list[Stats], subscribers: Subscribers, plans: list[tuple[dict[str, str], int]]) -> str:
    """Return /stats: one block a span, then who subscribes, and who has which plan."""
    blocks = [_span(say, span) for span in spans]
    if subscribers.active + subscribers.cancelled + subscribers.past_due:
        lines = [
            say.say(
                "admin-stats-subscriptions",
                active=subscribers.active,
                cancelled=subscribers.cancelled,
                past_due=subscribers.past_due,
            )
        ]
        lines += [say.say("admin-stats-plan", plan=titles[say.language], count=count) for titles, count in plans]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def sources(say: Words, found: list[Source]) -> str:
    """Return where newcomers came from, as a block below /stats; nothing when no link brought anybody."""
    if not found:
        return ""
    lines = [
        say.say("admin-stats-source", source=one.name or "none", count=one.persons, paying=one.paying) for one in found
    ]
    return "\n\n" + "\n".join([say.say("admin-stats-sources"), *lines])


def _span(say: Words, span: Stats) -> str:
    lines = [
        say.say("admin-stats-head", window_s=span.hours * 3600),
        say.say(
            "admin-stats-persons",
            new=span.persons_new,
            active=span.persons_active,
            all=span.persons_all,
            blocked=span.persons_blocked,
        ),
    ]
    if span.turns_done + span.turns_failed + span.turns_stopped:
        lines += [
            say.say(
                "admin-stats-turns", answered=span.turns_done, stopped=span.turns_stopped, failed=span.turns_failed
            ),
            say.say("admin-stats-wait", p50_s=span.wait_p50_s, p95_s=span.wait_p95_s),
            say.say("admin-stats-tokens", tokens=span.billed),
        ]
    else:
        lines.append(say.say("admin-stats-empty"))
    if span.courtesy:
        lines.append(say.say("admin-stats-courtesy", tokens=span.courtesy))
    lines.append(say.say("admin-stats-money", payments=span.payments, stars=span.stars, refunded=span.refunded))
    if span.rouble_payments or span.kopecks_refunded:
        args = {"payments": span.rouble_payments, "kopecks": span.kopecks, "refunded": span.kopecks_refunded}
        lines.append(say.say("admin-stats-roubles", **args))
    return "\n".join(lines)


def person(say: Words, card: Card, held: Balance) -> str:
    """Return /user: profile, plan, balance, last turns and payments."""
    who = card.person
    lines = [
        say.say(
            "admin-user-head",
            name=who.first_name,
            username=f"@{who.username}" if who.username else "none",
            id=who.id,
        ),
        say.say("admin-user-profile", language=who.language, since=who.created_at, seen=card.seen),
    ]
    if who.blocked:
        lines.append(say.say("admin-user-blocked"))
    lines += [
        say.say(
            "admin-user-plan",
            plan=held.subscription.titles[say.language],
            until=held.subscription.until,
            status="granted" if held.subscription.provider == HOUSE else held.subscription.status,
        )
        if held.subscription
        else say.say("admin-user-plan-none"),
        say.say("admin-user-balance", tokens=held.available, reserved=held.reserved),
    ]
    if held.owed:
        lines.append(say.say("admin-user-debt", tokens=held.owed))
    lines.append("")
    if card.turns:
        lines.append(say.say("admin-user-turns"))
        lines += [
            say.say(
                "admin-user-turn", at=turn.at, status=turn.status, tokens=turn.billed, code=turn.error_code or "none"
            )
            for turn in card.turns
        ]
    else:
        lines.append(say.say("admin-user-no-turns"))
    if card.payments:
        lines.append(say.say("admin-user-payments"))
        lines += [
            say.say(
                "admin-user-payment",
                at=line.at,
                amount=line.amount,
                currency=line.currency,
                what=line.titles.get(say.language, "?"),
                status=line.status,
                returned=line.returned,
            )
            for line in card.payments
        ]
    else:
        lines.append(say.say("admin-user-no-payments"))
    return "\n".join(lines)


def queue(say: Words, model: str, state: Snapshot) -> str:
    """Return /queue of one model: totals and the persons who come next."""
    if not state.waiting and not state.running:
        return say.say("admin-queue-empty", slots=state.slots)
    lines = [say.say("admin-queue-head", waiting=state.waiting, running=state.running, slots=state.slots)]
    if state.waiting:
        lines.append(say.say("admin-queue-oldest", wait_s=state.oldest_wait_s))
    lines += [
        say.say("admin-queue-row", id=head.person_id, waiting=head.waiting, running=head.running)
        for head in state.heads
    ]
    lines.append(say.say("admin-queue-model", model=model, running=state.running, slots=state.slots))
    return "\n".join(lines)


def health(say: Words, parts: list[Part]) -> str:
    """Return /health: the verdict, then a line a part."""
    good = all(part.state != "bad" for part in parts)
    lines = [say.say("admin-health-good") if good else say.say("admin-health-bad")]
    lines += [
        say.say("admin-health-part", part=part.name, state=part.state, detail=part.detail or "none") for part in parts
    ]
    return "\n".join(lines)
