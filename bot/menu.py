"""The bot's face in Telegram: commands per language and scope, descriptions of the empty chat and the profile."""

from typing import Any

from aiogram.methods import SetMyCommands, SetMyDescription, SetMyShortDescription, TelegramMethod
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
)

from kit.words import LANGUAGES, Words, words


def commands(say: Words, *, think: bool) -> list[BotCommand]:
    """Return the commands of a private chat, the most used first; `think`: a model can reason."""
    texts = {
        "new": say.say("command-new"),
        "dialogs": say.say("command-dialogs"),
        "context": say.say("command-context"),
        "stop": say.say("command-stop"),
        **({"think": say.say("command-think")} if think else {}),
        "balance": say.say("command-balance"),
        "plans": say.say("command-plans"),
        "buy": say.say("command-buy"),
        "subscription": say.say("command-subscription"),
        "promo": say.say("command-promo"),
        "invite": say.say("command-invite"),
        "payments": say.say("command-payments"),
        "settings": say.say("command-settings"),
        "language": say.say("command-language"),
        "help": say.say("command-help"),
        "terms": say.say("command-terms"),
        "privacy": say.say("command-privacy"),
        "support": say.say("command-support"),
        "paysupport": say.say("command-paysupport"),
    }
    return [BotCommand(command=name, description=text) for name, text in texts.items()]


def group_commands(say: Words, *, think: bool) -> list[BotCommand]:
    """Return the commands of groups; what concerns one person alone is sent, and answered, unseen by the others."""
    texts = {
        **({"think": say.say("command-think")} if think else {}),
        "stop": say.say("command-stop"),
        "new": say.say("command-new"),
        "balance": say.say("command-balance"),
        "help": say.say("command-help"),
    }
    return [
        BotCommand(command=name, description=text, is_ephemeral=True if name == "balance" else None)
        for name, text in texts.items()
    ]


def admin_commands(say: Words) -> list[BotCommand]:
    """Return the commands of the admin group."""
    texts = {
        "stats": say.say("command-stats"),
        "user": say.say("command-user"),
        "payments": say.say("command-payments-admin"),
        "grant": say.say("command-grant"),
        "promo": say.say("command-promo-admin"),
        "refund": say.say("command-refund"),
        "quarantine": say.say("command-quarantine"),
        "cases": say.say("command-cases"),
        "receipts": say.say("command-receipts"),
        "queue": say.say("command-queue"),
        "models": say.say("command-models"),
        "health": say.say("command-health"),
        "slow": say.say("command-slow"),
        "maintenance": say.say("command-maintenance"),
        "service": say.say("command-service"),
        "reconcile": say.say("command-reconcile"),
        "export": say.say("command-export"),
        "chargeback": say.say("command-chargeback"),
    }
    return [BotCommand(command=name, description=text) for name, text in texts.items()]


def for_person(person_id: int, say: Words, *, think: bool) -> SetMyCommands:
    """Return the call that shows the menu in a language that a person chose against their client's."""
    return SetMyCommands(commands=commands(say, think=think), scope=BotCommandScopeChat(chat_id=person_id))


def all_calls(admin_chat_id: int, admin_language: str, *, think: bool) -> list[TelegramMethod[Any]]:
    """Return the calls made at a start. English is what clients of other languages see."""
    calls: list[TelegramMethod[Any]] = []
    for language in (*LANGUAGES, ""):
        say = words(language or "en")
        code = language or None
        calls += [
            SetMyCommands(
                commands=commands(say, think=think), scope=BotCommandScopeAllPrivateChats(), language_code=code
            ),
            SetMyCommands(
                commands=group_commands(say, think=think), scope=BotCommandScopeAllGroupChats(), language_code=code
            ),
            SetMyDescription(description=say.say("bot-description"), language_code=code),
            SetMyShortDescription(short_description=say.say("bot-short-description"), language_code=code),
        ]
    if admin_chat_id:
        scope = BotCommandScopeChat(chat_id=admin_chat_id)
        calls.append(SetMyCommands(commands=admin_commands(words(admin_language)), scope=scope))
    return calls
