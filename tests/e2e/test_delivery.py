"""One chat with much to get does not keep what is for others."""

from bot.deliver import BATCH_MAX
from kit import outbox, signals
from tests.e2e.conftest import ADMIN_GROUP
from tests.support.forma import Forma

# More than is taken at once, and than a group may get in the time that a person waits.
BACKLOG = 2 * BATCH_MAX + 50
ANSWER_S = 15.0


async def test_a_group_with_a_long_backlog_keeps_nobody_waiting(forma: Forma) -> None:
    operator = await forma.tg.person(first_name="Оператор", language_code="ru")
    await forma.tg.group(title="Op", id=ADMIN_GROUP, members=[operator], admins=[operator], bot="administrator")
    person, now = await forma.person("ru"), forma.app.clock.now()
    async with forma.app.db.transaction() as tx:
        for number in range(BACKLOG):
            payload = {"notice": "admin-alert-refunded", "args": {"stars": 1, "id": number}}
            key = f"backlog:{number}"
            await outbox.add(tx, kind=outbox.ALERT, chat_id=ADMIN_GROUP, payload=payload, dedup_key=key, now=now)
    await signals.send(forma.app.redis, signals.OUTBOX)
    await forma.quiet_until(
        "SELECT EXISTS (SELECT FROM outbox WHERE dedup_key LIKE 'backlog:%' AND status = 'sending')"
    )
    await person.send("/plans")
    await person.wait_for("Планы", timeout_s=ANSWER_S)
    assert await forma.scalar("SELECT count(*) > 0 FROM outbox WHERE chat_id < 0 AND status = 'pending'")
