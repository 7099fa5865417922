"""Handlers: one module a subject, each with its router; `routers()` gives them in the order they are asked."""

from aiogram import Router

from bot.handlers import (
    admin,
    buttons,
    chat,
    commands,
    gifts,
    invite,
    members,
    money,
    plan_change,
    promo,
    settings,
    trial,
)


def routers() -> list[Router]:
    """Return fresh routers: groups that move, the operator's room, which keeps all else to itself; free text last."""
    offers = (promo, trial, invite, money, gifts, plan_change)
    return [module.router() for module in (members, admin, *offers, settings, commands, buttons, chat)]
