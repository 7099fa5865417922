"""Messages that were left without a turn: whoever cannot pay for theirs keeps nobody else's out."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from inference import dialogs
from kit.db import Database

POOR, LEFT = range(1, 31), 31
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


async def test_everybody_is_looked_at_in_time_however_many_were_there_first(database: Database) -> None:
    async with database.transaction() as tx:
        for person_id in (*POOR, LEFT):
            person = sa.text("INSERT INTO persons (id, language, created_at) VALUES (:id, 'en', :now)")
            await tx.execute(person, {"id": person_id, "now": NOW})
            dialog_id = await dialogs.lock_active(tx, chat_id=person_id, person_id=person_id, now=NOW)
            message = {"dialog_id": dialog_id, "turn_id": None, "chat_id": person_id, "message_id": 1, "text": "Hi"}
            await dialogs.add_user_message(tx, **message, now=NOW)
    async with database.read() as connection:
        assert await dialogs.abandoned(connection, before=NOW - timedelta(seconds=1), limit=100) == []
        everybody = await dialogs.abandoned(connection, before=NOW, limit=100)
        assert sorted(person_id for _, _, person_id in everybody) == [*POOR, LEFT]
        # One look in three finds the last of them; that none of 200 does would be a wonder.
        for _ in range(200):
            found = await dialogs.abandoned(connection, before=NOW, limit=len(POOR) // 3)
            assert len(found) == len(POOR) // 3
            if LEFT in [person_id for _, _, person_id in found]:
                return
        raise AssertionError("the last one was never looked at")
