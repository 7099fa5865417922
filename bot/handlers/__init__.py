"""Handlers: one module a subject, each with its router; `routers()` gives them in the order they are asked."""

from aiogram import Router

from bot.handlers import admin, buttons, chat, commands, members, money, roubles, settings


def routers() -> list[Router]:
    """Return fresh routers: groups that move, the operator's room, which keeps all else to itself; free text last."""
    return [module.router() for module in (members, admin, money, roubles, settings, commands, buttons, chat)]
