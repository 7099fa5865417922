"""Handlers: one module a subject, each with its router; `routers()` gives them in the order they are asked."""

from aiogram import Router

from bot.handlers import admin, buttons, chat, commands, gifts, members, money, plan_change, settings


def routers() -> list[Router]:
    """Return fresh routers: groups that move, the operator's room, which keeps all else to itself; free text last."""
    asked = (members, admin, money, gifts, plan_change, settings, commands, buttons, chat)
    return [module.router() for module in asked]
