"""Handlers: one module a subject, each with its router; `routers()` gives them in the order they are asked."""

from aiogram import Router

from bot.handlers import (
    admin,
    buttons,
    cards,
    cases,
    chat,
    commands,
    gifts,
    groups,
    invite,
    members,
    money,
    payments,
    plan_change,
    promo,
    roubles,
    settings,
    thinking,
    trial,
)


def routers() -> list[Router]:
    """Return fresh routers: groups that move, the operator's room, which keeps all else to itself; free text last.

    Cases come before whatever takes commands or free text: a person's next message may be for theirs.
    """
    offers = (promo, trial, invite, payments, money, cards, roubles, gifts, plan_change)
    return [
        module.router()
        for module in (members, admin, groups, cases, *offers, settings, thinking, commands, buttons, chat)
    ]
