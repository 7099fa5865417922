"""The result of a reconciliation of Stars put into lines of words, for the admin group."""

from app.reconcile_stars import Summary, stars
from kit.words import Words


def reconciliation(say: Words, summary: Summary, *, unread: bool, complete: bool) -> str:
    """Return /reconcile. `unread`: Telegram did not answer; `complete`: its list was read to the end."""
    found, reading = summary.comparison, summary.reading
    lines = [
        say.say("admin-reconcile-head", lines=found.transactions, theirs=stars(found.theirs), ours=stars(found.ours))
    ]
    lines += [
        say.say("admin-reconcile-class", kind=name, lines=count, stars=stars(nanostars))
        for name, (count, nanostars) in found.classes.items()
    ]
    if found.unexplained:
        lines.append(say.say("admin-reconcile-unexplained", stars=stars(found.unexplained)))
    elif found.theirs == found.ours:
        lines.append(say.say("admin-reconcile-same"))
    else:
        lines.append(say.say("admin-reconcile-explained", stars=stars(found.theirs - found.ours)))
    if reading.balance_nanostars is not None and reading.listed_nanostars is not None:
        balance, listed = stars(reading.balance_nanostars), stars(reading.listed_nanostars)
        lines.append(say.say("admin-reconcile-balance", balance=balance, listed=listed))
    if summary.credited + summary.refunded + summary.charged_back:
        lines.append(
            say.say(
                "admin-reconcile-booked",
                credited=summary.credited,
                refunded=summary.refunded,
                charged=summary.charged_back,
            )
        )
    if summary.failed:
        lines.append(say.say("admin-reconcile-failed", count=summary.failed))
    if unread:
        lines.append(say.say("admin-reconcile-unread"))
    elif not complete:
        lines.append(say.say("admin-reconcile-partial"))
    return "\n".join(lines)
