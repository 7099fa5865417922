"""Handlers: one module a subject, each with its router; `routers()` gives them in the order they are asked."""

from aiogram import Router

from bot import filters
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
    """Return fresh routers: groups that move; the operator's room and groups, which keep all else to themselves.

    Then whatever takes free text that answers something (a question for a title, a case, a promo code), then questions,
    which pass no command's filter on their way; what no other takes is the last one's.
    """
    answers = [dialogs.names(), cases.router(), promo.router()]
    offers = (trial, invite, payments, money, cards, roubles, gifts, plan_change)
    rest = (*offers, settings, dialogs, recall, thinking, commands, buttons, chat)
    made = [
        *(members.router(), admin.router(), groups.router()),
        *answers,
        chat.questions(),
        *(module.router() for module in rest),
    ]
    for router in made:
        filters.judge_in_the_loop(router)
    return made
