"""What Telegram's refusals mean to whoever wanted to send something.

    FormaError
    ├── Unavailable("telegram")   no answer, 5xx, a full queue, the end of the process: try later
    ├── Unreachable               the person or chat cannot be written to until they act: stop trying
    ├── Migrated                  the group has another id now: use `chat_id`
    └── Refused                   this very message will never be accepted: change it

A 429 is none of them: the sender waits it out and keeps the message.
"""

from typing import Literal

from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramServerError,
    TelegramUnauthorizedError,
)

from kit.errors import FormaError, Unavailable

Reason = Literal["blocked", "deactivated", "not_found", "forbidden"]

# Telegram tells these apart by words alone (https://core.telegram.org/bots/api#making-requests).
_UNREACHABLE: tuple[tuple[str, Reason], ...] = (
    ("blocked by the user", "blocked"),
    ("deactivated", "deactivated"),
    ("chat not found", "not_found"),
    ("peer_id_invalid", "not_found"),
    ("chat_write_forbidden", "forbidden"),
    ("not enough rights to send", "forbidden"),
    ("have no rights to send", "forbidden"),
    ("need administrator rights in the", "forbidden"),
)


class Unreachable(FormaError):
    """The chat cannot be written to: blocked, deactivated, not found or forbidden; `reason` says which."""

    def __init__(self, chat_id: int, reason: Reason, description: str = "") -> None:
        super().__init__(chat_id, reason, description)
        self.chat_id, self.reason, self.description = chat_id, reason, description


class Migrated(FormaError):
    """The group became a supergroup; `new_chat_id` is where it lives now."""

    def __init__(self, chat_id: int, new_chat_id: int) -> None:
        super().__init__(chat_id, new_chat_id)
        self.chat_id, self.new_chat_id = chat_id, new_chat_id


class Refused(FormaError):
    """Telegram will not take this message as it is; `description` is its own sentence."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description

    @property
    def is_about_entities(self) -> bool:
        """Whether plain text may pass where this was refused."""
        return "entit" in self.description.lower()


def is_passing(error: BaseException | None) -> bool:
    """Whether the same call may succeed a moment later: no connection, no answer, 5xx, a proxy's HTML."""
    if isinstance(error, TelegramEntityTooLarge):
        return False
    # aiogram passes an OSError of the proxy or of TLS through as it is.
    return isinstance(error, TelegramNetworkError | TelegramServerError | ClientDecodeError | OSError)


def typed(error: Exception, chat_id: int) -> FormaError:
    """Our error for one of aiogram's; TelegramRetryAfter is not for here."""
    if isinstance(error, TelegramMigrateToChat):
        return Migrated(chat_id, error.migrate_to_chat_id)
    if is_passing(error):
        return Unavailable("telegram", type(error).__name__)
    if isinstance(error, TelegramUnauthorizedError):
        return Unavailable("telegram", "the bot token is not accepted")
    description = error.message if isinstance(error, TelegramAPIError) else str(error)
    if isinstance(error, TelegramForbiddenError | TelegramBadRequest):
        lowered = description.lower()
        for words, reason in _UNREACHABLE:
            if words in lowered:
                return Unreachable(chat_id, reason, description)
        if isinstance(error, TelegramForbiddenError):
            return Unreachable(chat_id, "forbidden", description)
    return Refused(description)
