"""Whispers: what one person of a group is told and the others do not see.

Telegram shows an ephemeral message to its receiver alone and does not promise that it arrives; where it refuses one,
the same is sent to the person's private chat, which only works for whoever has started the bot there.
"""

from aiogram.methods import SendMessage
from aiogram.types import EphemeralMessageParameters, InlineKeyboardMarkup

from bot import keyboards
from kit.words import Words


def ephemeral(
    chat_id: int, person_id: int, text: str, keyboard: InlineKeyboardMarkup | None = None, *, thread_id: int = 0
) -> SendMessage:
    """Return a message in a group that one person sees."""
    return SendMessage(
        chat_id=chat_id,
        message_thread_id=thread_id or None,
        text=text,
        reply_markup=keyboard,
        ephemeral_message_parameters=EphemeralMessageParameters(receiver_user_id=person_id),
    )


def in_private(call: SendMessage) -> SendMessage | None:
    """Return the same message for the person's private chat; None if `call` is for everybody."""
    whom = call.ephemeral_message_parameters
    if whom is None:
        return None
    return SendMessage(chat_id=whom.receiver_user_id, text=call.text, reply_markup=call.reply_markup)


def to_private_chat(words: Words, username: str) -> InlineKeyboardMarkup:
    """Return the button that leads from a group to the private chat."""
    return keyboards.rows([keyboards.link(words.say("button-open-chat"), f"https://t.me/{username}")])
