"""The result of a reconciliation of roubles put into lines of words, for the admin group."""

from app.reconcile_roubles import Summary
from kit.words import Words


def reconciliation(say: Words, summary: Summary | None) -> str:
    """Return the part of /reconcile about roubles; None: YooKassa did not tell its lists."""
    if summary is None:
        return say.say("admin-reconcile-roubles-unread")
    found = summary.comparison
    theirs, ours = signed(found.theirs), signed(found.ours)
    lines = [
        say.say("admin-reconcile-roubles-head", lines=found.lines, since=summary.since, theirs=theirs, ours=ours),
        *(
            say.say("admin-reconcile-roubles-class", kind=name, lines=count, sum=signed(kopecks))
            for name, (count, kopecks) in found.classes.items()
        ),
    ]
    if not found.classes:
        lines.append(say.say("admin-reconcile-same"))
    if summary.followed:
        lines.append(say.say("admin-reconcile-roubles-followed", count=summary.followed))
    return "\n".join(lines)


def signed(kopecks: int) -> str:
    """Return an amount as it is written in books: '199.00', '-0.50'."""
    whole, rest = divmod(abs(kopecks), 100)
    return f"{'-' if kopecks < 0 else ''}{whole}.{rest:02}"
