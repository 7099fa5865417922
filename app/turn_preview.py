"""Where and how the preview of a turn is shown: the bot begins it at accept, the worker with the first text."""

from app import preferences
from app.context import App
from app.persons import Person
from inference.streams import PreviewMeta
from inference.turns import Turn


def meta(app: App, turn: Turn, person: Person) -> PreviewMeta:
    """Return what the preview of a turn needs to know; in a group it answers the message that asked."""
    wanted = preferences.of(person.settings, preview_default=app.settings.preview)
    return PreviewMeta(
        chat_id=turn.chat_id,
        is_group=turn.in_group,
        draft_id=turn.id,
        mode=wanted.preview,
        lang=person.language,
        reply_to_message_id=turn.reply_to_message_id if turn.in_group else None,
        thinking=turn.thinking,
        thread_id=turn.thread_id or None,
    )
