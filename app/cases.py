"""Cases: from a person's words about a payment to the operator's group and back, with an answer promised in 48 h."""

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts import alert
from app.context import App
from app.persons import Person
from billing import cases, history
from billing.cases import Case, Prompt
from kit import audit, outbox

log = structlog.get_logger(__name__)

CLOSED, ANSWER = "case-closed", "case-answer"


def are_open(app: App) -> bool:
    """Whether there is a group that cases land in."""
    return bool(app.settings.admin_chat_id)


async def tell(app: App, tx: AsyncConnection, person: Person, prompted: Prompt, text: str, *, now: datetime) -> Case:
    """Take a person's words to the case that they were asked for, or open one with them; the operator gets a card.

    Raises TooManyCases, TooManyWords, CaseClosed.
    """
    await cases.drop_prompt(tx, person_id=person.id)
    if prompted.case_id is None:
        case = await cases.open_case(tx, person_id=person.id, payment_id=prompted.payment_id, text=text, now=now)
    else:
        case = await cases.add(tx, case_id=prompted.case_id, person_id=person.id, text=text, now=now)
    log.info("case_told", case=case.id, person=person.id, payment=case.payment_id, again=prompted.case_id is not None)
    args = await card_args(tx, case, person) | {"text": text}
    await alert(app, tx, "admin-case-more" if prompted.case_id else "admin-case", args, now=now)
    return case


async def card_args(connection: AsyncConnection, case: Case, person: Person) -> dict[str, Any]:
    """Return what a case's card says of person and payment, as a notice's arguments."""
    paid = await history.find(connection, case.payment_id) if case.payment_id is not None else None
    return {
        "id": case.id,
        "status": case.status,
        "name": person.first_name,
        "person_id": person.id,
        "what": (paid.titles or "unknown") if paid else "none",
        "amount": paid.amount if paid else 0,
        "currency": paid.currency if paid else "XTR",
        "paid_at": paid.at.isoformat() if paid else None,
        "payment_id": case.payment_id or 0,
        "due_at": (case.due_at or case.created_at).isoformat(),
    }


async def answer(tx: AsyncConnection, *, case_id: int, actor_id: int, text: str, now: datetime) -> Case:
    """Send the operator's words to whoever opened a case. Raises CaseClosed."""
    case = await cases.answer(tx, case_id=case_id, actor_id=actor_id, text=text, now=now)
    await _notice(tx, case, ANSWER, {"id": case.id, "text": text}, now)
    log.info("case_answered", case=case.id, actor=actor_id)
    return case


async def close(tx: AsyncConnection, *, case_id: int, actor_id: int, now: datetime) -> Case:
    """Close a case, once, and tell its person. Raises CaseClosed."""
    case = await cases.close(tx, case_id=case_id, actor_id=actor_id, now=now)
    await audit.record(
        tx, actor_id=actor_id, action="case_close", subject_id=case.person_id, details={"case": case.id}, now=now
    )
    await _notice(tx, case, CLOSED, {"id": case.id}, now)
    log.info("case_closed", case=case.id, actor=actor_id)
    return case


async def remind(app: App, tx: AsyncConnection, *, now: datetime, limit: int) -> None:
    """Remind the operator of answers that are due soon or overdue: before, at the moment, and daily from then on."""
    for case in await cases.take_due(tx, now=now, limit=limit):
        assert case.due_at is not None
        left_s = int((case.due_at - now).total_seconds())
        args = {"id": case.id, "person_id": case.person_id, "left_s": abs(left_s)}
        log.warning("case_due", case=case.id, left_s=left_s)
        await alert(app, tx, "admin-alert-case-due" if left_s > 0 else "admin-alert-case-overdue", args, now=now)


async def _notice(tx: AsyncConnection, case: Case, notice: str, args: dict[str, Any], now: datetime) -> None:
    await outbox.add(tx, kind=outbox.NOTICE, chat_id=case.person_id, payload={"notice": notice, "args": args}, now=now)
