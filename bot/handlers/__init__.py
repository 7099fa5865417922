"""Handlers: one module a subject, each with its router; `routers()` gives them in the order they are asked."""

from aiogram import Router

from bot.handlers import (
    admin,
    buttons,
    cards,
    cases,
    chat,
    commands,
    dialogs,
    gifts,
    groups,
    invite,
    members,
    money,
    payments,
    plan_change,
    promo,
    recall,
    roubles,
    settings,
    thinking,
    trial,
)


def routers() -> list[Router]:
    """Return fresh routers: groups that move, the operator's room, which keeps all else to itself; free text last.

    Answers to a question for a title and cases come before whatever takes commands or free text: a person's next
    message may be for them.
    """
    offers = (promo, trial, invite, payments, money, cards, roubles, gifts, plan_change)
    first = [members.router(), admin.router(), groups.router(), dialogs.names()]
    return first + [
        module.router() for module in (cases, *offers, settings, dialogs, recall, thinking, commands, buttons, chat)
    ]
